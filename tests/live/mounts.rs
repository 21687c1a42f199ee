//! Two mounts of one storage, and commands beside a mount: each sees at once what another has published.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;

use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::common::opener::Opener;
use crate::common::{
    METADATA, TempMount, TempStorage, can_mount, mime_type, names, storefs, wait_until,
};
use crate::sdk::{Python, STORE, assert_no_litter};
use crate::work::{Seen, unless_gone, while_working};

/// How often a test repeats what must hold every time.
const ROUNDS: usize = 25;

/// Versions that each of two mounts publishes of the same record.
const VERSIONS: usize = 1500;

/// Runs a command of storefs on the storage.
fn run(storage: &TempStorage, arguments: &[&str]) -> Output {
    let output = storefs().args(arguments).arg("--source").arg(storage.path()).output().unwrap();
    assert!(output.status.success(), "storefs {arguments:?}: {output:?}");
    output
}

/// Publishes, moves, deletes and purges by `one`, and asserts that `other` shows it at once: by the next open, by
/// the next listing, and by a look at a name that was not there before.
#[track_caller]
fn others_see_at_once(one: &Path, other: &Path) {
    for round in 0..ROUNDS {
        let value = json!({"round": round, "filler": "x".repeat(round * 500)}).to_string();
        fs::write(one.join("state"), &value).unwrap();
        assert_eq!(fs::read_to_string(other.join("state")).unwrap(), value);
        fs::write(one.join("words"), "w".repeat(round + 1)).unwrap();
        assert_eq!(fs::read(other.join("words")).unwrap().len(), round + 1);
        let length = value.len() as u64;
        wait_until("the size that was known is the new one", || {
            fs::metadata(other.join("state")).unwrap().len() == length
        });

        let (come, moved) = (format!("come {round}"), format!("moved {round}.json"));
        assert_eq!(fs::metadata(other.join(&come)).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::metadata(other.join(&moved)).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(one.join(&come), "[]").unwrap();
        assert_eq!(fs::read(other.join(&come)).unwrap(), b"[]");
        fs::rename(one.join(&come), one.join(&moved)).unwrap();
        assert_eq!(fs::read(other.join(&moved)).unwrap(), b"[]");
        assert_eq!(mime_type(&other.join(&moved)), "application/json; charset=utf-8");
        assert_eq!(File::open(other.join(&come)).unwrap_err().kind(), ErrorKind::NotFound);
        let shown = names(other);
        assert!(shown.contains(&moved) && !shown.contains(&come), "{shown:?}");

        fs::remove_file(one.join(&moved)).unwrap();
        assert_eq!(File::open(other.join(&moved)).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!names(other).contains(&moved));
    }
    let kept = File::open(other.join("words")).unwrap();
    fs::write(one.join("@purge"), "1").unwrap();
    assert_eq!(names(other), [METADATA.to_owned()].into());
    assert_eq!(File::open(other.join("state")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(std::io::read_to_string(kept).unwrap().len(), ROUNDS, "who had it open keeps it");
}

#[test]
fn p01_p02_p03_two_mounts_see_each_others_publishes_at_once() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let (first, second) = (TempMount::new(&storage), TempMount::new(&storage));
    fs::create_dir(first.store(STORE)).unwrap();
    others_see_at_once(&first.store(STORE), &second.store(STORE));
    others_see_at_once(&second.store(STORE), &first.store(STORE));

    fs::rename(first.store(STORE), first.store("renamed")).unwrap();
    assert!(names(&second.stores()).contains("renamed"));
    fs::write(second.store("renamed").join("x"), "1").unwrap();
    fs::remove_file(first.store("renamed").join("x")).unwrap();
    fs::remove_dir(first.store("renamed")).unwrap();
    assert!(names(&second.stores()).is_empty());
    wait_until("the store is gone from the other mount", || !second.store("renamed").exists());
}

#[test]
fn p02_p03_a_mount_and_commands_see_each_others_publishes_at_once() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    run(&storage, &["create", STORE]);
    assert!(mounted.is_dir());
    for round in 0..5 {
        let file = storage.beside().join("value");
        // Twice, so that the kernel knows a version when the other is set.
        for filler in [0, 1000] {
            let value = json!({"round": round, "filler": "x".repeat(filler)}).to_string();
            fs::write(&file, &value).unwrap();
            run(&storage, &["set", STORE, "state", file.to_str().unwrap()]);
            assert_eq!(fs::read_to_string(mounted.join("state")).unwrap(), value);
        }
        assert!(names(&mounted).contains("state"));

        let value = format!("text {round}");
        fs::write(mounted.join("state"), &value).unwrap();
        assert_eq!(run(&storage, &["get", STORE, "state"]).stdout, value.as_bytes());
        let content_type = run(&storage, &["get", STORE, "state", "--only-content-type"]).stdout;
        assert_eq!(
            String::from_utf8(content_type).unwrap().trim_end(),
            "text/plain; charset=utf-8"
        );

        run(
            &storage,
            &["set", STORE, "state", "--content-type", "text/csv", file.to_str().unwrap()],
        );
        assert_eq!(
            Seen::read(&mounted.join("state")).unwrap().content_types[0].as_deref(),
            Some("text/csv")
        );
        run(&storage, &["rm", STORE, "state"]);
        assert_eq!(File::open(mounted.join("state")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!names(&mounted).contains("state"));
    }
    fs::write(mounted.join("left"), "x").unwrap();
    run(&storage, &["purge", STORE]);
    assert_eq!(names(&mounted), [METADATA.to_owned()].into());
    run(&storage, &["rename", STORE, "other"]);
    assert_eq!(names(&mount.stores()), ["other".to_owned()].into());
    fs::write(mount.store("other").join("x"), "1").unwrap();
    run(&storage, &["drop", "other"]);
    assert!(names(&mount.stores()).is_empty());
}

#[test]
fn p03_p04_p06_of_two_mounts_that_write_one_record_each_version_is_whole() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let (first, second) = (TempMount::new(&storage), TempMount::new(&storage));
    fs::create_dir(first.store(STORE)).unwrap();
    let paths: [PathBuf; 2] = [&first, &second].map(|mount| mount.store(STORE).join("state"));
    // By other processes, since this one reads.
    let write = |opener: &mut Opener, path: &Path, version: usize| {
        let lines = vec![version.to_string(); 1 + version % 700];
        let value = json!({"lines": lines, "count": lines.len()}).to_string();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut theirs = opener.open(path, flags).unwrap();
        theirs.file.write_all(value.as_bytes()).unwrap();
        opener.close(theirs).unwrap();
    };
    let (mut of_first, mut of_second) = (Opener::start(), Opener::start());
    let check = |path: &Path| {
        let Some(seen) = unless_gone("read", Seen::read(path)) else { return };
        let value: Value =
            serde_json::from_slice(&seen.bytes).unwrap_or_else(|error| panic!("{error}: {seen:?}"));
        assert_eq!(value["lines"].as_array().unwrap().len(), value["count"]);
        assert_eq!(seen.content_types[0].as_deref(), Some("application/json; charset=utf-8"));
    };
    write(&mut of_first, &paths[0], 0);
    let mut version = 0;
    while_working(
        || {
            version += 1;
            write(&mut of_first, &paths[0], version);
            check(&paths[0]);
        },
        || {
            thread::scope(|scope| {
                let reader = scope.spawn(|| (0..VERSIONS).for_each(|_| check(&paths[1])));
                (0..VERSIONS).for_each(|version| write(&mut of_second, &paths[1], version));
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            });
        },
    );
    // Whoever was the last: all see the same.
    let values = paths.each_ref().map(|path| fs::read(path).unwrap());
    assert!(values[0] == values[1], "the mounts disagree");
    let record = &python.dump(&storage, STORE)["state"];
    assert_eq!(record["value"], serde_json::from_slice::<Value>(&values[0]).unwrap());
    first.unmount();
    second.unmount();
    assert_no_litter(&storage.store(STORE));
}
