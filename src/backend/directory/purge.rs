//! Purging a store: a fresh directory that holds only what is spared takes the store's place in one step.
//!
//! What is spared is linked into the fresh directory, the two directories are exchanged, and the old one, with
//! all records, is removed in the background. An observer sees the store before or after; so does whoever looks
//! after a crash, since the old records are then out of the store's sight and the next start removes them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;

use super::staging::{PurgeBox, Session};
use super::tree::{self, StoreDir};
use super::{DirectoryBackend, layout, staging};
use crate::backend::document::Document;
use crate::backend::{Purge, Purged, is_input_key};
use crate::failpoint;
use crate::model::{AttributeChange, Error, Key, Result, StoreName};

/// What a look through a store found.
#[derive(Debug, Default)]
struct Contents {
    /// Plain files, and links to such: what the Apify SDK's purge removes (FORMAT 7.1).
    doomed: Vec<Vec<u8>>,
    /// Input files and their sidecars.
    spared: Vec<Vec<u8>>,
    /// The keys of the input files.
    spared_keys: Vec<Key>,
}

impl DirectoryBackend {
    /// Purges a store, with every publish of this process held off.
    pub(super) fn purge(&self, name: &StoreName, purge: &Purge<'_>) -> Result<Purged> {
        self.refuse_if_read_only()?;
        // Before the gate is closed: making the session heals, and that passes gates.
        let session = self.session()?;
        let _closed = self.shared.store_gates.close(name);
        let dir = self.unguarded_store_dir(name)?;
        let contents = self.look_through(&dir, purge.input_key)?;
        match self.purge_by_exchange(&dir, &session, purge, &contents) {
            Err(Error::Io { source, .. }) if cannot_exchange(&source) => {
                log::info!("store '{name}' is purged file by file: {source}");
                self.purge_file_by_file(&dir, purge, &contents)?;
            }
            purged => purged?,
        }
        let records = contents.doomed.iter().filter(|n| layout::value_of_sidecar(n).is_none());
        Ok(Purged { removed: records.count() as u64, spared: contents.spared_keys })
    }

    fn look_through(&self, dir: &StoreDir, input_key: &str) -> Result<Contents> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let dialect = self.dialect(dir)?;
        let mut contents = Contents::default();
        for entry in tree::entries(&dir.fd).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            if name == layout::METADATA.as_bytes()
                || !tree::is_file_to_the_sdk(&dir.fd, &name, listed)
            {
                continue;
            }
            let key = dialect.key(&name)?;
            if is_input_key(&key, input_key)
                && self.is_record(dir, &name)?
                && tree::kind(&dir.fd, &name, listed) == FileType::RegularFile
            {
                contents.spared.push(name);
                contents.spared_keys.push(key);
            } else {
                contents.doomed.push(name);
            }
        }
        // Without any input, the SDK spares the name that it would have, and so the sidecar of it.
        let mut owners = contents.spared.clone();
        if owners.is_empty() {
            owners.push(input_key.as_bytes().to_vec());
        }
        let is_spared = |name: &mut Vec<u8>| {
            layout::value_of_sidecar(name)
                .is_some_and(|value| owners.iter().any(|owner| owner == value))
        };
        contents.spared.extend(contents.doomed.extract_if(.., is_spared));
        Ok(contents)
    }

    fn purge_by_exchange(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        purge: &Purge<'_>,
        contents: &Contents,
    ) -> Result<()> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let purge_box = session.purge_box(&dir.name).map_err(failed)?;
        let done = self.fill_fresh(dir, &purge_box, purge, contents).and_then(|linked| {
            let Some(stores) = tree::open_stores(&self.shared.root)? else {
                return Err(dir.no_store());
            };
            let name = dir.name.as_str();
            failpoint::pass("purge: fresh directory filled");
            rustix::fs::renameat_with(
                &purge_box.directory,
                PurgeBox::RECORDS,
                &stores,
                name,
                RenameFlags::EXCHANGE,
            )
            .map_err(failed)?;
            failpoint::pass("purge: exchanged");
            take_over_inputs(&dir.fd, &purge_box.records, &linked);
            failpoint::pass("purge: inputs taken over");
            let is_given_back = purge_box.give_back(&self.shared.root);
            failpoint::pass("purge: sub-directories given back");
            Ok(is_given_back)
        });
        // The old records, or after a failure the fresh directory. What is a store's own must not go with them.
        if !matches!(done, Ok(false)) {
            self.shared.reaper.remove(session, purge_box.name);
        }
        done.map(|_| ())
    }

    /// Fills the fresh directory. Gives back the spared files with the inode numbers that were linked.
    fn fill_fresh(
        &self,
        dir: &StoreDir,
        purge_box: &PurgeBox,
        purge: &Purge<'_>,
        contents: &Contents,
    ) -> Result<Vec<(Vec<u8>, u64)>> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let fresh = &purge_box.records;
        let old = rustix::fs::fstat(&dir.fd).map_err(failed)?;
        let owned = AttributeChange {
            mode: Some(old.st_mode),
            uid: Some(old.st_uid),
            gid: Some(old.st_gid),
            ..AttributeChange::default()
        };
        staging::change_attributes(fresh, &owned).map_err(failed)?;
        let mut linked = Vec::with_capacity(contents.spared.len());
        for name in &contents.spared {
            rustix::fs::linkat(&dir.fd, name.as_slice(), fresh, name.as_slice(), AtFlags::empty())
                .map_err(failed)?;
            linked.push((name.clone(), inode_number(fresh, name).map_err(failed)?));
        }
        let Some(text) = self.read_metadata_text(dir)? else { return Ok(linked) };
        match Document::parse(&text.bytes) {
            Ok(mut document) => {
                document.set_purged(purge.at);
                let fresh = fresh
                    .try_clone()
                    .map_err(|error| Error::io(format!("purge store '{}'", dir.name), error))?;
                let fresh = StoreDir { fd: fresh, name: dir.name.clone() };
                let bytes = document.to_bytes();
                self.write_metadata(&fresh, &bytes, Some(&text.attributes), true)?;
            }
            Err(reason) => {
                log::warn!(
                    "the metadata of store '{}' is damaged, and kept so: {reason}",
                    dir.name
                );
                let name = layout::METADATA;
                rustix::fs::linkat(&dir.fd, name, fresh, name, AtFlags::empty()).map_err(failed)?;
            }
        }
        Ok(linked)
    }

    /// The slower way, for a storage where directories cannot be exchanged: files go one by one, sidecars first,
    /// so that a crash leaves some records and breaks none.
    fn purge_file_by_file(
        &self,
        dir: &StoreDir,
        purge: &Purge<'_>,
        contents: &Contents,
    ) -> Result<()> {
        let is_sidecar = |name: &&Vec<u8>| layout::value_of_sidecar(name).is_some();
        let sidecars = contents.doomed.iter().filter(is_sidecar);
        let values = contents.doomed.iter().filter(|name| !is_sidecar(name));
        for name in sidecars.chain(values) {
            match rustix::fs::unlinkat(&dir.fd, name.as_slice(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => {
                    return Err(Error::io(format!("purge store '{}'", dir.name), error));
                }
            }
        }
        self.edit_metadata(dir, |document| {
            document.set_purged(purge.at);
            true
        })
    }
}

/// Whether the system says that it cannot exchange these directories or link these files at all.
fn cannot_exchange(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::MLINK)
    )
}

/// An SDK may have replaced an input after it was linked and before the directories were exchanged. Its version
/// is the newer one, and takes the place of the linked one.
fn take_over_inputs(old: &OwnedFd, fresh: &OwnedFd, linked: &[(Vec<u8>, u64)]) {
    for (name, number) in linked {
        let newer = inode_number(old, name).is_ok_and(|now| now != *number);
        let untouched = inode_number(fresh, name).is_ok_and(|now| now == *number);
        if newer && untouched {
            let moved = staging::move_entry(old, name, fresh, name, true);
            if let Err(error) = moved {
                let name = String::from_utf8_lossy(name);
                log::error!("a newer '{name}' was written during a purge and is lost: {error}");
            }
        }
    }
}

fn inode_number(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<u64> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino)
}
