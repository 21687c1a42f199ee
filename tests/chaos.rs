//! The daemon is killed at random moments while a storage is at its busiest (P4, P5, P21).
//!
//! Each round, several threads write, move, delete, purge and read through the mount, in some rounds a Python
//! SDK works on the disk beside it, and the daemon is killed in the midst of it. Then the storage is mounted
//! again, and every record must be whole, with a sidecar that fits, and be what the operations that have returned
//! made of it, or what the one under way would have. [`model`] says what that is; it knows the outcome of each
//! operation, so a version whose write, fsync or close was acknowledged is never allowed to be missing.
//!
//! `STOREFS_CHAOS_ROUNDS` is the number of rounds, and `STOREFS_CHAOS_SEED` repeats the choices of a run. The
//! threads still meet in another way each time.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "chaos/model.rs"]
mod model;
// Made for tests/interop.rs, and used in part here.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;
#[path = "chaos/value.rs"]
mod value;
#[path = "chaos/work.rs"]
mod work;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use common::on_disk::records_of;
use common::seeds::{Report, given, some_seed};
use common::{METADATA, TempMount, TempStorage, can_mount, names, staged, wait_until};
use model::{Place, Records};
use sdk::{Python, PythonClient};
use value::Choices;
use work::{LOG, READERS, STORES, WORK, WRITERS, World};

/// Rounds unless `STOREFS_CHAOS_ROUNDS` says otherwise.
const ROUNDS: u64 = 200;

/// The longest that a daemon lives among the writers, in microseconds.
const LIFE: u64 = 80_000;

/// A log is begun anew once it is longer than this.
const LOG_BYTES: usize = 64 * 1024;

#[test]
fn p4_p5_p21_no_record_is_torn_or_lost_when_the_daemon_is_killed_at_random() {
    if !can_mount() {
        return;
    }
    let seed = given("STOREFS_CHAOS_SEED").unwrap_or_else(some_seed);
    let rounds = given("STOREFS_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let mut report = Report::new("STOREFS_CHAOS_SEED", seed);

    let storage = TempStorage::empty();
    let mut mount = TempMount::new(&storage);
    for store in STORES {
        fs::create_dir(mount.store(store)).unwrap();
    }
    let mut client = Python::find().map(|python| python.serve(&storage, WORK));
    let world = World::new(mount.stores(), storage.path().join(common::STORES));
    for round in 1..=rounds {
        report.round = round;
        let mut choices = Choices::new(seed, round);
        let client = client.as_mut().filter(|_| choices.one_in(3));
        live_and_die(&world, &mut mount, client, &mut choices);
        mount.start();
        if choices.one_in(4) {
            // Healing, or the removal after it, is cut short too.
            thread::sleep(Duration::from_micros(choices.below(2_000)));
            mount.kill();
            mount.start();
        }
        check(&world, &storage, &mount);
    }
    mount.unmount();
}

/// One round, from the first operation to the death of the daemon.
fn live_and_die(
    world: &World,
    mount: &mut TempMount,
    client: Option<&mut PythonClient>,
    choices: &mut Choices,
) {
    world.begin_round();
    let seed = choices.next();
    let life = Duration::from_micros(choices.below(LIFE));
    let is_purged = choices.one_in(2);
    thread::scope(|scope| {
        let mut part = 0;
        let mut choices = || {
            part += 1;
            Choices::new(seed, part)
        };
        for writer in 0..WRITERS {
            let mut choices = choices();
            scope.spawn(move || world.write(writer, &mut choices));
        }
        for _ in 0..READERS {
            let mut choices = choices();
            scope.spawn(move || world.watch(&mut choices));
        }
        if is_purged {
            let mut choices = choices();
            scope.spawn(move || world.purge(&mut choices));
        }
        if let Some(client) = client {
            let mut choices = choices();
            scope.spawn(move || world.drive(client, &mut choices));
        }
        thread::sleep(life);
        world.kill(mount);
    });
}

/// Looks at the storage after a crash, once it is healed and what was staged is gone.
fn check(world: &World, storage: &TempStorage, mount: &TempMount) {
    wait_until("what the dead process left is removed", || staged(&storage.path()).is_empty());
    let mut numbers = Records::new();
    let mut log = Vec::new();
    for store in STORES {
        let records = records_of(&storage.store(store));
        let mut listed = names(&mount.store(store));
        assert!(listed.remove(METADATA), "store '{store}' has no metadata");
        let expected: BTreeSet<_> = records.keys().map(|key| common::file_name(key)).collect();
        assert_eq!(listed, expected, "the mount lists store '{store}'");
        for (key, (bytes, content_type)) in records {
            let place: Place = (store, key);
            let path = mount.store(store).join(common::file_name(&place.1));
            assert!(fs::read(&path).unwrap() == bytes, "{place:?} is another in the mount");
            assert_eq!(common::mime_type(&path), content_type, "{place:?}");
            if (place.0, place.1.as_str()) == (WORK, LOG) {
                log = bytes;
                continue;
            }
            let number = value::number_of(&bytes);
            let number = number.unwrap_or_else(|fault| panic!("{place:?} is {fault}"));
            assert!(value::fits(&content_type, &bytes), "{place:?} is of type {content_type:?}");
            numbers.insert(place, number);
        }
    }
    world.settle(numbers, &log).unwrap_or_else(|fault| {
        panic!("{fault}\non disk: {:#?}", storage.files().into_keys().collect::<Vec<_>>())
    });
    if log.len() > LOG_BYTES {
        fs::remove_file(mount.store(WORK).join(LOG)).unwrap();
        world.log_removed();
    }
}
