//! What is kept of purges, as a whole: which there are, and when each ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::kept_box::{self, Kept, KeptBox};
use super::layout;
use super::places::private_directories;
use super::purge_box::OldRecords;
use super::reaper::Reaper;
use super::root::Root;
use super::state::DirectoryBackend;
use super::tree::{Directory, StoreDir};
use crate::backend::{Keep, KeptPurges, Purge, Purged, Purging};
use crate::model::{Error, KeptPurge, Result, StoreName, Timestamp, Unpurged};

/// So often it is looked whether room gets short, as long as anything is kept.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// When it is looked again at what somebody works on.
const WORKED_ON: Duration = Duration::from_secs(1);

impl KeptPurges for DirectoryBackend {
    fn purge_and_keep(&self, store: &StoreName, purge: &Purge<'_>, keep: &Keep) -> Result<Purging> {
        let purging = self.purge_store(store, purge, Some(keep))?;
        self.look_after_kept();
        Ok(purging)
    }

    fn undo(&self, store: &StoreName, undo: &Purge<'_>) -> Result<Unpurged> {
        self.unpurge_store(store, undo)
    }

    fn list(&self) -> Result<Vec<KeptPurge>> {
        let mut all = Vec::new();
        for private in self.places_of_kept()? {
            let kept = kept_box::list(&private).map_err(look)?;
            all.extend(kept.into_iter().filter(|kept| !kept.is_over()).map(told));
        }
        all.sort_by_key(|kept| kept.at);
        Ok(all)
    }

    fn list_of(&self, store: &StoreName) -> Result<Vec<KeptPurge>> {
        let kept = self.kept_of(&self.unguarded_store_dir(store)?)?;
        Ok(kept.into_iter().map(|(_, kept)| told(kept)).collect())
    }
}

impl DirectoryBackend {
    /// What is kept of a store, the oldest first, each with the `.storefs` that it is in.
    pub(super) fn kept_of(&self, dir: &StoreDir) -> Result<Vec<(Directory, Kept)>> {
        let mut found = Vec::new();
        let mut known_id = None;
        for private in self.places_of_kept()? {
            for kept in kept_box::list(&private).map_err(look)? {
                let id = match &known_id {
                    Some(id) => id,
                    None => known_id.insert(self.id_of(dir)?),
                };
                let is_of_store = match (&kept.keeping.store_id, id) {
                    _ if kept.label.store == dir.name => {
                        id.is_none()
                            || kept.keeping.store_id.is_none()
                            || *id == kept.keeping.store_id
                    }
                    // Renamed since; a copy of a store beside it has its id, too.
                    (Some(one), Some(other)) => {
                        one == other && self.unguarded_store_dir(&kept.label.store).is_err()
                    }
                    _ => false,
                };
                if is_of_store && !kept.is_over() {
                    let private = private.try_clone().map_err(|error| look(error.into()))?;
                    found.push((private, kept));
                }
            }
        }
        found.sort_by_key(|(_, kept)| kept.keeping.at);
        Ok(found)
    }

    /// Where something may be kept that this user may see.
    fn places_of_kept(&self) -> Result<Vec<Directory>> {
        match private_directories(&self.root()) {
            Err(Errno::ACCESS) => Ok(Vec::new()),
            places => {
                let places = places.map_err(|error| look(error.into()))?;
                Ok(places.into_iter().map(|(_, private)| private).collect())
            }
        }
    }

    /// Has what is kept end in its time.
    pub(super) fn look_after_kept(&self) {
        let (root, reaper) = (Arc::clone(&self.shared.root), Arc::clone(&self.shared.reaper));
        self.shared.kept_keeper.wake(move || end_everywhere(&root, &reaper));
    }

    fn id_of(&self, dir: &StoreDir) -> Result<Option<String>> {
        match self.read_metadata(dir) {
            Err(Error::DamagedMetadata { .. }) => Ok(None),
            metadata => Ok(metadata?.id),
        }
    }
}

fn end_everywhere(root: &Root, reaper: &Reaper) -> io::Result<Option<Duration>> {
    let root = root.now();
    let mut next = None;
    for (_, private) in private_directories(&root)? {
        next = next.into_iter().chain(end_kept(&root, reaper, &private)?).min();
    }
    Ok(next)
}

/// Ends what has been kept for long enough, or for whose room there is need; has the reaper remove it, and what dead
/// processes have left, and count what they have not counted. Gives back in what time to look again, if anything is kept.
pub(super) fn end_kept(
    root: &Directory,
    reaper: &Reaper,
    private: &Directory,
) -> io::Result<Option<Duration>> {
    kept_box::leave_room(private)?;
    let mut next: Option<Duration> = None;
    for name in kept_box::names(private)? {
        let Some(kept_box) = KeptBox::take(private, &name, false)? else {
            // Somebody works on it.
            next = Some(next.map_or(WORKED_ON, |next| next.min(WORKED_ON)));
            continue;
        };
        let Some(kept) = kept_box.kept()?.filter(|kept| !kept.is_over()) else {
            log::debug!("what was purged as '{name}' is kept no longer");
            // At once, what may take long in the background.
            kept_box.end()?;
            reaper.give(move || Ok(kept_box.remove()?));
            continue;
        };
        let left = kept.keeping.until.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default().min(LOOK_EVERY);
        next = Some(next.map_or(left, |next| next.min(left)));
        if kept.counted.is_none()
            && let Some(old) = OldRecords::find(kept_box.directory(), private, root)?
        {
            reaper.give(move || {
                old.settle(&mut Purged::default())?;
                drop(kept_box);
                Ok(())
            });
        }
    }
    Ok(next)
}

fn told(kept: Kept) -> KeptPurge {
    let Kept { name, label, keeping, counted } = kept;
    KeptPurge {
        id: name,
        store: label.store,
        at: keeping.at,
        until: keeping.until,
        by: keeping.by,
        counted,
    }
}

fn look(error: io::Error) -> Error {
    Error::io(format!("look into '{}'", layout::PRIVATE), error)
}
