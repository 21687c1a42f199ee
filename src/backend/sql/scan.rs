//! Listing the records of a store, page by page.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::vec;

use super::database::RecordRow;
use super::shared::Shared;
use crate::backend::Listed;
use crate::backend::elsewhere::Moment;
use crate::model::{BackendErrorKind, Error, Key, Result, StoreName, Timestamp};

/// So many records are asked for at once.
const PAGE: usize = 1000;

/// So many pages are fetched ahead at most, beside the one that is asked for.
const PAGES_AHEAD: usize = 1;

/// The records of a store, in the database's own order. What follows the first page is fetched by a thread of its own
/// while the page before it is read: the database and who lists work at the same time.
pub(super) struct RecordScan {
    shared: Arc<Shared>,
    store: StoreName,
    page: vec::IntoIter<RecordRow>,
    /// When the page was asked for.
    began: Moment,
    rest: Rest,
    /// When the store was changed last, looked at once for each page that has anything new.
    modified: Option<Timestamp>,
}

/// Records that were asked for together.
struct Page {
    rows: Vec<RecordRow>,
    began: Moment,
    /// The last key; `None` if there is no page behind it.
    last: Option<String>,
}

/// Where the next page comes from.
enum Rest {
    /// There is none.
    Nothing,
    /// It is still to be asked for, from behind this key.
    Behind(String),
    /// It is being fetched.
    Ahead(Receiver<Result<Page>>),
}

impl Page {
    fn ask(shared: &Shared, store: &StoreName, after: Option<&str>) -> Result<Self> {
        let began = shared.versions.now();
        let rows = shared.database.page(store.as_str(), after, PAGE)?;
        let rows = rows.ok_or_else(|| shared.no_such_store(store))?;
        let is_full = rows.len() >= PAGE;
        let last = rows.last().filter(|_| is_full).map(|row| row.key.clone());
        Ok(Self { rows, began, last })
    }

    /// Asks for page after page until there is none, one cannot be had, or nobody takes them any more.
    fn send_all(shared: &Shared, store: &StoreName, after: String, to: &SyncSender<Result<Self>>) {
        let mut after = Some(after);
        while let Some(key) = after.take() {
            let page = Self::ask(shared, store, Some(&key));
            after = page.as_ref().ok().and_then(|page| page.last.clone());
            if to.send(page).is_err() {
                return;
            }
        }
    }
}

impl RecordScan {
    /// Asks for the first page.
    pub(super) fn begin(shared: &Arc<Shared>, store: &StoreName) -> Result<Self> {
        let (shared, store) = (Arc::clone(shared), store.clone());
        let Page { rows, began, last } = Page::ask(&shared, &store, None)?;
        let rest = last.map_or(Rest::Nothing, Rest::Behind);
        Ok(Self { shared, store, page: rows.into_iter(), began, rest, modified: None })
    }

    /// Goes on to the next page. Gives back whether there is one.
    fn turn(&mut self) -> Result<bool> {
        let (page, ahead) = match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Nothing => return Ok(false),
            Rest::Behind(last) => match self.fetch_ahead(last.clone()) {
                Some(pages) => (self.next_of(&pages)?, Some(pages)),
                // No thread can be made: one page after the other.
                None => (Page::ask(&self.shared, &self.store, Some(&last))?, None),
            },
            Rest::Ahead(pages) => (self.next_of(&pages)?, Some(pages)),
        };
        self.rest = match (page.last, ahead) {
            (None, _) => Rest::Nothing,
            (Some(_), Some(pages)) => Rest::Ahead(pages),
            (Some(last), None) => Rest::Behind(last),
        };
        self.began = page.began;
        self.page = page.rows.into_iter();
        self.modified = None;
        Ok(true)
    }

    fn fetch_ahead(&self, after: String) -> Option<Receiver<Result<Page>>> {
        let (to, pages) = sync_channel(PAGES_AHEAD);
        let (shared, store) = (Arc::clone(&self.shared), self.store.clone());
        let fetch = move || Page::send_all(&shared, &store, after, &to);
        let thread = thread::Builder::new().name("storefs-scan".to_owned());
        thread.spawn(fetch).ok().map(|_| pages)
    }

    /// The next page, which is known to be there: a listing that is not whole must not pass for one that is.
    fn next_of(&self, pages: &Receiver<Result<Page>>) -> Result<Page> {
        pages.recv().unwrap_or_else(|_| {
            let shown = format!("list store '{}'", self.store);
            Err(Error::backend(BackendErrorKind::Other, shown, "who fetches it has ended"))
        })
    }

    /// A row as it is listed; `None` if it can be no file.
    fn listed(&mut self, row: &RecordRow) -> Result<Option<Listed>> {
        let key = match Key::new(&row.key) {
            Ok(key) => key,
            Err(error) => {
                log::debug!("a record that can be no file is not shown: {error}");
                return Ok(None);
            }
        };
        let record = (self.store.clone(), key);
        let (shared, modified) = (&self.shared, &mut self.modified);
        let seen = shared.seen_in(&record, row, self.began, &mut || {
            if modified.is_none() {
                *modified = Some(shared.store_changed(&record.0)?);
            }
            Ok(modified.unwrap_or_default())
        })?;
        Ok(Some(Listed {
            attributes: Some(shared.record_attributes(&seen)),
            record_type: Some(seen.record_type(&row.content_type)),
            key: record.1,
        }))
    }
}

impl Iterator for RecordScan {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(row) = self.page.next() {
                if let Some(listed) = self.listed(&row).transpose() {
                    return Some(listed);
                }
            }
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
