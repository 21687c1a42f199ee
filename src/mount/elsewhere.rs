//! Reading a file of a file system that may never answer, in a process of its own.
//!
//! Who waits for a request that a FUSE daemon has taken and does not answer cannot be killed, and neither can his process
//! end. So the waiting is done by a process that nobody waits for: it has nothing of the caller's open, and is nobody's
//! child. It ends when the daemon answers, or has died.

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
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::environment::close_at_once;

/// So much is read at once.
const CHUNK: usize = 4096;

/// A file that is being read elsewhere. What comes is the number of an error, or 0 and then what the file holds.
struct Reading {
    pipe: File,
    come: Vec<u8>,
    is_over: bool,
}

/// Reads files, all at the same time. `None` for one that has not been read within the deadline.
pub(super) fn read_all(files: &[&Path], deadline: Duration) -> Vec<Option<io::Result<Vec<u8>>>> {
    let end = Instant::now() + deadline;
    let mut readings: Vec<_> = files.iter().map(|file| Reading::begin(file)).collect();
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
    fn begin(file: &Path) -> io::Result<Self> {
        let path = CString::new(file.as_os_str().as_bytes())?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        read_in_process_of_its_own(&path, &writer)?;
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
            None => Err(io::Error::other("who was to read it has ended")),
        })
    }
}

fn read_in_process_of_its_own(path: &CStr, to: &OwnedFd) -> io::Result<()> {
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
                pass_on(path, to);
            }
            // SAFETY: nothing of this process is to be done at its end: all of it is its parent's.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Makes system calls alone.
fn pass_on(path: &CStr, to: &OwnedFd) {
    close_all_but(to.as_raw_fd());
    let file = match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(error) => {
            // No number of an error is larger.
            let number = u8::try_from(error.raw_os_error()).unwrap_or(u8::MAX);
            let _ = rustix::io::write(to, &[number]);
            return;
        }
    };
    let mut sent = rustix::io::write(to, &[0]).is_ok();
    let mut chunk = [0; CHUNK];
    while sent && let Ok(count @ 1..) = rustix::io::read(&file, &mut chunk) {
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
}
