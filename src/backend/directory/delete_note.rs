//! The note of a record that is being moved or deleted (P21).

use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::layout;
use super::note::Step;
use super::staging::Session;
use super::tree::{self, StoreDir};
use crate::failpoint;

/// A second link to a record's sidecar, kept while the record is moved or deleted.
#[derive(Debug)]
pub(super) struct DeleteNote {
    session: Arc<Session>,
    name: Vec<u8>,
}

impl DeleteNote {
    /// Links the sidecar of the value file `name`. `None` if it has none.
    pub(super) fn of(
        session: &Arc<Session>,
        dir: &StoreDir,
        name: &[u8],
    ) -> rustix::io::Result<Option<Self>> {
        let object = tree::object_of(&dir.fd, name)?;
        let note = session.note_name(Step::Delete, &object, None, name);
        let sidecar = layout::sidecar_of(name);
        let flags = AtFlags::empty();
        let linked = failpoint::fail("note: link").and_then(|()| {
            rustix::fs::linkat(&dir.fd, &*sidecar, session.directory(), &*note, flags)
        });
        match linked {
            Ok(()) => Ok(Some(Self { session: Arc::clone(session), name: note })),
            // Without links, or with somebody else's file: the steps are as ordered, and not healed.
            Err(
                Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NAMETOOLONG,
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the sidecar back to the value file `name`, which could not be removed.
    pub(super) fn put_back(&self, dir: &StoreDir, name: &[u8]) {
        let (note, sidecar) = (self.name.as_slice(), layout::sidecar_of(name));
        let flags = AtFlags::empty();
        match rustix::fs::linkat(self.session.directory(), note, &dir.fd, &*sidecar, flags) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                let name = String::from_utf8_lossy(name);
                log::error!("'{name}' of store '{}' has lost its sidecar: {error}", dir.name);
            }
        }
    }
}

impl Drop for DeleteNote {
    fn drop(&mut self) {
        let name = self.name.as_slice();
        if let Err(error) = rustix::fs::unlinkat(self.session.directory(), name, AtFlags::empty()) {
            log::debug!("a note stays until the next start: {error}");
        }
    }
}
