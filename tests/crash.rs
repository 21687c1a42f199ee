//! What is left when the process dies between two steps (P4, P14, P21).
//!
//! Built with the feature `failpoints`, the program kills itself at the step that a variable names. Each test
//! runs one operation, dies at one step of it, mounts again, and looks at the storage in four ways: the files
//! themselves, the command line, the mount, and the Python SDK. All must agree on the state before or after.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{METADATA, TempMount, TempStorage, can_mount, names, sh, storefs, wait_until};
use sdk::Python;
use serde_json::Value;

/// Steps of a process's first write, before anything of it is moved into a store.
const STAGE: [&str; 6] = [
    "session: make",
    "session: directory made",
    "stage: create",
    "stage: write",
    "sidecar: create",
    "sidecar: write",
];
const PUBLISH: [&str; 3] = ["publish: staged", "publish: value moved", "publish: sidecar moved"];
const PUBLISH_DURABLY: [&str; 5] = [
    "publish: sync value",
    "sidecar: sync",
    "publish: staged",
    "publish: value moved",
    "publish: sync directory",
];
const SET_TYPE: [&str; 3] = ["sidecar: create", "sidecar: write", "set type: move sidecar"];
const DELETE: [&str; 3] = ["note: link", "delete: noted", "delete: sidecar removed"];
const RENAME: [&str; 4] =
    ["note: link", "rename: noted", "rename: value moved", "rename: sidecar moved"];
const WRITE_METADATA: [&str; 3] = ["metadata: create", "metadata: write", "metadata: move"];
const MAKE_STORE: [&str; 3] = ["stage: make a directory", "make store: move", "make store: moved"];
const RENAME_STORE: [&str; 4] =
    ["rename store: noted", "rename store: directory moved", "metadata: write", "metadata: move"];
const PURGE: [&str; 8] = [
    "stage: make a directory",
    "metadata: move",
    "purge: fresh directory filled",
    "purge: exchanged",
    "purge: inputs taken over",
    "purge: sub-directories given back",
    "purge: one of the old records removed",
    "purge: old records removed",
];
const DROP: [&str; 2] = ["drop: move", "drop: taken out of sight"];
const HEAL: [&str; 2] = ["heal: begun", "heal: note done"];

/// A record: value and content type.
type Record = (String, String);

/// The records of all stores.
type State = BTreeMap<String, BTreeMap<String, Record>>;

fn set(storage: &TempStorage, store: &str, key: &str, value: &str, content_type: &str) -> Command {
    let mut command = storefs();
    command.args(["set", store, key, "-", "--content-type", content_type, "--source"]);
    command.arg(storage.path());
    let path = storage.beside().join("value");
    fs::write(&path, value).unwrap();
    command.stdin(fs::File::open(path).unwrap());
    command
}

fn with_source(storage: &TempStorage, arguments: &[&str]) -> Command {
    let mut command = storefs();
    command.args(arguments).arg("--source").arg(storage.path());
    command
}

/// A storage with two stores and some records.
fn seeded() -> TempStorage {
    let storage = TempStorage::empty();
    for (store, key, value, content_type) in [
        ("default", "INPUT.json", "{\"a\": 1}", "application/json; charset=utf-8"),
        ("default", "kept", "[1]", "application/json; charset=utf-8"),
        ("default", "a/b", "old text", "text/plain; charset=utf-8"),
        ("other", "taken", "<x/>", "application/xml"),
    ] {
        assert!(set(&storage, store, key, value, content_type).status().unwrap().success());
    }
    storage
}

/// Runs a command that must die at the step.
fn die(mut command: Command, step: &str) {
    command.env("STOREFS_CRASH_AT", step).stderr(Stdio::null()).stdout(Stdio::null());
    let status = command.status().unwrap();
    assert_eq!(status.signal(), Some(9), "it was to die at '{step}': {status}");
}

/// The state as the files tell it, which must be whole: each value with its sidecar and no sidecar alone.
fn on_disk(storage: &TempStorage) -> State {
    let stores = storage.path().join(common::STORES);
    names(&stores)
        .into_iter()
        .map(|store| (store.clone(), store_on_disk(&stores.join(store))))
        .collect()
}

fn store_on_disk(dir: &Path) -> BTreeMap<String, Record> {
    let metadata: Value = serde_json::from_slice(&fs::read(dir.join(METADATA)).unwrap()).unwrap();
    let name = dir.file_name().unwrap().to_str().unwrap();
    let expected = if name == "default" { Value::Null } else { Value::from(name) };
    assert_eq!(metadata["name"], expected, "the metadata of '{name}'");
    let records = common::on_disk::whole_records(dir).into_iter();
    records
        .map(|(file, (value, sidecar))| {
            let key = sidecar["key"].as_str().unwrap();
            assert_eq!(common::disk_name(key), file);
            (key.to_owned(), (value, sidecar["contentType"].as_str().unwrap().to_owned()))
        })
        .collect()
}

/// Mounts the storage after a crash and gives back the state that all who look agree on. The SDK, which is slow to
/// start, is not asked again about a state that it has `read`: [`on_disk`] accounts for every file.
fn healed(storage: &TempStorage, python: &Python, read: &mut Vec<State>) -> State {
    let mount = TempMount::new(storage);
    // What is kept of a writer stays.
    let staged = "test ! -d .storefs || find .storefs -mindepth 1 -not -path '.storefs/rescued*'";
    let staged = || sh(staged, &storage.path());
    wait_until("what the dead process left is removed", || staged().is_empty());
    let state = on_disk(storage);
    for (store, records) in &state {
        let mut listed = names(&mount.store(store));
        assert!(listed.remove(METADATA));
        let expected = records.keys().map(|key| common::file_name(key)).collect();
        assert_eq!(listed, expected, "the mount lists store '{store}'");
        for (key, (value, content_type)) in records {
            let record = mount.store(store).join(common::file_name(key));
            assert_eq!(fs::read_to_string(&record).unwrap(), *value);
            assert_eq!(common::mime_type(&record), *content_type);
            let got = with_source(storage, &["get", store, key]).output().unwrap();
            assert_eq!(String::from_utf8(got.stdout).unwrap(), *value);
        }
        if read.contains(&state) {
            continue;
        }
        let seen = python.dump(storage, store);
        assert_eq!(seen.keys().collect::<Vec<_>>(), records.keys().collect::<Vec<_>>());
        for (key, (_, content_type)) in records {
            assert_eq!(seen[key]["content_type"], content_type.as_str(), "{}", seen[key]);
        }
    }
    read.push(state.clone());
    state
}

/// Dies at each step of an operation in turn; the healed state must be the one before or the one after.
fn before_or_after(
    steps: &[&str],
    operation: impl Fn(&TempStorage, &str),
    after: impl Fn(&mut State),
) {
    let Some(python) = Python::find() else { return };
    let mut read = Vec::new();
    for step in steps {
        let storage = seeded();
        let before = on_disk(&storage);
        let mut expected = before.clone();
        after(&mut expected);
        operation(&storage, step);
        let state = healed(&storage, &python, &mut read);
        assert!(
            state == before || state == expected,
            "after '{step}':\n{state:#?}\nis neither\n{before:#?}\nnor\n{expected:#?}"
        );
    }
}

fn record(value: &str, content_type: &str) -> Record {
    (value.to_owned(), content_type.to_owned())
}

#[test]
fn p4_p21_killed_while_publishing_a_new_record() {
    before_or_after(
        &[STAGE.as_slice(), &PUBLISH].concat(),
        |storage, step| die(set(storage, "default", "n/ew", "value", "text/x-new"), step),
        |state| {
            state
                .get_mut("default")
                .unwrap()
                .insert("n/ew".to_owned(), record("value", "text/x-new"));
        },
    );
}

#[test]
fn p21_killed_while_replacing_a_record_by_one_of_another_type() {
    before_or_after(
        &PUBLISH,
        |storage, step| die(set(storage, "default", "kept", "no JSON", "text/x-new"), step),
        |state| {
            state
                .get_mut("default")
                .unwrap()
                .insert("kept".to_owned(), record("no JSON", "text/x-new"));
        },
    );
}

#[test]
fn p21_killed_while_deleting_a_record() {
    before_or_after(
        &DELETE,
        |storage, step| die(with_source(storage, &["rm", "default", "a/b"]), step),
        |state| {
            state.get_mut("default").unwrap().remove("a/b");
        },
    );
}

/// Does something in a mount whose daemon dies at the step.
fn die_in_mount(storage: &TempStorage, step: &str, act: impl FnOnce(&TempMount)) {
    let mut mount = TempMount::configured(&storage.path(), |command| {
        command.env("STOREFS_CRASH_AT", step);
    });
    act(&mount);
    assert_eq!(mount.wait_for_death().signal(), Some(9), "it was to die at '{step}'");
}

fn rename_and_die(storage: &TempStorage, step: &str, from: &str, to: &str) {
    die_in_mount(storage, step, |mount| {
        assert!(fs::rename(mount.stores().join(from), mount.stores().join(to)).is_err());
    });
}

#[test]
fn p5_p21_killed_while_syncing_a_record() {
    before_or_after(
        &PUBLISH_DURABLY,
        |storage, step| {
            die_in_mount(storage, step, |mount| {
                let mut record = fs::File::create(mount.store("default").join("kept")).unwrap();
                record.write_all(b"[1, 2]").unwrap();
                assert!(record.sync_all().is_err());
            });
        },
        |state| {
            let new = record("[1, 2]", "application/json; charset=utf-8");
            state.get_mut("default").unwrap().insert("kept".to_owned(), new);
        },
    );
}

#[test]
fn p21_killed_while_setting_a_type() {
    before_or_after(
        &SET_TYPE,
        |storage, step| {
            die_in_mount(storage, step, |mount| {
                let record = mount.store("default").join("kept");
                let flags = rustix::fs::XattrFlags::empty();
                let set = rustix::fs::setxattr(record, "user.mime_type", b"text/x-set", flags);
                assert!(set.is_err());
            });
        },
        |state| {
            let new = record("[1]", "text/x-set");
            state.get_mut("default").unwrap().insert("kept".to_owned(), new);
        },
    );
}

#[test]
fn p17_p21_killed_while_writing_times_back() {
    // What was published before is published, whatever becomes of the times.
    let Some(python) = Python::find() else { return };
    let mut read = Vec::new();
    for step in WRITE_METADATA {
        let storage = seeded();
        let mut expected = on_disk(&storage);
        let new = record("value", "text/plain; charset=utf-8");
        expected.get_mut("default").unwrap().insert("new".to_owned(), new);
        die_in_mount(&storage, step, |mount| {
            let mut record = fs::File::create(mount.store("default").join("new")).unwrap();
            record.write_all(b"value").unwrap();
            nix::unistd::close(record).unwrap();
        });
        assert_eq!(healed(&storage, &python, &mut read), expected, "after '{step}'");
    }
}

#[test]
fn p21_killed_while_making_a_store() {
    before_or_after(
        &[MAKE_STORE.as_slice(), &WRITE_METADATA].concat(),
        |storage, step| die(with_source(storage, &["create", "made"]), step),
        |state| {
            state.insert("made".to_owned(), BTreeMap::new());
        },
    );
}

#[test]
fn p21_killed_while_healing() {
    // Moved to another store, a record leaves two notes.
    before_or_after(
        &HEAL,
        |storage, step| {
            rename_and_die(storage, "rename: value moved", "default/kept", "other/kept");
            die(set(storage, "other", "never", "x", "text/plain"), step);
        },
        |state| {
            let moved = state.get_mut("default").unwrap().remove("kept").unwrap();
            state.get_mut("other").unwrap().insert("kept".to_owned(), moved);
        },
    );
}

fn rename_record(steps: &[&str], from: (&str, &str), to: (&str, &str)) {
    let path = |(store, key): (&str, &str)| format!("{store}/{}", common::file_name(key));
    before_or_after(
        steps,
        |storage, step| rename_and_die(storage, step, &path(from), &path(to)),
        |state| {
            let moved = state.get_mut(from.0).unwrap().remove(from.1).unwrap();
            state.get_mut(to.0).unwrap().insert(to.1.to_owned(), moved);
        },
    );
}

#[test]
fn p21_killed_while_renaming_a_record() {
    rename_record(&RENAME, ("default", "a/b"), ("default", "c d"));
}

#[test]
fn p21_killed_while_moving_a_record_to_another_store() {
    rename_record(&RENAME, ("default", "a/b"), ("other", "a/b"));
}

#[test]
fn p21_killed_while_renaming_a_record_over_another() {
    // A type that was set by hand goes along with the record.
    rename_record(&RENAME, ("other", "taken"), ("default", "kept"));
}

#[test]
fn p21_killed_while_renaming_a_store() {
    before_or_after(
        &RENAME_STORE,
        |storage, step| die(with_source(storage, &["rename", "other", "new-name"]), step),
        |state| {
            let store = state.remove("other").unwrap();
            state.insert("new-name".to_owned(), store);
        },
    );
}

#[test]
fn p21_killed_while_dropping_a_store() {
    before_or_after(
        &DROP,
        |storage, step| die(with_source(storage, &["drop", "other"]), step),
        |state| {
            state.remove("other");
        },
    );
}

#[test]
fn p14_killed_while_purging() {
    before_or_after(
        &PURGE,
        |storage, step| {
            let kept = storage.store("default").join("sub-directory");
            fs::create_dir(&kept).unwrap();
            fs::write(kept.join("file"), "stays").unwrap();
            die(with_source(storage, &["purge", "default"]), step);
            // Whatever the state, the next start gives back what a purge leaves.
            drop(TempMount::new(storage));
            assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "stays", "after '{step}'");
            fs::remove_dir_all(kept).unwrap();
        },
        |state| state.get_mut("default").unwrap().retain(|key, _| key == "INPUT.json"),
    );
}

/// In a large store, what is kept besides the usual inputs is given back while the old records are removed.
#[test]
fn p14_killed_while_clearing_a_large_store() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let store = storage.store("default");
    for number in 0..9_000 {
        fs::File::create(store.join(format!("record-{number}"))).unwrap();
    }
    fs::write(store.join("INPUT.of-mine"), "unusual").unwrap();
    fs::create_dir(store.join("sub-directory")).unwrap();
    die(with_source(&storage, &["purge", "default"]), "purge: one of the old records removed");
    let mount = TempMount::new(&storage);
    wait_until("the store has back what it keeps", || {
        store.join("INPUT.of-mine").exists() && store.join("sub-directory").is_dir()
    });
    let shown = [METADATA, "INPUT.json", "INPUT.of-mine"].map(str::to_owned);
    assert_eq!(names(&mount.store("default")), shown.into());
    wait_until("the old records are removed", || {
        let mut processes = fs::read_dir(storage.path().join(".storefs")).unwrap();
        processes.all(|process| fs::read_dir(process.unwrap().path()).unwrap().count() == 0)
    });
}

/// What an SDK makes of the input between the linking of it and the exchange of the directories is the newest.
#[test]
fn p14_an_input_that_changed_in_the_middle_of_a_killed_purge() {
    type Change = fn(&Path);
    let replaced: Change = |input| {
        let new = input.with_extension("new");
        fs::write(&new, "newest").unwrap();
        fs::rename(new, input).unwrap();
    };
    let removed: Change = |input| fs::remove_file(input).unwrap();
    for (change, expected) in [(replaced, Some("newest")), (removed, None)] {
        let storage = seeded();
        die(with_source(&storage, &["purge", "default"]), "purge: exchanged");
        // The old directory is now in the only box of the only process.
        let old = sh("echo .storefs/*/*/records", &storage.path());
        change(&storage.path().join(old.trim()).join("INPUT.json"));
        assert!(set(&storage, "other", "k", "v", "text/plain").status().unwrap().success());
        let input = fs::read_to_string(storage.store("default").join("INPUT.json"));
        assert_eq!(input.ok().as_deref(), expected);
    }
}

/// Dies while a record is published that was written over another: the new version is the record, or is kept whole; the
/// old one, which may have the new one's place in the staging directory, is never taken for it.
#[test]
fn p21_what_a_close_was_publishing_when_it_was_killed_is_published_or_kept() {
    if !can_mount() {
        return;
    }
    let steps = ["publish: prepared"].into_iter().chain(PUBLISH).chain(["publish: sync directory"]);
    for (step, is_appended) in steps.flat_map(|step| [(step, false), (step, true)]) {
        let storage = seeded();
        let is_durable = step == "publish: sync directory";
        die_in_mount(&storage, step, |mount| {
            let mut options = fs::OpenOptions::new();
            options.write(true).append(is_appended).truncate(!is_appended);
            let mut record = options.open(mount.store("default").join("a%2Fb")).unwrap();
            record.write_all(b"and new text").unwrap();
            let published = if is_durable {
                record.sync_all().map_err(drop)
            } else {
                nix::unistd::close(record).map_err(drop)
            };
            assert!(published.is_err());
        });
        let new = if is_appended { "old textand new text" } else { "and new text" };
        let kept = with_source(&storage, &["rescue", "--json"]).output().unwrap();
        let kept: Vec<Value> = serde_json::from_slice(&kept.stdout).unwrap();
        let value = on_disk(&storage)["default"]["a/b"].0.clone();
        match &kept[..] {
            [] => assert_eq!(value, new, "after '{step}'"),
            [kept] => {
                assert_eq!(value, "old text", "after '{step}'");
                assert_eq!((&kept["key"], &kept["size"]), (&"a/b".into(), &new.len().into()));
                let id = kept["id"].as_str().unwrap();
                assert!(with_source(&storage, &["rescue", id]).status().unwrap().success());
                assert_eq!(on_disk(&storage)["default"]["a/b"].0, new, "after '{step}'");
            }
            several => panic!("after '{step}': {several:?}"),
        }
    }
}

/// Dies while it keeps something aside: the next one does it.
#[test]
fn p21_killed_while_keeping_bytes_aside() {
    if !can_mount() {
        return;
    }
    for step in ["rescue: note", "rescue: noted"] {
        let storage = seeded();
        let mut mount = TempMount::new(&storage);
        let mut record = fs::File::create(mount.store("default").join("cut off")).unwrap();
        record.write_all(b"bytes").unwrap();
        mount.kill();
        drop(record);
        die(with_source(&storage, &["rescue"]), step);
        let kept = with_source(&storage, &["rescue", "--all"]).output().unwrap();
        assert!(kept.status.success(), "{kept:?}");
        assert_eq!(on_disk(&storage)["default"]["cut off"].0, "bytes");
        let left = sh("find .storefs ! -type d", &storage.path());
        assert_eq!(left, "", "after '{step}'");
    }
}

#[test]
fn p21_healing_leaves_live_mounts_alone() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let live = TempMount::new(&storage);
    let mut writer = fs::File::create(live.store("default").join("under way")).unwrap();
    writer.write_all(b"half").unwrap();
    die(set(&storage, "default", "kept", "new", "text/x-new"), PUBLISH[1]);
    let other = TempMount::new(&storage);
    writer.write_all(b" and whole").unwrap();
    drop(writer);
    let path = "under way";
    assert_eq!(fs::read_to_string(live.store("default").join(path)).unwrap(), "half and whole");
    assert_eq!(fs::read_to_string(other.store("default").join(path)).unwrap(), "half and whole");
    assert_eq!(common::mime_type(&other.store("default").join("kept")), "text/x-new");
}

/// A dataset is purged as a store is: a crash leaves all items or none.
#[test]
fn p14_p21_purge_of_a_dataset() {
    if !can_mount() {
        return;
    }
    for step in PURGE.into_iter().filter(|step| *step != "metadata: move") {
        let storage = TempStorage::empty();
        let dir = storage.path().join("datasets/default");
        fs::create_dir_all(dir.join("directory")).unwrap();
        for name in ["1.json", "2.json", "note.txt"] {
            fs::write(dir.join(name), "{}").unwrap();
        }
        fs::create_dir(storage.path().join(common::STORES)).unwrap();
        let mut mount = TempMount::configured(&storage.path(), |command| {
            command.env("STOREFS_CRASH_AT", step);
        });
        let _ = fs::write(mount.path().join("datasets/default/@purge"), "1");
        mount.wait_for_death();
        drop(mount);
        let mount = TempMount::new(&storage);
        // The first write heals, if the mount has not.
        sh("mkdir -p request_queues; echo 1 > datasets/healed", &mount.path());
        let shown = mount.path().join("datasets/default");
        let is_before = step.starts_with("stage") || step == "purge: fresh directory filled";
        let items: &[&str] = if is_before { &["1.json", "2.json"] } else { &[] };
        let expected = ["directory", "note.txt"].iter().chain(items).copied().map(String::from);
        assert_eq!(names(&shown), expected.collect(), "killed at '{step}'");
        wait_until("nothing is left", || common::staged(&storage.path()).is_empty());
    }
}
