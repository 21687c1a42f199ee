//! Data before its name: what is staged is written to the medium before it is moved into a store (P4).
//!
//! A file system may write a new name to the medium long before the data behind it: ext4 does so within seconds,
//! or at once when any program calls fsync, and allocates the data's blocks half a minute later. A power cut in
//! between leaves an empty file under a good name. A rename *over* a file makes ext4 hurry, a rename to a new
//! name does not, and the metadata of a new store lies in a new directory.
//!
//! `sync_file_range` writes the data and waits for it, and neither writes the journal nor empties the medium's
//! own cache, which is what makes fsync slow. That is enough to put the data before the name: ext4 and XFS note
//! where the data is before the wait ends, the rename comes later in the same journal, and the journal empties
//! the medium's cache before it counts. It does not make anything durable; that is what fsync is for (P5).

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// Begins to write a file's data, and does not wait.
pub(super) fn begin(file: impl AsFd) -> rustix::io::Result<()> {
    write(file, 0..0, libc::SYNC_FILE_RANGE_WRITE)
}

/// Begins to write the data in a range of bytes that is not empty, and does not wait.
pub(super) fn begin_range(file: impl AsFd, range: Range<u64>) -> rustix::io::Result<()> {
    write(file, range, libc::SYNC_FILE_RANGE_WRITE)
}

/// Waits until all of a file's data is written. The writing of it has begun.
pub(super) fn finish(file: impl AsFd) -> rustix::io::Result<()> {
    let before = libc::SYNC_FILE_RANGE_WAIT_BEFORE;
    write(file, 0..0, before | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER)
}

/// Asks for a range of bytes; one from 0 to 0 stands for the whole file.
fn write(file: impl AsFd, range: Range<u64>, flags: libc::c_uint) -> rustix::io::Result<()> {
    let file = file.as_fd();
    let number = |bytes: u64| i64::try_from(bytes).map_err(|_| Errno::INVAL);
    let (offset, count) = (number(range.start)?, number(range.end.saturating_sub(range.start))?);
    loop {
        // SAFETY: the call takes numbers only, and the descriptor is open as long as it is borrowed.
        if unsafe { libc::sync_file_range(file.as_raw_fd(), offset, count, flags) } == 0 {
            return Ok(());
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::INTR) => {}
            // Where this cannot be asked for, more is.
            Some(Errno::NOSYS | Errno::INVAL | Errno::SPIPE | Errno::OPNOTSUPP) => {
                return rustix::fs::fdatasync(file);
            }
            error => return Err(error.unwrap_or(Errno::IO)),
        }
    }
}
