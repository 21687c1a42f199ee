//! How a key is shown as a file name, and back.
//!
//! A key's file name is the key itself, but for what is [`SPECIAL`]: what a file name cannot hold, and what means
//! something else here. Each special text has a code, and is `%CODE` in the file name. So that a key may hold a
//! text `%CODE` too, that is `%25CODE` in its file name, `%25CODE` is `%2525CODE`, and so on. In other words, a
//! special text has levels: at level 0 it stands as itself, at level n as `%`, n - 1 times `25`, and its code. The
//! file name has one level more than the key. A `%` that begins none of these is a character like any other.
//! Bytes of a foreign key that spell no character have levels as well, with the code `xHH`.
//!
//! This is a bijection between all keys and all file names that are not reserved:
//! - A special text is found at the same place before and after, one level apart, so up and down undo each other.
//!   For no code has a `%` in it or begins with `25`, so that none overlaps another or is completed by what
//!   another becomes; and the start and the end of a text stay the start and the end.
//! - Every key can go up. Every name can go down in which nothing is at level 0. The other names are the reserved
//!   ones, and those that no file system takes.
//! - Bytes side by side at one level that spell a character stay at that level. At level 0 this leaves the characters
//!   alone; at others it must be so too, since `%xC3%xBC` can be no two foreign bytes: those are a character. They
//!   are the same ones before and after, since no two characters share a byte, and all bytes of one stay.

use std::borrow::Cow;

/// The store's metadata.
pub(super) const METADATA: &[u8] = b"__metadata__.json";

/// The control file of a store.
pub(super) const PURGE: &[u8] = b"@purge";

/// All items of a dataset, as lines of JSON.
pub(super) const ITEMS_JSONL: &[u8] = b"@items.jsonl";

/// The same, as one JSON array.
pub(super) const ITEMS_JSON: &[u8] = b"@items.json";

/// The same, as a table.
pub(super) const ITEMS_CSV: &[u8] = b"@items.csv";

/// The control file of the mount that tells its state.
pub(super) const STATUS: &[u8] = b"@status";

/// The control file of the mount that tells each request.
pub(super) const LOG: &[u8] = b"@log";

pub(super) const SIDECAR_SUFFIX: &[u8] = b".__metadata__.json";

/// A text that no file name may have in it, or at a certain place.
#[derive(Debug)]
struct Special {
    text: &'static [u8],
    /// What stands for it behind a `%`. Has no `%`, and does not begin with `25`.
    code: &'static [u8],
    place: Place,
}

/// Where a text is special.
#[derive(Debug)]
enum Place {
    Anywhere,
    End,
    Whole,
}

/// The names of control files include those of later ones, so that no record's name ever changes.
const SPECIAL: [Special; 12] = [
    Special { text: b"/", code: b"2F", place: Place::Anywhere },
    Special { text: b"\0", code: b"00", place: Place::Anywhere },
    Special { text: b".", code: b"2E", place: Place::Whole },
    Special { text: b"..", code: b"2E.", place: Place::Whole },
    Special { text: METADATA, code: b"5F_metadata__.json", place: Place::Whole },
    Special { text: SIDECAR_SUFFIX, code: b"2E__metadata__.json", place: Place::End },
    Special { text: PURGE, code: b"40purge", place: Place::Whole },
    Special { text: STATUS, code: b"40status", place: Place::Whole },
    Special { text: LOG, code: b"40log", place: Place::Whole },
    Special { text: ITEMS_JSONL, code: b"40items.jsonl", place: Place::Whole },
    Special { text: ITEMS_JSON, code: b"40items.json", place: Place::Whole },
    Special { text: ITEMS_CSV, code: b"40items.csv", place: Place::Whole },
];

/// The file name under which a key of these bytes is shown: mostly the key itself.
pub(super) fn file_name(bytes: &[u8]) -> Cow<'_, [u8]> {
    let may_be_special = bytes.iter().any(|byte| matches!(byte, b'/' | b'\0' | b'%'))
        || is_reserved(bytes)
        || std::str::from_utf8(bytes).is_err();
    if may_be_special {
        Cow::Owned(with_levels(bytes, |level| level + 1))
    } else {
        Cow::Borrowed(bytes)
    }
}

/// The key's bytes that are shown under a file name, which is no reserved one.
pub(super) fn key_of(name: &[u8]) -> Cow<'_, [u8]> {
    if name.contains(&b'%') {
        // Nothing in it is at level 0.
        Cow::Owned(with_levels(name, |level| level.saturating_sub(1)))
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether a file name is that of a sidecar; then the name of the value's file.
pub(super) fn sidecar_owner(name: &[u8]) -> Option<&[u8]> {
    name.strip_suffix(SIDECAR_SUFFIX).filter(|file| !file.is_empty())
}

/// Whether the whole of a text, or its end, is special as it is.
pub(super) fn is_reserved(text: &[u8]) -> bool {
    SPECIAL.iter().any(|special| match special.place {
        Place::Anywhere => false,
        Place::End => text.ends_with(special.text),
        Place::Whole => text == special.text,
    })
}

/// The text with everything special in it at another level.
fn with_levels(text: &[u8], change: impl Fn(usize) -> usize) -> Vec<u8> {
    let mut changed = Vec::with_capacity(text.len() + 2);
    let mut rest = text;
    while let Some(first) = rest.first() {
        let length = match Escape::read(rest, rest.len() == text.len()) {
            Some(escape) => match escape.character_length(rest) {
                Some(length) => {
                    changed.extend_from_slice(rest.get(..length).unwrap_or_default());
                    length
                }
                None => {
                    escape.kind.write(change(escape.level), &mut changed);
                    escape.length
                }
            },
            None => {
                changed.push(*first);
                1
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    changed
}

/// Something special, at some level.
#[derive(Debug)]
struct Escape {
    kind: Kind,
    level: usize,
    /// How many bytes it takes in the text.
    length: usize,
}

#[derive(Debug)]
enum Kind {
    Text(&'static Special),
    /// A byte that is not ASCII: part of a character, or of a foreign key.
    Byte(u8),
}

impl Escape {
    /// Reads what is special at the beginning of the rest of a text. `is_whole`: nothing is before the rest.
    fn read(rest: &[u8], is_whole: bool) -> Option<Self> {
        let (mut level, mut code) = match rest.strip_prefix(b"%") {
            Some(code) => (1, code),
            None => (0, rest),
        };
        while level > 0
            && let Some(quoted) = code.strip_prefix(b"25")
        {
            (level, code) = (level + 1, quoted);
        }
        let (kind, length) =
            read_special(level, code, is_whole).or_else(|| read_byte(level, code))?;
        Some(Self { kind, level, length: rest.len() - code.len() + length })
    }

    /// The length of the text, which begins with this, in which bytes at this level spell a character.
    fn character_length(&self, text: &[u8]) -> Option<usize> {
        /// Most bytes that a character takes.
        const LONGEST: usize = 4;
        // At one level, each byte takes the same length.
        let bytes = text.chunks(self.length).take(LONGEST).map_while(|chunk| {
            match Self::read(chunk, false)? {
                Self { kind: Kind::Byte(byte), level, .. } if level == self.level => Some(byte),
                _ => None,
            }
        });
        let bytes: Vec<u8> = bytes.collect();
        let character = bytes.utf8_chunks().next()?.valid().chars().next()?;
        Some(character.len_utf8() * self.length)
    }
}

/// Reads a special text at level 0, or its code at any other. Gives back its length too.
fn read_special(level: usize, rest: &[u8], is_whole: bool) -> Option<(Kind, usize)> {
    SPECIAL.iter().find_map(|special| {
        let text = if level == 0 { special.text } else { special.code };
        let is_there = match special.place {
            Place::Anywhere => rest.starts_with(text),
            Place::End => rest == text,
            Place::Whole => is_whole && rest == text,
        };
        is_there.then_some((Kind::Text(special), text.len()))
    })
}

/// Reads a byte that is not ASCII at level 0, or its code at any other. Gives back its length too.
fn read_byte(level: usize, rest: &[u8]) -> Option<(Kind, usize)> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let (byte, length) = match (level, rest) {
        (0, [byte, ..]) => (*byte, 1),
        (1.., [b'x', high, low, ..]) => (digit(*high)? << 4 | digit(*low)?, 3),
        _ => return None,
    };
    (!byte.is_ascii()).then_some((Kind::Byte(byte), length))
}

impl Kind {
    fn write(&self, level: usize, text: &mut Vec<u8>) {
        if level > 0 {
            text.push(b'%');
            text.extend_from_slice(&b"25".repeat(level - 1));
        }
        match self {
            Self::Text(special) if level == 0 => text.extend_from_slice(special.text),
            Self::Text(special) => text.extend_from_slice(special.code),
            Self::Byte(byte) if level == 0 => text.push(*byte),
            Self::Byte(byte) => text.extend_from_slice(format!("x{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_shown_as_they_are_where_they_can_be() {
        for text in [
            "OUTPUT",
            "\u{fc}",
            "with space",
            "it's \"quoted\"",
            ".hidden",
            "a\nb",
            "...",
            "@",
            "@@",
            "@handle.json",
            "@purged",
            "a@purge",
            "100%",
            "100%.txt",
            "f%20o.html",
            "%41",
            "%2f",
            "%25",
            "%2525",
            "%2",
            "%%",
            "a%2Eb",
            "a%2E",
            "%40",
            "%40handle",
            "a%40purge",
            "%C3%BC",
            "%FF",
            "%x7F",
            "%xff",
            "%xC3%xBC",
            "%25xC3%25xBC",
            "%5F_metadata__.json5",
            "__metadata__.jsonl",
        ] {
            assert_eq!(*file_name(text.as_bytes()), *text.as_bytes(), "{text:?}");
            assert_eq!(*key_of(text.as_bytes()), *text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        for (bytes, name) in [
            (b"a/b".as_slice(), "a%2Fb"),
            (b"a%2Fb", "a%252Fb"),
            (b"a%252Fb", "a%25252Fb"),
            (b"/abs", "%2Fabs"),
            (b"%/%2F%", "%%2F%252F%"),
            (b"%25/", "%25%2F"),
            (b"\0", "%00"),
            (b"%00", "%2500"),
            (b".", "%2E"),
            (b"%2E", "%252E"),
            (b"..", "%2E."),
            (b"%2E.", "%252E."),
            (b"@purge", "%40purge"),
            (b"%40purge", "%2540purge"),
            (b"@status", "%40status"),
            (b"@log", "%40log"),
            (b"@items.jsonl", "%40items.jsonl"),
            (b"@items.json", "%40items.json"),
            (b"@items.csv", "%40items.csv"),
            (b"__metadata__.json", "%5F_metadata__.json"),
            (b"%5F_metadata__.json", "%255F_metadata__.json"),
            (b"x.__metadata__.json", "x%2E__metadata__.json"),
            (b"x%2E__metadata__.json", "x%252E__metadata__.json"),
            (b".__metadata__.json", "%2E__metadata__.json"),
            (b"@/.__metadata__.json", "@%2F%2E__metadata__.json"),
            (b"a\xffb", "a%xFFb"),
            (b"a%xFFb", "a%25xFFb"),
            (b"%xC3\xbc", "%25xC3%xBC"),
            (b"\xc3%xBC\xc3\xbc", "%xC3%25xBC\u{fc}"),
        ] {
            let shown = file_name(bytes);
            assert_eq!(std::str::from_utf8(&shown), Ok(name), "{}", bytes.escape_ascii());
            assert_eq!(*key_of(name.as_bytes()), *bytes, "{name}");
        }
    }

    /// What comes up in escapes, and what could be mistaken for it.
    const PIECES: [&[u8]; 20] = [
        b"%",
        b"25",
        b"2F",
        b"/",
        b"00",
        b"\0",
        b"2E",
        b".",
        b"__metadata__.json",
        b"5F_metadata__.json",
        b"@purge",
        b"40purge",
        b"%xC3",
        b"%25xC3",
        b"xBC",
        b"%xBC",
        b"\xc3",
        b"\xbc",
        b"x",
        b"\xf0\x9f\xa6\x80",
    ];

    /// The text as a key has one file name and back, and as a file name is one key's and back.
    #[track_caller]
    fn is_one_to_one(text: &[u8]) {
        let shown = file_name(text);
        let is_name = |name: &[u8]| {
            std::str::from_utf8(name).is_ok()
                && !matches!(name, b"" | b"." | b"..")
                && !name.iter().any(|byte| matches!(byte, b'/' | b'\0'))
                && !is_reserved(name)
        };
        assert!(is_name(&shown), "{} is shown {}", text.escape_ascii(), shown.escape_ascii());
        assert_eq!(*key_of(&shown), *text, "{}", shown.escape_ascii());
        if is_name(text) {
            assert_eq!(*file_name(&key_of(text)), *text, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn keys_and_names_are_one_to_one_in_all_texts_of_few_pieces() {
        let mut texts = vec![Vec::new()];
        for _ in 0..4 {
            let longer = |text: &Vec<u8>| PIECES.map(|piece| [text.as_slice(), piece].concat());
            texts = texts.iter().flat_map(longer).collect();
            texts.iter().for_each(|text| is_one_to_one(text));
        }
    }

    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(PIECES.as_slice()).prop_map(<[u8]>::to_vec),
            1 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
            1 => (0x80_u8..).prop_map(|byte| vec![byte]),
            1 => (0x80_u8..).prop_map(|byte| format!("%x{byte:02X}").into_bytes()),
        ];
        prop::collection::vec(piece, 1..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn keys_and_names_are_one_to_one(text in tricky()) {
            is_one_to_one(&text);
        }

        #[test]
        fn names_of_any_text_are_one_to_one(text in ".{1,20}") {
            is_one_to_one(text.as_bytes());
        }

        #[test]
        fn names_of_any_bytes_are_one_to_one(bytes in prop::collection::vec(any::<u8>(), 1..12)) {
            is_one_to_one(&bytes);
        }
    }
}
