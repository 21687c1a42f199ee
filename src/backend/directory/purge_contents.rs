//! What a store holds before it is purged: what stays, what goes.

use std::collections::BTreeSet;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::dialect::Dialect;
use super::layout;
use super::purge_box::number_of;
use super::records::Names;
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::{is_input_key, is_item, is_spared};
use crate::model::{DEFAULT_INPUT_KEY, Error, Key, Result};

/// What an input's name has behind the input key. The Apify SDK takes any extension (FORMAT 8.2).
const USUAL_EXTENSIONS: [&str; 25] = [
    "", ".json", ".txt", ".bin", ".html", ".htm", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".toml",
    ".md", ".js", ".ts", ".py", ".jsonl", ".ndjson", ".pdf", ".png", ".jpg", ".jpeg", ".zip",
    ".gz", ".xlsx",
];

/// What a look through a store found.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Plain files, and links to such: what the Apify SDK's purge removes (FORMAT 7.1).
    pub(super) doomed: Vec<Vec<u8>>,
    /// Input files and their sidecars.
    pub(super) spared: Vec<Vec<u8>>,
    /// The keys of the input files.
    pub(super) spared_keys: Vec<Key>,
    /// Whether there is anything that stays besides, such as sub-directories.
    pub(super) has_others: bool,
    /// Whether these are all names of the store.
    is_complete: bool,
}

impl Contents {
    /// A store of which nothing goes: these files stay, and perhaps something besides.
    pub(super) fn spared_alone(spared: Vec<Vec<u8>>, has_others: bool) -> Self {
        Self { spared, has_others, ..Self::default() }
    }

    /// The value files whose sidecars are spared. Without any input, the SDK spares the name that it would have, and so
    /// the sidecar of it.
    fn owners_of_sidecars(&self, input_key: &str) -> Vec<Vec<u8>> {
        let mut owners = self.spared.clone();
        if !self.spared_keys.iter().any(|key| is_input_key(key, input_key)) {
            owners.push(input_key.as_bytes().to_vec());
        }
        owners
    }

    /// How many records and pieces of litter go, if this is all that the store holds.
    pub(super) fn removed(&self) -> Option<u64> {
        let records = self.doomed.iter().filter(|name| layout::value_of_sidecar(name).is_none());
        self.is_complete.then(|| records.count() as u64)
    }
}

impl DirectoryBackend {
    /// Looks at every name of a store. `None` if there are more than `limit`.
    pub(super) fn look_through(
        &self,
        dir: &StoreDir,
        input_key: &str,
        limit: usize,
    ) -> Result<Option<Contents>> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let dialect = self.dialect(dir)?;
        let mut contents = Contents::default();
        for (count, entry) in tree::entries(&dir.fd).map_err(failed)?.enumerate() {
            if count == limit {
                return Ok(None);
            }
            let (name, listed) = entry.map_err(failed)?;
            if !tree::is_file_to_the_sdk(&dir.fd, &name, listed) {
                contents.has_others = true;
                continue;
            }
            if name == layout::METADATA.as_bytes() {
                continue;
            }
            if dialect == Dialect::Plain {
                match is_item(&name) {
                    true => contents.doomed.push(name),
                    false => contents.has_others = true,
                }
                continue;
            }
            let key = dialect.key(&name)?;
            if is_spared(&key, input_key)
                && self.is_record(dir, &name)?
                && tree::kind(&dir.fd, &name, listed) == FileType::RegularFile
            {
                contents.spared.push(name);
                contents.spared_keys.push(key);
            } else {
                contents.doomed.push(name);
            }
        }
        contents.is_complete = true;
        if dialect == Dialect::Plain {
            return Ok(Some(contents));
        }
        let owners = contents.owners_of_sidecars(input_key);
        let is_spared = |name: &mut Vec<u8>| {
            layout::value_of_sidecar(name)
                .is_some_and(|value| owners.iter().any(|owner| owner == value))
        };
        contents.spared.extend(contents.doomed.extract_if(.., is_spared));
        Ok(Some(contents))
    }

    /// Looks for what is spared under the usual names.
    pub(super) fn probe(&self, dir: &StoreDir, input_key: &str) -> Result<Contents> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let dialect = self.dialect(dir)?;
        let mut contents = Contents::default();
        if dialect == Dialect::Plain {
            return Ok(Contents { has_others: true, ..contents });
        }
        let usual = |key: &str| USUAL_EXTENSIONS.map(|extension| format!("{key}{extension}"));
        let candidates: BTreeSet<String> =
            usual(input_key).into_iter().chain(usual(DEFAULT_INPUT_KEY)).collect();
        for candidate in candidates {
            let key = Key::new(&candidate)?;
            let names = Names::of(dialect, &key);
            for name in names.all() {
                if number_of(&dir.fd, name).map_err(failed)?.is_some() {
                    contents.spared.push(name.to_vec());
                    contents.spared_keys.push(key.clone());
                }
            }
        }
        let owners = contents.owners_of_sidecars(input_key);
        for sidecar in owners.iter().map(|owner| layout::sidecar_of(owner)) {
            if number_of(&dir.fd, &sidecar).map_err(failed)?.is_some() {
                contents.spared.push(sidecar);
            }
        }
        Ok(contents)
    }
}
