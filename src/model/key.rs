//! A record's name in the SDK.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// The key of the input record where nothing says otherwise.
pub const DEFAULT_INPUT_KEY: &str = "INPUT";

/// The name of a record: any non-empty Unicode string.
///
/// A storage can also hold files whose names are not Unicode and that no SDK can have written. Such a
/// *foreign* key keeps the raw bytes, so that the file can be listed, read and removed;
/// [`Key::require_unicode`] refuses it where a record would be made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Makes a key from text.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for the empty text.
    pub fn new(text: &str) -> Result<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// Makes a key from bytes that may not be Unicode.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for no bytes at all.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::InvalidKey { key: String::new(), reason: "a key is never empty" });
        }
        Ok(Self(bytes.into()))
    }

    /// The key's bytes: UTF-8, unless it is foreign.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text; `None` for a foreign key.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The key as text, for making a record.
    ///
    /// # Errors
    /// [`Error::NotUnicode`] for a foreign key.
    pub fn require_unicode(&self) -> Result<&str> {
        self.as_str().ok_or_else(|| Error::NotUnicode { name: self.to_string() })
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Key {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(&text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}
