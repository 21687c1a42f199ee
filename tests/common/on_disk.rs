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

/// The records of a store on disk by the names of their files, each of which must be whole: a value, and the sidecar that says
/// its size; and no sidecar alone.
#[track_caller]
pub(crate) fn whole_records(dir: &Path) -> BTreeMap<String, (String, Value)> {
    let names = names(dir);
    let mut records = BTreeMap::new();
    for name in &names {
        if name == METADATA || dir.join(name).is_dir() {
            continue;
        }
        if let Some(value) = name.strip_suffix(&format!(".{METADATA}")) {
            assert!(names.contains(value), "'{name}' has no value");
            continue;
        }
        let value = fs::read_to_string(dir.join(name)).unwrap();
        let sidecar = fs::read(dir.join(format!("{name}.{METADATA}")));
        let sidecar = sidecar.unwrap_or_else(|error| panic!("the sidecar of '{name}': {error}"));
        let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
        assert_eq!(sidecar["size"], value.len(), "of '{name}'");
        records.insert(name.clone(), (value, sidecar));
    }
    records
}
