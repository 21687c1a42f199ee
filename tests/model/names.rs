//! What changes names: records and stores that come, go and are renamed.

use std::fs;
use std::io;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::expected::Place;
use crate::run::{KEYS, Run, STORES};

impl Run {
    pub(crate) fn unlink(&mut self, place: &Place) {
        if self.model.is_made_twice(place) {
            return;
        }
        self.note(format!("unlink {place:?}"));
        self.must_be(self.found(place), fs::remove_file(self.path(place)));
        if self.found(place).is_ok() {
            self.model.unlink(place);
        }
        self.check(place);
    }

    pub(crate) fn rename(&mut self, from: &Place) {
        let mut to = self.draw_place();
        if !self.draw.once_in(3) {
            to.0.clone_from(&from.0);
        }
        let exclusive = self.draw.once_in(3);
        if [from, &to].into_iter().any(|place| self.model.is_made_twice(place)) {
            return;
        }
        if exclusive && (self.model.is_apart(&to) || self.may_seem_present(&to)) {
            return;
        }
        if self.model.is_apart(from) && self.model.is_closed_unpublished(from) {
            return;
        }
        self.note(format!("rename {from:?} to {to:?} exclusive: {exclusive}"));
        let flags = if exclusive { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
        let outcome = rustix::fs::renameat_with(CWD, self.path(from), CWD, self.path(&to), flags);
        let expected = match self.found(from) {
            Ok(()) if !self.has_store(&to) => Err(Errno::NOENT),
            Ok(()) if exclusive && self.found(&to).is_ok() => Err(Errno::EXIST),
            found => found,
        };
        self.must_be(expected, outcome.map_err(io::Error::from));
        if expected.is_ok() {
            self.model.rename(from, &to);
        }
        self.check(from);
        self.check(&to);
    }

    pub(crate) fn make_store(&mut self, store: &str) {
        self.note(format!("mkdir {store:?}"));
        let outcome = fs::create_dir(self.mount().store(store));
        let known = self.model.stores.contains_key(store);
        self.must_be(if known { Err(Errno::EXIST) } else { Ok(()) }, outcome);
        self.model.stores.entry(store.to_owned()).or_default();
        self.check_listing(store);
    }

    pub(crate) fn remove_store(&mut self, store: &str) {
        let known = self.model.stores.contains_key(store);
        let records = known.then(|| self.model.shown_keys(store).len());
        let mut places = self.model.sessions.values().filter_map(|session| session.place.as_ref());
        if records == Some(0) && places.any(|place| place.0 == store) {
            return;
        }
        self.note(format!("rmdir {store:?}"));
        let outcome = fs::remove_dir(self.mount().store(store));
        let expected = match records {
            None => Err(Errno::NOENT),
            Some(0) => Ok(()),
            Some(_) => Err(Errno::NOTEMPTY),
        };
        self.must_be(expected, outcome);
        if expected.is_ok() {
            self.model.stores.remove(store);
        }
        self.check_listing(store);
    }

    pub(crate) fn rename_store(&mut self, from: &str) {
        let to = self.draw.one_of(&STORES);
        self.note(format!("rename store {from:?} to {to:?}"));
        let outcome = fs::rename(self.mount().store(from), self.mount().store(to));
        let is_there = |store: &str| self.model.stores.contains_key(store);
        if !is_there(from) {
            self.must_be(Err(Errno::NOENT), outcome);
        } else if from == to {
            self.must_be(Ok(()), outcome);
        } else if is_there(to) {
            let errno = outcome.as_ref().err().and_then(Errno::from_io_error);
            assert!(matches!(errno, Some(Errno::EXIST | Errno::NOTEMPTY)), "{outcome:?}");
        } else {
            self.must_be(Ok(()), outcome);
            self.model.rename_store(from, to);
        }
        self.check_listing(from);
        self.check_listing(to);
        for key in KEYS {
            self.check(&(to.to_owned(), key.to_owned()));
        }
    }

    pub(crate) fn purge(&mut self, store: &str) {
        let order = self.draw.one_of(&["1", "1\n"]);
        self.note(format!("purge {store:?}"));
        let known = self.model.stores.contains_key(store);
        let outcome = fs::write(self.mount().store(store).join("@purge"), order);
        self.must_be(if known { Ok(()) } else { Err(Errno::NOENT) }, outcome);
        if known {
            self.model.purge(store);
        }
        for key in KEYS {
            self.check(&(store.to_owned(), key.to_owned()));
        }
    }
}
