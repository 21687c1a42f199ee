//! Which file system a directory is on, as the mount table calls it.
//!
//! The number that statfs(2) gives is no sure sign: since Linux 6.16, 9P passes on the number of the host's file system.

use std::fs;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};

/// The table of the mounts that this process sees (proc_pid_mountinfo(5)).
const MOUNT_TABLE: &str = "/proc/self/mountinfo";

/// File systems whose changes may be made by another machine or process than this kernel's, which inotify does
/// not tell of, by type, and what they are called.
const SHARED_TYPES: [(&str, &str); 29] = [
    ("9p", "9P"),
    ("acfs", "ACFS"),
    ("afs", "AFS"),
    ("beegfs", "BeeGFS"),
    ("ceph", "Ceph"),
    ("cifs", "SMB"),
    ("coda", "Coda"),
    ("drvfs", "a drive of Windows"),
    ("fhgfs", "BeeGFS"),
    ("fuse", "FUSE"),
    ("fuseblk", "FUSE"),
    ("gfs", "GFS"),
    ("gfs2", "GFS2"),
    ("gpfs", "GPFS"),
    ("lustre", "Lustre"),
    ("ncpfs", "NCP"),
    ("nfs", "NFS"),
    ("nfs4", "NFS"),
    ("ocfs2", "OCFS2"),
    ("orangefs", "OrangeFS"),
    ("panfs", "PanFS"),
    ("prl_fs", "a shared folder of Parallels"),
    ("pvfs2", "PVFS"),
    ("smb3", "SMB"),
    ("smbfs", "SMB"),
    ("vboxsf", "a shared folder of VirtualBox"),
    ("virtiofs", "virtiofs"),
    ("vmhgfs", "a shared folder of VMware"),
    ("wekafs", "WekaFS"),
];

/// The same by the number of statfs(2), for a directory whose mount is not in the table.
const SHARED_NUMBERS: [(u64, &str); 13] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x786f_4256, "a shared folder of VirtualBox"),
];

/// What a file system that others may change without this kernel is called; `None` for any other.
pub(super) fn shared_kind(directory: impl AsFd) -> Option<&'static str> {
    match type_of(&directory) {
        Some(kind) => kind_of_type(&kind),
        None => {
            // The kernel's number has 32 bits, whatever the type is here.
            let kind = rustix::fs::fstatfs(directory).ok()?.f_type as u64 & 0xffff_ffff;
            SHARED_NUMBERS.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
        }
    }
}

fn kind_of_type(kind: &str) -> Option<&'static str> {
    let kind = if kind.starts_with("fuse.") { "fuse" } else { kind };
    SHARED_TYPES.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
}

/// The type of the file system that an open directory is on; `None` where the table does not have its mount, as that of
/// another mount namespace, or where the kernel does not number mounts (before Linux 5.8).
fn type_of(directory: impl AsFd) -> Option<String> {
    let stat = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    if !StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID) {
        return None;
    }
    type_in_table(&fs::read(MOUNT_TABLE).ok()?, stat.stx_mnt_id)
}

/// A line: `36 35 98:0 /root /mountpoint options optional... - type source super-options`.
fn type_in_table(table: &[u8], mount: u64) -> Option<String> {
    let number = mount.to_string().into_bytes();
    let mut lines = table.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b' '));
    let line = lines.find(|fields| fields.clone().next() == Some(&number))?;
    let kind = line.skip_while(|field| *field != b"-").nth(1)?;
    Some(String::from_utf8_lossy(kind).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        90 27 0:60 / /mnt/a\\040- rw,nosuid shared:7 master:1 - fuse.storefs /my\\040storage rw\n\
        91 27 0:61 / /shared rw - 9p share rw,trans=virtio\n";

    #[test]
    fn the_type_stands_behind_any_number_of_fields() {
        let kind = |mount| type_in_table(TABLE, mount);
        assert_eq!(kind(27).as_deref(), Some("ext4"));
        assert_eq!(kind(90).as_deref(), Some("fuse.storefs"));
        assert_eq!(kind(91).as_deref(), Some("9p"));
        assert_eq!((kind(9), kind(1)), (None, None), "no prefix of a number, and no parent");
    }

    #[test]
    fn p2_what_others_may_change_is_told_by_its_type() {
        assert_eq!(kind_of_type("9p"), Some("9P"));
        assert_eq!(kind_of_type("fuse.sshfs"), Some("FUSE"));
        for own in ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fusectl"] {
            assert_eq!(kind_of_type(own), None, "{own}");
        }
    }

    #[test]
    fn a_directory_of_this_machine_has_a_type() {
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let open = fs::File::open(directory.path()).unwrap();
        assert!(type_of(&open).is_some());
        let proc = fs::File::open("/proc").unwrap();
        assert_eq!(type_of(&proc).as_deref(), Some("proc"));
    }
}
