//! Why a part has not come, told to each who waits for it: an error itself can be told once only.

use std::io;

use crate::model::{BackendErrorKind, Error};

/// What an error says, to be said again.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The version is gone, for ever.
    Replaced { store: String, key: String },
    /// The storage said no, or was not reached.
    Backend { kind: BackendErrorKind, action: String, reason: String },
    /// The spool's file system said no.
    Io { action: String, code: Option<i32>, kind: io::ErrorKind, reason: String },
}

impl Failure {
    /// That what was fetched is not what the value holds in this place.
    pub(super) fn damaged(reason: &'static str) -> Self {
        Self::fetching(BackendErrorKind::Damaged, reason)
    }

    /// That the fetch has ended without a word.
    pub(super) fn broken_off() -> Self {
        Self::fetching(BackendErrorKind::Other, "it was broken off")
    }

    fn fetching(kind: BackendErrorKind, reason: impl Into<String>) -> Self {
        Self::Backend { kind, action: "fetch a value".to_owned(), reason: reason.into() }
    }

    /// Whether nothing more of the version will ever come.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Replaced { .. })
    }

    /// The error that says so.
    pub(super) fn error(&self) -> Error {
        match self.clone() {
            Self::Replaced { store, key } => Error::RecordReplaced { store, key },
            Self::Backend { kind, action, reason } => Error::backend(kind, action, reason),
            Self::Io { action, code, kind, reason } => {
                let again = || io::Error::new(kind, reason);
                Error::io(action, code.map_or_else(again, io::Error::from_raw_os_error))
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::RecordReplaced { store, key } => Self::Replaced { store, key },
            Error::Backend { kind, action, source } => {
                Self::Backend { kind, action, reason: source.to_string() }
            }
            Error::Io { action, source } => {
                let (code, kind) = (source.raw_os_error(), source.kind());
                Self::Io { action, code, kind, reason: source.to_string() }
            }
            other => Self::fetching(BackendErrorKind::Other, other.to_string()),
        }
    }
}
