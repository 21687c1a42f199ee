//! What the commands print as JSON, checked against docs/output.schema.json.

use std::fs;

use crate::common::schemas::{can_validate, complaint};
use crate::common::{
    METADATA, PROGRAM, TempMount, TempStorage, can_mount, clean_environment, temp_dir,
};

/// What a command prints with `--json`, whatever it ends with, on one line.
#[track_caller]
fn json(storage: &TempStorage, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(PROGRAM);
    clean_environment(&mut command);
    command.arg("--source").arg(storage.path()).args(arguments).arg("--json");
    let output = command.output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    printed.to_string()
}

#[track_caller]
fn is_valid(printed: &str, definition: &str) {
    let complaint = complaint("output.schema.json", &format!("#/$defs/{definition}"), printed);
    assert_eq!(complaint, None, "{definition}: {printed}");
}

#[test]
fn each_command_prints_what_its_schema_says() {
    let storage = TempStorage::of_fixture("python/values");
    fs::write(storage.store("default").join("bare"), "x").unwrap();
    fs::create_dir(storage.store("damaged")).unwrap();
    fs::write(storage.store("damaged").join(METADATA), "no JSON").unwrap();
    let target = temp_dir();
    let to = target.path().to_str().unwrap().to_owned();
    for (arguments, definition) in [
        (&["stores"][..], "stores"),
        (&["info"], "info"),
        (&["info", "kinds"], "info_store"),
        (&["keys", "kinds"], "keys"),
        (&["doctor"], "doctor"),
        (&["doctor", "--system"], "doctor_system"),
        (&["adopt"], "adopt"),
        (&["copy", "default", "kinds", "--to", &to], "copy"),
        (&["purge", "default", "--dry-run"], "purge_dry_run"),
        (&["purge", "kinds", "--keep-purged", "1h"], "purge"),
        (&["info", "kinds"], "info_store"),
        (&["unpurge", "kinds"], "unpurge"),
        (&["purge", "default"], "purge"),
        (&["rescue"], "rescue"),
    ] {
        let printed = json(&storage, arguments);
        assert!(printed.len() > 2 || definition == "rescue", "{arguments:?}: {printed}");
        is_valid(&printed, definition);
    }
}

#[test]
fn what_is_told_of_a_mount_is_as_its_schema_says() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::of_fixture("python/values");
    let mount = TempMount::new(&storage);
    let mountpoint = mount.path().to_str().unwrap().to_owned();
    fs::read(mount.store("kinds").join("dict")).unwrap();
    let mounts = json(&storage, &["status"]);
    assert!(mounts.contains(&mountpoint), "{mounts}");
    is_valid(&mounts, "status");
    is_valid(&json(&storage, &["top", &mountpoint, "--once", "--interval", "0.2"]), "top");
}

#[test]
fn the_schema_of_what_is_printed_leaves_nothing_open() {
    if !can_validate() {
        return;
    }
    let refused = |definition: &str, document: &str| {
        let complaint = complaint("output.schema.json", &format!("#/$defs/{definition}"), document);
        assert!(complaint.is_some(), "{definition}: {document}");
    };
    refused("keys", r#"[{"key":"k","content_type":"a/b"}]"#);
    refused("keys", r#"[{"key":"k","content_type":"a/b","size":1,"unheard_of":1}]"#);
    refused("purge", r#"[{"store":"s","removed":-1,"bytes":0,"spared":[],"undoable_until":null}]"#);
    refused("adopt", r#"[{"store":"s","adopted":"two","failed":0}]"#);
}
