//! Stores as objects: what a purge, a drop and a rename leave in the bucket, and what the metadata says.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::common::{METADATA, STORES, mime_type, names, sh, wait_until};
use crate::database::{Database, STORE, bytes, sidecar_key, value_key};

fn metadata(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path.join(METADATA)).unwrap()).unwrap()
}

/// The keys of a store's objects, without what all of them begin with.
fn objects_of(db: &Database, store: &str) -> Vec<String> {
    let at = format!("{STORES}/{store}/");
    let keys = db.objects().keys(&at);
    keys.into_iter().map(|key| key[at.len()..].to_owned()).collect()
}

pub(crate) fn p13_p14_p16_a_purge_spares_the_input_and_leaves_no_object(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    let store = mount.store(STORE);
    for name in ["INPUT", "INPUT.of-mine", "INPUTS", "a", "b.json", "\u{e9} \u{fc}"] {
        fs::write(store.join(name), "{}").unwrap();
    }
    db.objects().ask(
        &json!({"do": "fill", "prefix": format!("{STORES}/{STORE}"), "count": 1200, "value": "x"}),
    );
    wait_until("all are listed", || names(&store).len() == 1207);
    let before = metadata(&store);
    fs::write(store.join("@purge"), "1\n").unwrap();
    let after = metadata(&store);
    let spared = ["INPUT", "INPUT.of-mine", METADATA].map(str::to_owned);
    assert_eq!(names(&store), spared.clone().into());
    wait_until("another mount sees it", || names(&other.store(STORE)) == spared.clone().into());
    assert_eq!(fs::read(store.join("INPUT")).unwrap(), b"{}");
    let sidecar = |name: &str| format!("{name}.{METADATA}");
    let mut left = vec!["INPUT".to_owned(), "INPUT.of-mine".to_owned(), METADATA.to_owned()];
    left.extend([sidecar("INPUT"), sidecar("INPUT.of-mine")]);
    left.sort_unstable();
    let mut found = objects_of(db, STORE);
    found.sort_unstable();
    assert_eq!(found, left);
    for kept in ["id", "name", "createdAt"] {
        assert_eq!(after[kept], before[kept]);
    }
    assert_eq!(after["accessedAt"], after["modifiedAt"]);
    assert_ne!(after["modifiedAt"], before["modifiedAt"]);
    // Nothing else purges.
    for text in ["2", "11", "true"] {
        assert!(fs::write(store.join("@purge"), text).is_err(), "{text}");
    }
    assert_eq!(names(&store).len(), 3);
}

pub(crate) fn p16_another_input_is_spared_besides(db: &Database) {
    db.run(&["create", STORE]);
    let mount = db.mount_with(&["--input-key", "TASK"]);
    let store = mount.store(STORE);
    for name in ["INPUT", "TASK", "TASK.own", "other"] {
        fs::write(store.join(name), "{}").unwrap();
    }
    fs::write(store.join("@purge"), "1").unwrap();
    let spared = ["INPUT", "TASK", "TASK.own", METADATA].map(str::to_owned);
    assert_eq!(names(&store), spared.into());
}

pub(crate) fn p14_whoever_lists_during_a_purge_sees_no_torn_record(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount_with(&["--ttl", "0"]));
    fs::write(mount.store(STORE).join("INPUT"), "{}").unwrap();
    let fill = json!({"do": "fill", "prefix": format!("{STORES}/{STORE}"), "count": 300, "value": "whole"});
    for _ in 0..3 {
        db.objects().ask(&fill);
        thread::scope(|scope| {
            let purging =
                scope.spawn(|| fs::write(mount.store(STORE).join("@purge"), "1").unwrap());
            while !purging.is_finished() {
                for name in names(&other.store(STORE)) {
                    let path = other.store(STORE).join(&name);
                    match fs::read(&path) {
                        Ok(seen) if name == "INPUT" => assert_eq!(seen, b"{}"),
                        Ok(_) if name == METADATA => {}
                        Ok(seen) => assert_eq!(seen, b"whole", "{name}"),
                        Err(error) => {
                            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name}");
                            assert!(name != "INPUT" && name != METADATA);
                        }
                    }
                }
            }
            purging.join().unwrap();
        });
        assert_eq!(names(&mount.store(STORE)), ["INPUT", METADATA].map(str::to_owned).into());
    }
}

pub(crate) fn a_dropped_store_leaves_no_objects(db: &Database) {
    let mount = db.mount_with_store();
    for (how, store) in [("rm -r", "one"), ("storefs drop", "two"), ("rmdir", "three")] {
        let path = mount.store(store);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "x").unwrap();
        fs::write(path.join("large"), bytes(1, 20_000_000)).unwrap();
        match how {
            "rm -r" => fs::remove_dir_all(&path).unwrap(),
            "rmdir" => {
                assert!(fs::remove_dir(&path).is_err(), "it has records");
                fs::write(path.join("@purge"), "1").unwrap();
                fs::remove_dir(&path).unwrap();
            }
            _ => drop(db.run(&["drop", store])),
        }
        wait_until("it is gone", || !path.exists());
        assert_eq!(objects_of(db, store), Vec::<String>::new(), "{how}");
    }
    assert_eq!(objects_of(db, STORE), [METADATA]);
    assert_eq!(db.objects().ask(&json!({"do": "uploads"})), json!([]));
}

pub(crate) fn stores_and_records_move(db: &Database) {
    let mount = db.mount_with_store();
    let large = bytes(7, 20_000_000);
    fs::write(mount.store(STORE).join("large"), &large).unwrap();
    fs::write(mount.store(STORE).join("typed.html"), "<p>x</p>").unwrap();
    let id = metadata(&mount.store(STORE))["id"].clone();
    sh(
        "mv work moved; mkdir next; mv moved/large next/; mv -T moved/typed.html next/page",
        &mount.stores(),
    );
    assert!(fs::read(mount.store("next").join("large")).unwrap() == large);
    let page = mount.store("next").join("page");
    assert_eq!(mime_type(&page), "text/html; charset=utf-8");
    let mut objects = db.objects();
    let moved = objects.get(&value_key("next", "page")).unwrap();
    assert_eq!(
        (moved.bytes.as_slice(), moved.content_type.as_str()),
        (b"<p>x</p>".as_slice(), "text/html; charset=utf-8")
    );
    assert_eq!(objects.sidecar("next", "page")["key"], "page");
    assert!(objects.get(&value_key("moved", "typed.html")).is_none());
    assert!(objects.get(&sidecar_key("moved", "typed.html")).is_none());
    assert_eq!(objects_of(db, STORE), Vec::<String>::new());
    assert_eq!(metadata(&mount.store("moved"))["id"], id, "a rename keeps the id");
    assert_eq!(metadata(&mount.store("moved"))["name"], "moved");
    // Over one that has records: refused, as any directory.
    sh(
        "mkdir third; echo x > third/x; ! mv -T moved next 2>&1; ! mv -T third next 2>&1",
        &mount.stores(),
    );
    sh("mv third/x next/page; ! ls third/x 2>&1", &mount.stores());
    assert_eq!(fs::read(&page).unwrap(), b"x\n");
    db.run(&["rename", "moved", "again"]);
    wait_until("the new name is there", || mount.store("again").exists());
    wait_until("the old name is gone", || !mount.store("moved").exists());
}

pub(crate) fn metadata_is_a_file_that_can_be_edited(db: &Database) {
    let mount = db.mount_with_store();
    let file = mount.store(STORE).join(METADATA);
    let mut text = metadata(&mount.store(STORE));
    text["createdAt"] = json!("2024-01-15T10:30:00.000000+00:00");
    fs::write(&file, text.to_string()).unwrap();
    let kept = db.objects().get(&format!("{STORES}/{STORE}/{METADATA}")).unwrap();
    let kept: Value = serde_json::from_slice(&kept.bytes).unwrap();
    let created = kept.get("createdAt").or(kept.get("created_at")).and_then(Value::as_str).unwrap();
    assert!(created.starts_with("2024-01-15T10:30:00"), "{kept}");
    let mut garbage = fs::File::create(&file).unwrap();
    std::io::Write::write_all(&mut garbage, b"no metadata").unwrap();
    assert!(garbage.sync_all().is_err());
    drop(garbage);
    assert_eq!(metadata(&mount.store(STORE))["id"], text["id"]);
}

/// Whoever made them, and whenever: a store is there once there is an object in it.
pub(crate) fn stores_that_others_make_and_remove_are_seen(db: &Database) {
    let mount = db.mount_with(&["--ttl", "0"]);
    let mut objects = db.objects();
    objects.put(&value_key("theirs", "k.json"), b"{}", "application/json");
    wait_until("it is listed", || names(&mount.stores()).contains("theirs"));
    let store = mount.store("theirs");
    assert_eq!(names(&store).iter().filter(|name| *name != METADATA).count(), 1);
    objects.delete(&value_key("theirs", "k.json"));
    wait_until("it is gone", || !store.exists());
    assert!(names(&mount.stores()).is_empty());
}
