//! Listing the records of a store, page by page.

use std::sync::Arc;
use std::vec;

use super::database::RecordRow;
use super::shared::Shared;
use super::versions::Moment;
use crate::backend::Listed;
use crate::model::{Key, Result, StoreName, Timestamp};

/// So many records are asked for at once.
const PAGE: usize = 1000;

/// The records of a store, in the database's own order.
pub(super) struct RecordScan {
    shared: Arc<Shared>,
    store: StoreName,
    page: vec::IntoIter<RecordRow>,
    /// The last key of the page; `None` if there is no page behind it.
    last: Option<String>,
    /// When the page was asked for.
    began: Moment,
    /// When the store was changed last, looked at once for each page that has anything new.
    modified: Option<Timestamp>,
}

impl RecordScan {
    /// Asks for the first page.
    pub(super) fn begin(shared: &Arc<Shared>, store: &StoreName) -> Result<Self> {
        let (shared, store) = (Arc::clone(shared), store.clone());
        let (page, began) = (Vec::new().into_iter(), shared.versions.now());
        let mut scan = Self { shared, store, page, last: None, began, modified: None };
        scan.turn(None)?;
        Ok(scan)
    }

    fn turn(&mut self, after: Option<&str>) -> Result<()> {
        self.began = self.shared.versions.now();
        let page = self.shared.database.page(self.store.as_str(), after, PAGE)?;
        let page = page.ok_or_else(|| self.shared.no_such_store(&self.store))?;
        let is_full = page.len() >= PAGE;
        self.last = page.last().filter(|_| is_full).map(|row| row.key.clone());
        self.page = page.into_iter();
        self.modified = None;
        Ok(())
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
            let last = self.last.take()?;
            if let Err(error) = self.turn(Some(&last)) {
                return Some(Err(error));
            }
        }
    }
}
