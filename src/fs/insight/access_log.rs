//! `@log`: who reads it, and what they have not read yet.
//!
//! A reader who has read all waits for more, and is answered within some milliseconds of the next request by the thread
//! that looks for signals as long as anybody reads. He loses lines if he is slow, and nobody waits for him.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lines::{Lines, Place};
use crate::fs::entry::Caller;
use crate::fs::error::{FsError, FsResult};
use crate::fs::signals::look_for_signals;
use crate::ranks::{Mutex, Table};

/// How often it is looked whether those who wait were sent a signal.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// How often it is looked whether the mount is still there.
const MOUNT_EVERY: Duration = Duration::from_secs(1);

/// Who cannot be looked at, as he is in another PID namespace, is given an empty comment when he has waited so long: a
/// signal reaches him between two reads.
const UNSEEN_WAITS: Duration = Duration::from_secs(1);

/// What is called with what a read came to.
pub(in crate::fs) type LogRead = Box<dyn FnOnce(FsResult<Vec<u8>>) + Send>;

/// The log of requests.
#[derive(Default)]
pub(in crate::fs) struct AccessLog {
    /// Whether anybody reads. All that a request costs if nobody does.
    is_read: AtomicBool,
    state: Mutex<Table, State>,
    /// Tells whether the mount is still to be seen anywhere.
    is_mounted: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

#[derive(Default)]
struct State {
    /// As long as anybody reads.
    lines: Option<Lines>,
    readers: HashMap<u64, Reader>,
    last: u64,
    /// Whether the thread runs that answers those who wait.
    is_served: bool,
    /// Whether the last readers were told that it ends.
    has_ended: bool,
    written: u64,
    lost: u64,
}

#[derive(Default)]
struct Reader {
    place: Place,
    waiting: Vec<Waiting>,
    end: End,
}

/// Whether there is an end to what is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    None,
    /// It is to be told.
    Reached,
    /// It was told.
    Told,
}

struct Waiting {
    most: usize,
    caller: Caller,
    since: Instant,
    done: LogRead,
}

/// What is to be told to whom. Done when no lock is held.
type Answers = Vec<(LogRead, FsResult<Vec<u8>>)>;

/// An open of `@log`; ended when it is dropped.
pub(in crate::fs) struct LogReader {
    log: Arc<AccessLog>,
    number: u64,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("is_read", &self.is_read).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        let mut state = self.log.state.lock();
        let reader = state.readers.remove(&self.number);
        if state.readers.is_empty() {
            self.log.is_read.store(false, Ordering::Relaxed);
            state.lines = None;
            state.has_ended = false;
        }
        drop(state);
        let waiting = reader.into_iter().flat_map(|reader| reader.waiting);
        waiting.for_each(|waiting| (waiting.done)(Err(FsError::BadHandle)));
    }
}

impl LogReader {
    /// Reads at an offset, and calls `done` with what is there, or as soon as something is; with nothing when the mount
    /// ends, and with ENOTCONN after that; with [`FsError::Interrupted`] if the caller is sent a signal.
    pub(in crate::fs) fn read(&self, caller: Caller, offset: u64, most: usize, done: LogRead) {
        let mut state = self.log.state.lock();
        let State { lines, readers, lost, .. } = &mut *state;
        let (Some(lines), Some(reader)) = (lines, readers.get_mut(&self.number)) else {
            drop(state);
            return done(Err(FsError::BadHandle));
        };
        reader.place.seek(lines, offset);
        match reader.read(lines, most, lost) {
            Some(read) => {
                drop(state);
                done(read);
            }
            None => {
                let since = Instant::now();
                reader.waiting.push(Waiting { most, caller, since, done });
            }
        }
    }
}

impl Reader {
    /// What there is to read; `None` as long as there is nothing.
    fn read(&mut self, lines: &Lines, most: usize, lost: &mut u64) -> Option<FsResult<Vec<u8>>> {
        let (bytes, lost_here) = self.place.read(lines, most);
        *lost += lost_here;
        match self.end {
            _ if !bytes.is_empty() => Some(Ok(bytes)),
            End::None => None,
            End::Reached => {
                self.end = End::Told;
                Some(Ok(bytes))
            }
            End::Told => Some(Err(FsError::Failed(libc::ENOTCONN))),
        }
    }

    /// Answers those who wait, as far as there is anything to say.
    fn answer(&mut self, lines: &Lines, lost: &mut u64, looks: bool, answers: &mut Answers) {
        for waiting in std::mem::take(&mut self.waiting) {
            let is_unseen = waiting.caller.thread == 0 && waiting.since.elapsed() >= UNSEEN_WAITS;
            if is_unseen {
                self.place.say("#\n");
            }
            match self.read(lines, waiting.most, lost) {
                Some(read) => answers.push((waiting.done, read)),
                None if looks && waiting.caller.is_interrupted() => {
                    answers.push((waiting.done, Err(FsError::Interrupted)));
                }
                None => self.waiting.push(waiting),
            }
        }
    }
}

impl AccessLog {
    /// Whether anybody reads.
    #[inline]
    pub(in crate::fs) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// Says how to learn whether the mount is still to be seen anywhere. Only the first call counts.
    pub(in crate::fs) fn set_mounted(&self, is_mounted: Box<dyn Fn() -> bool + Send + Sync>) {
        let _ = self.is_mounted.set(is_mounted);
    }

    /// Begins to read.
    ///
    /// # Errors
    /// EAGAIN if the system makes no thread that would answer.
    pub(in crate::fs) fn open(self: &Arc<Self>) -> FsResult<LogReader> {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        state.lines.get_or_insert_with(Lines::new);
        state.readers.insert(number, Reader::default());
        state.has_ended = false;
        let is_served = std::mem::replace(&mut state.is_served, true);
        self.is_read.store(true, Ordering::Relaxed);
        drop(state);
        let reader = LogReader { log: Arc::clone(self), number };
        if !is_served {
            let log = Arc::clone(self);
            let (mut signals, mut mount) = (Instant::now(), Instant::now());
            let is_due = move |last: &mut Instant, every| {
                let is_due = last.elapsed() >= every;
                if is_due {
                    *last = Instant::now();
                }
                is_due
            };
            let look = move || {
                let looks = is_due(&mut signals, SIGNALS_EVERY);
                if is_due(&mut mount, MOUNT_EVERY) && !log.is_mounted() {
                    log.end();
                }
                log.answer_waiting(looks)
            };
            if !look_for_signals(look) {
                self.state.lock().is_served = false;
                return Err(FsError::Failed(libc::EAGAIN));
            }
        }
        Ok(reader)
    }

    fn is_mounted(&self) -> bool {
        self.is_mounted.get().is_none_or(|is_mounted| is_mounted())
    }

    /// Adds a line, newline included, for those who read.
    pub(super) fn push(&self, line: String) {
        let mut state = self.state.lock();
        state.written += 1;
        if let Some(lines) = &mut state.lines {
            lines.push(line.into());
        }
    }

    /// Tells all who read that this is the end.
    pub(in crate::fs) fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = !state.readers.is_empty();
        for reader in state.readers.values_mut() {
            if reader.end == End::None {
                reader.end = End::Reached;
            }
        }
    }

    /// The size of the file.
    ///
    /// # Errors
    /// ENOTCONN if it has ended for those who have it open: `tail -f` looks at the size, and would wait on.
    pub(in crate::fs) fn size(&self) -> FsResult<u64> {
        let state = self.state.lock();
        if state.has_ended {
            return Err(FsError::Failed(libc::ENOTCONN));
        }
        Ok(state.lines.as_ref().map_or_else(|| Lines::new().size(), Lines::size))
    }

    /// Answers those who wait. Gives back whether anybody reads.
    fn answer_waiting(&self, looks: bool) -> bool {
        let mut answers = Answers::new();
        let mut state = self.state.lock();
        let State { lines, readers, lost, .. } = &mut *state;
        if let Some(lines) = lines {
            for reader in readers.values_mut().filter(|reader| !reader.waiting.is_empty()) {
                reader.answer(lines, lost, looks, &mut answers);
            }
        }
        state.is_served = !state.readers.is_empty();
        let is_served = state.is_served;
        drop(state);
        answers.into_iter().for_each(|(done, read)| done(read));
        is_served
    }

    /// What `@status` says of it.
    pub(in crate::fs) fn status(&self) -> Value {
        let state = self.state.lock();
        json!({ "readers": state.readers.len(), "lines": state.written, "lost": state.lost })
    }
}
