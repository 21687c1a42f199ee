//! What `storefs doctor` says of a bucket, and what it does about it.

use std::fs;

use serde_json::json;

use crate::common::{METADATA, wait_until};
use crate::database::{Database, STORE, on_rclone, sidecar_key, value_key};
use crate::proxy::{Fault, Proxy, Request};

/// What it finds, whether or not anything is wrong.
#[track_caller]
fn found(db: &Database) -> String {
    let output = db.try_run(&["doctor", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("cannot"), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn uploads_that_nobody_has_completed_are_listed_and_those_of_late_are_left() {
    let Some(db) = Database::fresh() else { return };
    db.run(&["create", STORE]);
    let key = value_key(STORE, "half");
    db.objects().ask(&json!({"do": "upload", "key": key, "value": "x"}));
    // It may be on its way: nothing is wrong.
    let told = db.run(&["doctor", "--json", "--repair"]);
    assert!(told.contains("recent-upload") && told.contains("half"), "{told}");
    assert_eq!(db.objects().ask(&json!({"do": "uploads"})), json!([key]));
}

#[test]
fn a_server_that_ignores_conditions_is_told() {
    on_rclone(|db| {
        db.run(&["create", STORE]);
        let told = found(db);
        assert!(told.contains("ignored-conditions"), "{told}");
    });
    let Some(db) = Database::fresh() else { return };
    assert!(!found(&db).contains("ignored-conditions"));
}

#[test]
fn sidecars_that_are_lacking_or_left_are_mended() {
    let Some(db) = Database::fresh() else { return };
    db.run(&["create", STORE]);
    let value = db.beside().join("value");
    fs::write(&value, "value").unwrap();
    db.run(&["set", STORE, "k", value.to_str().unwrap()]);
    let said = db.objects().sidecar(STORE, "k");
    db.objects().delete(&sidecar_key(STORE, "k"));
    db.objects().put(&sidecar_key(STORE, "gone"), said.to_string().as_bytes(), "application/json");
    let told = found(&db);
    assert!(told.contains("bare-file") && told.contains("dangling-sidecar"), "{told}");
    db.try_run(&["doctor", "--repair"]);
    assert_eq!(db.objects().sidecar(STORE, "k"), said);
    assert!(db.objects().get(&sidecar_key(STORE, "gone")).is_none());
}

/// The value is published, and its sidecar follows with the next times of the store.
#[test]
fn p4_a_sidecar_that_could_not_be_written_follows() {
    let Some(direct) = Database::fresh() else { return };
    direct.run(&["create", STORE]);
    let proxy = Proxy::to(direct.place.port);
    let through = direct.as_seen_from(direct.place.through(proxy.port()));
    let mount = through.mount();
    let end = format!("/k.{METADATA}");
    let is_sidecar = move |request: &Request| request.method == "PUT" && request.is_for(&end);
    proxy.befall(1, is_sidecar, Fault::Answered(403, "AccessDenied"));
    fs::write(mount.store(STORE).join("k"), "value").unwrap();
    assert_eq!(direct.objects().get(&value_key(STORE, "k")).unwrap().bytes, b"value");
    wait_until("the sidecar is there", || direct.objects().get(&sidecar_key(STORE, "k")).is_some());
    assert_eq!(proxy.to_come(), 0, "it was denied once");
    assert_eq!(direct.objects().sidecar(STORE, "k")["size"], 5);
}
