//! The directory name of a store, or the path of a plain directory.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// The directory of the store that an SDK opens when it is given no name, alias or id.
pub const DEFAULT_STORE: &str = "default";

/// Longest store name in bytes: one component of a path (`NAME_MAX` of Linux).
const MAX_BYTES: usize = 255;

/// What a store is called in a storage: its name, its alias, or `default`.
///
/// It is one component of a path: never empty, `.` or `..`, without `/` and NUL, at most 255 bytes.
///
/// What a storage holds besides key-value stores (datasets, request queues) are *plain directories*. A backend that
/// has them serves their files as records whose keys are their names; such a directory is named by its path from
/// the storage, which begins with `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreName(Box<str>);

impl StoreName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`Error::InvalidStoreName`] if it is no single path component, [`Error::NameTooLong`] over 255 bytes.
    pub fn new(name: &str) -> Result<Self> {
        let invalid = |reason| Error::InvalidStoreName { name: name.to_owned(), reason };
        if name.is_empty() {
            return Err(invalid("a store name is never empty"));
        }
        if matches!(name, "." | "..") || name.contains(['/', '\0']) {
            return Err(invalid("a store name must be a single directory name"));
        }
        if name.len() > MAX_BYTES {
            return Err(Error::NameTooLong { name: name.to_owned(), limit: MAX_BYTES });
        }
        Ok(Self(name.into()))
    }

    /// The default store's name.
    #[must_use]
    pub fn default_store() -> Self {
        Self(DEFAULT_STORE.into())
    }

    /// The storage's own directory, as a plain one.
    #[must_use]
    pub fn plain_root() -> Self {
        Self("/".into())
    }

    /// A directory in a plain directory.
    ///
    /// # Errors
    /// As [`StoreName::new`].
    pub fn child(&self, name: &str) -> Result<Self> {
        let name = Self::new(name)?;
        let parent = if self.as_str() == "/" { "" } else { self.as_str() };
        Ok(Self(format!("{parent}/{name}").into()))
    }

    /// Whether this is a plain directory.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.starts_with('/')
    }

    /// The path of a plain directory, as its components; none for a store.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        let path = self.0.strip_prefix('/').unwrap_or_default();
        path.split('/').filter(|component| !component.is_empty())
    }

    /// The path that this plain directory has when its ancestor `from`, or it itself, becomes `to`.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.as_str().strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| Self(format!("{to}{rest}").into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the metadata of a store made by hand under this name says as `name`.
    ///
    /// The default store is unnamed: `"name": null` is what makes the SDKs purge it when a run starts.
    #[must_use]
    pub fn metadata_name(&self) -> Option<String> {
        (self.as_str() != DEFAULT_STORE).then(|| self.0.to_string())
    }
}

impl FromStr for StoreName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<&str> for StoreName {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for StoreName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(&name)
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_directories_are_paths_and_no_store_can_be_one() {
        let root = StoreName::plain_root();
        let sets = root.child("datasets").unwrap();
        let inner = sets.child("default").unwrap();
        assert_eq!(inner.as_str(), "/datasets/default");
        assert_eq!(inner.components().collect::<Vec<_>>(), ["datasets", "default"]);
        assert_eq!(root.components().count(), 0);
        assert!(root.is_plain() && inner.is_plain() && !StoreName::default_store().is_plain());
        for name in ["", ".", "..", "a/b", "/a"] {
            assert!(sets.child(name).is_err() && StoreName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_moved_directory_takes_along_what_is_in_it_and_nothing_else() {
        let plain = |path: &[&str]| {
            path.iter().fold(StoreName::plain_root(), |dir, name| dir.child(name).unwrap())
        };
        let (from, to) = (plain(&["d", "a"]), plain(&["e"]));
        assert_eq!(plain(&["d", "a"]).moved(&from, &to), Some(plain(&["e"])));
        assert_eq!(plain(&["d", "a", "b"]).moved(&from, &to), Some(plain(&["e", "b"])));
        assert_eq!(plain(&["d", "ab"]).moved(&from, &to), None);
        assert_eq!(plain(&["d"]).moved(&from, &to), None);
    }
}
