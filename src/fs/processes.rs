//! What `/proc` tells of the processes that use the mount: which one a thread is of, by whom it was started, which groups
//! and signals it has, and whether it has an inode open.

use std::fs;

use super::ino::Ino;

/// Whether a thread's process has an inode open; also if that cannot be seen, as of one in another PID namespace.
pub(super) fn has_open(thread: u32, inode: Ino) -> bool {
    let seen =
        Process::of(thread).and_then(|process| process.has_descriptor(|ino, _| ino == inode));
    seen.unwrap_or(true)
}

/// What is told of a thread. `None` if it has ended, or has no number here.
struct Status(String);

impl Status {
    fn of(thread: u32) -> Option<Self> {
        if thread == 0 {
            return None;
        }
        fs::read_to_string(format!("/proc/{thread}/status")).ok().map(Self)
    }

    fn number(&self, name: &str) -> Option<u32> {
        field(&self.0, name)?.parse().ok()
    }

    fn signals(&self, name: &str) -> u64 {
        let set = field(&self.0, name).unwrap_or_default();
        u64::from_str_radix(set, 16).unwrap_or_default()
    }
}

/// Whether a thread is of a group by more than its own number; also `false` where that is not known.
pub(super) fn has_supplementary_group(thread: u32, group: u32) -> bool {
    let Some(status) = Status::of(thread) else { return false };
    let groups = field(&status.0, "Groups:").unwrap_or_default();
    groups.split_whitespace().any(|other| other.parse() == Ok(group))
}

/// Whether a signal is pending for a thread that would wake it, or the thread has ended. What cannot be seen, as of a
/// caller in another PID namespace, is not.
pub(super) fn is_interrupted(thread: u32) -> bool {
    let Some(status) = Status::of(thread) else { return thread != 0 };
    let pending = status.signals("SigPnd:") | status.signals("ShdPnd:");
    pending & !status.signals("SigBlk:") & !status.signals("SigIgn:") != 0
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    /// Who has started it, or has inherited it since; 0 if that is in no namespace of ours.
    parent: u32,
}

impl Process {
    /// The process that a thread is of. `None` if it has ended, or has no number here.
    pub(super) fn of(thread: u32) -> Option<Self> {
        let status = Status::of(thread)?;
        Some(Self { id: status.number("Tgid:")?, parent: status.number("PPid:")? })
    }

    /// The process, who has started that, and so on.
    pub(super) fn and_ancestors(self) -> impl Iterator<Item = Self> {
        // Numbers are given anew while we look, so a circle might be seen.
        const DEEPEST: usize = 256;
        std::iter::successors(Some(self), |process| Self::of(process.parent)).take(DEEPEST)
    }

    /// Whether it has any descriptor that writes to one of these inodes. One that is being closed is none any more.
    /// `None` if that cannot be seen.
    pub(super) fn writes_to(self, inodes: [Ino; 2]) -> Option<bool> {
        self.has_descriptor(|ino, flags| {
            inodes.contains(&ino) && flags & libc::O_ACCMODE != libc::O_RDONLY
        })
    }

    fn has_descriptor(self, is_meant: impl Fn(Ino, i32) -> bool) -> Option<bool> {
        for descriptor in fs::read_dir(format!("/proc/{}/fdinfo", self.id)).ok()? {
            // One that has gone since leads nowhere.
            let Ok(info) = fs::read_to_string(descriptor.ok()?.path()) else { continue };
            let ino = field(&info, "ino:")?.parse().ok()?;
            let flags = i32::from_str_radix(field(&info, "flags:")?, 8).ok()?;
            if is_meant(Ino(ino), flags) {
                return Some(true);
            }
        }
        Some(false)
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn p03_a_process_is_known_by_its_threads_and_by_who_has_started_it() {
        let own = std::process::id();
        let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        assert_ne!(thread, own, "tests have threads of their own");
        let process = Process::of(thread).unwrap();
        assert_eq!(process.id, own);
        assert_eq!(Process::of(0), None);

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = Process::of(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(started.and_ancestors().any(|process| process.id == own));
        assert!(!process.and_ancestors().any(|process| process.id == child.id()));
    }

    #[test]
    fn p03_a_descriptor_that_writes_is_seen_and_one_that_reads_is_not() {
        let own = Process::of(std::process::id()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let ino = Ino(file.as_file().metadata().unwrap().ino());
        let (file, path) = file.into_parts();
        assert_eq!(own.writes_to([ino, ino]), Some(true));
        let reader = fs::File::open(&path).unwrap();
        drop(file);
        assert_eq!(own.writes_to([ino, ino]), Some(false));
        drop(reader);
    }
}
