//! The power is cut while a storage is being written (P4, P5).
//!
//! The storage is on an ext4 file system with the usual options, in a file. Writers are at work through the mount
//! and by the command line, some programs' fsync writes the journal at moments that nobody chooses, and then the
//! file system is told to lose what is not on the medium, as it would without power. The daemon is killed, the
//! journal is replayed, the storage is mounted again and healed. Then every record must be whole, with a sidecar
//! that fits, and the records of each writer must be those of one moment: not one before what it was told is
//! durable.
//!
//! `STOREFS_POWER_ROUNDS` is the number of rounds, and `STOREFS_POWER_SEED` repeats the choices of a run. The
//! moment of the cut among what the threads do is another each time.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "power_cut/disk.rs"]
mod disk;
#[path = "power_cut/ledger.rs"]
mod ledger;
// Made for tests/chaos.rs, and used in part here.
#[allow(dead_code)]
#[path = "chaos/value.rs"]
mod value;
#[path = "power_cut/work.rs"]
mod work;

use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::Duration;

use common::on_disk::records_of;
use common::seeds::{Report, given, some_seed};
use common::{METADATA, TempMount, can_mount, names, staged, wait_until};
use disk::Disk;
use ledger::Records;
use value::Choices;
use work::{WORK, WRITERS, World, own_store};

/// Rounds unless `STOREFS_POWER_ROUNDS` says otherwise.
const ROUNDS: u64 = 20;

/// The longest that a round goes on before the cut, in microseconds.
const LIFE: u64 = 600_000;

#[test]
fn p4_p5_no_record_is_torn_and_no_durable_one_lost_when_the_power_is_cut() {
    if !can_mount() {
        return;
    }
    let Some(disk) = Disk::make("") else { return };
    let seed = given("STOREFS_POWER_SEED").unwrap_or_else(some_seed);
    let mut report = Report::new("STOREFS_POWER_SEED", seed);
    let mut mount = TempMount::configured(&disk.storage(), |_| {});
    for store in (0..WRITERS).map(own_store).chain([WORK.to_owned()]) {
        fs::create_dir(mount.store(&store)).unwrap();
        File::open(mount.store(&store)).unwrap().sync_all().unwrap();
    }
    let world = World::new(mount.stores(), disk.storage());
    let mut lost = 0;
    for round in 1..=given("STOREFS_POWER_ROUNDS").unwrap_or(ROUNDS) {
        report.round = round;
        let mut choices = Choices::new(seed, round);
        live_until_the_cut(&world, &disk, &mut choices);
        mount.kill();
        disk.restore_power();
        mount.start();
        world.set_cut(false);
        lost += check(&world, &disk, &mount);
    }
    eprintln!("STOREFS_POWER_SEED={seed}: in all, {lost} changes that nobody had synced were lost");
    mount.unmount();
}

fn live_until_the_cut(world: &World, disk: &Disk, choices: &mut Choices) {
    let seed = choices.next();
    let life = Duration::from_micros(choices.below(LIFE));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut choices = Choices::new(seed, writer as u64);
            scope.spawn(move || world.write(writer, &mut choices));
        }
        let mut choices = Choices::new(seed, WRITERS as u64);
        scope.spawn(move || world.disturb(&disk.root().join("other"), &mut choices));
        thread::sleep(life);
        world.set_cut(true);
        disk.cut_power();
    });
}

/// Looks at the storage after a cut, once it is healed. Gives back how much was lost.
#[track_caller]
fn check(world: &World, disk: &Disk, mount: &TempMount) -> usize {
    wait_until("what the dead process left is removed", || staged(&disk.storage()).is_empty());
    let mut numbers = Records::new();
    for store in names(&disk.storage().join(common::STORES)) {
        let records = records_of(&disk.store(&store));
        let mut listed = names(&mount.store(&store));
        assert!(listed.remove(METADATA), "store '{store}' has no metadata");
        assert_eq!(listed.len(), records.len(), "the mount lists {listed:?} of '{store}'");
        for (key, (bytes, content_type)) in records {
            let place = (store.clone(), key);
            let path = mount.store(&store).join(common::file_name(&place.1));
            assert!(fs::read(&path).unwrap() == bytes, "{place:?} is another in the mount");
            assert_eq!(common::mime_type(&path), content_type, "{place:?}");
            let number = value::number_of(&bytes);
            let number = number.unwrap_or_else(|fault| panic!("{place:?} is {fault}"));
            assert!(value::fits(&content_type, &bytes), "{place:?} is of type {content_type:?}");
            numbers.insert(place, number);
        }
    }
    world.settle(numbers).unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn p5_after_a_failed_fsync_the_handle_stays_failed() {
    if !can_mount() {
        return;
    }
    // So few inodes that a value can be staged and its sidecar cannot: only the publish fails, and it would not
    // if it were tried again with room.
    let Some(disk) = Disk::make("-N 16") else { return };
    let mount = TempMount::configured(&disk.storage(), |_| {});
    fs::create_dir(mount.store("default")).unwrap();
    let path = mount.store("default").join("record");
    fs::write(&path, "old").unwrap();
    let mut file = File::options().write(true).truncate(true).open(&path).unwrap();
    file.write_all(b"new and longer").unwrap();
    let fillers = fill_with_files(&disk);

    assert!(file.sync_all().is_err(), "the sidecar had room after all");
    for filler in fillers {
        fs::remove_file(filler).unwrap();
    }
    assert!(file.sync_all().is_err(), "a second fsync says that all is well");
    assert!(file.write_all(b"!").is_err(), "a write says that all is well");
    assert!(nix::unistd::close(file).is_err(), "close says that all is well");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");

    // Whoever opens the record next begins anew.
    fs::write(&path, "newer").unwrap();
    assert_eq!(fs::read_to_string(disk.store("default").join("record")).unwrap(), "newer");
}

/// Makes files until the disk can hold no more of them.
fn fill_with_files(disk: &Disk) -> Vec<std::path::PathBuf> {
    let names = (0..).map(|number| disk.root().join(format!("filler {number}")));
    names.take_while(|path| File::create(path).is_ok()).collect()
}
