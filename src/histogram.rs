//! How long things take: counted in buckets, without a lock.
//!
//! The buckets grow with the time: four to each power of two from half a microsecond on, so that what a bucket says is off
//! by a quarter at most. A time costs two additions to atomics that nobody waits for. A crate that counts so without a
//! lock and without a registry of its own is not to be had: hdrhistogram has to be synchronised, prometheus counts in
//! floats that are compared and swapped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Times are counted in units of so many bits of nanoseconds: 128 ns.
const UNIT_BITS: u32 = 7;

/// Up to some nine minutes; what takes longer is in the last one.
const BUCKETS: usize = 128;

/// The times of one kind of thing.
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// All of them together, in nanoseconds.
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram").field("times", &self.times().count()).finish_non_exhaustive()
    }
}

/// What a histogram has counted up to a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// Each bucket that is not empty: what its times are at most, in nanoseconds, and how many they are. Ascending.
    pub(crate) buckets: Vec<(u64, u64)>,
    /// All times together.
    pub(crate) sum: Duration,
}

impl Histogram {
    /// Counts a time.
    #[inline]
    pub(crate) fn add(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(ns)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far. What is counted meanwhile may be in one number and not yet in another.
    pub(crate) fn times(&self) -> Times {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets = counts.enumerate().filter(|(_, count)| *count > 0);
        let buckets = buckets.map(|(at, count)| (most_in(at), count)).collect();
        Times { buckets, sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)) }
    }
}

impl Times {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// A time that this share of them, from 0 to 1, does not exceed. Nothing if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        // Counts of requests are far below where a float is inexact.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        #[allow(clippy::cast_sign_loss)]
        let wanted = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (most, count) in &self.buckets {
            seen += count;
            if seen >= wanted {
                return Some(Duration::from_nanos(*most));
            }
        }
        None
    }
}

/// In which bucket a time belongs.
#[inline]
fn bucket_of(ns: u64) -> usize {
    let units = ns >> UNIT_BITS;
    if units < 4 {
        return usize::try_from(units).unwrap_or_default();
    }
    let power = units.ilog2();
    let quarter = (units >> (power - 2)) & 3;
    let bucket = 4 + u64::from(power - 2) * 4 + quarter;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// What the times in a bucket are less than, in nanoseconds.
fn most_in(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    match bucket.checked_sub(4) {
        None => (bucket + 1) << UNIT_BITS,
        Some(above) => (5 + above % 4) << (above / 4) << UNIT_BITS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_bounds_it() {
        for bucket in 1..BUCKETS - 1 {
            assert_eq!(bucket_of(most_in(bucket - 1)), bucket);
            assert_eq!(bucket_of(most_in(bucket) - 1), bucket);
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
        assert!(Duration::from_nanos(most_in(BUCKETS - 1)) > Duration::from_secs(500));
    }

    #[test]
    fn quantiles_are_off_by_a_quarter_at_most() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times().quantile(0.5), None);
        (1..=1000).for_each(|micros| histogram.add(Duration::from_micros(micros)));
        let times = histogram.times();
        assert_eq!((times.count(), times.sum), (1000, Duration::from_micros(500_500)));
        for (share, micros) in [(0.0, 1), (0.5, 500), (0.99, 990), (1.0, 1000)] {
            let (found, least) = (times.quantile(share).unwrap(), Duration::from_micros(micros));
            assert!(found >= least && found <= least.mul_f64(1.3), "{share}: {found:?}");
        }
    }

    /// No test decides by a time; this prints what one costs, for who wants to know.
    #[test]
    fn what_counting_a_time_costs() {
        let (histogram, rounds) = (Histogram::default(), 1_000_000);
        let began = std::time::Instant::now();
        for round in 0..rounds {
            histogram.add(Duration::from_nanos(round));
        }
        println!("{:?} for each", began.elapsed() / 1_000_000);
        assert_eq!(histogram.times().count(), rounds);
    }
}
