//! The file system without a kernel, over a storage in memory: inodes, write sessions, listings.
//!
//! The tests play the kernel: they look names up, open what they were told, and look again after "stale".

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value as Json;
use storefs::backend::memory::MemoryBackend;
use storefs::backend::{
    Backend, MetadataText, Publish, PublishError, Purge, Purging, RenameRecord, Scan, Staging,
    Value,
};
use storefs::engine::{Storage, Store};
use storefs::fs::{
    AttrChange, Caller, Entry, FileSystem, FsError, FsOptions, FsResult, Handle, Ino, Invalidate,
    OpenMode, Position, STORES,
};
use storefs::model::{
    AttributeChange, Attributes, ContentType, Error, Key, Result, Space, StoreMetadata, StoreName,
};

const READ: OpenMode = OpenMode { write: false, truncate: false, exclusive: false };
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
struct WatchedStaging {
    inner: Box<dyn Staging>,
    /// Of which it has a share.
    backend: Watched,
}

impl Backend for Watched {
    pass_on! {
        stores() -> Result<Vec<StoreName>>;
        store_attributes(store: &StoreName) -> Result<Attributes>;
        create_store(store: &StoreName, metadata: &StoreMetadata) -> Result<()>;
        rename_store(from: &StoreName, to: &StoreName, name: Option<&str>) -> Result<()>;
        drop_store(store: &StoreName) -> Result<()>;
        drop_store_if_empty(store: &StoreName) -> Result<bool>;
        purge_store(store: &StoreName, purge: &Purge<'_>) -> Result<Purging>;
        metadata(store: &StoreName) -> Result<StoreMetadata>;
        metadata_text(store: &StoreName) -> Result<Option<MetadataText>>;
        set_metadata_text(store: &StoreName, text: Option<&[u8]>) -> Result<()>;
        complete_metadata(store: &StoreName, metadata: &StoreMetadata) -> Result<()>;
        complete_written_store(store: &StoreName, metadata: &StoreMetadata) -> Result<()>;
        touch_store(store: &StoreName, read: Option<Timestamp>, changed: Option<Timestamp>) -> Result<()>;
        scan(store: &StoreName) -> Result<Scan>;
        content_type(store: &StoreName, key: &Key) -> Result<Option<ContentType>>;
        set_content_type(store: &StoreName, key: &Key, content_type: &ContentType) -> Result<()>;
        check_key(store: &StoreName, key: &Key) -> Result<()>;
        set_attributes(store: &StoreName, key: &Key, change: &AttributeChange) -> Result<Attributes>;
        set_store_attributes(store: &StoreName, change: &AttributeChange) -> Result<Attributes>;
        delete(store: &StoreName, key: &Key) -> Result<()>;
        rename_record(rename: &RenameRecord<'_>) -> Result<()>;
        sync_store(store: &StoreName) -> Result<()>;
        sync_record(store: &StoreName, key: &Key) -> Result<()>;
        sync_stores() -> Result<()>;
        space() -> Result<Space>;
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        if self.bad.lock().as_ref() == Some(key) {
            let source = io::Error::from_raw_os_error(libc::EIO);
            return Err(Error::Io { action: "look".to_owned(), source });
        }
        self.inner.record(store, key)
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        Ok(self.watch(self.inner.open_value(store, key)?))
    }

    fn stage(&self) -> Result<Box<dyn Staging>> {
        let (inner, backend) = (self.inner.stage()?, self.clone());
        Ok(Box::new(WatchedStaging { inner, backend }))
    }
}

impl Staging for WatchedStaging {
    pass_on! {
        read_at(buffer: &mut [u8], offset: u64) -> Result<usize>;
        write_at(data: &[u8], offset: u64) -> Result<()>;
        set_len(len: u64) -> Result<()>;
        reserve(offset: u64, len: u64, keep_size: bool) -> Result<()>;
        begin_with(value: &dyn Value, len: u64) -> Result<()>;
        set_attributes(change: &AttributeChange) -> Result<()>;
        attributes() -> Result<Attributes>;
    }

    fn publish(
        self: Box<Self>,
        publish: &Publish<'_>,
    ) -> std::result::Result<Arc<dyn Value>, PublishError> {
        if self.backend.fails.load(Ordering::Relaxed) {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err((Error::Io { action: "publish".to_owned(), source }, self));
        }
        let Self { inner, backend } = *self;
        match inner.publish(publish) {
            Ok(value) => Ok(backend.watch(value)),
            Err((error, inner)) => Err((error, Box::new(Self { inner, backend }))),
        }
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
    Caller { uid, gid, thread }
}

impl Room {
    fn new() -> Self {
        Self::with_options(FsOptions::default())
    }

    fn with_options(options: FsOptions) -> Self {
        let backend = Watched::default();
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
        self.fs.write(handle, text.as_bytes(), Position::End, false).unwrap();
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

fn set_of<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

const METADATA: &str = "__metadata__.json";

/// An open that follows its lookup by more than this is late.
const LONGER_THAN_OPENS_TAKE: Duration = Duration::from_millis(2100);

// Inodes

#[test]
fn what_is_forgotten_takes_no_inode() {
    const RECORDS: usize = 100_000;
    let room = Room::new();
    let default = StoreName::default_store();
    for number in 0..RECORDS {
        room.backend.inner.insert_bare(&default, &key(&format!("k{number}")), b"v").unwrap();
    }
    let base = room.counter("inodes");
    let inos: Vec<Ino> = (0..RECORDS).map(|number| room.ino(1, &format!("k{number}"))).collect();
    assert_eq!(inos.iter().collect::<BTreeSet<_>>().len(), RECORDS);
    assert_eq!(room.counter("inodes"), base + RECORDS as u64);
    for ino in &inos {
        room.fs.forget(*ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
    assert!(matches!(room.fs.getattr(inos[0]), Err(FsError::Stale)));
}

#[test]
fn an_inode_lasts_until_every_lookup_is_forgotten() {
    let room = Room::new();
    room.set("k", "v");
    let base = room.counter("inodes");
    let ino = room.ino(1, "k");
    for _ in 0..4 {
        assert_eq!(room.ino(1, "k"), ino);
    }
    room.fs.forget(ino, 2);
    room.fs.forget(ino, 2);
    assert_eq!(room.fs.getattr(ino).unwrap().attributes.size, 1);
    room.fs.forget(ino, 1);
    assert_eq!(room.counter("inodes"), base);
    // A number stands for one version, also when the kernel has forgotten it, and is never given out twice.
    assert_eq!(room.ino(1, "k"), ino);
    room.set("k", "other");
    assert!(room.ino(1, "k") > ino);
}

#[test]
fn p01_p03_the_inode_of_the_writers_is_that_of_the_version_they_leave() {
    let room = Room::new();
    let (first, handle) = room.create(1, "k");
    room.write(handle, "one");
    room.close(handle);
    assert_eq!(room.ino(2, "k"), first);
    let keeps_cache = |ino| {
        let opened = room.fs.open(&thread(2), ino, READ).unwrap();
        assert_eq!(room.read(opened.handle), "one");
        room.fs.release(opened.handle);
        opened.keep_cache
    };
    assert!(!keeps_cache(first), "what the writers saw is not what was published");
    assert!(keeps_cache(first));

    // The next writers have another one, and readers keep what they have.
    let reader = room.open_by_name(2, "k", READ);
    let (second, handle) = room.create(1, "k");
    room.write(handle, "two");
    assert_ne!(second, first);
    assert_eq!(room.ino(2, "k"), first, "nothing is published yet");
    room.close(handle);
    assert_eq!(room.ino(2, "k"), second);
    assert_eq!(room.read(reader), "one");
    room.fs.release(reader);

    // Not where the version has an inode already, nor where it is no more.
    room.set("k", "by an SDK");
    let seen = room.ino(2, "k");
    let handle = room.open_by_name(1, "k", APPEND);
    room.close(handle);
    assert_eq!(room.ino(2, "k"), seen);
    let (third, handle) = room.create(1, "gone");
    room.write(handle, "soon");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    room.fs.unlink(room.store, b"gone").unwrap();
    room.fs.release(handle);
    assert!(room.lookup(2, "gone").is_err());
    room.set("gone", "again");
    assert_ne!(room.ino(2, "gone"), third);
}

#[test]
fn p03_an_inode_that_the_kernel_has_stays_the_name_s_when_its_writers_leave() {
    let room = Room::new();
    let (_, handle) = room.create(1, "new");
    room.write(handle, "new");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    // As a rename does too, whose other half is still to come.
    let mode = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    room.engine().set_record_attributes(&key("new"), &mode).unwrap();
    let seen = room.ino(2, "new");
    room.fs.release(handle);
    room.fs.rename(room.store, b"new", room.store, b"k", false).unwrap();

    // The kernel moves the inode that it has, and so opens that; and looks but once again.
    assert_eq!(room.ino(2, "k"), seen);
    assert!(matches!(room.fs.open(&thread(2), seen, WRITE), Err(FsError::Stale)));
    let writer = room.ino(2, "k");
    room.close(room.open(2, writer, APPEND));
}

#[test]
fn p03_an_empty_record_is_there_after_close_when_the_threads_have_no_core() {
    let room = Room::new();
    room.set("empty", "old");
    let handle = room.open_by_name(1, "empty", TRUNCATE);
    let (begun, closed) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let release = || {
            begun.store(true, Ordering::Relaxed);
            while !closed.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            let since = Instant::now();
            while since.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
            room.fs.release(handle);
        };
        // Named as those are that serve the kernel.
        std::thread::Builder::new()
            .name("fuser-9".to_owned())
            .spawn_scoped(scope, release)
            .unwrap();
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        room.fs.flush(&UNKNOWN, handle).unwrap();
        closed.store(true, Ordering::Relaxed);
        assert_eq!(room.lookup(2, "empty").unwrap().attr.attributes.size, 0);
    });

    // Where all rest, none is on its way: the close was not the last.
    room.set("more", "old");
    let handle = room.open_by_name(1, "more", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.lookup(2, "more").unwrap().attr.attributes.size, 3);
    room.close(handle);
    assert_eq!(room.lookup(2, "more").unwrap().attr.attributes.size, 0);
}

#[test]
fn p07_an_open_that_comes_late_is_served() {
    let room = Room::new();
    room.set("k", "old");
    let look_to_write = || {
        let version = room.ino(1, "k");
        assert!(matches!(room.fs.open(&thread(1), version, WRITE), Err(FsError::Stale)));
        let writer = room.ino(1, "k");
        std::thread::sleep(LONGER_THAN_OPENS_TAKE);
        writer
    };
    // From what is there by then.
    let writer = look_to_write();
    room.set("k", "by an SDK");
    let handle = room.open(1, writer, APPEND);
    assert_eq!(room.read(handle), "by an SDK");
    room.write(handle, " and me");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "by an SDK and me");

    // With others who have begun meanwhile, it shares what they write.
    let late = look_to_write();
    let other = room.open_by_name(2, "k", APPEND);
    room.write(other, ", another");
    let joined = room.open(1, late, WRITE);
    assert_eq!(room.read(joined), "by an SDK and me, another");
    room.close(joined);
    room.close(other);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn control_files_and_lookups_that_fail_take_no_inode_for_ever() {
    let room = Room::new();
    let base = room.counter("inodes");
    for name in ["@purge", METADATA] {
        room.fs.forget(room.ino(1, name), 1);
    }
    for name in ["absent", "@log", "x.__metadata__.json", "%41", "%2E"] {
        assert!(matches!(room.lookup(1, name), Err(FsError::NotFound)), "{name}");
    }
    assert!(room.fs.lookup(&thread(1), room.store, b"\xff").is_err());
    assert!(room.fs.lookup(&thread(1), STORES, b"absent").is_err());
    assert_eq!(room.counter("inodes"), base);
}

#[test]
fn p1_an_inode_does_not_follow_a_record_that_was_replaced_before_it_is_moved() {
    let room = Room::new();
    room.set("k", "old");
    let old = room.ino(1, "k");
    room.fs.rename(room.store, b"k", room.store, b"moved", false).unwrap();
    assert_eq!(room.ino(1, "moved"), old);
    // The kernel has pages of the old version, and has not looked again.
    room.set("moved", "new");
    room.fs.rename(room.store, b"moved", room.store, b"again", false).unwrap();
    assert!(room.ino(1, "again") > old);
}

#[test]
fn a_writers_inode_is_forgotten_with_its_lookups() {
    let room = Room::new();
    let base = room.counter("inodes");
    for round in 0..100 {
        let (ino, handle) = room.create(1, &format!("k{round}"));
        room.write(handle, "v");
        room.close(handle);
        room.fs.forget(ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
    assert_eq!(room.counter("write_sessions"), 0);
    assert_eq!(room.counter("handles"), 0);
}

// Versions

#[test]
fn a_version_cannot_be_opened_for_writing_but_its_name_can() {
    let room = Room::new();
    room.set("k", "old");
    let version = room.ino(1, "k");
    for mode in [WRITE, APPEND, TRUNCATE] {
        assert!(matches!(room.fs.open(&thread(1), version, mode), Err(FsError::Stale)));
    }
    assert_eq!(room.ino(2, "k"), version, "others see the version");
    let writer = room.ino(1, "k");
    assert_ne!(writer, version);
    let handle = room.open(1, writer, WRITE);
    assert_eq!(room.read(handle), "old");
    assert_eq!(room.ino(2, "k"), version, "others still see the version");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "old");
    assert_eq!(room.ino(2, "k"), version, "nothing was written, nothing has changed");
}

#[test]
fn the_writers_inode_is_there_even_if_new_versions_come_in_between() {
    let room = Room::new();
    room.set("k", "one");
    let version = room.ino(1, "k");
    assert!(matches!(room.fs.open(&thread(1), version, WRITE), Err(FsError::Stale)));
    room.set("k", "two");
    let writer = room.ino(1, "k");
    room.set("k", "three");
    let handle = room.open(1, writer, APPEND);
    room.write(handle, " and more");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "two and more");
}

#[test]
fn p1_a_reader_keeps_its_version() {
    let room = Room::new();
    room.set("k", "one");
    let first = room.ino(1, "k");
    let handle = room.open(1, first, READ);
    room.set("k", "two, and longer");
    assert_eq!(room.read(handle), "one");
    let second = room.ino(1, "k");
    assert_ne!(second, first);
    assert_eq!(room.fs.getattr(first).unwrap().attributes.size, 3);
    assert_eq!(room.fs.getattr(first).unwrap().links, 0);
    room.fs.unlink(room.store, b"k").unwrap();
    assert_eq!(room.read(handle), "one");
    room.fs.release(handle);
}

#[test]
fn a_stale_open_is_answered_by_the_version_that_the_next_lookup_finds() {
    let room = Room::new();
    room.set("k", "one");
    let first = room.ino(1, "k");
    room.set("k", "two");
    assert!(matches!(room.fs.open(&thread(1), first, READ), Err(FsError::Stale)));
    let second = room.ino(1, "k");
    // The kernel looks again only once: now it must succeed, whatever happens.
    room.set("k", "three");
    let handle = room.open(1, second, READ);
    assert_eq!(room.read(handle), "two");
    room.fs.release(handle);
    // The pin was for that open alone.
    let third = room.open_by_name(1, "k", READ);
    assert_eq!(room.read(third), "three");
}

#[test]
fn a_stale_open_of_a_record_that_has_gone_says_so() {
    let room = Room::new();
    room.set("k", "one");
    let ino = room.ino(1, "k");
    room.engine().delete_value(&key("k")).unwrap();
    let opened = room.fs.open(&thread(1), ino, READ);
    let gone = match opened {
        Err(FsError::Stale) => room.lookup(1, "k").map(drop),
        opened => opened.map(drop),
    };
    assert!(
        matches!(gone, Err(FsError::NotFound | FsError::Storage(Error::NoSuchRecord { .. }))),
        "{gone:?}"
    );
}

// Write sessions

#[test]
fn p03_a_new_record_is_in_the_mount_from_its_creation_and_elsewhere_once_it_is_published() {
    let room = Room::new();
    let (ino, handle) = room.create(1, "k");
    room.write(handle, "val");
    assert_eq!(room.published("k"), None);
    // Found, listed, and read as it grows.
    assert_eq!(room.ino(2, "k"), ino);
    assert_eq!(room.names(), set_of([METADATA, "k"]));
    let follower = room.open(2, ino, READ);
    assert_eq!(room.read(follower), "val");
    room.write(handle, "ue");
    assert_eq!(room.read(follower), "value");
    assert_eq!(room.lookup(2, "k").unwrap().attr.attributes.size, 5);
    let exclusive = OpenMode { exclusive: true, ..WRITE };
    let again = room.fs.create(&thread(2), room.store, b"k", 0o644, exclusive);
    assert!(matches!(again, Err(FsError::Exists)), "{again:?}");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("k").unwrap(), "value");
    assert_eq!(room.names(), set_of([METADATA, "k"]), "once");
    // Who reads along keeps what the writers leave, whatever comes later (P1).
    room.fs.release(handle);
    assert_eq!(room.read(follower), "value");
    let later = room.open_by_name(1, "k", TRUNCATE);
    room.write(later, "later");
    room.close(later);
    assert_eq!(room.read(follower), "value");
    room.fs.release(follower);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn p03_a_new_record_can_be_renamed_and_removed_before_it_is_published() {
    let room = Room::new();
    room.set("target", "old");
    let (_, handle) = room.create(1, "tmp");
    room.write(handle, "half");
    room.fs.rename(room.store, b"tmp", room.store, b"target", false).unwrap();
    assert_eq!(room.published("target").unwrap(), "half");
    room.write(handle, " and half");
    room.close(handle);
    assert_eq!(room.published("target").unwrap(), "half and half");
    assert_eq!(room.names(), set_of([METADATA, "target"]));

    let (_, handle) = room.create(1, "unlinked");
    room.fs.unlink(room.store, b"unlinked").unwrap();
    room.write(handle, "nowhere");
    assert_eq!(room.read(handle), "nowhere", "its writer still has it");
    room.close(handle);

    let base = room.held();
    let (ino, handle) = room.create(1, "followed");
    let follower = room.open(2, ino, READ);
    room.fs.unlink(room.store, b"followed").unwrap();
    room.write(handle, "nowhere");
    room.close(handle);
    assert_eq!(room.read(follower), "nowhere", "who has it open goes on");
    room.fs.release(follower);
    assert_eq!(room.held(), base);
    assert_eq!(room.published("unlinked"), None);
    assert!(matches!(room.lookup(1, "unlinked"), Err(FsError::NotFound)));
}

#[test]
fn p22_callers_without_a_number_open_what_they_mean() {
    let room = Room::new();
    room.set("k", "old");
    let (reader, writer) = (0, 0);
    // Both have looked the name up, and both are about to open it: nobody can tell whose lookup is whose.
    let version = room.ino(reader, "k");
    assert!(matches!(room.fs.open(&UNKNOWN, version, APPEND), Err(FsError::Stale)));
    let of_reader = room.ino(reader, "k");
    let of_writer = room.ino(writer, "k");
    assert!(of_reader != of_writer && of_reader != version);
    let writing = room.open(writer, of_writer, APPEND);
    room.write(writing, " and new");
    let reading = room.open(reader, of_reader, READ);
    assert_eq!(room.read(reading), "old", "what another has not closed is not seen");
    // A second writer shares with the first, by whatever inode.
    let other = room.open(writer, room.ino(writer, "k"), APPEND);
    room.write(other, "er");
    room.close(writing);
    room.close(other);
    assert_eq!(room.published("k").unwrap(), "old and newer");
    assert_eq!(room.read(reading), "old");
    room.fs.release(reading);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn p03_an_open_for_reading_is_never_led_to_what_others_have_not_closed() {
    let room = Room::new();
    room.set("k", "old");
    // An announced open that fails, since an SDK has deleted the record, leaves nothing behind.
    let version = room.ino(1, "k");
    assert!(matches!(room.fs.open(&thread(1), version, WRITE), Err(FsError::Stale)));
    room.engine().delete_value(&key("k")).unwrap();
    assert!(room.lookup(1, "k").is_err());
    room.set("k", "new");
    let other = room.open_by_name(2, "k", APPEND);
    room.write(other, " unclosed");
    let reader = room.open_by_name(1, "k", READ);
    assert_eq!(room.read(reader), "new");
    room.fs.release(reader);
    // Nor does one that never comes: the thread has looked the name up to write, and opens it to read.
    let version = room.ino(3, "k");
    assert!(matches!(room.fs.open(&thread(3), version, WRITE), Err(FsError::Stale)));
    let of_writers = room.ino(3, "k");
    let reader = room.open(3, of_writers, READ);
    assert_eq!(room.read(reader), "new");
    room.fs.release(reader);
    room.close(other);
}

#[test]
fn p06_a_record_that_others_have_deleted_does_not_come_back_by_an_idle_writer() {
    let room = Room::new();
    room.set("k", "deleted");
    let idle = room.open_by_name(1, "k", APPEND);
    room.engine().delete_value(&key("k")).unwrap();
    let (_, handle) = room.create(2, "k");
    room.write(handle, "new");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "new");
    room.write(idle, " bytes");
    room.close(idle);
    assert_eq!(room.published("k").unwrap(), "new");
}

#[test]
fn p06_what_is_purged_under_its_writers_does_not_come_back_by_them() {
    let room = Room::new();
    room.set("k", "old");
    let old = room.open_by_name(1, "k", APPEND);
    room.write(old, " and more");
    let (_, new) = room.create(1, "new");
    room.write(new, "never published");
    purge(&room, b"1").unwrap();
    room.close(old);
    room.close(new);
    assert_eq!(room.names(), set_of([METADATA]));
}

#[test]
fn p3_a_shell_that_closes_a_duplicate_before_it_writes_publishes_once() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("k").unwrap(), "old");
    room.write(handle, "new");
    assert_eq!(room.published("k").unwrap(), "old");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "new");
}

#[test]
fn a_truncation_alone_is_published_at_release() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("k").unwrap(), "old");
    room.fs.release(handle);
    assert_eq!(room.published("k").unwrap(), "");

    let (_, handle) = room.create(1, "empty");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("empty"), None);
    room.fs.release(handle);
    assert_eq!(room.published("empty").unwrap(), "");
}

#[test]
fn p8_a_writer_that_writes_nothing_changes_nothing() {
    let room = Room::new();
    room.set("k", "value");
    let before = room.engine().record(&key("k")).unwrap();
    for mode in [WRITE, APPEND] {
        let handle = room.open_by_name(1, "k", mode);
        room.close(handle);
    }
    assert_eq!(room.engine().record(&key("k")).unwrap(), before);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn p6_two_writers_share_what_is_staged() {
    let room = Room::new();
    room.set("k", "0");
    let one = room.open_by_name(1, "k", APPEND);
    let other = room.open_by_name(2, "k", APPEND);
    assert_eq!(room.counter("write_sessions"), 1);
    room.write(one, "1");
    assert_eq!(room.read(other), "01");
    room.write(other, "2");
    room.write(one, "3");
    assert_eq!(room.published("k").unwrap(), "0");
    room.close(one);
    room.write(other, "4");
    room.close(other);
    assert_eq!(room.published("k").unwrap(), "01234");
}

#[test]
fn p6_a_writer_joins_one_who_is_still_creating() {
    let room = Room::new();
    let (ino, one) = room.create(1, "k");
    room.write(one, "one");
    let (same, other) = room.create(2, "k");
    assert_eq!(same, ino);
    // The second open has truncated what they share, as in any file.
    assert_eq!(room.read(other), "");
    let exclusive = OpenMode { exclusive: true, ..WRITE };
    let refused = room.fs.create(&thread(3), room.store, b"k", 0o644, exclusive);
    assert!(matches!(refused, Err(FsError::Exists)), "{refused:?}");
    room.write(other, "other");
    room.close(one);
    room.close(other);
    assert_eq!(room.published("k").unwrap(), "other");
}

#[test]
fn an_unlinked_record_is_not_brought_back_by_its_writer() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.unlink(room.store, b"k").unwrap();
    assert_eq!(room.read(handle), "old and more", "the writer still has its file");
    room.write(handle, " and more");
    room.close(handle);
    assert_eq!(room.published("k"), None);
    assert_eq!(room.names(), set_of([METADATA]));
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn an_unlinked_record_does_not_overwrite_its_successor() {
    let room = Room::new();
    room.set("k", "old");
    let old = room.open_by_name(1, "k", APPEND);
    room.write(old, " and more");
    room.fs.unlink(room.store, b"k").unwrap();
    let (_, new) = room.create(2, "k");
    room.write(new, "new");
    room.close(new);
    room.close(old);
    assert_eq!(room.published("k").unwrap(), "new");
}

#[test]
fn a_renamed_record_takes_its_writer_along() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.rename(room.store, b"k", room.store, b"moved", false).unwrap();
    assert_eq!(room.published("moved").unwrap(), "old");
    room.close(handle);
    assert_eq!(room.published("moved").unwrap(), "old and more");
    assert_eq!(room.published("k"), None);
}

#[test]
fn a_record_that_is_replaced_by_a_rename_is_lost_to_its_writer() {
    let room = Room::new();
    room.set("k", "old");
    room.set("new", "new");
    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.rename(room.store, b"new", room.store, b"k", false).unwrap();
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "new");
    assert_eq!(room.names(), set_of([METADATA, "k"]));
}

#[test]
fn a_renamed_store_takes_its_writers_along() {
    let room = Room::new();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "value");
    room.fs.rename(STORES, b"default", STORES, b"renamed", false).unwrap();
    room.close(handle);
    let renamed = room.fs.storage().store(&StoreName::new("renamed").unwrap());
    assert!(renamed.record_exists(&key("k")).unwrap());
    assert!(room.fs.lookup(&thread(1), STORES, b"default").is_err());
    let again = room.fs.lookup(&thread(1), STORES, b"renamed").unwrap();
    assert_eq!(again.attr.ino, room.store);
}

#[test]
fn a_length_is_set_through_the_writers_inode() {
    let room = Room::new();
    room.set("k", "a long value");
    let version = room.ino(1, "k");
    let change = AttrChange { size: Some(6), ..AttrChange::default() };
    let refused = room.fs.setattr(&thread(1), version, &change, None);
    assert!(matches!(refused, Err(FsError::Stale)), "{refused:?}");
    let writer = room.ino(1, "k");
    let attr = room.fs.setattr(&thread(1), writer, &change, None).unwrap();
    assert_eq!(attr.attributes.size, 6);
    assert_eq!(room.published("k").unwrap(), "a long", "truncate(2) has no close to wait for");
    assert_eq!(room.fs.status()["write_sessions"], 0, "and no release that would end its session");
}

#[test]
fn p7_a_failed_publish_fails_the_close_and_keeps_the_old_version() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.write(handle, "new");
    room.backend.fails.store(true, Ordering::Relaxed);
    let failed = room.fs.flush(&UNKNOWN, handle);
    let Err(FsError::Storage(Error::Io { source, .. })) = &failed else { panic!("{failed:?}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(room.fs.flush(&UNKNOWN, handle).is_err(), "each close of it is told");
    assert!(room.fs.fsync(storefs::fs::ROOT, handle).is_err());
    room.backend.fails.store(false, Ordering::Relaxed);
    room.fs.release(handle);
    assert_eq!(room.published("k").unwrap(), "old", "what was called failed is not done later");
    assert_eq!(room.counter("write_sessions"), 0);

    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.write(handle, "newer");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "newer");
}

#[test]
fn p7_a_new_record_whose_publish_fails_is_not_there() {
    let room = Room::new();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "value");
    room.backend.fails.store(true, Ordering::Relaxed);
    assert!(room.fs.flush(&UNKNOWN, handle).is_err());
    room.fs.release(handle);
    assert_eq!(room.published("k"), None);
    assert!(matches!(room.lookup(1, "k"), Err(FsError::NotFound)));
    assert_eq!(room.names(), set_of([METADATA]));
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn what_nobody_has_open_is_not_held_whatever_the_kernel_remembers() {
    let room = Room::new();
    room.set("k", "old");
    let base = room.held();
    // None of the inodes is forgotten here.
    let handle = room.open_by_name(1, "k", READ);
    assert_eq!(room.held(), base + 1);
    room.fs.release(handle);
    assert_eq!(room.held(), base, "after reading");

    let (_, handle) = room.create(1, "made");
    room.write(handle, "value");
    assert_eq!(room.held(), base + 1);
    room.close(handle);
    assert_eq!(room.held(), base, "after writing");

    let handle = room.open_by_name(1, "k", WRITE);
    room.close(handle);
    assert_eq!(room.held(), base, "after an open for writing that wrote nothing");

    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.unlink(room.store, b"k").unwrap();
    room.close(handle);
    assert_eq!(room.held(), base, "after writing to what was removed");
}

#[test]
fn p7_what_could_not_be_published_is_not_kept_in_staging() {
    let room = Room::new();
    let base = room.held();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "value");
    room.backend.fails.store(true, Ordering::Relaxed);
    assert!(room.fs.flush(&UNKNOWN, handle).is_err());
    room.fs.release(handle);
    assert_eq!(room.held(), base, "on a full disk, this room is what everybody waits for");
}

#[test]
fn p7_a_publish_that_fails_after_the_last_close_is_counted() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    room.backend.fails.store(true, Ordering::Relaxed);
    room.fs.release(handle);
    assert_eq!(room.published("k").unwrap(), "old");
    assert_eq!(room.counter("late_failures"), 1);
}

// Listings

/// Lists from a cookie on as much as fits into a buffer of so many names. Gives back the next cookie.
fn list(room: &Room, handle: Handle, cookie: u64, room_for: usize, into: &mut Vec<String>) -> u64 {
    let (mut next, mut taken) = (cookie, 0);
    let add = |listed: &storefs::fs::Listed<'_>| {
        if taken == room_for {
            return true;
        }
        taken += 1;
        next = listed.next;
        into.push(String::from_utf8(listed.name.to_vec()).unwrap());
        false
    };
    room.fs.readdir(handle, cookie, add).unwrap();
    next
}

#[test]
fn a_listing_goes_on_where_it_stopped() {
    let room = Room::new();
    let keys: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    for name in &keys {
        room.set(name, "v");
    }
    let handle = room.fs.opendir(room.store).unwrap();
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let next = list(&room, handle, cookie, 3, &mut names);
        if next == cookie {
            break;
        }
        cookie = next;
    }
    let dots = [".", "..", METADATA].map(String::from);
    let expected: BTreeSet<String> = keys.iter().cloned().chain(dots).collect();
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(names[..2], [".", ".."]);
}

#[test]
fn a_listing_is_not_confused_by_what_happens_meanwhile() {
    let room = Room::new();
    for number in 0..10 {
        room.set(&format!("k{number}"), "v");
    }
    let handle = room.fs.opendir(room.store).unwrap();
    let mut names = Vec::new();
    let cookie = list(&room, handle, 0, 5, &mut names);
    let begun = names.clone();
    for name in begun.iter().filter(|name| name.starts_with('k')) {
        room.fs.unlink(room.store, name.as_bytes()).unwrap();
    }
    room.set("later", "v");
    list(&room, handle, cookie, 100, &mut names);
    let kept: Vec<&String> = names.iter().filter(|name| name.starts_with('k')).collect();
    assert_eq!(kept.len(), 10, "{names:?}");
    assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), 10, "{names:?}");
    // The same cookie leads to the same place; the beginning to a new listing.
    let mut again = Vec::new();
    list(&room, handle, cookie, 1, &mut again);
    assert_eq!(again[0], names[5]);
    let mut anew = Vec::new();
    list(&room, handle, 0, 100, &mut anew);
    assert!(anew.contains(&"later".to_owned()));
    assert!(!anew.contains(&begun[4]), "{anew:?}");
    room.fs.releasedir(handle);
    assert!(matches!(room.fs.readdir(handle, 0, |_| true), Err(FsError::BadHandle)));
}

#[test]
fn readdirplus_takes_back_the_lookup_that_found_no_room() {
    let room = Room::new();
    for number in 0..10 {
        room.set(&format!("k{number}"), "v");
    }
    let base = room.counter("inodes");
    let handle = room.fs.opendir(room.store).unwrap();
    let mut told = Vec::new();
    let mut next = 0;
    for expected in [3_usize, 6, 9, 11] {
        let (cookie, mut taken) = (next, 0);
        let add = |listed: &storefs::fs::Listed<'_>, entry: &Entry| {
            let is_dots = matches!(listed.name, b"." | b"..");
            if !is_dots && taken == 3 {
                return true;
            }
            next = listed.next;
            if !is_dots {
                taken += 1;
                told.push(entry.attr.ino);
            }
            false
        };
        room.fs.readdirplus(handle, cookie, add).unwrap();
        assert_eq!(told.len(), expected);
        assert_eq!(room.counter("inodes"), base + expected as u64);
    }
    for ino in &told {
        room.fs.forget(*ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
    room.fs.releasedir(handle);
}

#[test]
fn readdirplus_passes_over_what_has_gone() {
    let room = Room::new();
    room.set("gone", "v");
    room.set("stays", "v");
    let handle = room.fs.opendir(room.store).unwrap();
    room.fs.readdir(handle, 0, |_| true).unwrap();
    room.engine().delete_value(&key("gone")).unwrap();
    let mut names = BTreeSet::new();
    let add = |listed: &storefs::fs::Listed<'_>, _: &Entry| {
        names.insert(String::from_utf8(listed.name.to_vec()).unwrap());
        false
    };
    room.fs.readdirplus(handle, 2, add).unwrap();
    assert_eq!(names, set_of([METADATA, "stays"]));
}

// Control files

/// What `@purge` shows.
#[track_caller]
fn report(room: &Room) -> Json {
    let handle = room.open(1, room.ino(1, "@purge"), READ);
    let text = room.read(handle);
    room.fs.release(handle);
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn purge(room: &Room, text: &[u8]) -> FsResult<()> {
    let handle = room.open(1, room.ino(1, "@purge"), WRITE);
    let written = room.fs.write(handle, text, Position::At(0), false);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    room.fs.release(handle);
    written
}

/// Notes of which inodes the kernel is told to ask again.
#[derive(Clone, Debug, Default)]
struct Dropped(Arc<Mutex<BTreeSet<Ino>>>);

impl Invalidate for Dropped {
    fn attributes(&self, inodes: &[Ino]) {
        self.0.lock().extend(inodes);
    }
}

#[test]
fn p15_a_purge_is_a_write_of_one() {
    let room = Room::new();
    for name in ["INPUT.json", "a", "b/c"] {
        room.set(name, "{}");
    }
    assert_eq!(report(&room)["purged_at"], Json::Null);
    for text in [b"2".as_slice(), b"11", b"1 ", b"\n", b"1\n\n"] {
        assert!(matches!(purge(&room, text), Err(FsError::Invalid)), "{text:?}");
    }
    assert_eq!(room.names(), set_of([METADATA, "INPUT.json", "a", "b%2Fc"]));

    let dropped = Dropped::default();
    room.fs.set_notifier(Box::new(dropped.clone()));
    let removed = [room.ino(1, "a"), room.ino(1, "b%2Fc")];
    purge(&room, b"1\n").unwrap();
    assert_eq!(room.names(), set_of([METADATA, "INPUT.json"]));
    let told = dropped.0.lock().clone();
    for ino in removed {
        assert!(told.contains(&ino), "inode {ino} is not dropped: {told:?}");
    }
    let done = report(&room);
    assert_eq!((&done["removed"], &done["spared"][0]), (&2.into(), &"INPUT.json".into()));
}

#[test]
fn what_the_last_purge_did_is_known_when_the_kernel_has_forgotten_the_store() {
    let room = Room::new();
    room.set("k", "v");
    purge(&room, b"1").unwrap();
    let before = report(&room);
    let purge_ino = room.ino(1, "@purge");
    // Each lookup of the tests' own is forgotten, then the store itself.
    room.fs.forget(purge_ino, u64::MAX);
    room.fs.forget(room.store, u64::MAX);
    let store = room.fs.lookup(&thread(1), STORES, b"default").unwrap().attr.ino;
    let room = Room { store, ..room };
    assert_eq!(report(&room), before);
}

#[test]
fn p10_a_type_set_by_hand_holds_when_the_kernel_has_forgotten_the_store() {
    let room = Room::new();
    room.set("k", "{}");
    let ino = room.ino(1, "k");
    room.fs.setxattr(ino, b"user.mime_type", b"application/json", false).unwrap();
    room.fs.forget(ino, u64::MAX);
    room.fs.forget(room.store, u64::MAX);
    let store = room.fs.lookup(&thread(1), STORES, b"default").unwrap().attr.ino;
    let room = Room { store, ..room };
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.write(handle, "{no json");
    room.close(handle);
    let content_type = room.engine().content_type(&key("k")).unwrap();
    assert_eq!(content_type.as_str(), "application/json");
}

#[test]
fn the_status_is_json_and_counts() {
    let room = Room::new();
    let root = storefs::fs::ROOT;
    let ino = room.fs.lookup(&thread(1), root, b"@status").unwrap().attr.ino;
    let (_, writer) = room.create(1, "k");
    let handle = room.open(1, ino, READ);
    let status: Json = serde_json::from_str(&room.read(handle)).unwrap();
    assert_eq!(status["pid"], std::process::id());
    assert_eq!(status["write_sessions"], 1);
    assert!(matches!(room.fs.open(&thread(1), ino, WRITE), Err(FsError::NotPermitted)));
    room.fs.release(handle);
    room.fs.release(writer);
}

#[test]
fn a_read_only_file_system_refuses_every_change() {
    let options = FsOptions { read_only: true, ..FsOptions::default() };
    let room = Room::with_options(options);
    room.set("k", "v");
    let ino = room.ino(1, "k");
    let control = room.ino(1, "@purge");
    let caller = thread(1);
    let create = room.fs.create(&caller, room.store, b"new", 0o644, WRITE).map(drop);
    let (fs, store) = (&room.fs, room.store);
    let refusals = [
        ("open", fs.open(&caller, ino, WRITE).map(drop)),
        ("open @purge", fs.open(&caller, control, WRITE).map(drop)),
        ("truncate", fs.open(&caller, ino, OpenMode { truncate: true, ..READ }).map(drop)),
        ("create", create),
        ("mknod", fs.mknod(&caller, store, b"new", 0o644).map(drop)),
        ("mkdir", fs.mkdir(&caller, STORES, b"new", 0o755).map(drop)),
        ("rmdir", fs.rmdir(STORES, b"default")),
        ("unlink", fs.unlink(store, b"k")),
        ("rename", fs.rename(store, b"k", store, b"new", false)),
        ("setattr", fs.setattr(&caller, ino, &AttrChange::default(), None).map(drop)),
        ("setxattr", fs.setxattr(ino, b"user.mime_type", b"a/b", false)),
        ("removexattr", fs.removexattr(ino, b"user.mime_type")),
    ];
    for (what, refused) in refusals {
        assert!(matches!(refused, Err(FsError::ReadOnly)), "{what}: {refused:?}");
    }
    let handle = room.open(1, ino, READ);
    assert_eq!(room.read(handle), "v");
    assert_eq!(room.names(), set_of([METADATA, "k"]));
}

#[test]
fn a_store_is_made_only_under_a_name_that_a_store_can_have() {
    let room = Room::new();
    let mkdir = |name: &[u8]| room.fs.mkdir(&thread(1), STORES, name, 0o755);
    for name in [b"".as_slice(), b".", b"..", b"a/b", b"a\0b"] {
        let made = mkdir(name);
        assert!(
            matches!(made, Err(FsError::Storage(Error::InvalidStoreName { .. }))),
            "{name:?}: {made:?}"
        );
    }
    let long = [b's'; 256];
    assert!(matches!(mkdir(&long), Err(FsError::Storage(Error::NameTooLong { .. }))));
    assert!(matches!(mkdir(b"\xff"), Err(FsError::NotUnicode)));
    assert!(matches!(mkdir(b"default"), Err(FsError::Storage(Error::StoreExists { .. }))));
    assert_eq!(room.fs.storage().stores().unwrap(), [StoreName::default_store()]);
    for parent in [storefs::fs::ROOT, room.store] {
        let made = room.fs.mkdir(&thread(1), parent, b"new", 0o755);
        assert!(matches!(made, Err(FsError::NotPermitted)), "{made:?}");
    }
}

#[test]
fn p01_an_open_for_reading_of_a_new_record_is_stale_at_most_once() {
    let room = Room::new();
    room.set("k", "old");
    let version = room.ino(2, "k");
    room.engine().delete_value(&key("k")).unwrap();
    assert!(matches!(room.fs.open(&thread(2), version, READ), Err(FsError::Stale)));
    // The kernel looks again, and finds a record that is just being made; before it opens that, it is published.
    let (new, handle) = room.create(1, "k");
    room.write(handle, "new");
    assert_eq!(room.ino(2, "k"), new);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    let reader = room.open(2, new, READ);
    assert_eq!(room.read(reader), "new");
    room.write(handle, ", not closed");
    assert_eq!(room.read(reader), "new");
}

#[test]
fn p06_an_open_to_append_to_a_rotated_log_is_stale_at_most_once() {
    let room = Room::new();
    let (first, handle) = room.create(1, "log");
    assert_eq!(room.ino(2, "log"), first);
    room.close(handle);
    let looked = room.fs.open(&thread(2), first, APPEND);
    assert!(matches!(looked, Err(FsError::Stale)), "{looked:?}");
    room.fs.rename(room.store, b"log", room.store, b"log.1", false).unwrap();
    // The kernel finds that the name is gone, and looks once more before it makes the record itself.
    assert!(room.lookup(2, "log").is_err());
    let (second, handle) = room.create(3, "log");
    assert_eq!(room.ino(2, "log"), second);
    room.write(handle, "a line");
    room.close(handle);
    room.fs.rename(room.store, b"log", room.store, b"log.2", false).unwrap();
    let appender = room.open(2, second, APPEND);
    room.write(appender, ", another");
    room.close(appender);
    assert_eq!(room.published("log.2").unwrap(), "a line, another");
}

#[test]
fn p06_an_open_to_append_by_a_ticket_is_served_when_the_log_is_rotated() {
    let room = Room::new();
    room.set("log", "a line");
    let version = room.ino(0, "log");
    assert!(matches!(room.fs.open(&UNKNOWN, version, APPEND), Err(FsError::Stale)));
    let ticket = room.ino(0, "log");
    room.fs.rename(room.store, b"log", room.store, b"log.1", false).unwrap();
    let appender = room.open(0, ticket, APPEND);
    room.write(appender, ", another");
    room.close(appender);
    assert_eq!(room.published("log.1").unwrap(), "a line, another");
}

#[test]
fn p06_what_is_set_by_name_is_told_also_if_others_have_changed_attributes_before() {
    let room = Room::new();
    room.set("k", "value");
    let ino = room.ino(1, "k");
    // As others do, and the removal of a second link of a spared input after a purge.
    let others = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    room.engine().set_record_attributes(&key("k"), &others).unwrap();
    let own = AttributeChange { mode: Some(0o640), ..AttributeChange::default() };
    let change = AttrChange { size: None, attributes: own };
    let told = room.fs.setattr(&thread(1), ino, &change, None).unwrap();
    assert_eq!(told.attributes.mode & 0o777, 0o640);
    assert_eq!(told.links, 1, "it is the record that has the name");
}

#[test]
fn p10_a_purge_keeps_the_type_of_an_input_that_is_being_made() {
    let room = Room::new();
    let (ino, handle) = room.create(1, "INPUT");
    room.fs.setxattr(ino, b"user.mime_type", b"text/x-own", false).unwrap();
    purge(&room, b"1").unwrap();
    assert_eq!(room.fs.getxattr(ino, b"user.mime_type").unwrap(), b"text/x-own");
    room.close(handle);
}

#[test]
fn p02_what_an_sdk_sets_under_a_name_that_is_being_made_is_seen_at_once() {
    let room = Room::new();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "half");
    room.set("k", "by an SDK");
    let reader = room.open_by_name(2, "k", READ);
    assert_eq!(room.read(reader), "by an SDK");
}

#[test]
fn p19_a_record_that_cannot_be_looked_at_hides_no_other_and_leaves_no_lookup() {
    let room = Room::new();
    for name in ["a", "bad", "c"] {
        room.set(name, "v");
    }
    *room.backend.bad.lock() = Some(key("bad"));
    let base = room.counter("inodes");
    let handle = room.fs.opendir(room.store).unwrap();
    let mut told = Vec::new();
    let add = |listed: &storefs::fs::Listed<'_>, entry: &Entry| {
        if !matches!(listed.name, b"." | b"..") {
            told.push((String::from_utf8(listed.name.to_vec()).unwrap(), entry.attr.ino));
        }
        false
    };
    room.fs.readdirplus(handle, 0, add).unwrap();
    let names: BTreeSet<String> = told.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, set_of([METADATA, "a", "bad", "c"]));
    let bad = told.iter().find(|(name, _)| name == "bad").unwrap().1;
    let looked = room.fs.getattr(bad);
    assert!(matches!(looked, Err(FsError::Storage(Error::Io { .. }))), "{looked:?}");
    for (_, ino) in told {
        room.fs.forget(ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
}
