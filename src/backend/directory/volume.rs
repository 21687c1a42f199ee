//! Within what an entry can be moved.
//!
//! A rename crosses neither mounts (also not two of one file system), nor devices (subvolumes have one each), nor the
//! border of a project quota or of an encrypted tree. So what is staged has to wait on this side of all of them.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::ioctl::{Getter, ioctl, opcode};

/// The directory is one of a project, and what is made in it belongs to that too (`FS_XFLAG_PROJINHERIT`).
const INHERITS_PROJECT: u32 = 0x0200;

/// `struct fsxattr`, of which the project alone is asked for.
#[derive(Clone, Copy)]
#[repr(C)]
struct ExtendedFlags {
    flags: u32,
    _extents: [u32; 2],
    project: u32,
    _rest: [u32; 3],
}

/// `FS_IOC_FSGETXATTR`.
const GET_EXTENDED_FLAGS: rustix::ioctl::Opcode = opcode::read::<ExtendedFlags>(b'X', 31);

/// Where a directory is, as far as moving into it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    /// The number of its mount. No other mount gets it as long as the directory is open.
    mount: u64,
    device: (u32, u32),
    is_encrypted: bool,
    /// The project that a file must have to be moved here, if there is one.
    project: Option<u32>,
}

impl Volume {
    /// The volume of an open directory.
    pub(super) fn of(directory: impl AsFd) -> rustix::io::Result<Self> {
        let mut volume = Self::at(directory.as_fd(), b"", AtFlags::EMPTY_PATH)?;
        // Most file systems know no projects.
        // SAFETY: the request reads as many bytes as the type holds, which any bits make a value of.
        let asked = unsafe { Getter::<GET_EXTENDED_FLAGS, ExtendedFlags>::new() };
        // SAFETY: as above.
        let flags = unsafe { ioctl(directory, asked) };
        volume.project = flags
            .ok()
            .filter(|flags| flags.flags & INHERITS_PROJECT != 0)
            .map(|flags| flags.project);
        Ok(volume)
    }

    /// The volume of an open file, as far as replacing it goes.
    pub(super) fn of_file(file: impl AsFd) -> rustix::io::Result<Self> {
        Self::at(file, b"", AtFlags::EMPTY_PATH)
    }

    fn at(parent: impl AsFd, name: &[u8], flags: AtFlags) -> rustix::io::Result<Self> {
        let stat = rustix::fs::statx(parent, name, flags, StatxFlags::MNT_ID)?;
        Ok(Self {
            // Before Linux 5.8 none is told.
            mount: stat.stx_mnt_id,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            is_encrypted: stat.stx_attributes.contains(StatxAttributes::ENCRYPTED),
            project: None,
        })
    }

    /// Whether what was made in a directory of this volume can be moved into one of the other.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        self.is_one_mount(other)
            && self.is_encrypted == other.is_encrypted
            && (other.project.is_none() || self.project == other.project)
    }

    /// Whether both are seen through one mount of one device.
    pub(super) fn is_one_mount(&self, other: &Self) -> bool {
        (self.mount, self.device) == (other.mount, other.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_reaches_what_is_in_it_and_no_other_mount() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        let volume =
            |path: &std::path::Path| Volume::of(std::fs::File::open(path).unwrap()).unwrap();
        let (outer, inner) = (volume(dir.path()), volume(&dir.path().join("in")));
        assert!(outer.reaches(&inner) && inner.reaches(&outer));
        assert!(!outer.reaches(&volume(std::path::Path::new("/proc"))));
    }

    #[test]
    fn a_project_lets_in_its_own_only() {
        let free = Volume { mount: 1, device: (8, 1), is_encrypted: false, project: None };
        let seventh = Volume { project: Some(7), ..free };
        assert!(seventh.reaches(&free) && seventh.reaches(&seventh) && free.reaches(&free));
        assert!(!free.reaches(&seventh) && !Volume { project: Some(8), ..free }.reaches(&seventh));
        let encrypted = Volume { is_encrypted: true, ..free };
        assert!(!free.reaches(&encrypted) && !encrypted.reaches(&free));
        assert!(!Volume { mount: 2, ..free }.reaches(&free));
    }
}
