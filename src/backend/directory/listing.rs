//! Many records of a store at a time: their keys and attributes.

use rustix::fs::FileType;

use super::dialect::Dialect;
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::{Listed, Scan};
use crate::model::{Attributes, Error, Key, Result, StoreName};

impl DirectoryBackend {
    /// The store's plain files that are records, of which a directory tells nothing but the names. Two files can stand for one key, `my%20file` and a
    /// bare `my file`; then the SDK's own name is the record, and the other is passed over.
    pub(super) fn scan_store(&self, dir: &StoreDir) -> Result<Scan> {
        let failed = |name: &StoreName, error| Error::io(format!("list store '{name}'"), error);
        let dialect = self.dialect(dir)?;
        let entries = tree::entries(&dir.fd).map_err(|error| failed(&dir.name, error))?;
        let fd = dir
            .fd
            .try_clone()
            .map_err(|error| Error::io(format!("list store '{}'", dir.name), error))?;
        let own = StoreDir { fd, name: dir.name.clone() };
        let backend = self.clone();
        Ok(Box::new(entries.filter_map(move |entry| match entry {
            Ok((name, listed)) => {
                let key = backend.listed_key(&own, dialect, &name, listed).transpose();
                key.map(|key| key.map(Listed::from))
            }
            Err(error) => Some(Err(failed(&own.name, error))),
        })))
    }

    fn listed_key(
        &self,
        dir: &StoreDir,
        dialect: Dialect,
        name: &[u8],
        listed: FileType,
    ) -> Result<Option<Key>> {
        if tree::kind(&dir.fd, name, listed) != FileType::RegularFile
            || !self.is_record(dir, name)?
        {
            return Ok(None);
        }
        if dialect.keeps_as_it_is(name) {
            return Key::from_bytes(name).map(Some);
        }
        let key = dialect.key(name)?;
        let own = dialect.value_name(&key);
        if own != name && tree::has_file(&dir.fd, &own) == Ok(true) {
            let bare = String::from_utf8_lossy(name);
            log::warn!(
                "the bare file '{bare}' in store '{}' is hidden by record '{key}'",
                dir.name
            );
            return Ok(None);
        }
        Ok(Some(key))
    }

    /// Attributes of a record in a store whose layout is known. Most are where the SDK keeps them: that takes one
    /// look at one name.
    pub(super) fn listed_attributes(
        &self,
        dir: &StoreDir,
        dialect: Dialect,
        key: &Key,
    ) -> Result<Attributes> {
        let look = |name: &[u8]| {
            let stat = tree::stat_file(&dir.fd, name).ok()?;
            self.is_record(dir, name).is_ok_and(|is| is).then(|| tree::attributes(&stat))
        };
        let found = match dialect.keeps_as_it_is(key.as_bytes()) {
            true => look(key.as_bytes()),
            false => look(&dialect.value_name(key)),
        };
        found.map_or_else(|| self.record_attributes(dir, key), Ok)
    }
}
