//! Names, as they are taken for a listing.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::engine::Scan;
use crate::fs::error::FsResult;
use crate::fs::name;
use crate::fs::trust::Moment;
use crate::model::{Attributes, Key};

/// Names, end to end in one buffer: a store of a million records is listed from here in its bytes plus eight
/// for each. First come directories, then files that are no records, then records by their keys. A cookie is the
/// number of names before the place where the listing goes on.
#[derive(Default)]
pub(in crate::fs) struct Names {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<usize>,
    /// So many of the first names are directories.
    directories: usize,
    /// So many of the first names stand for no record.
    others: usize,
    /// Whether the directory is a plain one.
    pub(in crate::fs) is_plain: bool,
    /// Where further records come from.
    rest: Option<Scan>,
    /// Records that are listed already, since they were new when the listing began.
    listed_before: HashSet<Key>,
    /// The attributes of those names taken last of which the storage's listing has told any, in ascending order.
    told: Vec<(usize, Attributes)>,
    /// When they were taken.
    taken_at: Moment,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("taken", &self.ends.len()).finish_non_exhaustive()
    }
}

/// So many names are taken first: the first that are listed must not wait for a medium that seeks.
const FIRST_PORTION: usize = 1024;

/// So many names are taken at a time at most, each portion being twice the one before.
const LARGEST_PORTION: usize = 32 * 1024;

/// So many if attributes come with them, which take more room, and age.
const LARGEST_TOLD_PORTION: usize = 4 * 1024;

/// What every directory begins with.
pub(in crate::fs) const DOTS: [&[u8]; 2] = [b".", b".."];

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    /// Adds a directory, before anything else is added.
    pub(in crate::fs) fn push_directory(&mut self, name: &[u8]) {
        self.push_other(name);
        self.directories = self.ends.len();
    }

    /// Adds what is no record, before any record is added.
    pub(in crate::fs) fn push_other(&mut self, name: &[u8]) {
        self.push(name);
        self.others = self.ends.len();
    }

    /// Adds records that are in no scan yet, before any other record is added; and where the others come from.
    pub(in crate::fs) fn begin_records(&mut self, is_plain: bool, new: Vec<Key>, rest: Scan) {
        self.is_plain = is_plain;
        for key in &new {
            self.push(key.as_bytes());
        }
        self.listed_before = new.into_iter().collect();
        self.rest = Some(rest);
    }

    /// How many names were taken.
    pub(in crate::fs) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Takes further records. `now` is the present moment. Gives back whether there are any, listed now or later.
    pub(in crate::fs) fn take_more(&mut self, now: Moment) -> FsResult<bool> {
        let Some(rest) = &mut self.rest else { return Ok(false) };
        self.told.clear();
        self.taken_at = now;
        let before = self.ends.len();
        let portion = before.clamp(FIRST_PORTION, LARGEST_PORTION);
        let mut taken = 0;
        let mut is_over = false;
        while taken < portion && (self.told.is_empty() || taken < LARGEST_TOLD_PORTION) {
            let Some(listed) = rest.next().transpose()? else {
                is_over = true;
                break;
            };
            taken += 1;
            if self.listed_before.is_empty() || !self.listed_before.contains(&listed.key) {
                if let Some(attributes) = listed.attributes {
                    self.told.push((self.ends.len(), attributes));
                }
                self.bytes.extend_from_slice(listed.key.as_bytes());
                self.ends.push(self.bytes.len());
            }
        }
        if is_over {
            self.rest = None;
        }
        Ok(self.ends.len() > before || self.rest.is_some())
    }

    /// The attributes that a record had when it was listed, and since when they may be outdated; as long as they are
    /// known.
    pub(in crate::fs) fn told(&self, at: usize) -> Option<(Attributes, Moment)> {
        let found = self.told.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        self.told.get(found).map(|(_, attributes)| (*attributes, self.taken_at))
    }

    /// The bytes of a name, those of its key if it is a record's; of nothing if there are not so many names.
    pub(in crate::fs) fn get(&self, at: usize) -> &[u8] {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or_default();
        let begin = at.checked_sub(1).map_or(0, end);
        self.bytes.get(begin..end(at)).unwrap_or_default()
    }

    pub(in crate::fs) fn is_record(&self, at: usize) -> bool {
        at >= self.others
    }

    /// A name as it is shown.
    pub(in crate::fs) fn shown(&self, at: usize) -> Cow<'_, [u8]> {
        match self.is_record(at) {
            true => name::shown_in(self.is_plain, self.get(at)),
            false => Cow::Borrowed(self.get(at)),
        }
    }

    /// Whether a name is that of a directory.
    pub(in crate::fs) fn is_directory(&self, at: usize) -> bool {
        at < self.directories
    }
}
