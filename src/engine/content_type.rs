//! Which content type a record gets (P10).
//!
//! The rules never change a value's bytes. They look at the name, at what was there before and at the bytes
//! themselves, which are read again as often as it takes and never held as a whole.

use std::io::{self, Read};

use super::looked_at::LookedAt;
use crate::backend::is_input_key;
use crate::model::{ContentType, Key, RecordType, may_begin_text, seems_text};

/// So many first bytes of a value tell its format, if it has a signature.
const HEAD: usize = 8 * 1024;

/// Formats whose files may be text from one end to the other, and are recognised all the same.
const TEXTUAL_FORMATS: [&str; 3] = ["application/pdf", "application/postscript", "application/rtf"];

/// What is known of the type of a record before a new version of it is published.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// The type that the record was given.
    pub(super) content_type: Option<ContentType>,
    /// Whether that is no more than what the Apify SDK's table said of the bytes before, which is as good as a guess:
    /// the table comes first for what it knows.
    pub(super) is_of_table: bool,
}

impl Declared {
    /// A type that was given.
    #[cfg(test)]
    fn given(content_type: ContentType) -> Self {
        Self { content_type: Some(content_type), is_of_table: false }
    }
}

/// The type for a record that is published: the one that it was given, if the new bytes fit it; else a guess, which
/// remembers the one that was given.
pub(super) fn on_publish(
    key: &Key,
    input_key: &str,
    declared: Declared,
    value: &impl LookedAt,
) -> io::Result<RecordType> {
    let Declared { content_type: Some(given), is_of_table } = declared else {
        return guess(key, input_key, None, value);
    };
    let is_tables = is_of_table && json_kind(value)?.is_some();
    if !is_tables && fits(&given, value)? {
        return Ok(RecordType::given(given));
    }
    guess(key, input_key, Some(given).filter(|_| !is_of_table), value)
}

/// What name and bytes say, for a record that was `given` another type. What the name alone says needs no note that it
/// is a guess, since the next guess says it again.
pub(super) fn guess(
    key: &Key,
    input_key: &str,
    given: Option<ContentType>,
    value: &impl LookedAt,
) -> io::Result<RecordType> {
    let guessed = infer(key, input_key, value)?;
    let of_extension = of_extension(key);
    // A type comes back by itself if it is the extension's; and that a value was none says nothing of another.
    let given = given.filter(|given| of_extension.as_ref() != Some(given) && !given.is_none());
    let is_of_name = of_extension.as_ref() == Some(&guessed) || is_input_key(key, input_key);
    Ok(match given {
        None if is_of_name => RecordType::given(guessed),
        given => RecordType::guessed(guessed, given),
    })
}

/// The type that a bare file has: by the input table, else by file-name extension if the bytes fit, else by
/// the bytes.
pub(super) fn infer(key: &Key, input_key: &str, value: &impl LookedAt) -> io::Result<ContentType> {
    if is_input_key(key, input_key) {
        return infer_input(key, value);
    }
    if let Some(content_type) = of_extension(key)
        && fits(&content_type, value)?
    {
        return Ok(content_type);
    }
    of_bytes(value)
}

/// Whether an SDK can decode the value under a type, as [`ContentType::fits`] says.
pub(super) fn fits(content_type: &ContentType, value: &impl LookedAt) -> io::Result<bool> {
    if content_type.is_json() {
        Ok(may_be_json(value)? && content_type.fits(&mut value.all())?)
    } else if content_type.is_text() {
        let is_known = value.is_known_not_to_fit(content_type);
        Ok(!is_known && content_type.fits(&mut value.as_text()?)?)
    } else {
        content_type.fits(&mut value.all())
    }
}

/// The type that the key's extension names.
pub(super) fn of_extension(key: &Key) -> Option<ContentType> {
    ContentType::of_file_name(key.as_str()?)
}

/// What follows the last dot, which is not the first character.
fn extension(key: &Key) -> Option<&str> {
    let (stem, extension) = key.as_str()?.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then_some(extension)
}

/// JSON object or array, a format that has a signature, UTF-8 text, or bytes.
fn of_bytes(value: &impl LookedAt) -> io::Result<ContentType> {
    if json_kind(value)? == Some(JsonKind::Container) {
        return Ok(ContentType::json());
    }
    let mut head = Vec::new();
    // In one piece.
    io::BufReader::with_capacity(HEAD, value.all().take(HEAD as u64)).read_to_end(&mut head)?;
    if let Some(content_type) = of_signature(&head) {
        Ok(content_type)
    } else if may_begin_text(&head) && !value.is_no_text() && seems_text(&mut value.as_text()?)? {
        Ok(ContentType::text())
    } else {
        Ok(ContentType::bytes())
    }
}

/// The type of a well-known format, by the value's first bytes. Many signatures are a few letters that text may
/// begin with too (`BM`, `MZ`, `ID3`), so what seems to be text is only taken for a format that can look so.
fn of_signature(head: &[u8]) -> Option<ContentType> {
    let format = infer::get(head)?;
    // Two bytes, of which any data may begin.
    let is_weak = format.extension() == "obj";
    let is_text = format.matcher_type() == infer::MatcherType::Text;
    let looks_other = !may_begin_text(head) || TEXTUAL_FORMATS.contains(&format.mime_type());
    (!is_weak && !is_text && looks_other).then(|| ContentType::new(format.mime_type()))
}

/// The table by which the Apify SDK types an input file that has no sidecar (FORMAT 8.2). Where that SDK
/// would raise, since the text is no JSON, the bytes decide.
fn infer_input(key: &Key, value: &impl LookedAt) -> io::Result<ContentType> {
    match extension(key) {
        Some("json") => match json_kind(value)? {
            Some(kind) => Ok(kind.as_input()),
            None => of_bytes(value),
        },
        Some("txt") => {
            let text = ContentType::text();
            Ok(if fits(&text, value)? { text } else { ContentType::bytes() })
        }
        Some(_) => Ok(ContentType::bytes()),
        None => Ok(json_kind(value)?.map_or_else(ContentType::bytes, JsonKind::as_input)),
    }
}

/// What kind of document a JSON text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonKind {
    /// An object or array.
    Container,
    /// `null`.
    Null,
    /// A string, number or boolean.
    Scalar,
}

impl JsonKind {
    /// The type that the Apify SDK gives to an input of this kind.
    fn as_input(self) -> ContentType {
        match self {
            Self::Container => ContentType::json(),
            Self::Scalar => ContentType::text(),
            Self::Null => ContentType::bytes(),
        }
    }
}

fn json_kind(value: &impl LookedAt) -> io::Result<Option<JsonKind>> {
    if !may_be_json(value)? {
        return Ok(None);
    }
    let kind = match first_letter(&mut value.all())? {
        Some(b'{' | b'[') => JsonKind::Container,
        Some(b'n') => JsonKind::Null,
        Some(b'"' | b'-' | b't' | b'f' | b'0'..=b'9') => JsonKind::Scalar,
        _ => return Ok(None),
    };
    Ok(ContentType::json().fits(&mut value.all())?.then_some(kind))
}

/// Whether JSON might end as the value does, and consist of such bytes.
fn may_be_json(value: &impl LookedAt) -> io::Result<bool> {
    let last = value.last_letter()?;
    // The last letters of a container, a string, a number, and of `true`, `false` and `null`.
    let may_end = last.is_none_or(|last| last.is_ascii_digit() || b"}]\"el".contains(&last));
    Ok(may_end && !value.is_no_text())
}

/// The first byte that is no JSON white space.
fn first_letter(value: &mut impl Read) -> io::Result<Option<u8>> {
    let mut buffer = [0; 512];
    loop {
        let count = value.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        let letters = buffer.iter().take(count);
        if let Some(letter) = letters.copied().find(|byte| !b" \t\r\n".contains(byte)) {
            return Ok(Some(letter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json; charset=utf-8";
    const TEXT: &str = "text/plain; charset=utf-8";
    const BYTES: &str = "application/octet-stream";

    fn inferred(key: &str, value: &[u8]) -> String {
        infer(&Key::new(key).unwrap(), "INPUT", &|| value).unwrap().to_string()
    }

    /// The type of a record that was given one, after new bytes.
    fn published(key: &str, given: &str, value: &[u8]) -> String {
        let given = Declared::given(ContentType::new(given));
        next(key, given, value).content_type.to_string()
    }

    fn next(key: &str, declared: Declared, value: &[u8]) -> RecordType {
        on_publish(&Key::new(key).unwrap(), "INPUT", declared, &|| value).unwrap()
    }

    /// The types of a record of these versions, one after the other. The first is told a type, or none.
    fn types(key: &str, given: Option<&str>, versions: &[&[u8]]) -> Vec<String> {
        let mut kept = given.map(|given| RecordType::given(ContentType::new(given)));
        let mut shown = Vec::new();
        for value in versions {
            let content_type = kept.as_ref().and_then(RecordType::declared).cloned();
            let version = next(key, Declared { content_type, is_of_table: false }, value);
            shown.push(version.content_type.to_string());
            kept = Some(version);
        }
        shown
    }

    #[test]
    fn p10_extension_then_bytes() {
        assert_eq!(inferred("a.json", b"{}"), JSON);
        assert_eq!(inferred("a.json", b"{"), TEXT, "an SDK could not decode it as JSON");
        assert_eq!(inferred("a.html", b"<p>"), "text/html; charset=utf-8");
        assert_eq!(inferred("a.html", b"\xff"), BYTES);
        assert_eq!(inferred("shot.PNG", b"\x89PNG"), "image/png");
        assert_eq!(inferred("OUTPUT", b" [1]\n"), JSON);
        assert_eq!(inferred("OUTPUT", b"\"text\""), TEXT);
        assert_eq!(inferred("OUTPUT", b"hello"), TEXT);
        assert_eq!(inferred("OUTPUT", b"\x00\xff"), BYTES);
        assert_eq!(inferred("OUTPUT", b""), TEXT);
        assert_eq!(inferred("https://example.com", b"{}"), JSON);
        assert_eq!(
            inferred("OUTPUT", b"a\0b"),
            BYTES,
            "text has no NUL, unless somebody calls it text"
        );
        assert_eq!(inferred("a.txt", b"a\0b"), TEXT);
    }

    #[test]
    fn p10_well_known_formats_are_told_by_their_signature() {
        for (value, content_type) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
            (b"GIF89a\x01\0\x01\0\x80\xff", "image/gif"),
            (b"%PDF-1.7\n1 0 obj\n", "application/pdf"),
            (b"PK\x03\x04\x14\0\0\0\x08\0", "application/zip"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "application/gzip"),
            (b"BM wrote this", TEXT),
            (b"MZ, who wrote that", TEXT),
            (b"#!/bin/sh\n", TEXT),
            (b"<!DOCTYPE html><html></html>", TEXT),
            (b"[1, 2]", JSON),
        ] {
            assert_eq!(inferred("OUTPUT", value), content_type, "{}", value.escape_ascii());
            assert_eq!(inferred("a.txt", b"\x89PNG\r\n\x1a\n\xff"), "image/png");
        }
    }

    #[test]
    fn p10_the_type_that_was_given_stays_while_the_bytes_fit() {
        assert_eq!(published("x", TEXT, b"{}"), TEXT);
        assert_eq!(published("x", JSON, b"[1]"), JSON);
        assert_eq!(published("x", JSON, b"plain"), TEXT);
        assert_eq!(published("x", "application/xml", b"{}"), "application/xml");
        assert_eq!(published("x.json", BYTES, b"{}"), BYTES);
        assert_eq!(published("x", "application/x-none", b"{}"), JSON);
        assert_eq!(published("x", "application/x-none", b""), "application/x-none");
    }

    #[test]
    fn p10_the_type_that_was_given_comes_back_with_bytes_that_fit_it() {
        let html = "text/html; charset=utf-8";
        let versions: &[&[u8]] = &[b"{}", b"{\"a\" 1}", b"\xff", b"{\"a\": 1}"];
        let ld = "application/json; profile=x";
        assert_eq!(types("x", Some(ld), versions), [ld, TEXT, BYTES, ld]);
        assert_eq!(types("x.json", Some(JSON), versions), [JSON, TEXT, BYTES, JSON]);
        let latin: &[&[u8]] = &[b"gr\xc3\xbc\xc3\x9fe", b"gr\xfc\xdfe", b"gr\xc3\xbc\xc3\x9fe"];
        for (key, given) in
            [("page.html", html), ("page", "text/markdown"), ("a.txt", "text/x-own")]
        {
            assert_eq!(types(key, Some(given), latin), [given, BYTES, given]);
        }
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        assert_eq!(types("shot.png", Some(TEXT), &[png, b"text"]), ["image/png", TEXT]);
    }

    #[test]
    fn p10_a_type_that_was_only_guessed_is_guessed_anew() {
        let versions: &[&[u8]] = &[b"", b"[1", b"[1]", b"words", b"\xff\0", b"{}"];
        assert_eq!(types("x", None, versions), [TEXT, TEXT, JSON, TEXT, BYTES, JSON]);
        assert_eq!(types("list.json", None, versions), [TEXT, TEXT, JSON, TEXT, BYTES, JSON]);
        let page: &[&[u8]] = &[b"<p>", b"gr\xfc\xdfe", b"<p>"];
        let html = "text/html; charset=utf-8";
        assert_eq!(types("page.html", None, page), [html, BYTES, html]);
    }

    #[test]
    fn p10_a_guess_that_the_name_says_is_not_marked() {
        let kept = |key: &str, value: &[u8]| next(key, Declared::default(), value).origin;
        let given = crate::model::Origin::Given;
        for (key, value) in
            [("a.json", &b"{}"[..]), ("a.txt", b"x"), ("a.png", b"x"), ("INPUT", b"x")]
        {
            assert_eq!(kept(key, value), given, "{key}");
        }
        for (key, value) in [("a.json", &b"{"[..]), ("a", b"x"), ("a", b"{}"), ("a.html", b"\xff")]
        {
            assert_ne!(kept(key, value), given, "{key}");
        }
    }

    #[test]
    fn p10_a_type_that_an_sdk_gave_the_input_stays() {
        assert_eq!(published("INPUT", TEXT, b"more words"), TEXT);
        assert_eq!(published("INPUT", TEXT, b"{}"), TEXT);
        assert_eq!(types("INPUT", Some(TEXT), &[b"\xff", b"words"]), [BYTES, TEXT]);
    }

    #[test]
    fn p10_the_input_follows_the_sdk_table() {
        assert_eq!(inferred("INPUT.json", b"{\"a\": 1}"), JSON);
        assert_eq!(inferred("INPUT.json", b"[]"), JSON);
        assert_eq!(inferred("INPUT.json", b"\"s\""), TEXT);
        assert_eq!(inferred("INPUT.json", b"12"), TEXT);
        assert_eq!(inferred("INPUT.json", b"null"), BYTES);
        assert_eq!(inferred("INPUT.json", b"{bad"), TEXT);
        assert_eq!(inferred("INPUT", b"{}"), JSON);
        assert_eq!(inferred("INPUT", b"true"), TEXT);
        assert_eq!(inferred("INPUT", b"just text"), BYTES);
        assert_eq!(inferred("INPUT.", b"{}"), JSON);
        assert_eq!(inferred("INPUT.txt", b"{}"), TEXT);
        assert_eq!(inferred("INPUT.yaml", b"a: 1"), BYTES);
        assert_eq!(inferred("INPUT.JSON", b"{}"), BYTES);
        let of_table = |key: &str, content_type: &str, value: &[u8]| {
            let content_type = Some(ContentType::new(content_type));
            next(key, Declared { content_type, is_of_table: true }, value).content_type.to_string()
        };
        assert_eq!(of_table("INPUT.json", TEXT, b"{}"), JSON);
        assert_eq!(of_table("INPUT", BYTES, b"{}"), JSON);
        assert_eq!(of_table("INPUT", JSON, b"words"), BYTES);
        assert_eq!(of_table("INPUT", TEXT, b"words"), TEXT);
        assert_eq!(inferred("INPUT_SCHEMA.json", b"{}"), JSON);
    }
}
