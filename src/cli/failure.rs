//! Why a command did not do what it was asked.

use std::io;

use super::exit::ExitCode;
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
        }
    }

    /// What there is to tell.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Usage(message) | Self::Failed(message) => Some(message),
            Self::OutputClosed | Self::Reported => None,
        }
    }

    /// Writing the output failed.
    pub(super) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Failed(format!("cannot write to standard output: {error}"))
        }
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
        Self::Failed(format!("{error}{hint}"))
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
