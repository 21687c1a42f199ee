//! What others change is opened as soon as it is told (P2), and a record that nobody changes without any request.

use std::fs;
use std::path::Path;

use crate::common::{Stopped, TempMount, names, sh, try_sh, wait_until};
use crate::{caches, drop_caches, mounted, open_records, pinned, put, replace, storage_of};

/// Reads a file without waiting for ever for a daemon that does not answer.
fn read_meanwhile(name: &str, dir: &Path) -> Option<Vec<u8>> {
    let output = try_sh(&format!("timeout --signal=KILL 5 cat {name}"), dir);
    output.status.success().then_some(output.stdout)
}

#[test]
fn a_record_that_was_read_is_read_again_without_any_request() {
    let storage = storage_of(&[("small", b"some text"), ("large", &vec![b'x'; 3 << 20])]);
    let Some(mount) = mounted(&storage) else { return };
    let dir = mount.store("default");
    // Again if another test has just emptied the caches of the machine.
    wait_until("both are read while the daemon is stopped", || {
        sh("cat small large large", &dir);
        let _stopped = Stopped::new(&mount);
        let read = [read_meanwhile("small", &dir), read_meanwhile("large", &dir)];
        read == [Some(b"some text".to_vec()), Some(vec![b'x'; 3 << 20])]
    });
}

#[test]
fn p02_a_change_is_opened_when_it_is_told() {
    let storage = storage_of(&[]);
    let Some(mount) = mounted(&storage) else { return };
    // One name for each change, since a name that has changed is asked for each time.
    for round in 0..50 {
        let name = format!("r{round}");
        let record = mount.store("default").join(&name);
        assert!(!record.exists());
        put(&storage, &name, b"first", "text/plain");
        assert_eq!(fs::read(&record).unwrap(), b"first", "what was absent is found at once");
        assert!(names(&mount.store("default")).contains(&name));
        put(&storage, &name, b"second", "text/plain");
        wait_until("the second version is opened", || fs::read(&record).unwrap() == b"second");
        put(&storage, &name, b"third one", "text/plain");
        wait_until("so is the third", || fs::read(&record).unwrap() == b"third one");
        fs::remove_file(storage.store("default").join(&name)).unwrap();
        assert!(!names(&mount.store("default")).contains(&name));
        wait_until("it is gone", || fs::read(&record).is_err());
    }
}

#[test]
fn p02_where_nothing_is_told_each_open_is_asked_for() {
    let storage = storage_of(&[("r", b"first")]);
    if mounted(&storage).is_none() {
        return;
    }
    // With this time to live nothing is watched.
    let mount = TempMount::with_options(&storage, &["--read-only", "--ttl=0"]);
    assert_eq!(pinned(&mount), None);
    for round in 0..50 {
        replace(&storage, "r", format!("round {round}").as_bytes());
        let read = fs::read_to_string(mount.store("default").join("r")).unwrap();
        assert_eq!(read, format!("round {round}"));
    }
}

/// Datasets are not watched: each open of a file there asks.
#[test]
fn p02_a_file_of_a_dataset_is_opened_as_it_is_now() {
    let storage = storage_of(&[]);
    let dataset = storage.path().join("datasets/default");
    fs::create_dir_all(&dataset).unwrap();
    fs::write(dataset.join("1.json"), "first").unwrap();
    let Some(mount) = mounted(&storage) else { return };
    let item = mount.path().join("datasets/default/1.json");
    for round in 0..50 {
        let value = format!("round {round} {}", "x".repeat(round));
        fs::write(storage.beside().join("staged"), &value).unwrap();
        fs::rename(storage.beside().join("staged"), dataset.join("1.json")).unwrap();
        assert_eq!(fs::read_to_string(&item).unwrap(), value);
    }
}

#[test]
fn the_room_of_what_was_replaced_or_removed_is_given_back() {
    let storage = storage_of(&[("replaced", b"old"), ("removed", b"old")]);
    let Some(mount) = mounted(&storage) else { return };
    let held = caches();
    wait_until("both are held", || {
        sh("cat replaced removed", &mount.store("default"));
        open_records(&mount, &storage) == 2
    });
    replace(&storage, "replaced", b"new");
    fs::remove_file(storage.store("default").join("removed")).unwrap();
    // Nobody asks for these names again.
    wait_until("their files are closed", || open_records(&mount, &storage) == 0);
    // What was open when it was replaced goes when it has been closed, and something is told.
    let reader = fs::File::open(mount.store("default").join("replaced")).unwrap();
    replace(&storage, "replaced", b"newer");
    wait_until("that was told", || {
        fs::read(mount.store("default").join("replaced")).unwrap() == b"newer"
    });
    drop(reader);
    replace(&storage, "replaced", b"new");
    wait_until("that is closed too", || open_records(&mount, &storage) == 0);
    assert_eq!(fs::read(mount.store("default").join("replaced")).unwrap(), b"new");
    drop(held);
    drop_caches(2);
    wait_until("that one is closed as well", || open_records(&mount, &storage) == 0);
}
