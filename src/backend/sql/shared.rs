//! What all parts of an open database share: how its rows are shown as stores, records and versions.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::database::{Changed, Database, Lookup, Opened, RecordRow, StoreRow, Version, Written};
use crate::backend::elsewhere::{
    Bytes, Generations, KeptBytes, Moment, RecordId, RemoteValue, Seen, Shown, Versions, file_time,
};
use crate::backend::spool::{Fetched, Spool};
use crate::model::{
    Attributes, BackendErrorKind, ContentType, Error, Key, RecordType, Result, Stamp, StoreName,
};
use crate::ranks::{Mutex, Table};

/// Values up to this length in bytes are held in memory, and come in the round trip that opens them.
pub(super) const INLINE: u64 = 256 * 1024;

/// So many stores are remembered with the time of their last change.
const MOST_STORES: u64 = 1 << 12;

/// How often a record is opened anew that others replace between the look at it and its first bytes.
const MOST_TRIES: usize = 16;

/// When a store was changed last, as far as is known.
#[derive(Clone, Debug)]
struct KnownChange {
    changed: Changed,
    /// When the look began that has told it. `None` if this process has done something to the store since of which only
    /// the database knows when it was.
    looked: Option<Instant>,
}

/// An open database.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) database: Arc<dyn Database>,
    pub(super) spool: Spool,
    pub(super) versions: Versions<Version>,
    pub(super) kept: KeptBytes<Version>,
    /// When stores were changed last, as far as was looked.
    changed: Mutex<Table, Generations<StoreName, KnownChange>>,
    shown: Shown,
}

impl Shared {
    pub(super) fn new(database: Arc<dyn Database>, spool: Spool) -> Self {
        Self {
            database,
            spool,
            versions: Versions::default(),
            kept: KeptBytes::default(),
            changed: Mutex::new(Generations::new(MOST_STORES)),
            shown: Shown::default(),
        }
    }

    // Rows as they are shown

    /// Attributes of a version, which it keeps as long as it is there.
    pub(super) fn record_attributes(&self, seen: &Seen<Version>) -> Attributes {
        self.shown.record(seen.object, seen.size, seen.modified)
    }

    /// Attributes of an item of a dataset.
    pub(super) fn item_attributes(&self, number: u64, size: u64, made: SystemTime) -> Attributes {
        self.shown.read_only(number, size, made)
    }

    pub(super) fn store_attributes(&self, modified: SystemTime) -> Attributes {
        self.shown.store(modified)
    }

    /// The version in a row that a look has found which began at a moment. One that was not seen before was made when its
    /// store was changed last, as far as the database tells.
    pub(super) fn seen(
        &self,
        record: &RecordId,
        row: &RecordRow,
        began: Moment,
    ) -> Result<Seen<Version>> {
        self.seen_in(record, row, began, &mut || self.store_changed(&record.0))
    }

    /// The same, with a look at the store that need be made once only for many.
    pub(super) fn seen_in(
        &self,
        record: &RecordId,
        row: &RecordRow,
        began: Moment,
        modified: &mut dyn FnMut() -> Result<Timestamp>,
    ) -> Result<Seen<Version>> {
        if let Some(known) = self.versions.find(record, row, began) {
            return Ok(known);
        }
        let modified = match row.committed_at {
            Some(committed) => committed,
            None => modified()?,
        };
        Ok(self.versions.note(record, row, file_time(modified), began))
    }

    // Looks

    /// A store's row.
    pub(super) fn store(&self, store: &StoreName) -> Result<StoreRow> {
        self.database.store(store.as_str())?.ok_or_else(|| self.no_such_store(store))
    }

    /// When a store was changed last.
    pub(super) fn store_changed(&self, store: &StoreName) -> Result<Timestamp> {
        let (known, looked) = (self.known_change(store), Instant::now());
        let changed = self.database.changed(store.as_str(), known.as_ref())?;
        let changed = changed.ok_or_else(|| self.no_such_store(store))?;
        Ok(self.note_changed(store, changed, looked))
    }

    /// The same, as a look has told it that began no longer ago than `within`, and what this process has published since.
    pub(super) fn store_changed_of_late(
        &self,
        store: &StoreName,
        within: Duration,
    ) -> Result<Timestamp> {
        let is_of_late =
            |known: &&mut KnownChange| known.looked.is_some_and(|looked| looked.elapsed() < within);
        if let Some(known) = self.changed.lock().get(store).filter(is_of_late) {
            return Ok(known.changed.at);
        }
        self.store_changed(store)
    }

    fn known_change(&self, store: &StoreName) -> Option<Changed> {
        self.changed.lock().get(store).map(|known| known.changed.clone())
    }

    fn note_changed(&self, store: &StoreName, changed: Changed, looked: Instant) -> Timestamp {
        let mut table = self.changed.lock();
        // What was published here meanwhile may be missing from it.
        let known = table.get(store).filter(|known| known.changed.id == changed.id);
        let at = known.map_or(changed.at, |known| known.changed.at.max(changed.at));
        let known = KnownChange { changed: Changed { at, ..changed }, looked: Some(looked) };
        table.insert(store.clone(), known, 1);
        at
    }

    /// This process has published something in a store.
    pub(super) fn note_published(&self, store: &StoreName, at: Timestamp) {
        if let Some(known) = self.changed.lock().get(store) {
            known.changed.at = known.changed.at.max(at);
        }
    }

    /// This process has changed something else in a store.
    pub(super) fn look_again(&self, store: &StoreName) {
        if let Some(known) = self.changed.lock().get(store) {
            known.looked = None;
        }
    }

    /// A store's times were set, maybe back, or its name is another's.
    pub(super) fn forget_changed(&self, store: &StoreName) {
        self.changed.lock().remove(store);
    }

    /// A record's row, with what is known of its version.
    pub(super) fn head(&self, record: &RecordId) -> Result<(RecordRow, Seen<Version>)> {
        let began = self.versions.now();
        let (store, key) = (record.0.as_str(), self.key_text(record)?);
        if self.versions.last(record).is_some() {
            let row = self.found(record, self.database.head(store, key)?, began)?;
            let seen = self.seen(record, &row, began)?;
            return Ok((row, seen));
        }
        let (known, looked) = (self.known_change(&record.0), Instant::now());
        let (row, changed) = self.database.head_and_changed(store, key, known.as_ref())?;
        let changed = changed.map(|changed| self.note_changed(&record.0, changed, looked));
        let row = self.found(record, row, began)?;
        let seen = self.seen_in(record, &row, began, &mut || match changed {
            Some(changed) => Ok(changed),
            None => self.store_changed(&record.0),
        })?;
        Ok((row, seen))
    }

    /// The type of a record that a publish would replace, if there is one.
    pub(super) fn replaced_type(&self, record: &RecordId) -> Result<Option<RecordType>> {
        match self.head(record) {
            Ok((row, seen)) => Ok(Some(seen.record_type(&row.content_type))),
            Err(Error::NoSuchRecord { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a record's current version: its bytes are at hand, or come and are held together.
    pub(super) fn open(self: &Arc<Self>, record: &RecordId) -> Result<RemoteValue> {
        for _ in 0..MOST_TRIES {
            if let Some(value) = self.try_open(record)? {
                return Ok(value);
            }
        }
        let shown = format!("open record '{}' of store '{}'", record.1, record.0);
        Err(Error::backend(BackendErrorKind::Busy, shown, "others replace it again and again"))
    }

    /// `None` if others have replaced the record meanwhile.
    fn try_open(self: &Arc<Self>, record: &RecordId) -> Result<Option<RemoteValue>> {
        let kept = self.kept.find(record);
        let known = kept.as_ref().map(|(version, _)| *version);
        let key = self.key_text(record)?;
        let began = self.versions.now();
        let (opened, changed) = self.look_and_open(record, key, known)?;
        let opened = self.found(record, opened, began)?;
        let Some(version) = opened.row.version else {
            let shown = format!("open record '{}' of store '{}'", record.1, record.0);
            return Err(Error::backend(BackendErrorKind::Other, shown, "its version is not told"));
        };
        let bytes = match (opened.bytes, kept) {
            (Some(bytes), _) => Bytes::Memory(bytes.into()),
            (None, Some((kept, bytes))) if kept == version => bytes,
            (None, _) => match self.fetch(record, version, opened.row.size)? {
                Some(fetched) => Bytes::Spool(fetched),
                None => return Ok(None),
            },
        };
        if known != Some(version) {
            self.kept.keep(record, version, &bytes);
        }
        let seen = self.seen_in(record, &opened.row, began, &mut || match changed {
            Some(changed) => Ok(changed),
            None => self.store_changed(&record.0),
        })?;
        let record_type = seen.record_type(&opened.row.content_type);
        let attributes = self.record_attributes(&seen);
        Ok(Some(RemoteValue { bytes, attributes, record_type: Some(record_type) }))
    }

    /// Asks for a record, and along with it when its store was changed last, if nothing is known of the record: then it is
    /// as old as that.
    fn look_and_open(
        &self,
        record: &RecordId,
        key: &str,
        known: Option<Version>,
    ) -> Result<(Lookup<Opened>, Option<Timestamp>)> {
        let store = record.0.as_str();
        if known.is_some() || self.versions.last(record).is_some() {
            return Ok((self.database.open(store, key, INLINE, known)?, None));
        }
        let (before, looked) = (self.known_change(&record.0), Instant::now());
        let (opened, changed) =
            self.database.open_and_changed(store, key, INLINE, before.as_ref())?;
        Ok((opened, changed.map(|changed| self.note_changed(&record.0, changed, looked))))
    }

    /// Begins to fetch a large value. `None` if it is another by now.
    fn fetch(
        self: &Arc<Self>,
        record: &RecordId,
        version: Version,
        size: u64,
    ) -> Result<Option<Arc<Fetched>>> {
        let shared = Arc::clone(self);
        let (store, key) = (record.0.to_string(), self.key_text(record)?.to_owned());
        let fetch = move |take: &mut dyn FnMut(&[u8]) -> Result<()>| {
            shared.database.stream(&store, &key, version, take)
        };
        match Fetched::begin(self.spool.file()?, size, fetch) {
            Ok(fetched) => Ok(Some(fetched)),
            Err(Error::RecordReplaced { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The version of a record that has this stamp. Whether it is the current one, the database tells.
    pub(super) fn version_of(&self, record: &RecordId, stamp: Stamp) -> Result<Version> {
        let seen = self.versions.numbered(record, stamp.object);
        if let Some(version) = seen.and_then(|seen| seen.version) {
            return Ok(version);
        }
        // It was listed only, or is another's by now: one look tells.
        let began = self.versions.now();
        let opened = self.database.open(record.0.as_str(), self.key_text(record)?, 0, None)?;
        let row = self.found(record, opened, began)?.row;
        let seen = self.seen(record, &row, began)?;
        let version = row.version.filter(|_| seen.object == stamp.object);
        version.ok_or_else(|| self.replaced(record))
    }

    // What may be written

    /// A key as the database keeps it.
    pub(super) fn check_key<'a>(&self, key: &'a Key) -> Result<&'a str> {
        let text = key.require_unicode()?;
        let limit = self.database.facts().most_key_chars;
        if text.chars().count() > limit {
            return Err(Error::NameTooLong { name: text.to_owned(), limit });
        }
        if text.contains('\0') {
            let reason = "a key in a database has no NUL in it";
            return Err(Error::InvalidKey { key: text.to_owned(), reason });
        }
        Ok(text)
    }

    /// The type as the database can keep it: without its parameters if it is too long.
    pub(super) fn fitting(&self, record_type: RecordType) -> Result<RecordType> {
        let limit = self.database.facts().most_type_chars;
        let fits = |text: &str| text.chars().count() <= limit;
        if fits(record_type.content_type.as_str()) {
            return Ok(record_type);
        }
        let essence = record_type.content_type.essence();
        if !fits(essence) {
            return Err(Error::ContentTypeTooLong { limit });
        }
        Ok(RecordType { content_type: ContentType::new(essence), ..record_type })
    }

    /// What a write has made.
    pub(super) fn written(
        &self,
        written: Written,
        record: &RecordId,
        is_exclusive: bool,
    ) -> Result<RecordRow> {
        match written {
            Written::Done(row) => Ok(row),
            Written::NoStore => Err(self.no_such_store(&record.0)),
            Written::NoRecord => Err(self.no_such_record(record)),
            Written::Refused if is_exclusive => {
                let (store, key) = (record.0.to_string(), record.1.to_string());
                Err(Error::RecordExists { store, key })
            }
            Written::Refused => Err(self.replaced(record)),
        }
    }

    // Errors

    /// What a look has found that began at a moment. What is gone is forgotten.
    fn found<T>(&self, record: &RecordId, found: Lookup<T>, began: Moment) -> Result<T> {
        match found {
            Lookup::Found(found) => Ok(found),
            Lookup::NoRecord => {
                self.versions.absent(record, began);
                Err(self.no_such_record(record))
            }
            Lookup::NoStore => Err(self.no_such_store(&record.0)),
        }
    }

    pub(super) fn no_such_store(&self, store: &StoreName) -> Error {
        Error::NoSuchStore { store: store.to_string() }
    }

    pub(super) fn no_such_record(&self, record: &RecordId) -> Error {
        self.kept.forget(record);
        Error::NoSuchRecord { store: record.0.to_string(), key: record.1.to_string() }
    }

    pub(super) fn replaced(&self, record: &RecordId) -> Error {
        Error::RecordReplaced { store: record.0.to_string(), key: record.1.to_string() }
    }

    /// A key that may be in the database. No other is; not every database can even be asked for one with NUL.
    pub(super) fn key_text<'a>(&self, record: &'a RecordId) -> Result<&'a str> {
        let text = record.1.as_str().filter(|text| !text.contains('\0'));
        text.ok_or_else(|| self.no_such_record(record))
    }
}
