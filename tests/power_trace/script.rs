//! What is done to the storage while its system calls are recorded, one operation after the other.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::common::{self, TempMount, file_name};
use crate::ledger::{Place, Records};
use crate::value;

/// How the name begins whose looking up tells the recorder that an operation is over.
pub(crate) const MARK: &str = "operation-over-";

/// One operation.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) what: String,
    /// The records after it.
    pub(crate) records: Records,
    /// Which records it changed.
    pub(crate) touched: Vec<Place>,
    /// Which records it has made durable, as they are or as they are not.
    pub(crate) durable: Vec<Place>,
    /// Whether all that was done before is durable, where changes of names keep their order.
    pub(crate) is_barrier: bool,
}

/// The steps, of which the first is that nothing was done.
pub(crate) struct Script<'a> {
    mount: &'a TempMount,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn place(store: &str, key: &str) -> Place {
    (store.to_owned(), key.to_owned())
}

impl<'a> Script<'a> {
    pub(crate) fn new(mount: &'a TempMount) -> Self {
        let nothing = Step {
            what: "nothing".to_owned(),
            records: Records::new(),
            touched: Vec::new(),
            durable: Vec::new(),
            is_barrier: true,
        };
        Self { mount, steps: vec![nothing] }
    }

    fn path(&self, place: &Place) -> PathBuf {
        self.mount.store(&place.0).join(file_name(&place.1))
    }

    fn records(&self) -> &Records {
        &self.steps[self.steps.len() - 1].records
    }

    /// An operation is over.
    fn over(&mut self, what: String, records: Records, durable: Vec<Place>) {
        let before = self.records();
        let places = before.keys().chain(records.keys());
        let touched = places.filter(|place| before.get(*place) != records.get(*place));
        let touched = touched.cloned().collect();
        let is_barrier = !durable.is_empty();
        self.steps.push(Step { what, records, touched, durable, is_barrier });
        let mark = format!("{MARK}{}", self.steps.len() - 1);
        // The daemon looks for it on the disk, where the recorder sees it.
        let stores = fs::read_dir(self.mount.stores()).unwrap();
        for store in stores {
            assert!(!store.unwrap().path().join(&mark).exists());
        }
    }

    pub(crate) fn make_store(&mut self, store: &str) {
        fs::create_dir(self.mount.store(store)).unwrap();
        self.over(format!("make store {store}"), self.records().clone(), Vec::new());
    }

    fn value(&self, place: &Place, is_json: bool, length: usize) -> (u64, Vec<u8>) {
        let number = 100 + self.steps.len() as u64;
        let padding = "x".repeat(length);
        let value = if is_json {
            value::object(number, &place.1, &padding).to_string()
        } else {
            value::plain(number, &place.1, &padding)
        };
        (number, value.into_bytes())
    }

    /// Writes a record from the beginning, published by fsync or close.
    pub(crate) fn set(
        &mut self,
        store: &str,
        key: &str,
        is_json: bool,
        length: usize,
        fsync: bool,
    ) {
        let place = place(store, key);
        let (number, bytes) = self.value(&place, is_json, length);
        let mut file = File::create(self.path(&place)).unwrap();
        file.write_all(&bytes).unwrap();
        if fsync {
            file.sync_all().unwrap();
        }
        nix::unistd::close(file).unwrap();
        let mut records = self.records().clone();
        records.insert(place.clone(), number);
        let how = if fsync { "fsync" } else { "close" };
        self.over(
            format!("set {place:?} to {number} by {how}"),
            records,
            if fsync { vec![place] } else { vec![] },
        );
    }

    /// Writes over a record without truncating it first, so that the new version begins as a copy of the old.
    pub(crate) fn write_over(&mut self, store: &str, key: &str, is_json: bool, length: usize) {
        let place = place(store, key);
        let (number, bytes) = self.value(&place, is_json, length);
        let mut file = OpenOptions::new().write(true).open(self.path(&place)).unwrap();
        file.write_all(&bytes).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.sync_all().unwrap();
        let mut records = self.records().clone();
        records.insert(place.clone(), number);
        self.over(format!("write {number} over {place:?}"), records, vec![place]);
    }

    /// Makes durable what was closed before, through a descriptor for writing or, as sync(1) does, for reading.
    pub(crate) fn sync_later(&mut self, store: &str, key: &str, how: &OpenOptions) {
        let place = place(store, key);
        how.open(self.path(&place)).unwrap().sync_all().unwrap();
        self.over(format!("fsync of {place:?}"), self.records().clone(), vec![place]);
    }

    pub(crate) fn rename(&mut self, from: (&str, &str), to: (&str, &str)) {
        let (from, to) = (place(from.0, from.1), place(to.0, to.1));
        fs::rename(self.path(&from), self.path(&to)).unwrap();
        let mut records = self.records().clone();
        let number = records.remove(&from).unwrap();
        records.insert(to.clone(), number);
        self.over(format!("rename {from:?} to {to:?}"), records, Vec::new());
    }

    pub(crate) fn delete(&mut self, store: &str, key: &str) {
        let place = place(store, key);
        fs::remove_file(self.path(&place)).unwrap();
        let mut records = self.records().clone();
        records.remove(&place);
        self.over(format!("delete {place:?}"), records, Vec::new());
    }

    /// fsync of a store's directory: whatever was done in it is durable.
    pub(crate) fn sync_store(&mut self, store: &str) {
        File::open(self.mount.store(store)).unwrap().sync_all().unwrap();
        let ever = self.steps.iter().flat_map(|step| &step.touched);
        let durable = ever.filter(|place| place.0 == store).cloned().collect();
        self.over(format!("fsync of store {store}"), self.records().clone(), durable);
    }

    pub(crate) fn purge(&mut self, store: &str) {
        fs::write(self.mount.store(store).join("@purge"), "1").unwrap();
        let mut records = self.records().clone();
        records.retain(|place, _| place.0 != store || place.1 == "INPUT");
        self.over(format!("purge {store}"), records, Vec::new());
    }

    pub(crate) fn rename_store(&mut self, from: &str, to: &str) {
        fs::rename(self.mount.store(from), self.mount.store(to)).unwrap();
        let move_it = |(mut place, number): (Place, u64)| {
            if place.0 == from {
                to.clone_into(&mut place.0);
            }
            (place, number)
        };
        let records = self.records().clone().into_iter().map(move_it).collect();
        self.over(format!("rename store {from} to {to}"), records, Vec::new());
    }

    pub(crate) fn drop_store(&mut self, store: &str) {
        let theirs = |place: &&Place| place.0 == store;
        let places: Vec<Place> = self.records().keys().filter(theirs).cloned().collect();
        for place in places {
            self.delete(&place.0, &place.1);
        }
        fs::remove_dir(self.mount.store(store)).unwrap();
        self.over(format!("drop {store}"), self.records().clone(), Vec::new());
    }

    /// Everything that changes what is on the disk, each with fsync and without. What was made durable is looked at
    /// until something is done to it, so that comes only after something else was.
    pub(crate) fn run(&mut self) {
        // The first durable record of a store: the store must be durable too.
        self.make_store("default");
        self.set("default", "first", true, 60, true);
        self.set("default", "closed", true, 10, false);
        self.set("default", "first", false, 300, false);
        self.sync_later("default", "first", OpenOptions::new().append(true));
        self.set("default", "closed", true, 11, false);
        self.sync_later("default", "closed", OpenOptions::new().read(true));

        // The sidecar that is in place fits the next version, and nobody has made it durable.
        self.set("default", "same", false, 40, false);
        self.set("default", "same", false, 40, true);
        self.set("default", "meanwhile", true, 1, false);
        self.write_over("default", "same", false, 90);

        // As an editor does.
        self.set("default", "temporary", true, 25, true);
        self.rename(("default", "temporary"), ("default", "same"));
        self.sync_store("default");

        self.set("default", "a/b", true, 5, true);
        self.delete("default", "a/b");
        self.set("default", "a/b", false, 15, false);
        self.delete("default", "closed");
        self.sync_store("default");

        // From store to store.
        self.make_store("other");
        self.rename(("default", "first"), ("other", "moved"));
        self.sync_store("other");
        self.sync_store("default");

        self.rename_store("other", "renamed");
        self.set("renamed", "after", true, 30, true);

        self.set("default", "INPUT", true, 12, true);
        self.set("default", "meanwhile", true, 2, false);
        self.purge("default");
        self.set("default", "unsynced", false, 8, false);
        self.set("default", "after", false, 70, true);
        self.set("renamed", "meanwhile", true, 3, false);
        self.purge("default");
        self.sync_store("default");
        self.set("default", "last", true, 33, true);

        self.make_store("passing");
        self.set("passing", "one", true, 3, true);
        self.set("passing", "two", false, 3, false);
        self.drop_store("passing");
        common::sh("ls -R", &self.mount.path());
    }
}
