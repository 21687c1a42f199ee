//! How a store's directory is laid out: with sidecars, or as Crawlee JS 3 does (P12), or not as a store at all.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::layout;
use crate::model::{ContentType, Key, Result};

/// Which layout to read and write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialectChoice {
    /// Each store's own, as it is recognised.
    #[default]
    Auto,
    /// Percent-encoded names and sidecars: crawlee-python, apify-python and Crawlee JS 4.
    Sidecars,
    /// Plain names whose extension is the type: Crawlee JS 3.
    Js3,
}

/// The layout of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Dialect {
    Sidecars,
    Js3,
    /// A plain directory: every file is what it is, under its own name.
    Plain,
}

/// Extensions under which Crawlee JS 3 finds a file again: those that are the canonical one of their type in
/// the npm packages mime-types 2.1.35 and mime-db 1.52.0. One file with another extension makes its
/// `listKeys` raise for the whole store (FORMAT 6.4). Sorted, a line each.
const JS3_EXTENSIONS: &str = include_str!("js3_extensions.txt");

/// The extension that makes any name acceptable to JS 3.
const JS3_NEUTRAL: &[u8] = b".bin";

impl Dialect {
    /// The name of the value file that is made for a key.
    pub(in crate::backend) fn value_name(self, key: &Key) -> Vec<u8> {
        match self {
            Self::Sidecars => layout::encode(key),
            Self::Js3 if js3_needs_neutral(key.as_bytes()) => {
                [key.as_bytes(), JS3_NEUTRAL].concat()
            }
            Self::Js3 | Self::Plain => key.as_bytes().to_vec(),
        }
    }

    /// The key that a value file's name stands for.
    pub(in crate::backend) fn key(self, name: &[u8]) -> Result<Key> {
        match self {
            Self::Sidecars => layout::decode(name),
            Self::Js3 => match name.strip_suffix(JS3_NEUTRAL) {
                Some(inner) if js3_needs_neutral(inner) => Key::from_bytes(inner),
                _ => Key::from_bytes(name),
            },
            Self::Plain => Key::from_bytes(name),
        }
    }

    /// Whether the layout keeps the key that consists of these bytes under these bytes, and nothing else: the usual
    /// case, told without making anything.
    pub(in crate::backend) fn keeps_as_it_is(self, bytes: &[u8]) -> bool {
        match self {
            Self::Sidecars => layout::needs_no_escape(bytes),
            Self::Js3 => !js3_needs_neutral(bytes) && !bytes.ends_with(JS3_NEUTRAL),
            Self::Plain => true,
        }
    }

    /// Whether every layout keeps the key under the key itself, so that the layout need not be known.
    pub(in crate::backend) fn is_irrelevant_for(key: &Key) -> bool {
        layout::needs_no_escape(key.as_bytes()) && !js3_needs_neutral(key.as_bytes())
    }
}

/// Whether the file of this key is kept with the neutral extension: because JS 3 could not list it, or because the
/// name is what such a key is kept under (`shot.jpg.bin`) and would be taken for that key.
fn js3_needs_neutral(key: &[u8]) -> bool {
    let mut name = key;
    while let Some(inner) = name.strip_suffix(JS3_NEUTRAL).filter(|inner| !inner.is_empty()) {
        name = inner;
    }
    !js3_lists(name)
}

/// Whether JS 3 finds a file of this name again, so that it can list the store.
pub(in crate::backend) fn js3_lists(name: &[u8]) -> bool {
    match extension(name) {
        None => true,
        Some(extension) => std::str::from_utf8(extension).is_ok_and(is_canonical),
    }
}

/// What JS 3 takes for the extension: what follows the last dot, unless that is the first character.
fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    name.get(dot + 1..)
}

fn is_canonical(extension: &str) -> bool {
    static CANONICAL: LazyLock<HashSet<&str>> = LazyLock::new(|| JS3_EXTENSIONS.lines().collect());
    !extension.is_empty() && CANONICAL.contains(extension)
}

/// The type of a JS 3 record: its extension's, a name without a dot being taken as one (FORMAT 6.2). `None`
/// where the name says nothing.
pub(in crate::backend) fn js3_content_type(key: &Key) -> Option<ContentType> {
    let name = key.as_str()?;
    ContentType::of_file_name(name).or_else(|| ContentType::of_extension(name))
}

/// The key of the file in which JS 3 keeps a key that it is told to store under a type (FORMAT 6.3).
pub(in crate::backend) fn js3_key_for(key: &Key, content_type: &ContentType) -> Option<Key> {
    if js3_content_type(key).is_some_and(|own| own.as_str().starts_with(content_type.as_str())) {
        return None;
    }
    let mime = content_type.as_str().split(';').next().unwrap_or_default().trim();
    let extension = match mime {
        "text/plain" => "txt",
        "application/octet-stream" => "bin",
        _ => mime_guess::get_mime_extensions_str(mime)
            .and_then(|all| all.iter().copied().find(|extension| is_canonical(extension)))
            .unwrap_or("bin"),
    };
    Dialect::Js3.key(format!("{key}.{extension}").as_bytes()).ok()
}

/// Whether a JS 3 process knows the file of key `file` as the key `asked`: the name without its extension.
pub(in crate::backend) fn js3_is_known_as(file: &Key, asked: &Key) -> bool {
    let name = file.as_bytes();
    let stem_length = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0);
    stem_length.and_then(|length| name.get(..length)) == Some(asked.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn p12_js3_keeps_names_that_it_can_list() {
        for text in
            ["obj.json", "page.html", "OUTPUT", ".hidden", "\u{fc}.json", "%41.json", "a.tar.gz"]
        {
            assert_eq!(Dialect::Js3.value_name(&key(text)), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn p12_js3_gets_other_names_with_an_extension_it_can_list() {
        for text in
            ["shot.jpg", "notes.md", "a.log", ".a.json.swp", "x.JSON", "x.", "y.tmp", "z.jpg.jpg"]
        {
            let name = Dialect::Js3.value_name(&key(text));
            assert_eq!(name, format!("{text}.bin").as_bytes());
            assert_eq!(Dialect::Js3.key(&name).unwrap(), key(text));
        }
    }

    #[test]
    fn js3_names_stand_for_one_key_each() {
        for name in ["a.bin", "a.json.bin", "shot.jpg.bin", "shot.jpg", ".bin", "x.bin.bin"] {
            let key = Dialect::Js3.key(name.as_bytes()).unwrap();
            let back = Dialect::Js3.value_name(&key);
            assert!(back == name.as_bytes() || key.as_bytes() == name.as_bytes(), "{name}");
        }
        assert_eq!(Dialect::Js3.key(b"a.json.bin").unwrap(), key("a.json.bin"));
    }

    #[test]
    fn p12_js3_tells_a_key_from_the_file_of_another() {
        for (text, name) in [
            ("shot.jpg", "shot.jpg.bin"),
            ("shot.jpg.bin", "shot.jpg.bin.bin"),
            ("shot.jpg.bin.bin", "shot.jpg.bin.bin.bin"),
            ("x..bin", "x..bin.bin"),
            ("a.bin", "a.bin"),
            ("a.bin.bin", "a.bin.bin"),
            (".bin", ".bin"),
            (".bin.bin", ".bin.bin"),
        ] {
            assert_eq!(Dialect::Js3.value_name(&key(text)), name.as_bytes(), "{text}");
            assert_eq!(Dialect::Js3.key(name.as_bytes()).unwrap(), key(text), "{name}");
        }
    }

    #[test]
    fn js3_types_and_names_follow_the_sdk() {
        assert_eq!(js3_key_for(&key("obj"), &ContentType::json()), Some(key("obj.json")));
        assert_eq!(js3_key_for(&key("page.html"), &ContentType::new("text/html")), None);
        assert_eq!(js3_key_for(&key("t"), &ContentType::text()), Some(key("t.txt")));
        assert_eq!(
            js3_key_for(&key("pic"), &ContentType::new("image/jpeg")),
            Some(key("pic.jpeg"))
        );
        assert_eq!(js3_key_for(&key("x"), &ContentType::new("x/unknown")), Some(key("x.bin")));
        // Its file is a.zzz.bin.
        assert_eq!(js3_key_for(&key("a.zzz"), &ContentType::bytes()), Some(key("a.zzz")));
        assert!(js3_is_known_as(&key("x.tar.gz"), &key("x.tar")));
        assert!(!js3_is_known_as(&key(".hidden"), &key("hidden")));
    }
}
