//! Beginning with a version that is there: its bytes, owner and mode.

use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::{Staged, failed};
use crate::backend::local_file::{change_attributes, next_data, next_hole};
use crate::backend::versions::Value;
use crate::failpoint;
use crate::model::{AttributeChange, Attributes, Result};

/// Bytes that are copied at a time where the kernel cannot copy them.
const CHUNK: usize = 256 * 1024;

/// Copies the first `len` bytes of a version, which become the staged ones, and the version's owner and mode theirs.
pub(super) fn begin_with(staged: &Staged, value: &dyn Value, len: u64) -> Result<()> {
    keep_owner_and_mode(staged, &value.attributes()?);
    copy(staged, value, len).map(drop)
}

/// Makes the first `len` bytes of a version the staged ones; holes stay holes as far as both sides know of them. Gives back
/// whether the version has so many.
pub(super) fn copy(staged: &Staged, value: &dyn Value, len: u64) -> Result<bool> {
    failpoint::fail("stage: copy").map_err(|error| failed("copy into", error))?;
    let mut copied = 0;
    if let Some(local) = value.local_file().filter(|_| len > 0) {
        copied = copy_file(staged, local, len).map_err(|error| failed("copy into", error))?;
    }
    let mut buffer = vec![0; if copied < len { CHUNK } else { 0 }];
    while copied < len {
        // A hole stays one.
        copied = value.next_data(copied)?;
        if copied >= len {
            break;
        }
        let most = usize::try_from(len - copied).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        let count = value.read_at(room, copied)?;
        if count == 0 {
            break;
        }
        staged.write_at(room.get(..count).unwrap_or_default(), copied)?;
        copied += count as u64;
    }
    if len > 0 {
        let end = len.min(value.attributes()?.size);
        extend_to(staged, end).map_err(|error| failed("copy into", error))?;
    }
    Ok(copied >= len)
}

/// As a write in place would, keep whose file it is and who may read it. Without the privilege to give a
/// file away it becomes the writer's own, as with any editor that saves by rename.
pub(super) fn keep_owner_and_mode(staged: &Staged, old: &Attributes) {
    // A system call for what is so already would cost more than the look.
    let made = staged.attributes().ok();
    let differs = |of: fn(&Attributes) -> u32| made.as_ref().map(of) != Some(of(old));
    let mode = differs(|file| file.mode).then_some(old.mode);
    let uid = differs(|file| file.uid).then_some(old.uid);
    let gid = differs(|file| file.gid).then_some(old.gid);
    let owned = AttributeChange { mode, uid, gid, ..Default::default() };
    if change_attributes(staged.file(), &owned).is_err() {
        let moded = AttributeChange { mode, ..AttributeChange::default() };
        if let Err(error) = change_attributes(staged.file(), &moded) {
            log::debug!("mode {:o} is not kept: {error}", old.mode);
        }
    }
}

/// Shares or copies blocks inside the kernel, as far as the file systems can; holes stay holes. Gives back how far
/// it came.
fn copy_file(staged: &Staged, from: BorrowedFd<'_>, len: u64) -> rustix::io::Result<u64> {
    let size = rustix::fs::fstat(from)?.st_size;
    if u64::try_from(size) == Ok(len) && rustix::fs::ioctl_ficlone(staged.file(), from).is_ok() {
        return Ok(len);
    }
    let mut copied = 0;
    while copied < len {
        let begin = next_data(from, copied)?.min(len);
        let end = next_hole(from, begin)?.min(len);
        copied = copy_range(staged, from, begin..end)?;
        if copied < end || begin == end {
            break;
        }
    }
    Ok(copied)
}

/// Gives back up to where it came: not to the end where the kernel cannot copy between these files.
fn copy_range(staged: &Staged, from: BorrowedFd<'_>, range: Range<u64>) -> rustix::io::Result<u64> {
    let (mut read, mut written) = (range.start, range.start);
    while written < range.end {
        let most = usize::try_from(range.end - written).unwrap_or(usize::MAX);
        let into = staged.file();
        match rustix::fs::copy_file_range(from, Some(&mut read), into, Some(&mut written), most) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            // What is written piece by piece makes room, if any can be made.
            Err(Errno::NOSPC | Errno::DQUOT) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Makes the file so long, if it is shorter; what is added is a hole.
pub(super) fn extend_to(staged: &Staged, len: u64) -> rustix::io::Result<()> {
    if size(staged)? < len {
        rustix::fs::ftruncate(staged.file(), len)?;
    }
    Ok(())
}

/// How long the file is.
pub(super) fn size(staged: &Staged) -> rustix::io::Result<u64> {
    rustix::fs::fstat(staged.file()).map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
}
