//! Copying stores from one storage to another, of whatever kinds the two are.
//!
//! What the target has already is not sent again ([`known`]), so a copy that was broken off is completed by another one.
//! Each record is published whole ([`record`]), several at a time where a network is between ([`threads`]).

mod known;
mod record;
mod threads;
mod version;

use rustix::io::Errno;

use super::{Storage, Store, new_metadata};
use crate::model::{BackendErrorKind, Error, Key, Result, StoreMetadata};
use known::Known;
use record::RecordCopy;

/// How stores are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether nothing is changed, and it is only found out what would be.
    pub dry_run: bool,
    /// Whether records of the target go that the source does not have, the input too.
    pub purge: bool,
}

/// What became of the records of a store, or would become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records that were sent.
    pub sent: u64,
    /// Bytes of their values together.
    pub bytes: u64,
    /// Records that were there with the same bytes and type.
    pub same: u64,
    /// Records of the target that the source does not have, and that were removed.
    pub removed: u64,
    /// What could not be done, and was told.
    pub failed: u64,
}

/// What is told while a store is copied, by any of several threads.
#[derive(Debug)]
pub enum CopyNews<'a> {
    /// One more record of the source was looked at, whatever became of it.
    Looked,
    /// A record could not be copied, or not be removed; the rest goes on.
    RecordFailed(&'a Key, &'a Error),
    /// The store is copied, but something of it could not be: a line for people says what.
    StoreFailed(String),
}

/// Who is told.
pub type TellCopy<'a> = dyn Fn(CopyNews<'_>) + Sync + 'a;

impl Store {
    /// Copies the store to a store of the same name in another storage, which is made if it is not there: records with
    /// their types as they are kept, and the metadata. `None` if there is no such store any more.
    ///
    /// What is there with the same bytes and type is not sent again. Others may use both storages meanwhile: what they
    /// change or remove in this one is copied as it was or as it is, and whole; or not if it is gone.
    ///
    /// # Errors
    /// What ends the copy of this store; [`ends_copy`] tells whether other stores would fare alike. What is copied stays.
    pub fn copy_to(
        &self,
        target: &Storage,
        options: CopyOptions,
        tell: &TellCopy<'_>,
    ) -> Result<Option<Copied>> {
        let mut copied = Copied::default();
        // Before the records: a copy must not say that it is newer than it is.
        let metadata = match self.backend().metadata(&self.name) {
            Err(Error::NoSuchStore { .. }) => return Ok(None),
            Err(error @ Error::DamagedMetadata { .. }) => {
                copied.failed += 1;
                tell(CopyNews::StoreFailed(format!("{error}; the copy gets new ones")));
                None
            }
            metadata => Some(metadata?),
        };
        let to = target.store(&self.name);
        let is_there = to.is_there()?;
        let metadata = metadata.unwrap_or_else(|| new_metadata(self.name.metadata_name()));
        let kept = if is_there || options.dry_run {
            metadata
        } else {
            make_store(&to, metadata, &mut copied, tell)?
        };
        let known = if is_there { Known::of(&to)? } else { Known::none() };
        let copy = RecordCopy::new(self, &to, options, known, tell);
        copied.add(copy.copy_all()?);
        if options.purge && is_there {
            copied.add(copy.remove_others()?);
        }
        if !options.dry_run {
            set_metadata(&to, kept, &mut copied, tell)?;
            to.sync()?;
        }
        Ok(Some(copied))
    }

    fn is_there(&self) -> Result<bool> {
        match self.backend().store_attributes(&self.name) {
            Err(Error::NoSuchStore { .. }) => Ok(false),
            attributes => attributes.map(|_| true),
        }
    }
}

/// Whether an error of [`Store::copy_to`] says something of the whole storage, so that no other store need be tried.
#[must_use]
pub fn ends_copy(error: &Error) -> bool {
    match error {
        Error::ReadOnly => true,
        Error::Backend { kind, .. } => matches!(
            kind,
            BackendErrorKind::Denied
                | BackendErrorKind::ReadOnly
                | BackendErrorKind::Busy
                | BackendErrorKind::TimedOut
                | BackendErrorKind::Unreachable
                | BackendErrorKind::Full
        ),
        Error::Io { source, .. } => {
            let full = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS].map(Errno::raw_os_error);
            source.raw_os_error().is_some_and(|errno| full.contains(&errno))
        }
        _ => false,
    }
}

/// Whether an error of one record ends the copy of its store, since the next record would fare alike.
fn ends_store(error: &Error) -> bool {
    matches!(error, Error::NoSuchStore { .. }) || ends_copy(error)
}

/// Whether a version that was read has gone, so that the next one is to be read instead.
fn is_outdated(error: &Error) -> bool {
    match error {
        Error::RecordReplaced { .. } | Error::NoSuchRecord { .. } => true,
        Error::Io { source, .. } => source.raw_os_error() == Some(Errno::STALE.raw_os_error()),
        _ => false,
    }
}

/// Makes the target's store; gives back the metadata that it is to have in the end. Where the target cannot keep the id,
/// the store has a new one.
fn make_store(
    to: &Store,
    mut metadata: StoreMetadata,
    copied: &mut Copied,
    tell: &TellCopy<'_>,
) -> Result<StoreMetadata> {
    let had_id = metadata.id.is_some();
    if !had_id {
        metadata.id = new_metadata(None).id;
    }
    let made = to.backend().create_store(&to.name, &metadata);
    let Err(error) = made else { return Ok(metadata) };
    // Another store has the id, or the target keeps none like it.
    if !had_id
        || ends_copy(&error)
        || !matches!(error, Error::StoreExists { .. } | Error::Backend { .. })
    {
        return Err(error);
    }
    metadata.id = new_metadata(None).id;
    if to.backend().create_store(&to.name, &metadata).is_err() {
        return Err(error);
    }
    copied.failed += 1;
    tell(CopyNews::StoreFailed(format!(
        "store '{}' gets a new id: the target cannot keep its own",
        to.name
    )));
    Ok(metadata)
}

/// Says in the target what the source says of the store, if it does not yet.
fn set_metadata(
    to: &Store,
    mut wanted: StoreMetadata,
    copied: &mut Copied,
    tell: &TellCopy<'_>,
) -> Result<()> {
    let there = match to.backend().metadata(&to.name) {
        Err(Error::DamagedMetadata { .. }) => None,
        there => Some(there?),
    };
    let keeps_none = there.as_ref().is_some_and(|there| there.id.is_none());
    if wanted.id.is_none() {
        wanted.id =
            there.as_ref().and_then(|there| there.id.clone()).or_else(|| new_metadata(None).id);
    }
    if there.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let Err(error) = to.backend().set_metadata(&to.name, &wanted) else { return Ok(()) };
    let is_unsupported =
        matches!(&error, Error::Backend { kind: BackendErrorKind::Unsupported, .. });
    if keeps_none && is_unsupported {
        return Ok(());
    }
    if ends_store(&error) {
        return Err(error);
    }
    copied.failed += 1;
    // Its times and name at least, under the id that it has.
    let id = there.and_then(|there| there.id);
    let rest = StoreMetadata { id, ..wanted };
    if let Err(error) = to.backend().set_metadata(&to.name, &rest) {
        log::debug!("nor the rest of the metadata of store '{}': {error}", to.name);
    }
    tell(CopyNews::StoreFailed(error.to_string()));
    Ok(())
}

impl Copied {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.bytes += other.bytes;
        self.same += other.same;
        self.removed += other.removed;
        self.failed += other.failed;
    }
}
