//! The kernel's mount table, as this process sees it: `/proc/self/mountinfo`.
//!
//! Reading the table touches no mounted file system, so it is safe where the daemon of a mount is dead or
//! hangs. The format is that of proc_pid_mountinfo(5); paths in it have space, tab, newline and backslash as
//! three octal digits behind a backslash (`seq_path` in the kernel).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The table of the mounts that this process sees.
const MOUNT_TABLE: &str = "/proc/self/mountinfo";

/// What the kernel calls a mount of storefs: the type `fuse`, with a subtype of our own.
pub const FILE_SYSTEM_TYPE: &str = "fuse.storefs";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device number of the mounted file system, as `major:minor`. No other file system has it as long as
    /// this one lives; bind mounts of one file system share it.
    pub device: String,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// The type, with the subtype behind a dot.
    pub file_system_type: String,
    /// What is mounted, as whoever mounted it put it.
    pub source: OsString,
}

impl Mount {
    /// Whether it is a mount of storefs.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.file_system_type == FILE_SYSTEM_TYPE
    }
}

/// All mounts, a mount that lies on top of another one behind it.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

impl MountTable {
    /// Reads the table.
    ///
    /// # Errors
    /// The system's answer, where `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read(MOUNT_TABLE)?))
    }

    /// Takes a table's text apart. A line that is none of a mount is passed over.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self { mounts: text.split(|byte| *byte == b'\n').filter_map(parse_line).collect() }
    }

    /// The mount that is seen at exactly this path.
    #[must_use]
    pub fn at(&self, mountpoint: &Path) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.mountpoint == mountpoint)
    }

    /// The mount in which this path, which is free of symbolic links, is.
    #[must_use]
    pub fn around(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|path| self.at(path))
    }

    /// Every place where the file system with this device number is mounted, the latest first.
    pub fn of_device<'a>(&'a self, device: &'a str) -> impl Iterator<Item = &'a Mount> {
        self.mounts.iter().rev().filter(move |mount| mount.device == device)
    }

    /// The mounts that lie below this path.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Mount> {
        self.mounts
            .iter()
            .filter(move |mount| mount.mountpoint != path && mount.mountpoint.starts_with(path))
    }
}

/// The absolute path of what may be a mountpoint, free of symbolic links, found without asking the file
/// system that is mounted there: it may be dead or hang.
///
/// # Errors
/// The system's answer where a part of the path is missing.
pub(super) fn resolve(path: &Path, table: &MountTable) -> io::Result<PathBuf> {
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let candidate = fs::canonicalize(parent)?.join(name);
        if table.at(&candidate).is_some() {
            return Ok(candidate);
        }
    }
    fs::canonicalize(path)
}

/// A line: `36 35 98:0 /root /mountpoint options optional... - type source super-options`.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    // Before the device: the numbers of the mount and of its parent.
    let device = std::str::from_utf8(fields.nth(2)?).ok()?.to_owned();
    // Between the two: the root of the mount within its file system.
    let mountpoint = fields.nth(1)?;
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let file_system_type = unescape(rest.next()?);
    let source = rest.next()?;
    Some(Mount {
        device,
        mountpoint: OsString::from_vec(unescape(mountpoint)).into(),
        file_system_type: String::from_utf8_lossy(&file_system_type).into_owned(),
        source: OsString::from_vec(unescape(source)),
    })
}

/// Turns `\040` back into a space, and so on; anything else stays as it is.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        match (first, octal(behind)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

/// The byte that the first three digits stand for.
fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits.get(..3)?).ok()?;
    // `from_str_radix` would take a sign, too.
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        90 27 0:60 / /mnt/a\\040b\\134c rw,nosuid shared:7 master:1 - fuse.storefs /home/me/my\\040storage rw,user_id=0\n\
        91 90 0:61 / /mnt/a\\040b\\134c/in rw - tmpfs none rw\n\
        92 90 0:62 / /mnt/a\\040b\\134c rw - fuse.other other rw\n\
        \n\
        not a mount at all\n";

    #[test]
    fn fields_are_found_behind_any_number_of_optional_ones() {
        let table = MountTable::parse(TABLE);
        assert_eq!(table.mounts.len(), 5);
        let mount = table.of_device("0:60").next().unwrap();
        assert_eq!(mount.mountpoint, Path::new("/mnt/a b\\c"));
        assert_eq!(mount.source, "/home/me/my storage");
        assert!(mount.is_ours());
        assert_eq!(table.at(Path::new("/proc")).unwrap().file_system_type, "proc");
    }

    #[test]
    fn of_two_mounts_at_one_path_the_upper_one_is_seen() {
        let table = MountTable::parse(TABLE);
        let upper = table.at(Path::new("/mnt/a b\\c")).unwrap();
        assert_eq!(upper.device, "0:62");
        assert!(!upper.is_ours());
        assert_eq!(table.at(Path::new("/mnt")), None);
        let around = |path: &str| table.around(Path::new(path)).map(|mount| mount.device.as_str());
        assert_eq!(around("/mnt/a b\\c/in/deep"), Some("0:61"));
        assert_eq!(around("/mnt/a b\\c/other"), Some("0:62"));
        assert_eq!(around("/mnt"), Some("254:0"));
    }

    #[test]
    fn mounts_below_a_path_are_those_of_whole_components() {
        let table = MountTable::parse(TABLE);
        let below: Vec<&str> =
            table.below(Path::new("/mnt/a b\\c")).map(|mount| mount.device.as_str()).collect();
        assert_eq!(below, ["0:61"]);
        assert_eq!(table.below(Path::new("/mnt/a")).count(), 0);
    }

    #[test]
    fn only_three_octal_digits_are_an_escape() {
        assert_eq!(unescape(b"a\\011b\\012\\"), b"a\tb\n\\");
        assert_eq!(unescape(b"\\04"), b"\\04");
        assert_eq!(unescape(b"\\+04\\999"), b"\\+04\\999");
        assert_eq!(unescape(b"\\303\\274"), "\u{fc}".as_bytes());
    }

    #[test]
    fn the_own_table_has_a_root() {
        let table = MountTable::read().unwrap();
        assert!(table.at(Path::new("/")).is_some());
    }

    #[test]
    fn a_path_is_resolved_through_links() {
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let real = fs::canonicalize(directory.path()).unwrap().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, directory.path().join("link")).unwrap();
        let table = MountTable::default();
        assert_eq!(resolve(&directory.path().join("link"), &table).unwrap(), real);
        assert!(resolve(&directory.path().join("missing"), &table).is_err());
        let mounted = MountTable {
            mounts: vec![Mount {
                device: "0:60".to_owned(),
                mountpoint: real.clone(),
                file_system_type: FILE_SYSTEM_TYPE.to_owned(),
                source: OsString::new(),
            }],
        };
        assert_eq!(resolve(&directory.path().join("./real/"), &mounted).unwrap(), real);
    }
}
