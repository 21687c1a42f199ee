//! What goes on until the power is cut: writers through the mount and by the command line, each with records of
//! its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::common::{self, file_name};
use crate::ledger::{Ledger, Place, Records};
use crate::value::{self, Choices};

/// The store in which all writers have records.
pub(crate) const WORK: &str = "work";

pub(crate) const WRITERS: usize = 3;

/// The one input record, which a purge spares.
const INPUT: &str = "INPUT";

/// The power is gone, so there is nothing more to do.
struct Over;

type Work = Result<(), Over>;

/// Everything that is known of the storage.
#[derive(Debug)]
pub(crate) struct World {
    /// The stores in the mount.
    stores: PathBuf,
    /// The storage on the disk.
    storage: PathBuf,
    is_cut: AtomicBool,
    next_number: AtomicU64,
    ledgers: Vec<Mutex<Ledger>>,
    /// Held by whoever has a record open for writing, and alone by whoever starts a program. The program inherits
    /// what is open and closes it, which publishes what was written so far (P3): an empty record, just after a
    /// truncation.
    inherited: RwLock<()>,
}

/// A writer's own store, which it purges.
pub(crate) fn own_store(writer: usize) -> String {
    format!("swept {writer}")
}

/// A writer's store that comes and goes.
fn passing_store(writer: usize) -> String {
    format!("passing {writer}")
}

/// The writer to whom a record belongs.
fn owner(place: &Place) -> usize {
    let end = |text: &str| text.rsplit(' ').next().and_then(|last| last.parse().ok());
    end(&place.0).or_else(|| end(&place.1)).unwrap_or_else(|| panic!("{place:?} is nobody's"))
}

impl World {
    pub(crate) fn new(stores: PathBuf, storage: PathBuf) -> Self {
        let ledgers = (0..WRITERS).map(|_| Mutex::new(Ledger::new(Records::new()))).collect();
        Self {
            stores,
            storage,
            is_cut: AtomicBool::new(false),
            next_number: AtomicU64::new(1),
            ledgers,
            inherited: RwLock::new(()),
        }
    }

    /// The power is about to be cut, or is back. While it is cut, errors are expected.
    pub(crate) fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    /// Compares what is known with what is there. Gives back how many moments were lost.
    pub(crate) fn settle(&self, found: Records) -> Result<usize, String> {
        let mut shares = vec![Records::new(); WRITERS];
        for (place, number) in found {
            shares[owner(&place)].insert(place, number);
        }
        let mut lost = 0;
        for (writer, (ledger, share)) in self.ledgers.iter().zip(shares).enumerate() {
            let settled = ledger.lock().settle(share);
            let (at, count) = settled.map_err(|fault| format!("writer {writer}: {fault}"))?;
            lost += count - 1 - at;
        }
        Ok(lost)
    }

    /// What a writer does until the power is cut.
    pub(crate) fn write(&self, writer: usize, choices: &mut Choices) {
        let mut part = Writer { world: self, writer, ledger: &self.ledgers[writer] };
        while !self.is_over() && part.act(choices).is_ok() {}
    }

    /// What any other program on the machine does: its fsync writes the journal, with the names that others have
    /// given and without the data behind them.
    pub(crate) fn disturb(&self, file: &Path, choices: &mut Choices) {
        let mut count = 0;
        while !self.is_over() {
            count += 1;
            let written =
                fs::write(file, format!("{count}")).and_then(|()| File::open(file)?.sync_all());
            assert!(written.is_ok() || self.is_over(), "disturbing: {written:?}");
            std::thread::sleep(std::time::Duration::from_micros(choices.below(20_000)));
        }
    }
}

struct Writer<'a> {
    world: &'a World,
    writer: usize,
    ledger: &'a Mutex<Ledger>,
}

impl Writer<'_> {
    fn path(&self, place: &Place) -> PathBuf {
        self.world.stores.join(&place.0).join(file_name(&place.1))
    }

    /// Does something that changes the records, or tells that the power is gone.
    #[track_caller]
    fn run(
        &self,
        what: String,
        change: impl FnOnce(&mut Records),
        act: impl FnOnce() -> io::Result<()>,
    ) -> Work {
        self.ledger.lock().begin(what.clone(), change);
        self.judge(&what, act())
    }

    /// Judges an outcome: before the cut, an error is a fault.
    #[track_caller]
    fn judge(&self, what: &str, outcome: io::Result<()>) -> Work {
        outcome.map_err(|error| {
            assert!(self.world.is_over(), "{what}: {error}");
            Over
        })
    }

    /// The same for what makes all durable that was done.
    #[track_caller]
    fn run_durably(&self, what: &str, act: impl FnOnce() -> io::Result<()>) -> Work {
        let outcome = act();
        if outcome.is_ok() {
            // The call has returned, so whatever comes after, it holds.
            self.ledger.lock().is_durable();
        }
        self.judge(what, outcome)
    }

    /// A new value: its number and its bytes.
    fn value(&self, place: &Place, choices: &mut Choices) -> (u64, Vec<u8>) {
        let number = self.world.next_number.fetch_add(1, Ordering::Relaxed);
        let padding = choices.padding();
        if place.1 == INPUT || choices.one_in(2) {
            return (number, value::object(number, &place.1, &padding).to_string().into_bytes());
        }
        (number, value::plain(number, &place.1, &padding).into_bytes())
    }

    /// A record that may be there or not.
    fn any_place(&self, choices: &mut Choices) -> Place {
        let number = self.writer;
        match choices.below(8) {
            0 => (own_store(number), INPUT.to_owned()),
            1..=3 => (own_store(number), format!("{}/{number}.json", choices.below(12))),
            // Often one that was never there: only such a record can be lost together with its name.
            4..=5 => (WORK.to_owned(), format!("new {} {number}", choices.below(100_000))),
            _ => (WORK.to_owned(), format!("{} {number}", choices.below(6))),
        }
    }

    /// A record that is there.
    fn some_place(&self, choices: &mut Choices) -> Option<Place> {
        let ledger = self.ledger.lock();
        let places: Vec<&Place> = ledger.now().keys().collect();
        (!places.is_empty()).then(|| (*choices.one_of::<&Place>(&places)).clone())
    }

    fn act(&mut self, choices: &mut Choices) -> Work {
        match choices.below(24) {
            0..=9 => self.set(&self.any_place(choices), choices),
            10..=12 => self.replace(choices),
            13..=15 => self.rename(choices),
            16..=17 => self.delete(choices),
            18 => self.sync_store(choices),
            19 => self.sync_later(choices),
            20 => self.purge(choices),
            21 => self.set_by_command(choices),
            22 => self.come_or_go(choices),
            _ => self.tidy(),
        }
    }

    /// Writes a whole value, published by close or fsync.
    fn set(&self, place: &Place, choices: &mut Choices) -> Work {
        let (number, bytes) = self.value(place, choices);
        let path = self.path(place);
        let _not_inherited = self.world.inherited.read();
        let mut open = None;
        let change = set_to(place, number);
        self.run(format!("set {place:?} to {number}"), change, || {
            let mut file = File::create(&path)?;
            file.write_all(&bytes)?;
            open = Some(file);
            Ok(())
        })?;
        let Some(mut file) = open else { return Ok(()) };
        if choices.one_in(2) {
            return self.judge("close", close(file));
        }
        self.run_durably("fsync", || file.sync_all())?;
        if choices.one_in(2) {
            return self.judge("close", close(file));
        }
        // A further version by the same handle, often one of the same type and length.
        let (number, bytes) = self.value(place, choices);
        let change = set_to(place, number);
        self.run(format!("set {place:?} to {number} once more"), change, || {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&bytes)
        })?;
        if choices.one_in(2) {
            self.run_durably("fsync once more", || file.sync_all())?;
        }
        self.judge("close once more", close(file))
    }

    /// Replaces a record as editors do: a temporary file, fsync or not, and a rename over it.
    fn replace(&self, choices: &mut Choices) -> Work {
        let Some(to) = self.some_place(choices) else { return Ok(()) };
        if to.1 == INPUT {
            return Ok(());
        }
        let temporary = (to.0.clone(), format!("temporary {}", self.writer));
        self.set(&temporary, choices)?;
        self.move_to(&temporary, &to)?;
        if choices.one_in(2) { self.sync_dir(&to.0) } else { Ok(()) }
    }

    fn rename(&self, choices: &mut Choices) -> Work {
        let Some(from) = self.some_place(choices) else { return Ok(()) };
        let to = self.any_place(choices);
        if from == to || from.1 == INPUT || to.1 == INPUT {
            return Ok(());
        }
        self.move_to(&from, &to)
    }

    fn move_to(&self, from: &Place, to: &Place) -> Work {
        let change = |records: &mut Records| {
            let number = records.remove(from).unwrap();
            records.insert(to.clone(), number);
        };
        let (from_path, to_path) = (self.path(from), self.path(to));
        self.run(format!("rename {from:?} to {to:?}"), change, || fs::rename(from_path, to_path))
    }

    fn delete(&self, choices: &mut Choices) -> Work {
        let Some(place) = self.some_place(choices) else { return Ok(()) };
        let change = absent(&place);
        self.run(format!("delete {place:?}"), change, || fs::remove_file(self.path(&place)))?;
        if choices.one_in(3) { self.sync_dir(&place.0) } else { Ok(()) }
    }

    fn sync_store(&self, choices: &mut Choices) -> Work {
        match self.some_place(choices) {
            Some(place) => self.sync_dir(&place.0),
            None => Ok(()),
        }
    }

    fn sync_dir(&self, store: &str) -> Work {
        let path = self.world.stores.join(store);
        self.run_durably("fsync of a store", || File::open(&path)?.sync_all())
    }

    /// Makes a record durable some time after it was published.
    fn sync_later(&self, choices: &mut Choices) -> Work {
        let Some(place) = self.some_place(choices) else { return Ok(()) };
        let path = self.path(&place);
        self.run_durably("fsync of what was closed", || {
            OpenOptions::new().append(true).open(&path)?.sync_all()
        })
    }

    fn purge(&self, choices: &mut Choices) -> Work {
        let store = own_store(self.writer);
        let change =
            |records: &mut Records| records.retain(|place, _| place.0 != store || place.1 == INPUT);
        let path = self.world.stores.join(&store).join("@purge");
        self.run(format!("purge {store}"), change, || fs::write(path, "1\n"))?;
        if choices.one_in(2) { self.sync_dir(&store) } else { Ok(()) }
    }

    /// What `storefs set` publishes is as a close does.
    fn set_by_command(&self, choices: &mut Choices) -> Work {
        let place = self.any_place(choices);
        let (number, bytes) = self.value(&place, choices);
        let change = set_to(&place, number);
        self.run(format!("set {place:?} to {number} by command"), change, || {
            let mut command = common::storefs();
            command.args(["set", &place.0, &place.1, "-", "--source"]).arg(&self.world.storage);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = {
                let _nothing_is_open = self.world.inherited.write();
                command.spawn()?
            };
            let given = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(&bytes));
            let output = child.wait_with_output()?;
            given?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(io::Error::other(said)) }
        })
    }

    /// Makes a store with a durable record in it, or removes it with all that is in it.
    fn come_or_go(&self, choices: &mut Choices) -> Work {
        let store = passing_store(self.writer);
        let path = self.world.stores.join(&store);
        if !path.exists() {
            self.judge("mkdir", fs::create_dir(&path))?;
            for number in 0..=choices.below(3) {
                self.set(&(store.clone(), format!("{number}")), choices)?;
            }
            return Ok(());
        }
        let theirs = |place: &&Place| place.0 == store;
        let places: Vec<Place> = self.ledger.lock().now().keys().filter(theirs).cloned().collect();
        for place in places {
            let change = absent(&place);
            self.run(format!("delete {place:?}"), change, || fs::remove_file(self.path(&place)))?;
        }
        self.judge("rmdir", fs::remove_dir(&path))
    }

    /// Removes records that were made under ever new names, so that the disk does not run full.
    fn tidy(&self) -> Work {
        let is_passing = |place: &&Place| place.1.starts_with("new ");
        let places: Vec<Place> =
            self.ledger.lock().now().keys().filter(is_passing).skip(20).cloned().collect();
        for place in places {
            let change = absent(&place);
            self.run(format!("tidy {place:?}"), change, || fs::remove_file(self.path(&place)))?;
        }
        Ok(())
    }
}

fn set_to(place: &Place, number: u64) -> impl FnOnce(&mut Records) {
    let place = place.clone();
    move |records| {
        records.insert(place, number);
    }
}

fn absent(place: &Place) -> impl FnOnce(&mut Records) {
    let place = place.clone();
    move |records| {
        records.remove(&place);
    }
}

/// Closes a file; a drop would not say whether that went well.
fn close(file: File) -> io::Result<()> {
    nix::unistd::close(file).map_err(io::Error::from)
}
