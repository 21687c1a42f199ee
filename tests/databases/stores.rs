//! Stores: their names and times, and what becomes of them by a purge, a drop and a rename.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{METADATA, names, sh, wait_until};
use crate::database::{Database, STORE, bytes};

/// Rows in the buffer of all stores.
fn buffered(db: &Database) -> u64 {
    db.number("SELECT count(*) FROM key_value_store_metadata_buffer")
}

fn metadata(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path.join(METADATA)).unwrap()).unwrap()
}

pub(crate) fn p13_p14_p16_a_purge_spares_the_input_in_one_step(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    let store = mount.store(STORE);
    for name in ["INPUT", "INPUT.of-mine", "INPUTS", "a", "b.json", "\u{e9} \u{fc}"] {
        fs::write(store.join(name), "{}").unwrap();
    }
    for n in 0..300 {
        fs::write(store.join(format!("r{n}")), "x").unwrap();
    }
    let before = metadata(&store);
    // Whoever looks sees all of it or none of it.
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            loop {
                let count = db.number("SELECT count(*) FROM key_value_store_records");
                assert!([306, 2].contains(&count), "{count}");
                if count == 2 {
                    return;
                }
            }
        });
        fs::write(store.join("@purge"), "1\n").unwrap();
        looking.join().unwrap();
    });
    let spared = ["INPUT", "INPUT.of-mine", METADATA].map(str::to_owned);
    assert_eq!(names(&store), spared.clone().into());
    wait_until("another mount sees it", || names(&other.store(STORE)) == spared.clone().into());
    assert_eq!(fs::read(store.join("INPUT")).unwrap(), b"{}");
    let after = metadata(&store);
    for kept in ["id", "name", "createdAt"] {
        assert_eq!(after[kept], before[kept]);
    }
    assert_eq!(after["accessedAt"], after["modifiedAt"]);
    assert_ne!(after["modifiedAt"], before["modifiedAt"]);
    assert_eq!(buffered(db), 0, "a purge folds them");
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

pub(crate) fn p14_the_client_finds_what_a_purge_left(db: &Database) {
    let mount = db.mount_with_store();
    let Some(mut client) = db.client(STORE) else { return };
    for n in 0..30 {
        client.set(&format!("k{n}"), &json!(n));
    }
    client.set("INPUT", &json!({"a": 1}));
    assert!(buffered(db) > 0);
    fs::write(mount.store(STORE).join("@purge"), "1").unwrap();
    assert_eq!(client.keys(), ["INPUT".to_owned()].into());
    assert_eq!(client.get("INPUT")["value"], json!({"a": 1}));
    client.ask(&json!({"purge": 1}));
    wait_until("the client's own purge is seen", || {
        names(&mount.store(STORE)) == [METADATA.to_owned()].into()
    });
}

pub(crate) fn a_dropped_store_leaves_no_rows(db: &Database) {
    let mount = db.mount_with_store();
    for (how, store) in [("rm -r", "one"), ("storefs drop", "two"), ("rmdir", "three")] {
        let path = mount.store(store);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "x").unwrap();
        fs::write(path.join("large"), bytes(1, 2_000_000)).unwrap();
        fs::read(path.join("a")).unwrap();
        assert!(buffered(db) > 0, "{how}");
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
        // What the mount still notes of the store is of one that is gone.
        for table in ["key_value_store_records", "key_value_store_metadata_buffer"] {
            assert_eq!(db.number(&format!("SELECT count(*) FROM {table}")), 0, "{how}: {table}");
        }
    }
    assert_eq!(db.sql("SELECT internal_name FROM key_value_stores"), STORE);
}

pub(crate) fn stores_and_records_move(db: &Database) {
    let mount = db.mount_with_store();
    let large = bytes(7, 3_000_000);
    fs::write(mount.store(STORE).join("large"), &large).unwrap();
    fs::write(mount.store(STORE).join("typed.html"), "<p>x</p>").unwrap();
    let id = db.sql("SELECT key_value_store_id FROM key_value_stores");
    sh(
        "mv work moved; mkdir next; mv moved/large next/; mv -T moved/typed.html next/page",
        &mount.stores(),
    );
    assert!(fs::read(mount.store("next").join("large")).unwrap() == large);
    assert_eq!(
        crate::common::mime_type(&mount.store("next").join("page")),
        "text/html; charset=utf-8"
    );
    let rows = "SELECT internal_name, name FROM key_value_stores ORDER BY internal_name";
    assert_eq!(db.sql(rows), "moved|moved\nnext|next");
    let moved = db.sql("SELECT key_value_store_id FROM key_value_stores WHERE name = 'moved'");
    assert_eq!(moved, id, "a rename keeps the id");
    // Over one that has records: refused, as any directory.
    sh(
        "mkdir third; echo x > third/x; ! mv -T moved next 2>&1; ! mv -T third next 2>&1",
        &mount.stores(),
    );
    sh("mv third/x next/page; ! ls third/x 2>&1", &mount.stores());
    assert_eq!(fs::read(mount.store("next").join("page")).unwrap(), b"x\n");
    db.run(&["rename", "moved", "again"]);
    wait_until("the new name is there", || mount.store("again").exists());
    wait_until("the old name is gone", || !mount.store("moved").exists());
    if let Some(mut client) = db.client("next") {
        assert_eq!(client.keys(), ["large", "page"].map(str::to_owned).into());
        assert_eq!(client.ask(&json!({"open": "again"})), json!(id));
    }
}

pub(crate) fn default_named_and_aliased_stores_have_their_names(db: &Database) {
    let mount = db.mount();
    let Some(mut client) = db.client("default") else { return };
    let default = client.ask(&json!({"open": "default"}));
    let aliased = client.ask(&json!({"open": "alias:by alias"}));
    let named = client.ask(&json!({"open": "named"}));
    wait_until("all are listed", || names(&mount.stores()).len() == 3);
    for (name, id, shown) in [
        ("default", default, Value::Null),
        ("by alias", aliased, Value::Null),
        ("named", named, json!("named")),
    ] {
        let found = metadata(&mount.store(name));
        assert_eq!((&found["id"], &found["name"]), (&id, &shown));
        fs::write(mount.store(name).join("k"), name).unwrap();
    }
    assert_eq!(client.get("k")["value"], "default");
    let mut aliased = db.client("alias:by alias").unwrap();
    assert_eq!(aliased.get("k")["value"], "by alias");
    // A store that the mount makes is one of a name, with an id as the client's.
    fs::create_dir(mount.store("made-here")).unwrap();
    // Who makes a store does not find its metadata before it is listed, so that a copy can bring its own.
    assert_eq!(names(&mount.store("made-here")), [METADATA.to_owned()].into());
    let id = metadata(&mount.store("made-here"))["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 17);
    assert_eq!(client.ask(&json!({"open": "made-here"})), json!(id));
}

pub(crate) fn p17_times_are_as_the_client_reads_them(db: &Database) {
    let mount = db.mount_with_store();
    let Some(mut client) = db.client(STORE) else { return };
    let mut times = || {
        let found = client.ask(&json!({"metadata": 1}));
        ["created_at", "accessed_at", "modified_at"].map(|time| found[time].as_f64().unwrap())
    };
    let first = times();
    let path = mount.store(STORE).join("k");
    thread::sleep(Duration::from_millis(20));
    fs::write(&path, "x").unwrap();
    let written = times();
    assert!(
        written[0] == first[0] && written[1] > first[1] && written[2] > first[2],
        "{written:?}"
    );
    thread::sleep(Duration::from_millis(20));
    let shown = fs::metadata(&path).unwrap();
    assert!((shown.mtime() as f64 - written[2]).abs() < 1.5);
    fs::read(&path).unwrap();
    wait_until("a read is noted", || times()[1] > written[1]);
    assert_eq!(times()[2], written[2], "a read changes nothing");
    fs::remove_file(&path).unwrap();
    wait_until("a removal is noted", || times()[2] > written[2]);
}

pub(crate) fn p17_the_client_may_fold_while_the_mount_writes(db: &Database) {
    let mount = db.mount_with_store();
    let Some(mut client) = db.client(STORE) else { return };
    let path = mount.store(STORE);
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for n in 0..150 {
                fs::write(path.join(format!("k{}", n % 10)), n.to_string()).unwrap();
                fs::read(path.join(format!("k{}", n % 10))).unwrap();
            }
        });
        let mut last = 0.0;
        while !writing.is_finished() {
            let modified = client.ask(&json!({"metadata": 1}))["modified_at"].as_f64().unwrap();
            assert!(modified >= last, "a time went back");
            last = modified;
            client.set("own", &json!(1));
        }
        writing.join().unwrap();
    });
    mount.unmount();
    let newest = client.ask(&json!({"metadata": 1}))["modified_at"].as_f64().unwrap();
    let status = db.run(&["info", STORE, "--json"]);
    let shown: Value = serde_json::from_str(&status).unwrap();
    assert!(newest > 0.0 && !shown.is_null());
    assert_eq!(client.keys().len(), 11);
}

pub(crate) fn metadata_is_a_file_that_can_be_edited(db: &Database) {
    let mount = db.mount_with_store();
    let file = mount.store(STORE).join(METADATA);
    let mut text = metadata(&mount.store(STORE));
    text["createdAt"] = json!("2024-01-15T10:30:00.000000+00:00");
    fs::write(&file, text.to_string()).unwrap();
    let kept = db.sql("SELECT created_at FROM key_value_stores");
    assert!(kept.starts_with("2024-01-15 10:30:00"), "{kept}");
    let mut garbage = fs::File::create(&file).unwrap();
    std::io::Write::write_all(&mut garbage, b"no metadata").unwrap();
    assert!(garbage.sync_all().is_err());
    drop(garbage);
    assert_eq!(metadata(&mount.store(STORE))["id"], text["id"]);
}
