//! Writing a large object in parts: all of it appears at once, when the upload is completed.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::Method;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::calls::{Ask, Calls};
use super::failure::Failure;
use super::mark;
use super::pieces::Piece;
use super::requests::{Condition, Tag, Written, conditional, nonce, tag_of, with_mtime};
use super::xml::{self, Upload, Uploads};
use crate::backend::local_file;
use crate::model::{Error, RecordType, Result};

/// So many parts of one upload are on their way at once.
const AT_ONCE: usize = 4;

/// So many bytes of all uploads are in memory at once; more only if one part alone has more.
const MOST_IN_MEMORY: u64 = 64 << 20;

/// Unit of [`Room`] in bytes.
const UNIT: u64 = 64 << 10;

/// Room in memory for what is sent.
#[derive(Debug)]
pub(super) struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(usize::try_from(MOST_IN_MEMORY / UNIT).unwrap_or(1)))
    }
}

impl Room {
    /// Waits until so many bytes may be in memory, as long as what is given back is held.
    pub(super) async fn take(&self, bytes: u64) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let units = bytes.min(MOST_IN_MEMORY).div_ceil(UNIT);
        // It is never closed.
        self.0.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await.ok()
    }
}

/// Where the bytes of a large object come from.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) pieces: &'a [Piece],
    /// Holds what is sent.
    pub(super) file: Option<&'a Arc<OwnedFd>>,
    /// The object and its version that has what is copied.
    pub(super) copied: Option<(&'a str, &'a str)>,
}

/// Why an upload came to nothing.
enum Broken {
    Failed(Failure),
    /// The version that parts are copied of is gone.
    NoSource,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Calls {
    /// Writes a large object. What was begun and fails is aborted.
    pub(super) async fn upload(
        &self,
        key: &str,
        source: &Source<'_>,
        record_type: &RecordType,
        condition: Condition<'_>,
        room: &Room,
    ) -> Result<Written, Failure> {
        let nonce = nonce();
        let ask = Ask::new(Method::POST, key).with_query("uploads", "");
        let ask = with_mtime(mark::with_type(ask, record_type), &nonce);
        let begun = self.ask(&ask, self.deadline()).await?;
        let id = xml::upload_id(&begun.body)?;
        let parts = futures_util::stream::iter(source.pieces.iter().zip(1_u32..))
            .map(|(piece, number)| self.part(key, &id, number, piece, source, room))
            .buffered(AT_ONCE)
            .try_collect::<Vec<Tag>>();
        let outcome = match parts.await {
            Ok(parts) => self.complete(key, &id, &parts, &nonce, condition).await,
            Err(Broken::NoSource) => Ok(Written::NoSource),
            Err(Broken::Failed(failure)) => Err(failure),
        };
        if !matches!(outcome, Ok(Written::Done(..))) {
            let upload = Upload { key: key.to_owned(), upload_id: id, ..Upload::default() };
            if let Err(failure) = self.abort(&upload, self.deadline()).await {
                log::warn!("an upload of '{key}' is left unfinished, and takes room: {failure:?}");
            }
        }
        outcome
    }

    async fn part(
        &self,
        key: &str,
        id: &str,
        number: u32,
        piece: &Piece,
        source: &Source<'_>,
        room: &Room,
    ) -> Result<Tag, Broken> {
        let part = Ask::new(Method::PUT, key)
            .with_query("partNumber", number.to_string())
            .with_query("uploadId", id);
        match (piece, source) {
            (Piece::Sent(range), Source { file: Some(file), .. }) => {
                let _held = room.take(range.end - range.start).await;
                let bytes = read(file, range.start, range.end - range.start)?;
                let answer = self.ask(&part.with_body(bytes), self.deadline()).await?;
                Ok(tag_of(&answer)?)
            }
            (Piece::Copied(range), Source { copied: Some(from), .. }) => {
                let last = range.end.saturating_sub(1);
                let ask = self
                    .copying(part, *from)
                    .with_header(
                        "x-amz-copy-source-range",
                        &format!("bytes={}-{last}", range.start),
                    )
                    .expecting(&[404, 412]);
                let answer = self.ask(&ask, self.deadline()).await?;
                match answer.refusal {
                    None => Ok(xml::copied_tag(&answer.body)?),
                    Some(_) => Err(Broken::NoSource),
                }
            }
            _ => Err(Failure::Unreadable("a part comes from nowhere".to_owned()).into()),
        }
    }

    async fn complete(
        &self,
        key: &str,
        id: &str,
        parts: &[Tag],
        nonce: &str,
        condition: Condition<'_>,
    ) -> Result<Written, Failure> {
        let deadline = self.deadline();
        let ask = Ask::new(Method::POST, key).with_query("uploadId", id);
        let ask = conditional(ask, condition).with_body(xml::complete(parts));
        let answer = match self.ask(&ask.expecting(&[404, 412]), deadline).await {
            Ok(answer) => answer,
            // It may have been done all the same.
            Err(failure) => {
                return match self.is_ours(key, nonce, self.deadline()).await? {
                    Some(done) => Ok(done),
                    None => Err(failure),
                };
            }
        };
        let refusal = match (&answer.refusal, xml::copied_tag(&answer.body)) {
            (None, Ok(tag)) => return Ok(Written::Done(tag, super::requests::served_at(&answer))),
            (None, Err(failure)) => Some(failure),
            (Some(refusal), _) if refusal.status.as_u16() == 412 => None,
            (Some(refusal), _) => Some(Failure::Refused(refusal.clone())),
        };
        match (self.is_ours(key, nonce, deadline).await?, refusal) {
            (Some(done), _) => Ok(done),
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(Written::Refused),
        }
    }

    /// Ends an upload without an object.
    pub(super) async fn abort(&self, upload: &Upload, deadline: Instant) -> Result<(), Failure> {
        let ask = Ask::new(Method::DELETE, &upload.key)
            .with_query("uploadId", upload.upload_id.as_str())
            .expecting(&[404]);
        self.ask(&ask, deadline).await.map(drop)
    }

    /// Uploads below a prefix that nobody has ended.
    pub(super) async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>, Failure> {
        let (mut found, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let mut ask =
                Ask::new(Method::GET, "").with_query("uploads", "").with_query("prefix", prefix);
            if !after.0.is_empty() {
                ask = ask
                    .with_query("key-marker", after.0.as_str())
                    .with_query("upload-id-marker", after.1.as_str());
            }
            let answer = self.ask(&ask.expecting(&[404]), self.deadline()).await?;
            match answer.refusal {
                // A server that lists none says so, where no upload is named.
                Some(refusal) if refusal.code == "NoSuchUpload" => return Ok(found),
                Some(refusal) => return Err(Failure::Refused(refusal)),
                None => {}
            }
            let Uploads { upload, is_truncated, next_key_marker, next_upload_id_marker } =
                xml::uploads(&answer.body)?;
            found.extend(upload);
            if !is_truncated || next_key_marker.is_empty() || next_key_marker == after.0 {
                return Ok(found);
            }
            after = (next_key_marker, next_upload_id_marker);
        }
    }
}

/// Bytes of a staged file.
pub(super) fn read(file: &Arc<OwnedFd>, offset: u64, len: u64) -> Result<Bytes, Failure> {
    let failed = |error: rustix::io::Errno| Failure::Own(Error::io("read a staging file", error));
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match local_file::read_at(&**file, rest, offset + at as u64).map_err(failed)? {
            // It was cut meanwhile, which whoever publishes keeps from happening.
            0 => return Err(failed(rustix::io::Errno::IO)),
            count => at += count,
        }
    }
    Ok(bytes.into())
}
