//! Stores whose directories cannot be moved: those of the lower layer of an overlay, as in a container's image
//! (`EXDEV`, without `redirect_dir`). Their files can.
//!
//! What is one step elsewhere takes several here, in an order in which each is bearable: a renamed store appears complete
//! under its new name, and then goes from its old one; one that is removed loses its records, then its metadata, then its
//! name. After a crash in between, both stores are there, or a store with fewer records.

use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::purge_box::number_of;
use super::removal::remove_tree;
use super::staging::{self, Session};
use super::state::DirectoryBackend;
use super::tree::{self, Directory, StoreDir};
use super::{layout, records};
use crate::backend::document::Document;
use crate::model::{AttributeChange, Error, Result, StoreName};

/// So often a directory is emptied that others put something into.
const TRIES: usize = 16;

/// Whether an error says that a directory cannot be moved, and its files may.
pub(super) fn is_unmovable(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if Errno::from_io_error(source) == Some(Errno::XDEV))
}

impl DirectoryBackend {
    /// Gives a store, whose gate and that of `to` are closed, another name.
    pub(super) fn rename_unmovable(
        &self,
        dir: &StoreDir,
        stores: &Directory,
        session: &Arc<Session>,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        let failed = |error: Errno| Error::io(format!("rename store '{}'", dir.name), error);
        let (staged, fd) = session.create_dir().map_err(failed)?;
        let made = StoreDir { fd, name: to.clone() };
        let filled = link_all(&dir.fd, &made.fd).map_err(failed).and_then(|()| {
            let Some(text) = self.usable_metadata_text(dir)? else { return Ok(()) };
            let bytes = match Document::parse(&text.bytes) {
                Ok(mut document) => {
                    document.set_name(metadata_name);
                    document.to_bytes()
                }
                Err(_) => text.bytes,
            };
            self.place_metadata(&made, session, &bytes, Some(text.attributes.mode), true)
        });
        let moved = filled.and_then(|()| {
            let new = to.as_str().as_bytes();
            match staging::move_entry(session.directory(), staged.as_bytes(), stores, new, false) {
                Err(Errno::EXIST | Errno::NOTEMPTY) => {
                    Err(Error::StoreExists { store: to.to_string() })
                }
                moved => moved.map_err(failed),
            }
        });
        if let Err(error) = moved {
            let _ = remove_tree(session.directory(), staged.as_bytes());
            return Err(error);
        }
        take_over_newer(dir, &made)
            // Durable first: else a power cut might bring back neither.
            .and_then(|()| rustix::fs::fsync(&made.fd))
            .and_then(|()| rustix::fs::fsync(stores))
            .and_then(|()| remove_in_place(dir, stores))
            .map_err(failed)
    }

    /// Removes a store whose gate is closed, with all that it holds.
    pub(super) fn drop_unmovable(&self, dir: &StoreDir) -> Result<()> {
        let failed = |error: Errno| Error::io(format!("drop store '{}'", dir.name), error);
        let Some(stores) = tree::open_stores(&self.root())? else { return Err(dir.no_store()) };
        remove_in_place(dir, &stores).map_err(failed)
    }

    /// The same if it has no records; if others put one into it meanwhile, it is as before. Gives back whether it is gone.
    pub(super) fn drop_unmovable_if_empty(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
    ) -> Result<bool> {
        let failed = |error: Errno| Error::io(format!("drop store '{}'", dir.name), error);
        let Some(stores) = tree::open_stores(&self.root())? else { return Err(dir.no_store()) };
        let text = self.usable_metadata_text(dir)?;
        for entry in tree::entries(&dir.fd).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            let is_record = tree::kind(&dir.fd, &name, listed) == FileType::RegularFile
                && records::is_record(dir, &name)?;
            if !is_record && name != layout::METADATA.as_bytes() {
                remove_entry(&dir.fd, &name, listed).map_err(failed)?;
            }
        }
        match remove_name(dir, &stores) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY) => {
                if let Some(text) = text {
                    let mode = Some(text.attributes.mode);
                    self.place_metadata(dir, session, &text.bytes, mode, false)?;
                }
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Makes a directory hold what another does, but for metadata: its files by second links.
fn link_all(from: &Directory, to: &Directory) -> rustix::io::Result<()> {
    let old = rustix::fs::fstat(from)?;
    let owned = AttributeChange {
        mode: Some(old.st_mode),
        uid: Some(old.st_uid),
        gid: Some(old.st_gid),
        ..AttributeChange::default()
    };
    staging::change_attributes(to, &owned)?;
    for entry in tree::entries(from)? {
        let (name, listed) = entry?;
        if tree::kind(from, &name, listed) == FileType::Directory {
            let mode = rustix::fs::Mode::from_raw_mode(0o700);
            rustix::fs::mkdirat(to, name.as_slice(), mode)?;
            link_all(&tree::open_dir(from, &name)?, &tree::open_dir(to, &name)?)?;
        } else if name != layout::METADATA.as_bytes() {
            rustix::fs::linkat(from, name.as_slice(), to, name.as_slice(), AtFlags::empty())?;
        }
    }
    Ok(())
}

/// Moves what others have put into the old directory since it was looked through.
fn take_over_newer(old: &StoreDir, new: &StoreDir) -> rustix::io::Result<()> {
    for entry in tree::entries(&old.fd)? {
        let (name, listed) = entry?;
        let is_file = tree::kind(&old.fd, &name, listed) == FileType::RegularFile;
        if is_file
            && name != layout::METADATA.as_bytes()
            && number_of(&old.fd, &name)? != number_of(&new.fd, &name)?
        {
            staging::move_entry(&old.fd, &name, &new.fd, &name, true)?;
        }
    }
    Ok(())
}

/// Empties a directory where it is, and then removes its name.
fn remove_in_place(dir: &StoreDir, stores: &Directory) -> rustix::io::Result<()> {
    for _ in 0..TRIES {
        for entry in tree::entries(&dir.fd)? {
            let (name, listed) = entry?;
            if name != layout::METADATA.as_bytes() {
                remove_entry(&dir.fd, &name, listed)?;
            }
        }
        match remove_name(dir, stores) {
            Err(Errno::NOTEMPTY) => {}
            removed => return removed,
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Removes a store's metadata and its directory, which is empty else.
fn remove_name(dir: &StoreDir, stores: &Directory) -> rustix::io::Result<()> {
    remove_entry(&dir.fd, layout::METADATA.as_bytes(), FileType::RegularFile)?;
    match rustix::fs::unlinkat(stores, dir.name.as_str(), AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::EXIST) => Err(Errno::NOTEMPTY),
        removed => removed,
    }
}

fn remove_entry(directory: &Directory, name: &[u8], listed: FileType) -> rustix::io::Result<()> {
    let removed = if tree::kind(directory, name, listed) == FileType::Directory {
        remove_tree(directory, name)
    } else {
        rustix::fs::unlinkat(directory, name, AtFlags::empty())
    };
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}
