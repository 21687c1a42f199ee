//! Listing the records of a store, page by page.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;
use std::vec;

use super::known_stores::{KnownStore, LATE};
use super::listing::{ListedObject, Listing, Page};
use super::looks::is_empty;
use super::shared::{Shared, no_such_store};
use super::tree::{Place, sidecar_of};
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::backend::elsewhere::Moment;
use crate::backend::{Listed, Scan};
use crate::model::{Error, Result, StoreName};

/// So many pages are fetched ahead at most, beside the one that is asked for.
const PAGES_AHEAD: usize = 2;

/// What a page came to, and when it was asked for.
type Came = Result<(Page, Moment)>;

/// The records of a store, in the order of their objects' keys. What follows the first page is fetched while the page before
/// it is read: who lists and the server work at the same time.
struct ObjectScan {
    shared: Arc<Shared>,
    store: StoreName,
    place: Place,
    page: vec::IntoIter<ListedObject>,
    /// When the page was asked for.
    began: Moment,
    /// The pages that follow; `None` if there are none.
    rest: Option<Receiver<Came>>,
}

/// Begins to list a store or plain directory.
pub(super) fn begin(shared: &Arc<Shared>, store: &StoreName) -> Result<Scan> {
    let known = match shared.stores.of_late(store, LATE) {
        // A plain directory is there if anything is listed, and so is a store.
        None if store.is_plain() => None,
        known => Some(known.map_or_else(|| shared.store(store), Ok)?),
    };
    let place = shared.place_in(store, known.map_or(Dialect::Plain, |known| known.dialect));
    let (looked, began) = (Instant::now(), shared.versions.now());
    let page = shared.calls.wait(
        || format!("list '{store}'"),
        shared.calls.list(Listing::of(&place.directory), None, shared.calls.deadline()),
    )?;
    let is_root = place.directory == shared.tree.prefix();
    if is_empty(&page, &place.directory) && !is_root {
        shared.stores.forget(store);
        return Err(no_such_store(store));
    }
    if let Some(known) = known {
        note(shared, store, &place, &page, known, looked);
    }
    let rest = page.next.clone().map(|next| ahead(shared, store, &place, next));
    let (shared, store, page) = (Arc::clone(shared), store.clone(), page.objects.into_iter());
    Ok(Box::new(ObjectScan { shared, store, place, page, began, rest }))
}

/// A store whose first page is all of it is known by it, as a look would know it.
fn note(
    shared: &Shared,
    store: &StoreName,
    place: &Place,
    page: &Page,
    known: KnownStore,
    looked: Instant,
) {
    if page.next.is_none() {
        let metadata = format!("{}{}", place.directory, layout::METADATA);
        let has_metadata = page.objects.iter().any(|object| object.key == metadata);
        shared.stores.note(store, KnownStore { has_metadata, ..known }, looked);
    }
}

/// Fetches the pages from one on beside the caller, until there is none, one cannot be had, or nobody takes them any more.
fn ahead(shared: &Arc<Shared>, store: &StoreName, place: &Place, first: String) -> Receiver<Came> {
    let (to, pages) = sync_channel(PAGES_AHEAD);
    let (shared, store, place) = (Arc::clone(shared), store.clone(), place.clone());
    let work = move || {
        let mut next = Some(first);
        while let Some(from) = next.take() {
            let began = shared.versions.now();
            let listing = Listing::of(&place.directory);
            let page = shared.calls.wait(
                || format!("list '{store}'"),
                shared.calls.list(listing, Some(&from), shared.calls.deadline()),
            );
            next = page.as_ref().ok().and_then(|page| page.next.clone());
            if to.send(page.map(|page| (page, began))).is_err() {
                return;
            }
        }
    };
    // Without a thread nothing is sent, which is told where the next page is wanted.
    let _ = std::thread::Builder::new().name("storefs-scan".to_owned()).spawn(work);
    pages
}

impl ObjectScan {
    /// Goes on to the next page. Gives back whether there is one.
    fn turn(&mut self) -> Result<bool> {
        let Some(pages) = self.rest.take() else { return Ok(false) };
        let (page, began) = pages.recv().unwrap_or_else(|_| {
            let error = std::io::Error::other("the thread that lists it has ended");
            Err(Error::io(format!("list '{}'", self.store), error))
        })?;
        self.rest = page.next.is_some().then_some(pages);
        self.page = page.objects.into_iter();
        self.began = began;
        Ok(true)
    }

    fn listed(&self, object: &ListedObject) -> Option<Listed> {
        let key = self.place.record(&object.key)?;
        if self.is_temporary(object) {
            return None;
        }
        let record = (self.store.clone(), key);
        let attributes = self.shared.attributes(&record, object, object.modified, self.began);
        Some(Listed { key: record.1, attributes: Some(attributes), record_type: None })
    }
}

impl ObjectScan {
    /// Whether this is what an SDK has left of a write: it is called so, and has no sidecar, which would follow soon. Of the
    /// last of a page that is not known.
    fn is_temporary(&self, object: &ListedObject) -> bool {
        let name = object.key.strip_prefix(&self.place.directory).unwrap_or_default();
        if self.place.dialect == Dialect::Plain || !layout::looks_temporary(name.as_bytes()) {
            return false;
        }
        let (sidecar, rest) = (sidecar_of(&object.key), self.page.as_slice());
        !rest.is_empty() && !rest.iter().any(|other| other.key == sidecar)
    }
}

impl Iterator for ObjectScan {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(object) = self.page.next() {
                if let Some(listed) = self.listed(&object) {
                    return Some(Ok(listed));
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
