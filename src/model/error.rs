//! What can go wrong with a storage, said in its own words.

use std::io;

/// The result of an operation on a storage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a storage failed.
///
/// Each kind names the store and key that it is about. The mapping to errno is the FUSE adapter's; that to an exit
/// status, and what a user may do next, the command line's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No store has this name.
    #[error("there is no key-value store '{store}'")]
    NoSuchStore {
        /// The name that was looked for.
        store: String,
    },
    /// No store has this id. The text is the SDK's own (FORMAT 4.5).
    #[error("Key-value store with ID \"{id}\" not found.")]
    NoSuchStoreId {
        /// The id that was looked for.
        id: String,
    },
    /// The store has no record of this key.
    #[error("there is no record '{key}' in store '{store}'")]
    NoSuchRecord {
        /// The store.
        store: String,
        /// The key that was looked for.
        key: String,
    },
    /// A store of this name is there already.
    #[error("store '{store}' exists already")]
    StoreExists {
        /// The name.
        store: String,
    },
    /// A record of this key is there already.
    #[error("record '{key}' of store '{store}' exists already")]
    RecordExists {
        /// The store.
        store: String,
        /// The key.
        key: String,
    },
    /// Others have put another version in the place of the one that was to be replaced.
    #[error("record '{key}' of store '{store}' was replaced by others meanwhile")]
    RecordReplaced {
        /// The store.
        store: String,
        /// The key.
        key: String,
    },
    /// A record is not what it was when the bytes were written that are to replace it.
    #[error("record '{key}' of store '{store}' has changed since these bytes were written")]
    RecordChanged {
        /// The store.
        store: String,
        /// The key.
        key: String,
    },
    /// Nothing of this id is kept aside.
    #[error("nothing with the id '{id}' is kept aside")]
    NoSuchUnpublished {
        /// The id that was looked for.
        id: String,
    },
    /// No purge of the store can be undone.
    #[error("nothing is kept of a purge of store '{store}'")]
    NoKeptPurge {
        /// The store.
        store: String,
    },
    /// With this record the store would have two inputs.
    #[error(
        "'{key}' would be a second input of store '{store}' beside '{other}', and the Apify SDK opens no store with two"
    )]
    SecondInput {
        /// The store.
        store: String,
        /// The key that was to be made.
        key: String,
        /// The key of the input that is there.
        other: String,
    },
    /// The text can be no store's name.
    #[error("invalid store name '{name}': {reason}")]
    InvalidStoreName {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text can be no record's key here.
    #[error("invalid key '{key}': {reason}")]
    InvalidKey {
        /// The text.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that is not Unicode cannot be given to a record.
    #[error("'{name}' is not UTF-8, so no SDK could open the record")]
    NotUnicode {
        /// The name, with replacement characters.
        name: String,
    },
    /// The name is longer than the backend can keep.
    #[error(
        "name '{name}' is too long: this storage keeps at most {limit} bytes of its encoded form"
    )]
    NameTooLong {
        /// The name.
        name: String,
        /// Longest encoded name in bytes.
        limit: usize,
    },
    /// The text is no content type.
    #[error("'{text}' is no content type: those are written as type/subtype, such as text/plain")]
    InvalidContentType {
        /// The text.
        text: String,
    },
    /// The content type is longer than any storage keeps.
    #[error("the content type is too long: at most {limit} bytes are kept")]
    ContentTypeTooLong {
        /// Longest content type in bytes.
        limit: usize,
    },
    /// More than one of id, name and alias was given. The text is the SDK's own (FORMAT 4.5).
    #[error(
        "Only one of \"id\", \"name\", \"alias\" can be specified, but following arguments were specified: {given}."
    )]
    AmbiguousOpen {
        /// The arguments that were given, in words.
        given: String,
    },
    /// The store's metadata cannot be read.
    #[error("the metadata of store '{store}' is damaged: {reason}")]
    DamagedMetadata {
        /// The store.
        store: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text is no sidecar that any SDK could read.
    #[error("the sidecar for record '{key}' of store '{store}' is damaged: {reason}")]
    DamagedSidecar {
        /// The store.
        store: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The value is too long to be read as a whole.
    #[error("record '{key}' has {size} bytes, and at most {limit} are read as a whole")]
    ValueTooLarge {
        /// The record's key.
        key: String,
        /// Its length in bytes.
        size: u64,
        /// Longest value in bytes that is read as a whole.
        limit: u64,
    },
    /// The value is not what it was to be read as.
    #[error("record '{key}' is no {wanted}: {source}")]
    Undecodable {
        /// The record's key.
        key: String,
        /// What it was to be read as.
        wanted: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The text names no storage that can be opened.
    #[error("source '{shown}' {reason}")]
    InvalidSource {
        /// As much of the text as may be shown: no secret is in it.
        shown: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The storage is mounted or opened for reading only.
    #[error("the storage is opened for reading only")]
    ReadOnly,
    /// A storage that is no directory said no, or did not answer.
    #[error("cannot {action}: {source}")]
    Backend {
        /// What kind of no it is, by which a program decides what to do.
        kind: BackendErrorKind,
        /// What was tried, with the names it was tried on.
        action: String,
        /// What the storage, or the way to it, said. No secret is in it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system said no.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, with the names it was tried on.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// What kind of no a storage says that is no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// It has no such operation.
    Unsupported,
    /// Who asks may not, or is not who he says.
    Denied,
    /// It can be read and not be written.
    ReadOnly,
    /// Others hold what is needed; the same may succeed later.
    Busy,
    /// It has not answered within the deadline.
    TimedOut,
    /// It cannot be reached, or the connection was lost.
    Unreachable,
    /// It keeps nothing of that size.
    TooLarge,
    /// It has no room left.
    Full,
    /// What it holds is not what it was to be read as.
    Damaged,
    /// Anything else.
    Other,
}

impl Error {
    /// A text that names no storage. `reason` completes "source 'shown' ...".
    pub(crate) fn invalid_source(shown: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidSource { shown: shown.into(), reason: reason.into() }
    }

    /// Wraps what a storage said to something that was tried. `action` completes "cannot ...".
    pub(crate) fn backend(
        kind: BackendErrorKind,
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Backend { kind, action: action.into(), source: source.into() }
    }

    /// Wraps the system's answer to something that was tried. `action` completes "cannot ...".
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }

    /// Whether the error says that something is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NoSuchStore { .. }
            | Self::NoSuchStoreId { .. }
            | Self::NoSuchRecord { .. }
            | Self::NoSuchUnpublished { .. }
            | Self::NoKeptPurge { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether a storage could not be asked, so that the same may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        use BackendErrorKind::{Busy, TimedOut, Unreachable};
        matches!(self, Self::Backend { kind: Busy | TimedOut | Unreachable, .. })
    }
}
