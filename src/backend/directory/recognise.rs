//! Recognising which SDK's layout a store has (P12).

use rustix::fs::FileType;
use rustix::io::Errno;

use super::dialect::{Dialect, DialectChoice};
use super::layout;
use super::state::DirectoryBackend;
use super::tree::{self, Directory, StoreDir};
use crate::backend::is_input_key;
use crate::model::{Error, Result, StoreName};

/// At so many other stores it is looked, for one that does not tell.
const OTHERS: usize = 64;

/// At so many names of each.
const NAMES_OF_OTHERS: usize = 256;

/// How names of directories begin in which Crawlee JS 3 moves stores about while it purges (FORMAT 5.5).
const PASSING: [&str; 2] = ["__CRAWLEE_", "__OLD_"];

impl DirectoryBackend {
    /// The layout of a store (P12). It is JS 3's if it has no metadata and no sidecar, but a bare file that is
    /// no input. Once seen, that holds for the directory until metadata appears in it.
    pub(super) fn dialect(&self, dir: &StoreDir) -> Result<Dialect> {
        match self.given_dialect(dir) {
            Some(dialect) => Ok(dialect),
            None => self.recognise_dialect(dir, dir.has_metadata()?),
        }
    }

    /// The layout of a store into which a record is about to be put. It is kept in mind whether there is metadata now:
    /// if it is gone later on, somebody may be removing the store.
    pub(super) fn dialect_to_write(&self, dir: &StoreDir) -> Result<Dialect> {
        let given = self.given_dialect(dir);
        if let Some(dialect @ (Dialect::Plain | Dialect::Js3)) = given {
            return Ok(dialect);
        }
        let has_metadata = dir.has_metadata()?;
        let dialect = match given {
            Some(dialect) => dialect,
            None => self.recognise_dialect(dir, has_metadata)?,
        };
        let lacks = !has_metadata && dialect == Dialect::Sidecars;
        let lacking = if lacks { Some(dir.identity()?) } else { None };
        self.shared.layouts.note_metadata(&dir.name, lacking);
        Ok(dialect)
    }

    /// The layout of a store that does not depend on what it holds.
    fn given_dialect(&self, dir: &StoreDir) -> Option<Dialect> {
        match self.shared.options.dialect {
            _ if dir.name.is_plain() => Some(Dialect::Plain),
            DialectChoice::Sidecars => Some(Dialect::Sidecars),
            DialectChoice::Js3 => Some(Dialect::Js3),
            DialectChoice::Auto => None,
        }
    }

    fn recognise_dialect(&self, dir: &StoreDir, has_metadata: bool) -> Result<Dialect> {
        let shown = if has_metadata { Some(Dialect::Sidecars) } else { self.shown_dialect(dir)? };
        let dialect = match self.shared.layouts.decide(&dir.name, shown) {
            Some(dialect) => dialect,
            None => self.dialect_of_others(&dir.name)?,
        };
        if !has_metadata {
            self.forget_stores_that_are_gone();
        }
        Ok(dialect)
    }

    /// The layout that a store's own directory shows; `None` if it holds nothing that tells.
    pub(super) fn dialect_shown(&self, dir: &StoreDir) -> Result<Option<Dialect>> {
        if dir.has_metadata()? { Ok(Some(Dialect::Sidecars)) } else { self.shown_dialect(dir) }
    }

    /// The layout that a directory without metadata shows; `None` if it holds nothing that tells.
    fn shown_dialect(&self, dir: &StoreDir) -> Result<Option<Dialect>> {
        let identity = dir.identity()?;
        if let Some(seen) = self.shared.layouts.seen(&dir.name, &identity) {
            return Ok(Some(seen));
        }
        let shown = self.look_for_dialect(dir, usize::MAX)?;
        if shown == Some(Dialect::Js3) {
            self.shared.layouts.keep(&dir.name, identity, Dialect::Js3);
        }
        Ok(shown)
    }

    /// The layout of a store that is about to be made.
    pub(super) fn dialect_of_new(&self, store: &StoreName) -> Result<Dialect> {
        match self.shared.options.dialect {
            DialectChoice::Sidecars => Ok(Dialect::Sidecars),
            DialectChoice::Js3 => Ok(Dialect::Js3),
            DialectChoice::Auto => self.dialect_of_others(store),
        }
    }

    /// The layout of a store that does not tell, by the others of its storage: JS 3's if all that tell are. What is
    /// found so is kept in mind, so that the store has one layout until it tells itself.
    fn dialect_of_others(&self, store: &StoreName) -> Result<Dialect> {
        let failed = |error: Errno| Error::io(format!("list '{}'", layout::STORES), error);
        let Some(stores) = tree::open_stores(&self.root())? else {
            return Ok(Dialect::Sidecars);
        };
        let mut is_js3 = false;
        for entry in tree::entries(&stores).map_err(failed)?.take(OTHERS) {
            let (name, _) = entry.map_err(failed)?;
            let is_passing = |prefix: &&str| name.starts_with(prefix.as_bytes());
            if name == store.as_str().as_bytes() || PASSING.iter().any(is_passing) {
                continue;
            }
            let Some(other) = open_other(&stores, &name) else { continue };
            if other.has_metadata()? {
                return Ok(Dialect::Sidecars);
            }
            match self.look_for_dialect(&other, NAMES_OF_OTHERS) {
                Ok(Some(Dialect::Js3)) => is_js3 = true,
                Ok(Some(_)) => return Ok(Dialect::Sidecars),
                // Nothing that tells, or nothing that may be seen.
                Ok(None) | Err(_) => {}
            }
        }
        if is_js3 {
            self.shared.layouts.decide(store, Some(Dialect::Js3));
            return Ok(Dialect::Js3);
        }
        Ok(Dialect::Sidecars)
    }

    /// Looks at the first `most` names of a store without metadata for what tells its layout.
    fn look_for_dialect(&self, dir: &StoreDir, most: usize) -> Result<Option<Dialect>> {
        let failed = |error: Errno| Error::io(format!("look into store '{}'", dir.name), error);
        let mut has_bare_file = false;
        for entry in tree::entries(&dir.fd).map_err(failed)?.take(most) {
            let (name, listed) = entry.map_err(failed)?;
            if tree::kind(&dir.fd, &name, listed) != FileType::RegularFile {
                continue;
            }
            if layout::value_of_sidecar(&name).is_some() {
                return Ok(Some(Dialect::Sidecars));
            }
            let is_input = Dialect::Js3
                .key(&name)
                .is_ok_and(|key| is_input_key(&key, &self.shared.options.input_key));
            has_bare_file |= !is_input && !layout::looks_temporary(&name);
        }
        Ok(has_bare_file.then_some(Dialect::Js3))
    }

    /// Bounds what is known of layouts by the stores that are there.
    fn forget_stores_that_are_gone(&self) {
        let Some(stores) = self.shared.layouts.if_many() else { return };
        let is_gone =
            |store: &StoreName| tree::open_store(&self.shared.root.last(), store).is_err();
        let gone: Vec<StoreName> = stores.into_iter().filter(is_gone).collect();
        self.shared.layouts.forget_all(&gone);
    }
}

/// Opens another store; `None` for what is none.
fn open_other(stores: &Directory, name: &[u8]) -> Option<StoreDir> {
    let name = StoreName::new(std::str::from_utf8(name).ok()?).ok()?;
    let fd = tree::open_dir(stores, name.as_str()).ok()?;
    Some(StoreDir { fd, name })
}
