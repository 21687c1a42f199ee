//! A storage in memory: the reference model of what a [`Backend`] promises.
//!
//! It is the simplest code that is obviously right. One lock guards everything that is published, so each call
//! is one step for every observer; a version's bytes are never changed, only let go. Other backends must be
//! indistinguishable from this one by the suite `tests/backend_suite`, but for what their traits declare. It knows no
//! dialect, no text of metadata, no sidecar and no litter; a record inserted without a content type ([`MemoryBackend::insert_bare`]) stands for a bare file.

mod staging;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::io::Errno;

use staging::MemoryValue;

use super::{
    Backend, KeyOrder, Listed, Posix, Publish, PublishError, Purge, Purged, Purging, RenameRecord,
    Scan, Staged, Traits, Value, is_spared,
};
use crate::model::{
    AttributeChange, Attributes, Error, Key, RecordType, Result, Space, Stamp, StoreMetadata,
    StoreName, TimeChange, epoch_ns,
};
use crate::ranks::{RwLock, Table};

/// Permission bits of a new record.
const RECORD_MODE: u32 = 0o644;

/// Permission bits of a new store.
const STORE_MODE: u32 = 0o755;

/// Bytes in a unit of [`Attributes::blocks`].
const BLOCK: u64 = 512;

/// Longest value in bytes. Holes take memory once they are published.
const MAX_VALUE: usize = 1 << 30;

/// A storage in memory. Clones are handles on the same storage.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// All that is published.
    stores: RwLock<Table, Stores>,
    /// The last number given to a store, a version or a staging.
    last_object: AtomicU64,
    /// How values are shown, if not as they are.
    show: Option<Show>,
}

/// Makes of an open value, and the type that its record has, what is shown of it.
type ShowValue = dyn Fn(Arc<dyn Value>, Option<RecordType>) -> Arc<dyn Value> + Send + Sync;

struct Show(Box<ShowValue>);

type Stores = BTreeMap<StoreName, Store>;

#[derive(Debug)]
struct Store {
    metadata: StoreMetadata,
    records: BTreeMap<Key, Record>,
    facts: Facts,
}

#[derive(Clone, Debug)]
struct Record {
    bytes: Arc<Bytes>,
    /// `None` for a bare record.
    record_type: Option<RecordType>,
    facts: Facts,
}

/// The bytes of one value. Debug output gives their number only.
struct Bytes(Vec<u8>);

/// All attributes but those that follow from the length.
#[derive(Clone, Copy, Debug)]
struct Facts {
    object: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    accessed: SystemTime,
    modified: SystemTime,
    changed: SystemTime,
}

impl MemoryBackend {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty storage that is taken for one across a network: each value that it gives out is what `show` makes of it, and of
    /// the type that its record has. For tests of what the layers above make of values that are far, or fail.
    #[must_use]
    pub fn showing(
        show: impl Fn(Arc<dyn Value>, Option<RecordType>) -> Arc<dyn Value> + Send + Sync + 'static,
    ) -> Self {
        let show = Some(Show(Box::new(show)));
        Self { shared: Arc::new(Shared { show, ..Shared::default() }) }
    }

    /// Puts a record without a content type into a store, as a file dropped in by hand has none. Replaces what
    /// is there. For tests of what the layers above make of such a record.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    pub fn insert_bare(&self, store: &StoreName, key: &Key, bytes: &[u8]) -> Result<()> {
        let facts = self.shared.new_facts(RECORD_MODE);
        let record = Record { bytes: Arc::new(Bytes(bytes.to_vec())), record_type: None, facts };
        find_mut(&mut self.shared.stores.write(), store)?.records_mut().insert(key.clone(), record);
        Ok(())
    }
}

impl Backend for MemoryBackend {
    fn traits(&self) -> Traits {
        let mut traits = Traits::all_kept("memory");
        traits.key_order = KeyOrder::Bytes;
        traits.limits.value_bytes = Some(MAX_VALUE as u64);
        traits.is_remote = self.shared.show.is_some();
        traits
    }

    fn stores(&self) -> Result<Vec<StoreName>> {
        Ok(self.shared.stores.read().keys().cloned().collect())
    }

    fn store_attributes(&self, store: &StoreName) -> Result<Attributes> {
        Ok(find(&self.shared.stores.read(), store)?.facts.attributes(0))
    }

    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        let facts = self.shared.new_facts(STORE_MODE);
        let mut stores = self.shared.stores.write();
        if stores.contains_key(store) {
            return Err(Error::StoreExists { store: store.to_string() });
        }
        let metadata = metadata.clone();
        stores.insert(store.clone(), Store { metadata, records: BTreeMap::new(), facts });
        Ok(())
    }

    fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        let mut stores = self.shared.stores.write();
        find(&stores, from)?;
        if stores.contains_key(to) {
            return Err(Error::StoreExists { store: to.to_string() });
        }
        if let Some(mut store) = stores.remove(from) {
            store.metadata.name = metadata_name.map(str::to_owned);
            store.facts.touch();
            stores.insert(to.clone(), store);
        }
        Ok(())
    }

    fn drop_store(&self, store: &StoreName) -> Result<()> {
        self.shared.stores.write().remove(store).map(drop).ok_or_else(|| no_such_store(store))
    }

    fn drop_store_if_empty(&self, store: &StoreName) -> Result<bool> {
        let mut stores = self.shared.stores.write();
        let is_empty = find(&stores, store)?.records.is_empty();
        if is_empty {
            stores.remove(store);
        }
        Ok(is_empty)
    }

    fn purge_store(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging> {
        let mut stores = self.shared.stores.write();
        let store = find_mut(&mut stores, store)?;
        let mut purged = Purged::default();
        store.records_mut().retain(|key, record| {
            let spare = is_spared(key, purge.input_key);
            if spare {
                purged.spared.push(key.clone());
            } else {
                purged.removed += 1;
                purged.bytes += record.bytes.0.len() as u64;
            }
            spare
        });
        store.metadata.times.accessed_at = purge.at;
        store.metadata.times.modified_at = purge.at;
        Ok(Purging::done(purged))
    }

    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata> {
        Ok(find(&self.shared.stores.read(), store)?.metadata.clone())
    }

    fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        let mut stores = self.shared.stores.write();
        let store = find_mut(&mut stores, store)?;
        // As one that is written into a directory: the listing has changed.
        store.facts.touch();
        let id = metadata.id.clone().or(store.metadata.id.take());
        store.metadata = StoreMetadata { id, ..metadata.clone() };
        Ok(())
    }

    fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        let mut stores = self.shared.stores.write();
        let times = &mut find_mut(&mut stores, store)?.metadata.times;
        times.accessed_at = accessed_at.map_or(times.accessed_at, |at| at.max(times.accessed_at));
        times.modified_at = modified_at.map_or(times.modified_at, |at| at.max(times.modified_at));
        Ok(())
    }

    fn scan(&self, store: &StoreName) -> Result<Scan> {
        // A copy, all taken at one moment: no dearer than the records, which are in memory too.
        let stores = self.shared.stores.read();
        let listed = |(key, record): (&Key, &Record)| {
            let (key, record_type) = (key.clone(), record.record_type.clone());
            Ok(Listed { key, attributes: Some(record.attributes()), record_type })
        };
        let records: Vec<_> = find(&stores, store)?.records.iter().map(listed).collect();
        Ok(Box::new(records.into_iter()))
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        Ok(find_record(&self.shared.stores.read(), store, key)?.attributes())
    }

    fn kept_type(&self, store: &StoreName, key: &Key) -> Result<Option<RecordType>> {
        Ok(find_record(&self.shared.stores.read(), store, key)?.record_type.clone())
    }

    fn set_type(&self, store: &StoreName, key: &Key, record_type: &RecordType) -> Result<()> {
        let mut stores = self.shared.stores.write();
        find_record_mut(&mut stores, store, key)?.record_type = Some(record_type.clone());
        Ok(())
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        let (value, record_type) = {
            let stores = self.shared.stores.read();
            let record = find_record(&stores, store, key)?;
            (record.open(), record.record_type.clone())
        };
        Ok(self.shared.shown(value, record_type))
    }

    fn stage(&self, _store: Option<&StoreName>) -> Result<Staged> {
        staging::stage()
    }

    fn publish(
        &self,
        staged: Staged,
        publish: &Publish<'_>,
    ) -> Result<Arc<dyn Value>, PublishError> {
        staging::publish(&self.shared, staged, publish)
    }

    fn check_key(&self, _store: &StoreName, key: &Key) -> Result<()> {
        key.require_unicode().map(drop)
    }

    fn delete(&self, store: &StoreName, key: &Key) -> Result<()> {
        let mut stores = self.shared.stores.write();
        find_record(&stores, store, key)?;
        find_mut(&mut stores, store)?.records_mut().remove(key);
        Ok(())
    }

    fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        self.check_key(rename.to_store, rename.to_key)?;
        let mut stores = self.shared.stores.write();
        let mut record = find_record(&stores, rename.from_store, rename.from_key)?.clone();
        find(&stores, rename.to_store)?.admit(rename.to_store, rename.to_key, rename.replace)?;
        record.record_type = Some(rename.record_type.clone());
        record.facts.changed = SystemTime::now();
        // Taken away before it is put back, so that a record renamed onto itself stays.
        find_mut(&mut stores, rename.from_store)?.records_mut().remove(rename.from_key);
        find_mut(&mut stores, rename.to_store)?.records_mut().insert(rename.to_key.clone(), record);
        Ok(())
    }

    fn space(&self) -> Result<Space> {
        // 1 TiB, all free: tools that ask for room first are never turned away.
        let (blocks, files) = (1 << 28, 1 << 32);
        let (blocks_free, blocks_available, files_free) = (blocks, blocks, files);
        Ok(Space { block_size: 4096, blocks, blocks_free, blocks_available, files, files_free })
    }

    fn posix(&self) -> Option<&dyn Posix> {
        Some(self)
    }
}

impl Posix for MemoryBackend {
    fn set_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        let mut stores = self.shared.stores.write();
        let record = find_record_mut(&mut stores, store, key)?;
        record.facts.apply(change);
        Ok(record.attributes())
    }

    fn set_store_attributes(
        &self,
        store: &StoreName,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        let mut stores = self.shared.stores.write();
        let store = find_mut(&mut stores, store)?;
        store.facts.apply(change);
        Ok(store.facts.attributes(0))
    }
}

impl Shared {
    /// The facts of something made now by this process, with a number that nothing else has.
    fn new_facts(&self, mode: u32) -> Facts {
        let now = SystemTime::now();
        Facts {
            object: self.last_object.fetch_add(1, Ordering::Relaxed) + 1,
            mode,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            accessed: now,
            modified: now,
            changed: now,
        }
    }

    /// What is shown of an open value.
    fn shown(&self, value: Arc<dyn Value>, record_type: Option<RecordType>) -> Arc<dyn Value> {
        match &self.show {
            Some(Show(show)) => show(value, record_type),
            None => value,
        }
    }

    /// What a publish would replace, as far as it has a type.
    fn replaced(&self, store: &StoreName, key: &Key) -> Result<Option<RecordType>> {
        let stores = self.stores.read();
        let record = find(&stores, store)?.records.get(key);
        Ok(record.and_then(|record| record.record_type.clone()))
    }
}

impl Store {
    /// The records, about to be changed: every change of the listing passes here.
    fn records_mut(&mut self) -> &mut BTreeMap<Key, Record> {
        self.facts.touch();
        &mut self.records
    }

    /// The version that a record is now, if it is there.
    fn stamp_of(&self, key: &Key) -> Option<Stamp> {
        self.records.get(key).map(|record| record.attributes().stamp)
    }

    /// Checks that a record may come under `key`. `store` is this store's name, for the error.
    fn admit(&self, store: &StoreName, key: &Key, replace: bool) -> Result<()> {
        if !replace && self.records.contains_key(key) {
            return Err(Error::RecordExists { store: store.to_string(), key: key.to_string() });
        }
        Ok(())
    }
}

impl Record {
    fn attributes(&self) -> Attributes {
        self.facts.attributes(self.bytes.0.len())
    }

    fn open(&self) -> Arc<dyn Value> {
        Arc::new(MemoryValue { bytes: Arc::clone(&self.bytes), attributes: self.attributes() })
    }
}

impl Facts {
    fn attributes(&self, size: usize) -> Attributes {
        let size = size as u64;
        Attributes {
            size,
            blocks: size.div_ceil(BLOCK),
            links: 1,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            accessed: self.accessed,
            modified: self.modified,
            changed: self.changed,
            stamp: Stamp {
                object: self.object,
                size,
                modified_ns: epoch_ns(self.modified),
                changed_ns: epoch_ns(self.changed),
            },
        }
    }

    /// Notes that what the facts are about has changed.
    fn touch(&mut self) {
        self.modified = SystemTime::now();
        self.changed = self.modified;
    }

    fn apply(&mut self, change: &AttributeChange) {
        if change.is_empty() {
            return;
        }
        let now = SystemTime::now();
        let time = |change: Option<TimeChange>, old| match change {
            None => old,
            Some(TimeChange::Now) => now,
            Some(TimeChange::At(at)) => at,
        };
        self.mode = change.mode.map_or(self.mode, |mode| mode & 0o7777);
        self.uid = change.uid.unwrap_or(self.uid);
        self.gid = change.gid.unwrap_or(self.gid);
        self.accessed = time(change.accessed, self.accessed);
        self.modified = time(change.modified, self.modified);
        self.changed = now;
    }
}

impl Bytes {
    /// Copies from an offset as much as there is and as `buffer` takes. Gives back how much that was.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
        // Reading from memory cannot fail.
        rest.unwrap_or_default().read(buffer).unwrap_or_default()
    }

    /// Cuts or extends with zeroes.
    fn resize(&mut self, len: u64) -> Result<()> {
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_VALUE);
        let len = len.ok_or_else(|| Error::io("extend a value in memory", Errno::FBIG))?;
        self.0
            .try_reserve(len.saturating_sub(self.0.len()))
            .map_err(|_| Error::io("extend a value in memory", Errno::NOSPC))?;
        self.0.resize(len, 0);
        Ok(())
    }
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Show")
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

fn no_such_store(store: &StoreName) -> Error {
    Error::NoSuchStore { store: store.to_string() }
}

fn no_such_record(store: &StoreName, key: &Key) -> Error {
    Error::NoSuchRecord { store: store.to_string(), key: key.to_string() }
}

fn find<'a>(stores: &'a Stores, store: &StoreName) -> Result<&'a Store> {
    stores.get(store).ok_or_else(|| no_such_store(store))
}

fn find_mut<'a>(stores: &'a mut Stores, store: &StoreName) -> Result<&'a mut Store> {
    stores.get_mut(store).ok_or_else(|| no_such_store(store))
}

fn find_record<'a>(stores: &'a Stores, store: &StoreName, key: &Key) -> Result<&'a Record> {
    find(stores, store)?.records.get(key).ok_or_else(|| no_such_record(store, key))
}

/// A record whose attributes or content type are about to change; the listing stays as it is.
fn find_record_mut<'a>(
    stores: &'a mut Stores,
    store: &StoreName,
    key: &Key,
) -> Result<&'a mut Record> {
    let found = find_mut(stores, store)?.records.get_mut(key);
    found.ok_or_else(|| no_such_record(store, key))
}
