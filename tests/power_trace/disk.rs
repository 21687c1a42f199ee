//! What may be on a disk after a power cut, by the calls that were made before it.
//!
//! Two kinds of disk are imagined. Both keep to this, which every file system for Linux keeps to:
//!
//! - a call that changes names is done as a whole or not at all; so a rename leaves the file under its old name or
//!   under the new one, and whoever was replaced is there until then;
//! - what fsync has been called for is there: a file's data, a directory's names. Neither stands for the other.
//!
//! The **journaling** disk (ext4, XFS, btrfs, F2FS) writes changes of names in the order in which they were made,
//! however late: after a cut they are those of some moment, which is not before the last fsync of a directory. Data
//! may come before or after its name, and in parts, but for data that `sync_file_range` has waited for: that is on
//! the medium, or in its cache, which the journal empties before it counts. So it is there when a later change of
//! names is.
//!
//! The **careless** disk is what POSIX allows and nobody sells: each change of names that its directory's fsync
//! has not made durable is there or not, whatever the others are, and `sync_file_range` means nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::strace::Call;
use crate::value::Choices;

pub(crate) type Inode = usize;

/// The storage directory.
pub(crate) const ROOT: Inode = 0;

/// A name gets another inode, or none.
#[derive(Clone, Debug)]
struct Naming {
    dir: Inode,
    name: Vec<u8>,
    was: Option<Inode>,
    is: Option<Inode>,
}

#[derive(Clone, Debug)]
enum Event {
    /// One call, done as a whole or not at all.
    Named(Vec<Naming>),
    /// The file's data is another.
    Written(Inode, Vec<u8>),
    /// The file's data was waited for.
    WrittenOut(Inode),
    /// fsync of a file or a directory.
    Synced(Inode),
    /// The caller is done with an operation.
    Marked(usize),
}

/// Everything that happened.
#[derive(Debug)]
pub(crate) struct Disk {
    events: Vec<Event>,
    directories: BTreeSet<Inode>,
    inodes: usize,
    now: Names,
    contents: HashMap<Inode, Vec<u8>>,
    /// Inode numbers as the system told them last.
    numbers: HashMap<u64, Inode>,
    /// Notes in staging have an inode number in their names: what they are called here instead.
    notes: HashMap<Vec<u8>, Vec<u8>>,
}

type Names = BTreeMap<(Inode, Vec<u8>), Inode>;

/// What is on the disk after a cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) names: BTreeMap<(Inode, Vec<u8>), Inode>,
    pub(crate) files: BTreeMap<Inode, Vec<u8>>,
}

/// What unsynced data has come to.
#[derive(Clone, Copy, Debug)]
enum Unsynced {
    Lost,
    Half,
    There,
}

impl Disk {
    /// The disk on which these calls were made. `mark` is how the name begins whose looking up marks the end of
    /// an operation.
    pub(crate) fn new(calls: &[Call], storage: &Path, mark: &str) -> Self {
        let mut disk = Self {
            events: Vec::new(),
            directories: BTreeSet::from([ROOT]),
            inodes: 1,
            now: Names::new(),
            contents: HashMap::new(),
            numbers: HashMap::new(),
            notes: HashMap::new(),
        };
        let storage = storage.as_os_str().as_encoded_bytes();
        for call in calls {
            disk.replay(call, storage, mark);
        }
        disk
    }

    /// The number of events, each of which may be the last one.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether so many calls to make something durable were seen, lest a trace without any passes.
    pub(crate) fn syncs(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Synced(_))).count()
    }

    fn at(&self, storage: &[u8], path: &[u8]) -> Option<Inode> {
        let inner = path.strip_prefix(storage)?;
        let parts = inner.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(ROOT, |dir, name| {
            let name = self.notes.get(name).map_or(name, Vec::as_slice);
            self.now.get(&(dir, name.to_vec())).copied()
        })
    }

    fn replay(&mut self, call: &Call, storage: &[u8], mark: &str) {
        if matches!(call.name.as_str(), "newfstatat" | "fstat" | "statx") {
            self.look(call, storage, mark);
            return;
        }
        let place = |at: usize| call.path(at).filter(|path| path.starts_with(storage));
        if call.result < 0 || (place(0).is_none() && place(2).is_none()) {
            return;
        }
        let dir = |disk: &Self, at: usize| {
            let path = place(at).unwrap_or_else(|| panic!("outside of the storage: {call:?}"));
            disk.at(storage, &path)
        };
        match call.name.as_str() {
            "openat" if call.has_flag(2, "O_CREAT") => {
                assert!(
                    call.has_flag(2, "O_EXCL"),
                    "it is not known whether it was there: {call:?}"
                );
                let inode = self.make();
                self.contents.insert(inode, Vec::new());
                let dir = dir(self, 0).unwrap();
                self.name(&[(dir, call.text(1), Some(inode))]);
            }
            "openat" => assert!(!call.has_flag(2, "O_TRUNC"), "{call:?}"),
            "mkdirat" => {
                let inode = self.make();
                self.directories.insert(inode);
                let dir = dir(self, 0).unwrap();
                self.name(&[(dir, call.text(1), Some(inode))]);
            }
            "linkat" => {
                let (from, to) = (dir(self, 0).unwrap(), dir(self, 2).unwrap());
                let inode = self.find(from, &call.text(1));
                self.name(&[(to, call.text(3), Some(inode))]);
            }
            "unlinkat" => {
                // A directory that has been moved away and removed has no path.
                let Some(dir) = place(0).and_then(|path| self.at(storage, &path)) else { return };
                self.name(&[(dir, call.text(1), None)]);
            }
            "renameat" | "renameat2" => {
                let (from, to) = (dir(self, 0).unwrap(), dir(self, 2).unwrap());
                let (name, to_name) = (call.text(1), call.text(3));
                let inode = self.find(from, &name);
                if call.has_flag(4, "RENAME_EXCHANGE") {
                    let other = self.find(to, &to_name);
                    self.name(&[(from, name, Some(other)), (to, to_name, Some(inode))]);
                } else {
                    self.name(&[(from, name, None), (to, to_name, Some(inode))]);
                }
            }
            // Asks a directory which project it is of, and how it is encrypted.
            "ioctl" if !call.arguments[1].contains("FICLONE") => {}
            "write" | "pwrite64" | "ftruncate" | "copy_file_range" | "ioctl" => {
                self.write(call, storage);
            }
            "fsync" | "fdatasync" => {
                if let Some(inode) = place(0).and_then(|path| self.at(storage, &path)) {
                    self.events.push(Event::Synced(inode));
                }
            }
            "sync_file_range" => {
                if let Some(inode) = place(0).and_then(|path| self.at(storage, &path))
                    && call.has_flag(3, "SYNC_FILE_RANGE_WRITE")
                    && call.has_flag(3, "SYNC_FILE_RANGE_WAIT_AFTER")
                {
                    self.events.push(Event::WrittenOut(inode));
                }
            }
            _ => panic!("what this does to a disk is not known: {call:?}"),
        }
    }

    /// Learns an inode number, or that an operation is over.
    fn look(&mut self, call: &Call, storage: &[u8], mark: &str) {
        let name = if call.name == "fstat" { Vec::new() } else { call.text(1) };
        if let Some(number) = name.strip_prefix(mark.as_bytes()) {
            let number = std::str::from_utf8(number).unwrap().parse().unwrap();
            if !matches!(self.events.last(), Some(Event::Marked(last)) if *last == number) {
                self.events.push(Event::Marked(number));
            }
            return;
        }
        let Some(path) = call.path(0).filter(|_| call.result == 0) else { return };
        let path = if name.is_empty() { path } else { [path.as_slice(), b"/", &name].concat() };
        let all = call.arguments.join(",");
        if let Some(inode) = self.at(storage, &path)
            && let Some((_, told)) = all.split_once("st_ino=").or(all.split_once("stx_ino="))
        {
            let digits = told.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            self.numbers.insert(digits.parse().unwrap(), inode);
        }
    }

    fn write(&mut self, call: &Call, storage: &[u8]) {
        let (at, from) = match call.name.as_str() {
            "copy_file_range" => (2, call.path(0)),
            "ioctl" => (0, call.path(2)),
            _ => (0, None),
        };
        let Some(path) = call.path(at).filter(|path| path.starts_with(storage)) else { return };
        // Nobody will ever find what is written to a file without a name.
        let Some(inode) = self.at(storage, &path) else { return };
        let mut bytes = self.contents[&inode].clone();
        let count = usize::try_from(call.result).unwrap();
        let number = |at: usize| usize::try_from(call.number(at)).unwrap();
        let source = from.and_then(|path| self.at(storage, &path));
        let source = source.map(|inode| self.contents[&inode].clone());
        let put = |bytes: &mut Vec<u8>, offset: usize, data: &[u8]| {
            bytes.resize(bytes.len().max(offset + data.len()), 0);
            bytes[offset..offset + data.len()].copy_from_slice(data);
        };
        match call.name.as_str() {
            // Only ever once, into a file that is new.
            "write" => bytes.extend_from_slice(&call.text(1)[..count]),
            "pwrite64" => put(&mut bytes, number(3), &call.text(1)[..count]),
            "ftruncate" => bytes.resize(number(1), 0),
            "copy_file_range" => {
                let offset = number(1);
                put(&mut bytes, number(3), &source.unwrap()[offset..offset + count]);
            }
            _ => bytes = source.unwrap(),
        }
        self.contents.insert(inode, bytes.clone());
        self.events.push(Event::Written(inode, bytes));
    }

    fn make(&mut self) -> Inode {
        self.inodes += 1;
        self.inodes - 1
    }

    #[track_caller]
    fn find(&self, dir: Inode, name: &[u8]) -> Inode {
        let known = self.notes.get(name).map_or(name, Vec::as_slice);
        self.now[&(dir, known.to_vec())]
    }

    fn name(&mut self, changes: &[(Inode, Vec<u8>, Option<Inode>)]) {
        let changes = changes.iter().map(|(dir, name, is)| {
            let name = self.symbolic(name);
            let was = self.now.get(&(*dir, name.clone())).copied();
            Naming { dir: *dir, name, was, is: *is }
        });
        let changes: Vec<Naming> = changes.collect::<Vec<_>>();
        apply(&mut self.now, &changes);
        self.events.push(Event::Named(changes));
    }

    /// The name of a note, with the inode here in the place of the inode number there.
    fn symbolic(&mut self, name: &[u8]) -> Vec<u8> {
        if let Some(known) = self.notes.get(name) {
            return known.clone();
        }
        let Some((head, number, since, tail)) = note_parts(name) else { return name.to_vec() };
        let Some(inode) = number.parse().ok().and_then(|number: u64| self.numbers.get(&number))
        else {
            return name.to_vec();
        };
        let symbolic = [head.as_bytes(), format!("#{inode}-{since}").as_bytes(), tail].concat();
        self.notes.insert(name.to_vec(), symbolic.clone());
        symbolic
    }

    /// How many operations were over after the first `cut` events.
    pub(crate) fn operations(&self, cut: usize) -> usize {
        let marks = self.events[..cut].iter().filter_map(|event| match event {
            Event::Marked(number) => Some(*number),
            _ => None,
        });
        marks.max().unwrap_or(0)
    }

    /// All that the journaling disk may hold if the power is cut after the first `cut` events.
    pub(crate) fn journaled(&self, cut: usize) -> Vec<State> {
        let is_barrier = |event: &Event| matches!(event, Event::Synced(inode) if self.directories.contains(inode));
        let barrier = self.events[..cut].iter().rposition(is_barrier).unwrap_or(0);
        let mut states = Vec::new();
        for written in barrier..=cut {
            let is_change =
                written == barrier || matches!(self.events[written - 1], Event::Named(_));
            if !is_change {
                continue;
            }
            let mut names = Names::new();
            for event in &self.events[..written] {
                if let Event::Named(changes) = event {
                    apply(&mut names, changes);
                }
            }
            for unsynced in [Unsynced::Lost, Unsynced::Half, Unsynced::There] {
                states.push(self.state(names.clone(), cut, written, unsynced));
            }
        }
        states
    }

    /// Some of what the careless disk may hold: nothing that was not synced, all of it, and so many of the rest.
    pub(crate) fn careless(&self, cut: usize, samples: u64, choices: &mut Choices) -> Vec<State> {
        let mut states = Vec::new();
        for sample in 0..samples + 2 {
            let mut names = Names::new();
            for (at, event) in self.events[..cut].iter().enumerate() {
                let Event::Named(changes) = event else { continue };
                let is_synced = self.events[at..cut].iter().any(|later| {
                    matches!(later, Event::Synced(inode)
                        if changes.iter().any(|change| change.dir == *inode))
                });
                if is_synced || sample == 1 || (sample > 1 && choices.one_in(2)) {
                    apply(&mut names, changes);
                }
            }
            let unsynced = *choices.one_of(&[Unsynced::Lost, Unsynced::Half, Unsynced::There]);
            states.push(self.state(names, cut, 0, unsynced));
        }
        states
    }

    /// The state with these names. Data counts that was synced before the cut, or waited for before the last
    /// change of names that is there, which is among the first `written` events.
    fn state(&self, names: Names, cut: usize, written: usize, unsynced: Unsynced) -> State {
        let mut files = BTreeMap::new();
        for inode in names.values().filter(|inode| !self.directories.contains(*inode)) {
            let (mut now, mut kept) = (Vec::new(), Vec::new());
            for (at, event) in self.events[..cut].iter().enumerate() {
                match event {
                    Event::Written(of, bytes) if of == inode => now.clone_from(bytes),
                    Event::Synced(of) if of == inode => kept.clone_from(&now),
                    Event::WrittenOut(of) if of == inode && at < written => kept.clone_from(&now),
                    _ => {}
                }
            }
            let there = if now == kept {
                now
            } else {
                match unsynced {
                    Unsynced::Lost => kept,
                    Unsynced::Half => half(now),
                    Unsynced::There => now,
                }
            };
            files.insert(*inode, there);
        }
        State { names, files }
    }

    pub(crate) fn is_directory(&self, inode: Inode) -> bool {
        self.directories.contains(&inode)
    }
}

/// `<serial>.<step>.`, the number, since when that number is the file's, and what comes after it.
pub(crate) fn note_parts(name: &[u8]) -> Option<(String, String, String, &[u8])> {
    let mut parts = name.splitn(4, |byte| *byte == b'.');
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (serial, step, object) = (text()?, text()?, text()?);
    serial.parse::<u64>().ok()?;
    let is_step = ["publish", "delete", "rename-store"].contains(&step);
    let (number, rest) = object.split_once('-')?;
    let (since, _) = rest.split_once('-')?;
    let head = format!("{serial}.{step}.");
    let tail = name.get(head.len() + number.len() + 1 + since.len()..)?;
    is_step.then(|| (head, number.to_owned(), since.to_owned(), tail))
}

fn apply(names: &mut Names, changes: &[Naming]) {
    for change in changes {
        let place = (change.dir, change.name.clone());
        match change.is {
            Some(inode) => drop(names.insert(place, inode)),
            // On a careless disk it may be another by now, or never have come.
            None if names.get(&place).copied() == change.was => drop(names.remove(&place)),
            None => {}
        }
    }
}

/// The length is there, and only the first part of the data.
fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0);
    bytes
}
