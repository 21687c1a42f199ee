//! What a bucket can besides what every storage can.

use std::sync::Arc;

use super::backend::BucketBackend;
use super::fetch::reading;
use super::records::{Found, id};
use super::requests::{Condition, Got, Wanted};
use super::shared::Shared;
use super::tree::sidecar_of;
use super::{doctor, scan};
use crate::backend::directory::dialect::{self, Dialect};
use crate::backend::directory::layout;
use crate::backend::directory::sidecar::{Sidecar, input_text};
use crate::backend::items::{Item, ItemBytes, ItemTexts, TakeItem, is_dataset, item_number};
use crate::backend::{
    Dialects, Findings, ItemsFormat, KeptSidecar, Listed, MetadataFiles, MetadataText,
    PlainDirectories, Repair, Value,
};
use crate::model::{
    AttributeChange, ContentType, Error, Finding, Key, RecordType, Result, StoreMetadata, StoreName,
};

/// Longest item of a dataset in bytes that is read as a whole.
const MOST_ITEM_BYTES: u64 = 1 << 30;

/// Datasets as one text each.
#[derive(Debug, Default)]
pub(super) struct ItemsOfDatasets(ItemTexts);

impl MetadataFiles for BucketBackend {
    fn metadata_text(&self, store: &StoreName) -> Result<Option<MetadataText>> {
        self.shared.metadata_text(store)
    }

    fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.set_metadata_text(store, text)
    }

    fn set_metadata_attributes(&self, store: &StoreName, _: &AttributeChange) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.store(store).map(drop)
    }

    fn sidecar_text(&self, store: &StoreName, key: &Key) -> Result<Option<MetadataText>> {
        let record = id(store, key);
        let Found { place, key: value, object } = self.shared.find(&record)?;
        if place.dialect != Dialect::Sidecars {
            return Ok(None);
        }
        let text = self.shared.sidecar_object(&record, &value)?;
        Ok(text.map(|(sidecar, text)| {
            let began = self.shared.versions.now();
            let own = self.shared.attributes(&record, &object, object.modified, began);
            let shown = self.shared.shown;
            let attributes = shown.record(own.stamp.object, sidecar.size, sidecar.modified);
            MetadataText { bytes: text.to_vec(), attributes }
        }))
    }

    fn set_sidecar(&self, store: &StoreName, key: &Key, text: &[u8]) -> Result<KeptSidecar> {
        self.refuse_if_read_only()?;
        let record = id(store, key);
        let sidecar = Sidecar::parse(text).map_err(|reason| Error::DamagedSidecar {
            store: store.to_string(),
            key: key.to_string(),
            reason,
        });
        let Found { place, key: value, object } = self.shared.find(&record)?;
        let sidecar = sidecar?;
        self.shared.set_type(&record, &sidecar.record_type)?;
        if place.dialect != Dialect::Sidecars {
            return Ok(KeptSidecar::Not);
        }
        if !sidecar.is_sound(key, &self.shared.input_key, object.size) {
            return Ok(KeptSidecar::Type);
        }
        self.shared.put_text(&sidecar_of(&value), text.to_vec(), Condition::Anything)?;
        Ok(KeptSidecar::Text)
    }

    fn set_sidecar_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        _: &AttributeChange,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.find(&id(store, key)).map(drop)
    }
}

impl PlainDirectories for BucketBackend {
    fn directories(&self, directory: &StoreName) -> Result<Vec<String>> {
        let is_root = directory.is_plain() && directory.components().next().is_none();
        if !is_root {
            self.shared.store_of_late(directory, super::known_stores::LATE)?;
        }
        let mut names = self.shared.directories(&self.shared.tree.directory(directory))?;
        names.retain(|name| !(is_root && name == layout::PRIVATE));
        Ok(names)
    }

    fn create_directory(&self, directory: &StoreName) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.create_directory(directory)
    }

    fn remove_directory(&self, directory: &StoreName) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.remove_directory(directory)
    }

    fn rename_directory(&self, from: &StoreName, to: &StoreName, replace: bool) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.rename_directory(from, to, replace)
    }

    fn items(&self, dataset: &StoreName, format: ItemsFormat) -> Result<Arc<dyn Value>> {
        if !is_dataset(dataset) {
            return Err(Error::NoSuchStore { store: dataset.to_string() });
        }
        let give = |take: &mut TakeItem<'_>| give_items(&self.shared, dataset, take);
        self.items.0.text(&self.shared.spool, dataset, format, &give)
    }
}

/// The items of a dataset. A listing of a bucket has no holes: it is in the order of keys, and so of numbers.
fn give_items(shared: &Arc<Shared>, dataset: &StoreName, take: &mut TakeItem<'_>) -> Result<()> {
    for listed in scan::begin(shared, dataset)? {
        let Listed { key, attributes, .. } = listed?;
        let (Some(number), Some(attributes)) = (item_number(key.as_bytes()), attributes) else {
            continue;
        };
        let record = id(dataset, &key);
        let read = || {
            let (_, keys) = shared.value_keys(&record)?;
            let key = keys.into_iter().next().ok_or_else(|| shared.absent(&record))?;
            let deadline = shared.calls.deadline();
            let got = shared.calls.get(&key, 0..MOST_ITEM_BYTES, Wanted::Any, deadline);
            Ok(match shared.calls.wait(|| reading(&record), got)? {
                Got::Some(_, bytes) => Some(bytes.to_vec()),
                Got::Known | Got::Changed | Got::Absent => None,
            })
        };
        let bytes = ItemBytes::File(attributes.stamp, Box::new(read));
        if take(Item { number, bytes })?.is_break() {
            break;
        }
    }
    Ok(())
}

impl Repair for BucketBackend {
    fn heal(&self) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.complete_all()
    }

    fn examine(&self) -> Result<Findings> {
        let findings = doctor::examine(&self.shared)?;
        Ok(Box::new(findings.into_iter().map(Ok)))
    }

    fn examine_store(&self, store: &StoreName) -> Result<Findings> {
        doctor::examine_store(&self.shared, store)
    }

    fn mend(&self, finding: &Finding, record_type: Option<&RecordType>) -> Result<()> {
        self.refuse_if_read_only()?;
        doctor::mend(&self.shared, finding, record_type)
    }

    fn unwritable(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl Dialects for BucketBackend {
    fn resolve_key(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: Option<&ContentType>,
    ) -> Result<Option<Key>> {
        if self.shared.place(store)?.dialect != Dialect::Js3 {
            return Ok(None);
        }
        if let Some(content_type) = content_type {
            return Ok(dialect::js3_key_for(key, content_type));
        }
        for listed in scan::begin(&self.shared, store)? {
            let listed = listed?.key;
            if dialect::js3_is_known_as(&listed, key) {
                return Ok(Some(listed));
            }
        }
        Ok(None)
    }

    fn is_type_in_doubt(&self, store: &StoreName, _: &Key) -> Result<bool> {
        // It travels with the value, or the sidecar knows the value's length.
        self.shared.place(store).map(|_| false)
    }

    fn is_rewritten_in_place(&self, store: &StoreName) -> Result<bool> {
        // An object is replaced as a whole.
        self.shared.place(store).map(|_| false)
    }

    fn adopt_input(
        &self,
        store: &StoreName,
        key: &Key,
        input_key: &str,
        content_type: &ContentType,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        let record = id(store, key);
        let Found { place, key: value, object } = self.shared.find(&record)?;
        if place.dialect != Dialect::Sidecars {
            return Ok(());
        }
        let text = input_text(input_key, content_type, object.size);
        self.shared.put_text(&sidecar_of(&value), text, Condition::Anything).map(drop)
    }

    fn complete_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        let known = self.shared.store(store)?;
        if known.has_metadata || known.dialect == Dialect::Js3 {
            return Ok(());
        }
        self.refuse_if_read_only()?;
        self.shared.add_metadata(store, metadata)
    }

    fn complete_written_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        let known = self.shared.store_of_late(store, super::known_stores::LATE)?;
        let lacks = !known.has_metadata && known.dialect != Dialect::Js3;
        if !lacks || !self.shared.stores.was_written_bare(store) {
            return Ok(());
        }
        // Somebody may be just removing it: then there is nothing in it any more.
        if scan::begin(&self.shared, store)?.next().is_none() {
            return Ok(());
        }
        self.complete_metadata(store, metadata)
    }
}
