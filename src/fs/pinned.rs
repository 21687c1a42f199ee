//! A mount that is served without opens: the kernel opens and closes files by itself, and all that it asks for of a
//! version it asks by inode.
//!
//! Nobody says then who has a version open. So its bytes are *pinned* when its name is looked up, which is before any
//! open, and let go when the kernel forgets the inode, which is after any close (P1). A pin is a descriptor: so small a
//! thing that a hundred thousand fit where their bytes would not, and it costs no read where only attributes are asked
//! for. They are bounded all the same. When the bound is near, the kernel is told to let go of the inodes that were
//! looked up longest ago, as far as nobody uses them. Where all are in use, the next lookup fails.
//!
//! The kernel opens a name that it trusts without asking. So only names of which each change is told are trusted here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Resource, getrlimit};

use super::inode::{Ino, Node, StoreNode, VersionNode};
use super::io::read_text;
use super::{Entry, FileSystem, FsError, FsResult, name};
use crate::backend::Value;
use crate::engine::Change;
use crate::model::{Attributes, Error, Key};

/// The fewest pins that are worth the while.
const FEWEST: usize = 64;

/// The most versions that the kernel is told of at once, so that it does not do it for long.
const PRUNED_AT_ONCE: usize = 8192;

/// How long a lookup waits for the kernel to let go of something. It takes milliseconds if there is anything to let
/// go of.
const ROOM_COMES_WITHIN: Duration = Duration::from_secs(5);

/// How often a waiting lookup has the kernel try again: what was in use may be so no more.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// For how long `@status` is the same file: programs that copy one look at it more than once.
const STATUS_LASTS: Duration = Duration::from_secs(1);

/// What the kernel may ask for by inode.
#[derive(Debug)]
pub(super) struct Pinned {
    /// The most pins.
    most: usize,
    /// A leaf lock.
    inner: Mutex<Inner>,
    /// Signalled when a pin goes.
    gone: Condvar,
    /// Held while the kernel is told to let go of inodes, so that one thread does so and the others serve: the kernel
    /// may wait for bytes that one of them has to bring.
    pruning: Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    by_inode: HashMap<Ino, Pin>,
    /// Inodes in the order in which they were looked up last.
    order: BTreeMap<u64, Ino>,
    next: u64,
    /// Versions that may have been replaced or removed, and that the kernel has not let go of yet.
    stale: HashSet<Ino>,
}

#[derive(Debug)]
struct Pin {
    value: Arc<dyn Value>,
    /// How many lookups of the kernel it stands for.
    lookups: u64,
    at: u64,
}

impl Pinned {
    /// As many as the system lets this process have open, less a share for everything else. `None` if it lets it
    /// have too few.
    fn within_limits() -> Option<Self> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(limit / 4 * 3).unwrap_or(usize::MAX);
        (most >= FEWEST).then(|| Self {
            most,
            inner: Mutex::default(),
            gone: Condvar::new(),
            pruning: Mutex::new(()),
        })
    }

    /// Counts a lookup of a version, and keeps its bytes. Gives back false if there is no room.
    fn add(&self, ino: Ino, value: Arc<dyn Value>) -> bool {
        let mut inner = self.inner.lock();
        let Inner { by_inode, order, next, stale } = &mut *inner;
        let at = *next;
        // Looked up again, so it is current.
        stale.remove(&ino);
        if let Some(pin) = by_inode.get_mut(&ino) {
            order.remove(&pin.at);
            pin.at = at;
            pin.lookups += 1;
        } else if by_inode.len() < self.most {
            by_inode.insert(ino, Pin { value, lookups: 1, at });
        } else {
            return false;
        }
        order.insert(at, ino);
        *next += 1;
        true
    }

    fn get(&self, ino: Ino) -> Option<Arc<dyn Value>> {
        self.inner.lock().by_inode.get(&ino).map(|pin| Arc::clone(&pin.value))
    }

    /// Takes back lookups.
    fn forget(&self, ino: Ino, lookups: u64) {
        let mut inner = self.inner.lock();
        let Some(pin) = inner.by_inode.get_mut(&ino) else { return };
        pin.lookups = pin.lookups.saturating_sub(lookups);
        if pin.lookups > 0 {
            return;
        }
        let at = pin.at;
        let gone = inner.by_inode.remove(&ino);
        inner.order.remove(&at);
        inner.stale.remove(&ino);
        if inner.by_inode.is_empty() {
            inner.by_inode = HashMap::new();
        }
        drop(inner);
        // Closes a file, which is for outside of the lock.
        drop(gone);
        self.gone.notify_all();
    }

    /// Notes versions that may have been replaced or removed. Gives back all such that are still held: what was in use
    /// when the kernel was told of it before may be so no more.
    fn note_stale(&self, versions: &[Ino]) -> Vec<Ino> {
        let mut inner = self.inner.lock();
        let Inner { by_inode, stale, .. } = &mut *inner;
        stale.extend(versions.iter().filter(|ino| by_inode.contains_key(ino)));
        stale.iter().copied().collect()
    }

    fn len(&self) -> usize {
        self.inner.lock().by_inode.len()
    }

    /// Whether there will soon be no room.
    fn is_nearly_full(&self) -> bool {
        self.len() >= self.most - self.most / 8
    }

    /// The inodes that had better go, so that half of the room is free. Those that are in use stay, and count as looked
    /// up now: so the next call names others.
    fn oldest(&self) -> Vec<Ino> {
        let mut inner = self.inner.lock();
        let Inner { by_inode, order, next, .. } = &mut *inner;
        let count = by_inode.len().saturating_sub(self.most / 2);
        let mut oldest = Vec::with_capacity(count);
        while oldest.len() < count
            && let Some((_, ino)) = order.pop_first()
        {
            if let Some(pin) = by_inode.get_mut(&ino) {
                pin.at = *next;
                order.insert(*next, ino);
                *next += 1;
                oldest.push(ino);
            }
        }
        oldest
    }
}

/// A text that does not change.
#[derive(Clone, Debug)]
pub(super) struct TextNode {
    /// The directory.
    pub(super) parent: Ino,
    pub(super) name: &'static [u8],
    pub(super) bytes: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) made: Instant,
}

impl FileSystem {
    /// Serves without opens from here on, if this mount can be: if it is read-only, if the storage is watched, and if
    /// what is open can be bounded. To be called when the mount begins, and only for a kernel that can be told to
    /// raise its epoch and to let go of inodes. Gives back whether it does.
    pub fn begin_without_opens(self: &Arc<Self>) -> bool {
        if !self.options.read_only || self.options.ttl.is_zero() {
            return false;
        }
        let Some(pinned) = Pinned::within_limits() else { return false };
        self.watch_storage();
        self.is_watching() && self.pinned.set(pinned).is_ok()
    }

    /// Whether the kernel opens files without asking.
    pub fn is_without_opens(&self) -> bool {
        self.pinned.get().is_some()
    }

    /// How many versions are held for the kernel, for `@status`.
    pub(super) fn pinned_count(&self) -> Option<usize> {
        self.pinned.get().map(Pinned::len)
    }

    /// Reads of an inode at an offset, in a mount without opens; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`FsError::Stale`] if the file has been changed in place, which no SDK but Crawlee JS 3 does: bytes of two
    /// versions are never mixed. What the storage says.
    pub fn read_inode(&self, ino: Ino, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        match &*self.node(ino)? {
            Node::Version(version) => self.read_version(ino, version, buffer, offset),
            Node::Text(text) => Ok(read_text(&text.bytes, buffer, offset)),
            _ => Err(FsError::IsDirectory),
        }
    }

    fn read_version(
        &self,
        ino: Ino,
        version: &VersionNode,
        buffer: &mut [u8],
        offset: u64,
    ) -> FsResult<usize> {
        let value = match self.pinned.get().and_then(|pinned| pinned.get(ino)) {
            Some(value) => value,
            // It could not be opened when it was looked up. The reason is told now, if it is still so.
            None => self.store(&version.store).open_value(&version.key())?,
        };
        let count = value.read_at(buffer, offset)?;
        // After the read, so that what was read is of the version if this is.
        if !value.attributes()?.stamp.same_bytes(&version.stamp()) {
            return Err(FsError::Stale);
        }
        Ok(count)
    }

    /// The entry of a record's current version, whose bytes are kept until the kernel forgets it.
    pub(super) fn pinned_record_entry(
        &self,
        pinned: &Pinned,
        store: &Arc<StoreNode>,
        key: &Key,
    ) -> FsResult<Entry> {
        let value = match self.store(store).open_value(key) {
            Ok(value) => value,
            Err(Error::NoSuchRecord { .. }) => return Err(FsError::NotFound),
            Err(error) if is_out_of_files(&error) => return Err(self.out_of_files(pinned)),
            Err(Error::Io { .. }) => return self.unreadable_entry(store, key),
            Err(error) => return Err(error.into()),
        };
        let attributes = value.attributes()?;
        let ino = self.inodes.version(store, key, attributes);
        // Shared, so that whatever is asked of the version finds its bytes.
        let value = match self.inodes.get(ino).as_deref() {
            Some(Node::Version(version)) => version.share_value(value),
            _ => value,
        };
        if !pinned.add(ino, value) {
            self.inodes.forget(ino, 1);
            return Err(self.out_of_files(pinned));
        }
        if pinned.is_nearly_full() {
            self.prune_oldest(pinned);
        }
        Ok(self.entry(self.file(ino, attributes)))
    }

    /// A record that can be seen and not be read.
    fn unreadable_entry(&self, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        let attributes = match self.store(store).record(key) {
            Err(Error::NoSuchRecord { .. }) => return Err(FsError::NotFound),
            record => record?,
        };
        let ino = self.inodes.version(store, key, attributes);
        Ok(Entry { entry_ttl: Duration::ZERO, ..self.entry(self.file(ino, attributes)) })
    }

    /// The entry of a file that shows a text. As an inode never changes its bytes here, a text that is another has
    /// another; and the name is asked for each time.
    pub(super) fn text_entry(
        &self,
        parent: Ino,
        name: &'static [u8],
        bytes: Vec<u8>,
        attributes: Attributes,
    ) -> Entry {
        let attributes = Attributes { size: bytes.len() as u64, ..attributes };
        let text = TextNode { parent, name, bytes, attributes, made: Instant::now() };
        let is_same = |known: &TextNode| {
            known.bytes == text.bytes
                || (name == name::STATUS && known.made.elapsed() < STATUS_LASTS)
        };
        let (ino, attributes) = self.inodes.text((parent, name), is_same, || text.clone());
        Entry { entry_ttl: Duration::ZERO, ..self.entry(self.file(ino, attributes)) }
    }

    /// Takes back lookups.
    pub(super) fn unpin(&self, ino: Ino, lookups: u64) {
        if let Some(pinned) = self.pinned.get() {
            pinned.forget(ino, lookups);
        }
    }

    /// The versions that the kernel had better let go of, since they may have been replaced or removed: so that their
    /// room on the medium does not stay taken until the name is asked for again.
    pub(super) fn versions_changed(&self, changes: &HashSet<Change>) -> Vec<Ino> {
        let Some(pinned) = self.pinned.get() else { return Vec::new() };
        let mut versions = Vec::new();
        for change in changes {
            match change {
                Change::Record(store, key) => {
                    let store = self.inodes.known_store(store);
                    versions.extend(store.and_then(|store| self.inodes.known_version(&store, key)));
                }
                Change::Store(store) => {
                    if let Some(store) = self.inodes.known_store(store) {
                        versions.extend(self.inodes.known_versions(&store));
                    }
                }
                Change::StoreName(_) | Change::Everything => {}
            }
        }
        pinned.note_stale(&versions)
    }

    fn prune_oldest(&self, pinned: &Pinned) {
        if let Some(_pruning) = pinned.pruning.try_lock() {
            self.prune(&pinned.oldest());
        }
    }

    pub(super) fn prune(&self, inodes: &[Ino]) {
        let Some(notifier) = self.notifier.get() else { return };
        inodes.chunks(PRUNED_AT_ONCE).for_each(|inodes| notifier.unused(inodes));
    }

    fn out_of_files(&self, pinned: &Pinned) -> FsError {
        self.prune_oldest(pinned);
        FsError::TooManyOpen
    }

    /// Calls again what has failed since too much was open, until it succeeds or nothing is let go of for seconds. For
    /// a thread of its own, as it takes those that serve to let go of something.
    ///
    /// # Errors
    /// What the last call said.
    pub fn when_there_is_room<T>(&self, mut call: impl FnMut() -> FsResult<T>) -> FsResult<T> {
        let until = Instant::now() + ROOM_COMES_WITHIN;
        loop {
            let outcome = call();
            match (&outcome, self.pinned.get()) {
                (Err(FsError::TooManyOpen), Some(pinned)) if Instant::now() < until => {
                    self.prune_oldest(pinned);
                    let mut inner = pinned.inner.lock();
                    if inner.by_inode.len() >= pinned.most {
                        pinned.gone.wait_for(&mut inner, TRY_AGAIN_AFTER);
                    }
                }
                _ => return outcome,
            }
        }
    }
}

/// Whether the process or the system has no descriptor left.
fn is_out_of_files(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
