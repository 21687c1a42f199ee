//! The smallest of many keys, in bounded memory.

use std::cmp::Ordering;

use crate::model::Key;

/// What a key takes besides its bytes.
const SPAN: usize = size_of::<Span>();

/// Where in the buffer a key's bytes are.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..).and_then(|rest| rest.get(..self.len)).unwrap_or_default()
    }
}

/// Keeps the smallest of the keys that it is given. All keys that it has let go of are larger than those it has.
///
/// All bytes lie in one buffer, so that a short key takes little more than its length.
#[derive(Debug)]
pub(super) struct Smallest {
    bytes: Vec<u8>,
    /// Disjoint; in the order of the buffer until they are sorted by [`Smallest::finish`].
    spans: Vec<Span>,
    most_keys: usize,
    most_bytes: usize,
    /// The largest key that was kept when others were let go of: a larger one has no place any more.
    ceiling: Option<Vec<u8>>,
}

impl Smallest {
    /// At most so many keys in at most so many bytes, but always one.
    pub(super) fn new(most_keys: usize, most_bytes: usize) -> Self {
        let most_keys = most_keys.max(1);
        Self { bytes: Vec::new(), spans: Vec::new(), most_keys, most_bytes, ceiling: None }
    }

    pub(super) fn push(&mut self, key: &[u8]) {
        if self.ceiling.as_deref().is_some_and(|ceiling| key > ceiling) {
            return;
        }
        self.spans.push(Span { start: self.bytes.len(), len: key.len() });
        self.bytes.extend_from_slice(key);
        // Twice as many before they are looked through, so that each is looked at a few times only.
        if self.spans.len() / 2 >= self.most_keys {
            self.keep(self.most_keys);
        }
        while self.spans.len() > 1 && self.memory() > self.most_bytes {
            self.keep(self.spans.len() / 2);
        }
    }

    /// The keys in ascending order, and whether larger ones were let go of.
    pub(super) fn finish(mut self) -> Sorted {
        if self.spans.len() > self.most_keys {
            self.keep(self.most_keys);
        }
        let bytes = self.bytes;
        self.spans.sort_unstable_by(|one, other| compare(&bytes, one, other));
        Sorted { bytes, spans: self.spans, more: self.ceiling.is_some() }
    }

    fn memory(&self) -> usize {
        self.bytes.len() + self.spans.len() * SPAN
    }

    /// Keeps the `count` smallest, of which there are more; `count` is not 0.
    fn keep(&mut self, count: usize) {
        let bytes = &mut self.bytes;
        let (_, last, _) =
            self.spans.select_nth_unstable_by(count - 1, |one, other| compare(bytes, one, other));
        self.ceiling = Some(last.of(bytes).to_vec());
        self.spans.truncate(count);
        // Each moves towards the beginning, over what was let go of or has moved already.
        self.spans.sort_unstable_by_key(|span| span.start);
        let mut end = 0;
        for span in &mut self.spans {
            bytes.copy_within(span.start..span.start + span.len, end);
            span.start = end;
            end += span.len;
        }
        bytes.truncate(end);
    }
}

fn compare(bytes: &[u8], one: &Span, other: &Span) -> Ordering {
    one.of(bytes).cmp(other.of(bytes))
}

/// Keys in ascending order.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Whether there were larger ones.
    pub(super) more: bool,
}

impl Sorted {
    pub(super) fn get(&self, index: usize) -> Option<Key> {
        Key::from_bytes(self.spans.get(index)?.of(&self.bytes)).ok()
    }

    pub(super) fn last(&self) -> Option<Key> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn smallest(keys: &[Vec<u8>], most_keys: usize, most_bytes: usize) -> (Vec<Key>, bool) {
        let mut smallest = Smallest::new(most_keys, most_bytes);
        for key in keys {
            smallest.push(key);
            let most = most_bytes.max(SPAN + key.len());
            assert!(smallest.memory() <= most, "{} of {most}", smallest.memory());
        }
        let sorted = smallest.finish();
        ((0..sorted.len()).map(|at| sorted.get(at).unwrap()).collect(), sorted.more)
    }

    proptest! {
        #[test]
        fn the_smallest_are_kept_in_order_and_the_bounds_hold(
            keys in prop::collection::hash_set(prop::collection::vec(any::<u8>(), 1..40), 0..200),
            most_keys in 1_usize..300,
            most_bytes in 200_usize..6000,
        ) {
            let keys: Vec<Vec<u8>> = keys.into_iter().collect();
            let mut expected = keys.clone();
            expected.sort();
            let (kept, more) = smallest(&keys, most_keys, most_bytes);
            prop_assert_eq!(more, kept.len() < keys.len());
            prop_assert!(kept.len() <= most_keys);
            prop_assert!(!kept.is_empty() || keys.is_empty());
            // Where the bytes are no bound, as many as may be.
            if keys.len() * (SPAN + 40) <= most_bytes {
                prop_assert_eq!(kept.len(), keys.len().min(most_keys));
            }
            let kept: Vec<Vec<u8>> = kept.iter().map(|key| key.as_bytes().to_vec()).collect();
            expected.truncate(kept.len());
            prop_assert_eq!(kept, expected);
        }
    }
}
