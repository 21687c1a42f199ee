//! `@purge` in mounts: what it tells, and `undo`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{
    METADATA, TempMount, TempStorage, can_mount, mime_type, names, schemas, sh, sqlite, staged,
    temp_dir, wait_until,
};
use crate::help::{kept, records, run, seeded, set};

fn text(store: &Path) -> String {
    fs::read_to_string(store.join("@purge")).unwrap()
}

fn report(store: &Path) -> Value {
    serde_json::from_str(&text(store)).unwrap()
}

fn pull(store: &Path, content: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(store.join("@purge"))?.write_all(content.as_bytes())
}

#[track_caller]
fn errno<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> Errno {
    Errno::from_io_error(&outcome.unwrap_err()).unwrap()
}

/// Checks texts of `@purge` against docs/purge.schema.json, field by field, and by a validator where there is one.
#[track_caller]
fn are_valid(texts: &[String]) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/purge.schema.json");
    let known: Value = serde_json::from_slice(&fs::read(&schema).unwrap()).unwrap();
    let fields = known["properties"].as_object().unwrap();
    for text in texts {
        let told: Value = serde_json::from_str(text).unwrap();
        let told = told.as_object().unwrap();
        assert_eq!(told.keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>());
        assert!(known["properties"]["state"]["enum"].as_array().unwrap().contains(&told["state"]));
    }
    let texts = texts.concat();
    assert_eq!(schemas::complaint("purge.schema.json", "", &texts), None, "{texts}");
}

#[test]
fn the_control_file_tells_all_of_a_purge_as_its_schema_says() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut texts = vec![text(&store)];
    let nothing = json!({
        "store": "default", "state": "none", "purged_at": null, "by": null, "removed": null,
        "bytes": null, "spared": null, "undoable_until": null,
    });
    assert_eq!(report(&store), nothing);
    let shell = sh("echo $$; echo 1 > @purge", &store);
    texts.push(text(&store));
    wait_until("it is cleared", || report(&store)["state"] == "cleared");
    texts.push(text(&store));
    let told = report(&store);
    assert_eq!((&told["removed"], &told["bytes"]), (&json!(3), &json!(15)));
    assert_eq!((&told["spared"], &told["undoable_until"]), (&json!(["INPUT.json"]), &Value::Null));
    let uid = rustix::process::getuid().as_raw();
    let pid: u32 = shell.trim().parse().unwrap();
    assert_eq!(told["by"], json!({"uid": uid, "pid": pid, "command": "bash"}));
    let at: jiff::Timestamp = told["purged_at"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(at).as_secs() < 120, "{at}");
    mount.unmount();

    // What a command keeps, a mount tells, which has not seen the purge.
    set(&storage, "default", "k", "12345", "text/plain");
    run(&storage, &["purge", "--keep-purged", "1h"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    texts.push(text(&store));
    let told = report(&store);
    assert_eq!((&told["state"], &told["by"]["command"]), (&json!("kept"), &json!("storefs")));
    assert_eq!((&told["removed"], &told["bytes"]), (&json!(1), &json!(5)));
    assert!(told["undoable_until"].is_string(), "{told}");
    sh("echo undo > @purge", &store);
    texts.push(text(&store));
    assert_eq!(report(&store), nothing);
    are_valid(&texts);
}

#[test]
fn a_database_tells_of_its_purges_too() {
    if !can_mount() {
        return;
    }
    let dir = temp_dir();
    let file = dir.path().join("crawlee.db");
    sqlite::make(&file);
    let mount = TempMount::configured(&file, |command| {
        command.arg("--cache-dir").arg(dir.path().join("spool"));
    });
    fs::create_dir(mount.store("default")).unwrap();
    let store = mount.store("default");
    let mut texts = vec![text(&store)];
    sh("echo 12345 > k; echo '{}' > INPUT.json; echo 1 > @purge", &store);
    texts.push(text(&store));
    let told = report(&store);
    assert_eq!((&told["state"], &told["removed"]), (&json!("cleared"), &json!(1)));
    assert_eq!((&told["bytes"], &told["undoable_until"]), (&json!(6), &Value::Null));
    assert_eq!(errno(pull(&store, "undo")), Errno::NODATA);
    are_valid(&texts);
}

#[test]
fn a_purge_is_undone_for_whoever_looks() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let before = records(&storage.store("default"));
    // Were the kernel not told, it would go on answering by itself.
    let mount = TempMount::with_options(&storage, &["--keep-purged", "1h", "--ttl", "3600"]);
    let store = mount.store("default");
    for content in ["1", "1\n"] {
        let reader = File::open(store.join("a")).unwrap();
        sh("cat a b%2Fc d > /dev/null; ls -l > /dev/null", &store);
        pull(&store, content).unwrap();
        assert_eq!(names(&store), [METADATA, "INPUT.json"].map(String::from).into());
        assert_eq!(errno(fs::metadata(store.join("a"))), Errno::NOENT);
        wait_until("it is kept", || report(&store)["state"] == "kept");
        assert!(report(&store)["undoable_until"].is_string());
        pull(&store, content.replace('1', "undo").as_str()).unwrap();
        assert_eq!(fs::read_to_string(store.join("a")).unwrap(), "old a");
        assert_eq!(fs::read_to_string(store.join("b%2Fc")).unwrap(), "old b");
        assert_eq!(mime_type(&store.join("d")), "text/x-old");
        let shown = [METADATA, "INPUT.json", "a", "b%2Fc", "d"].map(String::from);
        assert_eq!(names(&store), shown.into());
        assert_eq!(std::io::read_to_string(reader).unwrap(), "old a");
        assert_eq!(records(&storage.store("default")), before);
    }
    assert_eq!(errno(pull(&store, "undo")), Errno::NODATA);
    wait_until("nothing is left", || staged(&storage.path()).is_empty());
    let stays = storage.store("default").join("sub-directory/file");
    assert_eq!(fs::read_to_string(stays).unwrap(), "stays");
}

#[test]
fn p15_no_other_text_undoes_a_purge() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = TempMount::with_options(&storage, &["--keep-purged", "1h"]);
    let store = mount.store("default");
    pull(&store, "1").unwrap();
    for content in ["und", "undo ", " undo", "UNDO", "undo\n\n", "undo\r\n", "undone", "1undo"] {
        assert_eq!(errno(pull(&store, content)), Errno::INVAL, "{content:?}");
    }
    assert_eq!(names(&store), [METADATA, "INPUT.json"].map(String::from).into());
    // A newline may come in a write of its own.
    let mut control = OpenOptions::new().write(true).open(store.join("@purge")).unwrap();
    control.write_all(b"undo").unwrap();
    control.write_all(b"\n").unwrap();
    assert_eq!(fs::read_to_string(store.join("a")).unwrap(), "old a");
}

#[test]
fn what_is_being_written_goes_over_what_comes_back() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = TempMount::with_options(&storage, &["--keep-purged", "1h"]);
    let store = mount.store("default");
    pull(&store, "1").unwrap();
    fs::write(store.join("d"), "new d").unwrap();
    let mut begun = File::create(store.join("a")).unwrap();
    begun.write_all(b"new").unwrap();
    let mut again = OpenOptions::new().append(true).open(store.join("d")).unwrap();
    again.write_all(b" and more").unwrap();
    pull(&store, "undo").unwrap();
    begun.write_all(b" a").unwrap();
    nix::unistd::close(begun).unwrap();
    nix::unistd::close(again).unwrap();
    let value = |name: &str| fs::read_to_string(store.join(name)).unwrap();
    assert_eq!((value("a"), value("d")), ("new a".to_owned(), "new d and more".to_owned()));
    assert_eq!(value("b%2Fc"), "old b");
    assert_eq!(records(&storage.store("default")).len(), 4);
}

#[test]
fn what_is_kept_ends_in_a_live_mount_and_across_restarts() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::with_options(&storage, &["--keep-purged", "2"]);
    let store = mount.store("default");
    pull(&store, "1").unwrap();
    wait_until("it is kept", || report(&store)["state"] == "kept");
    wait_until("it has ended", || kept(&storage.path()) == 0);
    assert_eq!(report(&store)["state"], "ended");
    assert_eq!(errno(pull(&store, "undo")), Errno::NODATA);
    fs::write(store.join("k"), "v").unwrap();
    pull(&store, "1").unwrap();
    mount.kill();
    assert_eq!(kept(&storage.path()), 1);
    mount.start();
    wait_until("it has ended", || kept(&storage.path()) == 0);
}

#[test]
fn of_a_dataset_nothing_is_kept() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let dataset = storage.path().join("datasets/default");
    fs::create_dir_all(&dataset).unwrap();
    fs::write(dataset.join("000000001.json"), "{}").unwrap();
    fs::create_dir_all(storage.store("default")).unwrap();
    let mount = TempMount::with_options(&storage, &["--keep-purged", "1h"]);
    let shown = mount.path().join("datasets/default");
    pull(&shown, "1").unwrap();
    wait_until("it is cleared", || report(&shown)["state"] == "cleared");
    assert_eq!(report(&shown)["undoable_until"], Value::Null);
    assert_eq!(errno(pull(&shown, "undo")), Errno::NODATA);
}
