//! Whether a path is that of a storage, or of something that is easily taken for one.

use std::ffi::OsStr;
use std::path::Path;

use super::MountError;
use super::table::{self, MountTable};

/// What a storage directory holds. The first is where its stores are.
const PARTS: [&str; 3] = ["key_value_stores", "datasets", "request_queues"];

/// A store's metadata.
const METADATA: &str = "__metadata__.json";

/// Refuses what is a part of a storage or a mount of one, with the path that was meant.
///
/// # Errors
/// [`MountError::Refused`].
pub fn refuse_other_than_storage(source: &Path) -> Result<(), MountError> {
    let table = MountTable::read().unwrap_or_default();
    // What is wrong with a path that leads nowhere is told by whoever opens it.
    let Ok(source) = table::resolve(source, &table) else { return Ok(()) };
    let shown = source.display();
    if let Some(mount) = table.around(&source).filter(|mount| mount.is_ours()) {
        let (storage, mountpoint) = (mount.source.to_string_lossy(), mount.mountpoint.display());
        return Err(MountError::refused(format!(
            "'{shown}' is in a mount of storefs, '{mountpoint}': use that, or give its storage '{storage}' as the source"
        )));
    }
    if source.join("key_value_stores").is_dir() {
        return Ok(());
    }
    let is_part = |path: &Path| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| PARTS.contains(&name))
    };
    let parent = source.parent();
    if let Some(storage) = parent.filter(|_| is_part(&source)) {
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
        let said =
            |path: &str| refuse_other_than_storage(&at(path)).map_err(|error| error.to_string());
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
    }
}
