//! Ending what was announced and never came: of a caller that was killed between a lookup and its open.

use std::time::Instant;

use super::system::FileSystem;
use super::writers::FOLLOWS_WITHIN;

impl FileSystem {
    /// Ends what is left of announced opens that have not come, as long as this mount lives; costs nothing as long as no
    /// open is announced. For a thread of its own.
    pub fn sweep_until_stopped(&self) {
        let announcements = self.writers.announcements();
        while announcements.wait() {
            // As long as one is waited for, so long is the session of one that was announced just now.
            while announcements.pause(FOLLOWS_WITHIN) && self.sweep(Instant::now()) {}
        }
    }

    /// Ends [`sweep_until_stopped`](Self::sweep_until_stopped).
    pub fn stop_sweeping(&self) {
        self.writers.announcements().close();
    }

    /// Ends what was waited for long enough by now. Gives back whether there is more to wait for.
    fn sweep(&self, now: Instant) -> bool {
        for session in self.writers.abandoned() {
            let _held = self.writers.hold_session(&session);
            if let Some(left) = self.writers.withdraw(&session, 0) {
                log::debug!("nobody has opened what was looked up to be written");
                self.settle_left(&session, left);
            }
        }
        let is_more = self.writers.announcements().expire(now);
        is_more || self.writers.len() > 0
    }
}
