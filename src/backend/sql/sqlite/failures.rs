//! What SQLite says, in the words of a storage.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::model::{BackendErrorKind, Error};

/// What goes wrong within a transaction: with the database, or with whom its bytes come from or go to.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Other(Error),
}

/// The result of a part of a transaction.
pub(super) type Step<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// The error to be handed on. `action` completes "cannot ...".
    pub(super) fn into_error(self, action: &str) -> Error {
        match self {
            Self::Sqlite(error) => Error::backend(kind(&error), action, error),
            Self::Other(error) => error,
        }
    }
}

/// What kind of no SQLite's is. A statement waits for others' locks as long as the deadline lets it, so `Busy` is said at
/// its end.
fn kind(error: &rusqlite::Error) -> BackendErrorKind {
    let rusqlite::Error::SqliteFailure(ffi::Error { code, .. }, _) = error else {
        return match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => BackendErrorKind::Damaged,
            _ => BackendErrorKind::Other,
        };
    };
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => BackendErrorKind::Busy,
        ErrorCode::OperationInterrupted => BackendErrorKind::TimedOut,
        ErrorCode::ReadOnly => BackendErrorKind::ReadOnly,
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            BackendErrorKind::Denied
        }
        ErrorCode::DiskFull => BackendErrorKind::Full,
        ErrorCode::TooBig => BackendErrorKind::TooLarge,
        ErrorCode::CannotOpen => BackendErrorKind::Unreachable,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => BackendErrorKind::Damaged,
        _ => BackendErrorKind::Other,
    }
}

/// Whether the file, or one that has to be beside it, cannot be opened.
pub(super) fn cannot_open(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure))
}
