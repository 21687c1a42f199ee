//! The bytes of one version of an object, given on while they come.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, StatusCode, response};
use object_store::client::HttpResponseBody;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::calls::{Ask, Asking, Calls, stalled, whole};
use super::failure::Failure;
use super::requests::{Tag, range_of, tag};
use crate::backend::elsewhere::RecordId;
use crate::backend::spool::Arriving;
use crate::model::Result;

/// So many bytes are given on at once: a reader does not wait long for the first, and writes to the spool, which a thread
/// makes that may block, are worth the way there.
const AT_ONCE: usize = 512 * 1024;

/// A range that is being fetched. What has come is not asked for again when a connection breaks.
#[derive(Debug)]
pub(super) struct Pouring {
    record: RecordId,
    /// The object's key.
    key: String,
    tag: Tag,
    /// Bytes of the object that were not given on yet.
    rest: Range<u64>,
    /// What has come and was not given on yet, and its length in bytes.
    gathered: (Vec<Bytes>, usize),
    /// `None` while it takes something, and if it takes no more.
    arriving: Option<Arriving>,
}

impl Pouring {
    /// Gives bytes of a record's object on to `arriving`.
    pub(super) fn new(
        record: RecordId,
        key: String,
        tag: Tag,
        rest: Range<u64>,
        arriving: Arriving,
    ) -> Self {
        Self { record, key, tag, rest, gathered: (Vec::new(), 0), arriving: Some(arriving) }
    }

    /// Gives on what was gathered.
    async fn give(&mut self) {
        let Some(mut arriving) = self.arriving.take() else { return };
        let (pieces, len) = std::mem::take(&mut self.gathered);
        self.rest.start += len as u64;
        let write = spawn_blocking(move || arriving.take(&pieces).then_some(arriving));
        self.arriving = write.await.ok().flatten();
    }

    /// Fetches all of it, and tells when no more comes: all has, or a failure. `action` completes "cannot ...".
    pub(super) async fn pour(mut self, calls: &Calls, action: String) {
        let answer = calls.ask_for(&mut self, calls.deadline()).await;
        let outcome = answer.and_then(|answer| match answer.refusal {
            Some(_) => Err(self.replaced()),
            None => Ok(()),
        });
        let Some(arriving) = self.arriving.take() else { return };
        let outcome = outcome.map_err(|failure| failure.into_error(action));
        let _ = spawn_blocking(move || arriving.end(outcome)).await;
    }

    /// The version is gone.
    fn replaced(&self) -> Failure {
        Failure::Own(super::shared::replaced(&self.record))
    }
}

impl Asking for Pouring {
    fn ask(&self) -> Ask<'_> {
        let last = self.rest.end.saturating_sub(1);
        Ask::new(Method::GET, &self.key)
            .with_header("range", &format!("bytes={}-{last}", self.rest.start))
            .with_header("if-match", &self.tag)
            .expecting(&[404, 412, 416])
    }

    async fn take(
        &mut self,
        parts: &response::Parts,
        body: HttpResponseBody,
        patience: Duration,
    ) -> Result<Bytes, Failure> {
        if !parts.status.is_success() {
            return whole(parts, body, patience).await;
        }
        // A server that knows no conditions tells at least what it gives.
        let told = parts.headers.get("etag").and_then(|told| told.to_str().ok()).map(tag);
        if told.as_ref() != Some(&self.tag) {
            return Err(self.replaced());
        }
        // Nor do all know ranges, or say by the status that they give one.
        let given = parts.headers.get("content-range").and_then(|given| given.to_str().ok());
        let mut skipped = match given.map(range_of) {
            Some(Some((first, _))) if first == self.rest.start => 0,
            None if parts.status != StatusCode::PARTIAL_CONTENT => self.rest.start,
            _ => {
                let reason = "it is of another range than was asked for";
                return Err(Failure::Unreadable(reason.to_owned()));
            }
        };
        self.gathered = (Vec::new(), 0);
        let mut pieces = body.bytes_stream();
        while !self.rest.is_empty() && self.arriving.is_some() {
            let piece = match timeout_at(Instant::now() + patience, pieces.next()).await {
                Ok(Some(piece)) => piece?,
                Ok(None) => return Err(Failure::Unreadable("it ends too early".to_owned())),
                Err(_) => return Err(stalled()),
            };
            let at = usize::try_from(skipped).unwrap_or(usize::MAX).min(piece.len());
            skipped -= at as u64;
            let piece = piece.slice(at..);
            let wanted = self.rest.end - self.rest.start - self.gathered.1 as u64;
            let len = usize::try_from(wanted).unwrap_or(usize::MAX).min(piece.len());
            self.gathered.0.push(piece.slice(..len));
            self.gathered.1 += len;
            if self.gathered.1 >= AT_ONCE || len as u64 == wanted {
                self.give().await;
            }
        }
        Ok(Bytes::new())
    }
}
