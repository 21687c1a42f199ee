//! Asking a file system that may never answer, in a process of its own.
//!
//! Who waits for a request that a FUSE daemon has taken and does not answer cannot be killed, and neither can his process
//! end, whichever of its threads it is. So the waiting is done by a process that nobody waits for: it has nothing of the
//! caller's open, and is nobody's child. It ends when the daemon answers, or has died. No thread is begun, so that the
//! caller may fork afterwards.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fsync, statvfs};
use rustix::pipe::{PipeFlags, pipe_with};

use super::environment::close_at_once;

/// So much is read at once.
const CHUNK: usize = 4096;

/// What a file system is asked.
#[derive(Clone, Copy)]
enum Question {
    /// What a file holds.
    Text,
    /// The flags of the file system that a directory is in, as a number in the order of this machine.
    Flags,
    /// That a file be synced; nothing is answered.
    Sync,
}

/// An answer that is awaited. What comes is the number of an error, or 0 and then what was asked for.
struct Reading {
    pipe: File,
    come: Vec<u8>,
    is_over: bool,
}

/// Reads files, all at the same time. `None` for one that has not been read within the deadline.
pub(super) fn read_all(files: &[&Path], deadline: Duration) -> Vec<Option<io::Result<Vec<u8>>>> {
    let questions: Vec<_> = files.iter().map(|file| (Question::Text, *file)).collect();
    ask_all(&questions, deadline)
}

/// The flags of the file system that a directory is in. Not answered by the kernel alone, as a stat may be: the daemon is
/// asked. `None` without an answer within the deadline.
pub(super) fn flags_of(
    directory: &Path,
    deadline: Duration,
) -> Option<io::Result<StatVfsMountFlags>> {
    let answer = ask_all(&[(Question::Flags, directory)], deadline).pop()??;
    Some(answer.and_then(|bytes| match bytes.try_into() {
        Ok(bytes) => Ok(StatVfsMountFlags::from_bits_retain(u64::from_ne_bytes(bytes))),
        Err(_) => Err(io::Error::other("who was to ask has ended")),
    }))
}

/// Syncs a file. `None` without an answer within the deadline.
pub(super) fn sync(file: &Path, deadline: Duration) -> Option<io::Result<()>> {
    let answer = ask_all(&[(Question::Sync, file)], deadline).pop()??;
    Some(answer.map(drop))
}

fn ask_all(
    questions: &[(Question, &Path)],
    deadline: Duration,
) -> Vec<Option<io::Result<Vec<u8>>>> {
    let end = Instant::now() + deadline;
    let begin = |(question, path): &(Question, &Path)| Reading::begin(*question, path);
    let mut readings: Vec<_> = questions.iter().map(begin).collect();
    loop {
        let mut waiting: Vec<&mut Reading> =
            readings.iter_mut().flatten().filter(|reading| !reading.is_over).collect();
        let left = end.saturating_duration_since(Instant::now());
        if waiting.is_empty() || left.is_zero() {
            break;
        }
        let ready = ready(&waiting, left);
        for (reading, is_ready) in waiting.iter_mut().zip(ready) {
            if is_ready {
                reading.take();
            }
        }
    }
    readings
        .into_iter()
        .map(|reading| reading.map_or_else(|e| Some(Err(e)), Reading::end))
        .collect()
}

/// Waits until something has come, or the time is over. Says of which.
fn ready(waiting: &[&mut Reading], left: Duration) -> Vec<bool> {
    let mut fds: Vec<_> =
        waiting.iter().map(|reading| PollFd::new(&reading.pipe, PollFlags::IN)).collect();
    let left = Timespec::try_from(left).ok();
    match poll(&mut fds, left.as_ref()) {
        Ok(_) => fds.iter().map(|fd| !fd.revents().is_empty()).collect(),
        // By a signal: the time that is left is looked at again.
        Err(_) => vec![false; fds.len()],
    }
}

impl Reading {
    fn begin(question: Question, path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        ask_in_process_of_its_own(question, &path, &writer)?;
        Ok(Self { pipe: reader.into(), come: Vec::new(), is_over: false })
    }

    fn take(&mut self) {
        let mut chunk = [0; CHUNK];
        match self.pipe.read(&mut chunk) {
            Ok(count @ 1..) => self.come.extend(chunk.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => self.is_over = true,
        }
    }

    fn end(self) -> Option<io::Result<Vec<u8>>> {
        if !self.is_over {
            return None;
        }
        Some(match self.come.split_first() {
            Some((0, text)) => Ok(text.to_vec()),
            Some((errno, _)) => Err(io::Error::from_raw_os_error((*errno).into())),
            None => Err(io::Error::other("who was to ask has ended")),
        })
    }
}

fn ask_in_process_of_its_own(question: Question, path: &CStr, to: &OwnedFd) -> io::Result<()> {
    // SAFETY: the child makes system calls alone, and neither takes a lock nor gives back memory.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            // It has only to begin another.
            let _ = waitpid(child, None);
            Ok(())
        }
        ForkResult::Child => {
            // SAFETY: as above.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                close_all_but(to.as_raw_fd());
                answer(question, path, to);
            }
            // SAFETY: nothing of this process is to be done at its end: all of it is its parent's.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Makes system calls alone.
fn answer(question: Question, path: &CStr, to: &OwnedFd) {
    let answered = match question {
        Question::Flags => statvfs(path).map(|stat| {
            // Fewer bytes than a pipe takes at once.
            let flags = stat.f_flag.bits().to_ne_bytes();
            let _ = rustix::io::write(to, &[0]).and_then(|_| rustix::io::write(to, &flags));
        }),
        Question::Sync => open(path).and_then(fsync).map(|()| {
            let _ = rustix::io::write(to, &[0]);
        }),
        Question::Text => open(path).map(|file| pass_on(&file, to)),
    };
    if let Err(error) = answered {
        // No number of an error is larger.
        let number = u8::try_from(error.raw_os_error()).unwrap_or(u8::MAX);
        let _ = rustix::io::write(to, &[number]);
    }
}

fn open(path: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn pass_on(file: &OwnedFd, to: &OwnedFd) {
    let mut sent = rustix::io::write(to, &[0]).is_ok();
    let mut chunk = [0; CHUNK];
    while sent && let Ok(count @ 1..) = rustix::io::read(file, &mut chunk) {
        let mut rest = chunk.get(..count).unwrap_or_default();
        while sent && !rest.is_empty() {
            let written = rustix::io::write(to, rest).unwrap_or_default();
            rest = rest.get(written..).unwrap_or_default();
            sent = written > 0;
        }
    }
}

/// Leaves open what the reader's answer goes to, so that nobody waits for the end of anything else.
fn close_all_but(staying: RawFd) {
    for (first, last) in [(0, staying - 1), (staying + 1, RawFd::MAX)] {
        if first <= last {
            // Before Linux 5.9 they stay open.
            close_at_once(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    #[test]
    fn files_are_read_and_who_never_answers_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let long = "long".repeat(100_000);
        std::fs::write(path("long"), &long).unwrap();
        mkfifoat(CWD, path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        let files = [path("long"), path("absent"), path("fifo")];
        let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let answers = read_all(&files, Duration::from_secs(10));
        let [Some(Ok(read)), Some(Err(absent)), None] = &answers[..] else {
            panic!("{answers:?}");
        };
        assert_eq!(read, long.as_bytes());
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        // Lets the reader of the fifo go.
        drop(File::options().write(true).open(path("fifo")));
    }

    #[test]
    fn a_file_system_tells_its_flags_and_syncs_a_file() {
        const SOON: Duration = Duration::from_secs(10);
        let directory = tempfile::tempdir().unwrap();
        let flags = statvfs(directory.path()).unwrap().f_flag;
        assert_eq!(flags_of(directory.path(), SOON).unwrap().unwrap(), flags);
        let file = directory.path().join("file");
        let absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        assert!(flags_of(&file, SOON).unwrap().is_err_and(absent));
        assert!(sync(&file, SOON).unwrap().is_err_and(absent));
        std::fs::write(&file, "text").unwrap();
        sync(&file, SOON).unwrap().unwrap();
    }
}
