//! Looks at stores: whether they are there, how they are laid out, and what their metadata says.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::failure::Failure;
use super::known_stores::{KnownStore, LATE};
use super::listing::{ListedObject, Listing, Page};
use super::requests::Object;
use super::shared::{Shared, no_such_store};
use super::tree::Place;
use crate::backend::directory::DialectChoice;
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::backend::document::Document;
use crate::backend::elsewhere::file_time;
use crate::backend::is_input_key;
use crate::model::{Error, Result, StoreName};

/// Longest store metadata that is read, in bytes. Real ones hold a few hundred.
pub(super) const MOST_METADATA: u64 = 1024 * 1024;

/// The version of what has none.
const NO_TAG: &str = "\"\"";

/// At so many other stores it is looked, for one that does not tell its layout.
const OTHERS: usize = 8;

impl Shared {
    /// A store as it was seen of late, or is now.
    pub(super) fn store_of_late(&self, store: &StoreName, within: Duration) -> Result<KnownStore> {
        match self.stores.of_late(store, within) {
            Some(known) => Ok(known),
            None => self.store(store),
        }
    }

    /// A store as it is now.
    pub(super) fn store(&self, store: &StoreName) -> Result<KnownStore> {
        let looked = Instant::now();
        let action = || format!("look at store '{store}'");
        match self.calls.wait(action, self.look_at(store))? {
            Some(known) => Ok(self.stores.note(store, known, looked)),
            None => {
                self.stores.forget(store);
                Err(no_such_store(store))
            }
        }
    }

    /// Where a store is, as it was seen of late.
    pub(super) fn place(&self, store: &StoreName) -> Result<Place> {
        let dialect = self.store_of_late(store, LATE)?.dialect;
        Ok(Place { directory: self.tree.directory(store), dialect })
    }

    /// Where a store would be in a layout.
    pub(super) fn place_in(&self, store: &StoreName, dialect: Dialect) -> Place {
        Place { directory: self.tree.directory(store), dialect }
    }

    /// The metadata's object of a store, if it has one; too large ones are cut.
    pub(super) fn metadata_object(&self, store: &StoreName) -> Result<Option<(Object, Bytes)>> {
        let action = || format!("read the metadata of store '{store}'");
        let (key, deadline) = (self.tree.metadata(store), self.calls.deadline());
        self.calls.wait(action, self.calls.get_small(&key, MOST_METADATA, deadline))
    }

    async fn look_at(&self, store: &StoreName) -> Result<Option<KnownStore>, Failure> {
        let deadline = self.calls.deadline();
        let directory = self.tree.directory(store);
        if store.is_plain() {
            let listing = Listing::of(&directory).at_most(1);
            let is_root = store.components().next().is_none();
            let page = self.calls.list(listing, None, deadline).await?;
            let is_there = is_root || !is_empty(&page, &directory);
            let modified = page.objects.first().map_or(SystemTime::UNIX_EPOCH, |one| one.modified);
            let known = KnownStore { dialect: Dialect::Plain, has_metadata: false, modified };
            return Ok(is_there.then_some(known));
        }
        let key = self.tree.metadata(store);
        if let Some((object, text)) = self.calls.get_small(&key, MOST_METADATA, deadline).await? {
            let said = Document::parse(&text).ok().map(|document| document.metadata().times);
            let modified = said.map_or(object.modified, |times| file_time(times.modified_at));
            let dialect = match self.dialect {
                DialectChoice::Js3 => Dialect::Js3,
                _ => Dialect::Sidecars,
            };
            return Ok(Some(KnownStore { dialect, has_metadata: true, modified }));
        }
        let page = self.calls.list(Listing::of(&directory), None, deadline).await?;
        if is_empty(&page, &directory) {
            self.keeps_names.fetch_or(!page.objects.is_empty(), Ordering::Relaxed);
            return Ok(None);
        }
        let modified = page.objects.iter().map(|object| object.modified).max();
        let modified = modified.unwrap_or(SystemTime::UNIX_EPOCH);
        let dialect = match self.given_dialect().or_else(|| self.shown_dialect(&page, &directory)) {
            Some(dialect) => dialect,
            None => self.dialect_of_others(store, deadline).await?,
        };
        Ok(Some(KnownStore { dialect, has_metadata: false, modified }))
    }

    /// The layout that all stores are said to have.
    pub(super) fn given_dialect(&self) -> Option<Dialect> {
        match self.dialect {
            DialectChoice::Auto => None,
            DialectChoice::Sidecars => Some(Dialect::Sidecars),
            DialectChoice::Js3 => Some(Dialect::Js3),
        }
    }

    /// The layout that the objects of a store without metadata show (P12): JS 3's, if there is a bare file that is no input,
    /// and no sidecar. A sidecar follows its value in a listing, so a page tells as much as all of them.
    fn shown_dialect(&self, page: &Page, directory: &str) -> Option<Dialect> {
        let mut has_bare_file = false;
        for object in &page.objects {
            let name = object.key.strip_prefix(directory).unwrap_or_default().as_bytes();
            if layout::value_of_sidecar(name).is_some() {
                return Some(Dialect::Sidecars);
            }
            if layout::is_value_name(name) && !layout::looks_temporary(name) {
                let key = Dialect::Js3.key(name).ok();
                has_bare_file |= key.is_some_and(|key| !is_input_key(&key, &self.input_key));
            }
        }
        has_bare_file.then_some(Dialect::Js3)
    }

    /// The layout of a store that does not tell, by some others of its storage: JS 3's if all that tell are.
    pub(super) async fn dialect_of_others(
        &self,
        store: &StoreName,
        deadline: tokio::time::Instant,
    ) -> Result<Dialect, Failure> {
        if let Some(given) = self.given_dialect() {
            return Ok(given);
        }
        let (stores, own) = (self.tree.stores(), self.tree.directory(store));
        let page =
            self.calls.list(Listing::of(&stores).at_most(OTHERS + 1), None, deadline).await?;
        let mut is_js3 = false;
        for directory in page.prefixes.iter().filter(|directory| **directory != own).take(OTHERS) {
            let page = self.calls.list(Listing::of(directory), None, deadline).await?;
            let metadata = format!("{directory}{}", layout::METADATA);
            if page.objects.iter().any(|object| object.key == metadata) {
                return Ok(Dialect::Sidecars);
            }
            match self.shown_dialect(&page, directory) {
                Some(Dialect::Js3) => is_js3 = true,
                Some(_) => return Ok(Dialect::Sidecars),
                None => {}
            }
        }
        Ok(if is_js3 { Dialect::Js3 } else { Dialect::Sidecars })
    }

    /// Whether anything lies in a store or plain directory.
    pub(super) async fn is_there(
        &self,
        store: &StoreName,
        deadline: tokio::time::Instant,
    ) -> Result<bool, Failure> {
        let directory = self.tree.directory(store);
        let page = self.calls.list(Listing::of(&directory).at_most(1), None, deadline).await?;
        Ok(!is_empty(&page, &directory))
    }

    /// What is said of a record that is not there: it, or its store.
    pub(super) fn absent(&self, record: &crate::backend::elsewhere::RecordId) -> Error {
        match self.store_of_late(&record.0, LATE) {
            Ok(_) => super::shared::no_such_record(record),
            Err(error) => error,
        }
    }
}

/// Whether a directory of which this is the first page is not there. Some servers have directories of their own, and show one
/// in which nothing is any more as an object without a version.
pub(super) fn is_empty(page: &Page, directory: &str) -> bool {
    page.prefixes.is_empty() && page.objects.iter().all(|object| is_servers(object, directory))
}

/// Whether an object is a directory that the server has by itself.
fn is_servers(object: &ListedObject, directory: &str) -> bool {
    object.key == directory && &*object.tag == NO_TAG
}
