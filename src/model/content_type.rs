//! A record's content type: MIME text, kept word for word.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// Domain names end like these, and keys are often made of them: `https://example.com`. As extensions they
/// would name types that no scraper stores (a DOS program, a Lotus organizer).
const DOMAINS_NOT_EXTENSIONS: [&str; 2] = ["com", "org"];

/// The MIME text that tells an SDK how to decode a value.
///
/// It is kept as it was given. What it means to an SDK is decided the way crawlee-python does
/// (FORMAT 5.4): JSON if it *contains* `application/json`, text if it *starts with* `text/`, nothing at all
/// if it *is* `application/x-none`, else bytes; all case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(Box<str>);

impl ContentType {
    /// Longest content type in bytes that a record is given. It fits a sidecar however its characters are escaped.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Wraps a MIME text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// JSON as every SDK writes it.
    #[must_use]
    pub fn json() -> Self {
        Self::new("application/json; charset=utf-8")
    }

    /// Plain text as every SDK writes it.
    #[must_use]
    pub fn text() -> Self {
        Self::new("text/plain; charset=utf-8")
    }

    /// Bytes of which nothing is known.
    #[must_use]
    pub fn bytes() -> Self {
        Self::new("application/octet-stream")
    }

    /// The type that a file name's extension names; `None` if it has none or an unknown one.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        if stem.is_empty() { None } else { Self::of_extension(extension) }
    }

    /// The type that an extension names, without regard to case.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        if DOMAINS_NOT_EXTENSIONS.iter().any(|domain| extension.eq_ignore_ascii_case(domain)) {
            return None;
        }
        let mime = mime_guess::from_ext(extension).first_raw()?;
        if mime == "application/json" || mime.starts_with("text/") {
            return Some(Self::new(&format!("{mime}; charset=utf-8")));
        }
        Some(Self::new(mime))
    }

    /// The MIME text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without parameters.
    pub(crate) fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_end()
    }

    /// Whether the text looks like a content type: `type/subtype`, perhaps with parameters behind a semicolon. SDKs keep
    /// any text, so this is asked of what people give, and not of what records have.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let Some((kind, subtype)) = self.essence().split_once('/') else { return false };
        let is_token =
            |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        !kind.is_empty()
            && kind.chars().all(is_token)
            && !subtype.is_empty()
            && !subtype.contains(|letter: char| letter == '/' || letter.is_whitespace())
    }

    /// Whether an SDK parses the value as JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.0.contains("application/json")
    }

    /// Whether an SDK decodes the value as UTF-8 text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0.starts_with("text/")
    }

    /// Whether the type says that the value is Python's `None`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        &*self.0 == "application/x-none"
    }

    /// Whether an SDK can decode `value` under this type. Reads as far as it takes to know, in bounded memory.
    ///
    /// # Errors
    /// Whatever reading `value` fails with.
    pub fn fits(&self, value: &mut dyn Read) -> io::Result<bool> {
        if self.is_none() {
            Ok(value.read(&mut [0])? == 0)
        } else if self.is_json() {
            is_json(value)
        } else if self.is_text() {
            is_utf8(value)
        } else {
            Ok(true)
        }
    }
}

impl From<&str> for ContentType {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for ContentType {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl FromStr for ContentType {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes read at a time when a value is looked through.
const CHUNK: usize = 16 * 1024;

/// Whether the whole of `value` is one JSON document in UTF-8. Neither depth nor length costs memory.
fn is_json(value: &mut dyn Read) -> io::Result<bool> {
    let mut checked = Utf8Reader { inner: value, check: Utf8Check::default() };
    let reader = io::BufReader::with_capacity(CHUNK, &mut checked);
    // The parser passes over what is in a string without decoding it, hence the check of our own.
    match serde_json::from_reader::<_, serde::de::IgnoredAny>(reader) {
        Ok(_) => Ok(checked.check.is_complete()),
        Err(_) if checked.check.failed => Ok(false),
        Err(error) if error.is_io() => Err(error.into()),
        Err(_) => Ok(false),
    }
}

/// Whether the whole of `value` is UTF-8.
fn is_utf8(value: &mut dyn Read) -> io::Result<bool> {
    is_complete(&mut Utf8Reader { inner: value, check: Utf8Check::default() })
}

/// Whether the whole of `value` is UTF-8 without a NUL, as text is that nobody has called so. The first byte that
/// is not ends the reading.
pub(crate) fn seems_text(value: &mut dyn Read) -> io::Result<bool> {
    let check = Utf8Check { refuses_nul: true, ..Utf8Check::default() };
    is_complete(&mut Utf8Reader { inner: value, check })
}

/// Whether these first bytes of a value may be the beginning of text without a NUL.
pub(crate) fn may_begin_text(head: &[u8]) -> bool {
    let mut check = Utf8Check { refuses_nul: true, ..Utf8Check::default() };
    check.feed(head);
    !check.failed
}

/// Reads to the end, or to the first byte that fails the check.
fn is_complete(checked: &mut Utf8Reader<'_>) -> io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match checked.read(&mut buffer) {
            Ok(0) => return Ok(checked.check.is_complete()),
            Ok(_) => {}
            Err(_) if checked.check.failed => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Passes bytes on and checks on the way whether they are UTF-8. Fails from the first piece on that is not.
struct Utf8Reader<'a> {
    inner: &'a mut dyn Read,
    check: Utf8Check,
}

impl Read for Utf8Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.check.feed(buffer.get(..count).unwrap_or_default());
        if self.check.failed { Err(io::ErrorKind::InvalidData.into()) } else { Ok(count) }
    }
}

/// Checks a stream of bytes piece by piece.
#[derive(Default)]
struct Utf8Check {
    /// The beginning of a character that the next piece must complete; at most 3 bytes.
    begun: Vec<u8>,
    /// Whether a NUL is no text.
    refuses_nul: bool,
    failed: bool,
}

impl Utf8Check {
    fn feed(&mut self, piece: &[u8]) {
        let mut piece = piece;
        self.failed |= self.refuses_nul && piece.contains(&0);
        while let (false, false, Some((first, rest))) =
            (self.failed, self.begun.is_empty(), piece.split_first())
        {
            self.begun.push(*first);
            piece = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) => self.failed = error.error_len().is_some(),
            }
        }
        if let Err(error) = std::str::from_utf8(piece) {
            self.failed |= error.error_len().is_some();
            self.begun.extend_from_slice(piece.get(error.valid_up_to()..).unwrap_or_default());
        }
    }

    /// Whether all was UTF-8, and no character is left half.
    fn is_complete(&self) -> bool {
        !self.failed && self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(content_type: &str, value: &[u8]) -> bool {
        ContentType::new(content_type).fits(&mut &value[..]).unwrap()
    }

    #[test]
    fn p10_a_content_type_is_a_type_and_a_subtype() {
        for text in [
            "a/b",
            "text/plain; charset=utf-8",
            "text/html ;charset=utf-8",
            "application/vnd.example.thing+zip; v=\"1 / 2\"",
        ] {
            assert!(ContentType::new(text).is_well_formed(), "{text}");
        }
        for text in
            ["", "png", "/", "a/", "/b", "a/b/c", "text plain", "te xt/plain", "a/b c", ";a/b"]
        {
            assert!(!ContentType::new(text).is_well_formed(), "{text}");
        }
    }

    #[test]
    fn json_fits_only_one_whole_document() {
        assert!(fits("application/json", b" {\"a\": [1, null]}\n"));
        assert!(!fits("application/json; charset=utf-8", b""));
        assert!(!fits("application/json", b"{\"a\": 1"));
        assert!(!fits("application/json", b"{} {}"));
        assert!(!fits("application/json", b"\xef\xbb\xbf{}"));
        assert!(!fits("application/json", b"{\"a\": \"\xff\"}"));
    }

    #[test]
    fn deep_json_is_checked_without_recursion() {
        let deep = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
        assert!(fits("application/json", &deep));
    }

    #[test]
    fn text_fits_utf8_across_read_boundaries() {
        let text = "\u{fc}".repeat(CHUNK);
        assert!(fits("text/plain", text.as_bytes()));
        assert!(fits("text/html", &[b"a", text.as_bytes()].concat()));
        assert!(!fits("text/html", &[text.as_bytes(), b"\xc3"].concat()));
        assert!(!fits("text/csv", b"\xff\xfe"));
        assert!(fits("text/plain", b""));
    }

    /// Gives a bad byte, and then fails: whoever reads on has read too much.
    struct OnlyOnce(bool);

    impl Read for OnlyOnce {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!std::mem::replace(&mut self.0, true), "the answer was known");
            buffer.fill(b'x');
            for (at, byte) in b"[\"\xff".iter().enumerate() {
                buffer[at] = *byte;
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn p10_a_byte_that_is_no_text_ends_the_reading() {
        for content_type in [ContentType::json(), ContentType::text()] {
            assert!(!content_type.fits(&mut OnlyOnce(false)).unwrap(), "{content_type}");
        }
        assert!(!seems_text(&mut OnlyOnce(false)).unwrap());
        assert!(!seems_text(&mut &b"a\0b"[..]).unwrap() && fits("text/plain", b"a\0b"));
        assert!(may_begin_text(b"a\xc3") && !may_begin_text(b"a\xc3b") && !may_begin_text(b"\0"));
    }

    #[test]
    fn other_types_fit_anything_but_none_fits_nothing() {
        assert!(fits("image/png", b"\xff"));
        assert!(fits("Application/JSON", b"\xff"), "the SDK's test is case-sensitive");
        assert!(fits("application/x-none", b""));
        assert!(!fits("application/x-none", b"x"));
    }
}
