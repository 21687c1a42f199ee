//! What the log tells whoever does in a store what works elsewhere, or otherwise.
//!
//! A line is for each store the same however often it happens, so that a log which tells each line once is bounded.

use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::model::Key;

/// What crawlee-python begins the temporaries of metadata and sidecars with, or has in the middle of them (FORMAT 5.5).
const PYTHON_TEMPORARY: &str = "__metadata__.json.";

/// What the temporaries of the Rust engine begin with, and how many letters follow.
const ENGINE_TEMPORARY: (&str, usize) = (".tmp.", 12);

/// What the lock directories of Crawlee JS 3 end with.
const JS3_LOCK: &[u8] = b".lock";

impl FileSystem {
    /// Somebody makes a directory where there can be none.
    pub(super) fn advise_on_directory(&self, store: &StoreNode, name: &[u8]) {
        if store.is_plain() {
            return;
        }
        if name.ends_with(JS3_LOCK) {
            return self.advise_sdk(store);
        }
        log::warn!(
            "no directory is made in store '{}': stores are flat, and a directory could be no record; a '/' in a key is \
             written as %2F in a file name",
            store.name()
        );
    }

    /// Somebody makes a record, which may be an SDK that takes the mount for a storage directory.
    pub(super) fn advise_on_record(&self, store: &StoreNode, key: &Key) {
        if !store.is_plain() && key.as_str().is_some_and(is_temporary_of_an_sdk) {
            self.advise_sdk(store);
        }
    }

    fn advise_sdk(&self, store: &StoreNode) {
        log::warn!(
            "an SDK seems to work on this mount, in store '{}': it finds no sidecars here; mount the storage with \
             --show-sidecars for it, or give it the storage directory itself",
            store.name()
        );
    }
}

/// Whether a file of this name is made by an SDK beside a sidecar or metadata, and by hardly anybody else.
fn is_temporary_of_an_sdk(name: &str) -> bool {
    let (prefix, length) = ENGINE_TEMPORARY;
    let random = name.strip_prefix(prefix).unwrap_or_default();
    let is_engines = random.len() == length && random.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_pythons = name.contains(PYTHON_TEMPORARY) && name.ends_with(".json.tmp");
    is_engines || is_pythons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporaries_of_sdks_are_told_from_records() {
        for name in [
            "__metadata__.json.dujmjj8q.json.tmp",
            "obj.__metadata__.json.ry2876og.json.tmp",
            ".tmp.AbCdEf012345",
        ] {
            assert!(is_temporary_of_an_sdk(name), "{name}");
        }
        for name in ["obj.k_hldysl.tmp", ".tmp.short", "tmp1a2b3c4d", "x.json.tmp", "obj"] {
            assert!(!is_temporary_of_an_sdk(name), "{name}");
        }
    }
}
