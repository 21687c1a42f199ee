//! Who waits for a lock and is sent a signal must not wait on: a timer ends the waiting (`flock --timeout`), or a kill.
//!
//! fuser 0.18 answers the kernel's `FUSE_INTERRUPT` with `ENOSYS`, and the kernel then leaves whoever waits in a sleep
//! that nothing ends. So it is looked for signals here, as long as anybody waits.

use std::thread;
use std::time::Duration;

/// How often. A signal ends a waiting after so long at the latest.
const EVERY: Duration = Duration::from_millis(20);

/// Has `look` look for signals of those who wait, on a thread of its own, until it says that nobody does.
pub(super) fn watch(look: impl Fn() -> bool + Send + 'static) {
    let watch = move || {
        while look() {
            thread::sleep(EVERY);
        }
    };
    if let Err(error) = thread::Builder::new().name("storefs-locks".to_owned()).spawn(watch) {
        log::error!("who waits for a lock cannot be interrupted: no thread for it: {error}");
    }
}
