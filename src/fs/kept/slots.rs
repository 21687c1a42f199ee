//! The file: a header, and slots of one size behind it.
//!
//! It is read and written by system calls, not by a map: a process that is killed has done such a call or has not. An entry is
//! valid by its first eight bytes, which are written last and cleared first, so one that was being written is a free slot. The header
//! says up to which number inodes have been given out; it is raised before any of them is.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, memfd_create};

use super::entry::{BACKING_AT, Entry, Id, Reader, SLOT_BYTES};

/// What the file begins with: a name, and the version of the format. A program that knows another one takes none of the entries,
/// but the numbers before them stand wherever the file is.
const FORMAT: u64 = u64::from_ne_bytes(*b"storefs1");

/// Where the header has its numbers, each of eight bytes.
const FORMAT_AT: u64 = 0;
const NUMBERS_AT: u64 = 8;
const WORKER_AT: u64 = 16;
const SUPERVISOR_AT: u64 = 24;

/// Where the slots begin.
const SLOTS_AT: u64 = 4096;

/// The first eight bytes of an entry say what it is.
const STATE_BYTES: usize = 8;

/// So many slots at most: entries beyond that are not kept.
const MOST_SLOTS: u32 = 1 << 16;

/// What is kept of a mount, as one of its workers sees it.
#[derive(Debug)]
pub struct Kept {
    file: File,
    /// Which worker this is, counted from 1.
    worker: u64,
    /// The process that holds the file.
    supervisor: u64,
    /// What was there when this worker began, until it is taken.
    found: Mutex<Vec<Entry>>,
    /// Where each entry is. A leaf lock.
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    by_id: HashMap<Id, u32>,
    free: Vec<u32>,
    /// The first slot that was never used.
    end: u32,
    /// The first that the file is too short for.
    room: u32,
    /// Requests that have come again, and what is known of them.
    requests: HashMap<u64, (u64, u64)>,
}

impl Kept {
    /// Makes an empty file for the mount that this process supervises.
    ///
    /// # Errors
    /// The system's answer.
    pub fn create() -> io::Result<OwnedFd> {
        let file = File::from(memfd_create("storefs-kept", MemfdFlags::CLOEXEC)?);
        file.write_all_at(&FORMAT.to_ne_bytes(), FORMAT_AT)?;
        file.write_all_at(&u64::from(std::process::id()).to_ne_bytes(), SUPERVISOR_AT)?;
        file.set_len(SLOTS_AT)?;
        Ok(file.into())
    }

    /// What is in the file, for a worker that begins: the one before it has ended.
    ///
    /// # Errors
    /// The system's answer.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let file = File::from(file);
        let worker = read_number(&file, WORKER_AT)? + 1;
        file.write_all_at(&worker.to_ne_bytes(), WORKER_AT)?;
        let supervisor = read_number(&file, SUPERVISOR_AT)?;
        let (mut places, mut found) = (Places::default(), Vec::new());
        if read_number(&file, FORMAT_AT)? == FORMAT {
            let mut slot = [0; SLOT_BYTES];
            while file.read_exact_at(&mut slot, place(places.end)).is_ok() {
                match Entry::of_slot(&slot) {
                    // Was not sent to the worker before this, so it is answered.
                    Some(Entry::Request { worker: last, .. }) if last + 1 < worker => {
                        free(&file, &mut places)?;
                    }
                    Some(Entry::Request { unique, begun, worker }) => {
                        places.requests.insert(unique, (begun, worker));
                        places.by_id.insert(Entry::request_id(unique), places.end);
                    }
                    Some(entry) => {
                        places.by_id.insert(entry.id(), places.end);
                        found.push(entry);
                    }
                    None => free(&file, &mut places)?,
                }
                places.end += 1;
            }
            places.room = places.end;
        }
        let (found, places) = (Mutex::new(found), Mutex::new(places));
        Ok(Self { file, worker, supervisor, found, places })
    }

    /// Which worker of the mount this is, counted from 1.
    #[must_use]
    pub fn worker(&self) -> u64 {
        self.worker
    }

    /// The process that supervises the mount.
    #[must_use]
    pub fn supervisor(&self) -> u64 {
        self.supervisor
    }

    /// What the workers before this one have left, once.
    pub(in crate::fs) fn take_found(&self) -> Vec<Entry> {
        std::mem::take(&mut self.found.lock())
    }

    /// The first number that was given to no inode, at least `first`, and the first behind those that may be given out now.
    pub(in crate::fs) fn reserve_numbers(&self, first: u64) -> (u64, u64) {
        /// Given out without another call of the system.
        const AT_ONCE: u64 = 4096;
        let from = read_number(&self.file, NUMBERS_AT).unwrap_or_default().max(first);
        let to = from + AT_ONCE;
        if let Err(error) = self.file.write_all_at(&to.to_ne_bytes(), NUMBERS_AT) {
            log::error!("the numbers of inodes are not kept: {error}");
        }
        (from, to)
    }

    /// A store is found by this name from now on.
    pub(in crate::fs) fn keep_store(&self, ino: u64, name: &str) {
        self.keep(&Entry::Store { ino, name: name.as_bytes().to_vec() });
    }

    /// A store is found by no name any more.
    pub(in crate::fs) fn drop_store(&self, ino: u64) {
        self.remove(Entry::store_id(ino));
    }

    /// A file is open for reading.
    pub(in crate::fs) fn keep_reader(&self, reader: Reader) {
        self.keep(&Entry::Reader(reader));
    }

    /// The kernel reads a file that is open by itself. Gives back whether that is kept.
    pub(in crate::fs) fn keep_backing(&self, handle: u64, backing: u32) -> bool {
        let places = self.places.lock();
        let Some(at) = places.by_id.get(&Entry::reader_id(handle)) else { return false };
        let written =
            self.file.write_all_at(&u64::from(backing).to_ne_bytes(), place(*at) + BACKING_AT);
        written.is_ok()
    }

    /// A file is closed, or cannot be read any more.
    pub(in crate::fs) fn drop_reader(&self, handle: u64) {
        self.remove(Entry::reader_id(handle));
    }

    /// A request that was sent to an earlier worker has come again, and is about to be begun. Gives back how many workers before
    /// this one have begun it since it came again.
    pub fn begin_again(&self, unique: u64) -> u64 {
        let (earlier, last) = self.places.lock().requests.get(&unique).copied().unwrap_or_default();
        if last == self.worker {
            // Counted already.
            return earlier - 1;
        }
        let begun = earlier + 1;
        self.places.lock().requests.insert(unique, (begun, self.worker));
        self.keep(&Entry::Request { unique, begun, worker: self.worker });
        earlier
    }

    fn keep(&self, entry: &Entry) {
        let Some(slot) = entry.to_slot() else { return };
        let mut places = self.places.lock();
        let known = places.by_id.get(&entry.id()).copied();
        let Some(at) = known.or_else(|| self.take_slot(&mut places)) else { return };
        if let Err(error) = self.write(at, &slot, known.is_some()) {
            log::warn!("what would survive this process is not kept: {error}");
        }
        places.by_id.insert(entry.id(), at);
    }

    /// A slot that is free. `None` if there is none.
    fn take_slot(&self, places: &mut Places) -> Option<u32> {
        /// The file grows by so many.
        const AT_ONCE: u32 = 64;
        if let Some(at) = places.free.pop() {
            return Some(at);
        }
        if places.end >= MOST_SLOTS {
            return None;
        }
        if places.end >= places.room {
            let room = places.end + AT_ONCE;
            if let Err(error) = self.file.set_len(place(room)) {
                log::warn!("no more can be kept that would survive this process: {error}");
                return None;
            }
            places.room = room;
        }
        places.end += 1;
        Some(places.end - 1)
    }

    /// What the slot says of itself is written last, and is nothing before.
    fn write(&self, at: u32, slot: &[u8], is_used: bool) -> io::Result<()> {
        let (state, rest) = slot.split_at_checked(STATE_BYTES).unwrap_or_default();
        if is_used {
            self.file.write_all_at(&[0; STATE_BYTES], place(at))?;
        }
        self.file.write_all_at(rest, place(at) + STATE_BYTES as u64)?;
        self.file.write_all_at(state, place(at))
    }

    fn remove(&self, id: Id) {
        let mut places = self.places.lock();
        let Some(at) = places.by_id.remove(&id) else { return };
        if let Err(error) = self.file.write_all_at(&[0; STATE_BYTES], place(at)) {
            log::warn!("what is gone stays kept: {error}");
        }
        places.free.push(at);
    }
}

/// Where a slot begins.
fn place(slot: u32) -> u64 {
    SLOTS_AT + u64::from(slot) * SLOT_BYTES as u64
}

/// The slot at the end of those that were read is free.
fn free(file: &File, places: &mut Places) -> io::Result<()> {
    places.free.push(places.end);
    file.write_all_at(&[0; STATE_BYTES], place(places.end))
}

fn read_number(file: &File, at: u64) -> io::Result<u64> {
    let mut number = [0; 8];
    file.read_exact_at(&mut number, at)?;
    Ok(u64::from_ne_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stamp;

    fn reader(handle: u64) -> Reader {
        let stamp = Stamp { object: 1, size: 2, modified_ns: 3, changed_ns: 4 };
        Reader { handle, ino: 20, store: 16, stamp, key: b"key".to_vec(), backing: 0 }
    }

    fn again(kept: &Kept) -> Kept {
        Kept::open(kept.file.try_clone().unwrap().into()).unwrap()
    }

    #[test]
    fn what_is_kept_is_there_for_the_next_worker() {
        let first = Kept::open(Kept::create().unwrap()).unwrap();
        assert_eq!((first.worker(), first.take_found().len()), (1, 0));
        assert_eq!(first.reserve_numbers(16), (16, 16 + 4096));
        first.keep_store(16, "default");
        first.keep_store(17, "gone");
        first.keep_reader(reader(5));
        first.keep_reader(reader(6));
        first.drop_store(17);
        first.drop_reader(5);
        first.keep_store(16, "renamed");
        assert!(first.keep_backing(6, 3) && !first.keep_backing(5, 3));

        let second = again(&first);
        assert_eq!(second.worker(), 2);
        assert_eq!(second.supervisor(), u64::from(std::process::id()));
        let store = Entry::Store { ino: 16, name: b"renamed".to_vec() };
        assert_eq!(
            second.take_found(),
            [store.clone(), Entry::Reader(Reader { backing: 3, ..reader(6) })]
        );
        let (from, _) = second.reserve_numbers(16);
        assert_eq!(from, 16 + 4096, "no number is given out twice");

        // The slots that were freed are used again.
        second.keep_store(from, "new");
        second.keep_store(from + 1, "newer");
        let third = again(&second);
        assert_eq!(third.take_found().len(), 4);
        assert_eq!(third.places.lock().end, 64, "the file has not grown");
    }

    #[test]
    fn an_entry_that_was_being_written_is_none() {
        let first = Kept::open(Kept::create().unwrap()).unwrap();
        first.keep_store(16, "whole");
        let torn = Entry::Store { ino: 17, name: b"torn".to_vec() }.to_slot().unwrap();
        let rest = torn.get(STATE_BYTES..).unwrap();
        first.file.write_all_at(rest, place(1) + STATE_BYTES as u64).unwrap();
        let second = again(&first);
        assert_eq!(second.take_found().len(), 1);
        second.keep_store(18, "next");
        assert_eq!(again(&second).take_found().len(), 2);
    }

    #[test]
    fn a_request_is_counted_once_for_each_worker_that_begins_it() {
        let first = Kept::open(Kept::create().unwrap()).unwrap();
        assert_eq!(first.begin_again(7), 0);
        assert_eq!(first.begin_again(7), 0, "the same worker");
        let second = again(&first);
        assert_eq!(second.begin_again(8), 0);
        assert_eq!(second.begin_again(7), 1);
        let third = again(&second);
        assert_eq!(third.begin_again(7), 2);
        // It was not sent to this worker, so it has been answered.
        let fifth = again(&again(&third));
        assert_eq!(fifth.begin_again(8), 0);
    }
}
