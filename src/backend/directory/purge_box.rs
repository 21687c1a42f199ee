//! The box in `.storefs` in which a purge exchanges a store's directory for a fresh one.
//!
//! After the exchange the box holds the old directory, with all records. Not everything in there goes: an input
//! that an SDK replaced in the last moment, inputs of unusual names in a large store, and sub-directories are
//! given back. The box has a label that says how, so that after a crash the next start can do the same. What is
//! taken over from the old directory is not told from what the clearing has removed there, so a mark in the box ends
//! the taking over before the clearing begins.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags};
use rustix::io::Errno;
use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::removal::remove_tree;
use super::staging::{self, Session};
use super::tree::{Directory, StoreDir};
use super::{layout, tree};
use crate::backend::{Purged, is_item, is_spared};
use crate::failpoint;
use crate::model::{Key, StoreName};

/// How many names of a store are looked at before it is purged: a few milliseconds' worth.
pub(super) const LOOK_AT: usize = 2048;

/// The fresh directory, and after the exchange the old one.
const RECORDS: &str = "records";

/// The label: the target of a link that leads nowhere. File systems write that with the entry itself, so that a
/// power cut cannot leave a labelled box with an empty label, and no purge has to wait for the disk.
const LABEL: &str = "purge";

/// Beside the label once nothing is taken over from the old directory any more: from then on an input that is gone
/// there was removed by the clearing, and not by an SDK. A link too.
const TAKEN_OVER: &str = "taken-over";

/// Longest target of a link, in bytes.
const MAX_LABEL: usize = 4095;

/// What the box says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Whose directory is purged.
    pub(super) store: StoreName,
    pub(super) dialect: Dialect,
    pub(super) input_key: String,
    /// Inode number of the store's directory before the purge: the box holds it once it is purged.
    pub(super) old: u64,
    /// The files that were linked into the fresh directory, with their inode numbers.
    pub(super) linked: Vec<(Vec<u8>, u64)>,
}

impl Label {
    /// Too many linked files for a label are left out: they are then told by their names alone.
    fn text(&self) -> String {
        let name = |name: &[u8]| percent_encode(name, NON_ALPHANUMERIC).to_string();
        let linked = self.linked.iter().map(|(file, number)| (name(file), json!(number)));
        let text = |linked: Map<String, Value>| {
            json!({
                "store": self.store.as_str(),
                "js3": self.dialect == Dialect::Js3,
                "inputKey": self.input_key,
                "old": self.old,
                "linked": linked,
            })
            .to_string()
        };
        let whole = text(linked.collect());
        if whole.len() <= MAX_LABEL { whole } else { text(Map::new()) }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let linked = fields.get("linked")?.as_object()?.iter();
        let store = purged_name(text("store")?)?;
        Some(Self {
            dialect: match (store.is_plain(), fields.get("js3")?.as_bool()?) {
                (true, _) => Dialect::Plain,
                (false, true) => Dialect::Js3,
                (false, false) => Dialect::Sidecars,
            },
            store,
            input_key: text("inputKey")?.to_owned(),
            old: fields.get("old")?.as_u64()?,
            linked: linked
                .map(|(name, number)| Some((percent_decode_str(name).collect(), number.as_u64()?)))
                .collect::<Option<_>>()?,
        })
    }

    /// The key of a value file that is spared, in a key-value store.
    fn spared(&self, name: &[u8]) -> Option<Key> {
        let key = self.dialect.key(name).ok()?;
        let is_spared = layout::is_value_name(name) && is_spared(&key, &self.input_key);
        is_spared.then_some(key)
    }
}

/// A box that is being filled.
#[derive(Debug)]
pub(super) struct PurgeBox {
    session: Arc<Session>,
    /// Its name in the session's directory.
    name: String,
    directory: Directory,
    /// The fresh directory, wherever it is.
    pub(super) fresh: StoreDir,
}

impl PurgeBox {
    pub(super) fn make(session: &Arc<Session>, store: &StoreName) -> rustix::io::Result<Self> {
        let (name, directory) = session.create_dir()?;
        rustix::fs::mkdirat(&directory, RECORDS, Mode::from_raw_mode(0o700))?;
        let fd = tree::open_dir(&directory, RECORDS)?;
        let fresh = StoreDir { fd, name: store.clone() };
        Ok(Self { session: Arc::clone(session), name, directory, fresh })
    }

    /// Labels the box: whoever finds the old directory in it must know what to do.
    pub(super) fn label(&self, label: &Label) -> rustix::io::Result<()> {
        rustix::fs::symlinkat(label.text(), &self.directory, LABEL)
    }

    /// Exchanges the fresh directory for that of the store. This is the purge. `known` is the store's directory as
    /// it was opened before, `stores` and `store` are where it is.
    pub(super) fn exchange(
        &self,
        (stores, store): &(Directory, String),
        known: Directory,
        label: Label,
    ) -> rustix::io::Result<OldRecords> {
        let exchange = RenameFlags::EXCHANGE;
        // Before the exchange: once it is done, nothing may fail that would have the box removed with all in it.
        let places = [stores.try_clone()?, self.directory.try_clone()?];
        let fresh = self.fresh.fd.try_clone()?;
        rustix::fs::renameat_with(&self.directory, RECORDS, stores, store.as_str(), exchange)?;
        // Crawlee JS 3 may have put another directory in the store's place just before.
        let old = tree::open_dir(&self.directory, RECORDS).unwrap_or(known);
        Ok(OldRecords { old, store: fresh, places, label })
    }

    /// Removes the box with all that is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        Ok(remove_tree(self.session.directory(), self.name.as_bytes())?)
    }
}

/// What a purge has taken out of a store's sight.
#[derive(Debug)]
pub(super) struct OldRecords {
    /// The old directory.
    old: Directory,
    /// The store's directory.
    store: Directory,
    /// The directories in which the two were exchanged: that of the stores, and the box.
    places: [Directory; 2],
    label: Label,
}

/// What becomes of an entry of the old directory.
enum Fate {
    /// The store gets it back.
    GiveBack,
    /// It is an input, with this key.
    GiveBackInput(Key),
    /// A link to a file that is in the store, or a sidecar: removed and not counted.
    Remove,
    /// A record or litter.
    Count,
}

impl OldRecords {
    /// What a dead process had in a box. `None` if there is nothing in it that must be given back.
    pub(super) fn find(purge_box: &Directory, root: &Directory) -> io::Result<Option<Self>> {
        let label = match rustix::fs::readlinkat(purge_box, LABEL, Vec::new()) {
            Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
            label => label?,
        };
        let Some(label) = Label::parse(label.as_bytes()) else { return Ok(None) };
        let old = match tree::open_dir(purge_box, RECORDS) {
            Err(Errno::NOENT) => return Ok(None),
            old => old?,
        };
        if rustix::fs::fstat(&old)?.st_ino != label.old {
            // It died before the exchange.
            return Ok(None);
        }
        let (stores, name) = tree::open_parent(root, &label.store)?;
        let store = match tree::open_dir(&stores, &name) {
            // Dropped since then: nobody is there to be given anything.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            store => store?,
        };
        let places = [stores, purge_box.try_clone()?];
        Ok(Some(Self { old, store, places, label }))
    }

    /// The old directory, once more.
    pub(super) fn directory(&self) -> rustix::io::Result<Directory> {
        self.old.try_clone()
    }

    /// An SDK may have replaced or deleted an input after it was linked and before the directories were
    /// exchanged. What it did is the newer state. May be tried again until the clearing has begun, and then does
    /// nothing.
    pub(super) fn take_over_inputs(&self) -> rustix::io::Result<()> {
        match rustix::fs::statat(self.purge_box(), TAKEN_OVER, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        for (name, number) in &self.label.linked {
            if number_of(&self.store, name)? != Some(*number) {
                // Replaced since the exchange.
                continue;
            }
            match number_of(&self.old, name)? {
                Some(now) if now == *number => {}
                Some(_) => staging::move_entry(&self.old, name, &self.store, name, true)?,
                None => rustix::fs::unlinkat(&self.store, name.as_slice(), AtFlags::empty())?,
            }
        }
        Ok(())
    }

    /// Gives back what is the store's among the first `limit` entries.
    pub(super) fn give_back(&self, limit: usize) -> rustix::io::Result<()> {
        for entry in tree::entries(&self.old)?.take(limit) {
            let (name, listed) = entry?;
            match self.fate(&name, listed)? {
                Fate::GiveBack => self.move_back(&name)?,
                Fate::GiveBackInput(_) => self.move_input_back(&name)?,
                Fate::Remove | Fate::Count => {}
            }
        }
        Ok(())
    }

    /// Gives back what is the store's and removes everything else.
    ///
    /// # Errors
    /// The last thing that could be neither given back nor removed. The box must be kept then.
    pub(super) fn clear(&self, counted: &mut Purged) -> io::Result<()> {
        self.take_over_inputs()?;
        match rustix::fs::symlinkat("done", self.purge_box(), TAKEN_OVER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Durable first, what was taken over before the mark that says so: else a power cut might undo the exchange
        // and leave a store that lacks what is removed here.
        rustix::fs::fsync(&self.store)?;
        for place in &self.places {
            rustix::fs::fsync(place)?;
        }
        let mut cleared: io::Result<()> = Ok(());
        for entry in tree::entries(&self.old)? {
            let (name, listed) = entry?;
            if let Err(error) = self.clear_entry(&name, listed, counted) {
                cleared = Err(error.into());
            }
            failpoint::pass("purge: one of the old records removed");
        }
        cleared?;
        failpoint::pass("purge: old records removed");
        // Before the mark goes with the box: a label without one would have the store's inputs removed.
        remove(self.purge_box(), LABEL.as_bytes())?;
        Ok(())
    }

    fn purge_box(&self) -> &Directory {
        let [_, purge_box] = &self.places;
        purge_box
    }

    fn clear_entry(
        &self,
        name: &[u8],
        listed: FileType,
        counted: &mut Purged,
    ) -> rustix::io::Result<()> {
        match self.fate(name, listed)? {
            Fate::GiveBack => self.move_back(name),
            Fate::GiveBackInput(key) => {
                counted.spared.push(key);
                self.move_input_back(name)
            }
            Fate::Remove => remove(&self.old, name).map(drop),
            Fate::Count => {
                // A directory that is read while its entries go may list one of them twice.
                counted.removed += u64::from(remove(&self.old, name)?);
                Ok(())
            }
        }
    }

    fn fate(&self, name: &[u8], listed: FileType) -> rustix::io::Result<Fate> {
        if !tree::is_file_to_the_sdk(&self.old, name, listed) {
            return Ok(Fate::GiveBack);
        }
        if name == layout::METADATA.as_bytes() || self.is_linked(name) {
            return Ok(Fate::Remove);
        }
        if self.label.dialect == Dialect::Plain {
            return Ok(if is_item(name) { Fate::Count } else { Fate::GiveBack });
        }
        // The sidecar of an input goes with its value.
        let value = layout::value_of_sidecar(name).unwrap_or(name);
        let is_plain = || number_of(&self.old, value).map(|number| number.is_some());
        Ok(match self.label.spared(value) {
            Some(key) if !self.is_linked(value) && is_plain()? => Fate::GiveBackInput(key),
            _ if value.len() < name.len() => Fate::Remove,
            _ => Fate::Count,
        })
    }

    fn is_linked(&self, name: &[u8]) -> bool {
        self.label.linked.iter().any(|(linked, _)| linked == name)
    }

    /// Value before sidecar, as in a publish. An input that has been made anew in the store is the newer one.
    fn move_input_back(&self, name: &[u8]) -> rustix::io::Result<()> {
        let value = layout::value_of_sidecar(name).unwrap_or(name);
        self.move_back(value)?;
        self.move_back(&layout::sidecar_of(value))
    }

    fn move_back(&self, name: &[u8]) -> rustix::io::Result<()> {
        match staging::move_entry(&self.old, name, &self.store, name, false) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::EXIST) => remove(&self.old, name).map(drop),
            Err(error) => Err(error),
        }
    }
}

/// What a label calls a store, or a dataset or queue by its path.
fn purged_name(text: &str) -> Option<StoreName> {
    let Some(path) = text.strip_prefix('/') else { return StoreName::new(text).ok() };
    path.split('/').try_fold(StoreName::plain_root(), |parent, own| parent.child(own)).ok()
}

/// Removes a file; a directory that cannot be given back is not ours to remove. Gives back whether it was there.
fn remove(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The inode number of a plain file, if there is one.
pub(super) fn number_of(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<Option<u64>> {
    match tree::stat_file(directory, name) {
        Ok(stat) => Ok(Some(stat.st_ino)),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written() {
        let label = Label {
            store: StoreName::new("my-store").unwrap(),
            dialect: Dialect::Js3,
            input_key: "in put".to_owned(),
            old: u64::MAX,
            linked: vec![(b"in%20put.\xff".to_vec(), 7), (b"in%20put".to_vec(), 8)],
        };
        assert_eq!(Label::parse(label.text().as_bytes()), Some(label.clone()));
        let store = StoreName::plain_root().child("datasets").unwrap().child("a b").unwrap();
        let label = Label { store, dialect: Dialect::Plain, ..label };
        assert_eq!(Label::parse(label.text().as_bytes()), Some(label));
        let outside = |store: &str| {
            let text =
                json!({"store": store, "js3": false, "inputKey": "", "old": 1, "linked": {}});
            Label::parse(text.to_string().as_bytes())
        };
        for store in ["/", "/..", "/datasets/../x", "/datasets//x", "../x", ""] {
            assert_eq!(outside(store), None, "{store}");
        }
    }

    #[test]
    fn p14_a_record_that_is_listed_twice_counts_once() {
        let root = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let place = |name: &str| {
            std::fs::create_dir(root.path().join(name)).unwrap();
            tree::open_root(&root.path().join(name), false).unwrap()
        };
        let (old, store) = (place("old"), place("store"));
        let places = [place("stores"), place("box")];
        for name in ["record", "INPUT.json"] {
            std::fs::write(root.path().join("old").join(name), name).unwrap();
        }
        let label = Label {
            store: StoreName::default_store(),
            dialect: Dialect::Sidecars,
            input_key: "INPUT".to_owned(),
            old: 0,
            linked: Vec::new(),
        };
        let (old_records, mut counted) =
            (OldRecords { old, store, places, label }, Purged::default());
        for name in ["record", "INPUT.json", "record", "INPUT.json"] {
            old_records.clear_entry(name.as_bytes(), FileType::RegularFile, &mut counted).unwrap();
        }
        assert_eq!((counted.removed, counted.spared.len()), (1, 1));
        assert!(root.path().join("store/INPUT.json").exists());
    }

    #[test]
    fn a_label_is_never_too_long() {
        let linked = (0..100).map(|at| (format!("INPUT.{at:0200}").into_bytes(), at)).collect();
        let label = Label {
            store: StoreName::new(&"s".repeat(255)).unwrap(),
            dialect: Dialect::Sidecars,
            input_key: "k".repeat(200),
            old: 1,
            linked,
        };
        let read = Label::parse(label.text().as_bytes()).unwrap();
        assert_eq!(read, Label { linked: Vec::new(), ..label });
    }

    proptest::proptest! {
        #[test]
        fn p18_any_text_is_a_label_or_none(text: Vec<u8>) {
            let _ = Label::parse(&text);
        }
    }
}
