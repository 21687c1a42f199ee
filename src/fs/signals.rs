//! Who waits and is sent a signal must not wait on: a timer ends the waiting (`flock --timeout`), or Ctrl-C, or a kill.
//!
//! fuser 0.18 answers the kernel's `FUSE_INTERRUPT` with `ENOSYS`, and the kernel then leaves whoever waits in a sleep
//! that only the reply ends. So it is looked for signals here, as long as anybody waits.

use std::thread;
use std::time::Duration;

/// How often. A signal ends a waiting after so long at the latest.
const EVERY: Duration = Duration::from_millis(20);

/// Has `look` look for signals of those who wait, on a thread of its own, until it says that it need not go on. Gives back
/// whether there is such a thread.
pub(crate) fn look_for_signals(mut look: impl FnMut() -> bool + Send + 'static) -> bool {
    let watch = move || {
        while look() {
            thread::sleep(EVERY);
        }
    };
    let thread = thread::Builder::new().name("storefs-signals".to_owned());
    let begun = thread.spawn(watch);
    if let Err(error) = &begun {
        log::error!("who waits cannot be interrupted: no thread for it: {error}");
    }
    begun.is_ok()
}
