//! Which content type a record of a store has, gets, and keeps (P10).

use std::sync::Arc;

use super::content_type;
use super::store::Store;
use crate::backend::{Reader, Replaced, Staging, Value, is_input_key};
use crate::model::{ContentType, Error, Key, Result, Stamp};

/// A value of so many bytes is held as a whole while its type is found.
const MOST_READ_ONCE: usize = 64 * 1024;

impl Store {
    /// The content type of a record: the one that is kept, or what a bare file's name and bytes say.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn content_type(&self, key: &Key) -> Result<ContentType> {
        match self.backend().content_type(&self.name, key)? {
            Some(content_type) => Ok(content_type),
            None => self.content_type_of(key, &self.backend().open_value(&self.name, key)?),
        }
    }

    /// The content type of one version of a record, which is the current one or is open as `open`: what is kept
    /// for it, unless that was meant for another version and does not fit its bytes; else what its name and
    /// bytes say. `None` if the record has been replaced and the version is not open.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn content_type_of_version(
        &self,
        key: &Key,
        version: &Stamp,
        open: Option<Arc<dyn Value>>,
    ) -> Result<Option<ContentType>> {
        let kept = self.kept_for(key, version)?;
        if let Some((content_type, false)) = kept {
            return Ok(Some(content_type));
        }
        let value = match open {
            Some(value) => value,
            None => match self.backend().open_value(&self.name, key) {
                Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => return Ok(None),
                value => value?,
            },
        };
        if !value.attributes()?.stamp.same_bytes(version) {
            return Ok(None);
        }
        if let Some((content_type, _)) = kept
            && content_type
                .fits(&mut Reader::shortening_holes(Arc::clone(&value)))
                .map_err(|error| self.reading(key, error))?
        {
            return Ok(Some(content_type));
        }
        self.infer(key, &value).map(Some)
    }

    /// The type that is kept for a version, and whether it may be another's; `None` if it is not the current one.
    fn kept_for(&self, key: &Key, version: &Stamp) -> Result<Option<(ContentType, bool)>> {
        let kept = || -> Result<_> {
            // In this order: a type that is put in place between the two looks is then in doubt, and not believed.
            let in_doubt = self.backend().is_type_in_doubt(&self.name, key)?;
            let kept = self.backend().content_type(&self.name, key)?;
            let is_current = self.record(key)?.stamp.same_bytes(version);
            Ok(kept.filter(|_| is_current).map(|content_type| (content_type, in_doubt)))
        };
        match kept() {
            Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => Ok(None),
            kept => kept,
        }
    }

    /// Sets the content type of a record by hand.
    ///
    /// # Errors
    /// [`Error::ContentTypeTooLong`], whether there is such a record or not; [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn set_content_type(&self, key: &Key, content_type: &ContentType) -> Result<()> {
        check(content_type)?;
        self.backend().set_content_type(&self.name, key, content_type)?;
        self.storage.activity().modified(&self.name);
        Ok(())
    }

    /// Gives a record the content type that its name and bytes say, as if nobody had ever set one.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn reset_content_type(&self, key: &Key) -> Result<()> {
        let value = self.backend().open_value(&self.name, key)?;
        self.set_content_type(key, &self.infer(key, &value)?)
    }

    pub(super) fn content_type_of(&self, key: &Key, value: &Arc<dyn Value>) -> Result<ContentType> {
        match self.backend().content_type(&self.name, key)? {
            Some(content_type) => Ok(content_type),
            None => self.infer(key, value),
        }
    }

    pub(super) fn infer(&self, key: &Key, value: &Arc<dyn Value>) -> Result<ContentType> {
        content_type::infer(key, self.storage.input_key(), || {
            Reader::shortening_holes(Arc::clone(value))
        })
        .map_err(|error| self.reading(key, error))
    }

    /// Says so if what is published is not what its type says, which was set by hand and stays.
    pub(super) fn warn_unless_fits(
        &self,
        key: &Key,
        staging: &dyn Staging,
        content_type: &ContentType,
    ) -> Result<()> {
        let fits = content_type.fits(&mut Reader::shortening_holes(staging));
        if !fits.map_err(|error| self.reading(key, error))? {
            log::warn!(
                "record '{key}' of store '{}' does not decode as {content_type}, which was set by hand",
                self.name
            );
        }
        Ok(())
    }

    /// The type of what is published by a writer who has set none.
    pub(super) fn decide_type(
        &self,
        key: &Key,
        staging: &dyn Staging,
        replaced: Option<&Replaced>,
    ) -> Result<ContentType> {
        let input_key = self.storage.input_key();
        let size = staging.attributes()?.size;
        let decided = match usize::try_from(size) {
            // The rules look at the bytes up to three times; a few are read once.
            Ok(size) if size <= MOST_READ_ONCE => {
                let mut bytes = vec![0; size];
                let count = staging.read_at(&mut bytes, 0)?;
                bytes.truncate(count);
                content_type::on_publish(key, input_key, replaced, || bytes.as_slice())
            }
            _ => content_type::on_publish(key, input_key, replaced, || {
                Reader::shortening_holes(staging)
            }),
        };
        decided.map_err(|error| self.reading(key, error))
    }

    /// The record that is there now, for the rule that a type stays while it fits.
    fn previous(&self, key: &Key) -> Result<Option<Replaced>> {
        let kept = match self.backend().content_type(&self.name, key) {
            Err(Error::NoSuchRecord { .. }) => return Ok(None),
            kept => kept?,
        };
        let Some(content_type) = kept else { return Ok(None) };
        match self.record(key) {
            Err(Error::NoSuchRecord { .. }) => Ok(None),
            record => Ok(Some(Replaced { content_type, size: record?.size })),
        }
    }

    /// A type that says more than the old name and the bytes did was set by hand or by an SDK, and stays. Else
    /// the record that is replaced, then the new name, then the old type decide.
    pub(super) fn content_type_after_rename(
        &self,
        key: &Key,
        to_store: &Store,
        to_key: &Key,
    ) -> Result<ContentType> {
        let value = self.backend().open_value(&self.name, key)?;
        let inferred = self.infer(key, &value)?;
        let had = self.backend().content_type(&self.name, key)?;
        let own = had.unwrap_or_else(|| inferred.clone());
        let input = is_input_key(to_key, self.storage.input_key());
        if own != inferred && !input {
            return Ok(own);
        }
        let replaced = to_store.previous(to_key)?;
        let named_by_extension = content_type::of_extension(to_key).is_some();
        if replaced.is_none() && !input && !named_by_extension {
            return Ok(own);
        }
        let reader = || Reader::shortening_holes(Arc::clone(&value));
        content_type::on_publish(to_key, self.storage.input_key(), replaced.as_ref(), reader)
            .map_err(|error| self.reading(key, error))
    }
}

/// Refuses a content type that could not be read back.
pub(super) fn check(content_type: &ContentType) -> Result<()> {
    if content_type.as_str().len() > ContentType::MAX_BYTES {
        return Err(Error::ContentTypeTooLong { limit: ContentType::MAX_BYTES });
    }
    Ok(())
}
