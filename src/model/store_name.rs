//! The directory name of a store.

use std::fmt;

use super::{Error, Result};

/// The directory of the store that an SDK opens when it is given no name, alias or id.
pub const DEFAULT_STORE: &str = "default";

/// Longest store name in bytes: one component of a path (`NAME_MAX` of Linux).
const MAX_BYTES: usize = 255;

/// What a store is called in a storage: its name, its alias, or `default`.
///
/// It is one component of a path: never empty, `.` or `..`, without `/` and NUL, at most 255 bytes.
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
