//! The exit status: a promise to scripts (docs/CLI.md).

use std::process;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done. Also if whoever read the output stopped reading.
    Success = 0,
    /// Failed; one line on standard error says why and what to do.
    Failure = 1,
    /// The command line makes no sense; nothing was tried.
    Usage = 2,
    /// mount(8)'s own status for a mount that failed: what its helper ends with instead of [`Failure`](Self::Failure).
    MountFailed = 32,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
