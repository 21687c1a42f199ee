//! Little helpers around system calls and /proc.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::{CStr, CString, OsString};
use std::fs;
use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Seconds that a piece of work takes.
pub(crate) fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Writes out what is dirty and forgets all pages, names and inodes that nobody uses. Root alone may.
pub(crate) fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    Ok(())
}

/// A directory whose files are named one component at a time, so that no long path is walked.
pub(crate) struct Dir(OwnedFd);

impl Dir {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(fd))
    }

    pub(crate) fn open_file(&self, name: &CStr) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = openat(&self.0, name, flags, Mode::empty());
        Ok(opened.map_err(|error| format!("{}: {error}", name.to_string_lossy()))?)
    }

    /// Opens, reads to the end, closes; gives back the length.
    pub(crate) fn read(&self, name: &CStr, buffer: &mut [u8]) -> Result<usize> {
        let fd = self.open_file(name)?;
        let mut total = 0;
        loop {
            let count = rustix::io::read(&fd, &mut *buffer)?;
            total += count;
            // A short read is the end of a regular file: `cat` needs one more, whoever knows the size does not.
            if count < buffer.len() {
                return Ok(black_box(total));
            }
        }
    }

    /// Makes a file or replaces its bytes: open, write, close.
    pub(crate) fn write(&self, name: &CStr, bytes: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd = openat(&self.0, name, flags, Mode::from_raw_mode(0o644))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = rustix::io::write(&fd, rest)?;
            rest = &rest[count..];
        }
        close(fd)
    }

    /// Replaces a file as the SDKs do: a temporary beside it, then a rename over it.
    pub(crate) fn replace(&self, name: &CStr, temporary: &CStr, bytes: &[u8]) -> Result<()> {
        self.write(temporary, bytes)?;
        rustix::fs::renameat(&self.0, temporary, &self.0, name)?;
        Ok(())
    }

    pub(crate) fn unlink(&self, name: &CStr) -> Result<()> {
        unlinkat(&self.0, name, AtFlags::empty())?;
        Ok(())
    }

    /// Size of a file, `None` if there is none.
    pub(crate) fn size(&self, name: &CStr) -> Result<Option<i64>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.st_size)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Closes, and reports what `close` says, since that is where storefs tells of a failed publish.
pub(crate) fn close(fd: OwnedFd) -> Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is owned, and given up here.
    if unsafe { libc::close(fd.into_raw_fd()) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}

/// A text as a C string; all names here are free of NUL.
pub(crate) fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Runs a program with its output thrown away.
pub(crate) fn run_quiet(command: &mut Command, accepted: &[i32]) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    match status.code() {
        Some(code) if accepted.contains(&code) => Ok(()),
        _ => Err(format!("{command:?} ended with {status}").into()),
    }
}

/// Waits until something is so, as long as the slowest of it may take: removing a million records.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > Duration::from_secs(600) {
            return Err(format!("waited in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Bytes of anonymous memory that a process holds.
pub(crate) fn anonymous_memory(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("Anonymous:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    });
    Ok(kib.ok_or("smaps_rollup has no line Anonymous")? * 1024.0)
}

/// The most memory that a process has held at once, in bytes: its file pages too.
pub(crate) fn peak_memory(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    });
    Ok(kib.ok_or("the status has no line VmHWM")? * 1024.0)
}

/// Nanoseconds that each thread of a process has run. The ticks of its `stat` are a hundred times coarser than what
/// an idle daemon takes.
pub(crate) fn thread_times(pid: u32) -> Result<HashMap<OsString, f64>> {
    let mut times = HashMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        // A thread that ends meanwhile is none that idles.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        let run = text.split(' ').next().unwrap_or_default().parse()?;
        times.insert(task.file_name(), run);
    }
    Ok(times)
}

/// Seconds that the threads of a process have run since an earlier look. A thread that has ended since counts for
/// nothing, one that was started counts as a whole.
pub(crate) fn run_since(before: &HashMap<OsString, f64>, pid: u32) -> Result<f64> {
    let now = thread_times(pid)?;
    let grown = now.iter().map(|(thread, run)| run - before.get(thread).unwrap_or(&0.0));
    Ok(grown.sum::<f64>() / 1e9)
}
