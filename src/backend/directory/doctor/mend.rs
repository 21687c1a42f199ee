//! Mending what has one right answer.

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::sidecar::SidecarFields;
use super::{empty_directory, is_abandoned};
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::set_type::NewType;
use crate::backend::directory::sidecar;
use crate::backend::directory::staging::Session;
use crate::backend::directory::state::DirectoryBackend;
use crate::backend::directory::tree::{self, StoreDir};
use crate::backend::directory::{layout, staging};
use crate::model::{
    ContentType, Error, Finding, FindingKind, Key, RecordType, Remedy, Result, StoreName,
};

impl DirectoryBackend {
    /// Rewrites or removes what a finding is about, if it still is as it was found.
    pub(in crate::backend::directory) fn mend(
        &self,
        finding: &Finding,
        record_type: Option<&RecordType>,
    ) -> Result<()> {
        let (Some(store), Some(file)) = (&finding.store, finding.file.as_deref()) else {
            return Ok(());
        };
        // Before any lock is taken: making the session heals, and that takes locks.
        let session = &self.session(store)?;
        if let Some(Remedy::Rewrite { key, .. }) = &finding.remedy {
            let record_type = record_type.cloned();
            let record_type =
                record_type.unwrap_or_else(|| RecordType::guessed(ContentType::bytes(), None));
            self.rewrite_sidecar(store, key, &record_type)?;
            if file == layout::sidecar_of(&Dialect::Sidecars.value_name(key)) {
                return Ok(());
            }
        }
        self.in_store(store, |dir| match (&finding.remedy, finding.kind) {
            // Of Crawlee JS 3, or of the name that the file had.
            (Some(Remedy::Rewrite { .. }), _) => self.remove_dangling(dir, session, file),
            (Some(Remedy::Remove), FindingKind::Temporary) => self.remove_temporary(dir, file),
            (Some(Remedy::Remove), FindingKind::Lock) => remove_lock(dir, file),
            (Some(Remedy::Remove), _) => self.remove_dangling(dir, session, file),
            _ => Ok(()),
        })
    }

    /// Writes a record's sidecar anew, with the content type that it names, else with the given one.
    fn rewrite_sidecar(
        &self,
        store: &StoreName,
        key: &Key,
        record_type: &RecordType,
    ) -> Result<()> {
        let own = Dialect::Sidecars.value_name(key);
        self.set_chosen_type(store, key, &|dir, value| {
            let size = u64::try_from(value.st_size).unwrap_or(0);
            let fields = tree::read_small(&dir.fd, &layout::sidecar_of(&own), sidecar::MAX_BYTES)
                .ok()
                .flatten()
                .and_then(|(text, _)| SidecarFields::parse(&text).ok());
            let named = fields.as_ref().and_then(SidecarFields::record_type);
            let is_well = fields.is_some_and(|fields| {
                fields.faults(|said| said.as_bytes() == key.as_bytes(), size).is_empty()
            });
            (!is_well).then(|| NewType::Type(named.unwrap_or_else(|| record_type.clone())))
        })
    }

    /// Removes a sidecar that has no value. It is taken out of sight first, and put back if a value has come
    /// meanwhile.
    fn remove_dangling(&self, dir: &StoreDir, session: &Session, name: &[u8]) -> Result<()> {
        let Some(value) = layout::value_of_sidecar(name) else { return Ok(()) };
        let _held = self.shared.key_locks.hold(&dir.name, &Dialect::Sidecars.key(value)?);
        let failed = |error: Errno| failed(dir, "remove", name, error);
        let trash = session.next_name().into_bytes();
        if super::record::is_anything(dir, value)? {
            return Ok(());
        }
        match staging::move_entry(&dir.fd, name, session.directory(), &trash, false) {
            Err(Errno::NOENT) => return Ok(()),
            moved => moved.map_err(failed)?,
        }
        if super::record::is_anything(dir, value)? {
            match staging::move_entry(session.directory(), &trash, &dir.fd, name, false) {
                // The value came with a sidecar of its own.
                Err(Errno::EXIST) => {}
                moved => return moved.map_err(failed),
            }
        }
        rustix::fs::unlinkat(session.directory(), trash, AtFlags::empty()).map_err(failed)
    }

    fn remove_temporary(&self, dir: &StoreDir, name: &[u8]) -> Result<()> {
        let is_old = tree::stat_file(&dir.fd, name).is_ok_and(|stat| is_abandoned(&stat));
        if !is_old || self.is_record(dir, name)? {
            return Ok(());
        }
        match rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(dir, "remove", name, error)),
        }
    }
}

/// Removes an empty directory; the system refuses one that is not.
fn remove_lock(dir: &StoreDir, name: &[u8]) -> Result<()> {
    if !empty_directory(dir, name).is_some_and(|stat| is_abandoned(&stat)) {
        return Ok(());
    }
    match rustix::fs::unlinkat(&dir.fd, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed(dir, "remove", name, error)),
    }
}

fn failed(dir: &StoreDir, action: &str, name: &[u8], error: Errno) -> Error {
    let name = String::from_utf8_lossy(name);
    Error::io(format!("{action} '{name}' of store '{}'", dir.name), error)
}
