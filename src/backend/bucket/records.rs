//! Looks at records: their attributes, their types, their bytes.

use std::sync::Arc;

use bytes::Bytes as Piece;

use super::fetch::{Fetch, reading};
use super::known_stores::LATE;
use super::mark::Told;
use super::requests::{Got, Object, Tag, Wanted};
use super::shared::{Shared, no_such_record};
use super::tree::{Place, sidecar_of};
use crate::backend::directory::dialect::{Dialect, js3_content_type};
use crate::backend::directory::sidecar::{self, Sidecar};
use crate::backend::elsewhere::{Bytes, RecordId, RemoteValue};
use crate::backend::spool::Parted;
use crate::model::{
    Attributes, BackendErrorKind, ContentType, Error, Key, RecordType, Result, StoreName,
};

/// Values up to this length in bytes come as a whole with the request that opens them, and are held in memory.
pub(super) const MOST_WHOLE: u64 = 1 << 20;

/// How often a record is opened anew that others change between two requests of one look.
const MOST_TRIES: usize = 16;

/// A record's object, and where it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    /// The object's key.
    pub(super) key: String,
    pub(super) object: Object,
}

/// What an attempt to open an object has come to.
enum Tried {
    Open(RemoteValue),
    /// Others have replaced it meanwhile, or the server and this process do not agree what is known.
    Replaced,
    Absent,
}

impl Shared {
    /// The keys that a record's object may have, of which the first that is there is the record's. The store is looked at only if
    /// its layout decides. Empty if no object can be the record.
    pub(super) fn value_keys(&self, record: &RecordId) -> Result<(Place, Vec<String>)> {
        let (store, key) = record;
        let place = match self.stores.of_late(store, LATE) {
            Some(known) => self.place_in(store, known.dialect),
            None if store.is_plain() => self.place_in(store, Dialect::Plain),
            // Where it turns out to be another layout, the name is the same.
            None if Dialect::is_irrelevant_for(key) => {
                self.place_in(store, self.stores.dialect(store).unwrap_or(Dialect::Sidecars))
            }
            None => self.place(store)?,
        };
        let values = place.values(key);
        Ok((place, values))
    }

    /// Looks at a record.
    pub(super) fn find(&self, record: &RecordId) -> Result<Found> {
        let (place, keys) = self.value_keys(record)?;
        let action = || format!("look at record '{}' of store '{}'", record.1, record.0);
        let began = self.versions.now();
        for key in keys {
            let look = self.calls.head(&key, self.calls.deadline());
            if let Some(object) = self.calls.wait(action, look)? {
                return Ok(Found { place, key, object });
            }
        }
        self.versions.absent(record, began);
        self.kept.forget(record);
        Err(self.absent(record))
    }

    /// The key of the object that a record has or gets.
    pub(super) fn key_to_write(&self, record: &RecordId, place: &Place) -> Result<String> {
        let mut keys = place.values(&record.1).into_iter();
        let Some(as_made) = keys.next() else { return Err(no_such_record(record)) };
        if keys.next().is_none() {
            return Ok(as_made);
        }
        match self.find(record) {
            Ok(found) => Ok(found.key),
            Err(Error::NoSuchRecord { .. }) => Ok(as_made),
            Err(error) => Err(error),
        }
    }

    /// Attributes of a record.
    pub(super) fn record(&self, record: &RecordId) -> Result<Attributes> {
        let began = self.versions.now();
        let Found { object, .. } = self.find(record)?;
        Ok(self.attributes(record, &object, object.modified, began))
    }

    /// The type that is kept for a record: what its object says if storefs has written it, else what its sidecar does.
    pub(super) fn kept_type(&self, record: &RecordId) -> Result<Option<RecordType>> {
        let found = self.find(record)?;
        self.type_of(record, &found)
    }

    /// The type of a record that was found.
    pub(super) fn type_of(&self, record: &RecordId, found: &Found) -> Result<Option<RecordType>> {
        let Found { place, key, object } = found;
        let set = match &object.told {
            Told::Marked(record_type) => return Ok(Some(record_type.clone())),
            _ if place.dialect == Dialect::Plain => return Ok(None),
            _ if place.dialect == Dialect::Js3 => {
                return Ok(js3_content_type(&record.1).map(RecordType::given));
            }
            Told::Set(content_type) => Some(content_type),
            Told::Nothing => None,
        };
        let sidecar = self.sidecar(record, key)?;
        Ok(type_by(&record.1, object.size, sidecar.as_ref(), set))
    }

    /// What the sidecar of a record says, if it has one that can be read.
    fn sidecar(&self, record: &RecordId, value: &str) -> Result<Option<Sidecar>> {
        let text = self.sidecar_object(record, value)?;
        Ok(text.and_then(|(_, text)| {
            let parsed = Sidecar::parse(&text);
            parsed
                .inspect_err(|reason| {
                    log::warn!(
                        "the sidecar for record '{}' of store '{}' is damaged: {reason}",
                        record.1,
                        record.0
                    );
                })
                .ok()
        }))
    }

    /// The object of a record's sidecar, as it is.
    pub(super) fn sidecar_object(
        &self,
        record: &RecordId,
        value: &str,
    ) -> Result<Option<(Object, Piece)>> {
        let action =
            || format!("read the sidecar of record '{}' of store '{}'", record.1, record.0);
        let key = sidecar_of(value);
        let deadline = self.calls.deadline();
        self.calls.wait(action, self.calls.get_small(&key, sidecar::MAX_BYTES, deadline))
    }

    /// The type of a record that a publish would replace, if there is one.
    pub(super) fn replaced_type(&self, record: &RecordId) -> Result<Option<RecordType>> {
        match self.kept_type(record) {
            Err(Error::NoSuchRecord { .. }) => Ok(None),
            kept => kept,
        }
    }

    /// Opens a record's current version in one round trip: small values come along, and none whose bytes are at hand.
    pub(super) fn open(&self, record: &RecordId) -> Result<RemoteValue> {
        let (_, keys) = self.value_keys(record)?;
        let began = self.versions.now();
        for _ in 0..MOST_TRIES {
            let mut is_replaced = false;
            for key in &keys {
                match self.try_open(record, key)? {
                    Tried::Open(value) => return Ok(value),
                    Tried::Replaced => is_replaced = true,
                    Tried::Absent => {}
                }
            }
            if !is_replaced {
                self.versions.absent(record, began);
                self.kept.forget(record);
                return Err(self.absent(record));
            }
        }
        let action = format!("open record '{}' of store '{}'", record.1, record.0);
        Err(Error::backend(BackendErrorKind::Busy, action, "others replace it again and again"))
    }

    fn try_open(&self, record: &RecordId, key: &str) -> Result<Tried> {
        let kept = self.kept.find(record);
        let known = kept.as_ref().and_then(|_| self.versions.last(record));
        // What is at hand is of use only with its attributes.
        let kept = kept.zip(known).filter(|((tag, _), seen)| seen.version.as_ref() == Some(tag));
        let wanted = kept.as_ref().map_or(Wanted::Any, |((tag, _), _)| Wanted::Unless(tag));
        let began = self.versions.now();
        let got = self.calls.wait(
            || reading(record),
            self.calls.get(key, 0..MOST_WHOLE, wanted, self.calls.deadline()),
        )?;
        let (object, piece) = match got {
            Got::Some(object, piece) => (object, piece),
            Got::Changed => return Ok(Tried::Replaced),
            Got::Absent => return Ok(Tried::Absent),
            Got::Known => {
                let Some(((tag, bytes), seen)) = kept else { return Ok(Tried::Replaced) };
                let record_type = self.type_of_known(record, key, &tag, &bytes)?;
                let attributes = self.attributes_of(&seen);
                return Ok(Tried::Open(RemoteValue { bytes, attributes, record_type }));
            }
        };
        let bytes = match (kept, piece) {
            // A server that knows no conditions.
            (Some(((tag, bytes), _)), _) if tag == object.tag => bytes,
            (_, piece) if piece.len() as u64 == object.size => Bytes::Memory((*piece).into()),
            (_, piece) => self.parts(record, key, &object, &piece)?,
        };
        self.kept.keep(record, object.tag.clone(), &bytes);
        let attributes = self.attributes(record, &object, object.modified, began);
        let record_type = match object.told {
            Told::Marked(record_type) => Some(record_type),
            Told::Set(_) | Told::Nothing => None,
        };
        Ok(Tried::Open(RemoteValue { bytes, attributes, record_type }))
    }

    /// The type of a version whose bytes are at hand: that it is the same one has been told without it. It is worth another
    /// request only for a large value, of which a part may be written over and the rest believed to fit its type.
    fn type_of_known(
        &self,
        record: &RecordId,
        key: &str,
        tag: &Tag,
        bytes: &Bytes,
    ) -> Result<Option<RecordType>> {
        if matches!(bytes, Bytes::Memory(_)) {
            return Ok(None);
        }
        let look = self.calls.head(key, self.calls.deadline());
        Ok(match self.calls.wait(|| reading(record), look)? {
            Some(Object { told: Told::Marked(record_type), tag: now, .. }) if now == *tag => {
                Some(record_type)
            }
            _ => None,
        })
    }

    /// A large value, of which a first piece has come.
    fn parts(&self, record: &RecordId, key: &str, object: &Object, first: &Piece) -> Result<Bytes> {
        let fetch = self.fetch(record, key, object);
        let file = self.spool.file()?;
        let parts = Parted::begin(file, object.size, first, Arc::new(fetch), &self.cache)?;
        Ok(Bytes::Spool(parts))
    }

    /// What fetches parts of a version.
    pub(super) fn fetch(&self, record: &RecordId, key: &str, object: &Object) -> Fetch {
        let (calls, tag) = (self.calls.clone(), object.tag.clone());
        Fetch { calls, record: record.clone(), key: key.to_owned(), tag }
    }

    /// The version of a record that has this stamp. Whether it is the current one, the server tells.
    pub(super) fn tag_of(&self, record: &RecordId, object: u64) -> Result<Tag> {
        let seen = self.versions.numbered(record, object);
        seen.and_then(|seen| seen.version).ok_or_else(|| super::shared::replaced(record))
    }
}

/// The type of a record that storefs has not written. A sidecar that knows the value's length comes first. One that does not
/// was meant for another value: then a type that somebody has set counts for more. What a tool has guessed by the
/// name's extension, or by a name that is called as one, is no more than what storefs guesses.
fn type_by(
    key: &Key,
    size: u64,
    sidecar: Option<&Sidecar>,
    set: Option<&ContentType>,
) -> Option<RecordType> {
    let of_name =
        |name| ContentType::of_file_name(name).or_else(|| ContentType::of_extension(name));
    let guess = key.as_str().and_then(of_name);
    let is_guess =
        |set: &&ContentType| guess.as_ref().is_some_and(|guess| guess.essence() == set.essence());
    let set = set.filter(|set| !is_guess(set)).cloned().map(RecordType::given);
    match sidecar {
        Some(sidecar) if sidecar.size.is_none_or(|said| said == size) => {
            Some(sidecar.record_type.clone())
        }
        Some(sidecar) => set.or_else(|| Some(sidecar.record_type.clone())),
        None => set,
    }
}

/// A record by the names of its store and its own.
pub(super) fn id(store: &StoreName, key: &Key) -> RecordId {
    (store.clone(), key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_sidecar_that_fits_comes_before_what_a_tool_has_set() {
        let sidecar = |size| {
            let text = format!("{{\"key\":\"k\",\"content_type\":\"x/sidecar\",\"size\":{size}}}");
            Sidecar::parse(text.as_bytes()).unwrap()
        };
        let set = ContentType::new("x/set");
        let by = |key: &str, sidecar: Option<&Sidecar>, set: Option<&ContentType>| {
            let found = type_by(&Key::new(key).unwrap(), 3, sidecar, set);
            found.map(|found| found.content_type.to_string())
        };
        assert_eq!(by("k", Some(&sidecar(3)), Some(&set)).as_deref(), Some("x/sidecar"));
        assert_eq!(by("k", Some(&sidecar(4)), Some(&set)).as_deref(), Some("x/set"));
        assert_eq!(by("k", Some(&sidecar(4)), None).as_deref(), Some("x/sidecar"));
        assert_eq!(by("k", None, Some(&set)).as_deref(), Some("x/set"));
        assert_eq!(by("k.html", None, Some(&ContentType::new("text/html"))), None);
        assert_eq!(by("k.html", None, Some(&set)).as_deref(), Some("x/set"));
    }
}
