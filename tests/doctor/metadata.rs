//! Store metadata.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::METADATA;
use crate::{STORE, findings, found, make_store, path, put, storage};

const TIMES: &str = "\"accessed_at\": \"2026-11-24 09:11:11+00:00\", \
    \"created_at\": \"2026-11-24 09:11:11+00:00\", \"modified_at\": \"2026-11-24 09:11:11+00:00\"";

#[test]
fn p19_damaged_metadata_is_listed_and_never_touched() {
    let long = format!("{{\"id\": \"{}\"}}", "x".repeat(1024 * 1024));
    for text in [
        &b""[..],
        b"{no",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"id\": \"\xff\"}",
        b"{}",
        b"{\"id\": 5, \"name\": \"s\"}",
        b"{\"id\": \"x\", \"name\": \"s\"}",
        b"{\"id\": \"x\", \"name\": \"s\", \"createdAt\": null, \"accessedAt\": null, \"modifiedAt\": null}",
        format!("{{\"id\": \"x\", \"name\": 5, {TIMES}}}").as_bytes(),
        format!("{{\"name\": \"s\", {TIMES}}}").as_bytes(),
        format!("{{\"id\": \"x\", \"name\": \"s\", {}}}", TIMES.replace("11:11+00:00", "11:11")).as_bytes(),
        long.as_bytes(),
    ] {
        let storage = storage();
        fs::write(path(&storage, METADATA), text).unwrap();
        let shown = String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned();
        assert_eq!(found(&storage, &[]), ["__metadata__.json damaged-metadata left"], "{shown}");
        assert_eq!(found(&storage, &["--repair"]), ["__metadata__.json damaged-metadata left"]);
        assert_eq!(fs::read(path(&storage, METADATA)).unwrap(), text, "{shown}");
    }
}

#[test]
fn metadata_with_a_time_in_both_spellings_or_another_name_is_told() {
    let storage = storage();
    let text = format!(
        "{{\"id\": \"x\", \"name\": \"s\", {TIMES}, \"createdAt\": \"2026-11-24T09:11:11Z\"}}"
    );
    put(&storage, METADATA, text.as_bytes());
    assert_eq!(found(&storage, &["--repair"]), ["__metadata__.json both-spellings left"]);
    assert_eq!(fs::read(path(&storage, METADATA)).unwrap(), text.as_bytes());

    put(&storage, METADATA, format!("{{\"id\": \"x\", \"name\": \"other\", {TIMES}}}").as_bytes());
    assert_eq!(found(&storage, &["--repair"]), ["__metadata__.json mismatched-name left"]);
    // An alias store has no name, whatever its directory is called.
    put(&storage, METADATA, format!("{{\"id\": \"x\", \"name\": null, {TIMES}}}").as_bytes());
    assert_eq!(found(&storage, &[]), [""; 0]);
}

#[test]
fn metadata_that_is_no_plain_file_is_told() {
    let storage = storage();
    fs::rename(path(&storage, METADATA), storage.beside().join("elsewhere")).unwrap();
    symlink(storage.beside().join("elsewhere"), path(&storage, METADATA)).unwrap();
    let expected = ["__metadata__.json damaged-metadata left", "__metadata__.json link left"];
    assert_eq!(found(&storage, &["--repair"]), expected);
    fs::remove_file(path(&storage, METADATA)).unwrap();
    fs::create_dir(path(&storage, METADATA)).unwrap();
    let expected =
        ["__metadata__.json damaged-metadata left", "__metadata__.json sub-directory left"];
    assert_eq!(found(&storage, &["--repair"]), expected);
}

#[test]
fn missing_metadata_is_made_where_there_are_sidecars() {
    let storage = storage();
    fs::remove_file(path(&storage, METADATA)).unwrap();
    assert_eq!(found(&storage, &[]), ["__metadata__.json missing-metadata repairable"]);
    assert_eq!(found(&storage, &["--repair"]), ["__metadata__.json missing-metadata repaired"]);
    let text = fs::read(path(&storage, METADATA)).unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(metadata["name"], STORE);
    assert_eq!(metadata["id"].as_str().unwrap().len(), 17);

    // The store of a run that has not begun: an input, and nothing else.
    let fresh = storage.store("default");
    fs::create_dir(&fresh).unwrap();
    fs::write(fresh.join("INPUT.json"), "{}").unwrap();
    assert_eq!(found(&storage, &[]), [""; 0]);
}

#[test]
fn two_stores_of_one_id_are_told() {
    let storage = storage();
    make_store(&storage, "t");
    fs::copy(path(&storage, METADATA), storage.store("t").join(METADATA)).unwrap();
    let text = fs::read_to_string(storage.store("t").join(METADATA)).unwrap();
    fs::write(storage.store("t").join(METADATA), text.replace("\"s\"", "\"t\"")).unwrap();
    let all = findings(&storage, &["--repair"]);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["store"], &all[0]["kind"], &all[0]["state"]),
        (&json!("t"), &json!("duplicate-id"), &json!("left"))
    );
    assert!(all[0]["problem"].as_str().unwrap().contains("'s'"), "{all:?}");
}
