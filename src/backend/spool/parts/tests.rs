//! Parts on real files, with threads as those who fetch.

mod bound;
mod reading;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::*;
use crate::ranks::{Mutex, TableEntry};

/// Length of a part in these tests: some blocks of any file system.
const PART: u64 = 64 * 1024;

/// A byte of the value `seed`; never 0, which a hole is made of.
fn byte(seed: u64, offset: u64) -> u8 {
    let mixed = (offset + seed * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    u8::try_from(mixed % 255 + 1).unwrap()
}

fn bytes(seed: u64, range: Range<u64>) -> Vec<u8> {
    range.map(|offset| byte(seed, offset)).collect()
}

fn file() -> File {
    tempfile::tempfile().unwrap()
}

/// What a test answers by hand: requests are handed to it as they come.
#[derive(Debug)]
struct ByHand(Mutex<TableEntry, Sender<(Range<u64>, Arriving)>>);

impl FetchPart for ByHand {
    fn begin(&self, range: Range<u64>, arriving: Arriving) {
        self.0.lock().send((range, arriving)).unwrap();
    }
}

fn by_hand() -> (Arc<ByHand>, Receiver<(Range<u64>, Arriving)>) {
    let (send, receive) = mpsc::channel();
    (Arc::new(ByHand(Mutex::new(send))), receive)
}

/// Answers each request in a thread of its own, in pieces, and notes what was asked for.
#[derive(Debug, Default)]
struct Threads {
    seed: u64,
    asked: Mutex<TableEntry, Vec<Range<u64>>>,
    in_flight: Arc<AtomicUsize>,
    /// Most that were in flight at once.
    most: AtomicUsize,
}

impl Threads {
    fn of(seed: u64) -> Arc<Self> {
        Arc::new(Self { seed, ..Self::default() })
    }

    /// What was asked for, in parts, since this was asked last.
    fn parts(&self) -> Vec<u64> {
        std::mem::take(&mut *self.asked.lock())
            .into_iter()
            .map(|range| range.start / PART)
            .collect()
    }
}

impl FetchPart for Threads {
    fn begin(&self, range: Range<u64>, mut arriving: Arriving) {
        self.asked.lock().push(range.clone());
        let in_flight = Arc::clone(&self.in_flight);
        self.most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let seed = self.seed;
        thread::spawn(move || {
            let all = bytes(seed, range);
            let (early, last) = all.split_at(all.len() - 1);
            let is_wanted = early.chunks(10_000).all(|piece| arriving.take(&[piece]));
            // With the last byte another may begin.
            in_flight.fetch_sub(1, Ordering::SeqCst);
            if is_wanted && arriving.take(&[last]) {
                arriving.end(Ok(()));
            }
        });
    }
}

/// A value of these many bytes, of which nothing is here.
fn value(size: u64, fetch: Arc<dyn FetchPart>, cache: &Arc<PartCache>) -> Arc<Parted> {
    Parted::begin(file(), size, b"", fetch, cache).unwrap()
}

/// Reads and compares.
fn check(parted: &Parted, seed: u64, range: Range<u64>) {
    let mut buffer = vec![0; usize::try_from(range.end - range.start).unwrap()];
    let read = parted.read_at(&mut buffer, range.start).unwrap();
    let expected = bytes(seed, range.start..range.end.min(parted.size()));
    assert_eq!(read, expected.len());
    assert!(buffer[..read] == expected, "other bytes at {range:?}");
}

/// Waits until something is so: for another thread, which will not be long.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// How many readers are at a part.
fn pins(parted: &Parted, part: u64) -> usize {
    parted.kept.cache.state.lock().pins(parted.kept.number, part)
}

/// Bytes that are counted, those to come among them.
fn counted(cache: &PartCache) -> u64 {
    cache.state.lock().checked().0
}
