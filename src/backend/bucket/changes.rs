//! Changes of records that are there: another type, another name, none at all.

use std::time::SystemTime;

use super::failure::Failure;
use super::pieces::{MOST_COPIED_AT_ONCE, cut};
use super::publish::fitting;
use super::records::{Found, id};
use super::requests::{Condition, Object, Tag, Written};
use super::shared::{Conditions, Shared};
use super::tree::sidecar_of;
use super::upload::Source;
use crate::backend::RenameRecord;
use crate::backend::directory::dialect::Dialect;
use crate::backend::elsewhere::{RecordId, Seen};
use crate::model::{BackendErrorKind, Error, RecordType, Result};

/// How often a change is tried anew that others come before.
const MOST_TRIES: usize = 16;

impl Shared {
    /// Gives a record a type: its object is copied onto itself at the server.
    pub(super) fn set_type(&self, record: &RecordId, record_type: &RecordType) -> Result<()> {
        let record_type = fitting(record_type.clone())?;
        for _ in 0..MOST_TRIES {
            let Found { place, key, object } = self.find(record)?;
            let action = || format!("give a type to record '{}' of store '{}'", record.1, record.0);
            let written = self.calls.wait(
                action,
                self.copy(&key, &object, &key, Some(&record_type), Condition::Anything),
            )?;
            let Written::Done(tag, _) = written else { continue };
            // The bytes are the same, whatever the server calls them now.
            self.versions.renew(record, &Object { tag, ..object.clone() }, None);
            self.put_sidecar(record, &place, &key, &record_type, object.size);
            self.stores.changed(&record.0, SystemTime::now(), false);
            return Ok(());
        }
        let action = format!("give a type to record '{}' of store '{}'", record.1, record.0);
        Err(Error::backend(BackendErrorKind::Busy, action, "others replace it again and again"))
    }

    /// Copies a version of an object at the server, and gives it a type unless it keeps its own.
    pub(super) async fn copy(
        &self,
        from: &str,
        object: &Object,
        to: &str,
        record_type: Option<&RecordType>,
        condition: Condition<'_>,
    ) -> Result<Written, Failure> {
        let (calls, source) = (&self.calls, (from, &*object.tag));
        if object.size <= MOST_COPIED_AT_ONCE {
            let deadline = calls.deadline();
            return match record_type {
                Some(record_type) => calls.copy(source, to, record_type, condition, deadline).await,
                None => calls.copy_as_it_is(source, to, condition, deadline).await,
            };
        }
        let pieces = cut(object.size, std::slice::from_ref(&(0..object.size)));
        let parts = Source { pieces: &pieces, file: None, copied: Some(source) };
        let told = object.told.record_type();
        let record_type = record_type.unwrap_or(&told);
        calls.upload(to, &parts, record_type, condition, &self.room).await
    }

    /// Removes a record: its value first, so that no value is ever without the type that it came with.
    pub(super) fn delete(&self, record: &RecordId) -> Result<()> {
        let Found { place, key, .. } = self.find(record)?;
        self.keep_store(&record.0)?;
        let mut keys = vec![key];
        if place.dialect == Dialect::Sidecars {
            keys.extend(keys.first().map(|value| sidecar_of(value)));
        }
        let action = || format!("remove record '{}' of store '{}'", record.1, record.0);
        self.calls.wait(action, self.calls.delete_all(&keys, self.calls.deadline()))?;
        self.forget(record);
        self.lacking.lock().remove(record);
        self.stores.changed(&record.0, SystemTime::now(), false);
        Ok(())
    }

    /// Moves a record: it is copied at the server, and removed under its old name when it has the new one.
    pub(super) fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        let from = id(rename.from_store, rename.from_key);
        let to = id(rename.to_store, rename.to_key);
        if from == to {
            return self.set_type(&from, rename.record_type);
        }
        let record_type = fitting(rename.record_type.clone())?;
        let place = self.place(&to.0)?;
        place.check(&to.1)?;
        let to_key = self.key_to_write(&to, &place)?;
        for _ in 0..MOST_TRIES {
            let found = self.find(&from)?;
            let seen = self.versions.last(&from);
            let condition = self.condition_of_rename(rename.replace, &to)?;
            let action = || format!("move record '{}' of store '{}'", from.1, from.0);
            let copy = self.copy(&found.key, &found.object, &to_key, Some(&record_type), condition);
            match self.calls.wait(action, copy)? {
                Written::NoSource => continue,
                Written::Refused => return Err(exists(&to)),
                Written::Done(tag, modified) => {
                    self.put_sidecar(&to, &place, &to_key, &record_type, found.object.size);
                    self.note_rename((&from, &to), &found.object, seen, (tag, modified));
                    return self.delete_renamed(&from, &found);
                }
            }
        }
        let action = format!("move record '{}' of store '{}'", from.1, from.0);
        Err(Error::backend(BackendErrorKind::Busy, action, "others replace it again and again"))
    }

    /// What the new name may take the place of.
    fn condition_of_rename(&self, replace: bool, to: &RecordId) -> Result<Condition<'static>> {
        if replace {
            return Ok(Condition::Anything);
        }
        if self.conditions == Conditions::Enforced {
            return Ok(Condition::Nothing);
        }
        match self.find(to) {
            Ok(_) => Err(exists(to)),
            Err(Error::NoSuchRecord { .. }) => Ok(Condition::Anything),
            Err(error) => Err(error),
        }
    }

    /// The version keeps its number under the new name.
    fn note_rename(
        &self,
        (from, to): (&RecordId, &RecordId),
        object: &Object,
        seen: Option<Seen<Tag>>,
        (tag, modified): (Tag, SystemTime),
    ) {
        self.kept.forget(to);
        let moved = Object { tag, modified, ..object.clone() };
        if seen.is_some_and(|seen| seen.version.as_ref() == Some(&object.tag)) {
            self.versions.rename(from, to, &moved);
        } else {
            self.versions.forget(to);
        }
        for store in [&from.0, &to.0] {
            self.stores.changed(store, SystemTime::now(), store == &to.0);
        }
    }

    /// Removes what has another name now.
    fn delete_renamed(&self, from: &RecordId, found: &Found) -> Result<()> {
        self.keep_store(&from.0)?;
        let mut keys = vec![found.key.clone()];
        if found.place.dialect == Dialect::Sidecars {
            keys.push(sidecar_of(&found.key));
        }
        let action = || format!("remove the old name '{}' in store '{}'", from.1, from.0);
        self.calls.wait(action, self.calls.delete_all(&keys, self.calls.deadline()))?;
        self.forget(from);
        self.lacking.lock().remove(from);
        Ok(())
    }
}

fn exists(record: &RecordId) -> Error {
    Error::RecordExists { store: record.0.to_string(), key: record.1.to_string() }
}
