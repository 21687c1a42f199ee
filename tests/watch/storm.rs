//! Storms of changes, and the daemon killed in them (P2, P21).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::TempStorage;
use crate::{counter, make_store, storage_of, wait_for_size, watched};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Changes records and replaces the store until it is told to stop.
fn change(storage: &TempStorage, part: usize, stop: &AtomicBool) {
    let disk = storage.store("default");
    let staged = storage.beside().join(format!("staged{part}"));
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let file = disk.join(NAMES[(number + part) % NAMES.len()]);
        let _ = fs::write(&staged, "x".repeat(number % 100));
        // The other part may be replacing the store.
        let _ = fs::rename(&staged, &file);
        if number.is_multiple_of(5) {
            let _ = fs::remove_file(disk.join(NAMES[number % NAMES.len()]));
        }
        if part == 0 && number.is_multiple_of(50) {
            let away = storage.beside().join("away");
            let _ = fs::remove_dir_all(&away);
            let _ = fs::rename(&disk, &away);
            let _ = fs::create_dir(&disk);
        }
    }
}

/// Looks through the mount. What comes of it does not matter. Nothing is opened: that would put right what the
/// kernel knows of a name.
fn look(store: &Path) {
    for name in NAMES {
        let _ = fs::metadata(store.join(name));
    }
}

/// Looks, opens, lists and writes through the mount.
fn look_and_work(store: &Path) {
    look(store);
    for name in NAMES {
        let _ = fs::read(store.join(name));
    }
    let _ = fs::read_dir(store).map(Iterator::count);
    let _ = fs::write(store.join("own"), "own");
    let _ = fs::rename(store.join("own"), store.join("moved"));
    let _ = fs::remove_file(store.join("moved"));
}

/// Does something while the storage changes without pause and `work` is done through the mount again and again.
fn with_storm(storage: &TempStorage, store: &Path, work: fn(&Path), act: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for part in 0..2 {
            let stop = &stop;
            scope.spawn(move || change(storage, part, stop));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work(store);
                }
            });
        }
        act();
        stop.store(true, Ordering::Relaxed);
        // The scope waits for all: whoever hangs is found by the deadline of the test.
    });
}

#[test]
fn p21_nobody_hangs_when_the_daemon_is_killed_while_it_tells_of_changes() {
    let storage = storage_of(&NAMES);
    let Some(mut mount) = watched(&storage) else { return };
    let store = mount.store("default");
    let mut has_told = false;
    for round in 0..30_u64 {
        let _ = fs::create_dir(storage.store("default"));
        with_storm(&storage, &store, look_and_work, || {
            thread::sleep(Duration::from_millis(20 + 7 * (round % 10)));
            has_told |= counter(&mount, "epochs") > 0;
            mount.kill();
        });
        mount.start();
    }
    assert!(has_told, "the daemon never had anything to tell");
    mount.unmount();
}

#[test]
fn p2_after_a_storm_everything_is_seen_as_it_is() {
    let storage = storage_of(&NAMES);
    let Some(mount) = watched(&storage) else { return };
    let store = mount.store("default");
    for round in 0..5 {
        with_storm(&storage, &store, look, || thread::sleep(Duration::from_millis(300)));
        let disk = storage.store("default");
        make_store(&disk, &[]);
        for name in NAMES {
            let size = fs::metadata(disk.join(name)).ok().map(|metadata| metadata.len());
            wait_for_size(&store.join(name), size);
        }
        assert!(mount.log().lines().all(|line| !line.contains("ERROR")), "round {round}");
    }
}
