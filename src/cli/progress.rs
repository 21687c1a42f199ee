//! Progress of long work: a line on a terminal, nothing anywhere else.

use std::io::{self, IsTerminal, Read};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far some work has come.
pub(super) struct Progress {
    what: &'static str,
    style: &'static str,
    /// How much there is in all, where that is known.
    total: Option<u64>,
    started: Instant,
    done: u64,
    /// `None` until the work has taken a while, and for ever where nobody would see it.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress in records.
    pub(super) fn of_records(what: &'static str) -> Self {
        Self::new(what, "{spinner} {msg}: {human_pos} records", None)
    }

    /// Progress in records of which there are so many.
    pub(super) fn of_known_records(what: &'static str, total: u64) -> Self {
        Self::new(what, "{msg}: {wide_bar} {human_pos}/{human_len} records", Some(total))
    }

    /// Whether anybody would see any.
    pub(super) fn is_seen() -> bool {
        io::stderr().is_terminal()
    }

    /// Shows a line without a bar in its way.
    pub(super) fn aside(&self, tell: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }

    /// Progress in bytes.
    pub(super) fn of_bytes(what: &'static str, total: Option<u64>) -> Self {
        let style = if total.is_some() {
            "{msg}: {wide_bar} {binary_bytes}/{binary_total_bytes}"
        } else {
            "{spinner} {msg}: {binary_bytes}"
        };
        Self::new(what, style, total)
    }

    fn new(what: &'static str, style: &'static str, total: Option<u64>) -> Self {
        Self { what, style, total, started: Instant::now(), done: 0, bar: None }
    }

    /// Notes that so much more is done.
    pub(super) fn advance(&mut self, amount: u64) {
        self.done += amount;
        if self.bar.is_none() && self.started.elapsed() > PATIENCE && Self::is_seen() {
            self.bar = Some(self.new_bar());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    fn new_bar(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(self.total, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(self.style) {
            bar.set_style(style);
        }
        bar.with_message(self.what).with_elapsed(self.started.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A stream whose bytes are counted.
pub(super) struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R> Counted<R> {
    /// Counts the bytes of `inner` as `progress`.
    pub(super) fn new(inner: R, progress: Progress) -> Self {
        Self { inner, progress }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
