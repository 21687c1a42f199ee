//! What is done with an open file of this machine, whatever holds it: a value in its place, or bytes that are staged.

use std::os::fd::AsFd;
use std::time::SystemTime;

use rustix::fs::{Gid, Mode, SeekFrom, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid};
use rustix::io::Errno;

use crate::model::{AttributeChange, Attributes, Stamp, TimeChange, system_time};

/// What the system says of a file, in the model's words.
pub(super) fn attributes(stat: &Stat) -> Attributes {
    let modified_ns = nanoseconds(stat.st_mtime, stat.st_mtime_nsec);
    let changed_ns = nanoseconds(stat.st_ctime, stat.st_ctime_nsec);
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Attributes {
        size,
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        accessed: system_time(nanoseconds(stat.st_atime, stat.st_atime_nsec)),
        modified: system_time(modified_ns),
        changed: system_time(changed_ns),
        stamp: Stamp { object: stat.st_ino, size, modified_ns, changed_ns },
    }
}

/// Nanoseconds since the epoch; they fit until the year 2262.
pub(super) fn nanoseconds(seconds: i64, nanoseconds: impl TryInto<i64>) -> i64 {
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Reads at an offset, again after an interruption and after a short read before the end.
pub(super) fn read_at(
    file: impl AsFd,
    buffer: &mut [u8],
    offset: u64,
) -> rustix::io::Result<usize> {
    let file = file.as_fd();
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where the next data begins, at `offset` or behind it; the end of the file if only a hole follows.
pub(super) fn next_data(file: impl AsFd, offset: u64) -> rustix::io::Result<u64> {
    let file = file.as_fd();
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => {
            rustix::fs::fstat(file).map(|stat| u64::try_from(stat.st_size).unwrap_or(offset))
        }
        // A file system that does not tell holes from data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
        data => data,
    }
}

/// Where the next hole begins, at `offset` or behind it; the end of the file at the latest.
pub(super) fn next_hole(file: impl AsFd, offset: u64) -> rustix::io::Result<u64> {
    let file = file.as_fd();
    let end = || rustix::fs::fstat(file).map(|stat| u64::try_from(stat.st_size).unwrap_or(offset));
    match rustix::fs::seek(file, SeekFrom::Hole(offset)) {
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => end(),
        hole => hole,
    }
}

/// Sets the modification time of an open file or directory, and leaves the time of access as it is.
pub(super) fn set_modified(file: impl AsFd, at: SystemTime) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: timespec(Some(TimeChange::At(at))),
    };
    rustix::fs::futimens(file, &times)
}

/// Changes owner, mode and times of an open file.
pub(super) fn change_attributes(
    file: impl AsFd,
    change: &AttributeChange,
) -> rustix::io::Result<()> {
    let file = file.as_fd();
    if let Some((uid, gid)) = owner(change) {
        rustix::fs::fchown(file, uid, gid)?;
    }
    if let Some(mode) = change.mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o7777))?;
    }
    if let Some(times) = times(change) {
        rustix::fs::futimens(file, &times)?;
    }
    Ok(())
}

/// The new owner and group.
pub(super) fn owner(change: &AttributeChange) -> Option<(Option<Uid>, Option<Gid>)> {
    // -1 means "leave as it is" to the system, so it is nobody's number.
    let uid = change.uid.filter(|uid| *uid != u32::MAX).map(Uid::from_raw);
    let gid = change.gid.filter(|gid| *gid != u32::MAX).map(Gid::from_raw);
    (change.uid.is_some() || change.gid.is_some()).then_some((uid, gid))
}

/// The new times.
pub(super) fn times(change: &AttributeChange) -> Option<Timestamps> {
    let times = Timestamps {
        last_access: timespec(change.accessed),
        last_modification: timespec(change.modified),
    };
    (change.accessed.is_some() || change.modified.is_some()).then_some(times)
}

pub(super) fn timespec(change: Option<TimeChange>) -> Timespec {
    let epoch = SystemTime::UNIX_EPOCH;
    match change {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeChange::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeChange::At(time)) => match time.duration_since(epoch) {
            Ok(after) => Timespec {
                tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: after.subsec_nanos().into(),
            },
            Err(before) => {
                // Nanoseconds count forward, also before the epoch.
                let distance = before.duration();
                let seconds = -i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
                match distance.subsec_nanos() {
                    0 => Timespec { tv_sec: seconds, tv_nsec: 0 },
                    rest => {
                        Timespec { tv_sec: seconds - 1, tv_nsec: (1_000_000_000 - rest).into() }
                    }
                }
            }
        },
    }
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all_at(
    file: impl AsFd,
    mut bytes: &[u8],
    mut offset: u64,
) -> rustix::io::Result<()> {
    let file = file.as_fd();
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
