//! The file system without a kernel, over a storage in memory: inodes, write sessions, listings.
//!
//! The tests play the kernel: they look names up, open what they were told, and look again after "stale".

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "fs_room/capabilities.rs"]
mod capabilities;
#[path = "fs_room/control.rs"]
mod control;
#[path = "fs_room/inodes.rs"]
mod inodes;
#[path = "fs_room/listings.rs"]
mod listings;
#[path = "fs_room/sessions.rs"]
mod sessions;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value as Json;
use storefs::backend::memory::MemoryBackend;
use storefs::backend::{
    Backend, Posix, Publish, PublishError, Purge, Purging, RenameRecord, Scan, Staged, StagedFor,
    StagedPlace, Traits, Value,
};
use storefs::engine::{Storage, Store};
use storefs::fs::{
    AttrChange, Caller, Entry, FileSystem, FsError, FsOptions, FsResult, Handle, Ino, Invalidate,
    OpenMode, Position, STORES,
};
use storefs::model::{
    AttributeChange, Attributes, Error, Key, RecordType, Result, Space, StoreMetadata, StoreName,
};

const READ: OpenMode = OpenMode { read: true, write: false, truncate: false, exclusive: false };
const WRITE: OpenMode = OpenMode { write: true, ..READ };
/// Writes of the tests always go to the end; this says that a test relies on it.
const APPEND: OpenMode = WRITE;
const TRUNCATE: OpenMode = OpenMode { truncate: true, ..WRITE };

/// Who closes, where it cannot be seen whether another descriptor is left.
const UNKNOWN: Caller = Caller { uid: 0, gid: 0, thread: 0 };

/// Passes calls on to the field `inner`.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> $result { self.inner.$name($($argument),*) })*
    };
}

/// A backend in memory of which publishes can be made to fail, and of which it is known what of it is held.
#[derive(Clone, Debug, Default)]
struct Watched {
    inner: MemoryBackend,
    fails: Arc<AtomicBool>,
    /// Whether a listing tells more than keys.
    tells: bool,
    /// Whether owner, mode and times are kept nowhere.
    lacks_posix: bool,
    /// How often a record was looked at.
    looks: Arc<AtomicUsize>,
    /// A record that cannot be looked at.
    bad: Arc<Mutex<Option<Key>>>,
    /// Each value and each staging that somebody holds has a share in this.
    held: Arc<()>,
}

impl Watched {
    fn watch(&self, inner: Arc<dyn Value>) -> Arc<dyn Value> {
        Arc::new(WatchedValue { inner, _held: Arc::clone(&self.held) })
    }
}

#[derive(Debug)]
struct WatchedValue {
    inner: Arc<dyn Value>,
    _held: Arc<()>,
}

impl Value for WatchedValue {
    pass_on! {
        read_at(buffer: &mut [u8], offset: u64) -> Result<usize>;
        attributes() -> Result<Attributes>;
    }
}

#[derive(Debug)]
struct WatchedPlace {
    inner: Box<dyn StagedPlace>,
    _held: Arc<()>,
}

impl Backend for Watched {
    fn traits(&self) -> Traits {
        let mut traits = self.inner.traits();
        traits.keeps_owner_and_mode = !self.lacks_posix;
        traits.keeps_times = !self.lacks_posix;
        traits
    }

    fn posix(&self) -> Option<&dyn Posix> {
        self.inner.posix().filter(|_| !self.lacks_posix)
    }

    pass_on! {
        stores() -> Result<Vec<StoreName>>;
        store_attributes(store: &StoreName) -> Result<Attributes>;
        create_store(store: &StoreName, metadata: &StoreMetadata) -> Result<()>;
        rename_store(from: &StoreName, to: &StoreName, name: Option<&str>) -> Result<()>;
        drop_store(store: &StoreName) -> Result<()>;
        drop_store_if_empty(store: &StoreName) -> Result<bool>;
        purge_store(store: &StoreName, purge: &Purge<'_>) -> Result<Purging>;
        metadata(store: &StoreName) -> Result<StoreMetadata>;
        set_metadata(store: &StoreName, metadata: &StoreMetadata) -> Result<()>;
        touch_store(store: &StoreName, read: Option<Timestamp>, changed: Option<Timestamp>) -> Result<()>;
        kept_type(store: &StoreName, key: &Key) -> Result<Option<RecordType>>;
        set_type(store: &StoreName, key: &Key, record_type: &RecordType) -> Result<()>;
        check_key(store: &StoreName, key: &Key) -> Result<()>;
        delete(store: &StoreName, key: &Key) -> Result<()>;
        rename_record(rename: &RenameRecord<'_>) -> Result<()>;
        space() -> Result<Space>;
    }

    fn scan(&self, store: &StoreName) -> Result<Scan> {
        let listed = self.inner.scan(store)?;
        if self.tells {
            return Ok(listed);
        }
        Ok(Box::new(listed.map(|listed| Ok(listed?.key.into()))))
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        if self.bad.lock().as_ref() == Some(key) {
            let source = io::Error::from_raw_os_error(libc::EIO);
            return Err(Error::Io { action: "look".to_owned(), source });
        }
        self.inner.record(store, key)
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        Ok(self.watch(self.inner.open_value(store, key)?))
    }

    fn stage(&self, store: Option<&StoreName>) -> Result<Staged> {
        let _held = Arc::clone(&self.held);
        let staged = self.inner.stage(store)?;
        Ok(staged.with_place(|inner| Box::new(WatchedPlace { inner, _held })))
    }

    fn publish(
        &self,
        staged: Staged,
        publish: &Publish<'_>,
    ) -> std::result::Result<Arc<dyn Value>, PublishError> {
        if self.fails.load(Ordering::Relaxed) {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err((Error::Io { action: "publish".to_owned(), source }, staged));
        }
        Ok(self.watch(self.inner.publish(staged, publish)?))
    }
}

impl StagedPlace for WatchedPlace {
    fn belongs_to(&mut self, record: Option<&StagedFor<'_>>) -> Result<()> {
        self.inner.belongs_to(record)
    }
}

/// A file system with an empty default store, and the kernel that uses it.
struct Room {
    fs: FileSystem,
    backend: Watched,
    store: Ino,
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// A thread of the user who runs the tests.
fn thread(thread: u32) -> Caller {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    // No process has such a number, so that none of the system is taken for it.
    let thread = if thread == 0 { 0 } else { (1 << 23) + thread };
    Caller { uid, gid, thread }
}

impl Room {
    fn new() -> Self {
        Self::with_options(FsOptions::default())
    }

    fn with_options(options: FsOptions) -> Self {
        Self::over(Watched::default(), options)
    }

    fn over(backend: Watched, options: FsOptions) -> Self {
        let storage = Storage::with_backend(Arc::new(backend.clone()), Some("INPUT".to_owned()));
        storage.create_store(&StoreName::default_store()).unwrap();
        let fs = FileSystem::new(storage, options);
        let store = fs.lookup(&thread(1), STORES, b"default").unwrap().attr.ino;
        Self { fs, backend, store }
    }

    /// The store as an SDK sees it.
    fn engine(&self) -> Store {
        self.fs.storage().store(&StoreName::default_store())
    }

    /// Publishes a record as an SDK does.
    fn set(&self, name: &str, value: &str) {
        self.engine().set_value(&key(name), value, None).unwrap();
    }

    /// What is published under a key.
    fn published(&self, name: &str) -> Option<String> {
        let record = self.engine().get_value(&key(name)).unwrap()?;
        Some(io::read_to_string(record.reader()).unwrap())
    }

    fn lookup(&self, caller: u32, name: &str) -> FsResult<Entry> {
        self.fs.lookup(&thread(caller), self.store, name.as_bytes())
    }

    /// The inode of a name, looked up.
    #[track_caller]
    fn ino(&self, caller: u32, name: &str) -> Ino {
        self.lookup(caller, name).unwrap().attr.ino
    }

    #[track_caller]
    fn open(&self, caller: u32, ino: Ino, mode: OpenMode) -> Handle {
        self.fs.open(&thread(caller), ino, mode).unwrap().handle
    }

    /// Opens a name as the kernel does: looks again, once, if that is "stale".
    #[track_caller]
    fn open_by_name(&self, caller: u32, name: &str, mode: OpenMode) -> Handle {
        let ino = self.ino(caller, name);
        match self.fs.open(&thread(caller), ino, mode) {
            Ok(opened) => opened.handle,
            Err(FsError::Stale) => {
                let again = self.ino(caller, name);
                self.fs.forget(ino, 1);
                self.open(caller, again, mode)
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn create(&self, caller: u32, name: &str) -> (Ino, Handle) {
        let name = name.as_bytes();
        let created = self.fs.create(&thread(caller), self.store, name, 0o644, TRUNCATE);
        let (entry, opened) = created.unwrap();
        (entry.attr.ino, opened.handle)
    }

    #[track_caller]
    fn read(&self, handle: Handle) -> String {
        let mut buffer = vec![0; 4096];
        let count = self.fs.read(handle, &mut buffer, 0).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[track_caller]
    fn write(&self, handle: Handle, text: &str) {
        self.fs.write(handle, text.as_bytes(), Position::End.into()).unwrap();
    }

    /// close(2) of the only descriptor.
    #[track_caller]
    fn close(&self, handle: Handle) {
        self.fs.flush(&UNKNOWN, handle).unwrap();
        self.fs.release(handle);
    }

    /// All names that a listing shows, but the dots.
    #[track_caller]
    fn names(&self) -> BTreeSet<String> {
        let handle = self.fs.opendir(self.store).unwrap();
        let mut names = BTreeSet::new();
        let add = |listed: &storefs::fs::Listed<'_>| {
            names.insert(String::from_utf8(listed.name.to_vec()).unwrap());
            false
        };
        self.fs.readdir(handle, 2, add).unwrap();
        self.fs.releasedir(handle);
        names
    }

    /// How many values and stagings the file system holds.
    fn held(&self) -> usize {
        Arc::strong_count(&self.backend.held)
    }

    fn counter(&self, name: &str) -> u64 {
        self.fs.status()[name].as_u64().unwrap()
    }
}

/// Writes into `@purge`.
#[track_caller]
fn purge(room: &Room, text: &[u8]) -> FsResult<()> {
    let handle = room.open(1, room.ino(1, "@purge"), WRITE);
    let written = room.fs.write(handle, text, Position::At(0).into());
    room.fs.flush(&UNKNOWN, handle).unwrap();
    room.fs.release(handle);
    written
}

fn set_of<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

const METADATA: &str = "__metadata__.json";

/// An open that follows its lookup by more than this is late.
const LONGER_THAN_OPENS_TAKE: Duration = Duration::from_millis(2100);
