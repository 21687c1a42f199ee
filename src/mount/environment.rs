//! What a daemon has got from whoever started it, and must not die of: limits, signals, umask, descriptors.
//!
//! A shell, a batch system and systemd may each lower what getrlimit(2) lists. A mount whose daemon was killed for that is
//! dead for everybody in it. So what may be raised is raised, and what is refused all the same is an errno for the caller
//! whose request it was.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use signal_hook::consts::SIGXFSZ;

use super::MountError;
use crate::fuse::SERVING_THREADS;

/// What every mount must be allowed to have, in bytes of addresses, and of those that may be written: for what the serving
/// threads receive requests in, their stacks, and the tables of some hundred thousand records. Where less is to be had, an
/// allocation would end the process.
const LEAST_MEMORY: [(Resource, u64); 2] =
    [(Resource::As, 512 * 1024 * 1024), (Resource::Data, 256 * 1024 * 1024)];

/// Each heap of the C library takes 64 MiB of addresses, and it would make one for each thread: under a limit, so many.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 2;

/// So many seconds of processor time before the system kills it, a daemon is told to end.
const TIME_TO_END: u64 = 5;

/// The limits that a mount raises. Core files, priorities, queues of messages, locks and locked memory are of no concern.
const RAISED: [(Resource, &str); 5] = [
    (Resource::Nofile, "of open files"),
    (Resource::Fsize, "of a file's size"),
    (Resource::As, "of memory"),
    (Resource::Data, "of data"),
    (Resource::Nproc, "of threads"),
];

/// What any command does first: no limit of a stack or of a file's size kills it where an error can be told.
pub fn survive_limits() {
    raise(Resource::Stack, "of the stack");
    // Caught, not ignored: that would be inherited by what this process starts.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        log::debug!("SIGXFSZ is not caught: {error}");
    }
}

/// Makes of this process one that serves a mount. Called before it has other threads.
///
/// # Errors
/// [`MountError::Refused`] where it is allowed less memory than a mount takes.
pub fn settle() -> Result<(), MountError> {
    survive_limits();
    // Whoever starts programs with signals blocked, such as a shell's trap, does not mean that this one never ends.
    if let Err(error) = SigSet::empty().thread_set_mask() {
        log::debug!("signals stay blocked: {error}");
    }
    // Our own directories and files must be ours to use, whatever the caller wants for those it makes.
    let of_caller = umask(Mode::empty());
    umask(of_caller.difference(Mode::RWXU));
    for (resource, what) in RAISED {
        raise(resource, what);
    }
    for (resource, least) in LEAST_MEMORY {
        let Some(limit) = getrlimit(resource).current else { continue };
        #[cfg(target_env = "gnu")]
        // SAFETY: no other thread is there that allocates.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        }
        if limit < least {
            let (limit, least) = (limit >> 20, least >> 20);
            return Err(MountError::refused(format!(
                "a mount needs {least} MiB of memory, and may have {limit} MiB; raise the limit (ulimit -v, ulimit -d)"
            )));
        }
    }
    limit_time();
    Ok(())
}

/// Raises a limit to what the system lets this user have.
fn raise(resource: Resource, what: &str) {
    let Rlimit { maximum, .. } = getrlimit(resource);
    if let Err(error) = setrlimit(resource, Rlimit { current: maximum, maximum }) {
        log::debug!("the limit {what} stays: {error}");
    }
}

/// The system kills a process that has used up its processor time. Shortly before, it sends SIGXCPU, which ends a mount in
/// order.
fn limit_time() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Cpu);
    let current = maximum.map(|seconds| seconds.saturating_sub(TIME_TO_END).max(1));
    if let Err(error) = setrlimit(Resource::Cpu, Rlimit { current, maximum }) {
        log::debug!("the limit of processor time stays: {error}");
    }
    if let Some(seconds) = current {
        log::warn!(
            "this mount ends after {seconds} seconds of processor time, as the limit (ulimit -t) says"
        );
    }
}

/// Whether this process has no thread but this, as far as the system tells.
pub(super) fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() <= 1)
}

/// Makes as many threads as a mount needs to begin, and ends them: a session that gets some of its threads and not all ends in
/// the middle of being mounted.
///
/// # Errors
/// The system's answer if it makes too few.
pub(super) fn check_threads() -> io::Result<()> {
    /// Beside those that serve: the session's own, and those for signals, for what changes, and for what waits.
    const OTHERS: usize = 4;
    std::thread::scope(|scope| {
        // Each waits until this is dropped.
        let (_all_there, end) = std::sync::mpsc::sync_channel::<()>(0);
        let end = Arc::new(parking_lot::Mutex::new(end));
        (0..SERVING_THREADS + OTHERS).try_for_each(|_| {
            let end = Arc::clone(&end);
            let wait = move || {
                let _ = end.lock().recv();
            };
            std::thread::Builder::new().spawn_scoped(scope, wait).map(drop)
        })
    })
}

/// Closes every descriptor but standard input, output and error, and those that are to stay: what the caller had open is none
/// of ours. A lock (`flock lock storefs mount ...`) or a pipe would else be held as long as the mount lives.
///
/// # Errors
/// The system's answer, where it neither closes ranges nor lists descriptors.
pub(super) fn close_others(staying: &[RawFd]) -> io::Result<()> {
    let mut staying: Vec<RawFd> = staying.iter().copied().filter(|fd| *fd > 2).collect();
    staying.sort_unstable();
    let mut first = 3;
    for fd in staying {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX)
}

/// Closes a range of descriptors by one system call and nothing else. Gives back whether there is such a call (Linux 5.9).
pub(super) fn close_at_once(first: RawFd, last: RawFd) -> bool {
    // SAFETY: nobody in this process owns a descriptor of the range, which is the caller's to know.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if close_at_once(first, last) {
        return Ok(());
    }
    // Before Linux 5.9.
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| (first..=last).contains(fd))
        .collect();
    for fd in open {
        // SAFETY: as above. The one by which the directory was listed is closed already.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
