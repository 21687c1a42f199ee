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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backend::memory::MemoryBackend;
    use crate::engine::Storage;
    use crate::fs::{Caller, FsError, FsOptions, OpenMode, STORES};
    use crate::model::{Key, StoreName};

    #[test]
    fn p21_openers_that_are_killed_leave_no_session_behind() {
        let storage = Storage::with_backend(Arc::new(MemoryBackend::default()), None);
        let store = storage.create_store(&StoreName::default_store()).unwrap();
        store.set_value(&Key::new("k").unwrap(), "old", None).unwrap();
        let fs = FileSystem::new(storage, FsOptions::default());
        let caller = Caller { uid: 0, gid: 0, thread: 7 };
        let directory = fs.lookup(&caller, STORES, b"default").unwrap().attr.ino;
        let look = || fs.lookup(&caller, directory, b"k").unwrap().attr.ino;
        let write = OpenMode { write: true, ..OpenMode::default() };
        assert!(matches!(fs.open(&caller, look(), write), Err(FsError::Stale)));
        let session = look();
        assert_eq!(fs.status()["write_sessions"], 1);
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(fs.sweep(later(5)), "its open may still come");
        assert_eq!(fs.status()["write_sessions"], 1);
        fs.writers.let_time_pass(FOLLOWS_WITHIN);
        assert!(!fs.sweep(later(11)));
        assert_eq!(fs.status()["write_sessions"], 0);
        // Should it come all the same, it is led anew.
        assert!(matches!(fs.open(&caller, session, write), Err(FsError::Stale)));
        let opened = fs.open(&caller, look(), write).unwrap();
        fs.release(opened.handle);
    }
}
