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

/// What a thread is called; empty if it has ended, or has no number here.
pub(super) fn command_of(thread: u32) -> String {
    let name = match thread {
        0 => String::new(),
        _ => fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default(),
    };
    name.trim_end().to_owned()
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

/// A system call that a thread is in: which one, its arguments, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SystemCall(String);

impl SystemCall {
    /// The one that a thread sleeps in. `None` if it is in none, or that cannot be seen.
    pub(super) fn of(thread: u32) -> Option<Self> {
        if thread == 0 {
            return None;
        }
        fs::read_to_string(format!("/proc/{thread}/syscall")).ok().map(Self)
    }

    /// Whether it is read(2).
    pub(super) fn reads(&self) -> bool {
        self.number() == Some(libc::SYS_read)
    }

    /// Whether it is an open that will read, and changes nothing.
    pub(super) fn opens_to_read(&self) -> bool {
        let others = libc::O_ACCMODE | libc::O_TRUNC | libc::O_PATH;
        self.open_flags().is_some_and(|flags| flags & others == libc::O_RDONLY)
    }

    /// Whether it is an open that creates what is not there.
    pub(super) fn opens_to_create(&self) -> bool {
        self.open_flags().is_some_and(|flags| flags & libc::O_CREAT != 0)
    }

    /// Whether it is an open after which a record is there and empty, whatever was there before.
    pub(super) fn opens_to_replace(&self) -> bool {
        let all = libc::O_CREAT | libc::O_TRUNC;
        let is_replacing = |flags: i32| {
            flags & (all | libc::O_EXCL) == all && flags & libc::O_ACCMODE != libc::O_RDONLY
        };
        self.open_flags().is_some_and(is_replacing)
    }

    /// The flags of an open. What openat2(2) is asked for cannot be seen.
    fn open_flags(&self) -> Option<i32> {
        let argument = match self.number()? {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => return Some(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC),
            libc::SYS_openat => 3,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => 2,
            _ => return None,
        };
        let flags = u64::from_str_radix(self.part(argument)?.strip_prefix("0x")?, 16).ok()?;
        // The argument is an int, and the upper half of the register may hold anything.
        let [a, b, c, d, ..] = flags.to_le_bytes();
        Some(i32::from_le_bytes([a, b, c, d]))
    }

    fn number(&self) -> Option<i64> {
        self.part(0)?.parse().ok()
    }

    /// The number, then arguments in hexadecimal, the stack pointer and the program counter (proc_pid_syscall(5)).
    fn part(&self, at: usize) -> Option<&str> {
        self.0.split_ascii_whitespace().nth(at)
    }
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
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn p02_a_system_call_is_told_from_any_other_and_an_open_by_what_it_is_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        // Opens of the fifo wait for each other, and the shell makes each in a process of its own.
        let opening = |how: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", how]).arg("sh").arg(&path).stdin(Stdio::piped());
            command.spawn().unwrap()
        };
        let seen = |child: &std::process::Child, is_open: bool| {
            let begun = Instant::now();
            loop {
                let call = SystemCall::of(child.id());
                let number = call.as_ref().and_then(SystemCall::number);
                std::thread::sleep(Duration::from_millis(10));
                // It stays in it: libraries are opened too.
                if number.is_some_and(|number| (number == libc::SYS_openat) == is_open)
                    && SystemCall::of(child.id()) == call
                {
                    return call.unwrap();
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "{call:?}");
            }
        };
        let mut reader = opening("exec 3<\"$1\"; read line");
        let reads = seen(&reader, true);
        assert!(reads.opens_to_read(), "{reads:?}");
        assert_eq!(SystemCall::of(reader.id()), Some(reads.clone()));
        let mut writer = opening("exec 3>\"$1\"; read line; exec 3>&-; exec 3>\"$1\"");
        let later = seen(&reader, false);
        assert!(later != reads && !later.opens_to_read(), "{later:?}");
        assert!(!reads.opens_to_create() && !later.opens_to_create());
        assert!(!reads.opens_to_replace() && !later.opens_to_replace());
        let go_on = |child: &mut std::process::Child| {
            child.stdin.take().unwrap().write_all(b"\n").unwrap();
        };
        go_on(&mut reader);
        reader.wait().unwrap();
        go_on(&mut writer);
        let writes = seen(&writer, true);
        assert!(!writes.opens_to_read() && writes.opens_to_create(), "{writes:?}");
        assert!(writes.opens_to_replace(), "{writes:?}");
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(SystemCall::of(0), None);
    }

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
