//! Plain directories: what a storage holds besides key-value stores, as it is on disk.

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::state::DirectoryBackend;
use super::tree::{self, Directory, StoreDir};
use super::{layout, staging};
use crate::model::{Error, Result, StoreName};

impl DirectoryBackend {
    /// Opens a plain directory, one component after the other. Our own directory is none.
    pub(super) fn plain_dir(&self, name: &StoreName) -> Result<StoreDir> {
        let failed = |error: Errno| failed("open", name, error);
        if layout::is_private(name) {
            return Err(failed(Errno::NOENT));
        }
        let mut fd = self.root().try_clone().map_err(failed)?;
        for component in name.components() {
            fd = tree::open_dir(&fd, component).map_err(failed)?;
        }
        Ok(StoreDir { fd, name: name.clone() })
    }

    pub(super) fn directory_names(&self, dir: &StoreDir) -> Result<Vec<String>> {
        let failed = |error: Errno| failed("list", &dir.name, error);
        let may_hold_ours = dir.name.components().count() < 2;
        let mut names = Vec::new();
        for entry in tree::entries(&dir.fd).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            let is_shown = !may_hold_ours || name != layout::PRIVATE.as_bytes();
            if !is_shown || tree::kind(&dir.fd, &name, listed) != FileType::Directory {
                continue;
            }
            match String::from_utf8(name) {
                Ok(name) => names.push(name),
                Err(error) => log::warn!(
                    "the directory '{}' in '{}' is passed over: its name is not UTF-8",
                    String::from_utf8_lossy(error.as_bytes()),
                    dir.name
                ),
            }
        }
        Ok(names)
    }

    pub(super) fn create_directory(&self, name: &StoreName) -> Result<()> {
        let (parent, own) = self.place_of(name)?;
        rustix::fs::mkdirat(&parent.fd, own, Mode::from_raw_mode(0o777))
            .map_err(|error| failed("make", name, error))
    }

    pub(super) fn remove_directory(&self, name: &StoreName) -> Result<()> {
        let (parent, own) = self.place_of(name)?;
        rustix::fs::unlinkat(&parent.fd, own, AtFlags::REMOVEDIR)
            .map_err(|error| failed("remove", name, error))?;
        self.shared.unsynced.forget_store(name);
        Ok(())
    }

    pub(super) fn rename_directory(
        &self,
        from: &StoreName,
        to: &StoreName,
        replace: bool,
    ) -> Result<()> {
        let (parent, own) = self.place_of(from)?;
        let (new_parent, new) = self.place_of(to)?;
        staging::move_entry(&parent.fd, own.as_bytes(), &new_parent.fd, new.as_bytes(), replace)
            .map_err(|error| match error {
                Errno::EXIST => Error::StoreExists { store: to.to_string() },
                error => failed("rename", from, error),
            })?;
        self.shared.unsynced.forget_store(from);
        Ok(())
    }

    /// The directories in which a store or plain directory lies, from the inmost to the storage's own.
    pub(super) fn ancestors(&self, name: &StoreName) -> Result<Vec<Directory>> {
        let failed = |error: Errno| failed("open what holds", name, error);
        let mut path: Vec<&str> = name.components().collect();
        if !name.is_plain() {
            path = vec![layout::STORES, name.as_str()];
        }
        let mut ancestors = vec![self.root().try_clone().map_err(failed)?];
        for component in path.iter().take(path.len().saturating_sub(1)) {
            if let Some(parent) = ancestors.last() {
                ancestors.push(tree::open_dir(parent, component).map_err(failed)?);
            }
        }
        ancestors.reverse();
        Ok(ancestors)
    }

    /// The directory in which a plain directory is or will be, and its name there.
    fn place_of<'a>(&self, name: &'a StoreName) -> Result<(StoreDir, &'a str)> {
        self.refuse_if_read_only()?;
        let path: Vec<&str> = name.components().collect();
        let Some((own, ancestors)) = path.split_last() else {
            return Err(failed("change", name, Errno::PERM));
        };
        let is_private = layout::is_private(name);
        let parent = ancestors.iter().try_fold(StoreName::plain_root(), |dir, own| dir.child(own));
        if is_private {
            Err(failed("change", name, Errno::PERM))
        } else {
            Ok((self.plain_dir(&parent?)?, own))
        }
    }
}

fn failed(action: &str, name: &StoreName, error: Errno) -> Error {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
            Error::NoSuchStore { store: name.to_string() }
        }
        Errno::EXIST => Error::StoreExists { store: name.to_string() },
        error => Error::io(format!("{action} directory '{name}'"), error),
    }
}
