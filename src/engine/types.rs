//! Which content type a record of a store has, gets, and keeps (P10).

use std::sync::Arc;

use super::content_type::{self, Declared};
use super::looked_at::StagedBytes;
use super::store::Store;
use crate::backend::{Reader, Staged, Value, is_input_key};
use crate::model::{ContentType, Error, Key, Origin, RecordType, Result, Stamp};

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
        if let Some(value) = &open
            && let Some(came) = value.record_type()
            && !self.is_retyped(key, value)?
        {
            return Ok(Some(came.content_type));
        }
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

    /// Whether the record of an open value may have another type by now: something has changed, and it was not the bytes.
    fn is_retyped(&self, key: &Key, value: &Arc<dyn Value>) -> Result<bool> {
        let came = value.attributes()?.stamp;
        match self.record(key) {
            Ok(now) => Ok(now.stamp != came && now.stamp.same_bytes(&came)),
            Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The type that is kept for a version, and whether it may be another's; `None` if it is not the current one.
    fn kept_for(&self, key: &Key, version: &Stamp) -> Result<Option<(ContentType, bool)>> {
        let kept = || -> Result<_> {
            // In this order: a type that is put in place between the two looks is then in doubt, and not believed.
            let in_doubt = match self.backend().dialects() {
                Some(dialects) => dialects.is_type_in_doubt(&self.name, key)?,
                None => false,
            };
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
    /// [`Error::InvalidContentType`] and [`Error::ContentTypeTooLong`], whether there is such a record or not; [`Error::NoSuchRecord`], [`Error::Io`].
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
        self.backend().set_type(&self.name, key, &self.guess(key, &value)?)?;
        self.storage.activity().modified(&self.name);
        Ok(())
    }

    /// The type of a record that was just opened.
    pub(super) fn content_type_of(&self, key: &Key, value: &Arc<dyn Value>) -> Result<ContentType> {
        if let Some(came) = value.record_type() {
            return Ok(came.content_type);
        }
        match self.backend().content_type(&self.name, key)? {
            Some(content_type) => Ok(content_type),
            None => self.infer(key, value),
        }
    }

    pub(super) fn infer(&self, key: &Key, value: &Arc<dyn Value>) -> Result<ContentType> {
        content_type::infer(key, self.storage.input_key(), &|| {
            Reader::shortening_holes(Arc::clone(value))
        })
        .map_err(|error| self.reading(key, error))
    }

    /// The type of a record that was given none, as it is kept.
    pub(super) fn guess(&self, key: &Key, value: &Arc<dyn Value>) -> Result<RecordType> {
        content_type::guess(key, self.storage.input_key(), None, &|| {
            Reader::shortening_holes(Arc::clone(value))
        })
        .map(|guessed| self.keepable(guessed))
        .map_err(|error| self.reading(key, error))
    }

    /// Says so if what is published is not what its type says, which was set by hand and stays.
    pub(super) fn warn_unless_fits(
        &self,
        key: &Key,
        staging: &Staged,
        content_type: &ContentType,
    ) -> Result<()> {
        let bytes = StagedBytes::of(staging)?;
        if bytes.is_far() && content_type.is_json() {
            // A warning is not worth fetching all of it.
            return Ok(());
        }
        let fits = content_type::fits(content_type, &bytes);
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
        staging: &Staged,
        replaced: Option<&RecordType>,
    ) -> Result<RecordType> {
        let input_key = self.storage.input_key();
        let declared = self.declared(key, replaced)?;
        let size = staging.attributes()?.size;
        let decided = match usize::try_from(size) {
            // The rules look at the bytes up to three times; a few are read once.
            Ok(size) if size <= MOST_READ_ONCE => {
                let mut bytes = vec![0; size];
                let count = staging.read_at(&mut bytes, 0)?;
                bytes.truncate(count);
                content_type::on_publish(key, input_key, declared, &|| bytes.as_slice())
            }
            _ => content_type::on_publish(key, input_key, declared, &StagedBytes::of(staging)?),
        };
        decided.map(|it| self.keepable(it)).map_err(|error| self.reading(key, error))
    }

    /// A type that nobody has set, as the storage has room for it: those of office documents are longer than some columns.
    fn keepable(&self, found: RecordType) -> RecordType {
        let limit = self.storage.traits().limits.content_type_chars;
        if limit.is_none_or(|limit| found.content_type.essence().chars().count() <= limit) {
            return found;
        }
        let wider =
            if found.content_type.is_text() { ContentType::text() } else { ContentType::bytes() };
        let given = match found.origin {
            Origin::Guessed { given } => given,
            Origin::Given => None,
        };
        RecordType::guessed(wider, given)
    }

    /// What is known of the type of a record that has `kept` now.
    fn declared(&self, key: &Key, kept: Option<&RecordType>) -> Result<Declared> {
        let content_type = match kept {
            Some(kept) => kept.declared().cloned(),
            None => self.storage.moved_aside().get(&self.name, key),
        };
        let is_of_table = is_input_key(key, self.storage.input_key())
            && kept.is_some_and(|kept| kept.origin == Origin::Given)
            && self.says_what_table_says(key, content_type.as_ref())?;
        Ok(Declared { content_type, is_of_table })
    }

    /// Whether an input's type is the one that the Apify SDK gives to such bytes when it finds them without a sidecar.
    fn says_what_table_says(&self, key: &Key, content_type: Option<&ContentType>) -> Result<bool> {
        match self.backend().open_value(&self.name, key) {
            Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => Ok(false),
            value => Ok(content_type == Some(&self.infer(key, &value?)?)),
        }
    }

    /// The type that is kept for a record; `None` for one that has none or is not there.
    fn kept(&self, key: &Key) -> Result<Option<RecordType>> {
        match self.backend().kept_type(&self.name, key) {
            Err(Error::NoSuchRecord { .. }) => Ok(None),
            kept => kept,
        }
    }

    /// Moves a type with its record: under its own name there may be a new version of it soon.
    pub(super) fn note_moved(&self, key: &Key, to_store: &Store, to_key: &Key, had: &RecordType) {
        to_store.storage.moved_aside().forget(&to_store.name, to_key);
        let given = had.declared().filter(|_| self.name == to_store.name);
        self.storage.moved_aside().note(&self.name, key, to_key, given);
    }

    /// A type that the record was given stays. Else the record that is replaced, then the new name, then the old type
    /// decide.
    pub(super) fn type_after_rename(
        &self,
        key: &Key,
        to_store: &Store,
        to_key: &Key,
    ) -> Result<RecordType> {
        let value = self.backend().open_value(&self.name, key)?;
        let kept = match value.record_type() {
            Some(came) => Some(came),
            None => self.backend().kept_type(&self.name, key)?,
        };
        let own = match &kept {
            Some(kept) if !self.is_of_name(key, kept, &value)? => Some(kept),
            _ => None,
        };
        let is_input = is_input_key(to_key, self.storage.input_key());
        if let Some(own) = own.filter(|own| own.origin == Origin::Given && !is_input) {
            return Ok(own.clone());
        }
        let replaced = to_store.kept(to_key)?;
        let named_by_extension = content_type::of_extension(to_key).is_some();
        if replaced.is_none() && !is_input && !named_by_extension {
            return kept.map_or_else(|| self.guess(key, &value), Ok);
        }
        let mut declared = to_store.declared(to_key, replaced.as_ref())?;
        if declared.content_type.is_none() {
            declared.content_type = own.and_then(RecordType::declared).cloned();
        }
        let reader = || Reader::shortening_holes(Arc::clone(&value));
        content_type::on_publish(to_key, self.storage.input_key(), declared, &reader)
            .map(|it| to_store.keepable(it))
            .map_err(|error| self.reading(key, error))
    }

    /// Whether a type says no more than the record's name does, and so holds no longer than the name.
    fn is_of_name(&self, key: &Key, kept: &RecordType, value: &Arc<dyn Value>) -> Result<bool> {
        if kept.origin != Origin::Given {
            return Ok(false);
        }
        if is_input_key(key, self.storage.input_key()) {
            return Ok(kept.content_type == self.infer(key, value)?);
        }
        Ok(content_type::of_extension(key).as_ref() == Some(&kept.content_type))
    }
}

/// Refuses a content type that is none, and one that could not be read back.
pub(super) fn check(content_type: &ContentType) -> Result<()> {
    if !content_type.is_well_formed() {
        return Err(Error::InvalidContentType { text: content_type.to_string() });
    }
    if content_type.as_str().len() > ContentType::MAX_BYTES {
        return Err(Error::ContentTypeTooLong { limit: ContentType::MAX_BYTES });
    }
    Ok(())
}
