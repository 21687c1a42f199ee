//! Into which parts a large value is cut that is written, and which of them the server has already.

use std::ops::Range;

/// Values up to this length in bytes are written in one request.
pub(super) const MOST_AT_ONCE: u64 = 8 * MIB;

/// Objects up to this length in bytes are copied in one request.
pub(super) const MOST_COPIED_AT_ONCE: u64 = 5 << 30;

/// Longest object in bytes.
pub(super) const MOST_BYTES: u64 = 5 << 40;

/// Least length in bytes of a part that is not the last.
const LEAST: u64 = 5 * MIB;

/// Bytes of a part that the server copies.
const COPIED: u64 = 512 * MIB;

/// So many parts an upload has at most. S3 allows a few more.
const MOST_PARTS: u64 = 9_000;

const MIB: u64 = 1 << 20;

/// A part of a large value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes that are sent.
    Sent(Range<u64>),
    /// Bytes that the server has in the version before, at the same place.
    Copied(Range<u64>),
}

#[cfg(test)]
impl Piece {
    /// Where the part is in the value.
    pub(super) fn range(&self) -> &Range<u64> {
        match self {
            Self::Sent(range) | Self::Copied(range) => range,
        }
    }
}

/// Cuts a value of `size` bytes into parts. `kept` are ranges that the server has, in their order.
pub(super) fn cut(size: u64, kept: &[Range<u64>]) -> Vec<Piece> {
    let part = size.div_ceil(MOST_PARTS).next_multiple_of(MIB).max(MOST_AT_ONCE);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let end = match kept.iter().find(|range| range.contains(&at) && is_worth(at, range, size)) {
            Some(range) => {
                let end = range.end.min(size);
                let copied = part.max(COPIED).min(end - at);
                // What would be left is no part of its own.
                let left = end - at - copied;
                let copied = if left > 0 && left < LEAST { copied - LEAST } else { copied };
                pieces.push(Piece::Copied(at..at + copied));
                at + copied
            }
            None => {
                let end = at.saturating_add(part).min(size);
                // Up to where the server has what follows.
                let next = kept.iter().find(|range| {
                    range.start >= at + LEAST
                        && range.start < end
                        && is_worth(range.start, range, size)
                });
                let end = next.map_or(end, |range| range.start);
                pieces.push(Piece::Sent(at..end));
                end
            }
        };
        at = end;
    }
    pieces
}

/// Whether what the server has from `at` on is a part of its own.
fn is_worth(at: u64, range: &Range<u64>, size: u64) -> bool {
    range.end.saturating_sub(at) >= LEAST || range.end >= size
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_appended_is_sent_and_nothing_else() {
        let size = 100 * MIB;
        let whole = 0..size;
        let kept = std::slice::from_ref(&whole);
        assert_eq!(cut(size + 3, kept), [Piece::Copied(0..size), Piece::Sent(size..size + 3)]);
        let pieces = cut(1 << 30, &[0..100 * MIB, 101 * MIB..1 << 30]);
        let sent: u64 = pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Sent(_)))
            .map(|piece| piece.range().end - piece.range().start)
            .sum();
        assert!(sent <= 8 * MIB, "{pieces:?}");
        assert_eq!(cut(0, &[]), []);
    }

    proptest! {
        #[test]
        fn parts_follow_one_another_and_have_their_least_length(
            size in 0_u64..(3 << 30),
            bounds in proptest::collection::vec(0_u64..(3 << 30), 0..12),
        ) {
            let mut bounds = bounds;
            bounds.sort_unstable();
            bounds.dedup();
            let kept: Vec<Range<u64>> =
                bounds.chunks_exact(2).map(|pair| pair[0].min(size)..pair[1].min(size)).collect();
            let kept: Vec<Range<u64>> = kept.into_iter().filter(|range| !range.is_empty()).collect();
            let pieces = cut(size, &kept);
            let mut at = 0;
            for (number, piece) in pieces.iter().enumerate() {
                let range = piece.range();
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end > range.start);
                if number + 1 < pieces.len() {
                    prop_assert!(range.end - range.start >= LEAST);
                }
                if let Piece::Copied(range) = piece {
                    let is_in = |k: &Range<u64>| k.start <= range.start && range.end <= k.end;
                    prop_assert!(kept.iter().any(is_in));
                }
                at = range.end;
            }
            prop_assert_eq!(at, size);
            prop_assert!(pieces.len() as u64 <= MOST_PARTS + 100);
        }

        #[test]
        fn there_are_never_more_parts_than_s3_takes(size in 1_u64..=MOST_BYTES) {
            prop_assert!(cut(size, &[]).len() as u64 <= MOST_PARTS);
        }
    }
}
