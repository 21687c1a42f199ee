//! Whether a path is that of a storage, or of something that is easily taken for one.

use std::ffi::OsStr;
use std::path::Path;

use super::MountError;
use super::table::{self, MountTable};
use crate::engine::Source;

/// What a storage directory holds. The first is where its stores are.
const PARTS: [&str; 3] = ["key_value_stores", "datasets", "request_queues"];

/// A store's metadata.
const METADATA: &str = "__metadata__.json";

/// The database that Crawlee's SQL client makes in the storage directory, unless it is told another.
const DATABASE: &str = "crawlee.db";

/// Refuses what is a part of a storage or a mount of one, or has the storage in it, with the source that was meant. Of what is
/// on a server there is nothing to say.
///
/// # Errors
/// [`MountError::Refused`].
pub fn refuse_other_than_storage(source: &Source) -> Result<(), MountError> {
    let Some(path) = source.path() else { return Ok(()) };
    let table = MountTable::read().unwrap_or_default();
    // What is wrong with a path that leads nowhere is told by whoever opens it.
    let Ok(path) = table::resolve(path, &table) else { return Ok(()) };
    refuse_mount(&path, &table)?;
    if source.directory().is_none() { Ok(()) } else { refuse_other_directory(&path) }
}

/// Refuses what is in a mount of ours, without asking that mount, whose daemon may hang.
fn refuse_mount(source: &Path, table: &MountTable) -> Result<(), MountError> {
    let shown = source.display();
    if let Some(mount) = table.around(source).filter(|mount| mount.is_ours()) {
        let (storage, mountpoint) = (mount.source.to_string_lossy(), mount.mountpoint.display());
        return Err(MountError::refused(format!(
            "'{shown}' is in a mount of storefs, '{mountpoint}': use that, or give its storage '{storage}' as the source"
        )));
    }
    Ok(())
}

fn refuse_other_directory(source: &Path) -> Result<(), MountError> {
    let shown = source.display();
    if source.join("key_value_stores").is_dir() {
        return Ok(());
    }
    let database = source.join(DATABASE);
    if database.is_file() {
        return Err(MountError::refused(format!(
            "'{shown}' has no key_value_stores, but the database of Crawlee's SQL client: give '{}' as the source",
            database.display()
        )));
    }
    let is_part = |path: &Path| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| PARTS.contains(&name))
    };
    let parent = source.parent();
    if let Some(storage) = parent.filter(|_| is_part(source)) {
        return Err(MountError::refused(format!(
            "'{shown}' is a part of a storage: give the storage directory '{}' as the source",
            storage.display()
        )));
    }
    let storage = parent.filter(|parent| is_part(parent)).and_then(Path::parent);
    if let (Some(storage), Some(part), Some(name)) =
        (storage, parent.and_then(Path::file_name), source.file_name())
    {
        let (storage, part, name) = (storage.display(), part.display(), name.display());
        return Err(MountError::refused(format!(
            "'{shown}' is a single store: give the storage directory '{storage}' as the source; the store is '{part}/{name}' in it"
        )));
    }
    if source.join(METADATA).is_file() {
        return Err(MountError::refused(format!(
            "'{shown}' is a single store, outside of any storage: move it to STORAGE/key_value_stores/NAME and give \
             STORAGE as the source"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_path_that_was_meant_is_said() {
        let root = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let at = |path: &str| root.join(path);
        for path in ["storage/key_value_stores/default", "storage/datasets/d", "alone", "new"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        // A storage may have the name of a part, and lie in a directory that has.
        fs::create_dir_all(at("datasets/key_value_stores/key_value_stores")).unwrap();
        fs::write(at("alone").join(METADATA), "{}").unwrap();
        let meant = format!("'{}'", at("storage").display());
        let said = |path: &str| {
            refuse_other_than_storage(&at(path).into()).map_err(|error| error.to_string())
        };
        for path in ["key_value_stores", "key_value_stores/default", "datasets", "datasets/d"] {
            let said = said(&format!("storage/{path}")).unwrap_err();
            assert!(said.contains(&meant), "{path}: {said}");
        }
        assert!(
            said("storage/key_value_stores/default")
                .unwrap_err()
                .contains("'key_value_stores/default' in it")
        );
        assert!(said("alone").unwrap_err().contains("key_value_stores/NAME"));
        for path in ["storage", "new", "missing", "datasets", "datasets/key_value_stores"] {
            assert_eq!(said(path), Ok(()), "{path}");
        }
        fs::write(at("new/crawlee.db"), "").unwrap();
        fs::write(at("storage/crawlee.db"), "").unwrap();
        let database = format!("'{}' as the source", at("new/crawlee.db").display());
        assert!(said("new").unwrap_err().contains(&database));
        assert_eq!(said("storage"), Ok(()));
    }
}
