//! One record: whether it is there already, and how it gets there.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::Store;
use super::known::{Known, There};
use super::version::{Version, have_same_bytes, open};
use super::{Copied, CopyNews, CopyOptions, TellCopy, ends_store, is_outdated, threads};
use crate::backend::{Listed, Over, Publish, PublishType, Staged};
use crate::failpoint;
use crate::model::{
    AttributeChange, BackendErrorKind, ContentType, Error, Key, RecordType, Result, TimeChange,
};
use crate::ranks::{Mutex, TableEntry};

/// Records at a time where a network is between: as many as a storage has connections.
const REMOTE_THREADS: usize = 8;

/// The same where both are at hand.
const LOCAL_THREADS: usize = 1;

/// So often is a record looked at anew that others replace meanwhile.
const MOST_LOOKS: usize = 8;

/// The copy of one store's records.
pub(super) struct RecordCopy<'a> {
    from: &'a Store,
    to: &'a Store,
    options: CopyOptions,
    known: Known,
    tell: &'a TellCopy<'a>,
    /// Digests of the keys that the source's records have in the target, if the others are to go. A leaf.
    keys: Mutex<TableEntry, HashSet<u64>>,
    hasher: RandomState,
    /// Whether it is not known of some record under which key the target would have it.
    has_unknown_key: AtomicBool,
}

/// What became of a record.
enum Fate {
    Sent(u64),
    Same,
    /// There is none any more.
    Gone,
}

impl<'a> RecordCopy<'a> {
    pub(super) fn new(
        from: &'a Store,
        to: &'a Store,
        options: CopyOptions,
        known: Known,
        tell: &'a TellCopy<'a>,
    ) -> Self {
        let (keys, hasher) = (Mutex::default(), RandomState::new());
        let has_unknown_key = AtomicBool::new(false);
        Self { from, to, options, known, tell, keys, hasher, has_unknown_key }
    }

    /// Copies all records that are not there yet.
    ///
    /// # Errors
    /// What ends the copy of the store.
    pub(super) fn copy_all(&self) -> Result<Copied> {
        let scan = match self.from.scan() {
            // Somebody has removed it.
            Err(Error::NoSuchStore { .. }) => return Ok(Copied::default()),
            scan => scan?,
        };
        let copied = threads::each(scan, self.threads(), &|listed| {
            let key = listed.key.clone();
            let fate = self.copy(listed);
            (self.tell)(CopyNews::Looked);
            let mut copied = Copied::default();
            match self.unless_failed(&key, fate)? {
                Some(Fate::Sent(size)) => (copied.sent, copied.bytes) = (1, size),
                Some(Fate::Same) => copied.same = 1,
                Some(Fate::Gone) => {}
                None => copied.failed = 1,
            }
            Ok(copied)
        });
        match copied {
            Err(Error::NoSuchStore { .. }) if !self.from.is_there()? => Ok(Copied::default()),
            copied => copied,
        }
    }

    /// Removes the target's records that the source does not have.
    ///
    /// # Errors
    /// What ends the copy of the store.
    pub(super) fn remove_others(&self) -> Result<Copied> {
        if self.has_unknown_key.load(Ordering::Relaxed) {
            let what = "nothing is removed from it, as not every record could be read";
            (self.tell)(CopyNews::StoreFailed(format!("store '{}': {what}", self.to.name)));
            return Ok(Copied { failed: 1, ..Copied::default() });
        }
        threads::each(self.to.scan()?, self.threads(), &|listed| {
            let removed = self.remove_unless_in_source(&listed.key);
            let removed = self.unless_failed(&listed.key, removed)?;
            let failed = u64::from(removed.is_none());
            Ok(Copied { removed: u64::from(removed == Some(true)), failed, ..Copied::default() })
        })
    }

    fn threads(&self) -> usize {
        let is_remote = |store: &Store| store.storage.traits().is_remote;
        if is_remote(self.from) || is_remote(self.to) { REMOTE_THREADS } else { LOCAL_THREADS }
    }

    /// Tells what went wrong with one record, and goes on if the next one may fare better.
    fn unless_failed<T>(&self, key: &Key, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(error) if ends_store(&error) => Err(error),
            Err(error) => {
                (self.tell)(CopyNews::RecordFailed(key, &error));
                Ok(None)
            }
        }
    }

    // One record

    /// Copies a record as it is when it is read. One that is replaced just then is read anew.
    fn copy(&self, listed: Listed) -> Result<Fate> {
        self.note_key(&listed.key);
        let mut fate = self.try_copy(&listed);
        for _ in 1..MOST_LOOKS {
            match &fate {
                Err(error) if is_outdated(error) => fate = self.try_copy(&listed),
                _ => break,
            }
        }
        fate
    }

    fn try_copy(&self, listed: &Listed) -> Result<Fate> {
        let version = match self.open(&listed.key) {
            Ok(Some(version)) => version,
            Ok(None) => return Ok(Fate::Gone),
            Err(error) => {
                let own = self.to.own_key(&listed.key, Some(&ContentType::bytes()));
                if !matches!(own, Ok(None)) {
                    self.has_unknown_key.store(true, Ordering::Relaxed);
                }
                return Err(error);
            }
        };
        let (size, content_type) = (version.attributes.size, &version.record_type.content_type);
        let key = self.key_there(&listed.key, content_type)?;
        let key = key.as_ref().unwrap_or(&listed.key);
        self.note_key(key);
        self.check(key, &version)?;
        let there = self.known.look(self.to, key, size, content_type)?;
        if there == There::Maybe && self.is_same(key, &version)? {
            return Ok(Fate::Same);
        }
        self.make_room_for_input(key)?;
        if !self.options.dry_run {
            self.send(key, &version, there)?;
        }
        Ok(Fate::Sent(size))
    }

    /// The key under which the target keeps the record, where that is another one: a store of Crawlee JS 3 has the type
    /// in its keys.
    fn key_there(&self, key: &Key, content_type: &ContentType) -> Result<Option<Key>> {
        let there = unless_absent(self.to.own_key(key, Some(content_type)), None)?;
        // The source may be such a store, too; then the key is one already.
        match there {
            Some(_) if self.from.own_key(key, Some(content_type))?.is_some() => Ok(None),
            there => Ok(there),
        }
    }

    fn note_key(&self, key: &Key) {
        if self.options.purge {
            self.keys.lock().insert(self.hasher.hash_one(key));
        }
    }

    /// Opens the current version with its type; `None` if there is none any more.
    fn open(&self, key: &Key) -> Result<Option<Version>> {
        let mut looks = 1..=MOST_LOOKS;
        loop {
            let version = match open(self.from, key) {
                Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => return Ok(None),
                version => version?,
            };
            looks.next();
            // Where the type does not come with the value, it may be another version's.
            if version.value.record_type().is_some() || looks.is_empty() {
                return Ok(Some(version));
            }
            match self.from.record(key) {
                Ok(now) if now.stamp.same_bytes(&version.attributes.stamp) => {
                    return Ok(Some(version));
                }
                Ok(_) | Err(Error::NoSuchRecord { .. }) => {}
                Err(Error::NoSuchStore { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Refuses what the target cannot keep as it is, before anything is sent.
    fn check(&self, key: &Key, version: &Version) -> Result<()> {
        unless_absent(self.to.check_key(key), ())?;
        let limits = self.to.storage.traits().limits;
        let content_type = version.record_type.content_type.as_str();
        if let Some(limit) = limits.content_type_chars
            && content_type.chars().count() > limit
        {
            return Err(Error::ContentTypeTooLong { limit });
        }
        let size = version.attributes.size;
        match limits.value_bytes {
            Some(limit) if size > limit => {
                let said = format!("it has {size} bytes, and at most {limit} are kept there");
                Err(Error::backend(BackendErrorKind::TooLarge, "send the value", said))
            }
            _ => Ok(()),
        }
    }

    /// Whether the target has the same bytes and type.
    fn is_same(&self, key: &Key, version: &Version) -> Result<bool> {
        let there = match open(self.to, key) {
            Err(error) if is_outdated(&error) => return Ok(false),
            there => there?,
        };
        let is_typed_so = version.record_type.content_type == there.record_type.content_type;
        // A store of Crawlee JS 3 keeps no types but those that its keys say.
        if !is_typed_so && !self.to.is_rewritten_in_place()? {
            return Ok(false);
        }
        let size = version.attributes.size;
        if size != there.attributes.size {
            return Ok(false);
        }
        have_same_bytes(&*version.value, &*there.value, size)
    }

    /// Sees to it that the target does not get a second input, which the Apify SDK would not open, unless the source has
    /// both.
    fn make_room_for_input(&self, key: &Key) -> Result<()> {
        for other in self.to.other_input_keys(key) {
            let is_there = unless_absent(self.to.exists(&other), false)?;
            if !is_there || self.is_in_source(&other)? {
                continue;
            }
            if !self.options.purge {
                return Err(self.to.second_input(key, &other));
            }
            if !self.options.dry_run {
                self.to.backend().delete(&self.to.name, &other)?;
            }
        }
        Ok(())
    }

    fn is_in_source(&self, key: &Key) -> Result<bool> {
        unless_absent(self.from.exists(key), false)
    }

    fn send(&self, key: &Key, version: &Version, there: There) -> Result<()> {
        let Version { value, attributes, record_type } = version;
        failpoint::pass("copy: about to send");
        let staged = self.to.stage()?;
        let is_kept = self.to.storage.traits().keeps_owner_and_mode;
        let has_mode = is_kept && self.from.storage.traits().keeps_owner_and_mode;
        if is_kept && !has_mode && there != There::No {
            // As when the record is written by anybody else: the owner and mode that it has there.
            if let Ok(old) = self.to.backend().open_value(&self.to.name, key) {
                staged.begin_with(&old, 0)?;
            }
        }
        let is_whole = staged.copy_from(&**value, attributes.size)?;
        // Crawlee JS 3 writes values where they are.
        if !is_whole || !value.attributes()?.stamp.same_bytes(&attributes.stamp) {
            let (store, key) = (self.from.name.to_string(), key.to_string());
            return Err(Error::RecordReplaced { store, key });
        }
        if has_mode {
            let modified = Some(TimeChange::At(attributes.modified));
            let mode = Some(attributes.mode);
            staged.set_attributes(&AttributeChange { mode, modified, ..Default::default() })?;
        }
        let decide = |_: &Staged, _: Option<&RecordType>| Ok(record_type.clone());
        let publish = Publish {
            store: &self.to.name,
            key,
            content_type: PublishType::Decided(&decide),
            // The store as a whole is made durable in the end.
            durable: false,
            over: Over::Anything,
        };
        // Not by the store's own publish, which would move the times of its metadata.
        self.to.backend().publish(staged, &publish).map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Gives back whether the record was removed.
    fn remove_unless_in_source(&self, key: &Key) -> Result<bool> {
        let is_known = self.keys.lock().contains(&self.hasher.hash_one(key));
        // It may have come since.
        if is_known || self.is_in_source(key)? {
            return Ok(false);
        }
        if self.options.dry_run {
            return Ok(true);
        }
        match self.to.backend().delete(&self.to.name, key) {
            Err(Error::NoSuchRecord { .. }) => Ok(false),
            deleted => deleted.map(|()| true),
        }
    }
}

/// What holds where the store is not there: in a dry run it need not be made.
fn unless_absent<T>(looked: Result<T>, absent: T) -> Result<T> {
    match looked {
        Err(Error::NoSuchStore { .. }) => Ok(absent),
        looked => looked,
    }
}
