//! Requests about many objects: pages of a listing, removal in bulk.

use std::time::SystemTime;

use futures_util::{Stream, StreamExt, stream};
use http::Method;
use jiff::Timestamp;
use tokio::time::Instant;

use super::calls::{Ask, Calls};
use super::failure::Failure;
use super::requests::{Tag, at_second, tag};
use super::xml::{self, ListPage};
use crate::model::{BackendErrorKind, Error};

/// So many objects one request removes at most.
const MOST_DELETED: usize = 1000;

/// So many requests of one operation on many objects are made at once.
pub(super) const AT_ONCE: usize = 16;

/// An object of a listing.
#[derive(Clone, Debug)]
pub(super) struct ListedObject {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) tag: Tag,
    /// In whole seconds.
    pub(super) modified: SystemTime,
}

/// A part of a listing, in the order of keys as the server has it.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<ListedObject>,
    /// What several objects begin with: up to the slash at which they were rolled up, and with it.
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins; `None` if this is the last.
    pub(super) next: Option<String>,
}

/// Which objects are listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing<'a> {
    /// What their keys begin with.
    pub(super) prefix: &'a str,
    /// Whether what lies behind a further slash is rolled up.
    pub(super) is_flat: bool,
    /// So many at once at most.
    pub(super) most: usize,
}

impl<'a> Listing<'a> {
    /// All objects below a prefix.
    pub(super) fn below(prefix: &'a str) -> Self {
        Self { prefix, is_flat: false, most: 1000 }
    }

    /// The objects in a directory, and its directories.
    pub(super) fn of(prefix: &'a str) -> Self {
        Self { is_flat: true, ..Self::below(prefix) }
    }

    /// The same, with so many at most on a page.
    pub(super) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Calls {
    /// A page of a listing.
    pub(super) async fn list(
        &self,
        listing: Listing<'_>,
        from: Option<&str>,
        deadline: Instant,
    ) -> Result<Page, Failure> {
        let mut ask = Ask::new(Method::GET, "")
            .with_query("list-type", "2")
            .with_query("encoding-type", "url")
            .with_query("max-keys", listing.most.to_string())
            .with_query("prefix", listing.prefix);
        if listing.is_flat {
            ask = ask.with_query("delimiter", "/");
        }
        if let Some(from) = from {
            ask = ask.with_query("continuation-token", from);
        }
        let answer = self.ask(&ask, deadline).await?;
        let page = ListPage::parse(&answer.body)?;
        let next = page.next_continuation_token.filter(|_| page.is_truncated);
        let objects = page.contents.into_iter().map(|contents| ListedObject {
            modified: time(&contents.last_modified),
            key: contents.key,
            size: contents.size,
            tag: tag(&contents.e_tag),
        });
        let prefixes = page.common_prefixes.into_iter().map(|common| common.prefix);
        Ok(Page { objects: objects.collect(), prefixes: prefixes.collect(), next })
    }

    /// All pages of a listing, each asked for when it is wanted.
    pub(super) fn pages<'a>(
        &'a self,
        listing: Listing<'a>,
    ) -> impl Stream<Item = Result<Page, Failure>> + 'a {
        stream::try_unfold(Some(None::<String>), move |from| async move {
            let Some(from) = from else { return Ok(None) };
            let page = self.list(listing, from.as_deref(), self.deadline()).await?;
            let next = page.next.clone().map(Some);
            Ok(Some((page, next)))
        })
    }

    /// Removes objects, whether or not they are there.
    pub(super) async fn delete_all(
        &self,
        keys: &[String],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let (said, unsaid): (Vec<String>, Vec<String>) =
            keys.iter().cloned().partition(|key| xml::can_say(key));
        match said.as_slice() {
            [] => {}
            [one] => self.delete(one, deadline).await?,
            several => self.delete_several(several, deadline).await?,
        }
        for key in unsaid {
            self.delete(&key, deadline).await?;
        }
        Ok(())
    }

    async fn delete_several(&self, keys: &[String], deadline: Instant) -> Result<(), Failure> {
        let bodies = keys.chunks(MOST_DELETED).map(xml::delete);
        let mut answers = stream::iter(bodies)
            .map(|body| async move {
                let sum = xml::md5(&body);
                let ask = Ask::new(Method::POST, "")
                    .with_query("delete", "")
                    .with_header("content-type", "application/xml")
                    .with_header("content-md5", &sum)
                    .with_body(body);
                self.ask(&ask, deadline).await
            })
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            if let Some(left) = xml::not_deleted(&answer?.body)?.into_iter().next() {
                let kind = match left.code.as_str() {
                    "AccessDenied" => BackendErrorKind::Denied,
                    _ => BackendErrorKind::Other,
                };
                let action = format!("remove object '{}'", left.key);
                let said = format!("{} ({})", left.message, left.code);
                return Err(Failure::Own(Error::backend(kind, action, said)));
            }
        }
        Ok(())
    }
}

/// A time of a listing, cut to the second that a look at the object would tell.
pub(super) fn time(text: &str) -> SystemTime {
    at_second(text.parse::<Timestamp>().unwrap_or_default().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_no_more_of_a_time_than_a_look() {
        let at: Timestamp = "2026-11-30T21:47:57Z".parse().unwrap();
        assert_eq!(time("2026-11-30T21:47:57.812Z"), SystemTime::try_from(at).unwrap());
        assert_eq!(time("?"), SystemTime::UNIX_EPOCH);
    }
}
