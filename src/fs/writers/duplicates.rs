//! Whether a descriptor that is being closed has duplicates.
//!
//! A shell's `echo x > f` opens `f`, makes a duplicate, closes the first descriptor, writes and closes the duplicate. The
//! first close comes with an empty record that nobody is to see. `: > f` does the same without writing, and there the
//! last close is to publish it. Which of the two a close is, the kernel does not say; `/proc` does.

use crate::fs::ino::Ino;
use crate::fs::processes::Process;

/// Whether the thread's process has opened the file itself and has no other descriptor that writes to it. `false` where
/// that is not known, as of a caller in another PID namespace.
pub(in crate::fs) fn is_last(thread: u32, opened_by: u32, inodes: [Ino; 2]) -> bool {
    let Some(process) = Process::of(thread) else { return false };
    // A child that was started meanwhile closes what it has inherited, and its parent may be about to write.
    let has_opened =
        thread == opened_by || Process::of(opened_by).is_some_and(|opener| opener.id == process.id);
    has_opened && process.writes_to(inodes) == Some(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn p03_a_duplicate_is_seen_and_a_last_descriptor_too() {
        let file = tempfile::tempfile().unwrap();
        let ino = Ino(file.metadata().unwrap().ino());
        let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        assert!(!is_last(thread, thread, [ino, ino]), "it is open");
        drop(file);
        assert!(is_last(thread, thread, [ino, ino]));
        assert!(!is_last(0, 0, [ino, ino]), "who has no number may have duplicates");
        assert!(!is_last(thread, 1, [ino, ino]), "another process has opened it");
    }
}
