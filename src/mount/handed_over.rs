//! A mount that others have made: its `/dev/fuse` is handed over as an open descriptor, `/dev/fd/N` in the mountpoint's place.
//!
//! So a container serves a mount without the right to make one: whoever has that right opens the device, mounts, and starts
//! the daemon with the descriptor open. What the kernel is to know of the mount (`allow_other`, `default_permissions`, `ro`)
//! is then up to them. libfuse has the same convention, so `mount.fuse3 -o drop_privileges` does its part of it.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, makedev, minor};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use super::MountError;

/// Begins the place of such a mount.
const DESCRIPTORS: &str = "/dev/fd/";

/// The device number of `/dev/fuse` (`Documentation/admin-guide/devices.txt` of the kernel).
const FUSE_DEVICE: (u32, u32) = (10, 229);

/// The descriptor that a mountpoint means, if it is none in the tree.
pub(super) fn descriptor(mountpoint: &Path) -> Option<RawFd> {
    mountpoint.to_str()?.strip_prefix(DESCRIPTORS)?.parse().ok().filter(|fd| *fd >= 0)
}

/// Makes sure that it is an open `/dev/fuse`.
pub(super) fn check(descriptor: RawFd) -> Result<(), MountError> {
    let refused = |why: String| {
        MountError::refused(format!(
            "descriptor {descriptor} is {why}: whoever mounts hands over an open /dev/fuse"
        ))
    };
    let found = fs::metadata(format!("/proc/self/fd/{descriptor}"));
    let found = found.map_err(|_| refused("not open".to_owned()))?;
    let (wanted_major, wanted_minor) = FUSE_DEVICE;
    match found.st_rdev() == makedev(wanted_major, wanted_minor) {
        true => Ok(()),
        false => Err(refused("something else".to_owned())),
    }
}

/// A descriptor of our own of the same connection. Neither is inherited by what this process starts.
pub(super) fn take(descriptor: RawFd) -> Result<OwnedFd, MountError> {
    // SAFETY: it was open when the mount was checked, and nobody in this process closes it: it was kept for this.
    let given = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let taken = fcntl_setfd(given, FdFlags::CLOEXEC).and_then(|()| fcntl_dupfd_cloexec(given, 0));
    taken.map_err(|error| MountError::io(format!("take over descriptor {descriptor}"), error))
}

/// The device number of the mount behind it, as the mount table has it, where the kernel tells (`fuse_dev_show_fdinfo`).
pub(super) fn device_of(descriptor: RawFd) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
    device_in(&info)
}

fn device_in(info: &str) -> Option<String> {
    let number = info.lines().find_map(|line| line.strip_prefix("fuse_connection:"))?;
    // In the kernel's own form, which has twenty bits for the lesser part.
    let number: u32 = number.trim().parse().ok()?;
    let device = makedev(number >> 20, number & 0xf_ffff);
    Some(format!("{}:{}", major(device), minor(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_stands_in_the_place_of_a_mountpoint() {
        assert_eq!(descriptor(Path::new("/dev/fd/3")), Some(3));
        for path in ["/dev/fd", "/dev/fd/", "/dev/fd/x", "/dev/fd/-1", "/dev/fd/3/x", "dev/fd/3"] {
            assert_eq!(descriptor(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_fuse_device_is_refused() {
        assert!(check(1_000_000).unwrap_err().to_string().contains("not open"));
        let file = fs::File::open("/dev/null").unwrap();
        let error = check(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap_err().to_string();
        assert!(error.contains("something else"), "{error}");
    }

    #[test]
    fn the_connection_is_told_by_its_device() {
        assert_eq!(device_in("pos:\t0\nfuse_connection:\t57\n").as_deref(), Some("0:57"));
        assert_eq!(device_in("pos:\t0\n"), None);
    }
}
