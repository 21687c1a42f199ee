//! A version of a record in the making (P3).

use std::sync::Arc;

use rustix::io::Errno;

use super::kept_box;
use super::records::FileValue;
use super::staging::{self, Session, StagedFile};
use super::state::DirectoryBackend;
use super::volume::Volume;
use crate::backend::{Staged, StagedFor, StagedPlace, Value};
use crate::failpoint;
use crate::model::{AttributeChange, Error, Result, StoreName, TimeChange, Unpublished};

/// What a directory storage knows of a value that is being staged in it.
#[derive(Debug)]
pub(super) struct StagedValue {
    pub(super) backend: DirectoryBackend,
    pub(super) staged: StagedFile,
    /// Whether it is to be published.
    pub(super) has_place: bool,
}

impl DirectoryBackend {
    /// Begins to stage for a store, in a file that `make` makes; without one, what is published nowhere.
    pub(super) fn stage_by(
        &self,
        store: Option<&StoreName>,
        make: impl Fn(&Arc<Session>) -> Result<StagedFile>,
    ) -> Result<Staged> {
        let dir = match store.map(|store| self.unguarded_store_dir(store)) {
            // Who writes into a store that is gone learns of it when that is published.
            None | Some(Err(Error::NoSuchStore { .. })) => None,
            Some(dir) => Some(dir?),
        };
        let session = match &dir {
            Some(dir) => self.known_session(dir)?,
            None => self.any_session()?,
        };
        failpoint::fail("stage: create")
            .map_err(|error| Error::io("make a staging file", error))?;
        let staged = match (make(&session), store) {
            (Err(error), Some(store)) if error.is_not_found() => make(&self.session(store)?)?,
            (staged, _) => staged?,
        };
        if let Some(dir) = &dir {
            staging::inherit_group(staged.file(), &dir.fd)
                .map_err(|error| Error::io("make a staging file", error))?;
        }
        Ok(StagedValue { backend: self.clone(), staged, has_place: store.is_some() }.into())
    }
}

impl From<StagedValue> for Staged {
    fn from(place: StagedValue) -> Self {
        Self::new(Arc::clone(place.staged.file()), None, Box::new(place))
    }
}

impl StagedPlace for StagedValue {
    /// A file that is mounted over a value cannot be replaced. That must be said before anything is written, since not
    /// every program hears what a close says.
    fn admit(&self, value: &dyn Value) -> Result<()> {
        let Some(file) = value.local_file().filter(|_| self.has_place) else { return Ok(()) };
        let of_value =
            Volume::of_file(file).map_err(|error| Error::io("look for a staging file", error))?;
        if self.staged.session().volume().is_one_mount(&of_value) {
            return Ok(());
        }
        let action =
            "replace a record over which a file is mounted; mount the volume at the storage";
        Err(Error::io(action, Errno::BUSY))
    }

    fn written(&self, end: u64) -> rustix::io::Result<()> {
        self.staged.write_out_behind(end)
    }

    fn make_room(&self) -> bool {
        kept_box::make_room(self.staged.session().private())
    }

    fn belongs_to(&mut self, record: Option<&StagedFor<'_>>) -> Result<()> {
        let noted = self.staged.belongs_to(record);
        noted.map_err(|error| Error::io("note whose is a staging file", error))
    }

    fn keep_aside(&mut self) -> Result<Option<Unpublished>> {
        self.backend.keep_aside(&self.staged)
    }
}

impl DirectoryBackend {
    /// A copy of what is staged in another staging directory.
    pub(super) fn copied_to(
        &self,
        staged: &Staged,
        session: &Arc<Session>,
        record: &StagedFor<'_>,
    ) -> Result<Staged> {
        let file = session.create_for(record)?;
        let own = staged.attributes()?;
        // Not yet as what is published: that is on another volume by now.
        let place = StagedValue { backend: self.clone(), staged: file, has_place: false };
        let copy = Staged::from(place);
        let bytes: Arc<dyn Value> = Arc::new(FileValue::new(Arc::clone(staged.file())));
        copy.begin_with(&bytes, own.size)?;
        if staged.is_dated() {
            let modified = Some(TimeChange::At(own.modified));
            copy.set_attributes(&AttributeChange { modified, ..AttributeChange::default() })?;
        }
        Ok(copy)
    }
}
