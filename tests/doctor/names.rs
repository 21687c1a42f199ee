//! Names that no SDK would have given, inputs, and stores of Crawlee JS 3.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::common::TempStorage;
use crate::{OLD, STORE, age, findings, found, path, put, record, sidecar, storage};

#[test]
fn a_file_that_no_sdk_finds_takes_the_name_of_its_key() {
    let storage = storage();
    put(&storage, "my file.txt", b"text");
    put(&storage, "typed file", b"{}");
    let text = b"{\"key\": \"typed file\", \"content_type\": \"application/ld+json\", \"size\": 2}";
    put(&storage, "typed file.__metadata__.json", text);
    let expected =
        |state: &str| ["my file.txt", "typed file"].map(|k| format!("{k} foreign-name {state}"));
    assert_eq!(found(&storage, &[]), expected("repairable"));
    assert_eq!(found(&storage, &["--repair"]), expected("repaired"));
    let sidecar = |name| sidecar(&storage, name);
    assert_eq!(sidecar("my%20file.txt")["key"], "my file.txt");
    let expected = json!({"key": "typed file", "contentType": "application/ld+json", "size": 2});
    assert_eq!(sidecar("typed%20file"), expected);
    assert_eq!(fs::read(path(&storage, "my%20file.txt")).unwrap(), b"text");
    assert!(!path(&storage, "my file.txt").exists());
    assert!(!path(&storage, "typed file.__metadata__.json").exists());
    assert_eq!(found(&storage, &[]), [""; 0]);
}

#[test]
fn p19_files_that_stand_for_no_key_or_for_a_taken_one_are_left() {
    let storage = storage();
    let raw = path(&storage, OsStr::from_bytes(b"raw\xff\x1b"));
    fs::write(&raw, "foreign").unwrap();
    record(&storage, "b%20c", "text/plain", b"own");
    fs::write(
        path(&storage, "b%20c.__metadata__.json"),
        json!({"key": "b c", "contentType": "text/plain", "size": 3}).to_string(),
    )
    .unwrap();
    put(&storage, "b c", b"hidden");
    let long = "l".repeat(240);
    put(&storage, &long, b"no room for a sidecar");
    let before = storage.files();
    let expected = [
        "b c hidden-file left".to_owned(),
        format!("{long} bare-file left"),
        "raw\u{fffd}\u{1b} foreign-name left".to_owned(),
    ];
    assert_eq!(found(&storage, &[]), expected);
    assert_eq!(found(&storage, &["--repair"]), expected);
    assert_eq!(storage.files(), before);
    let raw = findings(&storage, &[]).into_iter().find(|f| f["kind"] == "foreign-name").unwrap();
    assert_eq!(raw["foreign"], true);
}

#[test]
fn several_inputs_are_told_by_name_and_left() {
    let storage = storage();
    for name in ["INPUT.json", "INPUT.json~", "INPUT.json.bak", "INPUT_SCHEMA.json"] {
        put(&storage, name, b"{}");
    }
    let inputs = findings(&storage, &[STORE]);
    let inputs = inputs.iter().find(|finding| finding["kind"] == "several-inputs").unwrap();
    let problem = inputs["problem"].as_str().unwrap();
    assert!(problem.starts_with("3 input files"), "{problem}");
    assert!(problem.contains("INPUT.json~") && problem.contains("INPUT.json.bak"), "{problem}");
    assert!(!problem.contains("SCHEMA"), "{problem}");
    assert_eq!(inputs["file"], json!(null));
    let left = found(&storage, &["--repair"]);
    assert!(left.contains(&"- several-inputs left".to_owned()), "{left:?}");
    assert!(path(&storage, "INPUT.json~").exists());

    fs::remove_file(path(&storage, "INPUT.json~")).unwrap();
    fs::remove_file(path(&storage, "INPUT.json.bak")).unwrap();
    assert_eq!(found(&storage, &[]), [""; 0]);
    // A temporary of an SDK counts too, but is one thing to be told of.
    put(&storage, "INPUT.json.abc12345.json.tmp", b"");
    age(&path(&storage, "INPUT.json.abc12345.json.tmp"), OLD);
    assert_eq!(found(&storage, &[]), ["INPUT.json.abc12345.json.tmp temporary repairable"]);
}

#[test]
fn an_input_that_the_apify_sdk_refuses_is_told() {
    for (name, value) in [
        ("INPUT.json", &b"{bad"[..]),
        ("INPUT.json", b""),
        ("INPUT", b"\xff"),
        ("INPUT.txt", b"\xff"),
        ("INPUT.json", b"\xef\xbb\xbf{}"),
    ] {
        let storage = storage();
        put(&storage, name, value);
        assert_eq!(found(&storage, &["--repair"]), [format!("{name} broken-input left")]);
        assert_eq!(fs::read(path(&storage, name)).unwrap(), value);
        // The key is the environment's or the option's.
        let other = found(&storage, &["--input-key", "IN"]);
        assert_eq!(other, [format!("{name} bare-file repairable")]);
    }
    let storage = storage();
    record(&storage, "INPUT.json", "application/json", b"{bad");
    assert_eq!(found(&storage, &[]), ["INPUT.json broken-input left"]);
    fs::remove_file(path(&storage, "INPUT.json")).unwrap();
    fs::remove_file(path(&storage, "INPUT.json.__metadata__.json")).unwrap();
    fs::create_dir(path(&storage, "INPUT.json")).unwrap();
    assert_eq!(found(&storage, &["--repair"]), ["INPUT.json broken-input left"]);
}

#[test]
fn a_store_of_js3_is_examined_by_its_own_rules() {
    let storage = TempStorage::of_fixture("js-v3/plain");
    assert_eq!(found(&storage, &[]), [""; 0]);
    let store = storage.store("kinds");
    fs::write(store.join("shot.jpg"), "x").unwrap();
    fs::write(store.join("notes.md"), "x").unwrap();
    fs::write(store.join("bad.json"), "{").unwrap();
    fs::write(store.join("INPUT.json"), "{").unwrap();
    fs::write(store.join("leftover.abcd_123.tmp"), "").unwrap();
    age(&store.join("leftover.abcd_123.tmp"), OLD);
    let expected = |state: &str| {
        vec![
            "kinds INPUT.json broken-input left".to_owned(),
            "kinds bad.json broken-json left".to_owned(),
            format!("kinds leftover.abcd_123.tmp temporary {state}"),
            "kinds notes.md unlisted-extension left".to_owned(),
            "kinds shot.jpg unlisted-extension left".to_owned(),
        ]
    };
    assert_eq!(found(&storage, &[]), expected("repairable"));
    assert_eq!(found(&storage, &["--repair"]), expected("repaired"));
    assert!(!store.join("__metadata__.json").exists(), "it stays in its layout");
    assert!(!store.join("shot.jpg.__metadata__.json").exists(), "it stays in its layout");
}
