//! The exit status: a promise to scripts (docs/CLI.md).

use std::process;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done. Also if whoever read the output stopped reading.
    Success = 0,
    /// Failed, for a reason that has no status of its own; one line on standard error says why and what to do.
    Failure = 1,
    /// The command line makes no sense; nothing was tried.
    Usage = 2,
    /// There is no such store, record, or thing that is kept aside.
    NotFound = 3,
    /// Something else is there already, or others have changed it.
    Exists = 4,
    /// Who asks may not, or nothing may be written.
    Denied = 5,
    /// The storage cannot be reached, or does not answer in time; the same may succeed later.
    Unavailable = 6,
    /// There is no room left.
    NoRoom = 7,
    /// What the storage holds is damaged.
    Damaged = 8,
    /// What was given can be no name, key, type or value here.
    Invalid = 9,
    /// mount(8)'s own status for a mount that failed: what its helper ends with instead of [`Failure`](Self::Failure).
    MountFailed = 32,
}

impl ExitCode {
    /// All, with what each means to a script.
    pub(super) const MEANINGS: [(Self, &str); 11] = [
        (Self::Success, "Done. Also if whoever read the output stopped reading."),
        (
            Self::Failure,
            "Failed, for a reason that has no status of its own: a storage that cannot be opened, a mount that cannot be \
             made or taken away, a part of the work that failed and has been told, something that doctor leaves.",
        ),
        (Self::Usage, "The command line makes no sense, and nothing was tried."),
        (Self::NotFound, "There is no such store, record, or thing that rescue keeps."),
        (Self::Exists, "Something else is there already, or others have changed it."),
        (Self::Denied, "Permission denied, or the storage cannot be written."),
        (
            Self::Unavailable,
            "The storage cannot be reached, or does not answer in time; the same may succeed later.",
        ),
        (Self::NoRoom, "There is no room left."),
        (Self::Damaged, "What the storage holds is damaged; doctor tells more."),
        (
            Self::Invalid,
            "What was given can be no name, key, content type or value in this storage.",
        ),
        (Self::MountFailed, "Called by mount(8): the mount failed."),
    ];
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
