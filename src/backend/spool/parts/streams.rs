//! Who reads a value from front to back, and how far ahead of them it is fetched.

use std::ops::Range;
use std::time::{Duration, Instant};

/// So many parts of one value are in flight at most, so 32 MiB: one connection seldom fills a fast line, and some do.
pub(super) const MOST_IN_FLIGHT: usize = 8;

/// So many parts, from the one that it is in, are fetched ahead of who reads in sequence: those in flight, and as many that have
/// come, so that as many are in flight at each moment.
pub(super) const MOST_AHEAD: u64 = 2 * MOST_IN_FLIGHT as u64;

/// So many readers of one value are told apart. Beyond, the one that was seen longest ago is forgotten, and its window
/// begins anew.
const MOST_STREAMS: usize = 4;

/// What was fetched ahead of a reader is kept for it against the readahead of others as long as it was seen within this
/// time. A reader of a network that does not come back for so long has most likely gone.
const AWAITED_FOR: Duration = Duration::from_secs(10);

/// The readers of one value.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Stream>);

/// Reads each of which begins about where one before it has ended.
#[derive(Debug)]
struct Stream {
    /// Offset in bytes that the reads have come to.
    next: u64,
    /// Bytes that were read in sequence.
    run: u64,
    /// Parts that the reader is in or that were asked for ahead of it.
    parts: Range<u64>,
    seen: Instant,
}

impl Streams {
    /// A read of these bytes, of which there is one at least. Tells the end in bytes of what is worth asking for: the
    /// read itself, and what is ahead of its reader. That is nothing at first, one part more than the reader is in when
    /// it has read half a part in sequence, and twice the window with each half that follows: 2, 4, 8 and 16 parts.
    ///
    /// So what is fetched ahead for nothing is a few times what was read at most, and a reader that goes on is at the
    /// full window after two parts.
    pub(super) fn note(&mut self, read: Range<u64>, part_bytes: u64, now: Instant) -> u64 {
        // The kernel sends several reads at once, of up to 1 MiB each, and they may overtake each other.
        let (ahead, behind) = (part_bytes / 4, part_bytes / 2);
        let known = self.0.iter_mut().find(|stream| {
            let near = stream.next.saturating_sub(behind)..=stream.next.saturating_add(ahead);
            near.contains(&read.start)
        });
        let first = read.start / part_bytes;
        let own = read.end.div_ceil(part_bytes);
        if let Some(stream) = known {
            let halves = stream.run / (part_bytes / 2).max(1);
            let window = 1_u64.checked_shl(u32::try_from(halves).unwrap_or(u32::MAX));
            let window = window.unwrap_or(u64::MAX).min(MOST_AHEAD);
            let until = own.max(first.saturating_add(window));
            stream.run += read.end.saturating_sub(stream.next);
            stream.next = stream.next.max(read.end);
            stream.parts = first..until;
            stream.seen = now;
            return if window > 1 { until.saturating_mul(part_bytes) } else { read.end };
        }
        if self.0.len() >= MOST_STREAMS {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, stream)| stream.seen);
            if let Some((at, _)) = oldest {
                self.0.swap_remove(at);
            }
        }
        let run = read.end - read.start;
        self.0.push(Stream { next: read.end, run, parts: first..own, seen: now });
        read.end
    }

    /// Whether a reader that was seen of late is in this part or comes to it.
    pub(super) fn await_part(&self, part: u64, now: Instant) -> bool {
        let is_live = |stream: &Stream| now.duration_since(stream.seen) < AWAITED_FOR;
        self.0.iter().any(|stream| stream.parts.contains(&part) && is_live(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 64;

    /// How many parts are worth asking for at each of these reads, from the one that it begins in.
    fn windows(streams: &mut Streams, reads: impl IntoIterator<Item = (u64, u64)>) -> Vec<u64> {
        let now = Instant::now();
        let window = |(at, len)| streams.note(at..at + len, PART, now).div_ceil(PART) - at / PART;
        reads.into_iter().map(window).collect()
    }

    #[test]
    fn the_window_of_who_reads_in_sequence_grows_to_its_most() {
        let mut streams = Streams::default();
        let reads = (0..16).map(|number| (number * 16, 16));
        let grown = windows(&mut streams, reads);
        assert_eq!(grown, [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16]);
    }

    #[test]
    fn reads_that_overtake_each_other_are_one_sequence() {
        let mut streams = Streams::default();
        let grown = windows(&mut streams, [(0, 16), (32, 16), (16, 16), (48, 16), (64, 16)]);
        assert_eq!(grown, [1, 1, 2, 2, 4]);
        assert_eq!(streams.0.len(), 1);
        // What is read again makes no progress.
        assert_eq!(windows(&mut streams, [(64, 16), (64, 16), (72, 16)]), [4, 4, 4]);
        assert_eq!(streams.0[0].run, 88);
    }

    #[test]
    fn a_read_elsewhere_is_for_its_own_parts_and_leaves_a_few_others_alone() {
        let mut streams = Streams::default();
        windows(&mut streams, (0..8).map(|number| (number * 16, 16)));
        assert_eq!(windows(&mut streams, [(6400, 16), (9600, 130), (640, 1)]), [1, 3, 1]);
        assert_eq!(windows(&mut streams, [(128, 16)]), [16]);
        // Of too many the one that was seen longest ago begins anew.
        let later = Instant::now() + Duration::from_secs(1);
        for number in 1..=4 {
            streams.note(number * 64_000..number * 64_000 + 16, PART, later);
        }
        assert!(streams.await_part(1000, later) && !streams.await_part(1000, later + AWAITED_FOR));
        assert_eq!(windows(&mut streams, [(144, 16)]), [1]);
    }
}
