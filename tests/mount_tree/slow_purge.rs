//! Purging where two directories cannot be exchanged: the files go one by one, and a crash breaks nothing (P14).
//!
//! Such a storage is one below another FUSE file system, here bindfs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{METADATA, STORES, TempMount, can_mount, names, staged, storefs, wait_until};
use crate::help::{SmallDisk, write};

const WITHOUT_EXCHANGE: &str = "bindfs below disk; mkdir disk/storage";

/// The records of a store that goes, with their types, none of which would be guessed from name or bytes.
const DOOMED: [(&str, &str); 3] = [("a", "text/x-a"), ("b.json", "text/x-b"), ("c", "text/x-c")];

/// Makes a store with an input, a sub-directory, a temporary and [`DOOMED`]. Gives back its metadata.
fn fill(storage: &Path) -> Value {
    fs::create_dir_all(storage).unwrap();
    for (key, content_type) in DOOMED.into_iter().chain([("INPUT.json", "text/x-input")]) {
        let mut set = storefs();
        set.args(["set", "default", key, "-", "--content-type", content_type, "--source"]);
        let value = storage.with_file_name("value");
        fs::write(&value, key).unwrap();
        set.arg(storage).stdin(fs::File::open(value).unwrap());
        assert!(set.status().unwrap().success());
    }
    let store = storage.join(STORES).join("default");
    fs::create_dir(store.join("directory")).unwrap();
    fs::write(store.join("directory/file"), "stays").unwrap();
    fs::write(store.join("left.abcd_123.tmp"), "litter").unwrap();
    fs::write(store.join(format!("orphan.{METADATA}")), "{}").unwrap();
    metadata(&store)
}

fn metadata(store: &Path) -> Value {
    serde_json::from_slice(&fs::read(store.join(METADATA)).unwrap()).unwrap()
}

/// Asserts what must be so before, after and in the middle of a purge, and gives back the names that would go.
#[track_caller]
fn doomed_of(store: &Path, before: &Value, what: &str) -> Vec<String> {
    let now = metadata(store);
    for field in ["id", "name", "createdAt"] {
        assert_eq!(now[field], before[field], "{what}: {field}");
    }
    assert_eq!(fs::read_to_string(store.join("INPUT.json")).unwrap(), "INPUT.json", "{what}");
    let input = fs::read_to_string(store.join(format!("INPUT.json.{METADATA}"))).unwrap();
    assert!(input.contains("text/x-input"), "{what}");
    assert_eq!(fs::read_to_string(store.join("directory/file")).unwrap(), "stays", "{what}");
    let kept = ["INPUT.json", &format!("INPUT.json.{METADATA}"), METADATA, "directory"];
    names(store).into_iter().filter(|name| !kept.contains(&name.as_str())).collect()
}

#[test]
fn p14_a_purge_without_exchange_leaves_the_same() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(WITHOUT_EXCHANGE) else { return };
    let before = fill(&disk.storage());
    let store = disk.storage().join(STORES).join("default");
    let mount = TempMount::configured(&disk.storage(), |command| {
        command.arg("-v");
    });
    write(&mount.store("default").join("made"), "value").unwrap();
    write(&mount.store("default").join("@purge"), "1").unwrap();
    assert_eq!(doomed_of(&store, &before, "purged"), [""; 0]);
    assert_ne!(metadata(&store)["modifiedAt"], before["modifiedAt"]);
    assert_eq!(names(&mount.store("default")), ["INPUT.json", METADATA].map(String::from).into());
    assert!(mount.log().contains("file by file"), "directories were exchanged:\n{}", mount.log());
    write(&mount.store("default").join("made"), "again").unwrap();
    assert_eq!(fs::read_to_string(store.join("made")).unwrap(), "again");
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
}

#[test]
fn p14_p21_killed_while_purging_without_exchange() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(WITHOUT_EXCHANGE) else { return };
    let mut seen = BTreeMap::new();
    // Killed before the first file is removed, before the second, and so on until it comes to its end.
    for step in 1.. {
        let storage = disk.storage().join(step.to_string());
        let before = fill(&storage);
        let store = storage.join(STORES).join("default");
        let kill = format!("inject=unlinkat:signal=KILL:when={step}");
        let mut purge = Command::new("strace");
        purge.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat", "-e", &kill]);
        purge.arg(env!("CARGO_BIN_EXE_storefs")).args(["purge", "default", "--source"]);
        let status = purge.arg(&storage).stdin(Stdio::null()).stdout(Stdio::null()).status();
        let ended = status.unwrap().success();
        let what = format!("killed at step {step}");

        let mount = TempMount::configured(&storage, |_| {});
        wait_until("what the dead process left is removed", || staged(&storage).is_empty());
        let left = doomed_of(&store, &before, &what);
        seen.insert(left.len(), step);
        for (key, _) in DOOMED {
            let sidecar = format!("{key}.{METADATA}");
            assert!(!left.contains(&sidecar) || left.contains(&key.to_owned()), "{what}: {left:?}");
        }
        let shown = names(&mount.store("default"));
        for (key, _) in DOOMED {
            let is_left = left.contains(&key.to_owned());
            assert_eq!(shown.contains(key), is_left, "{what}: {left:?}");
            if is_left {
                let value = fs::read_to_string(mount.store("default").join(key)).unwrap();
                assert_eq!(value, key, "{what}");
            }
        }
        // The next purge does what this one has not.
        write(&mount.store("default").join("@purge"), "1").unwrap();
        assert_eq!(doomed_of(&store, &before, &what), [""; 0]);
        mount.unmount();
        if ended {
            assert_eq!(left, [""; 0], "the purge said that it was done");
            break;
        }
    }
    // Three records of two files each, a temporary and an orphan; and states in between.
    assert!(seen.contains_key(&8) && seen.contains_key(&0) && seen.len() >= 5, "{seen:?}");
}
