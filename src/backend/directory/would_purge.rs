//! What a purge of a store would do.

use rustix::fs::FileType;
use rustix::io::Errno;

use super::dialect::Dialect;
use super::layout;
use super::purge_box::size_of;
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::{WouldPurge, is_item, is_spared};
use crate::model::{Error, Key, Result};

impl DirectoryBackend {
    /// Tells of each file of a store but sidecars and metadata whether a purge would remove it. Holds none of them.
    pub(super) fn would_purge_in(
        &self,
        dir: &StoreDir,
        input_key: &str,
        tell: &mut dyn FnMut(WouldPurge) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: Errno| Error::io(format!("look into store '{}'", dir.name), error);
        let dialect = self.dialect(dir)?;
        for entry in tree::entries(&dir.fd).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            let is_passed_over = name == layout::METADATA.as_bytes()
                || layout::value_of_sidecar(&name).is_some() && dialect != Dialect::Plain
                || !tree::is_file_to_the_sdk(&dir.fd, &name, listed);
            if is_passed_over {
                continue;
            }
            let size = size_of(&dir.fd, &name).map_err(failed)?;
            if dialect == Dialect::Plain {
                let (key, goes) = (Key::from_bytes(&name)?, is_item(&name));
                tell(WouldPurge { key, size, goes, is_litter: false })?;
                continue;
            }
            let is_record = tree::kind(&dir.fd, &name, listed) == FileType::RegularFile
                && self.is_record(dir, &name)?;
            let key = dialect.key(&name)?;
            let goes = !(is_record && is_spared(&key, input_key));
            let key = match dialect.keeps_as_it_is(&name) {
                true => Key::from_bytes(&name)?,
                false => key,
            };
            tell(WouldPurge { key, size, goes, is_litter: !is_record })?;
        }
        Ok(())
    }
}
