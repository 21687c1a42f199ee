//! One store and the operations on its records.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use super::Storage;
use super::types;
use crate::backend::{
    Backend, ItemsFormat, Look, Over, Publish, PublishError, PublishType, Reader, RenameRecord,
    Scan, Staged, StagedFor, Value,
};
use crate::model::{
    AttributeChange, Attributes, ContentType, Error, Key, RecordType, Result, StoreMetadata,
    StoreName,
};

/// A handle on one store of a [`Storage`].
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) storage: Storage,
    pub(super) name: StoreName,
}

/// A record that was got: its value is one version, read as a whole or by range.
#[derive(Clone, Debug)]
pub struct Record {
    /// The key under which it is kept; for the input, this may be `INPUT.json` where `INPUT` was asked for.
    pub key: Key,
    /// The content type.
    pub content_type: ContentType,
    /// The value.
    pub value: Arc<dyn Value>,
}

impl Record {
    /// The value from its first byte on.
    #[must_use]
    pub fn reader(&self) -> Reader<Arc<dyn Value>> {
        Reader::new(Arc::clone(&self.value))
    }
}

/// How staged bytes become a record.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishAs<'a> {
    /// The content type if it was set by hand; else the engine finds it (P10).
    pub content_type: Option<&'a ContentType>,
    /// Whether the version must be durable when the call returns.
    pub durable: bool,
    /// What the version may take the place of.
    pub over: Over,
}

impl Store {
    pub(super) fn new(storage: Storage, name: StoreName) -> Self {
        Self { storage, name }
    }

    /// The store's name: its directory name.
    #[must_use]
    pub fn name(&self) -> &StoreName {
        &self.name
    }

    /// The storage it belongs to.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    // The SDKs' operations

    /// The store's metadata, including what was read and changed up to now.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::DamagedMetadata`].
    pub fn get_metadata(&self) -> Result<StoreMetadata> {
        self.storage.write_back_store(&self.name)?;
        self.backend().metadata(&self.name)
    }

    /// The record of a key, or nothing. The input key finds the input record in any of its spellings.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn get_value(&self, key: &Key) -> Result<Option<Record>> {
        let key = self.resolve(key)?;
        let value = match self.open_value(&key) {
            Err(Error::NoSuchRecord { .. }) => return Ok(None),
            value => value?,
        };
        let content_type = self.content_type_of(&key, &value)?;
        Ok(Some(Record { key, content_type, value }))
    }

    /// Stores a value, read from `value` to its end, in one step. Without a content type the engine finds one.
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::NameTooLong`], [`Error::SecondInput`], [`Error::InvalidContentType`],
    /// [`Error::ContentTypeTooLong`], [`Error::Io`]; then nothing has changed.
    pub fn set_value_from(
        &self,
        key: &Key,
        value: &mut dyn Read,
        content_type: Option<&ContentType>,
    ) -> Result<()> {
        content_type.map_or(Ok(()), types::check)?;
        let resolved = self.resolve(key)?;
        let key = match self.own_key(&resolved, content_type)? {
            Some(own) => own,
            None => resolved,
        };
        self.backend().check_key(&self.name, &key)?;
        self.refuse_second_input(&key)?;
        let staging = self.stage()?;
        // Not a byte of the old value: only its owner and mode.
        if self.storage.traits().keeps_owner_and_mode
            && let Ok(old) = self.backend().open_value(&self.name, &key)
        {
            staging.begin_with(&old, 0)?;
        }
        copy(value, &staging)?;
        let publish = PublishAs { content_type, ..PublishAs::default() };
        self.publish(&key, staging, &publish).map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Removes a record; gives back whether there was one.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn delete_value(&self, key: &Key) -> Result<bool> {
        match self.delete(&self.resolve(key)?) {
            Err(Error::NoSuchRecord { .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Whether there is a record of this key.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn record_exists(&self, key: &Key) -> Result<bool> {
        let exists = self.exists(&self.resolve(key)?)?;
        self.storage.activity().accessed(&self.name);
        Ok(exists)
    }

    /// Removes the store.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn drop_store(&self) -> Result<()> {
        let drop = || self.backend().drop_store(&self.name);
        self.storage.instead_of_times(&self.name, drop, |()| true)
    }

    /// Removes the store if it has no records, in one step. Gives back whether it was removed; if not, nothing was
    /// done.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn drop_if_empty(&self) -> Result<bool> {
        let drop = || self.backend().drop_store_if_empty(&self.name);
        self.storage.instead_of_times(&self.name, drop, |removed| *removed)
    }

    // The parts that a file system is made of

    /// Attributes of the store.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    pub fn attributes(&self) -> Result<Attributes> {
        self.backend().store_attributes(&self.name)
    }

    /// The same as they were no longer ago than `within`, with what this process has changed since.
    ///
    /// # Errors
    /// As [`attributes`](Self::attributes).
    pub fn attributes_of_late(&self, within: Duration) -> Result<Attributes> {
        self.backend().store_attributes_of_late(&self.name, within)
    }

    /// All items of a dataset in their order, as one text that stays as it is: this is a dataset's directory. As long as
    /// the items are the same, so is the value that is given back.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; [`Error::Io`] for an item that is no JSON though others follow it.
    pub fn items(&self, format: ItemsFormat) -> Result<Arc<dyn Value>> {
        let plain = self.storage.plain_directories("read the items of", &self.name)?;
        plain.items(&self.name, format)
    }

    /// Changes owner, mode and times of the store, as far as the storage keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn set_attributes(&self, change: &AttributeChange) -> Result<Attributes> {
        match self.backend().posix() {
            Some(posix) => posix.set_store_attributes(&self.name, change),
            None => self.attributes(),
        }
    }

    /// All records, in the order that the storage has, with what a listing tells of them.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn scan(&self) -> Result<Scan> {
        self.backend().scan(&self.name)
    }

    /// Notes that the store was read.
    pub fn accessed(&self) {
        self.storage.activity().accessed(&self.name);
    }

    /// Whether the store has any record.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.scan()?.next().transpose()?.is_none())
    }

    /// Attributes of a record.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::NoSuchStore`].
    pub fn record(&self, key: &Key) -> Result<Attributes> {
        let record = self.backend().record(&self.name, key);
        self.storage.note_answer(record.as_ref().err());
        record
    }

    /// Lets `act` look at many records, each as [`record`](Self::record) does. The store stays in its place
    /// meanwhile, so `act` must be quick.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    pub fn look_at_records(&self, act: &mut dyn FnMut(&mut Look<'_>)) -> Result<()> {
        self.backend().look_at_records(&self.name, act)
    }

    /// Whether other programs write values of the store where they are, so that one with another time may have other
    /// bytes.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn is_rewritten_in_place(&self) -> Result<bool> {
        match self.backend().dialects() {
            Some(dialects) => dialects.is_rewritten_in_place(&self.name),
            None => Ok(false),
        }
    }

    /// Changes owner, mode and times of a record's value, as far as the storage keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn set_record_attributes(&self, key: &Key, change: &AttributeChange) -> Result<Attributes> {
        match self.backend().posix() {
            Some(posix) => posix.set_attributes(&self.name, key, change),
            None => self.record(key),
        }
    }

    /// Opens a record's current version.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::NoSuchStore`], [`Error::Io`].
    pub fn open_value(&self, key: &Key) -> Result<Arc<dyn Value>> {
        let value = self.backend().open_value(&self.name, key)?;
        self.storage.activity().accessed(&self.name);
        Ok(value)
    }

    /// Whether this process may have made the record since a look found none.
    pub fn may_have_made(&self, key: &Key) -> bool {
        self.backend().may_have_made(&self.name, key)
    }

    /// Checks that a record could be kept under this key.
    ///
    /// # Errors
    /// [`Error::NameTooLong`], [`Error::InvalidKey`], [`Error::NotUnicode`].
    pub fn check_key(&self, key: &Key) -> Result<()> {
        self.backend().check_key(&self.name, key)
    }

    /// Begins a new version of a record.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ReadOnly`]: also where nothing can be published in the store.
    pub fn stage(&self) -> Result<Staged> {
        self.backend().stage(Some(&self.name))
    }

    /// The same for bytes that are kept aside if the process ends before they are published (P21): those of the record
    /// `key`, over the version of it that is the object `base`, of which `copied` bytes are to be copied first.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    pub fn stage_for(&self, key: &Key, base: Option<u64>, copied: u64) -> Result<Staged> {
        self.backend().stage_for(&StagedFor { store: &self.name, key, base, copied })
    }

    /// Makes staged bytes the record.
    ///
    /// # Errors
    /// [`Error::RecordExists`], [`Error::NoSuchRecord`] and [`Error::RecordReplaced`] as `publish.over` says,
    /// [`Error::NoSuchStore`], [`Error::Io`]; the old version then stays,
    /// and the staged bytes come back with the error.
    pub fn publish(
        &self,
        key: &Key,
        staging: Staged,
        publish: &PublishAs<'_>,
    ) -> Result<Arc<dyn Value>, PublishError> {
        let decide =
            |staging: &Staged, replaced: Option<&_>| self.decide_type(key, staging, replaced);
        // Nobody keeps the type of a file in a plain directory.
        let of_plain = self.name.is_plain().then(ContentType::bytes);
        let content_type = match publish.content_type.or(of_plain.as_ref()) {
            Some(content_type) => PublishType::Given(content_type),
            None => PublishType::Decided(&decide),
        };
        if let Some(by_hand) = publish.content_type.filter(|_| of_plain.is_none())
            && let Err(error) = self.warn_unless_fits(key, &staging, by_hand)
        {
            return Err((error, staging));
        }
        let (durable, over) = (publish.durable, publish.over);
        let publishing = Publish { store: &self.name, key, content_type, durable, over };
        let published = self.backend().publish(staging, &publishing);
        self.storage.note_answer(published.as_ref().err().map(|(error, _)| error));
        let value = published?;
        self.storage.moved_aside().forget(&self.name, key);
        self.storage.activity().modified(&self.name);
        if publish.durable {
            // The record is durable; metadata that cannot be written is tried again later.
            if let Err(error) = self.storage.write_back_store(&self.name) {
                log::warn!("times of store '{}' are not written yet: {error}", self.name);
            }
        }
        Ok(value)
    }

    /// Removes a record that is there.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::NoSuchStore`], [`Error::Io`].
    pub fn delete(&self, key: &Key) -> Result<()> {
        self.backend().delete(&self.name, key)?;
        self.storage.activity().modified(&self.name);
        Ok(())
    }

    /// Moves a record to another key or store. Its type follows the rules of publishing (P10), unless
    /// `content_type` says that it was set by hand.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`]; [`Error::RecordExists`] if it may be over nothing; [`Error::SecondInput`].
    pub fn rename_record(
        &self,
        key: &Key,
        to_store: &Store,
        to_key: &Key,
        publish: &PublishAs<'_>,
    ) -> Result<()> {
        self.backend().check_key(&to_store.name, to_key)?;
        // An input that gets another spelling is one afterwards, as before.
        if self.name != to_store.name || self.other_input_keys(key).is_empty() {
            to_store.refuse_second_input(to_key)?;
        }
        let record_type = match publish.content_type {
            Some(content_type) => RecordType::given(content_type.clone()),
            None if to_store.name.is_plain() => RecordType::given(ContentType::bytes()),
            None => self.type_after_rename(key, to_store, to_key)?,
        };
        self.backend().rename_record(&RenameRecord {
            from_store: &self.name,
            from_key: key,
            to_store: &to_store.name,
            to_key,
            record_type: &record_type,
            replace: publish.over != Over::Nothing,
        })?;
        self.note_moved(key, to_store, to_key, &record_type);
        self.storage.activity().modified(&self.name);
        to_store.storage.activity().modified(&to_store.name);
        Ok(())
    }

    /// Gives a bare file the content type that it shows (P11). Gives back whether it had none.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn adopt(&self, key: &Key) -> Result<bool> {
        if self.backend().content_type(&self.name, key)?.is_some() {
            return Ok(false);
        }
        let value = self.backend().open_value(&self.name, key)?;
        self.backend().set_type(&self.name, key, &self.guess(key, &value)?)?;
        Ok(true)
    }

    /// Makes a record durable, whoever has published it, and what else was published through this storage.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn sync_record(&self, key: &Key) -> Result<()> {
        self.storage.write_back_store(&self.name)?;
        match self.backend().durability() {
            Some(durability) => durability.sync_record(&self.name, key),
            None => self.record(key).map(drop),
        }
    }

    /// Makes durable what was published.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        self.storage.write_back_store(&self.name)?;
        match self.backend().durability() {
            Some(durability) => durability.sync_store(&self.name),
            None => self.attributes().map(drop),
        }
    }

    // Inside

    pub(super) fn exists(&self, key: &Key) -> Result<bool> {
        match self.record(key) {
            Err(Error::NoSuchRecord { .. }) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// The key under which the record that an SDK means by `key` is kept: the input in any of its spellings,
    /// a JS 3 record with its extension. The key itself if there is no other.
    fn resolve(&self, key: &Key) -> Result<Key> {
        let is_input = key.as_bytes() == self.storage.input_key().as_bytes();
        // Nothing to look at where no other key can be meant.
        if (!is_input && self.backend().dialects().is_none()) || self.exists(key)? {
            return Ok(key.clone());
        }
        let found = if is_input { self.find_input()? } else { self.own_key(key, None)? };
        Ok(found.unwrap_or_else(|| key.clone()))
    }

    /// The key under which a dialect keeps, or would keep, the record of a key, where that is another one.
    pub(super) fn own_key(
        &self,
        key: &Key,
        content_type: Option<&ContentType>,
    ) -> Result<Option<Key>> {
        match self.backend().dialects() {
            Some(dialects) => dialects.resolve_key(&self.name, key, content_type),
            None => Ok(None),
        }
    }

    /// Makes the store's metadata if it has none and keeps some.
    pub(super) fn complete_metadata(&self, metadata: &StoreMetadata) -> Result<()> {
        match self.backend().dialects() {
            Some(dialects) if !self.has_metadata()? => {
                dialects.complete_metadata(&self.name, metadata)
            }
            _ => Ok(()),
        }
    }

    /// What reading a record has failed with: an error of ours as it is, since it says what to do about it.
    pub(super) fn reading(&self, key: &Key, error: io::Error) -> Error {
        let error = match error.downcast::<Error>() {
            Ok(own) => return own,
            Err(error) => error,
        };
        Error::io(format!("read record '{key}' of store '{}'", self.name), error)
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.storage.backend()
    }
}

/// Copies a stream into staging in pieces that fit a cache.
fn copy(value: &mut dyn Read, staging: &Staged) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut offset = 0;
    loop {
        let count = match value.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read the new value", error)),
        };
        staging.write_at(buffer.get(..count).unwrap_or_default(), offset)?;
        offset += count as u64;
    }
}
