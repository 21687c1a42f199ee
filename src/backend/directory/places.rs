//! Where what is staged waits to be moved into a directory: in a `.storefs` on the volume of that directory.
//!
//! That is the storage's own, or, where a volume is mounted at `key_value_stores` or beside it, the one in there: an SDK
//! takes it for no store, since it has no metadata. A store's directory never holds one (P9). So a store that is a volume
//! by itself has no place, and is not written into: that is said at each open for writing, before a byte is taken.

use std::sync::Arc;

use rustix::fs::{Access, AtFlags, FileType};
use rustix::io::Errno;

use super::layout;
use super::staging::Session;
use super::state::DirectoryBackend;
use super::store_gates::StoreGates;
use super::tree::{self, Directory, StoreDir};
use super::volume::Volume;
use crate::model::{Error, Result, StoreName};

impl DirectoryBackend {
    /// The staging directory of this process for a store or plain directory. Whoever makes it heals first what others
    /// have left; that passes gates, so a session is taken before any gate is passed or closed.
    pub(super) fn session(&self, store: &StoreName) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        let dir = self.unguarded_store_dir(store)?;
        self.session_at(&dir.fd, top_of(store), &format!("store '{store}'"))
    }

    /// The staging directory for making, moving and removing stores.
    pub(super) fn session_of_stores(&self) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        let root = self.root();
        let stores = tree::open_stores(&root)?;
        self.session_at(stores.as_ref().unwrap_or(&root), Some(layout::STORES), layout::STORES)
    }

    /// A session for this directory of a store as it was used last, whose own directory may be gone: whoever cannot make a
    /// file in it takes [`session`](Self::session).
    pub(super) fn known_session(&self, dir: &StoreDir) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        let volume = Volume::of(&dir.fd).map_err(not_looked_at)?;
        self.shared.staging.known(&volume).map_or_else(|| self.session(&dir.name), Ok)
    }

    /// A staging directory for what has no place any more and is published nowhere.
    pub(super) fn any_session(&self) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        match self.shared.staging.find(Session::is_linked) {
            Some(session) => Ok(session),
            None => self.session_at(&self.root(), Some(layout::STORES), "the storage"),
        }
    }

    /// Another staging directory than `refused`, from which the system would move nothing into a store.
    pub(super) fn other_session(
        &self,
        store: &StoreName,
        refused: &Session,
    ) -> Result<Option<Arc<Session>>> {
        let dir = self.unguarded_store_dir(store)?;
        let volume = Volume::of(&dir.fd).map_err(not_looked_at)?;
        let root = self.root();
        for (place, candidate) in candidates(&root, top_of(store))? {
            let reaches = |candidate: &Directory| {
                Volume::of(candidate).is_ok_and(|candidate| candidate.reaches(&volume))
            };
            if !reaches(&candidate) || refused.is_in(&candidate) {
                continue;
            }
            let made = Session::make(&candidate).map_err(|error| not_staged(&place, error))?;
            return Ok(Some(self.shared.staging.keep(Arc::new(made)).0));
        }
        Ok(None)
    }

    /// The staging directory for what is to be moved into `dir`, which `what` names for people.
    fn session_at(&self, dir: &Directory, top: Option<&str>, what: &str) -> Result<Arc<Session>> {
        StoreGates::must_be_free();
        let volume = Volume::of(dir).map_err(not_looked_at)?;
        if let Some(session) = self.shared.staging.known(&volume).filter(|known| known.is_linked())
        {
            return Ok(session);
        }
        let root = self.root();
        let mut refusal = None;
        for (place, candidate) in candidates(&root, top)? {
            if !Volume::of(&candidate).is_ok_and(|candidate| candidate.reaches(&volume)) {
                continue;
            }
            let made = match Session::make(&candidate) {
                Ok(made) if made.volume().reaches(&volume) => made,
                // Something is mounted at the place itself.
                Ok(_) => continue,
                Err(error) => {
                    let may_not = Errno::from_io_error(&error).is_some_and(|error| {
                        matches!(error, Errno::ACCESS | Errno::PERM | Errno::ROFS)
                    });
                    let error = not_staged(&place, error);
                    if !may_not {
                        return Err(error);
                    }
                    refusal.get_or_insert(error);
                    continue;
                }
            };
            let (session, is_new) = self.shared.staging.keep(Arc::new(made));
            if is_new && let Err(error) = self.heal_in(session.private()) {
                log::warn!("what a dead process left is not healed: {error}");
            }
            return Ok(session);
        }
        Err(refusal.unwrap_or_else(|| {
            Error::io(format!("write to {what} on a volume {ALONE}"), Errno::ROFS)
        }))
    }

    /// Which stores cannot be written, and why, each in a line.
    pub(super) fn unwritable(&self) -> Result<Vec<String>> {
        let places = candidates(&self.root(), Some(layout::STORES))?;
        let places: Vec<(Option<Volume>, Option<String>)> = places
            .iter()
            .map(|(place, parent)| (Volume::of(parent).ok(), refusal_of(place, parent)))
            .collect();
        let reason = |store: &StoreName| {
            let volume = Volume::of(&self.unguarded_store_dir(store).ok()?.fd).ok()?;
            let reaches =
                |place: &Option<Volume>| place.is_some_and(|place| place.reaches(&volume));
            let mut reaching = places.iter().filter(|(place, _)| reaches(place)).peekable();
            match reaching.peek() {
                None => Some(format!("it is on a volume {ALONE}")),
                Some((_, first)) => first.clone().filter(|_| reaching.all(|(_, no)| no.is_some())),
            }
        };
        let line = |store: StoreName| {
            reason(&store).map(|reason| format!("store '{store}' can only be read: {reason}"))
        };
        Ok(self.stores()?.into_iter().filter_map(line).collect())
    }
}

/// What is wrong with a volume that has no place for us.
const ALONE: &str =
    "that is mounted at the store itself; mount it at 'key_value_stores' or at the storage";

/// The first component of the path that leads from the storage to a store or plain directory.
fn top_of(store: &StoreName) -> Option<&str> {
    if store.is_plain() { store.components().next() } else { Some(layout::STORES) }
}

/// The directories in which there may be a `.storefs`, with their names for people, the better one first.
fn candidates(root: &Directory, top: Option<&str>) -> Result<Vec<(String, Directory)>> {
    let mut candidates =
        vec![(layout::PRIVATE.to_owned(), root.try_clone().map_err(not_looked_at)?)];
    if let Some(top) = top
        && let Ok(directory) = tree::open_dir(root, top)
    {
        candidates.push((place_in(top), directory));
    }
    Ok(candidates)
}

/// Why this user can stage nothing in a directory's `.storefs`; `None` if it can.
fn refusal_of(place: &str, parent: &Directory) -> Option<String> {
    let access = |name| {
        let needed = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(parent, name, needed, AtFlags::EACCESS)
    };
    let made = match access(layout::PRIVATE) {
        Err(Errno::NOENT) => access("."),
        found => found,
    };
    let error = std::io::Error::from(made.err()?);
    Some(format!(
        "nothing can be staged in '{place}' ({error}); its owner can let others in with 'mkdir -m 1777'"
    ))
}

/// Every `.storefs` of a storage that is there, with its path from the storage.
///
/// # Errors
/// The system's answer where the storage's own cannot be opened.
pub(super) fn private_directories(
    root: &Directory,
) -> rustix::io::Result<Vec<(String, Directory)>> {
    let mut found = Vec::new();
    match tree::open_dir(root, layout::PRIVATE) {
        Err(Errno::NOENT) => {}
        private => found.push((layout::PRIVATE.to_owned(), private?)),
    }
    for entry in tree::entries(root)? {
        let (name, listed) = entry?;
        let Ok(top) = String::from_utf8(name) else { continue };
        if top == layout::PRIVATE || tree::kind(root, top.as_bytes(), listed) != FileType::Directory
        {
            continue;
        }
        let opened =
            tree::open_dir(root, &top).and_then(|top| tree::open_dir(&top, layout::PRIVATE));
        if let Ok(private) = opened {
            found.push((place_in(&top), private));
        }
    }
    Ok(found)
}

fn place_in(top: &str) -> String {
    format!("{top}/{}", layout::PRIVATE)
}

fn not_staged(place: &str, error: std::io::Error) -> Error {
    Error::io(format!("stage in '{place}'"), error)
}

fn not_looked_at(error: Errno) -> Error {
    Error::io("look at where things are staged", error)
}
