//! The store's metadata: its times, and editing it by hand.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, TempStorage, can_mount, names, sh, wait_until};
use crate::help::{LONG_AGO, close, errno, make_store, metadata_of, storage_of, write};

/// One of a store's times in its metadata on disk.
fn time(storage: &TempStorage, field: &str) -> String {
    metadata_of(storage, "default")[field].as_str().unwrap().to_owned()
}

#[test]
fn p17_a_read_moves_accessed_at_and_nothing_else() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = metadata_of(&storage, "default");
    let mount = TempMount::new(&storage);
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "k");
    wait_until("the read is noted", || time(&storage, "accessed_at").as_str() > LONG_AGO);
    let after = metadata_of(&storage, "default");
    for kept in ["id", "name", "created_at", "modified_at"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
}

#[test]
fn p17_publishing_and_deleting_move_both_times() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let mut last = LONG_AGO.to_owned();
    for script in ["echo new > made", "echo more >> k", "mv k moved", "rm moved"] {
        sh(script, &mount.store("default"));
        wait_until("the change is noted", || time(&storage, "modified_at") > last);
        last = time(&storage, "modified_at");
        assert!(time(&storage, "accessed_at") >= last, "{script}");
    }
    assert_eq!(time(&storage, "created_at"), LONG_AGO);
}

#[test]
fn p17_a_change_of_one_store_leaves_the_others_alone() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "other");
    let before = fs::read(storage.store("other").join(METADATA)).unwrap();
    let mount = TempMount::new(&storage);
    write(&mount.store("default").join("k"), "new").unwrap();
    mount.unmount();
    assert!(time(&storage, "modified_at").as_str() > LONG_AGO);
    assert_eq!(fs::read(storage.store("other").join(METADATA)).unwrap(), before);
}

#[test]
fn p17_times_are_written_at_unmount() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    write(&mount.store("default").join("k"), "new").unwrap();
    mount.unmount();
    assert!(time(&storage, "modified_at").as_str() > LONG_AGO);
    assert!(time(&storage, "accessed_at") >= time(&storage, "modified_at"));

    let modified = time(&storage, "modified_at");
    let accessed = time(&storage, "accessed_at");
    let mount = TempMount::new(&storage);
    fs::read(mount.store("default").join("k")).unwrap();
    mount.unmount();
    assert!(time(&storage, "accessed_at") > accessed);
    assert_eq!(time(&storage, "modified_at"), modified);
}

#[test]
fn p17_times_are_written_at_fsync() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let mut file = File::create(mount.store("default").join("k")).unwrap();
    file.write_all(b"new").unwrap();
    file.sync_all().unwrap();
    assert!(time(&storage, "modified_at").as_str() > LONG_AGO);
    close(file).unwrap();
}

#[test]
fn p17_the_metadata_is_not_written_for_each_operation() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let start = Instant::now();
    let mut versions = BTreeSet::new();
    for round in 0..500 {
        let path = mount.store("default").join(format!("k{}", round % 10));
        write(&path, round.to_string()).unwrap();
        fs::read(&path).unwrap();
        // A rewrite puts a new file in the old one's place.
        let found = fs::metadata(storage.store("default").join(METADATA)).unwrap();
        versions.insert((found.ino(), found.mtime(), found.mtime_nsec()));
    }
    let most = start.elapsed().as_secs() + 2;
    assert!(versions.len() as u64 <= most, "{} versions in {most} s", versions.len());
    wait_until("the last change is noted", || time(&storage, "modified_at").as_str() > LONG_AGO);
}

#[test]
fn p17_what_others_write_into_the_file_is_kept() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    write(&mount.store("default").join("k"), "new").unwrap();
    // An SDK saves its own view before the times are written back: by a rename, as they all do.
    let far = "2099-01-01 00:00:00.000001+00:00";
    let foreign = json!({
        "id": "aNewIdOfTheStore1",
        "name": "another name",
        "accessed_at": far,
        "created_at": LONG_AGO,
        "modified_at": LONG_AGO,
        "extra": {"kept": [1, 2.50, "three"]},
    });
    let beside = storage.beside().join("foreign");
    fs::write(&beside, serde_json::to_string_pretty(&foreign).unwrap()).unwrap();
    fs::rename(&beside, storage.store("default").join(METADATA)).unwrap();
    write(&mount.store("default").join("k"), "newer").unwrap();
    wait_until("the change is noted", || time(&storage, "modified_at").as_str() > LONG_AGO);
    mount.unmount();
    let mut after = metadata_of(&storage, "default");
    assert!(after["modified_at"].as_str().unwrap() < "2090", "{after}");
    after["modified_at"] = LONG_AGO.into();
    assert_eq!(after, foreign, "no time moves back, and nothing else changes");
}

#[test]
fn p12_times_are_written_in_the_spelling_that_was_found() {
    if !can_mount() {
        return;
    }
    let texts = [
        // crawlee-python, with a field that it does not know.
        "{\n  \"id\": \"HvTUFIxMPIib09NEi\",\n  \"name\": null,\n  \
         \"accessed_at\": \"2024-01-15 10:30:00+00:00\",\n  \
         \"created_at\": \"2024-01-15 10:30:00+00:00\",\n  \
         \"modified_at\": \"2024-01-15 10:30:00+00:00\",\n  \"extra\": 12345678901234567890123\n}",
        // The engine of Crawlee JS 4.
        "{\n  \"id\": \"E6crhIBa3n3OzjLvC\",\n  \"name\": null,\n  \
         \"accessedAt\": \"2024-01-15T10:30:00.551100+00:00\",\n  \
         \"createdAt\": \"2024-01-15T10:30:00.551100+00:00\",\n  \
         \"modifiedAt\": \"2024-01-15T10:30:00.551100+00:00\"\n}",
        // Crawlee JS 3.
        "{\n\t\"id\": \"64445ba3-0a7a-4a40-b245-0be84f8f10f6\",\n\t\"name\": \"kinds\",\n\t\
         \"accessedAt\": \"2024-01-15T10:30:00.435Z\",\n\t\
         \"createdAt\": \"2024-01-15T10:30:00.258Z\",\n\t\
         \"modifiedAt\": \"2024-01-15T10:30:00.400Z\",\n\t\"userId\": \"1\"\n}",
    ];
    for text in texts {
        let storage = storage_of(&["k"]);
        let file = storage.store("default").join(METADATA);
        fs::write(&file, text).unwrap();
        let mount = TempMount::new(&storage);
        write(&mount.store("default").join("k"), "new").unwrap();
        mount.unmount();
        let after = fs::read_to_string(&file).unwrap();
        assert_ne!(after, text);
        assert_eq!(after.ends_with('\n'), text.ends_with('\n'));
        assert_eq!(after.lines().count(), text.lines().count(), "{after}");
        for (new, old) in after.lines().zip(text.lines()) {
            if old.contains("accessed") || old.contains("modified") {
                let (field, _) = old.split_once(": ").unwrap();
                assert!(new.starts_with(field) && new != old, "{new}");
                // Letters and signs are the same, only digits differ; Python omits a fraction of zero.
                let signs = |line: &str| line.replace(|c: char| c.is_ascii_digit() || c == '.', "");
                assert_eq!(signs(new), signs(old));
            } else {
                assert_eq!(new, old);
            }
        }
    }
}

#[test]
fn the_metadata_can_be_edited_in_place() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let file = mount.store("default").join(METADATA);
    let text = fs::read_to_string(&file).unwrap();
    let edited = text.replace("HvTUFIxMPIib09NEi", "aNewIdOfTheStore1");
    write(&file, &edited).unwrap();
    let on_disk = storage.store("default").join(METADATA);
    let id = || metadata_of(&storage, "default")["id"].clone();
    assert_eq!(id(), "aNewIdOfTheStore1");
    assert_eq!(fs::read(&file).unwrap(), fs::read(&on_disk).unwrap());

    sh("sed -i s/aNewIdOfTheStore1/anotherIdOfStore2/ __metadata__.json", &mount.store("default"));
    assert_eq!(id(), "anotherIdOfStore2");
    let script = "jq '.extra = \"by jq\"' __metadata__.json > new; mv new __metadata__.json";
    sh(script, &mount.store("default"));
    assert_eq!(metadata_of(&storage, "default")["extra"], "by jq");
    assert_eq!(names(&mount.store("default")), ["k", METADATA].map(String::from).into());
    let on_disk_names = ["k", "k.__metadata__.json", METADATA].map(String::from);
    assert_eq!(names(&storage.store("default")), on_disk_names.into());
}

#[test]
fn metadata_that_no_sdk_could_read_is_refused_at_close() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = fs::read(storage.store("default").join(METADATA)).unwrap();
    let mount = TempMount::new(&storage);
    let file = mount.store("default").join(METADATA);
    for text in ["{no json", "[]", "null", "{}", "{\"id\": 5}", "\n"] {
        assert_eq!(errno(write(&file, text)), Errno::INVAL, "{text}");
        assert_eq!(fs::read(storage.store("default").join(METADATA)).unwrap(), before, "{text}");
    }
    let mut open = File::options().append(true).open(&file).unwrap();
    open.write_all(b"{").unwrap();
    assert_eq!(errno(open.sync_all()), Errno::INVAL);
    assert_eq!(errno(close(open)), Errno::INVAL);
    // Who was told at close is not told late.
    wait_until("all is released", || mount.status()["handles"].as_u64() <= Some(1));
    assert_eq!(mount.status()["late_failures"], 0);
    assert_eq!(fs::read(&file).unwrap(), before);
    // What a shell does before the text comes.
    sh(": > __metadata__.json", &mount.store("default"));
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "k");
}

#[test]
fn metadata_that_is_removed_comes_back_with_a_new_id() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let old = metadata_of(&storage, "default");
    let mount = TempMount::new(&storage);
    fs::remove_file(mount.store("default").join(METADATA)).unwrap();
    assert_eq!(names(&mount.store("default")), ["k".to_owned()].into());
    write(&mount.store("default").join("k"), "new").unwrap();
    wait_until("the store has metadata", || storage.store("default").join(METADATA).exists());
    let new = metadata_of(&storage, "default");
    assert_eq!(new["name"], Value::Null);
    assert_eq!(new["id"].as_str().unwrap().len(), 17);
    assert_ne!(new["id"], old["id"]);
}

/// All that programs tell a change of a file or directory by.
fn seen(path: &Path) -> (i64, i64, i64, i64, u64) {
    let found = fs::metadata(path).unwrap();
    (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec(), found.size())
}

#[test]
fn p17_keeping_times_moves_none_that_the_mount_shows() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::with_options(&storage, &["--ttl", "0"]);
    let store = mount.store("default");
    let paths = [store.clone(), store.join(METADATA), mount.stores(), mount.path()];
    let all = || paths.each_ref().map(|path| seen(path));
    let before = all();
    for round in 0..3 {
        let last = time(&storage, "accessed_at");
        assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "k");
        wait_until("the read is noted", || time(&storage, "accessed_at") > last);
        assert_eq!(all(), before, "round {round}");
    }
    // Its own times, once the change is made.
    write(&store.join("k"), "new").unwrap();
    let changed = all();
    assert_ne!(changed[0], before[0]);
    wait_until("the change is noted", || time(&storage, "modified_at").as_str() > LONG_AGO);
    assert_eq!(all(), changed);
    // What others change shows at once, also if it is no record.
    fs::write(storage.store("default").join("dropped in"), "").unwrap();
    assert_ne!(all()[0], changed[0]);
    let dropped_in = all();
    let last = time(&storage, "accessed_at");
    fs::read(store.join("k")).unwrap();
    wait_until("the read is noted", || time(&storage, "accessed_at") > last);
    assert_eq!(all(), dropped_in);
    let on_disk = fs::metadata(storage.store("default")).unwrap();
    assert_eq!((on_disk.mtime(), on_disk.mtime_nsec()), (dropped_in[0].0, dropped_in[0].1));
}

#[test]
fn p17_backups_of_an_idle_store_see_no_change() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k", "l"]);
    let mount = TempMount::new(&storage);
    let script =
        "touch now; rsync -a $M/ first/; tar cf first.tar -C $M --listed-incremental=level .";
    let run = |script: &str| {
        let prologue = format!("M='{}'\n", mount.path().display());
        sh(&(prologue + script), storage.beside())
    };
    run(script);
    for _ in 0..2 {
        let last = time(&storage, "accessed_at");
        // A slow tar, that meets the write-back of what it has read itself.
        let slow = "tar cf - --checkpoint=1 --checkpoint-action=exec='sleep 0.4' -b1 -C $M . 2>&1 > slow.tar";
        assert_eq!(run(slow), "", "tar says that something has changed");
        wait_until("the reads are noted", || time(&storage, "accessed_at") > last);
        assert_eq!(run("rsync -ai --delete $M/ first/"), "");
        assert_eq!(run("find $M -newer now"), "");
        assert_eq!(run("diff -r $M first --exclude=__metadata__.json"), "");
    }
}
