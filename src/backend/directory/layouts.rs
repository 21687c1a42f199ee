//! What is known of a store's layout and cannot be read off its directory again.

use std::collections::HashMap;

use super::dialect::Dialect;
use super::tree::Identity;
use crate::model::StoreName;
use crate::ranks::{Mutex, Table};

/// So many stores are kept without looking whether they are all still there.
const LEAST_LIMIT: usize = 1024;

/// The stores of which something is known: those of Crawlee JS 3, and those without metadata. Of most stores nothing
/// is, since their directories tell.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    known: Mutex<Table, Known>,
}

#[derive(Debug)]
struct Known {
    by_name: HashMap<StoreName, Layout>,
    /// With so many stores, those that are gone are forgotten.
    limit: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { by_name: HashMap::new(), limit: LEAST_LIMIT }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    /// A directory and the layout that it had when that could be seen.
    seen: Option<(Identity, Dialect)>,
    /// Whether the store was JS 3's when it was seen last. JS 3 purges a store by putting a new directory in its
    /// place, which holds nothing to recognise it by.
    is_js3: bool,
    /// The directory that had no metadata already when this process put a record into it.
    lacks_metadata: Option<Identity>,
}

impl Layouts {
    /// The layout that this directory of a store once showed.
    pub(super) fn seen(&self, store: &StoreName, directory: &Identity) -> Option<Dialect> {
        let seen = self.known.lock().by_name.get(store)?.seen?;
        (seen.0 == *directory).then_some(seen.1)
    }

    /// Keeps the layout of a directory, which may show it no more later on.
    pub(super) fn keep(&self, store: &StoreName, directory: Identity, dialect: Dialect) {
        self.change(store, |layout| layout.seen = Some((directory, dialect)));
    }

    /// The layout of a store whose directory shows this one, `None` if it holds nothing that tells. Then it is JS 3's if
    /// it was when it was seen last; else nothing is known of it.
    pub(super) fn decide(&self, store: &StoreName, shown: Option<Dialect>) -> Option<Dialect> {
        match shown {
            Some(Dialect::Js3) => {
                self.change(store, |layout| layout.is_js3 = true);
                shown
            }
            Some(_) => {
                // Most stores have no entry, and get none for this.
                if let Some(layout) = self.known.lock().by_name.get_mut(store) {
                    layout.is_js3 = false;
                }
                shown
            }
            None => {
                let is_js3 = self.known.lock().by_name.get(store).is_some_and(|known| known.is_js3);
                is_js3.then_some(Dialect::Js3)
            }
        }
    }

    /// Notes whether a store into which a record is put has its metadata; `Some` tells the directory that has none.
    pub(super) fn note_metadata(&self, store: &StoreName, lacking: Option<Identity>) {
        match lacking {
            Some(_) => self.change(store, |layout| layout.lacks_metadata = lacking),
            None => {
                if let Some(layout) = self.known.lock().by_name.get_mut(store) {
                    layout.lacks_metadata = None;
                }
            }
        }
    }

    /// Whether this directory had no metadata already when this process put a record into it last.
    pub(super) fn lacks_metadata(&self, store: &StoreName, directory: &Identity) -> bool {
        let known = self.known.lock();
        known.by_name.get(store).is_some_and(|layout| layout.lacks_metadata == Some(*directory))
    }

    /// A store's directory has got another name.
    pub(super) fn rename(&self, from: &StoreName, to: &StoreName) {
        let mut known = self.known.lock();
        match known.by_name.remove(from) {
            Some(layout) => known.by_name.insert(to.clone(), layout),
            None => known.by_name.remove(to),
        };
    }

    /// A store is no more.
    pub(super) fn forget(&self, store: &StoreName) {
        self.known.lock().by_name.remove(store);
    }

    /// All stores of the table, if they are so many that it is time to look which of them are gone.
    pub(super) fn if_many(&self) -> Option<Vec<StoreName>> {
        let known = self.known.lock();
        (known.by_name.len() >= known.limit).then(|| known.by_name.keys().cloned().collect())
    }

    /// Forgets stores that are gone. The table has room again for as many as are left.
    pub(super) fn forget_all(&self, gone: &[StoreName]) {
        let mut known = self.known.lock();
        for store in gone {
            known.by_name.remove(store);
        }
        known.limit = (2 * known.by_name.len()).max(LEAST_LIMIT);
    }

    fn change(&self, store: &StoreName, change: impl FnOnce(&mut Layout)) {
        let mut known = self.known.lock();
        match known.by_name.get_mut(store) {
            Some(layout) => change(layout),
            None => change(known.by_name.entry(store.clone()).or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = (0, 0, 1, 0);
    const THERE: Identity = (0, 0, 2, 0);

    fn store(name: &str) -> StoreName {
        StoreName::new(name).unwrap()
    }

    #[test]
    fn a_layout_moves_with_its_store_and_goes_with_it() {
        let (layouts, old, new) = (Layouts::default(), store("old"), store("new"));
        layouts.keep(&old, HERE, Dialect::Js3);
        assert_eq!(layouts.decide(&old, Some(Dialect::Js3)), Some(Dialect::Js3));
        layouts.rename(&old, &new);
        assert_eq!(layouts.decide(&old, None), None);
        assert_eq!(layouts.decide(&new, None), Some(Dialect::Js3));
        assert_eq!(layouts.seen(&new, &HERE), Some(Dialect::Js3));
        assert_eq!(layouts.seen(&new, &THERE), None, "another directory of this name");
        layouts.forget(&new);
        assert_eq!(layouts.decide(&new, None), None);
    }

    #[test]
    fn p17_metadata_is_lacking_in_one_directory_until_it_is_seen() {
        let (layouts, s) = (Layouts::default(), store("s"));
        layouts.note_metadata(&s, Some(HERE));
        assert!(layouts.lacks_metadata(&s, &HERE) && !layouts.lacks_metadata(&s, &THERE));
        layouts.note_metadata(&s, None);
        assert!(!layouts.lacks_metadata(&s, &HERE));
    }

    #[test]
    fn the_table_is_bounded_by_the_stores_that_are_there() {
        let layouts = Layouts::default();
        let mut most = 0;
        for number in 0..20 * LEAST_LIMIT {
            layouts.decide(&store(&number.to_string()), Some(Dialect::Js3));
            let gone = layouts.if_many().unwrap_or_default();
            // One in a hundred is still there.
            let gone: Vec<_> =
                gone.into_iter().filter(|store| !store.as_str().ends_with("00")).collect();
            if !gone.is_empty() {
                layouts.forget_all(&gone);
            }
            most = most.max(layouts.known.lock().by_name.len());
        }
        assert!(most <= LEAST_LIMIT, "{most}");
        assert_eq!(layouts.decide(&store("100"), None), Some(Dialect::Js3));
    }
}
