//! An input that was dropped in through the mount is what the Actor gets.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{TempMount, TempStorage, sh, temp_dir};
use crate::sdk::{Js, Python, answer_of};

/// Drops an input into a new default store through the mount, with cp.
#[track_caller]
fn drop_input(mount: &TempMount, name: &str, content: &[u8]) {
    let outside = temp_dir();
    fs::write(outside.path().join(name), content).unwrap();
    let store = mount.store("default");
    sh(&format!("mkdir '{0}'; cp '{name}' '{0}/'", store.display()), outside.path());
}

/// What a run of an Actor gets that starts with this input. The SDK's look at the store's directory differs
/// with an absolute and a relative storage directory (FORMAT 8.2), so both are asked.
#[track_caller]
fn check_actor_input(name: &str, content: &[u8], expected: &Value) {
    let Some(python) = Python::find() else { return };
    for relative in [false, true] {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        drop_input(&mount, name, content);
        let mut command = python.command(&["input"]);
        command.current_dir(storage.beside());
        let path = storage.path();
        command.env("APIFY_LOCAL_STORAGE_DIR", if relative { Path::new("storage") } else { &path });
        assert_eq!(answer_of(command, &Value::Null), *expected, "{name}, relative: {relative}");
        assert_eq!(fs::read(mount.store("default").join(name)).unwrap(), content);
    }
}

#[test]
fn p10_actor_gets_the_json_input_that_was_dropped_in() {
    check_actor_input(
        "INPUT.json",
        b"{\"maxItems\": 3}",
        &json!({"type": "dict", "value": {"maxItems": 3}}),
    );
}

#[test]
fn p10_actor_gets_the_bare_input_that_was_dropped_in() {
    check_actor_input("INPUT", b"{\"a\": [1]}", &json!({"type": "dict", "value": {"a": [1]}}));
}

#[test]
fn p10_actor_gets_the_text_input_that_was_dropped_in() {
    check_actor_input("INPUT.txt", b"{\"a\": 1}", &json!({"type": "str", "value": "{\"a\": 1}"}));
}

#[test]
fn p10_actor_gets_the_binary_input_that_was_dropped_in() {
    check_actor_input("INPUT.bin", b"\x00\xff", &json!({"type": "bytes", "hex": "00ff"}));
}

#[test]
fn p12_js3_actor_gets_the_input_that_was_dropped_in() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    drop_input(&mount, "INPUT.json", b"{\"maxItems\": 3}");
    let mut command = js.command(&["input"]);
    command.env("CRAWLEE_STORAGE_DIR", storage.path());
    assert_eq!(
        answer_of(command, &Value::Null),
        json!({"type": "object", "value": {"maxItems": 3}})
    );
    assert_eq!(fs::read(mount.store("default").join("INPUT.json")).unwrap(), b"{\"maxItems\": 3}");
}
