//! Whether a descriptor that is being closed has duplicates.
//!
//! A shell's `echo x > f` opens `f`, makes a duplicate, closes the first descriptor, writes and closes the duplicate. The
//! first close comes with an empty record that nobody is to see. `: > f` does the same without writing, and there the
//! last close is to publish it. Which of the two a close is, the kernel does not say; `/proc` does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fs::ino::Ino;

/// Whether the thread's process has opened the file itself and has no other descriptor of it. `false` where that is not
/// known, as of a caller in another PID namespace.
pub(in crate::fs) fn is_last(thread: u32, opened_by: u32, inodes: [Ino; 2]) -> bool {
    if thread == 0 || opened_by == 0 {
        return false;
    }
    // A child that was started meanwhile closes what it has inherited, and its parent may be about to write.
    if thread != opened_by
        && process_of(thread).is_none_or(|own| process_of(opened_by) != Some(own))
    {
        return false;
    }
    has_other(&Path::new("/proc").join(thread.to_string()).join("fdinfo"), inodes) == Some(false)
}

/// The process that a thread is of.
fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(PathBuf::from(format!("/proc/{thread}/status"))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

/// Whether any descriptor leads to one of these inodes. The one that is being closed is none any more.
fn has_other(descriptors: &Path, inodes: [Ino; 2]) -> Option<bool> {
    for descriptor in fs::read_dir(descriptors).ok()? {
        // One that has gone since is no duplicate.
        let Ok(info) = fs::read_to_string(descriptor.ok()?.path()) else { continue };
        let ino = info.lines().find_map(|line| line.strip_prefix("ino:"))?.trim().parse().ok()?;
        if inodes.contains(&Ino(ino)) {
            return Some(true);
        }
    }
    Some(false)
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
