//! The type that a record is shown with fits its bytes, also at moments when the SDK has replaced only one of its two
//! files.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::common::{TempMount, TempStorage, mime_type, wait_until};
use crate::hammer::{flat, hammer};
use crate::sdk::{Python, STORE, hex, media_type};
use crate::work::{Seen, content_type};

/// Panics unless an SDK that believes the type can decode the bytes, by what FORMAT 5.4 says of reading.
#[track_caller]
fn assert_decodes(seen: &Seen) {
    for content_type in seen.content_types.iter().flatten() {
        match media_type(content_type) {
            "application/json" => {
                serde_json::from_slice::<Value>(&seen.bytes)
                    .unwrap_or_else(|error| panic!("{content_type}, but {error}: {seen:?}"));
            }
            "text/plain" => {
                std::str::from_utf8(&seen.bytes)
                    .unwrap_or_else(|error| panic!("{content_type}, but {error}: {seen:?}"));
            }
            other => assert_eq!(other, "application/octet-stream", "{seen:?}"),
        }
    }
}

#[test]
fn p01_p02_p04_values_of_three_types_are_never_mistyped_under_readers() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    let record = mount.store(STORE).join("state");

    let object = flat(200);
    let text = "no JSON: gr\u{fc}\u{df}e\n".repeat(300);
    let bytes = [b"\xff\xfe{", [0x80; 3000].as_slice()].concat();
    let values = [object.clone(), json!(text), json!({"hex": hex(&bytes)})];
    let is_whole = |seen: &[u8]| {
        seen == text.as_bytes()
            || seen == bytes
            || serde_json::from_slice::<Value>(seen).is_ok_and(|value| value == object)
    };
    hammer(&mut client, &record, &values, |seen| {
        assert!(is_whole(&seen.bytes), "torn: {seen:?}");
        assert_decodes(seen);
    });

    // Once the SDK rests, the type is the one that it gave, also for names and pages that the kernel knows.
    for (value, content_type) in values.iter().zip([
        "application/json; charset=utf-8",
        "text/plain; charset=utf-8",
        "application/octet-stream",
    ]) {
        client.set("state", value);
        wait_until("the type is the SDK's", || mime_type(&record) == content_type);
        let seen = Seen::read(&record).unwrap();
        assert!(is_whole(&seen.bytes), "{seen:?}");
        assert_eq!(seen.content_types, [const { 0 }; 2].map(|_| Some(content_type.to_owned())));
    }
}

/// Replaces a value as the SDK does in the first of its two steps, and leaves the sidecar as it is.
fn replace_value_only(storage: &TempStorage, key: &str, value: &[u8]) {
    let aside = storage.store(STORE).join(format!("{key}.abcd1234.tmp"));
    fs::write(&aside, value).unwrap();
    fs::rename(aside, storage.store(STORE).join(key)).unwrap();
}

#[test]
fn p02_p10_a_value_between_the_two_renames_of_an_sdk_has_a_type_that_fits() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    let path = mount.store(STORE).join("state");
    let (json, text) = ("application/json; charset=utf-8", "text/plain; charset=utf-8");
    for (old, new, expected) in [
        (json!({"a": 1}), b"\xff\xfe".as_slice(), "application/octet-stream"),
        (json!({"a": 1}), b"words".as_slice(), text),
        (json!({"a": 1}), b"[2]".as_slice(), json),
        (json!("words"), b"\xff\xfe".as_slice(), "application/octet-stream"),
        (json!("words"), b"{\"a\": 1}".as_slice(), text),
        (json!(null), b"{\"a\": 1}".as_slice(), json),
        (json!(null), b"words".as_slice(), text),
    ] {
        client.set("state", &old);
        assert_eq!(fs::read(&path).unwrap(), fs::read(storage.store(STORE).join("state")).unwrap());
        replace_value_only(&storage, "state", new);
        // The system counts a file as changed while another takes its place, and it is still found.
        let [value, sidecar] =
            ["state", "state.__metadata__.json"].map(|file| storage.store(STORE).join(file));
        let changed = |file| fs::metadata(file).map(|it| (it.ctime(), it.ctime_nsec())).unwrap();
        wait_until("it counts as changed after the value", || {
            let mode = fs::metadata(&sidecar).unwrap().permissions();
            fs::set_permissions(&sidecar, mode).unwrap();
            changed(&sidecar) > changed(&value)
        });
        let seen = Seen::read(&path).unwrap();
        assert_eq!(seen.bytes, new);
        for shown in seen.content_types.into_iter().flatten().chain([mime_type(&path)]) {
            assert_eq!(shown, expected, "\"{}\" in place of {old}", new.escape_ascii());
        }
    }
}

#[test]
fn p01_p10_an_open_version_keeps_its_type() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    client.set("state", &json!({"a": 1}));
    let mount = TempMount::new(&storage);
    let path = mount.store(STORE).join("state");
    let opened = File::open(&path).unwrap();
    let json = Some("application/json; charset=utf-8".to_owned());
    assert_eq!(content_type(&opened).unwrap(), json);
    client.set("state", &json!("words"));
    // By path, the kernel may ask for the version that it knows, until it is told of the new one.
    wait_until("the new type is shown", || mime_type(&path) == "text/plain; charset=utf-8");
    let shown = content_type(&opened).unwrap();
    assert!(shown.is_none() || shown == json, "the old bytes are shown as {shown:?}");
}
