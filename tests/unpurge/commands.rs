//! `storefs purge --dry-run`, `purge --keep-purged`, `unpurge` and what `info` counts.

use std::fs;

use serde_json::{Value, json};

use crate::common::{METADATA, PROGRAM, TempStorage, names, sqlite, temp_dir, tree, wait_until};
use crate::help::{fails, kept, metadata, records, run, run_json, seeded, set, with_source};

#[test]
fn a_dry_run_tells_what_would_go_and_changes_nothing() {
    let storage = seeded();
    let dir = storage.store("default");
    fs::write(dir.join("left.abcd_123.tmp"), "litter").unwrap();
    fs::write(dir.join("bare"), "bare").unwrap();
    fs::write(dir.join(format!("orphan.{METADATA}")), "{}").unwrap();
    let before = tree(&storage.path());
    let told = run_json(&storage, &["purge", "--dry-run"]);
    assert_eq!(tree(&storage.path()), before);
    let mut rows: Vec<Value> = told.as_array().unwrap().clone();
    rows.sort_by_key(|row| row["key"].as_str().unwrap().to_owned());
    let row = |key: &str, fate: &str, litter: bool, size: u64| json!({"store": "default", "key": key, "fate": fate, "litter": litter, "size": size});
    assert_eq!(
        rows,
        [
            row("INPUT.json", "spared", false, 2),
            row("a", "removed", false, 5),
            row("b/c", "removed", false, 5),
            row("bare", "removed", false, 4),
            row("d", "removed", false, 5),
            row("left.abcd_123.tmp", "removed", true, 6),
        ]
    );
    let table = run(&storage, &["purge", "--dry-run"]);
    assert!(table.contains("default\tINPUT.json\tspared\t2\n"), "{table}");
    assert!(table.contains("default\tb/c\tremoved\t5\n"), "{table}");
    // What was told is what happens.
    let purged = run_json(&storage, &["purge"]);
    assert_eq!((&purged[0]["removed"], &purged[0]["bytes"]), (&json!(5), &json!(25)));
    assert_eq!(purged[0]["undoable_until"], Value::Null);
    let said = fails(&storage.path(), &["purge", "--dry-run", "no-such"], 3);
    assert!(said.contains("no-such"), "{said}");
}

#[test]
fn an_undone_purge_has_all_as_it_was() {
    let storage = seeded();
    let dir = storage.store("default");
    fs::write(dir.join("left.abcd_123.tmp"), "litter").unwrap();
    let (before, known) = (tree(&dir), metadata(&dir));
    let purged = run_json(&storage, &["purge", "--keep-purged", "1h"]);
    assert_eq!((&purged[0]["removed"], &purged[0]["bytes"]), (&json!(4), &json!(21)));
    let until: jiff::Timestamp = purged[0]["undoable_until"].as_str().unwrap().parse().unwrap();
    let left = until.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3500..=3600).contains(&left), "{left} s are left of an hour");
    let input = format!("INPUT.json.{METADATA}");
    let stays = [METADATA, "INPUT.json", &input, "sub-directory"].map(String::from);
    assert_eq!(names(&dir), stays.into());
    let info = run_json(&storage, &["info", "default"]);
    assert_eq!((&info["purges_kept"], &info["bytes_kept"]), (&json!(1), &json!(21)));
    assert_eq!(info["undoable_until"], purged[0]["undoable_until"]);
    let info = run_json(&storage, &["info"]);
    assert_eq!((&info["purges_kept"], &info["bytes_kept"]), (&json!(1), &json!(21)));
    // An SDK has no directory but the stores', and those of its own kind.
    assert_eq!(names(&storage.path().join("key_value_stores")), ["default".to_owned()].into());

    let undone = run_json(&storage, &["unpurge"]);
    assert_eq!((&undone[0]["restored"], &undone[0]["left"]), (&json!(4), &json!([])));
    let after = tree(&dir);
    let without_metadata = |mut files: std::collections::BTreeMap<_, _>| {
        files.remove(std::path::Path::new(METADATA));
        files
    };
    assert_eq!(without_metadata(after), without_metadata(before));
    let now = metadata(&dir);
    for field in ["id", "name", "createdAt"] {
        assert_eq!(now[field], known[field], "{field}");
    }
    assert_ne!(now["modifiedAt"], known["modifiedAt"]);
    assert_eq!(now["modifiedAt"], now["accessedAt"]);
    assert_eq!(kept(&storage.path()), 0);
    let said = fails(&storage.path(), &["unpurge"], 3);
    assert!(said.contains("nothing is kept of a purge of store 'default'"), "{said}");
}

#[test]
fn records_made_since_stay_and_the_old_ones_are_told() {
    let storage = seeded();
    run(&storage, &["purge", "--keep-purged", "1h"]);
    set(&storage, "default", "b/c", "new b", "text/x-new");
    set(&storage, "default", "e", "new e", "text/x-new");
    let undone = run_json(&storage, &["unpurge", "default"]);
    assert_eq!((&undone[0]["restored"], &undone[0]["left"]), (&json!(2), &json!(["b/c"])));
    let record = |value: &str, kind: &str| (value.to_owned(), format!("text/x-{kind}"));
    let expected = [
        ("INPUT.json", record("{}", "input")),
        ("a", record("old a", "old")),
        ("b%2Fc", record("new b", "new")),
        ("d", record("old d", "old")),
        ("e", record("new e", "new")),
    ];
    let expected = expected.map(|(name, record)| (name.to_owned(), record)).into();
    assert_eq!(records(&storage.store("default")), expected);
    let stays = storage.store("default").join("sub-directory/file");
    assert_eq!(fs::read_to_string(stays).unwrap(), "stays");
}

#[test]
fn purges_are_undone_the_last_one_first() {
    let storage = seeded();
    run(&storage, &["purge", "--keep-purged", "1h"]);
    set(&storage, "default", "second", "2", "text/plain");
    run(&storage, &["purge", "--keep-purged", "1h"]);
    assert_eq!(run_json(&storage, &["info", "default"])["purges_kept"], 2);
    run(&storage, &["unpurge"]);
    let names =
        |storage: &TempStorage| records(&storage.store("default")).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&storage), ["INPUT.json", "second"]);
    run(&storage, &["unpurge"]);
    assert_eq!(names(&storage), ["INPUT.json", "a", "b%2Fc", "d", "second"]);
}

#[test]
fn a_renamed_store_gets_back_what_was_purged_and_a_new_one_does_not() {
    let storage = seeded();
    set(&storage, "one", "k", "v", "text/plain");
    run(&storage, &["purge", "one", "--keep-purged", "1h"]);
    run(&storage, &["rename", "one", "other"]);
    run(&storage, &["create", "one"]);
    let said = fails(&storage.path(), &["unpurge", "one"], 3);
    assert!(said.contains("'one'"), "{said}");
    run(&storage, &["drop", "one"]);
    run(&storage, &["unpurge", "other"]);
    assert_eq!(records(&storage.store("other")).len(), 1);
}

#[test]
fn what_is_kept_ends_by_itself() {
    let storage = seeded();
    run(&storage, &["purge", "--keep-purged", "0.01"]);
    fails(&storage.path(), &["unpurge"], 3);
    // The next command that writes finds it.
    run(&storage, &["create", "another"]);
    assert_eq!(kept(&storage.path()), 0);
    run(&storage, &["purge", "--keep-purged", "0"]);
    assert_eq!(kept(&storage.path()), 0, "a time of 0 keeps nothing");
}

#[test]
fn a_store_of_crawlee_js_3_is_brought_back_too() {
    let storage = TempStorage::empty();
    let dir = storage.store("default");
    fs::create_dir_all(&dir).unwrap();
    for name in ["INPUT.json", "OUTPUT.json", "page.html", "text.txt"] {
        fs::write(dir.join(name), "\"x\"").unwrap();
    }
    let before = tree(&dir);
    run(&storage, &["purge", "--keep-purged", "1h"]);
    assert_eq!(names(&dir), ["INPUT.json".to_owned()].into());
    let undone = run_json(&storage, &["unpurge"]);
    assert_eq!(undone[0]["restored"], 3);
    assert_eq!(tree(&dir), before);
}

#[test]
fn a_database_says_that_it_keeps_nothing_and_purges_nothing() {
    let dir = temp_dir();
    let file = dir.path().join("crawlee.db");
    sqlite::make(&file);
    let value = dir.path().join("value");
    fs::write(&value, "12345").unwrap();
    for key in ["INPUT", "k"] {
        let set = with_source(&file, &["set", "default", key, value.to_str().unwrap()]).status();
        assert!(set.unwrap().success());
    }
    let said = fails(&file, &["purge", "--keep-purged", "1h"], 1);
    assert!(said.contains("only a storage directory can keep it"), "{said}");
    let json = |arguments: &[&str]| -> Value {
        let output = with_source(&file, arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let told = json(&["purge", "--dry-run", "--json"]);
    let fates: Vec<&Value> = told.as_array().unwrap().iter().map(|row| &row["fate"]).collect();
    assert_eq!(fates, ["spared", "removed"], "{told}");
    fails(&file, &["unpurge"], 3);
    assert_eq!(json(&["info", "--json"])["purges_kept"], 0);
    let purged = json(&["purge", "--json"]);
    assert_eq!((&purged[0]["removed"], &purged[0]["bytes"]), (&json!(1), &json!(5)));
    let mountpoint = dir.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let mut mount = std::process::Command::new(PROGRAM);
    let mount = mount.args(["mount", "--keep-purged", "1h"]).arg(&file).arg(&mountpoint).output();
    let mount = mount.unwrap();
    let said = String::from_utf8(mount.stderr).unwrap();
    assert!(!mount.status.success() && said.contains("--keep-purged"), "{said}");
    wait_until("no mount is there", || fs::read_dir(&mountpoint).unwrap().next().is_none());
}
