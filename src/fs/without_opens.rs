//! Serving a mount without opens: the kernel opens and closes files by itself, and asks by inode (see [`Pinned`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bytes::read_text;
use super::entry::Entry;
use super::error::{FsError, FsResult};
use super::ino::Ino;
use super::name;
use super::pinned::Pinned;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::{Node, TextNode, VersionNode};
use crate::engine::Change;
use crate::model::{Attributes, Error, Key, Stamp};

/// How long a lookup waits for the kernel to let go of something. It takes milliseconds if there is anything to let
/// go of.
const ROOM_COMES_WITHIN: Duration = Duration::from_secs(5);

/// For how long `@status` is the same file: programs that copy one look at it more than once.
const STATUS_LASTS: Duration = Duration::from_secs(1);

impl FileSystem {
    /// Serves without opens from here on, if this mount can be: if it is read-only, if the storage is watched and tells
    /// promptly, and if what is open can be bounded. To be called when the mount begins, and only for a kernel that can be told to
    /// raise its epoch and to let go of inodes. Gives back whether it does.
    pub fn begin_without_opens(self: &Arc<Self>) -> bool {
        // A worker that takes over from another would have to know each inode that the kernel has open by itself.
        if !self.options.read_only || !self.trust.is_trusting() || self.kept.is_some() {
            return false;
        }
        let Some(pinned) = Pinned::within_limits() else { return false };
        self.watch_storage();
        let is_prompt = self.trust.watch().is_some_and(|watch| watch.is_prompt());
        is_prompt && self.pinned.set(pinned).is_ok()
    }

    /// Whether the kernel opens files without asking.
    pub fn is_without_opens(&self) -> bool {
        self.pinned.get().is_some()
    }

    /// Reads of an inode at an offset, in a mount without opens; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`FsError::Stale`] if the file has been changed in a store whose values are written in place, which no SDK but Crawlee
    /// JS 3 does: bytes of two versions are never mixed. What the storage says.
    pub fn read_inode(&self, ino: Ino, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        match &*self.node(ino)? {
            Node::Version(version) => self.read_version(ino, version, buffer, offset),
            Node::Text(text) => Ok(read_text(&text.bytes, buffer, offset)),
            Node::Items(items) => Ok(items.value.read_at(buffer, offset)?),
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
        let (now, then) = (value.attributes()?.stamp, version.stamp());
        if now.same_bytes(&then) || self.is_only_touched(version, now, then) {
            return Ok(count);
        }
        Err(FsError::Stale)
    }

    /// Whether a version that has another time has its bytes all the same. Where no SDK writes values in place, another
    /// time is a `touch`.
    fn is_only_touched(&self, version: &VersionNode, now: Stamp, then: Stamp) -> bool {
        (now.object, now.size) == (then.object, then.size)
            && self.store(&version.store).is_rewritten_in_place().is_ok_and(|is| !is)
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
        let counted = self.versions.version(store, key, attributes);
        // Shared, so that whatever is asked of the version finds its bytes.
        let value = match self.versions.get(counted).as_deref() {
            Some(Node::Version(version)) => version.share_value(value),
            _ => value,
        };
        if !pinned.add(counted, value) {
            // Not one of those that are pinned.
            self.versions.forget(counted, 1);
            return Err(self.out_of_files(pinned));
        }
        if pinned.is_nearly_full() {
            self.prune_oldest(pinned);
        }
        Ok(self.entry(self.file(counted, attributes)))
    }

    /// A record that can be seen and not be read.
    fn unreadable_entry(&self, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        let attributes = match self.store(store).record(key) {
            Err(Error::NoSuchRecord { .. }) => return Err(FsError::NotFound),
            record => record?,
        };
        let ino = self.versions.version(store, key, attributes);
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
        let (ino, attributes) = self.versions.text((parent, name), is_same, || text.clone());
        Entry { entry_ttl: Duration::ZERO, ..self.entry(self.file(ino, attributes)) }
    }

    /// Notes the versions that the kernel had better let go of, since they may have been replaced or removed: so that
    /// their room on the medium does not stay taken until the name is asked for again.
    pub(super) fn note_changed_versions(&self, changes: &HashSet<Change>) {
        let Some(pinned) = self.pinned.get() else { return };
        let mut versions = Vec::new();
        for change in changes {
            match change {
                Change::Record(store, key) => {
                    let store = self.versions.known_store(store);
                    versions
                        .extend(store.and_then(|store| self.versions.known_version(&store, key)));
                }
                Change::Store(store) => {
                    if let Some(store) = self.versions.known_store(store) {
                        versions.extend(self.versions.known_versions(&store));
                    }
                }
                Change::StoreName(_) | Change::Everything => {}
            }
        }
        pinned.note_stale(&versions);
    }

    /// Has the kernel let go of what was noted.
    pub(super) fn prune(&self) {
        if let Some(pinned) = self.pinned.get() {
            pinned.prune(|inodes| self.trust.prune(inodes));
        }
    }

    fn prune_oldest(&self, pinned: &Pinned) {
        pinned.note_oldest();
        self.prune();
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
                    pinned.wait_for_room();
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
