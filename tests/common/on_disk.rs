//! Looking at a storage's files, as an SDK would find them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{METADATA, disk_name, names};

/// The records of a store as its files tell them: bytes and content type. Each value has its sidecar, each
/// sidecar its value, and nothing else lies about.
pub(crate) fn records_of(dir: &Path) -> BTreeMap<String, (Vec<u8>, String)> {
    let mut left = names(dir);
    assert!(left.remove(METADATA), "{}: no metadata", dir.display());
    let metadata: Value = serde_json::from_slice(&fs::read(dir.join(METADATA)).unwrap()).unwrap();
    let name = dir.file_name().unwrap().to_str().unwrap();
    let expected = if name == "default" { Value::Null } else { name.into() };
    assert_eq!(metadata["name"], expected, "the name in the metadata of '{name}'");
    let suffix = format!(".{METADATA}");
    let sidecars: Vec<String> =
        left.iter().filter(|name| name.ends_with(&suffix)).cloned().collect();
    let mut records = BTreeMap::new();
    for sidecar in sidecars {
        let name = sidecar.strip_suffix(&suffix).unwrap();
        left.remove(&sidecar);
        assert!(left.remove(name), "{}: '{sidecar}' has no value", dir.display());
        let text = fs::read(dir.join(&sidecar)).unwrap();
        let fields: Value = serde_json::from_slice(&text).unwrap_or_else(|error| {
            panic!("{}: {} bytes of '{sidecar}': {error}", dir.display(), text.len())
        });
        let bytes = fs::read(dir.join(name)).unwrap();
        assert_eq!(fields["size"], bytes.len(), "{}: size of '{name}'", dir.display());
        let key = fields["key"].as_str().unwrap().to_owned();
        assert_eq!(disk_name(&key), name, "{}: the key of '{name}'", dir.display());
        let content_type = fields.get("contentType").or(fields.get("content_type"));
        records.insert(key, (bytes, content_type.unwrap().as_str().unwrap().to_owned()));
    }
    assert!(left.is_empty(), "{}: without a sidecar: {left:?}", dir.display());
    records
}
