//! Why a mount or an unmount failed, in one line that says what to do.

use std::io;

/// Why something about a mount failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// A check before the act said no; nothing has been mounted or unmounted.
    #[error("{0}")]
    Refused(String),
    /// The storage cannot be opened.
    #[error(transparent)]
    Storage(#[from] crate::Error),
    /// The operating system said no.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, with the names it was tried on.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl MountError {
    /// Wraps the system's answer to something that was tried. `action` completes "cannot ...".
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }

    /// A check that said no.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}
