//! Dying at a given step, for the tests of what a crash leaves (`tests/crash.rs`).
//!
//! Only in builds with the feature `failpoints`; otherwise a step costs nothing and leaves no trace.

/// Environment variable that names the step at which the process dies, as by `kill -9`.
#[cfg(feature = "failpoints")]
const CRASH_AT: &str = "STOREFS_CRASH_AT";

/// Passes a step, or dies there.
#[inline]
pub(crate) fn pass(step: &str) {
    #[cfg(feature = "failpoints")]
    if std::env::var_os(CRASH_AT).is_some_and(|crash| crash == step) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = step;
}
