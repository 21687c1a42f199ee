//! The daemon dies under writers; two mounts write at once; large values in little memory.

use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{METADATA, names};
use crate::database::{Database, STORE, bytes};

/// So many records are written to by each who writes.
const RECORDS: usize = 12;

/// Writes whole values until the mount is dead; gives back the numbers that were closed well, by record.
fn write_on(store: &std::path::Path, writer: usize, is_over: &AtomicBool) -> Vec<Option<u32>> {
    let mut closed = vec![None; RECORDS];
    for number in 1.. {
        let at = number as usize % RECORDS;
        let size = if at == 0 { 2_500_000 } else { 3000 };
        let path = store.join(format!("{writer}-{at}"));
        let written = fs::File::create(&path).and_then(|mut file| {
            file.write_all(&bytes(number, size))?;
            file.sync_all()
        });
        if written.is_err() || is_over.load(Ordering::Relaxed) {
            break;
        }
        closed[at] = Some(number);
    }
    closed
}

pub(crate) fn p21_what_was_synced_survives_a_killed_daemon_and_nothing_is_torn(db: &Database) {
    let mut mount = db.mount_with_store();
    for round in 0..4 {
        let (store, is_over) = (mount.store(STORE), AtomicBool::new(false));
        let closed: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let (store, is_over) = (&store, &is_over);
                    scope.spawn(move || write_on(store, writer, is_over))
                })
                .collect();
            thread::sleep(std::time::Duration::from_millis(700 + 130 * round));
            mount.kill();
            is_over.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        mount.start();
        let mut found = 0;
        for (writer, closed) in closed.iter().enumerate() {
            for (at, number) in closed.iter().enumerate() {
                let Some(number) = number else { continue };
                let seen = fs::read(mount.store(STORE).join(format!("{writer}-{at}"))).unwrap();
                let seed: u32 = std::str::from_utf8(&seen[..4]).unwrap().parse().unwrap();
                assert!(seen == bytes(seed, seen.len()), "torn");
                assert!(seed >= *number, "{seed} where {number} was synced");
                found += 1;
            }
        }
        assert!(found > 0);
        db.run(&["purge", STORE]);
    }
    assert_eq!(names(&mount.store(STORE)), [METADATA.to_owned()].into());
}

pub(crate) fn two_mounts_and_a_command_write_at_once(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    // One that nobody here writes through: what a process has not closed, it sees itself.
    let watching = db.mount();
    let source = db.beside().join("value");
    fs::write(&source, bytes(7777, 3000)).unwrap();
    thread::scope(|scope| {
        for (seed, mount) in [(1, &mount), (2, &other)] {
            scope.spawn(move || {
                for number in 0..80 {
                    let size = if number % 8 == 0 { 500_000 } else { 2000 };
                    let path = mount.store(STORE).join("shared");
                    fs::write(path, bytes(seed * 1000 + number, size)).unwrap();
                    fs::write(mount.store(STORE).join(format!("{seed}-{number}")), "x").unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..10 {
                db.run(&["set", STORE, "shared", source.to_str().unwrap()]);
            }
        });
        scope.spawn(|| {
            for _ in 0..100 {
                let Ok(seen) = fs::read(watching.store(STORE).join("shared")) else { continue };
                let seed: u32 = std::str::from_utf8(&seen[..4]).unwrap().parse().unwrap();
                assert!(seen == bytes(seed, seen.len()), "torn");
            }
        });
    });
    let left = names(&mount.store(STORE)).len();
    assert_eq!(left, 162);
    assert_eq!(
        fs::read(mount.store(STORE).join("shared")).unwrap(),
        db.run(&["get", STORE, "shared"]).into_bytes()
    );
}

/// Kilobytes of memory that a process has had at most.
fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) fn a_large_value_takes_little_memory(db: &Database) {
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join("large");
    let size: usize = 300_000_000;
    let base = most_memory(mount.pid());
    let mut file = fs::File::create(&path).unwrap();
    let part = bytes(5, 16 << 20);
    let mut left = size;
    while left > 0 {
        let length = left.min(part.len());
        file.write_all(&part[..length]).unwrap();
        left -= length;
    }
    file.sync_all().unwrap();
    drop(file);
    let written = most_memory(mount.pid());
    // Another daemon, which has nothing of it.
    let reading = db.mount();
    let mut file = fs::File::open(reading.store(STORE).join("large")).unwrap();
    let mut buffer = vec![0; 16 << 20];
    let mut left = size;
    while left > 0 {
        let length = left.min(part.len());
        file.read_exact(&mut buffer[..length]).unwrap();
        assert!(buffer[..length] == part[..length]);
        left -= length;
    }
    let read = most_memory(reading.pid());
    println!("memory of the daemon in kB: {base} at first, {written} written, {read} read");
    // SQLite makes a whole row in memory to write it: once for the row, once for its pages.
    let most = if db.kind() == "sqlite" { 700_000 } else { 100_000 };
    assert!(written < most, "{written} kB to write");
    assert!(read < 100_000, "{read} kB to read");
}
