//! Metadata files: opening, keeping, removing and renaming them.

use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{Caller, Entry, FileAttr};
use super::error::{FsError, FsResult};
use super::handle::Open;
use super::ino::Ino;
use super::metadata_files::{MetadataFile, MetadataNode, Unkept};
use super::name::{self, MetadataName, Name};
use super::open::{OpenMode, Opened};
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::engine::{MetadataText, PublishAs, Value};
use crate::failpoint;
use crate::model::{AttributeChange, Attributes, Error, Key};

impl FileSystem {
    pub(super) fn metadata_entry(
        &self,
        store: &Arc<StoreNode>,
        name: &MetadataName,
    ) -> FsResult<Entry> {
        if self.is_without_opens() {
            let text = self.kept_metadata(store, name)?.ok_or(FsError::NotFound)?;
            return Ok(self.text_entry(store.ino, name::METADATA, text.bytes, text.attributes));
        }
        let (ino, node) = self.versions.metadata(store, name);
        self.told(self.counted(ino), |ino| Ok(self.entry(self.metadata_attr(ino, &node)?)))
    }

    pub(super) fn metadata_attr(&self, ino: Ino, node: &MetadataNode) -> FsResult<FileAttr> {
        let text = self.metadata_now(node)?.ok_or(FsError::NotFound)?;
        Ok(self.file(ino, text.attributes))
    }

    /// A metadata file as it is now: as its writers have it, or as it is kept.
    fn metadata_now(&self, node: &MetadataNode) -> FsResult<Option<MetadataText>> {
        match node.open().and_then(|file| file.ahead()) {
            Some(text) => Ok(Some(text)),
            None => self.kept_metadata(&node.store, &node.name),
        }
    }

    fn kept_metadata(
        &self,
        store: &StoreNode,
        name: &MetadataName,
    ) -> FsResult<Option<MetadataText>> {
        match name {
            MetadataName::Store if store.has_removed_metadata() => Ok(None),
            MetadataName::Store => Ok(self.store(store).metadata_text()?),
            MetadataName::Record(file) => self.brought_sidecar(store, file),
        }
    }

    /// Whether a store's metadata is to be listed.
    pub(super) fn has_metadata(&self, store: &StoreNode) -> FsResult<bool> {
        let known = self.versions.known_metadata(store, &MetadataName::Store);
        if known.and_then(|node| node.open()).is_some_and(|file| file.ahead().is_some()) {
            return Ok(true);
        }
        if !self.storage.has_metadata_files() {
            return Ok(!store.has_removed_metadata());
        }
        match self.store(store).metadata_text() {
            Ok(text) => Ok(text.is_some()),
            Err(Error::DamagedMetadata { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn open_metadata(&self, node: &MetadataNode, mode: OpenMode) -> FsResult<Opened> {
        if !mode.changes() {
            let text = self.metadata_now(node)?.ok_or(FsError::NotFound)?;
            return Ok(self.open_text(text.bytes));
        }
        self.refuse_overwriting_metadata(&node.store, &node.name)?;
        Ok(self.direct(Open::Metadata(self.metadata_to_write(node, mode)?)))
    }

    /// A metadata file that is there, opened for writing.
    fn metadata_to_write(
        &self,
        node: &MetadataNode,
        mode: OpenMode,
    ) -> FsResult<Arc<MetadataFile>> {
        let file = match self.kept_metadata(&node.store, &node.name)? {
            Some(kept) => {
                let file = node.open_to_write(MetadataFile::of_kept(
                    &node.store,
                    &node.name,
                    kept.clone(),
                ));
                file.go_on_from(kept);
                file
            }
            None => node.open().ok_or(FsError::NotFound)?,
        };
        if mode.truncate {
            file.truncate(0)?;
        }
        Ok(file)
    }

    pub(super) fn create_metadata(
        &self,
        caller: &Caller,
        store: &Arc<StoreNode>,
        name: &MetadataName,
        permissions: u32,
        mode: OpenMode,
    ) -> FsResult<(Entry, Opened)> {
        let (ino, node) = self.versions.metadata(store, name);
        let counted = self.counted(ino);
        let is_there = self.metadata_now(&node)?.is_some();
        if is_there && mode.exclusive && !self.gives_way(store, name) {
            return Err(FsError::Exists);
        }
        let file = if is_there && !mode.exclusive {
            self.refuse_overwriting_metadata(store, name)?;
            self.metadata_to_write(&node, mode)?
        } else {
            let now = SystemTime::now();
            let made =
                Attributes { modified: now, changed: now, ..self.made_up(permissions, None) };
            let change = caller.owning(permissions, &made, self.gives_its_group(store));
            node.open_to_write(MetadataFile::of_new(store, name, made, &change))
        };
        let attr = self.metadata_attr(ino, &node)?;
        counted.told();
        Ok((Entry::unkept(attr), self.direct(Open::Metadata(file))))
    }

    /// Refuses to change a metadata file that is there and is meant to stay.
    fn refuse_overwriting_metadata(&self, store: &StoreNode, name: &MetadataName) -> FsResult<()> {
        let is_kept = self.options.no_overwrite
            && self.kept_metadata(store, name)?.is_some()
            && !self.gives_way(store, name);
        self.options.refuse_overwrite(is_kept)
    }

    /// Whether a metadata file that is there counts as if it were not.
    fn gives_way(&self, store: &StoreNode, name: &MetadataName) -> bool {
        *name == MetadataName::Store && store.take_way_of_metadata()
    }

    /// Keeps a metadata file if it was changed and any SDK could read it.
    pub(super) fn keep_metadata(&self, file: &MetadataFile) -> FsResult<()> {
        let Some(unkept) = file.unkept() else { return Ok(()) };
        let kept = self.keep_text(&file.store, &file.name, &unkept);
        file.note_kept(&unkept, kept.is_ok());
        kept
    }

    fn keep_text(
        &self,
        store: &Arc<StoreNode>,
        name: &MetadataName,
        unkept: &Unkept,
    ) -> FsResult<()> {
        let MetadataName::Record(file) = name else {
            let own = self.store(store);
            own.set_metadata_text(Some(&unkept.bytes))?;
            own.set_metadata_attributes(&unkept.change)?;
            store.take_way_of_metadata();
            // The store's layout may be another with it, one that has sidecars.
            for key in self.sidecars.waited_for(own.name()) {
                let _held = self.writers.hold(store, &key);
                self.place_waiting(store, &key);
            }
            return Ok(());
        };
        self.keep_sidecar(store, file, unkept)
    }

    /// Changes owner, mode and times of a metadata file.
    pub(super) fn change_metadata(
        &self,
        node: &MetadataNode,
        change: &AttributeChange,
    ) -> FsResult<()> {
        if change.is_empty() {
            return Ok(());
        }
        match (node.open().filter(|file| file.ahead().is_some()), &node.name) {
            (Some(file), _) => file.set_attributes(change),
            (None, MetadataName::Store) => {
                self.store(&node.store).set_metadata_attributes(change)?;
            }
            (None, MetadataName::Record(file)) => self.change_sidecar(&node.store, file, change)?,
        }
        Ok(())
    }

    /// Removes a metadata file. A sidecar's record keeps its type: without any, no SDK would find it.
    pub(super) fn unlink_metadata(
        &self,
        store: &Arc<StoreNode>,
        name: &MetadataName,
    ) -> FsResult<()> {
        let open = self.versions.known_metadata(store, name).and_then(|node| node.open());
        match name {
            MetadataName::Store if self.storage.has_metadata_files() => {
                self.store(store).set_metadata_text(None)?;
                store.take_way_of_metadata();
            }
            MetadataName::Store if store.has_removed_metadata() => return Err(FsError::NotFound),
            // It is part of the store, and goes with it.
            MetadataName::Store => {
                self.store(store).attributes()?;
                store.remove_metadata();
            }
            MetadataName::Record(file) => {
                if open.is_none() && self.brought_sidecar(store, file)?.is_none() {
                    return Err(FsError::NotFound);
                }
                self.sidecars.forget(&store.name(), file);
            }
        }
        if let Some(file) = open {
            file.unlink();
        }
        self.versions.unlink_metadata(store, name);
        Ok(())
    }

    /// Makes a record a metadata file, as programs do that save by renaming a new file over the old.
    pub(super) fn rename_to_metadata(
        &self,
        (from, key): (&Arc<StoreNode>, &Key),
        (to, name): (&Arc<StoreNode>, &MetadataName),
        exclusive: bool,
    ) -> FsResult<()> {
        if exclusive && self.kept_metadata(to, name)?.is_some() && !self.gives_way(to, name) {
            return Err(FsError::Exists);
        }
        self.refuse_overwriting_metadata(to, name)?;
        let store = self.store(from);
        loop {
            let taken = {
                let _held = self.writers.hold(from, key);
                if let Some(session) = self.writers.get(from, key) {
                    self.publish_held(&session, from, key, |target| {
                        session.publish_closed(target)
                    })?;
                }
                store.open_value(key)?
            };
            let attributes = taken.attributes()?;
            let unkept = Unkept::new(read_whole(&*taken, name.most_bytes())?, attributes);
            // Holds records of its own, so that this one cannot be held meanwhile.
            self.keep_text(to, name, &unkept)?;
            failpoint::pass("rename to metadata: kept");
            let _held = self.writers.hold(from, key);
            // What has been written since is in it, too.
            let now = self.published(from, key)?;
            if now.is_some_and(|now| !now.stamp.same_bytes(&attributes.stamp)) {
                continue;
            }
            store.delete(key)?;
            self.versions.become_metadata((from, key), to, name);
            self.unlinked(from, key);
            return Ok(());
        }
    }

    /// Gives a metadata file another name, which may be a record's.
    pub(super) fn rename_metadata(
        &self,
        (from, name): (&Arc<StoreNode>, &MetadataName),
        (to, new): (&Arc<StoreNode>, &Name),
        exclusive: bool,
    ) -> FsResult<()> {
        let (ino, node) = self.versions.metadata(from, name);
        let _counted = self.counted(ino);
        let text = self.metadata_now(&node)?.ok_or(FsError::NotFound)?;
        if from.ino == to.ino && *new == Name::Metadata(name.clone()) {
            return Ok(());
        }
        match new {
            Name::Purge | Name::Status | Name::Log | Name::Items(_) => {
                return Err(FsError::NotPermitted);
            }
            // It stays where it is.
            _ if *name == MetadataName::Store && !self.storage.has_metadata_files() => {
                return Err(FsError::NotPermitted);
            }
            Name::Metadata(new) => {
                if exclusive && self.kept_metadata(to, new)?.is_some() {
                    return Err(FsError::Exists);
                }
                self.refuse_overwriting_metadata(to, new)?;
                self.keep_text(to, new, &Unkept::new(text.bytes, text.attributes))?;
            }
            Name::Record(key) => {
                self.store(to).check_key(key)?;
                self.publish_text(to, key, &text, exclusive)?;
            }
        }
        self.unlink_metadata(from, name)
    }

    /// Makes a text a record.
    fn publish_text(
        &self,
        store: &Arc<StoreNode>,
        key: &Key,
        text: &MetadataText,
        exclusive: bool,
    ) -> FsResult<()> {
        let own = self.store(store);
        let _held = self.writers.hold(store, key);
        if exclusive && self.writers.new_record(store, key).is_some() {
            return Err(FsError::Exists);
        }
        let staging = own.stage()?;
        staging.write_at(&text.bytes, 0)?;
        staging.set_attributes(&Unkept::new(Vec::new(), text.attributes).change)?;
        let over = self.put_over(store, key, exclusive)?;
        let publish = PublishAs { over, ..PublishAs::default() };
        own.publish(key, staging, &publish).map_err(|(error, _)| error)?;
        self.unlinked(store, key);
        Ok(())
    }
}

/// All bytes of a value.
fn read_whole(value: &dyn Value, most: u64) -> FsResult<Vec<u8>> {
    let size = value.attributes()?.size;
    if size > most {
        return Err(FsError::TooLarge);
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| FsError::TooLarge)?];
    let count = value.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}
