//! Keys of objects: the paths of a storage directory behind a prefix (FORMAT 2 and 5.1).

use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::model::{Error, Key, Result, StoreName};

/// Longest key of an object in bytes.
const MOST_KEY_BYTES: usize = 1024;

/// Where a storage is in its bucket.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Empty, or with a slash at its end.
    prefix: String,
}

/// Where a store or plain directory is, and how it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What the keys of its objects begin with, with a slash at its end.
    pub(super) directory: String,
    pub(super) dialect: Dialect,
}

impl Tree {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What the keys of all objects of the storage begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the keys of all stores begin with.
    pub(super) fn stores(&self) -> String {
        format!("{}{}/", self.prefix, layout::STORES)
    }

    /// What the keys of our own objects begin with. None of them stays.
    pub(super) fn private(&self) -> String {
        format!("{}{}/", self.prefix, layout::PRIVATE)
    }

    /// What the keys in a store or plain directory begin with.
    pub(super) fn directory(&self, store: &StoreName) -> String {
        let mut directory = self.prefix.clone();
        if store.is_plain() {
            for component in store.components() {
                directory.push_str(component);
                directory.push('/');
            }
        } else {
            directory = format!("{}{store}/", self.stores());
        }
        directory
    }

    /// The key of a store's metadata.
    pub(super) fn metadata(&self, store: &StoreName) -> String {
        format!("{}{}", self.directory(store), layout::METADATA)
    }
}

impl Place {
    /// The key of a record's value; `None` if no object can have it.
    pub(super) fn value(&self, key: &Key) -> Option<String> {
        let name = String::from_utf8(self.dialect.value_name(key)).ok()?;
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let value = format!("{}{name}", self.directory);
        (value.len() <= MOST_KEY_BYTES).then_some(value)
    }

    /// The keys that a record's value may have: that which storefs and the SDKs give it, and the record's own, which a person or
    /// another tool may have given it (`my file.txt`).
    pub(super) fn values(&self, key: &Key) -> Vec<String> {
        let as_made = self.value(key).filter(|value| self.record(value).as_ref() == Some(key));
        let name = key.as_str().filter(|name| !layout::needs_no_escape(name.as_bytes()));
        let as_called = name.map(|name| format!("{}{name}", self.directory)).filter(|value| {
            self.dialect == Dialect::Sidecars
                && value.len() <= MOST_KEY_BYTES
                && self.record(value).as_ref() == Some(key)
        });
        as_made.into_iter().chain(as_called).collect()
    }

    /// The record of an object in this directory; `None` for what is none.
    pub(super) fn record(&self, object: &str) -> Option<Key> {
        let name = object.strip_prefix(&self.directory)?;
        let is_value = match self.dialect {
            Dialect::Plain => !name.is_empty() && !name.contains('/'),
            _ => layout::is_value_name(name.as_bytes()),
        };
        if !is_value || matches!(name, "." | "..") {
            return None;
        }
        self.dialect.key(name.as_bytes()).ok()
    }

    /// Checks the key of a record that is to be made.
    pub(super) fn check(&self, key: &Key) -> Result<()> {
        key.require_unicode()?;
        let name = self.dialect.value_name(key);
        match self.dialect {
            Dialect::Plain => layout::check_file_name(key)?,
            _ => layout::check_value_name(&name, key)?,
        }
        if name.contains(&b'\\') {
            let reason = "some servers of buckets take a backslash for a slash";
            return Err(Error::InvalidKey { key: key.to_string(), reason });
        }
        let most =
            MOST_KEY_BYTES.saturating_sub(self.directory.len() + layout::SIDECAR_SUFFIX.len());
        if name.len() > most {
            return Err(Error::NameTooLong { name: key.to_string(), limit: most });
        }
        Ok(())
    }
}

/// The key of the sidecar of a value.
pub(super) fn sidecar_of(value: &str) -> String {
    format!("{value}.{}", layout::METADATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_where_files_would_be() {
        let tree = Tree::new("a/b/");
        let store = StoreName::new("my store").unwrap();
        assert_eq!(tree.metadata(&store), "a/b/key_value_stores/my store/__metadata__.json");
        let set = StoreName::plain_root().child("datasets").unwrap().child("d").unwrap();
        assert_eq!(tree.directory(&set), "a/b/datasets/d/");
        assert_eq!(Tree::new("").directory(&StoreName::plain_root()), "");
        let place = Place { directory: tree.directory(&store), dialect: Dialect::Sidecars };
        let key = Key::new("a/\u{fc}").unwrap();
        let value = place.value(&key).unwrap();
        assert_eq!(value, "a/b/key_value_stores/my store/a%2F%C3%BC");
        assert_eq!(sidecar_of(&value), format!("{value}.__metadata__.json"));
        assert_eq!(place.record(&value), Some(key));
    }

    #[test]
    fn a_person_may_have_called_an_object_by_the_records_key() {
        let place = Place { directory: "d/".to_owned(), dialect: Dialect::Sidecars };
        let values = |key: &str| place.values(&Key::new(key).unwrap());
        assert_eq!(values("a b"), ["d/a%20b", "d/a b"]);
        for (key, alone) in [("ab", "d/ab"), ("a/b", "d/a%2Fb"), ("a%20b", "d/a%2520b")] {
            assert_eq!(values(key), [alone]);
        }
        let place = Place { dialect: Dialect::Js3, ..place };
        assert_eq!(place.values(&Key::new("a b").unwrap()), ["d/a b"]);
    }

    #[test]
    fn p18_what_other_tools_keep_in_a_store_is_no_record() {
        let directory = "key_value_stores/s/".to_owned();
        for dialect in [Dialect::Sidecars, Dialect::Js3, Dialect::Plain] {
            let place = Place { directory: directory.clone(), dialect };
            for name in ["", ".", "..", "d/", "d/x", "/x", "//"] {
                assert_eq!(place.record(&format!("{directory}{name}")), None, "{name}");
            }
            let is_plain = dialect == Dialect::Plain;
            for name in ["__metadata__.json", "k.__metadata__.json"] {
                assert_eq!(place.record(&format!("{directory}{name}")).is_some(), is_plain);
            }
        }
    }
}
