//! Opening what is in a storage directory, without ever leaving it.
//!
//! Every name is resolved as one component beneath a directory descriptor, and no symbolic link is followed
//! (P18): a planted link is as good as absent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags};
use rustix::io::Errno;

use super::layout;
use super::note::Object;
pub(super) use crate::backend::local_file::attributes;
use crate::backend::local_file::nanoseconds;
use crate::model::{Error, Key, Result, StoreName};

/// How a directory is opened to look into it.
const LOOK_INTO: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a value is opened. Without `NONBLOCK` a planted FIFO would hang the caller.
const READ_FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// An open directory, which knows whether what is opened beneath it is opened quietly: so that the time of access of
/// what is read does not change.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    is_quiet: bool,
}

impl Directory {
    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// The same directory, for somebody else.
    pub(super) fn try_clone(&self) -> rustix::io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?;
        Ok(Self { fd, is_quiet: self.is_quiet })
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An open store directory.
#[derive(Debug)]
pub(super) struct StoreDir {
    pub(super) fd: Directory,
    pub(super) name: StoreName,
}

/// Opens the storage directory. With `is_quiet`, nothing that is read beneath it has its time of access changed, as far
/// as that is ours to say: whoever is neither the owner of a file nor privileged cannot help changing it.
pub(super) fn open_root(path: &Path, is_quiet: bool) -> rustix::io::Result<Directory> {
    let open = |flags| rustix::fs::open(path, flags, Mode::empty());
    // The storage directory itself may be given by a link.
    let flags = LOOK_INTO.difference(OFlags::NOFOLLOW);
    let fd = if is_quiet { quietly(flags, open) } else { open(flags) }?;
    Ok(Directory { fd, is_quiet })
}

/// Opens beneath a directory, as quietly as that was opened.
fn open_beneath(
    parent: &Directory,
    flags: OFlags,
    open: impl Fn(BorrowedFd<'_>, OFlags) -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<OwnedFd> {
    if parent.is_quiet {
        quietly(flags, |flags| open(parent.as_fd(), flags))
    } else {
        open(parent.as_fd(), flags)
    }
}

/// Opens a directory beneath another.
fn open_directory(
    parent: &Directory,
    open: impl Fn(BorrowedFd<'_>, OFlags) -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<Directory> {
    let fd = open_beneath(parent, LOOK_INTO, open)?;
    Ok(Directory { fd, is_quiet: parent.is_quiet })
}

/// Opens without changing times of access, if this user may ask for that.
fn quietly(
    flags: OFlags,
    open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<OwnedFd> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        opened => opened,
    }
}

/// Opens a directory that is one component beneath another; a path is refused.
pub(super) fn open_dir(
    parent: &Directory,
    name: impl AsRef<[u8]>,
) -> rustix::io::Result<Directory> {
    let name = name.as_ref();
    if name.contains(&b'/') {
        return Err(Errno::NOENT);
    }
    open_directory(parent, |parent, flags| rustix::fs::openat(parent, name, flags, Mode::empty()))
}

/// Opens the directory in which that of a store, or a plain one, is, and says what it is called there.
pub(super) fn open_parent(
    root: &Directory,
    name: &StoreName,
) -> rustix::io::Result<(Directory, String)> {
    if !name.is_plain() {
        return Ok((open_dir(root, layout::STORES)?, name.to_string()));
    }
    let path: Vec<&str> = name.components().collect();
    let Some((own, ancestors)) = path.split_last() else { return Err(Errno::NOENT) };
    let mut parent = root.try_clone()?;
    for component in ancestors {
        parent = open_dir(&parent, component)?;
    }
    Ok((parent, (*own).to_owned()))
}

/// Opens a store's directory by one system call, which follows no link and leaves the storage by no other way.
pub(super) fn open_store(root: &Directory, name: &StoreName) -> rustix::io::Result<Directory> {
    let path = format!("{}/{name}", layout::STORES);
    let within = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);
    open_directory(root, |root, flags| {
        rustix::fs::openat2(root, path.as_str(), flags, Mode::empty(), within)
    })
}

/// Opens a plain file to read it; anything else under the name is refused as if it were absent.
pub(super) fn open_file(parent: &Directory, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let opened = open_beneath(parent, READ_FILE, |parent, flags| {
        rustix::fs::openat(parent, name, flags, Mode::empty())
    });
    let file = match opened {
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Err(Errno::NOENT),
        file => file?,
    };
    if is_plain(&rustix::fs::fstat(&file)?) { Ok(file) } else { Err(Errno::NOENT) }
}

/// A descriptor that stands for a plain file and opens nothing, so that it takes no right.
pub(super) fn open_path(parent: &Directory, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    if is_plain(&rustix::fs::fstat(&file)?) { Ok(file) } else { Err(Errno::NOENT) }
}

/// Attributes of a plain file; anything else under the name is as good as absent.
pub(super) fn stat_file(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<Stat> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if is_plain(&stat) { Ok(stat) } else { Err(Errno::NOENT) }
}

/// Tells a directory from any other, also from a later one under the same inode number: device, inode number and
/// time of birth in nanoseconds, as far as the file system knows it.
pub(super) type Identity = (u32, u32, u64, i128);

/// The identity of an open directory.
pub(super) fn identity(directory: impl AsFd) -> rustix::io::Result<Identity> {
    let mask = StatxFlags::INO | StatxFlags::BTIME;
    let stat = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, mask)?;
    let born = i128::from(stat.stx_btime.tv_sec) * 1_000_000_000;
    let born = born + i128::from(stat.stx_btime.tv_nsec);
    Ok((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino, born))
}

/// A file, told from every later one that is given its number.
pub(super) fn object(file: impl AsFd) -> rustix::io::Result<Object> {
    object_at(file, b"", AtFlags::EMPTY_PATH)
}

/// The file of this name, told from every later one that is given its number; links are not followed.
pub(super) fn object_of(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<Object> {
    object_at(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn object_at(parent: impl AsFd, name: &[u8], flags: AtFlags) -> rustix::io::Result<Object> {
    let mask = StatxFlags::INO
        | StatxFlags::BTIME
        | StatxFlags::MTIME
        | StatxFlags::SIZE
        | StatxFlags::TYPE;
    let stat = rustix::fs::statx(parent, name, flags, mask)?;
    let is_directory = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
    let is_born = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let since_ns = match (is_born, is_directory) {
        (true, _) => nanoseconds(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec),
        (false, false) => nanoseconds(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        // That changes with each entry.
        (false, true) => 0,
    };
    let size = if is_directory { 0 } else { stat.stx_size };
    Ok(Object { number: stat.stx_ino, since_ns, size })
}

/// Whether a plain file of this name is there.
pub(super) fn has_file(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<bool> {
    match stat_file(parent, name) {
        Err(Errno::NOENT) => Ok(false),
        other => other.map(|_| true),
    }
}

/// Reads a whole small file; `None` if it is absent.
///
/// # Errors
/// `EFBIG` if it holds more than `limit` bytes: what a file claims is never allocated.
pub(super) fn read_small(
    parent: &Directory,
    name: &[u8],
    limit: u64,
) -> io::Result<Option<(Vec<u8>, Stat)>> {
    let file = match open_file(parent, name) {
        Err(Errno::NOENT) => return Ok(None),
        file => file?,
    };
    let stat = rustix::fs::fstat(&file)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::from(file), limit + 1), &mut bytes)?;
    if bytes.len() as u64 > limit { Err(Errno::FBIG.into()) } else { Ok(Some((bytes, stat))) }
}

/// Name and kind of each entry of a directory but `.` and `..`, from a position of its own.
pub(super) fn entries(
    directory: &Directory,
) -> rustix::io::Result<impl Iterator<Item = rustix::io::Result<(Vec<u8>, FileType)>> + Send + use<>>
{
    let own = open_beneath(directory, LOOK_INTO, |directory, flags| {
        rustix::fs::openat(directory, c".", flags, Mode::empty())
    })?;
    let entries = Dir::new(own)?
        .map(|entry| entry.map(|entry| (entry.file_name().to_bytes().to_vec(), entry.file_type())));
    Ok(entries
        .filter(|entry| !matches!(entry, Ok((name, _)) if matches!(name.as_slice(), b"." | b".."))))
}

/// The kind of an entry, also on file systems that do not list kinds. Gone meanwhile counts as unknown.
pub(super) fn kind(parent: impl AsFd, name: &[u8], listed: FileType) -> FileType {
    if listed != FileType::Unknown {
        return listed;
    }
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Whether Python's `Path.is_file` says yes: a plain file, or a link to one. The link's target is only looked
/// at, and the link is what is removed.
pub(super) fn is_file_to_the_sdk(dir: impl AsFd, name: &[u8], listed: FileType) -> bool {
    match kind(dir.as_fd(), name, listed) {
        FileType::RegularFile => true,
        FileType::Symlink => {
            rustix::fs::statat(dir, name, AtFlags::empty()).is_ok_and(|stat| is_plain(&stat))
        }
        _ => false,
    }
}

pub(super) fn is_plain(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

impl StoreDir {
    pub(super) fn failed(&self, action: &str, key: &Key, error: impl Into<io::Error>) -> Error {
        Error::io(format!("{action} record '{key}' of store '{}'", self.name), error)
    }

    pub(super) fn no_record(&self, key: &Key) -> Error {
        Error::NoSuchRecord { store: self.name.to_string(), key: key.to_string() }
    }

    pub(super) fn record_exists(&self, key: &Key) -> Error {
        Error::RecordExists { store: self.name.to_string(), key: key.to_string() }
    }

    pub(super) fn no_store(&self) -> Error {
        Error::NoSuchStore { store: self.name.to_string() }
    }
}

/// Opens the directory that holds all stores; `None` while there is none.
pub(super) fn open_stores(root: &Directory) -> Result<Option<Directory>> {
    match open_dir(root, layout::STORES) {
        // Nothing was made yet; or the storage itself has been removed, which is no empty storage.
        Err(Errno::NOENT) if rustix::fs::fstat(root).is_ok_and(|stat| stat.st_nlink > 0) => {
            Ok(None)
        }
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::io(
            format!("open '{}': it must be a directory, and no link", layout::STORES),
            io::Error::from(Errno::NOTDIR),
        )),
        other => other.map(Some).map_err(|e| Error::io(format!("open '{}'", layout::STORES), e)),
    }
}
