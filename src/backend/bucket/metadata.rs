//! A store's metadata: the object `__metadata__.json`, changed field by field.
//!
//! An edit reads, changes and writes. Where the server keeps conditions, it takes the place of what it has read and of
//! nothing else, and is made anew if somebody was faster.

use std::time::Instant;

use jiff::Timestamp;

use super::known_stores::KnownStore;
use super::requests::{Condition, Written};
use super::shared::{Conditions, Shared};
use crate::backend::MetadataText;
use crate::backend::directory::dialect::Dialect;
use crate::backend::document::Document;
use crate::backend::elsewhere::file_time;
use crate::model::{
    BackendErrorKind, Error, Result, StoreMetadata, StoreName, StoreTimes, epoch_ns,
};

/// So often is an edit tried anew because somebody else has written the object meanwhile.
const MOST_TRIES: usize = 16;

/// What becomes of metadata.
enum Edit {
    /// It stays as it is.
    Leave,
    /// What was changed is written.
    Write,
    /// This takes the place of what is there, if anything is.
    Make(Document),
}

impl Shared {
    /// The text of a store's metadata; `None` if it has none.
    pub(super) fn metadata_text(&self, store: &StoreName) -> Result<Option<MetadataText>> {
        match self.metadata_object(store)? {
            Some((object, text)) => {
                let number = u64::from_ne_bytes(epoch_ns(object.modified).to_ne_bytes());
                let attributes = self.shown.record(number, object.size, object.modified);
                Ok(Some(MetadataText { bytes: text.to_vec(), attributes }))
            }
            None => self.store(store).map(|_| None),
        }
    }

    /// A store's metadata. One without has times of its objects, and no id.
    pub(super) fn metadata(&self, store: &StoreName) -> Result<StoreMetadata> {
        if let Some((_, text)) = self.metadata_object(store)? {
            let document = Document::parse(&text).map_err(|reason| damaged(store, reason))?;
            return Ok(document.metadata().clone());
        }
        let known = self.store(store)?;
        let at = Timestamp::try_from(known.modified).unwrap_or_default();
        let times = StoreTimes { created_at: at, accessed_at: at, modified_at: at };
        Ok(StoreMetadata { id: None, name: store.metadata_name(), times })
    }

    /// Replaces the text of a store's metadata, or removes it.
    pub(super) fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()> {
        let known = self.store(store)?;
        let looked = Instant::now();
        let Some(text) = text else {
            self.stores.note(store, KnownStore { has_metadata: false, ..known }, looked);
            self.keep_store(store)?;
            let key = self.tree.metadata(store);
            let action = || format!("remove the metadata of store '{store}'");
            self.calls.wait(action, self.calls.delete(&key, self.calls.deadline()))?;
            self.stores.note(store, KnownStore { has_metadata: false, ..known }, looked);
            return Ok(());
        };
        Document::parse(text).map_err(|reason| damaged(store, reason))?;
        self.put_metadata(store, text.to_vec(), Condition::Anything).map(drop)
    }

    /// Replaces a store's metadata, keeping what else its text says.
    pub(super) fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        if self.store(store)?.dialect == Dialect::Js3 {
            let action = format!("set the metadata of store '{store}'");
            let reason = "a store in the layout of Crawlee JS 3 has none";
            return Err(Error::backend(BackendErrorKind::Unsupported, action, reason));
        }
        let edited = self.edit(store, |document| match document {
            Some(document) => {
                document.set(metadata);
                Edit::Write
            }
            None => Edit::Make(Document::new(metadata)),
        });
        // A time may have been set back.
        self.stores.forget(store);
        edited
    }

    /// Makes the metadata of a store that has none.
    pub(super) fn add_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        let text = Document::new(metadata).to_bytes();
        self.put_metadata(store, text, self.over_nothing()).map(drop)
    }

    /// Moves the store's times forward. A store without metadata, or with damaged, has none that could be moved.
    pub(super) fn touch(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.catch_up(store);
        self.edit_if(store, |document| document.touch(accessed_at, modified_at))
    }

    /// Notes in the metadata that the store was purged.
    pub(super) fn note_purged(&self, store: &StoreName, at: Timestamp) -> Result<()> {
        self.edit_if(store, |document| {
            document.set_purged(at);
            if store.is_plain() {
                document.set_emptied();
            }
            true
        })?;
        self.stores.forget(store);
        Ok(())
    }

    /// Edits metadata that is there and can be read.
    pub(super) fn edit_if(
        &self,
        store: &StoreName,
        mut change: impl FnMut(&mut Document) -> bool,
    ) -> Result<()> {
        self.edit(store, |document| match document.is_some_and(&mut change) {
            true => Edit::Write,
            false => Edit::Leave,
        })
    }

    /// Edits the metadata. `change` is given what is there, if it can be read.
    fn edit(
        &self,
        store: &StoreName,
        mut change: impl FnMut(Option<&mut Document>) -> Edit,
    ) -> Result<()> {
        for _ in 0..MOST_TRIES {
            let there = self.metadata_object(store)?;
            let mut document = there.as_ref().and_then(|(_, text)| {
                let parsed = Document::parse(text);
                parsed.inspect_err(|reason| log::warn!("{}", damaged(store, reason.clone()))).ok()
            });
            let text = match (change(document.as_mut()), document) {
                (Edit::Make(document), _) | (Edit::Write, Some(document)) => document.to_bytes(),
                (Edit::Write | Edit::Leave, _) if there.is_some() => return Ok(()),
                (Edit::Write | Edit::Leave, _) => return self.store(store).map(drop),
            };
            let condition = match (&there, self.conditions) {
                (_, Conditions::Ignored | Conditions::Unknown) => Condition::Anything,
                (Some((object, _)), _) => Condition::Only(&object.tag),
                (None, _) => Condition::Nothing,
            };
            if self.put_metadata(store, text, condition)? {
                return Ok(());
            }
        }
        let action = format!("change the metadata of store '{store}'");
        Err(Error::backend(BackendErrorKind::Busy, action, "others change it again and again"))
    }

    /// Writes the metadata's object. Gives back whether the condition held.
    fn put_metadata(
        &self,
        store: &StoreName,
        text: Vec<u8>,
        condition: Condition<'_>,
    ) -> Result<bool> {
        let said = Document::parse(&text).ok().map(|document| document.metadata().times);
        let looked = Instant::now();
        let written = self.put_text(&self.tree.metadata(store), text, condition)?;
        let is_done = matches!(written, Written::Done(..));
        if let (true, Some(times)) = (is_done, said) {
            let modified = file_time(times.modified_at);
            // Metadata makes it a store of sidecars, unless somebody has said what it is.
            let dialect = match self.given_dialect() {
                _ if store.is_plain() => Dialect::Plain,
                given => given.unwrap_or(Dialect::Sidecars),
            };
            self.stores.note(store, KnownStore { dialect, has_metadata: true, modified }, looked);
        }
        Ok(is_done)
    }
}

pub(super) fn damaged(store: &StoreName, reason: String) -> Error {
    Error::DamagedMetadata { store: store.to_string(), reason }
}
