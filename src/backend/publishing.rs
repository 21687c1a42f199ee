//! What is said of a version that becomes a record, and of a record that moves.

use std::fmt::{self, Debug};

use super::Staged;
use crate::model::{ContentType, Error, Key, RecordType, Result, Stamp, StoreName};

/// Why a publish failed, with the staged bytes, so that the writer may try again.
pub type PublishError = (Error, Staged);

/// Finds the content type of staged bytes that take the place of a record of this type, or of none that has one.
pub type DecideType<'a> = dyn Fn(&Staged, Option<&RecordType>) -> Result<RecordType> + 'a;

/// Which content type a published record gets.
#[derive(Clone, Copy)]
pub enum PublishType<'a> {
    /// This one.
    Given(&'a ContentType),
    /// What this says, before the record is held: it may read all that is staged. Asked again if it turns out that there is
    /// a record to replace.
    Decided(&'a DecideType<'a>),
}

impl PublishType<'_> {
    /// The type of staged bytes; what they replace is looked at only if it matters.
    ///
    /// # Errors
    /// What looking or deciding fails with.
    pub fn of(
        self,
        staged: &Staged,
        replaced: impl FnOnce() -> Result<Option<RecordType>>,
    ) -> Result<RecordType> {
        match self {
            Self::Given(content_type) => Ok(RecordType::given(content_type.clone())),
            Self::Decided(decide) => decide(staged, replaced()?.as_ref()),
        }
    }
}

impl Debug for PublishType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(content_type) => f.debug_tuple("Given").field(content_type).finish(),
            Self::Decided(_) => f.write_str("Decided"),
        }
    }
}

/// How staged bytes become a record.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The store.
    pub store: &'a StoreName,
    /// The record's key.
    pub key: &'a Key,
    /// The content type that the record gets.
    pub content_type: PublishType<'a>,
    /// Whether the new version must be durable when the call returns.
    pub durable: bool,
    /// What the version may take the place of.
    pub over: Over,
}

/// What a new version of a record may take the place of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// Of whatever is there, or of nothing.
    #[default]
    Anything,
    /// Of nothing: a record of this key must not be there.
    Nothing,
    /// Of the object that holds this version, whatever became of its owner and mode.
    Version(Stamp),
}

impl Over {
    /// Refuses to take the place of what is there.
    pub(crate) fn admit(self, store: &StoreName, key: &Key, there: Option<Stamp>) -> Result<()> {
        let (store, text) = (store.as_str().to_owned(), key.to_string());
        match (self, there) {
            (Self::Nothing, Some(_)) => Err(Error::RecordExists { store, key: text }),
            (Self::Version(_), None) => Err(Error::NoSuchRecord { store, key: text }),
            (Self::Version(old), Some(there)) if there.object != old.object => {
                Err(Error::RecordReplaced { store, key: text })
            }
            _ => Ok(()),
        }
    }
}

/// Where a record moves.
#[derive(Clone, Copy, Debug)]
pub struct RenameRecord<'a> {
    /// The store it leaves.
    pub from_store: &'a StoreName,
    /// The key it leaves.
    pub from_key: &'a Key,
    /// The store it moves to.
    pub to_store: &'a StoreName,
    /// The key it gets.
    pub to_key: &'a Key,
    /// The content type that it has afterwards.
    pub record_type: &'a RecordType,
    /// Whether a record of the new key may be replaced.
    pub replace: bool,
}
