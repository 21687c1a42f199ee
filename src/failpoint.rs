//! Dying, panicking, failing or being held at a given step, for the tests of what that leaves (`tests/crash.rs`,
//! `tests/fault_points.rs`).
//!
//! Only in builds with the feature `failpoints`; otherwise a step costs nothing and leaves no trace.

/// Environment variable that names the step at which the process dies, as by `kill -9`.
#[cfg(feature = "failpoints")]
const CRASH_AT: &str = "STOREFS_CRASH_AT";

/// Environment variable that names a file, which need not be there. While it holds `<step>=<number>`, the step
/// fails with the errno of that number, and while it holds `<step>=panic`, it panics: once, since it removes the
/// file. So a test chooses the moment while the process runs, and sees that the step was passed. While it holds
/// `<step>=hold`, the file is renamed to `<file>.held`, and who passes the step waits there until a test removes that: so
/// a test has something else happen in between.
#[cfg(feature = "failpoints")]
const FAULT_FILE: &str = "STOREFS_FAULT_FILE";

/// Passes a step that cannot fail of itself, or dies or panics there.
#[inline]
pub(crate) fn pass(step: &str) {
    #[cfg(feature = "failpoints")]
    if let Err(error) = at(step) {
        log::error!("the step '{step}' cannot fail with: {error}");
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = step;
}

/// Passes a step that is about to ask the system for something: gives back the error that a test wants it to have.
#[inline]
pub(crate) fn fail(step: &str) -> rustix::io::Result<()> {
    #[cfg(feature = "failpoints")]
    at(step)?;
    #[cfg(not(feature = "failpoints"))]
    let _ = step;
    Ok(())
}

#[cfg(feature = "failpoints")]
#[allow(clippy::panic)]
fn at(step: &str) -> rustix::io::Result<()> {
    if std::env::var_os(CRASH_AT).is_some_and(|crash| crash == step) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    let Some(file) = std::env::var_os(FAULT_FILE) else { return Ok(()) };
    let Ok(wanted) = std::fs::read_to_string(&file) else { return Ok(()) };
    let Some(fault) = wanted.strip_prefix(step).and_then(|rest| rest.strip_prefix('=')) else {
        return Ok(());
    };
    if fault == "hold" {
        let mut held = file.clone();
        held.push(".held");
        // Of several threads that pass at once, one renames the file.
        if std::fs::rename(&file, &held).is_ok() {
            while std::path::Path::new(&held).exists() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        return Ok(());
    }
    // Of several threads that pass at once, one removes the file.
    if std::fs::remove_file(&file).is_err() {
        return Ok(());
    }
    if fault == "panic" {
        panic!("a test wants a panic at '{step}'");
    }
    match fault.parse() {
        Ok(number) => Err(rustix::io::Errno::from_raw_os_error(number)),
        Err(_) => Ok(()),
    }
}
