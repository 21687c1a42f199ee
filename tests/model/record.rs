//! A record, and the content types that it may have (P10).
//!
//! Where docs/SEMANTICS.md leaves one open, several are allowed, and the one that the mount shows is taken over.

pub(crate) const JSON: &str = "application/json; charset=utf-8";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const BYTES: &str = "application/octet-stream";

/// A record as everybody sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    /// The types that it may have; none means that nothing is said of it.
    pub(crate) types: Vec<String>,
    /// The types that it may have been given; `None` is none. One comes back when the bytes fit it again.
    pub(crate) given: Vec<Option<String>>,
    /// Whether the type was set by hand, through the mount that is.
    pub(crate) by_hand: bool,
    /// Whether it is a file without a sidecar.
    pub(crate) bare: bool,
    /// Whether it was last changed on disk: then `stat` may tell of an older version (P2).
    pub(crate) by_sdk: bool,
    /// Permissions, where they are known.
    pub(crate) mode: Option<u32>,
}

pub(crate) fn is_input(key: &str) -> bool {
    key == "INPUT" || key.starts_with("INPUT.")
}

/// Whether an SDK can decode the bytes under this type.
fn fit(content_type: &str, bytes: &[u8]) -> bool {
    if content_type.contains("application/json") {
        serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
    } else {
        !content_type.starts_with("text/") || std::str::from_utf8(bytes).is_ok()
    }
}

/// The type by name and bytes alone. The input follows a table of its own, which is tested elsewhere.
pub(crate) fn inferred(key: &str, bytes: &[u8]) -> Vec<String> {
    if is_input(key) {
        return Vec::new();
    }
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let found = if key.ends_with(".html") && fit(HTML, bytes) {
        HTML
    } else if matches!(begins, Some(b'{' | b'[')) && fit(JSON, bytes) {
        JSON
    } else if fit(TEXT, bytes) && !bytes.contains(&0) {
        TEXT
    } else {
        BYTES
    };
    vec![found.to_owned()]
}

/// The types that a new version may have (P10).
pub(crate) fn types_on_publish(key: &str, old: Option<&Record>, bytes: &[u8]) -> Vec<String> {
    let Some(old) = old.filter(|old| old.by_hand || !old.bare) else {
        return inferred(key, bytes);
    };
    if old.by_hand {
        return old.types.clone();
    }
    if is_input(key) || old.types.is_empty() {
        return Vec::new();
    }
    let mut types = Vec::new();
    for given in &old.given {
        match given {
            Some(given) if fit(given, bytes) => types.push(given.clone()),
            _ => types.extend(inferred(key, bytes)),
        }
    }
    types
}

/// The types that a renamed record may have been given: its own, that of what it replaces, or none any more, if a name
/// alone said it.
pub(crate) fn given_on_rename(source: &Record, target: Option<&Record>) -> Vec<Option<String>> {
    let targets = target.map(|target| target.given.clone()).unwrap_or_default();
    let shown = source.types.iter().cloned().map(Some);
    source.given.iter().cloned().chain(targets).chain(shown).chain([None]).collect()
}

/// The types that a renamed record may have, and whether by hand. A rename over a record is a new version of it,
/// but what was known of the source may also count.
pub(crate) fn types_on_rename(
    source: &Record,
    to: &str,
    target: Option<&Record>,
) -> (Vec<String>, bool) {
    let own = source.types.clone();
    let target_by_hand = target.filter(|target| target.by_hand);
    match (source.by_hand, target_by_hand) {
        (true, None) => return (own, true),
        (false, Some(target)) => return (target.types.clone(), true),
        (true, Some(target)) => return ([own, target.types.clone()].concat(), true),
        (false, None) => {}
    }
    let keeps = target.is_none() && !to.contains('.');
    if is_input(to) || own.is_empty() {
        return (Vec::new(), false);
    }
    if keeps {
        return (own, false);
    }
    let as_published = types_on_publish(to, target, &source.bytes);
    if as_published.is_empty() {
        return (Vec::new(), false);
    }
    ([own, as_published].concat(), false)
}
