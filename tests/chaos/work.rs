//! What goes on in a round: writers, readers, purges and an SDK, until the daemon is killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::OFlags;

use crate::common::opener::{Opener, Theirs};
use crate::common::{self, TempMount, disk_name, file_name};
use crate::model::{Answer, Change, Group, INPUT, Place, Records};
use crate::sdk::PythonClient;
use crate::value::{self, Choices};

/// The stores: two between which records are moved, and one that is purged.
pub(crate) const STORES: [&str; 3] = ["other", "swept", "work"];
pub(crate) const SWEPT: &str = "swept";
pub(crate) const WORK: &str = "work";

/// The record of lines, in [`WORK`].
pub(crate) const LOG: &str = "log.txt";

pub(crate) const WRITERS: usize = 3;
pub(crate) const READERS: usize = 2;

/// The daemon is gone, so there is nothing more to do.
pub(crate) struct Over;

type Work = Result<(), Over>;

/// What was issued and acknowledged of the log's lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) begun: u64,
    pub(crate) acknowledged: u64,
}

/// Everything that is known of the storage.
#[derive(Debug)]
pub(crate) struct World {
    /// The stores in the mount.
    stores: PathBuf,
    /// The stores on the disk.
    on_disk: PathBuf,
    killed: AtomicBool,
    next_number: AtomicU64,
    /// Records that one writer alone changes, besides the purges.
    own: Vec<(Vec<Place>, Mutex<Group>)>,
    /// Records that all writers change.
    shared: (Vec<Place>, Mutex<Group>),
    lines: Vec<Mutex<Lines>>,
    sdk: Mutex<Records>,
    /// One for each writer: who reads here must not be one of those who write.
    openers: Vec<Mutex<Opener>>,
}

impl World {
    pub(crate) fn new(stores: PathBuf, on_disk: PathBuf) -> Self {
        let group = || Mutex::new(Group::new(Records::new()));
        let own = (0..WRITERS).map(|writer| (own_places(writer), group())).collect();
        Self {
            stores,
            on_disk,
            killed: AtomicBool::new(false),
            next_number: AtomicU64::new(1),
            own,
            shared: (shared_places(), group()),
            lines: (0..WRITERS).map(|_| Mutex::default()).collect(),
            sdk: Mutex::default(),
            openers: (0..WRITERS).map(|_| Mutex::new(Opener::start())).collect(),
        }
    }

    /// Kills the daemon. From now on, errors are expected.
    pub(crate) fn kill(&self, mount: &mut TempMount) {
        self.killed.store(true, Ordering::SeqCst);
        mount.kill();
    }

    pub(crate) fn begin_round(&self) {
        // What the killed daemon had open is let go of.
        self.openers.iter().for_each(|opener| *opener.lock() = Opener::start());
        self.killed.store(false, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Judges an error: before the kill it is a fault.
    #[track_caller]
    fn over(&self, what: &str, error: &io::Error) -> Over {
        assert!(self.is_over(), "{what}: {error}");
        Over
    }

    fn path(&self, place: &Place) -> PathBuf {
        self.stores.join(place.0).join(file_name(&place.1))
    }

    fn groups(&self) -> impl Iterator<Item = &(Vec<Place>, Mutex<Group>)> {
        self.own.iter().chain([&self.shared])
    }

    /// Everything is at rest: compares what is known with what is there.
    pub(crate) fn settle(&self, mut found: Records, log: &[u8]) -> Result<(), String> {
        for (places, group) in self.groups() {
            let theirs = places.iter().filter_map(|place| found.remove_entry(place)).collect();
            group.lock().settle(&theirs)?;
        }
        let sdk = self.sdk.lock();
        if found != *sdk {
            return Err(format!("besides the writers' records: {found:?}\nthe SDK's: {sdk:?}"));
        }
        for (writer, (lines, there)) in self.lines.iter().zip(lines_of(log)?).enumerate() {
            let mut lines = lines.lock();
            if !(lines.acknowledged..=lines.begun).contains(&there) {
                return Err(format!("the log has {there} lines of writer {writer}: {lines:?}"));
            }
            *lines = Lines { begun: there, acknowledged: there };
        }
        Ok(())
    }

    /// The log was removed while nobody was at it.
    pub(crate) fn log_removed(&self) {
        for lines in &self.lines {
            *lines.lock() = Lines::default();
        }
    }

    /// Does an operation, and notes its begin and its end.
    #[track_caller]
    fn run(
        &self,
        group: &Mutex<Group>,
        change: &Change,
        act: impl FnOnce() -> io::Result<()>,
    ) -> Work {
        let operation = group.lock().begin(change.clone());
        let answer = match act() {
            Ok(()) => Answer::Done,
            Err(error) if error.kind() == ErrorKind::NotFound && !self.is_over() => Answer::Absent,
            Err(error) => return Err(self.over(&format!("{change:?}"), &error)),
        };
        let ended = group.lock().end(operation, answer);
        ended.unwrap_or_else(|fault| panic!("{change:?}: {fault}"));
        Ok(())
    }

    /// A new value for a record: its number and its bytes.
    fn value(&self, place: &Place, choices: &mut Choices) -> (u64, Vec<u8>) {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let padding = choices.padding();
        // The Apify SDK's table says that an input is JSON.
        if place.1 == INPUT || choices.one_in(2) {
            return (number, value::object(number, &place.1, &padding).to_string().into_bytes());
        }
        (number, value::plain(number, &place.1, &padding).into_bytes())
    }

    fn open(&self, writer: usize, path: &Path, flags: OFlags) -> io::Result<Theirs> {
        Ok(self.openers[writer].lock().open(path, flags | OFlags::WRONLY | OFlags::CREATE)?)
    }

    /// Closes a file; a drop would not say whether that went well.
    fn close(&self, writer: usize, theirs: Theirs) -> io::Result<()> {
        Ok(self.openers[writer].lock().close(theirs)?)
    }

    /// Writes a whole value under a name.
    fn set(
        &self,
        writer: usize,
        group: &Mutex<Group>,
        place: &Place,
        choices: &mut Choices,
    ) -> Work {
        let (number, bytes) = self.value(place, choices);
        let path = self.path(place);
        let mut open = None;
        let is_synced = choices.one_in(2);
        self.run(group, &Change::Set(place.clone(), number), || {
            let mut theirs = self.open(writer, &path, OFlags::TRUNC)?;
            write_in_parts(&mut theirs.file, &bytes, choices)?;
            if !is_synced {
                return self.close(writer, theirs);
            }
            theirs.file.sync_all()?;
            open = Some(theirs);
            Ok(())
        })?;
        let Some(mut theirs) = open else { return Ok(()) };
        // What is purged between the two versions does not come back by the second.
        if choices.one_in(2) || place.0 == SWEPT {
            return self.close(writer, theirs).map_err(|error| self.over("close", &error));
        }
        // A further version by the same handle.
        let (number, bytes) = self.value(place, choices);
        let is_synced = choices.one_in(2);
        let mut open = None;
        self.run(group, &Change::Set(place.clone(), number), || {
            theirs.file.set_len(0)?;
            io::Seek::rewind(&mut theirs.file)?;
            write_in_parts(&mut theirs.file, &bytes, choices)?;
            if !is_synced {
                return self.close(writer, theirs);
            }
            theirs.file.sync_all()?;
            open = Some(theirs);
            Ok(())
        })?;
        open.map_or(Ok(()), |theirs| self.close(writer, theirs))
            .map_err(|error| self.over("close", &error))
    }

    fn rename(&self, group: &Mutex<Group>, from: &Place, to: &Place) -> Work {
        let (from_path, to_path) = (self.path(from), self.path(to));
        let change = Change::Rename(from.clone(), to.clone());
        self.run(group, &change, || fs::rename(from_path, to_path))
    }

    fn delete(&self, group: &Mutex<Group>, place: &Place) -> Work {
        let path = self.path(place);
        self.run(group, &Change::Delete(place.clone()), || fs::remove_file(path))
    }

    /// Reads a record of this writer, which must be what it made of it.
    fn look(&self, group: &Mutex<Group>, place: &Place, choices: &mut Choices) -> Work {
        let change = Change::Read(place.clone());
        let operation = group.lock().begin(change.clone());
        let answer = match self.read(place, choices)? {
            Some(bytes) => Answer::Found(whole(place, &bytes)),
            None => Answer::Absent,
        };
        let ended = group.lock().end(operation, answer);
        ended.unwrap_or_else(|fault| panic!("{change:?}: {fault}"));
        Ok(())
    }

    /// Reads a record piece by piece, so that new versions are published between two of them.
    fn read(&self, place: &Place, choices: &mut Choices) -> Result<Option<Vec<u8>>, Over> {
        let read = File::open(self.path(place)).and_then(|file| read_in_parts(file, choices));
        self.unless_absent(place, read)
    }

    /// What was read of a record; `None` if it is not there.
    #[track_caller]
    fn unless_absent<T>(&self, place: &Place, read: io::Result<T>) -> Result<Option<T>, Over> {
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.is_over() => Ok(None),
            Err(error) => Err(self.over(&format!("reading {place:?}"), &error)),
        }
    }

    /// What tells one published version of a record from every other; `None` if it has none.
    fn version_on_disk(&self, place: &Place) -> Option<[i64; 5]> {
        let value = fs::metadata(self.on_disk.join(place.0).join(disk_name(&place.1))).ok()?;
        let number = i64::try_from(value.ino()).unwrap();
        Some([number, value.mtime(), value.mtime_nsec(), value.ctime(), value.ctime_nsec()])
    }

    /// Adds a line or two to the log.
    fn append(&self, writer: usize, choices: &mut Choices) -> Work {
        let path = self.path(&(WORK, LOG.to_owned()));
        let mut appended = || -> io::Result<()> {
            let mut theirs = self.open(writer, &path, OFlags::APPEND)?;
            let count = 1 + choices.below(2);
            let mut last = 0;
            for _ in 0..count {
                let mut lines = self.lines[writer].lock();
                lines.begun += 1;
                last = lines.begun;
                drop(lines);
                theirs.file.write_all(line(writer, last, choices).as_bytes())?;
            }
            let synced = if choices.one_in(2) { theirs.file.sync_all() } else { Ok(()) };
            self.close(writer, theirs)?;
            synced?;
            self.lines[writer].lock().acknowledged = last;
            Ok(())
        };
        appended().map_err(|error| self.over("appending to the log", &error))
    }

    /// What a writer does until the daemon is killed.
    pub(crate) fn write(&self, writer: usize, choices: &mut Choices) {
        while !self.is_over() && self.write_once(writer, choices).is_ok() {}
    }

    fn write_once(&self, writer: usize, choices: &mut Choices) -> Work {
        let (places, group) = &self.own[writer];
        // The last ones are this writer's temporary names.
        let (kept, temporary) = places.split_at(places.len() - STORES.len());
        match choices.below(12) {
            0..=3 => self.set(writer, group, choices.one_of(kept), choices),
            4..=5 => {
                let (from, to) = (choices.one_of(temporary), choices.one_of(kept));
                self.set(writer, group, from, choices)?;
                if to.1 == INPUT { self.delete(group, from) } else { self.rename(group, from, to) }
            }
            6 => {
                let (from, to) = (choices.one_of(kept), choices.one_of(kept));
                if from == to || from.1 == INPUT || to.1 == INPUT {
                    return Ok(());
                }
                self.rename(group, from, to)
            }
            7 => self.delete(group, choices.one_of(places)),
            8 => self.look(group, choices.one_of(places), choices),
            9 => self.append(writer, choices),
            _ => {
                let (places, group) = &self.shared;
                let (to, temporary) = (&places[WRITERS], &places[writer]);
                if choices.one_in(4) {
                    return self.delete(group, to);
                }
                self.set(writer, group, temporary, choices)?;
                self.rename(group, temporary, to)
            }
        }
    }

    /// What a reader does: whatever it meets is whole, and its type fits.
    pub(crate) fn watch(&self, choices: &mut Choices) {
        let places: Vec<&Place> = self.groups().flat_map(|(places, _)| places).collect();
        while !self.is_over() {
            let done = if choices.one_in(8) {
                self.watch_log(choices)
            } else {
                self.watch_record(choices.one_of::<&Place>(&places), choices)
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn watch_record(&self, place: &Place, choices: &mut Choices) -> Work {
        let before = self.version_on_disk(place);
        let opened = File::open(self.path(place));
        // A record that is new is seen as it grows: what is judged was published already when it was opened.
        if before.is_none() || before != self.version_on_disk(place) {
            return Ok(());
        }
        let read = opened.and_then(|file| read_in_parts(file, choices));
        let Some(bytes) = self.unless_absent(place, read)? else { return Ok(()) };
        let number = whole(place, &bytes);
        let content_type = match common::xattr(&self.path(place), "user.mime_type") {
            Ok(content_type) => content_type,
            // The record was moved or removed before the kernel asked, or after that.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => return Ok(()),
            Err(error) => return Err(self.over(&format!("the type of {place:?}"), &error)),
        };
        // Type and bytes are read by two calls: only if the version is still the same are they of one version.
        let after = self.read(place, choices)?;
        if after.is_some_and(|bytes| value::number_of(&bytes) == Ok(number)) {
            assert!(
                value::fits(&content_type, &bytes),
                "{place:?}, version {number}: {content_type:?} for {:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(60)]),
            );
        }
        Ok(())
    }

    fn watch_log(&self, choices: &mut Choices) -> Work {
        let acknowledged: Vec<u64> =
            self.lines.iter().map(|lines| lines.lock().acknowledged).collect();
        let log = self.read(&(WORK, LOG.to_owned()), choices)?.unwrap_or_default();
        let there = lines_of(&log).unwrap_or_else(|fault| panic!("the log: {fault}"));
        let is_complete = acknowledged.iter().zip(&there).all(|(least, there)| there >= least);
        assert!(is_complete, "the log has lines {there:?}, acknowledged were {acknowledged:?}");
        Ok(())
    }

    /// Purges a store at times.
    pub(crate) fn purge(&self, choices: &mut Choices) {
        while !self.is_over() {
            thread::sleep(Duration::from_micros(choices.below(15_000)));
            let begun: Vec<u64> =
                self.groups().map(|(_, group)| group.lock().begin(Change::Purge(SWEPT))).collect();
            if let Err(error) = fs::write(self.stores.join(SWEPT).join("@purge"), "1\n") {
                self.over("purging", &error);
                return;
            }
            for ((_, group), operation) in self.groups().zip(begun) {
                let ended = group.lock().end(operation, Answer::Done);
                ended.unwrap_or_else(|fault| panic!("a purge: {fault}"));
            }
        }
    }

    /// What an SDK does beside the mount: nobody kills it, so each of its calls is complete.
    pub(crate) fn drive(&self, client: &mut PythonClient, choices: &mut Choices) {
        while !self.is_over() {
            let place = (WORK, format!("sdk/{}", choices.below(3)));
            let known = self.sdk.lock().get(&place).copied();
            if choices.one_in(3) {
                let got = client.get(&place.1);
                assert_eq!(got["value"]["number"].as_u64(), known, "the SDK gets {place:?}");
            } else {
                let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                client.set(&place.1, &value::object(number, &place.1, &choices.padding()));
                self.sdk.lock().insert(place.clone(), number);
            }
            // What it has set is in the mount at once (P2).
            let known = self.sdk.lock().get(&place).copied();
            let Ok(bytes) = self.read(&place, choices) else { return };
            assert_eq!(bytes.map(|bytes| whole(&place, &bytes)), known, "{place:?} in the mount");
        }
    }
}

/// The records of one writer; the last ones are its temporary names, one for each store.
fn own_places(writer: usize) -> Vec<Place> {
    let mut places = Vec::new();
    if writer == 0 {
        places.push((SWEPT, INPUT.to_owned()));
    }
    for store in STORES {
        for key in [format!("record {writer}"), format!("a/{writer}.json")] {
            places.push((store, key));
        }
    }
    places.extend(STORES.map(|store| (store, format!("a/{writer}.json.new"))));
    places
}

/// The records of all writers: a temporary name for each, and the one over which these are renamed.
fn shared_places() -> Vec<Place> {
    let temporary = (0..WRITERS).map(|writer| (WORK, format!("shared.{writer}~")));
    temporary.chain([(WORK, "shared".to_owned())]).collect()
}

#[track_caller]
fn whole(place: &Place, bytes: &[u8]) -> u64 {
    value::number_of(bytes).unwrap_or_else(|fault| panic!("{place:?} is {fault}"))
}

fn write_in_parts(file: &mut File, bytes: &[u8], choices: &mut Choices) -> io::Result<()> {
    let parts = 1 + usize::try_from(choices.below(3)).unwrap();
    for part in bytes.chunks(bytes.len() / parts + 1) {
        file.write_all(part)?;
    }
    Ok(())
}

fn read_in_parts(mut file: File, choices: &mut Choices) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(choices.below(400)).unwrap()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    if choices.one_in(3) {
        thread::sleep(Duration::from_micros(choices.below(2_000)));
    }
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn line(writer: usize, number: u64, choices: &mut Choices) -> String {
    let padding = "x".repeat(usize::try_from(choices.below(100)).unwrap());
    let check = value::checksum(&[&writer.to_string(), &number.to_string(), &padding]);
    format!("{writer} {number} {padding} {check}\n")
}

/// How many lines of each writer a log has. Each line must be whole, and each writer's in order, without a gap.
pub(crate) fn lines_of(log: &[u8]) -> Result<Vec<u64>, String> {
    let log = std::str::from_utf8(log).map_err(|error| error.to_string())?;
    if !log.is_empty() && !log.ends_with('\n') {
        return Err(format!("its last line is torn: {:?}", log.lines().last()));
    }
    let mut last = BTreeMap::new();
    for line in log.lines() {
        let torn = || format!("torn: {line:?}");
        let parts: Vec<&str> = line.split(' ').collect();
        let [writer, number, padding, check] = parts[..] else { return Err(torn()) };
        if value::checksum(&[writer, number, padding]) != check {
            return Err(torn());
        }
        let writer: usize = writer.parse().map_err(|_| torn())?;
        let before = last.insert(writer, number.parse().map_err(|_| torn())?);
        let expected = before.unwrap_or(0) + 1;
        if last[&writer] != expected {
            return Err(format!("{line:?} stands where line {expected} of its writer belongs"));
        }
    }
    Ok((0..WRITERS).map(|writer| last.get(&writer).copied().unwrap_or(0)).collect())
}
