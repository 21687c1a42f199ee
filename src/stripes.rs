//! Choosing one of a few locks by what it is to hold.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The number of the lock, of `count`, that holds `subject`. The same subject always has the same.
pub(crate) fn stripe_of(subject: impl Hash, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    // The remainder is smaller than `count`, so it fits.
    usize::try_from(hasher.finish() % count.max(1) as u64).unwrap_or(0)
}
