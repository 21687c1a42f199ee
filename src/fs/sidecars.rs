//! Sidecars that are brought by their names, as when a storage is copied here: each is its record's type, in whatever
//! order the two come.
//!
//! A sidecar is named after the file of its value in a storage, where names are escaped otherwise than here. So it also
//! tells which key a name means that was or will be brought with it.

use std::sync::Arc;

use super::error::{FsError, FsResult};
use super::metadata_files::{Awaited, Brought, HeldSidecar, Placed, Unkept, Waits};
use super::name::{self, Name};
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::backend::{key_of_value_file, read_sidecar, value_file_of};
use crate::engine::{KeptSidecar, MetadataText};
use crate::model::{AttributeChange, ContentType, Error, Key, Result};

impl FileSystem {
    /// The key that a name means: the one that it shows or, where no storage could keep that one, the one of which it is
    /// the file's name in a storage. So that a long key can be copied with all of its escapes.
    pub(super) fn key_meant(&self, store: &StoreNode, name: &[u8], key: Key) -> Key {
        if !name.contains(&b'%') {
            return key;
        }
        let own = self.store(store);
        match (own.check_key(&key), key_of_value_file(name)) {
            (Err(Error::NameTooLong { .. }), Ok(meant))
                if meant != key && !store.is_plain() && own.check_key(&meant).is_ok() =>
            {
                store.add_alias(name, &meant);
                meant
            }
            _ => key,
        }
    }

    /// A sidecar that was brought by its name, as long as it is what is kept of its record.
    pub(super) fn brought_sidecar(
        &self,
        store: &StoreNode,
        file: &[u8],
    ) -> FsResult<Option<MetadataText>> {
        let name = store.name();
        let stamp = match self.sidecars.get(&name, file) {
            None => return Ok(None),
            Some(Brought::Held(held)) => {
                let (bytes, attributes) = (held.text.clone(), held.attributes);
                return Ok(Some(MetadataText { bytes, attributes }));
            }
            Some(Brought::Placed(placed)) => placed.stamp,
        };
        let kept = match store.parse(file) {
            Ok(Name::Record(key)) => none_if_gone(self.store(store).sidecar_text(&key))?,
            _ => None,
        };
        let kept = kept.filter(|text| text.attributes.stamp.same_bytes(&stamp));
        if kept.is_none() {
            self.sidecars.forget(&name, file);
        }
        Ok(kept)
    }

    /// Whether a record has the very sidecar that was brought for it.
    pub(super) fn has_brought_sidecar(&self, store: &StoreNode, key: &Key) -> FsResult<bool> {
        Ok(self.placed_sidecar(store, key)?.is_some())
    }

    /// The sidecar that was brought for a record and is in its place, and the name of the value's file that it was brought
    /// for.
    fn placed_sidecar(
        &self,
        store: &StoreNode,
        key: &Key,
    ) -> FsResult<Option<(Vec<u8>, MetadataText)>> {
        for file in files_of(key) {
            if matches!(self.sidecars.get(&store.name(), &file), Some(Brought::Placed(_)))
                && let Some(text) = self.brought_sidecar(store, &file)?
            {
                return Ok(Some((file, text)));
            }
        }
        Ok(None)
    }

    /// Removes a record's value; a sidecar that was brought for it is a file of its own, and is left for the value that may
    /// follow. For who holds the record.
    pub(super) fn delete_and_leave_sidecar(&self, store: &StoreNode, key: &Key) -> FsResult<()> {
        let placed = self.placed_sidecar(store, key)?;
        self.store(store).delete(key)?;
        let Some((file, text)) = placed else { return Ok(()) };
        let Ok(says) = read_sidecar(&file, &text.bytes) else { return Ok(()) };
        let Unkept { bytes: text, attributes, change, .. } =
            Unkept::new(text.bytes, text.attributes);
        let (key, content_type, size) = (key.clone(), says.content_type, says.size);
        let waits_for = Some(Awaited { key, content_type, size, waits: Waits::AsLeft });
        let held = HeldSidecar { text, attributes, change, waits_for };
        self.sidecars.leave(&store.name(), &file, held);
        Ok(())
    }

    /// Other names than its own lead to a record no more, which the kernel may still believe.
    pub(super) fn forget_aliases(&self, store: &StoreNode, key: &Key) {
        if store.forget_aliases(key) {
            self.trust.distrust_names();
        }
    }

    /// The name of a value's file means a key, as the sidecar that waits under this name tells.
    pub(super) fn restore_alias(&self, store: &StoreNode, key: &Key) {
        let Some((file, _)) = self.sidecars.waiting(&store.name(), key) else { return };
        if !matches!(store.parse_shown(&file), Ok(Name::Record(shown)) if shown == *key) {
            store.add_alias(&file, key);
        }
    }

    /// Takes a sidecar as what it is.
    pub(super) fn keep_sidecar(
        &self,
        store: &Arc<StoreNode>,
        file: &[u8],
        unkept: &Unkept,
    ) -> FsResult<()> {
        let held = |waits_for| HeldSidecar {
            text: unkept.bytes.clone(),
            attributes: unkept.attributes,
            change: unkept.change,
            waits_for,
        };
        let shown = match store.parse_shown(file) {
            Ok(Name::Record(key)) => key,
            // It can belong to nothing.
            _ => return self.sidecars.hold(&store.name(), file, held(None)),
        };
        let says = match read_sidecar(file, &unkept.bytes) {
            Ok(says) => says,
            Err(reason) => return self.hold_damaged(store, file, held(None), reason),
        };
        let key = if says.key.as_deref() == shown.as_str() { shown.clone() } else { says.of_file };
        if key != shown {
            store.add_alias(file, &key);
            // The value has come first, under the key that its name shows.
            match self.rename_record((store, &shown), (store, &key), false) {
                Err(FsError::Storage(error)) if error.is_not_found() => {}
                renamed => renamed?,
            }
        }
        let _held = self.writers.hold(store, &key);
        let (content_type, size) = (says.content_type, says.size);
        let waits = Waits::ForValue;
        let waits_for = Some(Awaited { key: key.clone(), content_type, size, waits });
        self.place_sidecar(store, &key, file, held(waits_for), true)
    }

    /// A sidecar that no SDK could read is held, so that a copy of a damaged storage comes to its end, but does not take
    /// the place of a good one.
    fn hold_damaged(
        &self,
        store: &StoreNode,
        file: &[u8],
        held: HeldSidecar,
        reason: String,
    ) -> FsResult<()> {
        let (name, key) = (store.name(), String::from_utf8_lossy(file).into_owned());
        let before = self.brought_sidecar(store, file)?;
        if before.is_some_and(|before| read_sidecar(file, &before.bytes).is_ok()) {
            return Err(Error::DamagedSidecar { store: name.to_string(), key, reason }.into());
        }
        if !held.text.is_empty() {
            log::warn!("a sidecar for '{key}' in store '{name}' says no type: {reason}");
        }
        self.sidecars.hold(&name, file, held)
    }

    /// Gives a record its sidecar, or holds that until there is one. `may_be_followed` says whether the value that it was
    /// brought with may still come, in the place of the record's. For who holds the record.
    fn place_sidecar(
        &self,
        store: &StoreNode,
        key: &Key,
        file: &[u8],
        mut held: HeldSidecar,
        may_be_followed: bool,
    ) -> FsResult<()> {
        let own = self.store(store);
        let kept = match own.set_sidecar(key, &held.text) {
            Err(Error::NoSuchRecord { .. }) => KeptSidecar::Not,
            kept => kept?,
        };
        match kept {
            KeptSidecar::Text => {
                own.set_sidecar_attributes(key, &held.change)?;
                if let Some(text) = none_if_gone(own.sidecar_text(key))? {
                    let placed = Placed { stamp: text.attributes.stamp, may_be_followed };
                    self.sidecars.note_placed(own.name(), file, placed);
                }
                return Ok(());
            }
            // It may be for a value that is still to come.
            KeptSidecar::Type => {
                let size = own.record(key).map(|record| record.size).unwrap_or_default();
                let met = held.waits_for.take_if(|awaited| awaited.is_met_by(size));
                if may_be_followed {
                    let perhaps = |awaited| Awaited { waits: Waits::Perhaps, ..awaited };
                    held.waits_for = held.waits_for.or(met.map(perhaps));
                }
            }
            KeptSidecar::Not => {}
        }
        self.sidecars.hold(own.name(), file, held)
    }

    /// A record is there now: gives it the sidecar that waits for it, if any. For who holds the record.
    pub(super) fn place_waiting(&self, store: &StoreNode, key: &Key) {
        let Some((file, held)) = self.sidecars.waiting(&store.name(), key) else { return };
        let Ok(record) = self.store(store).record(key) else { return };
        let is_for_this =
            |awaited: &Awaited| awaited.waits != Waits::Perhaps && awaited.is_met_by(record.size);
        if !held.waits_for.as_ref().is_some_and(is_for_this) {
            return;
        }
        if let Err(error) = self.place_sidecar(store, key, &file, HeldSidecar::clone(&held), false)
        {
            log::warn!("record '{key}' of store '{}' lacks its sidecar: {error}", store.name());
        }
    }

    /// The type that a sidecar says which has come before its value, which is about to be published; `size` tells the value's
    /// length in bytes, and is asked only where a sidecar may be for it. For who holds the record.
    pub(super) fn waiting_type(
        &self,
        store: &StoreNode,
        key: &Key,
        size: impl FnOnce() -> Result<u64>,
    ) -> FsResult<Option<ContentType>> {
        let own = self.store(store);
        if !self.sidecars.has_any(own.name()) {
            return Ok(None);
        }
        if let Some((_, held)) = self.sidecars.waiting(own.name(), key)
            && let Some(awaited) = &held.waits_for
        {
            let is_said = match awaited.waits {
                // If there is a record, an SDK has made it meanwhile, and knows better.
                Waits::ForValue => match own.record(key) {
                    Err(error) if error.is_not_found() => true,
                    record => record.map(|_| false)?,
                },
                Waits::AsLeft => false,
                Waits::Perhaps => awaited.is_met_by(size()?),
            };
            return Ok(is_said.then(|| awaited.content_type.clone()));
        }
        for file in files_of(key) {
            if let Some(Brought::Placed(Placed { may_be_followed: true, .. })) =
                self.sidecars.get(own.name(), &file)
                && let Some(text) = self.brought_sidecar(store, &file)?
                && let Ok(says) = read_sidecar(&file, &text.bytes)
            {
                let is_for_it = match says.size {
                    Some(said) => said == size()?,
                    None => true,
                };
                return Ok(is_for_it.then_some(says.content_type));
            }
        }
        Ok(None)
    }

    /// A value was published. For who holds the record.
    pub(super) fn end_waiting(&self, store: &StoreNode, key: &Key) {
        let name = store.name();
        if self.sidecars.has_any(&name) {
            for file in files_of(key) {
                self.sidecars.note_followed(&name, &file);
            }
        }
    }

    /// Changes owner, mode and times of a sidecar that was brought.
    pub(super) fn change_sidecar(
        &self,
        store: &StoreNode,
        file: &[u8],
        change: &AttributeChange,
    ) -> FsResult<()> {
        let Some(text) = self.brought_sidecar(store, file)? else { return Err(FsError::NotFound) };
        match self.sidecars.get(&store.name(), file) {
            Some(Brought::Placed(placed)) => {
                let Ok(Name::Record(key)) = store.parse(file) else {
                    return Err(FsError::NotFound);
                };
                let own = self.store(store);
                own.set_sidecar_attributes(&key, change)?;
                if let Some(text) = own.sidecar_text(&key)? {
                    let placed = Placed { stamp: text.attributes.stamp, ..placed };
                    self.sidecars.note_placed(own.name(), file, placed);
                }
                Ok(())
            }
            Some(Brought::Held(held)) => {
                let changed = Unkept::new(text.bytes, text.attributes).with(change);
                let waits_for = held.waits_for.clone();
                let held = HeldSidecar {
                    text: changed.bytes,
                    attributes: changed.attributes,
                    change: changed.change,
                    waits_for,
                };
                self.sidecars.hold(&store.name(), file, held)
            }
            None => Err(FsError::NotFound),
        }
    }
}

/// The names of a value's file for which a sidecar of a record may have been brought: its own, and the one that is shown.
fn files_of(key: &Key) -> [Vec<u8>; 2] {
    [value_file_of(key), name::shown_in(false, key.as_bytes()).into_owned()]
}

fn none_if_gone<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error) if error.is_not_found() => Ok(None),
        found => found,
    }
}
