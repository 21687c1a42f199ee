//! Versions in the making: files in the spool, and how they become objects.
//!
//! A value and its sidecar are two objects. The value comes first, and brings its type along (`mark`), so that no
//! moment has one version's value with another's type. The sidecar follows, for the file SDKs on a copy of the bucket. If it
//! cannot be written, the value stays published; it is written with the next times of its store, or by `doctor`.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::Mode;

use super::known_stores::LATE;
use super::pieces::{MOST_AT_ONCE, MOST_BYTES, Piece, cut};
use super::records::{Found, MOST_WHOLE, id};
use super::requests::{Condition, Object, Tag, Written};
use super::shared::{Conditions, Shared, no_such_record, replaced};
use super::tree::{Place, sidecar_of};
use super::upload::{self, Source};
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::sidecar::Sidecar;
use crate::backend::elsewhere::{Bytes, RECORD_MODE, RecordId, RemoteValue, Seen};
use crate::backend::spool::Parted;
use crate::backend::{Over, Partial, Publish, PublishError, Staged, Value};
use crate::model::{ContentType, Error, Key, RecordType, Result};

/// Longest content type in characters: it is a header.
pub(super) const MOST_TYPE_CHARS: usize = 1024;

/// An empty version in the making.
pub(super) fn stage(shared: &Shared) -> Result<Staged> {
    let file = shared.spool.file()?;
    // As the record will be shown. Nobody else gets to the file, which has no name.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(RECORD_MODE))
        .map_err(|error| Error::io("make a file in the spool", error))?;
    Ok(Staged::new(OwnedFd::from(file), Some(MOST_BYTES), Box::new(Partial)))
}

/// Makes staged bytes the record.
pub(super) fn publish(
    shared: &Shared,
    staged: Staged,
    publish: &Publish<'_>,
) -> Result<Arc<dyn Value>, PublishError> {
    match Putting::new(shared, &staged, publish).and_then(Putting::put) {
        Ok(published) => Ok(published),
        Err(error) => Err((error, staged)),
    }
}

/// The type as a header can say it: without its parameters if it is too long.
pub(super) fn fitting(record_type: RecordType) -> Result<RecordType> {
    let fits = |text: &str| text.chars().count() <= MOST_TYPE_CHARS;
    if fits(record_type.content_type.as_str()) {
        return Ok(record_type);
    }
    let essence = record_type.content_type.essence();
    if !fits(essence) {
        return Err(Error::ContentTypeTooLong { limit: MOST_TYPE_CHARS });
    }
    Ok(RecordType { content_type: ContentType::new(essence), ..record_type })
}

/// A publish on its way.
struct Putting<'a> {
    shared: &'a Shared,
    staged: &'a Staged,
    publish: &'a Publish<'a>,
    record: RecordId,
    place: Place,
    /// The object's key.
    key: String,
    size: u64,
    /// All bytes, if they are sent in one request.
    body: Option<bytes::Bytes>,
}

impl<'a> Putting<'a> {
    fn new(shared: &'a Shared, staged: &'a Staged, publish: &'a Publish<'a>) -> Result<Self> {
        let record = id(publish.store, publish.key);
        let place = shared.place(publish.store)?;
        place.check(publish.key)?;
        let key = shared.key_to_write(&record, &place)?;
        let size = staged.attributes()?.size;
        let mut putting = Self { shared, staged, publish, record, place, key, size, body: None };
        if size <= MOST_AT_ONCE {
            // All of it: no part of so few bytes can be copied.
            staged.fill(0..size)?;
            let read = upload::read(staged.file(), 0, size);
            putting.body = Some(read.map_err(|failure| failure.into_error(putting.action()))?);
        }
        Ok(putting)
    }

    fn action(&self) -> String {
        format!("publish record '{}' of store '{}'", self.record.1, self.record.0)
    }

    fn put(self) -> Result<Arc<dyn Value>> {
        let (shared, over) = (self.shared, self.publish.over);
        let before = shared.versions.last(&self.record);
        // A look at what it replaces is a round trip, and most likely there is nothing.
        if over == Over::Anything
            && before.is_none()
            && self.body.is_some()
            && shared.conditions == Conditions::Enforced
        {
            let record_type = fitting(self.publish.content_type.of(self.staged, || Ok(None))?)?;
            match self.send(&record_type, Condition::Nothing)? {
                Written::Refused => {}
                written => return self.written(written, record_type, before),
            }
        }
        let replaced_type = || shared.replaced_type(&self.record);
        let record_type = fitting(self.publish.content_type.of(self.staged, replaced_type)?)?;
        let before = shared.versions.last(&self.record);
        let tag;
        let condition = match over {
            Over::Anything => Condition::Anything,
            Over::Nothing => Condition::Nothing,
            Over::Version(stamp) => {
                tag = self.tag(stamp.object)?;
                Condition::Only(&tag)
            }
        };
        let condition = self.enforceable(condition)?;
        let written = self.send(&record_type, condition)?;
        self.written(written, record_type, before)
    }

    /// The version that is to be replaced.
    fn tag(&self, object: u64) -> Result<Tag> {
        self.shared.tag_of(&self.record, object).or_else(|replaced| {
            // It may be another's by now, or nobody's: a look tells.
            self.shared.record(&self.record)?;
            self.shared.tag_of(&self.record, object).map_err(|_| replaced)
        })
    }

    /// The condition as the server can keep it; where it keeps none, what is there is looked at.
    fn enforceable<'c>(&self, condition: Condition<'c>) -> Result<Condition<'c>> {
        if self.shared.conditions == Conditions::Enforced || condition == Condition::Anything {
            return Ok(condition);
        }
        let there = match self.shared.find(&self.record) {
            Ok(found) => Some(found.object),
            Err(Error::NoSuchRecord { .. }) => None,
            Err(error) => return Err(error),
        };
        match (condition, there) {
            (Condition::Nothing, Some(_)) => Err(self.exists()),
            (Condition::Only(_), None) => Err(no_such_record(&self.record)),
            (Condition::Only(tag), Some(there)) if *there.tag != *tag => {
                Err(replaced(&self.record))
            }
            _ => Ok(Condition::Anything),
        }
    }

    fn exists(&self) -> Error {
        let (store, key) = (self.record.0.to_string(), self.record.1.to_string());
        Error::RecordExists { store, key }
    }

    fn send(&self, record_type: &RecordType, condition: Condition<'_>) -> Result<Written> {
        let Self { shared, key, .. } = self;
        let calls = &shared.calls;
        if let Some(body) = &self.body {
            let put = async {
                let _held = shared.room.take(self.size).await;
                calls.put(key, body.clone(), record_type, condition, calls.deadline()).await
            };
            return calls.wait(|| self.action(), put);
        }
        let kept = self.staged.kept();
        let from = kept.as_ref().and_then(|kept| {
            let tag = shared.tag_of(&self.record, kept.value.attributes().ok()?.stamp.object);
            Some((tag.ok()?, kept.ranges.clone()))
        });
        let (from, ranges) = from.map_or((None, Vec::new()), |(tag, ranges)| (Some(tag), ranges));
        let copies = shared.copies_parts.load(std::sync::atomic::Ordering::Relaxed);
        let pieces = cut(self.size, if copies { &ranges } else { &[] });
        match self.send_pieces(&pieces, from.as_ref(), record_type, condition) {
            // A server that cannot copy parts.
            Err(Error::Backend { kind: crate::model::BackendErrorKind::Unsupported, .. })
                if pieces.iter().any(|piece| matches!(piece, Piece::Copied(_))) =>
            {
                shared.copies_parts.store(false, std::sync::atomic::Ordering::Relaxed);
                let pieces = cut(self.size, &[]);
                self.send_pieces(&pieces, None, record_type, condition)
            }
            sent => sent,
        }
    }

    fn send_pieces(
        &self,
        pieces: &[Piece],
        from: Option<&Tag>,
        record_type: &RecordType,
        condition: Condition<'_>,
    ) -> Result<Written> {
        for piece in pieces {
            if let Piece::Sent(range) = piece {
                self.staged.fill(range.clone())?;
            }
        }
        let (calls, key) = (&self.shared.calls, self.key.as_str());
        let copied = from.map(|tag| (key, &**tag));
        let source = Source { pieces, file: Some(self.staged.file()), copied };
        let upload = calls.upload(key, &source, record_type, condition, &self.shared.room);
        calls.wait(|| self.action(), upload)
    }

    /// What a write has come to.
    fn written(
        self,
        written: Written,
        record_type: RecordType,
        before: Option<Seen<Tag>>,
    ) -> Result<Arc<dyn Value>> {
        let (tag, modified) = match (written, self.publish.over) {
            (Written::Done(tag, modified), _) => (tag, modified),
            (Written::Refused, Over::Nothing) => return Err(self.exists()),
            // What is gone, or what has come in its place.
            (Written::Refused | Written::NoSource, _) => {
                self.shared.find(&self.record)?;
                return Err(replaced(&self.record));
            }
        };
        self.shared.put_sidecar(&self.record, &self.place, &self.key, &record_type, self.size);
        self.shared.stores.changed(&self.record.0, SystemTime::now(), true);
        self.open(tag, modified, record_type, before)
    }

    /// The new version, open. Nothing that comes from here on may fail for want of the server.
    fn open(
        self,
        tag: Tag,
        modified: SystemTime,
        record_type: RecordType,
        before: Option<Seen<Tag>>,
    ) -> Result<Arc<dyn Value>> {
        let Self { shared, record, key, size, .. } = &self;
        let told = super::mark::Told::Marked(record_type.clone());
        let object = Object { size: *size, tag: tag.clone(), modified, told };
        let bytes = match &self.body {
            Some(body) if *size <= MOST_WHOLE => Bytes::Memory((**body).into()),
            _ => self.large(&object, key)?,
        };
        let facts = (modified, None);
        let seen = shared.versions.published(record, &object, facts, before.as_ref());
        shared.kept.keep(record, tag, &bytes);
        let attributes = shared.attributes_of(&seen);
        Ok(Arc::new(RemoteValue { bytes, attributes, record_type: Some(record_type) }))
    }

    /// The bytes of a large value: its file, or what can be fetched where parts of it never were in the file.
    fn large(&self, object: &Object, key: &str) -> Result<Bytes> {
        let shared = self.shared;
        let fetch = Arc::new(shared.fetch(&self.record, key, object));
        if self.staged.kept().is_some() {
            let file = shared.spool.file()?;
            let parts = Parted::begin(file, object.size, &[], fetch, &shared.cache)?;
            return Ok(Bytes::Spool(parts));
        }
        let file = self.staged.file().try_clone();
        let file = file.map_err(|error| Error::io("hold a file in the spool", error))?;
        Ok(Bytes::Spool(Parted::whole(file.into(), object.size, fetch, &shared.cache)))
    }
}

impl Shared {
    /// Writes the sidecar of a record, where its layout has such. That it could not be written is remembered.
    pub(super) fn put_sidecar(
        &self,
        record: &RecordId,
        place: &Place,
        value: &str,
        record_type: &RecordType,
        size: u64,
    ) {
        if place.dialect != Dialect::Sidecars {
            return;
        }
        if let Err(error) = self.try_put_sidecar(&record.1, value, record_type, size) {
            log::warn!(
                "the sidecar for record '{}' of store '{}' is not written yet, only its value: {error}",
                record.1,
                record.0
            );
            self.lacking.lock().insert(record.clone(), (), 1);
        }
    }

    fn try_put_sidecar(
        &self,
        key: &Key,
        value: &str,
        record_type: &RecordType,
        size: u64,
    ) -> Result<()> {
        let text = Sidecar::text(key, record_type, size);
        self.put_text(&sidecar_of(value), text, Condition::Anything).map(drop)
    }

    /// Writes a small JSON text as an object.
    pub(super) fn put_text(
        &self,
        key: &str,
        text: Vec<u8>,
        condition: Condition<'_>,
    ) -> Result<Written> {
        let json = RecordType::given(ContentType::new("application/json"));
        let put = self.calls.put(key, text.into(), &json, condition, self.calls.deadline());
        self.calls.wait(|| format!("write object '{key}'"), put)
    }

    /// Writes the sidecars of a store that could not be written when their values were.
    pub(super) fn catch_up(&self, store: &crate::model::StoreName) {
        let lacking = self.lacking.lock().take_if(|(of, _)| of == store);
        for (record, (), _) in lacking {
            match self.find(&record) {
                Ok(Found { place, key, object }) => {
                    if let super::mark::Told::Marked(record_type) = &object.told {
                        self.put_sidecar(&record, &place, &key, record_type, object.size);
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(_) => self.lacking.lock().insert(record, (), 1),
            }
        }
    }

    /// Checks that a record could be kept under this key.
    pub(super) fn check_key(&self, store: &crate::model::StoreName, key: &Key) -> Result<()> {
        let dialect = self.store_of_late(store, LATE)?.dialect;
        self.place_in(store, dialect).check(key)
    }
}
