//! A store that was taken out of sight and waits in `.storefs` to be removed.
//!
//! One that was removed because it had no records goes only if it still has none. Its name there says so, and which
//! store it is, so that after a crash the next start looks too.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::removal::remove_tree;
use super::staging::{self, Session};
use super::tree::{self, Directory, StoreDir};
use crate::failpoint;
use crate::model::{Error, Result, StoreName};

/// What the name of a store that had no records has between its number and the store's name.
const EMPTY: &str = ".empty.";

/// A store out of sight.
#[derive(Debug)]
pub(super) struct RemovedStore {
    dir: StoreDir,
    /// Where it was.
    stores: Directory,
    /// Where it is, and its name there.
    session: Arc<Session>,
    trash: String,
}

impl RemovedStore {
    /// Takes a store out of sight, to be removed with all that it holds.
    pub(super) fn take(dir: &StoreDir, root: &Directory, session: Arc<Session>) -> Result<Self> {
        let trash = session.next_name();
        Self::take_as(trash, dir, root, session)
    }

    /// Takes a store out of sight, to be removed if it has no records.
    pub(super) fn take_empty(
        dir: &StoreDir,
        root: &Directory,
        session: Arc<Session>,
    ) -> Result<Self> {
        /// Longest name of a file in bytes.
        const NAME_MAX: usize = 255;
        let number = session.next_name();
        let whole = format!("{number}{EMPTY}{}", dir.name);
        // A store of a very long name is not known after a crash.
        let trash = if whole.len() <= NAME_MAX { whole } else { number };
        Self::take_as(trash, dir, root, session)
    }

    fn take_as(
        trash: String,
        dir: &StoreDir,
        root: &Directory,
        session: Arc<Session>,
    ) -> Result<Self> {
        let Some(stores) = tree::open_stores(root)? else {
            return Err(dir.no_store());
        };
        let own = dir.name.as_str().as_bytes();
        // Before the move: once that is done, nothing may fail that would leave the store without an owner.
        let fd = dir.fd.try_clone().map_err(|error| failed(&dir.name, error))?;
        failpoint::fail("drop: move")
            .and_then(|()| {
                let directory = session.directory();
                staging::move_entry(&stores, own, directory, trash.as_bytes(), false)
            })
            .map_err(|error| failed(&dir.name, error))?;
        failpoint::pass("drop: taken out of sight");
        let dir = StoreDir { fd, name: dir.name.clone() };
        Ok(Self { dir, stores, session, trash })
    }

    /// Puts the store back if it has a record. Gives back whether it had one.
    pub(super) fn give_back_if_used(&self) -> Result<bool> {
        let (session, trash) = (self.session.directory(), self.trash.as_bytes());
        give_back_if_used(session, trash, &self.dir, &self.stores)
    }

    /// Removes the store with all that it holds.
    pub(super) fn remove(&self) -> io::Result<()> {
        // Durable first: else a power cut might bring back the store without what is removed here.
        rustix::fs::fsync(&self.stores)?;
        rustix::fs::fsync(self.session.directory())?;
        Ok(remove_tree(self.session.directory(), self.trash.as_bytes())?)
    }

    /// Removes the store unless it has a record by now.
    pub(super) fn remove_if_empty(&self) -> io::Result<()> {
        let is_back = self.give_back_if_used().map_err(io::Error::other)?;
        if is_back { Ok(()) } else { self.remove() }
    }
}

/// The store that a dead process has taken out of sight under this name because it had no records.
pub(super) fn empty_store(trash: &str) -> Option<StoreName> {
    let (number, store) = trash.split_once(EMPTY)?;
    number.parse::<u64>().ok()?;
    StoreName::new(store).ok()
}

/// Puts a store back in its place if it has a record. If there is another store by now, that one gets what it does not
/// have. Gives back whether there was a record.
pub(super) fn give_back_if_used(
    session: &Directory,
    trash: &[u8],
    dir: &StoreDir,
    stores: &Directory,
) -> Result<bool> {
    if !dir.has_records()? {
        return Ok(false);
    }
    log::info!("store '{}' comes back with a record of another process", dir.name);
    give_back(session, trash, dir, stores).map_err(|error| failed(&dir.name, error))?;
    Ok(true)
}

fn give_back(
    session: &Directory,
    trash: &[u8],
    dir: &StoreDir,
    stores: &Directory,
) -> rustix::io::Result<()> {
    let own = dir.name.as_str();
    match staging::move_entry(session, trash, stores, own.as_bytes(), false) {
        Err(Errno::EXIST | Errno::NOTEMPTY) => {}
        moved => return moved,
    }
    let made = tree::open_dir(stores, own)?;
    for entry in tree::entries(&dir.fd)? {
        let (name, _) = entry?;
        match staging::move_entry(&dir.fd, &name, &made, &name, false) {
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    remove_tree(session, trash)
}

fn failed(store: &StoreName, error: Errno) -> Error {
    Error::io(format!("drop store '{store}'"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_empty_store_tells_which_it_is() {
        let store = StoreName::new("a.empty.b").unwrap();
        assert_eq!(empty_store(&format!("7{EMPTY}{store}")), Some(store));
        for other in ["7", "7.publish.42.k", "x.empty.s", "7.empty.", "7.empty.a/b"] {
            assert_eq!(empty_store(other), None, "{other}");
        }
    }
}
