//! A database as a storage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::database::{Outcome, Rename, StoreRow, Touched, Written};
use super::datasets::Datasets;
use super::scan::RecordScan;
use super::shared::Shared;
use super::staging::{self, is_guessed};
use crate::backend::elsewhere::file_time;
use crate::backend::{
    Backend, Durability, KeyOrder, PlainDirectories, Publish, PublishError, Purge, Purged, Purging,
    RenameRecord, Scan, Staged, Traits, Value, Watchable, Work, is_spared,
};
use crate::model::{
    Attributes, BackendErrorKind, Error, Key, RecordType, Result, Space, StoreMetadata, StoreName,
    StoreTimes, this_moment,
};

/// Unit of [`Space`] in bytes.
const BLOCK: u64 = 4096;

/// Room that is told where the database does not tell: 1 TiB, so that no tool is turned away.
const UNKNOWN_ROOM: u64 = 1 << 40;

/// A storage in a database of Crawlee's SQL client.
pub(super) struct SqlBackend {
    shared: Arc<Shared>,
    datasets: Datasets,
    traits: Traits,
}

impl fmt::Debug for SqlBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlBackend").field(&self.shared.database.facts().server).finish()
    }
}

impl SqlBackend {
    pub(super) fn new(kind: &'static str, shared: Shared) -> Self {
        let facts = shared.database.facts();
        let mut traits = Traits::all_kept(kind);
        traits.is_remote = facts.is_remote;
        traits.tells_versions = facts.tells_versions;
        traits.key_order = KeyOrder::Own;
        traits.keeps_owner_and_mode = false;
        traits.keeps_times = false;
        traits.times_follow_changes = true;
        traits.limits.key_chars = Some(facts.most_key_chars);
        traits.limits.content_type_chars = Some(facts.most_type_chars);
        traits.limits.value_bytes = Some(facts.most_value_bytes);
        let shared = Arc::new(shared);
        Self { datasets: Datasets::new(Arc::clone(&shared)), shared, traits }
    }

    /// Refuses to change anything where nothing can be changed.
    fn refuse_if_read_only(&self) -> Result<()> {
        if self.why_read_only().is_some() { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Refuses to change anything but a store.
    fn check_write(&self, store: &StoreName) -> Result<()> {
        if store.is_plain() { Err(Error::ReadOnly) } else { self.refuse_if_read_only() }
    }

    /// The error of a change that was not made.
    fn done(&self, outcome: Outcome, store: &StoreName) -> Result<()> {
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Taken => Err(Error::StoreExists { store: store.to_string() }),
            _ => Err(self.shared.no_such_store(store)),
        }
    }

    fn row(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<StoreRow> {
        let StoreTimes { created_at, accessed_at, modified_at } = metadata.times;
        let shown = || format!("keep the metadata of store '{store}'");
        let Some(id) = metadata.id.clone() else {
            let reason = "a store in a database has an id";
            return Err(Error::backend(BackendErrorKind::Unsupported, shown(), reason));
        };
        let name = metadata.name.clone();
        let internal_name = store.to_string();
        Ok(StoreRow { id, internal_name, name, created_at, accessed_at, modified_at })
    }
}

impl Backend for SqlBackend {
    fn traits(&self) -> Traits {
        self.traits
    }

    fn why_read_only(&self) -> Option<&str> {
        self.shared.database.facts().read_only.as_deref()
    }

    fn stores(&self) -> Result<Vec<StoreName>> {
        let mut names = Vec::new();
        for row in self.shared.database.stores()? {
            match StoreName::new(&row.internal_name) {
                Ok(name) => names.push(name),
                Err(error) => log::debug!("a store that can be no directory is not shown: {error}"),
            }
        }
        Ok(names)
    }

    fn store_attributes(&self, store: &StoreName) -> Result<Attributes> {
        if store.is_plain() {
            return self.datasets.attributes(store);
        }
        Ok(self.shared.store_attributes(file_time(self.shared.store_changed(store)?)))
    }

    fn store_attributes_of_late(&self, store: &StoreName, within: Duration) -> Result<Attributes> {
        if store.is_plain() || !self.traits.is_remote {
            return self.store_attributes(store);
        }
        let changed = self.shared.store_changed_of_late(store, within)?;
        Ok(self.shared.store_attributes(file_time(changed)))
    }

    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.check_write(store)?;
        let limit = self.shared.database.facts().most_key_chars;
        if store.as_str().chars().count() > limit {
            return Err(Error::NameTooLong { name: store.to_string(), limit });
        }
        match self.shared.database.create_store(&self.row(store, metadata)?)? {
            true => Ok(()),
            false => Err(Error::StoreExists { store: store.to_string() }),
        }
    }

    fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        self.check_write(from)?;
        self.check_write(to)?;
        let renamed =
            self.shared.database.rename_store(from.as_str(), to.as_str(), metadata_name)?;
        self.done(renamed, if renamed == Outcome::Taken { to } else { from })?;
        self.shared.versions.rename_store(from, to);
        self.shared.forget_changed(from);
        self.shared.forget_changed(to);
        Ok(())
    }

    fn drop_store(&self, store: &StoreName) -> Result<()> {
        self.check_write(store)?;
        self.done(self.shared.database.drop_store(store.as_str(), false)?, store)?;
        self.shared.forget_changed(store);
        self.shared.versions.forget_store(store, &[]);
        Ok(())
    }

    fn drop_store_if_empty(&self, store: &StoreName) -> Result<bool> {
        self.check_write(store)?;
        match self.shared.database.drop_store(store.as_str(), true)? {
            Outcome::NotEmpty => Ok(false),
            dropped => {
                self.shared.forget_changed(store);
                self.done(dropped, store).map(|()| true)
            }
        }
    }

    fn purge_store(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging> {
        self.check_write(store)?;
        let spares = |key: &str| Key::new(key).is_ok_and(|key| is_spared(&key, purge.input_key));
        let purged = self.shared.database.purge(store.as_str(), purge.at, &spares)?;
        let Some(purged) = purged else { return Err(self.shared.no_such_store(store)) };
        let spared: Vec<Key> = purged.spared.iter().filter_map(|key| Key::new(key).ok()).collect();
        self.shared.versions.forget_store(store, &spared);
        self.shared.look_again(store);
        Ok(Purging::done(Purged { removed: purged.removed, bytes: purged.bytes, spared }))
    }

    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata> {
        let row = self.shared.store(store)?;
        let StoreRow { id, name, created_at, accessed_at, modified_at, .. } = row;
        let times = StoreTimes { created_at, accessed_at, modified_at };
        Ok(StoreMetadata { id: Some(id), name, times })
    }

    fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.check_write(store)?;
        let own = self.metadata(store)?;
        let id = metadata.id.clone().or_else(|| own.id.clone());
        let given = StoreMetadata { id, ..metadata.clone() };
        // A copy of a store comes with an id and a name that are another store's here: it keeps its own.
        let with_own_id = StoreMetadata { id: own.id, ..given.clone() };
        let with_own_both = StoreMetadata { name: own.name, ..with_own_id.clone() };
        for metadata in [&given, &with_own_id, &with_own_both] {
            let row = self.row(store, metadata)?;
            match self.shared.database.replace_store(store.as_str(), &row)? {
                Outcome::Taken => {}
                outcome => {
                    self.shared.forget_changed(store);
                    return self.done(outcome, store);
                }
            }
            log::info!("metadata of store '{store}' has an id or a name that is another store's");
        }
        let shown = format!("keep the metadata of store '{store}'");
        Err(Error::backend(BackendErrorKind::Busy, shown, "others change it again and again"))
    }

    fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.check_write(store)?;
        // A change is an access.
        let Some(accessed_at) = accessed_at.or(modified_at) else { return Ok(()) };
        let touched = Touched { accessed_at, modified_at };
        let outcome = self.shared.database.touch(store.as_str(), touched)?;
        self.shared.look_again(store);
        self.done(outcome, store)
    }

    fn scan(&self, store: &StoreName) -> Result<Scan> {
        if store.is_plain() {
            return self.datasets.scan(store);
        }
        RecordScan::begin(&self.shared, store).map(|scan| Box::new(scan) as Scan)
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        if store.is_plain() {
            return self.datasets.record(store, key);
        }
        let (_, seen) = self.shared.head(&(store.clone(), key.clone()))?;
        Ok(self.shared.record_attributes(&seen))
    }

    fn kept_type(&self, store: &StoreName, key: &Key) -> Result<Option<RecordType>> {
        if store.is_plain() {
            return self.datasets.record(store, key).map(|_| None);
        }
        let (row, seen) = self.shared.head(&(store.clone(), key.clone()))?;
        Ok(Some(seen.record_type(&row.content_type)))
    }

    fn set_type(&self, store: &StoreName, key: &Key, record_type: &RecordType) -> Result<()> {
        self.check_write(store)?;
        let record = (store.clone(), key.clone());
        let record_type = self.shared.fitting(record_type.clone())?;
        let (text, to) = (self.shared.key_text(&record)?, record_type.content_type.as_str());
        let row = match self.shared.database.set_type(store.as_str(), text, to)? {
            Written::Done(row) => row,
            refused => return self.shared.written(refused, &record, false).map(drop),
        };
        let guessed = Some(record_type).filter(is_guessed);
        self.shared.versions.renew(&record, &row, guessed);
        self.shared.look_again(store);
        Ok(())
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        if store.is_plain() {
            return self.datasets.open(store, key);
        }
        Ok(Arc::new(self.shared.open(&(store.clone(), key.clone()))?))
    }

    fn stage(&self, store: Option<&StoreName>) -> Result<Staged> {
        store.map_or_else(|| self.refuse_if_read_only(), |store| self.check_write(store))?;
        staging::stage(&self.shared)
    }

    fn publish(
        &self,
        staged: Staged,
        publish: &Publish<'_>,
    ) -> Result<Arc<dyn Value>, PublishError> {
        match self.check_write(publish.store) {
            Ok(()) => staging::publish(&self.shared, staged, publish),
            Err(error) => Err((error, staged)),
        }
    }

    fn may_have_made(&self, store: &StoreName, key: &Key) -> bool {
        self.shared.versions.last(&(store.clone(), key.clone())).is_some()
    }

    fn check_key(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.check_write(store)?;
        self.shared.check_key(key).map(drop)
    }

    fn delete(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.check_write(store)?;
        let record = (store.clone(), key.clone());
        match self.shared.database.delete(store.as_str(), self.shared.key_text(&record)?)? {
            Outcome::Done => {
                self.shared.versions.forget(&record);
                self.shared.kept.forget(&record);
                self.shared.look_again(store);
                Ok(())
            }
            Outcome::NoRecord => Err(self.shared.no_such_record(&record)),
            outcome => self.done(outcome, store),
        }
    }

    fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        self.check_write(rename.from_store)?;
        self.check_write(rename.to_store)?;
        let from = (rename.from_store.clone(), rename.from_key.clone());
        let to = (rename.to_store.clone(), rename.to_key.clone());
        let to_key = self.shared.check_key(rename.to_key)?;
        let record_type = self.shared.fitting(rename.record_type.clone())?;
        if from == to {
            return self.set_type(&from.0, &from.1, &record_type);
        }
        let renamed = self.shared.database.rename(&Rename {
            from_store: from.0.as_str(),
            from_key: self.shared.key_text(&from)?,
            to_store: to.0.as_str(),
            to_key,
            content_type: record_type.content_type.as_str(),
            replace: rename.replace,
            at: this_moment(),
        })?;
        let row = match renamed {
            Written::Done(row) => row,
            Written::Refused => return self.shared.written(renamed, &to, true).map(drop),
            // One of the two is not there: which, a look tells.
            Written::NoStore => {
                self.shared.store(&from.0)?;
                return Err(self.shared.no_such_store(&to.0));
            }
            Written::NoRecord => return Err(self.shared.no_such_record(&from)),
        };
        self.shared.look_again(&from.0);
        self.shared.look_again(&to.0);
        self.shared.versions.rename(&from, &to, &row);
        self.shared.versions.renew(&to, &row, Some(record_type).filter(is_guessed));
        Ok(())
    }

    fn space(&self) -> Result<Space> {
        let (used, free) = self.shared.database.space()?;
        let spool = self.shared.spool.free();
        // What is written passes through the spool.
        let free = free.unwrap_or(UNKNOWN_ROOM).min(spool.unwrap_or(UNKNOWN_ROOM)) / BLOCK;
        let (files, files_free) = (1 << 32, 1 << 32);
        Ok(Space {
            block_size: BLOCK,
            blocks: used.div_ceil(BLOCK) + free,
            blocks_free: free,
            blocks_available: free,
            files,
            files_free,
        })
    }

    fn work(&self) -> Option<Work> {
        let (memory_bytes, spool_bytes) = self.shared.kept.bytes();
        Some(Work { memory_bytes, spool_bytes, ..self.shared.database.work() })
    }

    fn durability(&self) -> Option<&dyn Durability> {
        Some(self)
    }

    fn plain_directories(&self) -> Option<&dyn PlainDirectories> {
        Some(&self.datasets)
    }

    fn watchable(&self) -> Option<&dyn Watchable> {
        self.shared.database.watchable()
    }
}

impl Durability for SqlBackend {
    fn sync_record(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.record(store, key)?;
        self.shared.database.sync()
    }

    fn sync_stores(&self) -> Result<()> {
        self.shared.database.sync()
    }

    fn sync_store(&self, store: &StoreName) -> Result<()> {
        self.store_attributes(store)?;
        self.shared.database.sync()
    }
}
