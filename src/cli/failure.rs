//! Why a command did not do what it was asked.

use std::io;

use super::exit::ExitCode;
use crate::model::BackendErrorKind;
use crate::mount::MountError;

/// The result of a command.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody reads the output any more (`storefs keys | head`). Not a failure at all.
    OutputClosed,
    /// The command line makes no sense.
    Usage(String),
    /// The command failed, for this reason.
    Failed(String),
    /// The same, for a reason of a kind that has an exit status of its own.
    Kind(ExitCode, String),
    /// Parts of the command failed, and each has been reported.
    Reported,
}

impl Failure {
    /// The exit status.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::OutputClosed => ExitCode::Success,
            Self::Usage(_) => ExitCode::Usage,
            Self::Failed(_) | Self::Reported => ExitCode::Failure,
            Self::Kind(code, _) => *code,
        }
    }

    /// What there is to tell.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Usage(message) | Self::Failed(message) | Self::Kind(_, message) => Some(message),
            Self::OutputClosed | Self::Reported => None,
        }
    }

    /// The same message, of no kind.
    pub(super) fn of_no_kind(self) -> Self {
        match self {
            Self::Kind(_, message) => Self::Failed(message),
            other => other,
        }
    }

    /// The same with more to say at the end of its message.
    pub(super) fn with_hint(self, hint: &str) -> Self {
        match self {
            Self::Failed(message) => Self::Failed(message + hint),
            Self::Kind(code, message) => Self::Kind(code, message + hint),
            other => other,
        }
    }

    /// Writing the output failed.
    pub(super) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        let message = format!("cannot write to standard output: {error}");
        Self::Kind(code_of_io(&error), message)
    }

    /// A file that the user named, which is no part of a storage, cannot be used. `action` completes "cannot ...".
    pub(super) fn file(action: &str, error: &io::Error) -> Self {
        // That it is missing is no word about the storage.
        Self::Kind(code_of_io(error), format!("cannot {action}: {error}"))
    }
}

/// The kind of failure that the system's answer is.
fn code_of_io(error: &io::Error) -> ExitCode {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ExitCode::Denied,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ExitCode::NoRoom,
        ErrorKind::TimedOut => ExitCode::Unavailable,
        _ => ExitCode::Failure,
    }
}

/// The kind of failure that a storage's answer is.
pub(super) fn code_of(error: &crate::Error) -> ExitCode {
    use crate::Error;
    match error {
        Error::NoSuchStore { .. }
        | Error::NoSuchStoreId { .. }
        | Error::NoSuchRecord { .. }
        | Error::NoSuchUnpublished { .. }
        | Error::NoKeptPurge { .. } => ExitCode::NotFound,
        Error::StoreExists { .. }
        | Error::RecordExists { .. }
        | Error::RecordReplaced { .. }
        | Error::RecordChanged { .. }
        | Error::SecondInput { .. } => ExitCode::Exists,
        Error::InvalidStoreName { .. }
        | Error::InvalidKey { .. }
        | Error::NotUnicode { .. }
        | Error::NameTooLong { .. }
        | Error::InvalidContentType { .. }
        | Error::ContentTypeTooLong { .. }
        | Error::AmbiguousOpen { .. }
        | Error::ValueTooLarge { .. } => ExitCode::Invalid,
        Error::DamagedMetadata { .. }
        | Error::DamagedSidecar { .. }
        | Error::Undecodable { .. } => ExitCode::Damaged,
        Error::InvalidSource { .. } => ExitCode::Failure,
        Error::ReadOnly => ExitCode::Denied,
        Error::Backend { kind, .. } => code_of_backend(*kind),
        Error::Io { source, .. } => code_of_io(source),
    }
}

fn code_of_backend(kind: BackendErrorKind) -> ExitCode {
    match kind {
        BackendErrorKind::Denied | BackendErrorKind::ReadOnly => ExitCode::Denied,
        BackendErrorKind::Busy | BackendErrorKind::TimedOut | BackendErrorKind::Unreachable => {
            ExitCode::Unavailable
        }
        BackendErrorKind::Full => ExitCode::NoRoom,
        BackendErrorKind::Damaged => ExitCode::Damaged,
        BackendErrorKind::TooLarge => ExitCode::Invalid,
        BackendErrorKind::Unsupported | BackendErrorKind::Other => ExitCode::Failure,
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        let hint = match &error {
            crate::Error::NoSuchStore { .. } => "; 'storefs stores' lists what is there".to_owned(),
            crate::Error::DamagedMetadata { .. } => {
                "; 'storefs doctor' lists such stores".to_owned()
            }
            crate::Error::NoSuchStoreId { .. } => " 'storefs stores' lists the ids.".to_owned(),
            crate::Error::NoSuchRecord { store, .. } => {
                format!("; 'storefs keys {store}' lists what is there")
            }
            crate::Error::NoSuchUnpublished { .. } => {
                "; 'storefs rescue' lists what is there".to_owned()
            }
            crate::Error::StoreExists { .. } => "; choose another name".to_owned(),
            _ => String::new(),
        };
        Self::Kind(code_of(&error), format!("{error}{hint}"))
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_that_something_is_missing_is_told_what_lists_it() {
        let message = |error: crate::Error| Failure::from(error).message().map(str::to_owned);
        let (store, key) = ("s".to_owned(), "k".to_owned());
        assert_eq!(
            message(crate::Error::NoSuchStore { store: store.clone() }).as_deref(),
            Some("there is no key-value store 's'; 'storefs stores' lists what is there")
        );
        assert_eq!(
            message(crate::Error::NoSuchRecord { store: store.clone(), key }).as_deref(),
            Some("there is no record 'k' in store 's'; 'storefs keys s' lists what is there")
        );
        let reason = "no JSON".to_owned();
        assert_eq!(
            message(crate::Error::DamagedMetadata { store, reason }).as_deref(),
            Some(
                "the metadata of store 's' is damaged: no JSON; 'storefs doctor' lists such stores"
            )
        );
    }
}
