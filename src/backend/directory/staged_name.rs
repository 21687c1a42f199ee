//! Whose bytes a staging file holds, as its name tells it (P21).
//!
//! The name is `<serial>.staged.<base>-<copied>.<store>,<key>`, store and key percent-encoded. It is given when the file
//! is made, so that no system call is needed to note it. Where that would be too long for a name, store and key are the
//! target of a link that leads nowhere, `<serial>.of`. What has a name of another form is nobody's, and goes when its
//! process has died.

use percent_encoding::percent_decode;

use super::layout;
use crate::backend::StagedFor;
use crate::model::{Key, StoreName};

/// Longest name of a file in bytes.
const NAME_MAX: usize = 255;

/// What the name has behind its serial number.
const STAGED: &str = "staged";

/// What a staging file's name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedName {
    pub(super) serial: u64,
    /// The inode number of the version that is written over.
    pub(super) base: Option<u64>,
    /// So many bytes were to be copied before anything was written.
    pub(super) copied: u64,
    /// Store and key as they are written; `None` if they are in the link.
    record: Option<Vec<u8>>,
}

/// The name of a staging file, and the target of the link that tells its record, if its name cannot.
pub(super) fn staged_name(serial: u64, of: &StagedFor<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let StagedFor { store, key, base, copied } = of;
    let head = format!("{serial}.{STAGED}.{:x}-{copied:x}", base.unwrap_or_default());
    let record = write_record(store, key);
    let whole = [head.as_bytes(), b".", &record].concat();
    if whole.len() <= NAME_MAX { (whole, None) } else { (head.into_bytes(), Some(record)) }
}

/// The name of the link that tells the record of a staging file.
pub(super) fn link_name(serial: u64) -> String {
    format!("{serial}.of")
}

/// Store and key as a text without dot-separated parts of its own: what [`read_record`] reads.
pub(super) fn write_record(store: &StoreName, key: &Key) -> Vec<u8> {
    [layout::percent_encoded(store.as_str().as_bytes()), layout::percent_encoded(key.as_bytes())]
        .join(",")
        .into_bytes()
}

/// Store and key from a text.
pub(super) fn read_record(text: &[u8]) -> Option<(StoreName, Key)> {
    let mut parts = text.splitn(2, |byte| *byte == b',');
    let mut decoded = || parts.next().map(|part| percent_decode(part).collect::<Vec<u8>>());
    let store = read_store(std::str::from_utf8(&decoded()?).ok()?)?;
    Some((store, Key::from_bytes(&decoded()?).ok()?))
}

/// A store's name, or the path of a plain directory.
fn read_store(name: &str) -> Option<StoreName> {
    let Some(path) = name.strip_prefix('/') else { return StoreName::new(name).ok() };
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.into_iter().try_fold(StoreName::plain_root(), |parent, part| parent.child(part).ok())
}

impl StagedName {
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let mut parts = name.splitn(4, |byte| *byte == b'.');
        let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let serial = text()?.parse().ok()?;
        if text()? != STAGED {
            return None;
        }
        let (base, copied) = text()?.split_once('-')?;
        let base = Some(u64::from_str_radix(base, 16).ok()?).filter(|number| *number != 0);
        let copied = u64::from_str_radix(copied, 16).ok()?;
        Some(Self { serial, base, copied, record: parts.next().map(<[u8]>::to_vec) })
    }

    /// The record, from the name or from what `link` gives back.
    pub(super) fn record(
        &self,
        link: impl FnOnce(&str) -> Option<Vec<u8>>,
    ) -> Option<(StoreName, Key)> {
        match &self.record {
            Some(record) => read_record(record),
            None => read_record(&link(&link_name(self.serial))?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(store: &StoreName, key: &Key, base: Option<u64>, copied: u64) -> bool {
        let (name, link) = staged_name(7, &StagedFor { store, key, base, copied });
        let parsed = StagedName::parse(&name).unwrap();
        assert!(name.len() <= NAME_MAX && (parsed.serial, parsed.copied) == (7, copied));
        assert_eq!(parsed.base, base);
        let is_linked = link.is_some();
        assert_eq!(parsed.record(|_| link), Some((store.clone(), key.clone())));
        is_linked
    }

    proptest::proptest! {
        #[test]
        fn p18_any_name_is_a_staging_files_or_none(name: Vec<u8>) {
            if let Some(parsed) = StagedName::parse(&name) {
                let _ = parsed.record(|_| None);
            }
        }

        #[test]
        fn p21_a_staging_file_tells_its_record(key in "\\PC{1,80}", base in 1_u64.., copied: u64) {
            for store in ["my.store,x", "/datasets/default", "/"].map(|name| read_store(name).unwrap()) {
                told(&store, &Key::new(&key).unwrap(), Some(base), copied);
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let (store, key) = (StoreName::new("default").unwrap(), Key::new("a/b.json").unwrap());
        let of = StagedFor { store: &store, key: &key, base: Some(0x2a), copied: 16 };
        assert_eq!(staged_name(3, &of).0, b"3.staged.2a-10.default,a%2Fb.json");
        assert!(!told(&store, &key, None, 0));
        for name in [&b"3"[..], b"3.staged", b"3.staged.2a", b"3.publish.2a-10.default,k", b"3.of"]
        {
            assert_eq!(StagedName::parse(name), None);
        }
    }

    #[test]
    fn p21_a_record_with_a_long_name_is_told_by_a_link() {
        let store = StoreName::new(&"s".repeat(255)).unwrap();
        let key = Key::new(&"k".repeat(237)).unwrap();
        assert!(told(&store, &key, Some(u64::MAX), u64::MAX));
    }
}
