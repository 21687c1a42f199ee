//! Where the input record is: the SDKs find it in several spellings, and one of them at a time.

use super::store::Store;
use crate::backend::is_input_key;
use crate::model::{Error, Key, Result};

/// Spellings under which an input record is usually kept, tried before all names are looked through.
const USUAL_EXTENSIONS: [&str; 3] = ["json", "txt", "bin"];

impl Store {
    /// The other keys under which the input is usually kept, if a record of this key would be the input.
    #[must_use]
    pub fn other_input_keys(&self, key: &Key) -> Vec<Key> {
        let usual = self.usual_input_keys();
        if !usual.contains(key) {
            return Vec::new();
        }
        usual.into_iter().filter(|other| other != key).collect()
    }

    /// Refuses a new record that would be a second input: with two of them, the Apify SDK refuses to open the store.
    ///
    /// # Errors
    /// [`Error::SecondInput`], [`Error::NoSuchStore`], [`Error::Io`].
    pub fn refuse_second_input(&self, key: &Key) -> Result<()> {
        for other in self.other_input_keys(key) {
            if self.exists(&other)? && !self.exists(key)? {
                return Err(self.second_input(key, &other));
            }
        }
        Ok(())
    }

    /// The error of a record that would be a second input beside `other`.
    #[must_use]
    pub fn second_input(&self, key: &Key, other: &Key) -> Error {
        let (store, key, other) = (self.name.to_string(), key.to_string(), other.to_string());
        Error::SecondInput { store, key, other }
    }

    /// Gives a bare input the type that the Apify SDK would give it.
    pub(super) fn adopt_input(&self, key: &Key) -> Result<()> {
        if self.backend().kept_type(&self.name, key)?.is_some() {
            return Ok(());
        }
        let value = self.backend().open_value(&self.name, key)?;
        let content_type = self.infer(key, &value)?;
        match self.backend().dialects() {
            Some(dialects) => {
                let input_key = self.storage.input_key();
                dialects.adopt_input(&self.name, key, input_key, &content_type)
            }
            None => self.backend().set_content_type(&self.name, key, &content_type),
        }
    }

    /// The key of the input record, if there is one.
    pub(super) fn find_input(&self) -> Result<Option<Key>> {
        for key in self.usual_input_keys() {
            if self.exists(&key)? {
                return Ok(Some(key));
            }
        }
        let input_key = self.storage.input_key();
        let mut keys = self.scan()?.map(|listed| listed.map(|listed| listed.key));
        keys.find(|key| key.as_ref().map_or(true, |key| is_input_key(key, input_key))).transpose()
    }

    fn usual_input_keys(&self) -> Vec<Key> {
        let input_key = self.storage.input_key();
        let spelled = USUAL_EXTENSIONS.iter().map(|extension| format!("{input_key}.{extension}"));
        let all = std::iter::once(input_key.to_owned()).chain(spelled);
        // Whatever is made of a key is one.
        all.filter_map(|text| Key::new(&text).ok()).collect()
    }
}
