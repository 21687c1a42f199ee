//! Which bytes: ranges of offsets that get fewer.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges of offsets, sorted, apart from each other, and none of them empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// The end of each range by its start.
    ends: BTreeMap<u64, u64>,
    /// Offsets in all of them.
    count: u64,
}

impl Ranges {
    /// All offsets in front of an end.
    pub(super) fn up_to(end: u64) -> Self {
        let ends = if end == 0 { BTreeMap::new() } else { BTreeMap::from([(0, end)]) };
        Self { ends, count: end }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many offsets there are in all ranges.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The ranges, as far as they are in `within`.
    pub(super) fn within(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        // Only the last range in front of it may reach into it.
        let first = self.ends.range(..=within.start).next_back();
        let first = first.map_or(within.start, |(start, _)| *start);
        // An empty or backward range has nothing in it.
        let starts = first..within.end.max(first);
        self.ends.range(starts).filter_map(move |(start, end)| {
            let part = within.start.max(*start)..within.end.min(*end);
            (!part.is_empty()).then_some(part)
        })
    }

    /// The first range that reaches behind an offset.
    pub(super) fn next(&self, offset: u64) -> Option<Range<u64>> {
        self.within(offset..u64::MAX).next()
    }

    /// Takes offsets out.
    pub(super) fn remove(&mut self, removed: Range<u64>) {
        let parts: Vec<_> = self.within(removed).collect();
        for part in parts {
            let reaching = self.ends.range(..=part.start).next_back();
            let Some((start, end)) = reaching.map(|(start, end)| (*start, *end)) else { continue };
            self.ends.remove(&start);
            if start < part.start {
                self.ends.insert(start, part.start);
            }
            if part.end < end {
                self.ends.insert(part.end, end);
            }
            self.count = self.count.saturating_sub(part.end - part.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: u64 = 40;

    /// The same, offset by offset.
    fn offsets(ranges: &Ranges, within: Range<u64>) -> Vec<u64> {
        ranges.within(within).flatten().collect()
    }

    proptest! {
        #[test]
        fn they_hold_what_was_not_taken_out(
            end in 0..MOST,
            removed in prop::collection::vec((0..MOST, 0..MOST), 0..12),
            (from, to) in (0..MOST, 0..MOST),
        ) {
            let mut ranges = Ranges::up_to(end);
            let mut model: Vec<u64> = (0..end).collect();
            for (start, end) in removed {
                ranges.remove(start..end);
                model.retain(|offset| !(start..end).contains(offset));
            }
            prop_assert_eq!(offsets(&ranges, 0..u64::MAX), model.clone());
            prop_assert_eq!(ranges.count(), model.len() as u64);
            prop_assert_eq!(ranges.is_empty(), model.is_empty());
            let expected: Vec<u64> =
                model.iter().copied().filter(|offset| (from..to).contains(offset)).collect();
            prop_assert_eq!(offsets(&ranges, from..to), expected);
            let next = model.iter().copied().find(|offset| *offset >= from);
            prop_assert_eq!(ranges.next(from).map(|range| range.start), next);
            // Apart and none empty: as few ranges as there can be.
            let pieces: Vec<_> = ranges.within(0..u64::MAX).collect();
            prop_assert!(pieces.iter().all(|piece| piece.start < piece.end));
            prop_assert!(pieces.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn what_reaches_to_the_last_offset_can_be_taken_out() {
        let mut ranges = Ranges::up_to(u64::MAX);
        ranges.remove(7..u64::MAX);
        assert_eq!(offsets(&ranges, 0..u64::MAX), [0, 1, 2, 3, 4, 5, 6]);
        ranges.remove(0..9);
        assert!(ranges.is_empty() && ranges.next(0).is_none());
    }
}
