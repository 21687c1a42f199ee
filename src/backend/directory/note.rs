//! What is under way, as the names in the staging directory tell it (P21).
//!
//! A note is `<serial>.<step>.<object>[.<subject>]`. The object is the value, or for a store its directory, as
//! `<number>-<since>-<size>`; behind that, a new sidecar's note has the fingerprint of the sidecar's text. Notes of
//! earlier releases have the number alone.

use super::fingerprint::fingerprint;

/// What a note in the staging directory waits for, in the order in which notes are healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A new sidecar, to be moved beside its value.
    Publish,
    /// A second link to a sidecar whose record is being moved or deleted.
    Delete,
    /// The metadata of a store that is being renamed.
    RenameStore,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Delete => "delete",
            Self::RenameStore => "rename-store",
        }
    }
}

/// One object of the file system and no later one: a number alone is given to another file once its own is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// The inode number.
    pub(super) number: u64,
    /// Nanoseconds since the epoch at which it was made, or changed last where the file system does not know.
    pub(super) since_ns: i64,
    /// Length in bytes; 0 for a directory.
    pub(super) size: u64,
}

/// A note, as its name tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) step: Step,
    /// The inode number of the value, or of the store's directory.
    pub(super) number: u64,
    /// Since when, and of what size; unknown in a note of an earlier release.
    age_and_size: Option<(i64, u64)>,
    /// The fingerprint of the text that the note was made to hold.
    text: Option<u64>,
    /// The value's disk name, or the store's new name; too long for a note's name, it is left out.
    pub(super) subject: Option<Vec<u8>>,
}

/// The name of a note. `serial` makes it unique in its session; `text` is what the note will hold, if it is a sidecar.
pub(super) fn note_name(
    serial: u64,
    step: Step,
    object: &Object,
    text: Option<&[u8]>,
    subject: &[u8],
) -> Vec<u8> {
    /// Longest name of a file in bytes.
    const NAME_MAX: usize = 255;
    let Object { number, since_ns, size } = object;
    let mut head = format!("{serial}.{}.{number}-{since_ns:x}-{size:x}", step.word());
    if let Some(text) = text {
        head = format!("{head}-{:x}", fingerprint(&[text]));
    }
    let head = head.into_bytes();
    let whole = [head.as_slice(), b".", subject].concat();
    if whole.len() <= NAME_MAX { whole } else { head }
}

impl Note {
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let mut parts = name.splitn(4, |byte| *byte == b'.');
        let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let _serial: u64 = text()?.parse().ok()?;
        let word = text()?;
        let steps = [Step::Publish, Step::Delete, Step::RenameStore];
        let step = steps.into_iter().find(|step| step.word() == word)?;
        let mut object = text()?.split('-');
        let number = object.next()?.parse().ok()?;
        // Written from the bits of a signed number, so no sign stands in the name.
        let mut hex = || object.next().map(|text| u64::from_str_radix(text, 16));
        let age_and_size = match (hex(), hex()) {
            (Some(since), Some(size)) => Some((since.ok()?.cast_signed(), size.ok()?)),
            (None, None) => None,
            _ => return None,
        };
        let text = hex().transpose().ok()?;
        Some(Self { step, number, age_and_size, text, subject: parts.next().map(<[u8]>::to_vec) })
    }

    /// Whether the note was made for this object. What an earlier release has noted is believed of an object that was
    /// there when the note changed last, at `changed_ns`, and of the size that the noted sidecar says.
    pub(super) fn is_of(&self, object: &Object, changed_ns: i64, said: Option<u64>) -> bool {
        self.number == object.number
            && match self.age_and_size {
                Some(noted) => noted == (object.since_ns, object.size),
                None => object.since_ns <= changed_ns && said == Some(object.size),
            }
    }

    /// Whether the text is the one that the note was made to hold, as a whole; `None` if its name does not tell.
    pub(super) fn holds(&self, text: &[u8]) -> Option<bool> {
        self.text.map(|noted| noted == fingerprint(&[text]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: Object = Object { number: 42, since_ns: 0x10, size: 0x2a };

    proptest::proptest! {
        #[test]
        fn p18_any_name_is_a_note_or_none(name: Vec<u8>) {
            let _ = Note::parse(&name);
        }

        #[test]
        fn p21_a_note_tells_its_object(number: u64, since_ns: i64, size: u64, text: Vec<u8>) {
            let object = Object { number, since_ns, size };
            let name = note_name(1, Step::Publish, &object, Some(&text), b"k.x");
            let note = Note::parse(&name).unwrap();
            proptest::prop_assert!(note.is_of(&object, i64::MIN, None));
            proptest::prop_assert_eq!(note.holds(&text), Some(true));
            proptest::prop_assert_eq!(note.subject.as_deref(), Some(&b"k.x"[..]));
        }
    }

    #[test]
    fn notes_are_read_as_they_are_written() {
        let name = note_name(7, Step::Publish, &OBJECT, Some(b"{}"), b"a%2Fb.json");
        assert_eq!(name, b"7.publish.42-10-2a-8f44b07b5901a25.a%2Fb.json");
        let note = Note::parse(&name).unwrap();
        assert_eq!((note.step, note.subject.as_deref()), (Step::Publish, Some(&b"a%2Fb.json"[..])));
        assert_eq!((note.holds(b"{}"), note.holds(b"{")), (Some(true), Some(false)));
        let long = note_name(7, Step::Delete, &OBJECT, None, &[b'x'; 250]);
        assert_eq!(long, b"7.delete.42-10-2a");
        assert_eq!(Note::parse(&long).unwrap().subject, None);
        for name in [&b"12"[..], b"12.other.3.x", b"12.delete.3-1.x", b"12.delete.3-y-1.x"] {
            assert_eq!(Note::parse(name), None);
        }
    }

    #[test]
    fn p21_an_object_with_the_same_number_is_another() {
        let note = Note::parse(&note_name(7, Step::Delete, &OBJECT, None, b"k")).unwrap();
        assert!(note.is_of(&OBJECT, 0, None));
        assert!(!note.is_of(&Object { since_ns: 0x11, ..OBJECT }, 0x20, Some(0x2a)));
        assert!(!note.is_of(&Object { size: 1, ..OBJECT }, 0x20, Some(1)));
    }

    #[test]
    fn p21_a_note_of_an_earlier_release_is_believed_of_what_was_there_before_it() {
        let note = Note::parse(b"7.publish.42.k").unwrap();
        assert_eq!(note.holds(b"{}"), None);
        assert!(note.is_of(&OBJECT, 0x10, Some(0x2a)));
        assert!(!note.is_of(&OBJECT, 0x0f, Some(0x2a)), "it was made after the note");
        assert!(!note.is_of(&OBJECT, 0x10, Some(1)) && !note.is_of(&OBJECT, 0x10, None));
    }
}
