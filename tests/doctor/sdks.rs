//! The official SDKs on a storage that was repaired.

use std::fs;

use serde_json::json;

use crate::common::TempStorage;
use crate::doctor;
use crate::sdk::{Js, Python};

#[test]
fn p19_crawlee_python_lists_and_reads_a_repaired_store() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::of_fixture("python/states");
    let dump = |storage: &TempStorage| {
        let path = storage.path();
        python.command(&["dump", path.to_str().unwrap(), "states"]).output().unwrap()
    };
    assert!(!dump(&storage).status.success(), "one sidecar that is an array makes the SDK raise");
    doctor(&storage, &["--repair"]);
    let records = python.dump(&storage, "states");
    let unreadable = ["bad-json", "bad-utf8", "none-with-bytes"];
    for (key, record) in &records {
        let is_read = record["value"] != json!(null) || record["hex"] != json!(null);
        assert_eq!(is_read, !unreadable.contains(&key.as_str()), "{record}");
    }
    for (key, content_type) in [
        ("both-spellings", "text/html"),
        ("sidecar-string", "text/plain"),
        ("sidecar-array", "text/plain; charset=utf-8"),
        ("value-only", "text/plain; charset=utf-8"),
        ("other-key", "text/plain"),
    ] {
        assert_eq!(records[key]["content_type"], content_type);
        assert_eq!(records[key]["type"], "str");
    }
    assert!(!records.contains_key("sidecar-only") && !records.contains_key("SOMETHING-ELSE"));
    // The one whose metadata was missing has got some that the SDK accepts.
    assert_eq!(python.dump(&storage, "meta-missing").len(), 1);
}

#[test]
fn the_sdks_read_a_store_whose_js3_sidecars_were_repaired() {
    let storage = TempStorage::of_fixture("js-v3/with-metadata");
    let output = doctor(&storage, &["--repair"]);
    assert!(output.status.success(), "{output:?}");
    if let Some(python) = Python::find() {
        let records = python.dump(&storage, "kinds");
        assert_eq!(records["obj.json"]["type"], "dict");
        assert_eq!(records["photo.jpeg"]["content_type"], "image/jpeg");
        assert_eq!(records["html"]["type"], "str");
    }
    if let Some(js) = Js::find() {
        // JS 3 itself cannot list a store with a key like this one in the layout with sidecars (FORMAT 6.6).
        for name in ["ok%21-_.%27%28%29.txt", "ok%21-_.%27%28%29.txt.__metadata__.json"] {
            fs::remove_file(storage.store("kinds").join(name)).unwrap();
        }
        let records = js.dump(&storage, "kinds");
        assert!(records.len() >= 18, "{records:?}");
    }
}
