//! The do-nothing floor: a file system in memory on the same crate that storefs uses.
//!
//! What it takes is what the kernel's protocol and the crate cost; no file system on them can be faster unless it
//! keeps requests from being sent. The plain kind answers every request of a libfuse example; the tuned kind
//! keeps pages over opens and sends no FLUSH.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, Session, TimeOrNow, WriteFlags,
};
use parking_lot::RwLock;

const TTL: Duration = Duration::from_secs(1);
const GENERATION: Generation = Generation(0);

/// So many bytes of a file are kept; what is beyond is read as zeroes, so that large files need no memory.
const KEPT: usize = 64 * 1024;

/// Largest request that the kernel sends.
static ZEROES: [u8; 1024 * 1024] = [0; 1024 * 1024];

struct Node {
    attr: FileAttr,
    data: Vec<u8>,
    /// Names in the order of their making; the number is the place in a listing.
    entries: BTreeMap<u64, (OsString, u64)>,
    /// Number of the entry and inode of each name.
    names: HashMap<OsString, (u64, u64)>,
    next_entry: u64,
}

struct Tree {
    nodes: HashMap<u64, Node>,
    next_ino: u64,
}

struct Floor {
    tuned: bool,
    tree: RwLock<Tree>,
}

/// Serves the floor at a mountpoint until it is unmounted.
pub(crate) fn serve(mountpoint: &Path, tuned: bool, threads: usize) -> Result<(), Box<dyn Error>> {
    let mut tree = Tree { nodes: HashMap::new(), next_ino: 2 };
    tree.nodes.insert(1, node(1, FileType::Directory, 0o755));
    let mut config = Config::default();
    config.mount_options =
        vec![MountOption::FSName("floor".to_owned()), MountOption::DefaultPermissions];
    config.n_threads = Some(threads);
    config.clone_fd = threads > 1;
    let floor = Floor { tuned, tree: RwLock::new(tree) };
    Session::new(floor, mountpoint, &config)?.run()?;
    Ok(())
}

fn node(ino: u64, kind: FileType, perm: u16) -> Node {
    let now = SystemTime::now();
    let attr = FileAttr {
        ino: INodeNo(ino),
        size: 0,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    };
    let (entries, names) = (BTreeMap::new(), HashMap::new());
    Node { attr, data: Vec::new(), entries, names, next_entry: 1 }
}

impl Tree {
    fn child(&self, parent: INodeNo, name: &OsStr) -> Option<&Node> {
        let (_, ino) = self.nodes.get(&parent.0)?.names.get(name)?;
        self.nodes.get(ino)
    }

    fn make(
        &mut self,
        parent: INodeNo,
        name: &OsStr,
        kind: FileType,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        let ino = self.next_ino;
        let parent = self.nodes.get_mut(&parent.0).ok_or(Errno::ENOENT)?;
        if parent.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let place = parent.next_entry;
        parent.next_entry += 1;
        parent.entries.insert(place, (name.to_owned(), ino));
        parent.names.insert(name.to_owned(), (place, ino));
        self.next_ino += 1;
        let made = node(ino, kind, u16::try_from(mode & 0o7777).unwrap_or(0o644));
        let attr = made.attr;
        self.nodes.insert(ino, made);
        Ok(attr)
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let parent = self.nodes.get_mut(&parent.0).ok_or(Errno::ENOENT)?;
        let (place, ino) = parent.names.remove(name).ok_or(Errno::ENOENT)?;
        parent.entries.remove(&place);
        self.nodes.remove(&ino);
        Ok(())
    }
}

impl Node {
    fn resize(&mut self, size: usize) {
        self.data.resize(size.min(KEPT), 0);
        self.attr.size = size as u64;
        self.attr.blocks = self.attr.size.div_ceil(512);
    }
}

impl Floor {
    fn open_flags(&self) -> FopenFlags {
        if self.tuned {
            FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH
        } else {
            FopenFlags::empty()
        }
    }
}

impl Filesystem for Floor {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ];
        for capability in wanted {
            // What an old kernel does not know, it does without.
            let _ = config.add_capabilities(capability);
        }
        if let Err(nearest) = config.set_max_write(1024 * 1024) {
            let _ = config.set_max_write(nearest);
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.tree.read().child(parent, name) {
            Some(node) => reply.entry(&TTL, &node.attr, GENERATION),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.tree.read().nodes.get(&ino.0) {
            Some(node) => reply.attr(&TTL, &node.attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree.write();
        let Some(node) = tree.nodes.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        if let Some(mode) = mode {
            node.attr.perm = u16::try_from(mode & 0o7777).unwrap_or(node.attr.perm);
        }
        if let Some(size) = size {
            node.resize(usize::try_from(size).unwrap_or(0));
        }
        reply.attr(&TTL, &node.attr);
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        match self.tree.write().make(parent, name, FileType::Directory, mode & !umask) {
            Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.tree.write().remove(parent, name) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = self.tree.write();
        if tree.child(parent, name).is_some_and(|node| !node.names.is_empty()) {
            return reply.error(Errno::ENOTEMPTY);
        }
        match tree.remove(parent, name) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & libc::O_TRUNC != 0
            && let Some(node) = self.tree.write().nodes.get_mut(&ino.0)
        {
            node.resize(0);
        }
        reply.opened(FileHandle(0), self.open_flags());
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.tree.write().make(parent, name, FileType::RegularFile, mode & !umask) {
            Ok(attr) => reply.created(&TTL, &attr, GENERATION, FileHandle(0), self.open_flags()),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let tree = self.tree.read();
        let Some(node) = tree.nodes.get(&ino.0) else { return reply.error(Errno::ENOENT) };
        let end = usize::try_from(node.attr.size).unwrap_or(usize::MAX);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        let to = from.saturating_add(size as usize).min(end);
        match node.data.get(from..to) {
            Some(kept) => reply.data(kept),
            None if from >= node.data.len() => reply.data(&ZEROES[..(to - from).min(ZEROES.len())]),
            None => {
                let mut bytes = node.data[from..].to_vec();
                bytes.resize(to - from, 0);
                reply.data(&bytes);
            }
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut tree = self.tree.write();
        let Some(node) = tree.nodes.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        let from = usize::try_from(offset).unwrap_or(0);
        let to = from + data.len();
        if node.attr.size < to as u64 {
            node.resize(to);
        }
        if let Some(kept) = node.data.get_mut(from..) {
            let count = kept.len().min(data.len());
            kept[..count].copy_from_slice(&data[..count]);
        }
        reply.written(u32::try_from(data.len()).unwrap_or(0));
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree.read();
        let Some(dir) = tree.nodes.get(&ino.0) else { return reply.error(Errno::ENOENT) };
        for (place, (name, ino)) in dir.entries.range(offset + 1..) {
            let Some(node) = tree.nodes.get(ino) else { continue };
            if reply.add(node.attr.ino, *place, node.attr.kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let tree = self.tree.read();
        let Some(dir) = tree.nodes.get(&ino.0) else { return reply.error(Errno::ENOENT) };
        for (place, (name, ino)) in dir.entries.range(offset + 1..) {
            let Some(node) = tree.nodes.get(ino) else { continue };
            if reply.add(node.attr.ino, *place, name, &TTL, &node.attr, GENERATION) {
                break;
            }
        }
        reply.ok();
    }
}
