//! Sidecars that somebody brings as they are: of a storage that is copied, or edited by hand.

use std::cell::Cell;

use rustix::fs::Stat;

use super::dialect::Dialect;
use super::set_type::NewType;
use super::sidecar::{self, Sidecar};
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use super::{layout, staging};
use crate::backend::{KeptSidecar, MetadataText, SidecarSays};
use crate::model::{AttributeChange, Error, Key, RecordType, Result, StoreName};

/// What a sidecar says of the record whose value file has the name `file`.
///
/// # Errors
/// Says in words why the text is no sidecar.
pub(crate) fn read_sidecar(file: &[u8], text: &[u8]) -> std::result::Result<SidecarSays, String> {
    if text.len() as u64 > sidecar::MAX_BYTES {
        return Err("it is too large".to_owned());
    }
    let Sidecar { record_type, key, size, .. } = Sidecar::parse(text)?;
    let of_file = layout::decode(file).map_err(|error| error.to_string())?;
    Ok(SidecarSays { of_file, key, content_type: record_type.content_type, size })
}

/// The text of a sidecar that says this of a record.
pub(crate) fn sidecar_text_of(key: &Key, record_type: &RecordType, size: u64) -> Vec<u8> {
    Sidecar::text(key, record_type, size)
}

impl DirectoryBackend {
    /// Gives a record this sidecar, to the letter where every SDK can live with it, else with its type alone.
    pub(super) fn set_sidecar(
        &self,
        store: &StoreName,
        key: &Key,
        text: &[u8],
    ) -> Result<KeptSidecar> {
        let read = Sidecar::parse(text);
        let sidecar = read.map_err(|reason| Error::DamagedSidecar {
            store: store.to_string(),
            key: key.to_string(),
            reason,
        })?;
        let kept = Cell::new(KeptSidecar::Not);
        self.set_chosen_type(store, key, &|_, value| {
            if self.can_be(&sidecar, key, value) {
                kept.set(KeptSidecar::Text);
                Some(NewType::Text(text))
            } else {
                kept.set(KeptSidecar::Type);
                Some(NewType::Type(sidecar.record_type.clone()))
            }
        })?;
        Ok(kept.get())
    }

    /// Whether a sidecar is right for a record as it is.
    fn can_be(&self, sidecar: &Sidecar, key: &Key, value: &Stat) -> bool {
        let input_key = self.shared.options.input_key.as_str();
        sidecar.is_sound(key, input_key, u64::try_from(value.st_size).unwrap_or_default())
    }

    /// The sidecar of a record; `None` if it has none, or its store's layout does not.
    pub(super) fn sidecar_text(&self, dir: &StoreDir, key: &Key) -> Result<Option<MetadataText>> {
        let Some(name) = self.sidecar_name(dir, key)? else { return Ok(None) };
        let read = tree::read_small(&dir.fd, &name, sidecar::MAX_BYTES);
        let read = read.map_err(|error| dir.failed("read the sidecar of", key, error))?;
        Ok(read.map(|(bytes, stat)| MetadataText { bytes, attributes: tree::attributes(&stat) }))
    }

    /// Changes owner, mode and times of a record's sidecar.
    pub(super) fn change_sidecar(
        &self,
        dir: &StoreDir,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<()> {
        let Some(name) = self.sidecar_name(dir, key)? else { return Ok(()) };
        staging::change_named(&dir.fd, &name, change)
            .map(drop)
            .map_err(|error| dir.failed("change the sidecar of", key, error))
    }

    fn sidecar_name(&self, dir: &StoreDir, key: &Key) -> Result<Option<Vec<u8>>> {
        let (name, _) = self.locate(dir, key)?;
        let has_one = self.dialect(dir)? == Dialect::Sidecars;
        Ok(has_one.then(|| layout::sidecar_of(&name)))
    }
}
