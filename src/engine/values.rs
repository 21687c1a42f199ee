//! Values as a whole, in memory: for programs whose records are small.

use std::io;

use serde::de::DeserializeOwned;

use super::{Record, Store};
use crate::model::{ContentType, Error, Key, Result};

impl Store {
    /// Stores a value in one step. Without a content type the engine finds one.
    ///
    /// # Errors
    /// As [`set_value_from`](Self::set_value_from).
    pub fn set_value(
        &self,
        key: &Key,
        value: impl AsRef<[u8]>,
        content_type: Option<&ContentType>,
    ) -> Result<()> {
        self.set_value_from(key, &mut value.as_ref(), content_type)
    }
}

impl Record {
    /// The longest value in bytes that is read as a whole: 256 MiB.
    pub const MOST_AT_ONCE: u64 = 256 << 20;

    /// The value as a whole, in memory. For longer ones there is [`reader`](Self::reader).
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`] over [`MOST_AT_ONCE`](Self::MOST_AT_ONCE), [`Error::Io`].
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let size = self.value.attributes()?.size;
        let limit = Self::MOST_AT_ONCE;
        let key = || self.key.to_string();
        let length = match usize::try_from(size) {
            Ok(length) if size <= limit => length,
            _ => return Err(Error::ValueTooLarge { key: key(), size, limit }),
        };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| {
            Error::io(
                format!("hold record '{}'", self.key),
                io::Error::from(io::ErrorKind::OutOfMemory),
            )
        })?;
        bytes.resize(length, 0);
        let count = self.value.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// The value as text, in UTF-8, whatever its content type.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if it is no UTF-8; else as [`bytes`](Self::bytes).
    pub fn text(&self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|error| self.undecodable("text", error))
    }

    /// The value as a JSON document, whatever its content type.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if it is no such document; else as [`bytes`](Self::bytes).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes()?).map_err(|error| self.undecodable("JSON", error))
    }

    fn undecodable(
        &self,
        wanted: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        Error::Undecodable { key: self.key.to_string(), wanted, source: Box::new(source) }
    }
}
