//! Watching a storage directory by inotify.
//!
//! One watch for the source, one for `key_value_stores`, and one for each store that somebody has asked for; never
//! one for each record. A store that is replaced is noticed in the directory above it: its watch ends, and begins
//! anew when it is asked for again.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::dialect::Dialect;
use super::file_system::shared_kind;
use super::root::Root;
use super::tree::{Directory, Identity};
use super::{layout, tree};
use crate::backend::watch::{Change, Tell, Watch, WatchCounters, Watched};
use crate::model::{Key, StoreName};
use crate::ranks::{Mutex, Table};

/// Events that may change what a directory of directories holds.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Events that may change a record. A write through a memory map is seen when the file is closed.
const RECORDS: WatchFlags = NAMES
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::EXCL_UNLINK);

/// What happens to a watched directory itself.
const ITSELF: ReadFlags = ReadFlags::DELETE_SELF
    .union(ReadFlags::MOVE_SELF)
    .union(ReadFlags::UNMOUNT)
    .union(ReadFlags::IGNORED);

/// What makes a name appear or vanish.
const APPEARS: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO);
const VANISHES: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);

/// Bytes of events that are read at a time: at least 240 events with the longest names.
const BUFFER_BYTES: usize = 64 * 1024;

/// Events that are told at a time, so that a storm of them delays nothing for long.
const MOST_EVENTS: usize = 4096;

/// After it has told something, the watch lets further events gather so long: what is told in one go costs once.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// How long no further watch is tried for after the system has refused one.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Begins to watch the storage directory that is open at `root`.
pub(super) fn start(root: &Arc<Root>, tell: Tell) -> Watched {
    let failed = |error: std::io::Error| format!("inotify does not work here: {error}");
    if let Some(kind) = shared_kind(&*root.now()) {
        return Err(format!("{kind} does not tell of what others change"));
    }
    let inner = Arc::new(Inner {
        root: Arc::clone(root),
        inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| {
            match error {
                Errno::MFILE => "the limit fs.inotify.max_user_instances is reached".to_owned(),
                error => failed(error.into()),
            }
        })?,
        stop: eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?,
        mounts: std::fs::File::open("/proc/self/mountinfo").ok().map(OwnedFd::from),
        watches: Mutex::default(),
        overflows: AtomicU64::new(0),
        has_ended: AtomicBool::new(false),
        has_refused: AtomicBool::new(false),
    });
    inner.begin(&mut inner.watches.lock()).map_err(|error| failed(error.into()))?;
    let own = Arc::clone(&inner);
    let thread = thread::Builder::new()
        .name("storefs-watch".to_owned())
        .spawn(move || own.run(&tell))
        .map_err(failed)?;
    Ok(Arc::new(DirectoryWatch { inner, thread: Some(thread) }))
}

/// The running watch.
#[derive(Debug)]
struct DirectoryWatch {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    root: Arc<Root>,
    inotify: OwnedFd,
    /// Written to when the thread is to end.
    stop: OwnedFd,
    /// The mount table, which tells that it has changed: a directory over which something is mounted tells nothing. `None`
    /// where `/proc` is not mounted.
    mounts: Option<OwnedFd>,
    /// Held while a directory is opened and its watch added: whoever replaces the directory after that causes an
    /// event that is handled when the watch is known. A leaf lock.
    watches: Mutex<Table, Watches>,
    overflows: AtomicU64,
    /// Whether the thread is gone, so that nothing is told any more.
    has_ended: AtomicBool,
    /// Whether it was logged that the system refuses watches.
    has_refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Watches {
    source: Option<i32>,
    stores: StoresWatch,
    /// The directory that was there when the stores were looked for.
    stores_seen: Option<Identity>,
    by_number: HashMap<i32, StoreWatch>,
    /// The watch of a store; `None` for one that cannot be watched.
    by_name: HashMap<StoreName, Option<i32>>,
    /// Until when no watch is tried for.
    refused_until: Option<Instant>,
}

/// The watch of the directory of all stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StoresWatch {
    /// There is no such directory; its appearance is told by the watch of the source.
    #[default]
    Absent,
    Number(i32),
    Impossible,
}

#[derive(Debug)]
struct StoreWatch {
    name: StoreName,
    directory: Identity,
    /// Whether the store has metadata, which decides what its files' names mean.
    has_metadata: bool,
}

impl Watch for DirectoryWatch {
    fn watches_stores(&self) -> bool {
        !self.inner.has_ended.load(Ordering::SeqCst)
            && self.inner.watches.lock().stores != StoresWatch::Impossible
    }

    fn watch_store(&self, store: &StoreName) -> bool {
        if self.inner.has_ended.load(Ordering::SeqCst) {
            return false;
        }
        let mut watches = self.inner.watches.lock();
        match watches.by_name.get(store) {
            Some(watch) => watch.is_some(),
            None => self.inner.add_store(&mut watches, store),
        }
    }

    fn watches_store(&self, store: &StoreName) -> bool {
        !self.inner.has_ended.load(Ordering::SeqCst)
            && self.inner.watches.lock().by_name.get(store).is_some_and(Option::is_some)
    }

    fn forget_store(&self, store: &StoreName) {
        self.inner.remove_store(&mut self.inner.watches.lock(), store);
    }

    fn counters(&self) -> WatchCounters {
        let watches = self.inner.watches.lock();
        let above = usize::from(watches.source.is_some())
            + usize::from(matches!(watches.stores, StoresWatch::Number(_)));
        WatchCounters {
            watches: above + watches.by_number.len(),
            overflows: self.inner.overflows.load(Ordering::Relaxed),
        }
    }
}

impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.inner.stop, &1_u64.to_ne_bytes());
        // The thread itself may be the last to use what owns the watch.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Inner {
    /// Watches the source and what is in it.
    fn begin(&self, watches: &mut Watches) -> rustix::io::Result<()> {
        let source = self.root.now();
        if shared_kind(&*source).is_some() {
            return Err(Errno::OPNOTSUPP);
        }
        watches.source = Some(self.add(&*source, NAMES)?);
        self.watch_stores(watches);
        Ok(())
    }

    /// A watch of an open directory, by its descriptor: no name is resolved, and no link followed, that could
    /// lead elsewhere (P18).
    fn add(&self, directory: impl AsFd, events: WatchFlags) -> rustix::io::Result<i32> {
        let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
        inotify::add_watch(&self.inotify, path, events)
    }

    fn watch_stores(&self, watches: &mut Watches) {
        let opened = tree::open_stores(&self.root.last());
        watches.stores_seen = opened.as_ref().ok().and_then(|stores| identity_of(stores.as_ref()));
        watches.stores = match opened {
            Ok(None) => StoresWatch::Absent,
            Ok(Some(stores)) if shared_kind(&stores).is_none() => match self.add(&stores, NAMES) {
                Ok(number) => StoresWatch::Number(number),
                Err(error) => {
                    self.log_refusal(error);
                    StoresWatch::Impossible
                }
            },
            _ => StoresWatch::Impossible,
        };
    }

    fn add_store(&self, watches: &mut Watches, store: &StoreName) -> bool {
        let is_refused = watches.refused_until.is_some_and(|until| Instant::now() < until);
        if watches.source.is_none() && !is_refused {
            self.begin_with_new_source(watches);
        }
        if is_refused || store.is_plain() || !matches!(watches.stores, StoresWatch::Number(_)) {
            return false;
        }
        let Ok(Some(stores)) = tree::open_stores(&self.root.last()) else { return false };
        let Ok(directory) = tree::open_dir(&stores, store.as_str()) else { return false };
        if let Some(kind) = shared_kind(&directory) {
            log::warn!(
                "store '{store}' is not watched: {kind} does not tell of what others change"
            );
            watches.by_name.insert(store.clone(), None);
            return false;
        }
        let number = match self.add(&directory, RECORDS) {
            Ok(number) => number,
            Err(error) => {
                self.log_refusal(error);
                watches.refused_until = Some(Instant::now() + REFUSED_FOR);
                return false;
            }
        };
        let has_metadata =
            tree::has_file(&directory, layout::METADATA.as_bytes()).unwrap_or_default();
        let Ok(identity) = tree::identity(&directory) else { return false };
        let watch = StoreWatch { name: store.clone(), directory: identity, has_metadata };
        // The directory had another name, and the event that tells of it is still to come.
        if let Some(renamed) = watches.by_number.insert(number, watch) {
            watches.by_name.remove(&renamed.name);
        }
        watches.by_name.insert(store.clone(), Some(number));
        true
    }

    fn log_refusal(&self, error: Errno) {
        if !self.has_refused.swap(true, Ordering::Relaxed) {
            log::warn!(
                "not every store is watched: {}",
                match error {
                    Errno::NOSPC => "the limit fs.inotify.max_user_watches is reached".to_owned(),
                    error => error.to_string(),
                }
            );
        }
    }

    /// Gives back whether the store was watched.
    fn remove_store(&self, watches: &mut Watches, store: &StoreName) -> bool {
        let Some(Some(number)) = watches.by_name.remove(store) else { return false };
        watches.by_number.remove(&number);
        // The system has removed it itself if the directory is gone.
        let _ = inotify::remove_watch(&self.inotify, number);
        true
    }

    /// The source was removed: watches the one that has been made in its place, if there is one.
    fn begin_with_new_source(&self, watches: &mut Watches) {
        let source = self.root.now();
        if rustix::fs::fstat(&*source).is_ok_and(|stat| stat.st_nlink == 0) {
            return;
        }
        if let Err(error) = self.begin(watches) {
            log::warn!("the storage that was made anew is not watched: {error}");
            watches.refused_until = Some(Instant::now() + REFUSED_FOR);
        }
    }

    /// Ends every watch but that of the source, and begins with the directory of all stores anew.
    fn begin_anew(&self, watches: &mut Watches) {
        let stores: Vec<StoreName> = watches.by_name.keys().cloned().collect();
        for store in &stores {
            self.remove_store(watches, store);
        }
        if let StoresWatch::Number(number) = watches.stores {
            let _ = inotify::remove_watch(&self.inotify, number);
        }
        self.watch_stores(watches);
    }

    fn run(&self, tell: &Tell) {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let told = catch_unwind(AssertUnwindSafe(|| {
            while let Some(mounts_changed) = self.wait_for_events() {
                let mut changes = self.read(&mut reader)?;
                if mounts_changed {
                    self.look_for_mounts(&mut changes);
                }
                if !changes.is_empty() {
                    tell(&changes);
                    self.pause();
                }
            }
            Ok::<(), Errno>(())
        }));
        self.has_ended.store(true, Ordering::SeqCst);
        match told {
            Ok(Ok(())) => return,
            Ok(Err(error)) => log::error!("the storage is watched no more: {error}"),
            Err(_) => log::error!("the storage is watched no more: a bug made the watch panic"),
        }
        let everything = HashSet::from([Change::Everything]);
        let _ = catch_unwind(AssertUnwindSafe(|| tell(&everything)));
    }

    /// Waits until there is something to read, or the mount table has changed. Gives back which, or `None` if the watch is
    /// to end.
    fn wait_for_events(&self) -> Option<bool> {
        loop {
            let mut fds = vec![
                PollFd::new(&self.stop, PollFlags::IN),
                PollFd::new(&self.inotify, PollFlags::IN),
            ];
            fds.extend(self.mounts.as_ref().map(|mounts| PollFd::new(mounts, PollFlags::PRI)));
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    log::debug!("waiting for changes: {error}");
                    thread::sleep(REFUSED_FOR);
                }
            }
            let mut happened = fds.iter().map(|fd| !fd.revents().is_empty());
            let mut next = || happened.next().unwrap_or(false);
            let (is_stopped, has_events, mounts_changed) = (next(), next(), next());
            if is_stopped {
                return None;
            }
            if has_events || mounts_changed {
                return Some(mounts_changed);
            }
        }
    }

    /// Something has been mounted or unmounted: notes what has another directory now.
    fn look_for_mounts(&self, changes: &mut HashSet<Change>) {
        let mut watches = self.watches.lock();
        let stores = tree::open_stores(&self.root.last()).ok().flatten();
        if identity_of(stores.as_ref()) != watches.stores_seen {
            self.begin_anew(&mut watches);
            changes.insert(Change::Everything);
            return;
        }
        let Some(stores) = stores else { return };
        let is_other = |watch: &&StoreWatch| {
            let now = tree::open_dir(&stores, watch.name.as_str()).and_then(tree::identity);
            now != Ok(watch.directory)
        };
        let others: Vec<StoreName> =
            watches.by_number.values().filter(is_other).map(|watch| watch.name.clone()).collect();
        for store in others {
            self.remove_store(&mut watches, &store);
            changes.insert(Change::Store(store));
        }
    }

    fn pause(&self) {
        let _ = poll(&mut [PollFd::new(&self.stop, PollFlags::IN)], Some(&PAUSE));
    }

    /// Reads what has come, up to a limit.
    fn read(&self, reader: &mut Reader<'_, &OwnedFd>) -> rustix::io::Result<HashSet<Change>> {
        let mut changes = HashSet::new();
        for _ in 0..MOST_EVENTS {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes()).unwrap_or_default();
                    self.note(event.wd(), event.events(), name, &mut changes);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changes)
    }

    fn has_metadata(&self, store: &StoreName) -> bool {
        let Ok(Some(stores)) = tree::open_stores(&self.root.last()) else { return false };
        let Ok(directory) = tree::open_dir(&stores, store.as_str()) else { return false };
        tree::has_file(&directory, layout::METADATA.as_bytes()).unwrap_or_default()
    }

    /// Notes what an event says may have changed. No system call for an event of a record.
    fn note(&self, number: i32, events: ReadFlags, name: &[u8], changes: &mut HashSet<Change>) {
        let mut watches = self.watches.lock();
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            log::info!("more changed than could be told; everything is looked at anew");
            self.begin_anew(&mut watches);
            changes.insert(Change::Everything);
        } else if watches.source == Some(number) {
            if events.intersects(ReadFlags::DELETE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED) {
                // Whoever looks for a store next begins with the one that is made in its place.
                watches.source = None;
                self.begin_anew(&mut watches);
                watches.stores = StoresWatch::Impossible;
                changes.insert(Change::Everything);
            } else if name == layout::STORES.as_bytes() {
                self.begin_anew(&mut watches);
                changes.insert(Change::Everything);
            }
        } else if watches.stores == StoresWatch::Number(number) {
            if events.intersects(ITSELF) {
                self.begin_anew(&mut watches);
                changes.insert(Change::Everything);
            } else if let Some(Ok(store)) = std::str::from_utf8(name).ok().map(StoreName::new) {
                let was_watched = self.remove_store(&mut watches, &store);
                changes.insert(if was_watched {
                    Change::Store(store)
                } else {
                    Change::StoreName(store)
                });
            }
        } else if events.intersects(ITSELF) {
            let store = watches.by_number.get(&number).map(|watch| watch.name.clone());
            if let Some(store) = store {
                self.remove_store(&mut watches, &store);
                changes.insert(Change::Store(store));
            }
        } else if let Some(watch) = watches.by_number.get_mut(&number) {
            watch.note(events, name, changes, |store| self.has_metadata(store));
        }
    }
}

fn identity_of(directory: Option<&Directory>) -> Option<Identity> {
    directory.and_then(|directory| tree::identity(directory).ok())
}

impl StoreWatch {
    fn note(
        &mut self,
        events: ReadFlags,
        name: &[u8],
        changes: &mut HashSet<Change>,
        has_metadata: impl FnOnce(&StoreName) -> bool,
    ) {
        if name == layout::METADATA.as_bytes() {
            let had_metadata = self.has_metadata;
            // Metadata that is exchanged in one step is told to appear and then to vanish.
            self.has_metadata = match events.intersects(VANISHES) {
                true => has_metadata(&self.name),
                false => had_metadata || events.intersects(APPEARS),
            };
            if self.has_metadata != had_metadata {
                // Another layout: the same files may be other records.
                changes.insert(Change::Store(self.name.clone()));
            }
            return;
        }
        let value = match layout::value_of_sidecar(name) {
            None => name,
            Some(_) if !self.has_metadata => {
                changes.insert(Change::Store(self.name.clone()));
                return;
            }
            // What looks like a temporary is a record by its sidecar alone.
            Some(value) if layout::looks_temporary(value) => value,
            Some(_) => return,
        };
        for key in keys_of(value) {
            changes.insert(Change::Record(self.name.clone(), key));
        }
    }
}

/// The keys that a file of this name may stand for, whatever the store's layout is: that would take a look.
fn keys_of(name: &[u8]) -> impl Iterator<Item = Key> {
    let keys = [Dialect::Sidecars.key(name), Dialect::Js3.key(name), Key::from_bytes(name)];
    keys.into_iter().flatten()
}
