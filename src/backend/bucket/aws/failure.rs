//! What went wrong on the way to a bucket's keys, in one line.

use crate::model::{BackendErrorKind, Error};

/// Longest part of another program's or server's words that is told, in characters.
const MOST_TOLD: usize = 300;

/// The environment or a file says something that cannot be.
pub(super) fn wrong(reason: impl Into<String>) -> Error {
    Error::backend(BackendErrorKind::Other, "tell how the bucket is opened", reason.into())
}

/// There are no keys, or they cannot be had.
pub(super) fn no_keys(kind: BackendErrorKind, reason: impl Into<String>) -> Error {
    Error::backend(kind, "get keys for the bucket", reason.into())
}

/// Another's words in one line, cut off where they are long.
pub(super) fn told(words: &str) -> String {
    let words = words.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    match words.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{}...", words.get(..end).unwrap_or_default()),
        None => words,
    }
}

/// What was at the bottom of it. Crates put URLs and their own counts above that.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    told(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anothers_words_are_one_line_of_some_length() {
        assert_eq!(told(" a\tb\r\n\u{1b}[31mc\0 "), "a b [31mc");
        assert_eq!(told(&"\u{e9}".repeat(300)), "\u{e9}".repeat(300));
        assert_eq!(told(&"\u{e9}".repeat(301)), format!("{}...", "\u{e9}".repeat(300)));
    }
}
