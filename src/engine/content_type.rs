//! Which content type a record gets (P10).
//!
//! The rules never change a value's bytes. They look at the name, at what was there before and at the bytes
//! themselves, which are read again as often as it takes and never held as a whole.

use std::io::{self, Read};

use crate::backend::{Replaced, is_input_key};
use crate::model::{ContentType, Key, may_begin_text, seems_text};

/// So many first bytes of a value tell its format, if it has a signature.
const HEAD: u64 = 8 * 1024;

/// Formats whose files may be text from one end to the other, and are recognised all the same.
const TEXTUAL_FORMATS: [&str; 3] = ["application/pdf", "application/postscript", "application/rtf"];

/// Whether the type says something about the record. An empty value of a type that anything fits was made by
/// `touch` or a truncating shell, before its first byte was there to tell.
fn is_telling(replaced: &Replaced) -> bool {
    replaced.size > 0
        || !(replaced.content_type == ContentType::text()
            || replaced.content_type == ContentType::bytes())
}

/// The type for a record that is published: the one it had, if the new bytes fit it; else as [`infer`]. For
/// an input record, the Apify SDK's own table holds instead.
pub(super) fn on_publish<R: Read>(
    key: &Key,
    input_key: &str,
    replaced: Option<&Replaced>,
    value: impl Fn() -> R,
) -> io::Result<ContentType> {
    if !is_input_key(key, input_key)
        && let Some(replaced) = replaced.filter(|replaced| is_telling(replaced))
        && replaced.content_type.fits(&mut value())?
    {
        return Ok(replaced.content_type.clone());
    }
    infer(key, input_key, value)
}

/// The type that a bare file has: by the input table, else by file-name extension if the bytes fit, else by
/// the bytes.
pub(super) fn infer<R: Read>(
    key: &Key,
    input_key: &str,
    value: impl Fn() -> R,
) -> io::Result<ContentType> {
    if is_input_key(key, input_key) {
        return infer_input(key, value);
    }
    if let Some(content_type) = of_extension(key)
        && content_type.fits(&mut value())?
    {
        return Ok(content_type);
    }
    of_bytes(value)
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
fn of_bytes<R: Read>(value: impl Fn() -> R) -> io::Result<ContentType> {
    if json_kind(&value)? == Some(JsonKind::Container) {
        return Ok(ContentType::json());
    }
    let mut head = Vec::new();
    value().take(HEAD).read_to_end(&mut head)?;
    if let Some(content_type) = of_signature(&head) {
        Ok(content_type)
    } else if seems_text(&mut value())? {
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
fn infer_input<R: Read>(key: &Key, value: impl Fn() -> R) -> io::Result<ContentType> {
    match extension(key) {
        Some("json") => match json_kind(&value)? {
            Some(kind) => Ok(kind.as_input()),
            None => of_bytes(value),
        },
        Some("txt") => {
            let text = ContentType::text();
            Ok(if text.fits(&mut value())? { text } else { ContentType::bytes() })
        }
        Some(_) => Ok(ContentType::bytes()),
        None => Ok(json_kind(&value)?.map_or_else(ContentType::bytes, JsonKind::as_input)),
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

fn json_kind<R: Read>(value: impl Fn() -> R) -> io::Result<Option<JsonKind>> {
    let kind = match first_letter(&mut value())? {
        Some(b'{' | b'[') => JsonKind::Container,
        Some(b'n') => JsonKind::Null,
        Some(b'"' | b'-' | b't' | b'f' | b'0'..=b'9') => JsonKind::Scalar,
        _ => return Ok(None),
    };
    Ok(ContentType::json().fits(&mut value())?.then_some(kind))
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
        infer(&Key::new(key).unwrap(), "INPUT", || value).unwrap().to_string()
    }

    fn published(key: &str, replaced: (&str, u64), value: &[u8]) -> String {
        let replaced = Replaced { content_type: ContentType::new(replaced.0), size: replaced.1 };
        on_publish(&Key::new(key).unwrap(), "INPUT", Some(&replaced), || value).unwrap().to_string()
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
    fn p10_the_type_it_had_stays_while_the_bytes_fit() {
        assert_eq!(published("x", (TEXT, 5), b"{}"), TEXT);
        assert_eq!(published("x", (JSON, 2), b"[1]"), JSON);
        assert_eq!(published("x", (JSON, 2), b"plain"), TEXT);
        assert_eq!(published("x", ("application/xml", 4), b"{}"), "application/xml");
        assert_eq!(published("x.json", (BYTES, 4), b"{}"), BYTES);
        assert_eq!(published("x", ("application/x-none", 0), b"{}"), JSON);
        assert_eq!(published("x", ("application/x-none", 0), b""), "application/x-none");
    }

    #[test]
    fn p10_an_empty_value_tells_nothing() {
        assert_eq!(published("x.json", (TEXT, 0), b"{}"), JSON);
        assert_eq!(published("x", (BYTES, 0), b"text"), TEXT);
        assert_eq!(published("x", ("image/png", 0), b"text"), "image/png");
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
        assert_eq!(published("INPUT.json", (TEXT, 3), b"{}"), JSON);
        assert_eq!(inferred("INPUT_SCHEMA.json", b"{}"), JSON);
    }
}
