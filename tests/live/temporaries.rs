//! What an SDK writes aside is no record; a record whose key looks like that is one (FORMAT 5.5).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::common::{METADATA, TempMount, TempStorage, names};
use crate::sdk::{Js, Python, STORE};
use crate::work::while_working;

/// Listings in one test.
const LISTINGS: usize = 500;

/// Keys that look like the temporaries of an SDK.
const KEYS: [&str; 5] = [
    "foo.tmp",
    "obj.k_hldysl.tmp",
    "page.html.rymqlxwm.html.tmp",
    ".tmp.abcdefghijkl",
    "x.json.lock",
];

/// Temporaries of the Python SDK and of the engine of Crawlee JS 4, which have no sidecar.
const TEMPORARIES: [&str; 6] = [
    "data.ab12_cd3.tmp",
    "data.json.abcd1234.json.tmp",
    "data.__metadata__.json.ry2876og.json.tmp",
    "__metadata__.json.dujmjj8q.json.tmp",
    ".tmp.Zbcdefghijk0",
    "a%2Fb.zzzz0000.tmp",
];

/// Lists a store again and again while `write` does: it must show exactly these records.
#[track_caller]
fn shows_only(store: &Path, records: &BTreeSet<String>, write: impl FnMut() + Send) {
    while_working(write, || {
        for _ in 0..LISTINGS {
            assert_eq!(names(store), *records);
        }
    });
}

#[test]
fn p02_temporaries_of_the_sdk_at_work_are_never_listed() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let values = json!([{"a": 1}, "text", {"hex": "ff"}]);
    let mut hammer = || {
        for key in KEYS {
            client.ask(&json!({"hammer": key, "values": values, "times": 2}));
        }
    };
    hammer();
    let mount = TempMount::new(&storage);
    let mut records: BTreeSet<_> = KEYS.map(str::to_owned).into();
    records.insert(METADATA.to_owned());
    shows_only(&mount.store(STORE), &records, hammer);
}

#[test]
fn p02_lock_directories_of_crawlee_js3_are_never_listed() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    let mut client = js.serve(&storage, STORE);
    let mut round = 0;
    let mut write = || {
        round += 1;
        for key in ["one", "two", "three"] {
            client.set(key, &json!({"round": round, "filler": "x".repeat(2_000_000)}));
        }
    };
    write();
    let mount = TempMount::new(&storage);
    let records = ["one.json", "two.json", "three.json"].map(str::to_owned).into();
    shows_only(&mount.store(STORE), &records, write);
    // One that a crash has left.
    assert_eq!(names(&storage.store(STORE)), records, "the SDK is through with its locks");
    fs::create_dir(storage.store(STORE).join("one.json.lock")).unwrap();
    assert_eq!(names(&mount.store(STORE)), records);
}

#[test]
fn p02_what_an_sdk_left_half_written_is_no_record_and_what_looks_like_it_is() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    for key in KEYS {
        client.set(key, &json!({"key": key}));
    }
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    for name in TEMPORARIES {
        fs::write(storage.store(STORE).join(name), "{\"half\": ").unwrap();
    }
    let mut records: BTreeSet<_> = KEYS.map(str::to_owned).into();
    records.insert(METADATA.to_owned());
    assert_eq!(names(&mounted), records);
    for key in KEYS {
        assert_eq!(
            fs::read(mounted.join(key)).unwrap(),
            fs::read(storage.store(STORE).join(key)).unwrap()
        );
    }
    // One that is renamed into place, as the SDK does it, is a record from then on.
    let disk = storage.store(STORE);
    fs::write(disk.join("data.ab12_cd3.tmp"), "{\"whole\": true}").unwrap();
    fs::rename(disk.join("data.ab12_cd3.tmp"), disk.join("data")).unwrap();
    assert_eq!(fs::read(mounted.join("data")).unwrap(), b"{\"whole\": true}");
    assert!(names(&mounted).contains("data"));
    // A record by such a name, written through the mount, is one for everybody.
    fs::write(mounted.join("own.abcd_123.tmp"), "words").unwrap();
    assert!(names(&mounted).contains("own.abcd_123.tmp"));
    assert_eq!(client.get("own.abcd_123.tmp")["value"], "words");
}
