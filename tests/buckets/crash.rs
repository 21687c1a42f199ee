//! The daemon dies at random under writers, a purge and a mover, many times.
//!
//! How many: the variable `STOREFS_CRASHES`, or 20.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{METADATA, names};
use crate::database::{Database, STORE, bytes, content_type_of, sidecar_key, value_key};

/// So many records are written to by each who writes.
const RECORDS: usize = 6;

/// A value that tells by itself whether it is whole: small ones, and some that are sent in parts.
fn value(number: u32) -> Vec<u8> {
    bytes(number, if (number as usize).is_multiple_of(RECORDS) { 12_000_000 } else { 3000 })
}

/// The number of a value; panics if it is torn.
#[track_caller]
fn number_of(seen: &[u8]) -> u32 {
    let number = std::str::from_utf8(&seen[..4]).unwrap().parse().unwrap();
    assert!(seen == value(number), "torn: {} bytes of {number}", seen.len());
    number
}

/// Writes until the mount is dead; gives back the numbers that were synced well, by record.
fn write_on(store: &Path, writer: usize, first: u32, is_over: &AtomicBool) -> Vec<Option<u32>> {
    let mut synced = vec![None; RECORDS];
    for number in first..first + 4000 {
        let at = number as usize % RECORDS;
        let written =
            fs::File::create(store.join(format!("{writer}-{at}"))).and_then(|mut file| {
                file.write_all(&value(number))?;
                file.sync_all()
            });
        if written.is_err() || is_over.load(Ordering::SeqCst) {
            break;
        }
        synced[at] = Some(number);
    }
    synced
}

/// Moves one record between two names, so that at each moment it is by one of them at least.
fn move_on(store: &Path, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        for (from, to) in [("here", "there"), ("there", "here")] {
            drop(fs::rename(store.join(from), store.join(to)));
        }
    }
}

/// Fills a store and purges it, again and again.
fn purge_on(store: &Path, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        for number in 0..20 {
            drop(fs::write(store.join(format!("r{number}")), "x"));
        }
        drop(fs::write(store.join("@purge"), "1"));
    }
}

pub(crate) fn p21_what_was_synced_survives_every_death_of_the_daemon(db: &Database) {
    let rounds: u32 =
        std::env::var("STOREFS_CRASHES").map_or(20, |rounds| rounds.parse().expect("a number"));
    let mut mount = db.mount_with_store();
    fs::create_dir(mount.store("purged")).unwrap();
    fs::write(mount.store("purged").join("INPUT"), "{}").unwrap();
    fs::write(mount.store(STORE).join("here"), "moved").unwrap();
    let (mut random, mut synced_at_all) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    for round in 0..rounds {
        let (store, purged) = (mount.store(STORE), mount.store("purged"));
        let is_over = AtomicBool::new(false);
        // Each round has numbers of its own, of which four digits are shown.
        let first = 1 + round % 2 * 5000;
        let synced: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    let (store, is_over) = (&store, &is_over);
                    scope.spawn(move || write_on(store, writer, first, is_over))
                })
                .collect();
            scope.spawn(|| move_on(&store, &is_over));
            scope.spawn(|| purge_on(&purged, &is_over));
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            thread::sleep(Duration::from_millis(200 + random % 900));
            mount.kill();
            is_over.store(true, Ordering::SeqCst);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        mount.start();
        for (writer, synced) in synced.iter().enumerate() {
            for (at, number) in synced.iter().enumerate() {
                let Some(number) = number else { continue };
                let seen = fs::read(mount.store(STORE).join(format!("{writer}-{at}"))).unwrap();
                let found = number_of(&seen);
                let is_of_this_round = (first..first + 4000).contains(&found);
                assert!(is_of_this_round && found >= *number, "{found} where {number} was synced");
                synced_at_all += 1;
            }
        }
        let found: Vec<_> = ["here", "there"]
            .iter()
            .filter_map(|name| fs::read(mount.store(STORE).join(name)).ok())
            .collect();
        assert!(!found.is_empty() && found.iter().all(|it| it == b"moved"), "{round}: {found:?}");
        assert_eq!(fs::read(mount.store("purged").join("INPUT")).unwrap(), b"{}");
        no_record_is_half(db);
    }
    assert!(synced_at_all > 0);
    for store in [STORE, "purged"] {
        fs::write(mount.store(store).join("@purge"), "1").unwrap();
    }
    assert_eq!(names(&mount.store(STORE)), [METADATA.to_owned()].into());
    mount.unmount();
    db.run(&["doctor", "--repair"]);
    assert_eq!(db.schema(), Vec::<String>::new(), "nothing of ours stays");
    let left = fs::read_dir(db.spool()).map(Iterator::count).unwrap_or_default();
    assert_eq!(left, 0, "of what the dead ones had there");
}

/// Each value is whole, has a type, and its sidecar, where it has come already, is one of its key.
#[track_caller]
fn no_record_is_half(db: &Database) {
    let mut objects = db.objects();
    for writer in 0..2 {
        for at in 0..RECORDS {
            let key = format!("{writer}-{at}");
            let Some(value) = objects.get(&value_key(STORE, &key)) else { continue };
            number_of(&value.bytes);
            assert!(value.content_type.starts_with("text/plain"), "{}", value.content_type);
            let Some(sidecar) = objects.get(&sidecar_key(STORE, &key)) else { continue };
            let sidecar: serde_json::Value = serde_json::from_slice(&sidecar.bytes).expect("torn");
            assert_eq!(sidecar["key"], key);
            assert!(content_type_of(&sidecar).starts_with("text/plain"));
        }
    }
}
