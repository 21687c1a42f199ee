//! What is known of the parts of all values: which are in their files, which come, and which may go.
//!
//! Nothing here asks the network or the disk: a step tells the caller what to do without the lock.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::failure::Failure;
use super::streams::{MOST_IN_FLIGHT, Streams};
use crate::model::Error;
use crate::ranks::Condvar;

/// The parts of all values.
#[derive(Debug)]
pub(super) struct State {
    most_bytes: u64,
    part_bytes: u64,
    /// Bytes that are in the files.
    present: u64,
    /// Bytes that are to come: they have their room.
    coming: u64,
    values: HashMap<u64, Entry>,
    /// Parts that may go, as value and number; those first that were used longest ago.
    idle: BTreeMap<u64, (u64, u64)>,
    /// Counts values, and uses of parts.
    count: u64,
}

/// One value.
#[derive(Debug)]
struct Entry {
    file: Arc<File>,
    size: u64,
    /// Signalled when a part has come, failed or gone.
    moved: Arc<Condvar>,
    parts: HashMap<u64, Part>,
    streams: Streams,
    in_flight: usize,
    /// Readers whose part waits for fewer to be in flight.
    queued: usize,
    /// Why nothing more comes, ever.
    gone: Option<Failure>,
}

/// One part of a value; there is none of which nothing is there and that nobody waits for.
#[derive(Debug, Default)]
struct Part {
    /// Bytes from its beginning on that are in the file.
    filled: u64,
    /// Whether the rest is being fetched.
    is_coming: bool,
    /// Whether its bytes are being given back. Nobody may fetch it before that is done, since what has come would go
    /// with the old bytes.
    is_going: bool,
    /// The file system could not give its bytes back, so it stays.
    is_stuck: bool,
    /// Readers that wait for it or copy out of it. It does not go under them.
    pins: usize,
    /// Its place among the idle.
    idle: Option<u64>,
    /// How often a fetch of it was begun.
    attempts: u64,
    /// The last attempt that failed, and why.
    failed: Option<(u64, Failure)>,
}

/// How much is lost with a part, from nothing on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// It can be fetched again, if anybody wants it.
    Nothing,
    /// A reader is about to want it.
    Awaited,
    /// It cannot be fetched again.
    Forever,
}

/// A part whose bytes are to be given back.
#[derive(Debug)]
pub(super) struct Victim {
    value: u64,
    part: u64,
    /// Where its bytes are.
    pub(super) file: Arc<File>,
    /// Which those are. The end may be behind that of the value, so that its last block goes too.
    pub(super) bytes: Range<u64>,
}

/// What comes next for somebody who wants a part.
#[derive(Debug)]
pub(super) enum Step {
    /// The bytes are there.
    Ready,
    /// Something is under way that has to end first.
    Wait,
    /// Others of this value have to come first.
    Queue,
    /// This part has to go first.
    Evict(Victim),
    /// These bytes are to be fetched.
    Begin(Range<u64>),
    /// They do not come.
    Fail(Error),
}

impl State {
    pub(super) fn new(most_bytes: u64, part_bytes: u64) -> Self {
        Self {
            most_bytes,
            part_bytes,
            present: 0,
            coming: 0,
            values: HashMap::new(),
            idle: BTreeMap::new(),
            count: 0,
        }
    }

    /// Bytes that are in the files.
    pub(super) fn present(&self) -> u64 {
        self.present
    }

    // Values

    /// Takes in a value whose first `filled` bytes are in the file; tells its number.
    pub(super) fn add(
        &mut self,
        file: &Arc<File>,
        size: u64,
        filled: u64,
        moved: &Arc<Condvar>,
    ) -> u64 {
        self.count += 1;
        let value = self.count;
        let mut entry = Entry {
            file: Arc::clone(file),
            size,
            moved: Arc::clone(moved),
            parts: HashMap::new(),
            streams: Streams::default(),
            in_flight: 0,
            queued: 0,
            gone: None,
        };
        let parts = filled.div_ceil(self.part_bytes);
        for part in 0..parts {
            let filled = (filled - part * self.part_bytes).min(self.part_bytes);
            entry.parts.insert(part, Part { filled, ..Part::default() });
        }
        self.values.insert(value, entry);
        self.present += filled;
        for part in 0..parts {
            self.settle(value, part);
        }
        value
    }

    /// Nobody has a value any more.
    pub(super) fn remove(&mut self, value: u64) {
        let Some(entry) = self.values.remove(&value) else { return };
        for (number, part) in entry.parts {
            if let Some(place) = part.idle {
                self.idle.remove(&place);
            }
            self.present -= part.filled;
            if part.is_coming {
                self.coming -= bounds(number, self.part_bytes, entry.size).1 - part.filled;
            }
        }
    }

    /// Whether more of a value may come.
    pub(super) fn is_sound(&self, value: u64) -> bool {
        self.values.get(&value).is_some_and(|entry| entry.gone.is_none())
    }

    /// Whether these bytes of a value are there.
    pub(super) fn has(&self, value: u64, bytes: Range<u64>) -> bool {
        let Some(entry) = self.values.get(&value) else { return false };
        let (first, end) = (bytes.start / self.part_bytes, bytes.end.div_ceil(self.part_bytes));
        (first..end).all(|number| {
            let (start, len) = bounds(number, self.part_bytes, entry.size);
            let wanted = (bytes.end - start).min(len);
            entry.parts.get(&number).is_some_and(|part| !part.is_going && part.filled >= wanted)
        })
    }

    /// A read of a value begins; tells the end of what is worth asking for (see [`Streams::note`]).
    pub(super) fn note_read(&mut self, value: u64, read: Range<u64>, now: Instant) -> u64 {
        let Some(entry) = self.values.get_mut(&value) else { return 0 };
        let until = entry.streams.note(read, self.part_bytes, now);
        until.min(entry.size)
    }

    // Parts

    /// A part stays until [`unpin`](Self::unpin), from when it is there.
    pub(super) fn pin(&mut self, value: u64, number: u64) {
        let Some(entry) = self.values.get_mut(&value) else { return };
        let part = entry.parts.entry(number).or_default();
        part.pins += 1;
        if let Some(place) = part.idle.take() {
            self.idle.remove(&place);
        }
    }

    /// A reader has done with a part.
    pub(super) fn unpin(&mut self, value: u64, number: u64) {
        if let Some(part) = self.part(value, number) {
            part.pins -= 1;
        }
        self.settle(value, number);
    }

    /// What comes next for a reader that has pinned a part and wants its bytes before offset `end`. `joined` is the
    /// attempt at the part that it waits for, 0 at first.
    pub(super) fn want(&mut self, value: u64, number: u64, end: u64, joined: &mut u64) -> Step {
        let Some(entry) = self.values.get_mut(&value) else {
            return Step::Fail(Failure::broken_off().error());
        };
        let (start, len) = bounds(number, self.part_bytes, entry.size);
        let part = entry.parts.entry(number).or_default();
        if part.is_going {
            return Step::Wait;
        }
        if start + part.filled >= end {
            return Step::Ready;
        }
        if let Some((attempt, failure)) = &part.failed
            && (1..=*attempt).contains(joined)
        {
            return Step::Fail(failure.error());
        }
        if part.is_coming {
            *joined = part.attempts;
            return Step::Wait;
        }
        if let Some(gone) = &entry.gone {
            return Step::Fail(gone.error());
        }
        if entry.in_flight >= MOST_IN_FLIGHT {
            return Step::Queue;
        }
        *joined = part.attempts + 1;
        if !self.fits(len - self.filled(value, number))
            && let Some(victim) = self.choose(Loss::Forever)
        {
            return Step::Evict(victim);
        }
        self.begin(value, number)
    }

    /// What comes next for a part of which a reader may soon want the bytes before offset `end`: nothing that it would
    /// have to wait for, and no room is made at the cost of what another reader may want soon.
    pub(super) fn want_soon(&mut self, value: u64, number: u64, end: u64) -> Step {
        let Some(entry) = self.values.get(&value) else { return Step::Wait };
        let (start, len) = bounds(number, self.part_bytes, entry.size);
        let part = entry.parts.get(&number);
        let filled = part.map_or(0, |part| part.filled);
        if part.is_some_and(|part| part.is_coming || part.is_going)
            || filled >= len.min(end.saturating_sub(start))
        {
            return Step::Ready;
        }
        if entry.gone.is_some() || entry.queued > 0 || entry.in_flight >= MOST_IN_FLIGHT {
            return Step::Wait;
        }
        if self.fits(len - filled) {
            return self.begin(value, number);
        }
        self.choose(Loss::Nothing).map_or(Step::Wait, Step::Evict)
    }

    /// Some readers more, or fewer, wait for fewer parts to be in flight.
    pub(super) fn queue(&mut self, value: u64, change: isize) {
        if let Some(entry) = self.values.get_mut(&value) {
            entry.queued = entry.queued.saturating_add_signed(change);
        }
    }

    fn begin(&mut self, value: u64, number: u64) -> Step {
        let Some(entry) = self.values.get_mut(&value) else { return Step::Wait };
        let (start, len) = bounds(number, self.part_bytes, entry.size);
        entry.in_flight += 1;
        let part = entry.parts.entry(number).or_default();
        part.is_coming = true;
        part.attempts += 1;
        self.coming += len - part.filled;
        if let Some(place) = part.idle.take() {
            self.idle.remove(&place);
        }
        Step::Begin(start + part.filled..start + len)
    }

    /// More bytes of a part are in the file. With the last of them its fetch has ended.
    pub(super) fn note_come(&mut self, value: u64, number: u64, bytes: u64) {
        let Some(entry) = self.values.get_mut(&value) else { return };
        if let Some(part) = entry.parts.get_mut(&number) {
            part.filled += bytes;
            self.present += bytes;
            self.coming -= bytes;
            // In the same step, so that the part may go as soon as a reader has done with it.
            if part.filled == bounds(number, self.part_bytes, entry.size).1 {
                return self.note_end(value, number, None);
            }
        }
        entry.moved.notify_all();
    }

    /// The fetch of a part has ended.
    pub(super) fn note_end(&mut self, value: u64, number: u64, failure: Option<Failure>) {
        let Some(entry) = self.values.get_mut(&value) else { return };
        let (_, len) = bounds(number, self.part_bytes, entry.size);
        entry.in_flight -= 1;
        if let Some(part) = entry.parts.get_mut(&number) {
            part.is_coming = false;
            self.coming -= len - part.filled;
            if let Some(failure) = failure {
                if failure.is_final() {
                    entry.gone = Some(failure.clone());
                }
                part.failed = Some((part.attempts, failure));
            }
        }
        entry.moved.notify_all();
        self.settle(value, number);
    }

    // Room

    /// So many bytes are about to be written that belong to no part yet.
    pub(super) fn reserve(&mut self, bytes: u64) -> Option<Victim> {
        let victim = if self.fits(bytes) { None } else { self.choose(Loss::Forever) };
        if victim.is_none() {
            self.coming += bytes;
        }
        victim
    }

    /// They belong to a part by now, or were not written.
    pub(super) fn release(&mut self, bytes: u64) {
        self.coming -= bytes;
    }

    /// Whether there are more bytes than should be.
    pub(super) fn is_over(&self) -> bool {
        !self.fits(0)
    }

    /// A part that has to go because there are too many bytes.
    pub(super) fn surplus(&mut self) -> Option<Victim> {
        if self.is_over() { self.choose(Loss::Forever) } else { None }
    }

    /// A part that may go at this loss at most, as small a one as can be; of several the one that was used longest
    /// ago. Nobody gets at it before it is [`gone`](Self::note_gone).
    pub(super) fn choose(&mut self, most: Loss) -> Option<Victim> {
        let now = Instant::now();
        let levels = [Loss::Nothing, Loss::Awaited, Loss::Forever];
        let (place, value, number) =
            levels.iter().filter(|level| **level <= most).find_map(|level| {
                let mut idle = self.idle.iter();
                let found = idle.find(|(_, at)| self.loss(**at, now) <= *level);
                found.map(|(place, (value, number))| (*place, *value, *number))
            })?;
        self.idle.remove(&place);
        let start = number * self.part_bytes;
        let entry = self.values.get_mut(&value)?;
        let part = entry.parts.get_mut(&number)?;
        part.idle = None;
        part.is_going = true;
        let file = Arc::clone(&entry.file);
        Some(Victim { value, part: number, file, bytes: start..start + self.part_bytes })
    }

    /// The bytes of a part were given back, or could not be.
    pub(super) fn note_gone(&mut self, victim: &Victim, is_gone: bool) {
        let Some(entry) = self.values.get_mut(&victim.value) else { return };
        if let Some(part) = entry.parts.get_mut(&victim.part) {
            part.is_going = false;
            if is_gone {
                self.present -= part.filled;
                part.filled = 0;
            } else {
                part.is_stuck = true;
            }
        }
        entry.moved.notify_all();
        self.settle(victim.value, victim.part);
    }

    fn loss(&self, (value, number): (u64, u64), now: Instant) -> Loss {
        match self.values.get(&value) {
            Some(entry) if entry.gone.is_some() => Loss::Forever,
            Some(entry) if entry.streams.await_part(number, now) => Loss::Awaited,
            _ => Loss::Nothing,
        }
    }

    fn fits(&self, bytes: u64) -> bool {
        self.present + self.coming + bytes <= self.most_bytes
    }

    fn part(&mut self, value: u64, number: u64) -> Option<&mut Part> {
        self.values.get_mut(&value)?.parts.get_mut(&number)
    }

    fn filled(&self, value: u64, number: u64) -> u64 {
        let part = self.values.get(&value).and_then(|entry| entry.parts.get(&number));
        part.map_or(0, |part| part.filled)
    }

    /// A part that nobody needs any more for now may go, or is forgotten if nothing of it is there.
    fn settle(&mut self, value: u64, number: u64) {
        let place = self.count + 1;
        let Some(part) = self.part(value, number) else { return };
        if part.pins > 0 || part.is_coming || part.is_going {
            return;
        }
        part.failed = None;
        if part.filled == 0 {
            if let Some(entry) = self.values.get_mut(&value) {
                entry.parts.remove(&number);
            }
        } else if !part.is_stuck && part.idle.is_none() {
            part.idle = Some(place);
            self.count = place;
            self.idle.insert(place, (value, number));
        }
    }

    /// How many readers are at a part.
    #[cfg(test)]
    pub(super) fn pins(&self, value: u64, number: u64) -> usize {
        let part = self.values.get(&value).and_then(|entry| entry.parts.get(&number));
        part.map_or(0, |part| part.pins)
    }

    /// Adds up what is counted, and compares; tells bytes that are there or to come, and the most parts of one value
    /// that are in flight.
    #[cfg(test)]
    pub(super) fn checked(&self) -> (u64, usize) {
        let entries = || self.values.values();
        let parts = || entries().flat_map(|entry| entry.parts.values());
        assert_eq!(self.present, parts().map(|part| part.filled).sum::<u64>());
        assert_eq!(self.idle.len(), parts().filter(|part| part.idle.is_some()).count());
        let coming = |entry: &Entry| entry.parts.values().filter(|part| part.is_coming).count();
        assert!(entries().all(|entry| coming(entry) == entry.in_flight));
        let most = entries().map(|entry| entry.in_flight).max().unwrap_or_default();
        (self.present + self.coming, most)
    }
}

/// Where a part begins, and its length, in bytes.
fn bounds(number: u64, part_bytes: u64, size: u64) -> (u64, u64) {
    let start = number * part_bytes;
    (start, part_bytes.min(size.saturating_sub(start)))
}
