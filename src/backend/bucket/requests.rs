//! Requests about one object: look, read, write, copy, remove.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use percent_encoding::utf8_percent_encode;
use tokio::time::Instant;

use super::calls::{Answer, Ask, Calls, ESCAPED_IN_PATH};
use super::failure::Failure;
use super::mark::{self, Told};
use crate::model::{RecordType, system_time};

/// The version of an object, as the server tells it: its ETag.
pub(super) type Tag = Arc<str>;

/// What the server tells of an object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) size: u64,
    pub(super) tag: Tag,
    /// In whole seconds, since not all answers tell more.
    pub(super) modified: SystemTime,
    /// What it says of its type.
    pub(super) told: Told,
}

/// What reading an object came to.
#[derive(Debug)]
pub(super) enum Got {
    /// The object, and bytes of the range that was asked for.
    Some(Object, Bytes),
    /// It is the version that is known.
    Known,
    /// It has changed meanwhile.
    Changed,
    Absent,
}

/// Which version of an object is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    Any,
    /// Any but this one, whose bytes are at hand.
    Unless(&'a str),
}

/// What a write may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    Anything,
    Nothing,
    Only(&'a str),
}

/// What a write with a condition came to.
#[derive(Clone, Debug)]
pub(super) enum Written {
    /// It is there, and this is its version and the moment by the server's clock.
    Done(Tag, SystemTime),
    /// The condition does not hold.
    Refused,
    /// There was nothing to copy, or not the version that was to be copied.
    NoSource,
}

impl Calls {
    /// Looks at an object.
    pub(super) async fn head(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Object>, Failure> {
        let ask = Ask::new(Method::HEAD, key).expecting(&[404]);
        let answer = self.ask(&ask, deadline).await?;
        if answer.refusal.is_some() {
            return Ok(None);
        }
        let size = answer.header("content-length").and_then(|text| text.parse().ok());
        let size = size.ok_or_else(|| Failure::Unreadable("it has no length".to_owned()))?;
        object(&answer, size).map(Some)
    }

    /// Reads a range of an object. Fewer bytes come at its end only.
    pub(super) async fn get(
        &self,
        key: &str,
        range: Range<u64>,
        wanted: Wanted<'_>,
        deadline: Instant,
    ) -> Result<Got, Failure> {
        let last = range.end.saturating_sub(1);
        let ask = Ask::new(Method::GET, key)
            .with_header("range", &format!("bytes={}-{last}", range.start))
            .expecting(&[304, 404, 416]);
        let ask = match wanted {
            Wanted::Any => ask,
            Wanted::Unless(tag) => ask.with_header("if-none-match", tag),
        };
        let answer = self.ask(&ask, deadline).await?;
        match answer.status.as_u16() {
            304 => Ok(Got::Known),
            404 => self.absent(&answer),
            // Nothing has no first byte.
            416 => Ok(match self.head(key, deadline).await? {
                Some(object) if object.size <= range.start => Got::Some(object, Bytes::new()),
                Some(_) => Got::Changed,
                None => Got::Absent,
            }),
            status => {
                let (size, bytes) = part_of(&answer, status == 206, &range)?;
                Ok(Got::Some(object(&answer, size)?, bytes))
            }
        }
    }

    fn absent(&self, answer: &Answer) -> Result<Got, Failure> {
        match &answer.refusal {
            Some(refusal) if refusal.code == "NoSuchBucket" => {
                Err(Failure::Refused(refusal.clone()))
            }
            _ => Ok(Got::Absent),
        }
    }

    /// Reads a small object as a whole.
    pub(super) async fn get_small(
        &self,
        key: &str,
        most: u64,
        deadline: Instant,
    ) -> Result<Option<(Object, Bytes)>, Failure> {
        match self.get(key, 0..most, Wanted::Any, deadline).await? {
            Got::Some(object, bytes) => Ok(Some((object, bytes))),
            Got::Known | Got::Changed | Got::Absent => Ok(None),
        }
    }

    /// Writes an object in one request.
    pub(super) async fn put(
        &self,
        key: &str,
        body: Bytes,
        record_type: &RecordType,
        condition: Condition<'_>,
        deadline: Instant,
    ) -> Result<Written, Failure> {
        let nonce = nonce();
        let ask = mark::with_type(Ask::new(Method::PUT, key), record_type).with_body(body);
        let ask = with_mtime(conditional(ask, condition), &nonce);
        let answer = self.ask(&ask, deadline).await?;
        self.written(key, answer, &nonce, deadline).await
    }

    /// What a write has come to. One that was made again may have been refused by its own success: what is there tells.
    pub(super) async fn written(
        &self,
        key: &str,
        answer: Answer,
        nonce: &str,
        deadline: Instant,
    ) -> Result<Written, Failure> {
        if answer.refusal.is_none() {
            return Ok(Written::Done(tag_of(&answer)?, served_at(&answer)));
        }
        if answer.is_repeated
            && let Some(done) = self.is_ours(key, nonce, deadline).await?
        {
            return Ok(done);
        }
        Ok(Written::Refused)
    }

    /// The object that is there, if it was made by the write of this nonce.
    pub(super) async fn is_ours(
        &self,
        key: &str,
        nonce: &str,
        deadline: Instant,
    ) -> Result<Option<Written>, Failure> {
        let there = self.ask(&Ask::new(Method::HEAD, key).expecting(&[404]), deadline).await?;
        if there.refusal.is_some() || nonce.is_empty() || there.header(NONCE) != Some(nonce) {
            return Ok(None);
        }
        let object = object(&there, 0)?;
        Ok(Some(Written::Done(object.tag, object.modified)))
    }

    /// Copies an object of at most 5 GiB at the server, and gives it a type.
    pub(super) async fn copy(
        &self,
        from: (&str, &str),
        to: &str,
        record_type: &RecordType,
        condition: Condition<'_>,
        deadline: Instant,
    ) -> Result<Written, Failure> {
        let nonce = nonce();
        let ask = mark::with_type(Ask::new(Method::PUT, to), record_type)
            .with_header("x-amz-metadata-directive", "REPLACE");
        let ask = with_mtime(conditional(self.copying(ask, from), condition), &nonce);
        self.copied(&ask, to, &nonce, condition, deadline).await
    }

    /// Copies an object of at most 5 GiB at the server as it is.
    pub(super) async fn copy_as_it_is(
        &self,
        from: (&str, &str),
        to: &str,
        condition: Condition<'_>,
        deadline: Instant,
    ) -> Result<Written, Failure> {
        let ask = conditional(self.copying(Ask::new(Method::PUT, to), from), condition);
        // It bears what the source bears, so nothing tells that it is ours.
        self.copied(&ask, to, "", condition, deadline).await
    }

    /// The same request, which copies a version of an object.
    pub(super) fn copying<'a>(&self, ask: Ask<'a>, (key, tag): (&str, &str)) -> Ask<'a> {
        let source = utf8_percent_encode(key, ESCAPED_IN_PATH);
        ask.with_header("x-amz-copy-source", &format!("/{}/{source}", self.bucket()))
            .with_header("x-amz-copy-source-if-match", tag)
    }

    async fn copied(
        &self,
        ask: &Ask<'_>,
        to: &str,
        nonce: &str,
        condition: Condition<'_>,
        deadline: Instant,
    ) -> Result<Written, Failure> {
        let ask = Ask { headers: ask.headers.clone(), ..Ask::new(Method::PUT, to) };
        let answer = self.ask(&ask.expecting(&[404, 412]), deadline).await?;
        match &answer.refusal {
            None => match super::xml::copied_tag(&answer.body) {
                Ok(tag) => Ok(Written::Done(tag, served_at(&answer))),
                // Some servers do not say which version they made of an object that was copied onto itself.
                Err(failure) => match self.head(to, deadline).await? {
                    Some(object) if says_no_error(&answer) => {
                        Ok(Written::Done(object.tag, object.modified))
                    }
                    _ => Err(failure),
                },
            },
            Some(refusal) if refusal.code == "NoSuchBucket" => {
                Err(Failure::Refused(refusal.clone()))
            }
            Some(refusal) if refusal.status.as_u16() == 404 => Ok(Written::NoSource),
            // Which of the two conditions it was is not told.
            Some(_) if condition == Condition::Anything => Ok(Written::NoSource),
            Some(_) => self.written(to, answer, nonce, deadline).await,
        }
    }

    /// Removes an object, whether or not it is there.
    pub(super) async fn delete(&self, key: &str, deadline: Instant) -> Result<(), Failure> {
        let ask = Ask::new(Method::DELETE, key).expecting(&[404]);
        self.ask(&ask, deadline).await.map(drop)
    }
}

/// Tells one write from all others.
const NONCE: &str = "x-amz-meta-storefs-write";

/// When the bytes were written, in seconds since the epoch: rclone and others keep it so, and show it.
const MTIME: &str = "x-amz-meta-mtime";

/// Where a range begins, and the length of its object, as `Content-Range` says it.
pub(super) fn range_of(given: &str) -> Option<(u64, u64)> {
    let (range, size) = given.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()?))
}

/// Length of an object, and the bytes of a range of it that an answer has. Some servers give a range without saying so by the
/// status, and some know no ranges and give all.
fn part_of(answer: &Answer, is_partial: bool, range: &Range<u64>) -> Result<(u64, Bytes), Failure> {
    let unreadable = |reason: &str| Err(Failure::Unreadable(reason.to_owned()));
    let came = answer.body.len() as u64;
    let Some(given) = answer.header("content-range") else {
        let at = |offset: u64| usize::try_from(offset.min(came)).unwrap_or(usize::MAX);
        return match is_partial {
            true => unreadable("it does not say of which range it is"),
            false => Ok((came, answer.body.slice(at(range.start)..at(range.end)))),
        };
    };
    match range_of(given) {
        Some((first, size))
            if first == range.start && came == range.end.min(size).saturating_sub(range.start) =>
        {
            Ok((size, answer.body.clone()))
        }
        _ => unreadable("it is of another range than was asked for"),
    }
}

/// Whether the answer to a copy is no failure in the body of a success, which S3 gives when it has begun to answer.
fn says_no_error(answer: &Answer) -> bool {
    !answer.body.windows(7).any(|text| text == b"<Error>")
}

/// Something that no other write has; empty where there is no randomness, which no object bears.
pub(super) fn nonce() -> String {
    getrandom::u64().map(|random| format!("{random:016x}")).unwrap_or_default()
}

/// The same request, which tells when it was made, and from all others.
pub(super) fn with_mtime<'a>(ask: Ask<'a>, nonce: &str) -> Ask<'a> {
    let now = Timestamp::now();
    let mtime = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
    ask.with_header(MTIME, &mtime).with_header(NONCE, nonce)
}

/// The same request, which takes the place of some versions only.
pub(super) fn conditional<'a>(ask: Ask<'a>, condition: Condition<'_>) -> Ask<'a> {
    match condition {
        Condition::Anything => ask,
        Condition::Nothing => ask.with_header("if-none-match", "*").expecting(&[412]),
        Condition::Only(tag) => ask.with_header("if-match", tag).expecting(&[404, 412]),
    }
}

/// The version that an answer tells.
pub(super) fn tag_of(answer: &Answer) -> Result<Tag, Failure> {
    let text = answer.header("etag");
    text.map(tag).ok_or_else(|| Failure::Unreadable("it has no ETag".to_owned()))
}

/// A version as all answers should spell it. Some leave the quotes away.
pub(super) fn tag(text: &str) -> Tag {
    if text.starts_with('"') || text.starts_with("W/") {
        text.into()
    } else {
        format!("\"{text}\"").into()
    }
}

/// What an answer tells of its object.
fn object(answer: &Answer, size: u64) -> Result<Object, Failure> {
    let tag = tag_of(answer)?;
    let modified = answer.header("last-modified").and_then(time);
    let modified = modified.unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Object { size, tag, modified, told: mark::told(answer) })
}

/// The moment of an answer by the server's clock, which also dates the objects; else by ours. In whole seconds.
pub(super) fn served_at(answer: &Answer) -> SystemTime {
    answer.header("date").and_then(time).unwrap_or_else(|| at_second(Timestamp::now().as_second()))
}

/// A time as HTTP writes it.
fn time(text: &str) -> Option<SystemTime> {
    // It ends in GMT, which stands for an offset of zero.
    let text = text.replace("GMT", "+0000");
    Some(at_second(rfc2822::parse(&text).ok()?.timestamp().as_second()))
}

/// So many seconds after the epoch.
pub(super) fn at_second(second: i64) -> SystemTime {
    system_time(second.saturating_mul(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_writes_them() {
        assert_eq!(range_of("bytes 5-9/100"), Some((5, 100)));
        for text in ["bytes */100", "bytes 5-9/*", "5-9/100", ""] {
            assert_eq!(range_of(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_http_writes_them() {
        let at: Timestamp = "2026-11-30T21:47:57Z".parse().unwrap();
        assert_eq!(time("Mon, 30 Nov 2026 21:47:57 GMT"), Some(SystemTime::try_from(at).unwrap()));
        assert_eq!(time("never"), None);
    }
}
