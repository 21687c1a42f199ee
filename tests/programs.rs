//! The same scripts on a plain disk and in a mount, compared (P22, and every promise about records that a program meets).
//!
//! `tests/programs/scripts/*.sh` hold some hundred short scripts that run real programs in a directory. Each is run
//! twice: in a directory on ext4, and in a store of a mounted storage on the same file system. Compared are the exit
//! status, what was printed, and what is left: names, kinds, modes, owners, sizes, bytes, and times that were set.
//! What is left in the mount must also be on the disk, under the promise that a close publishes.
//!
//! Differences that are meant are in `tests/programs/meant.txt`, each with its reason and exactly as it shows. Any other
//! one fails the test, and so does one that is in the list and is no longer there.
//!
//! `STOREFS_PROGRAMS=WORD` runs only the scripts whose name or theme has that word in it.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "programs/caller.rs"]
mod caller;
mod common;
#[path = "programs/corpus.rs"]
mod corpus;
// Made for tests/mount_tree.rs, and used in part here.
#[allow(dead_code, unused_imports)]
#[path = "mount_tree/help.rs"]
mod help;
#[path = "programs/meant.rs"]
mod meant;
#[path = "programs/outcome.rs"]
mod outcome;
#[path = "programs/place.rs"]
mod place;
#[path = "programs/sides.rs"]
mod sides;

use std::fs;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use caller::{Caller, become_nobody, open_fuse_to_all};
use common::{PROGRAM, TempMount, can_mount, storefs};
use corpus::{Part, Script};
use help::{is_root, open_the_way_to};
use meant::Meant;
use parking_lot::Mutex;
use place::Place;
use sides::Sides;

/// From how long on a script's time is shown, so that none makes the test slow unnoticed.
const SLOW: Duration = Duration::from_secs(2);

/// Scripts that run side by side, each in a directory of its own.
const AT_ONCE: usize = 3;

#[test]
fn p22_programs_do_in_a_mount_what_they_do_on_a_disk() {
    if !can_mount() {
        return;
    }
    let Some(place) = Place::make() else { return };
    let mount = TempMount::configured(&place.storage(), |_| {});
    compare(&place, mount, Caller::Same, Part::Light);
}

#[test]
fn p22_editors_archivers_and_other_languages_do_in_a_mount_what_they_do_on_a_disk() {
    if !can_mount() {
        return;
    }
    let Some(place) = Place::make() else { return };
    let mount = TempMount::configured(&place.storage(), |_| {});
    compare(&place, mount, Caller::Same, Part::Heavy);
}

#[test]
fn p22_programs_of_another_user_do_in_a_mount_what_they_do_on_a_disk() {
    if !can_mount() || !is_root() {
        return;
    }
    let Some(place) = Place::make() else { return };
    place.hand_over();
    let mount = TempMount::configured(&place.storage(), |command| {
        command.arg("--allow-other");
    });
    open_the_way_to(&mount.path());
    compare(&place, mount, Caller::Other, Part::Light);
}

#[test]
fn p22_programs_of_a_user_without_rights_do_in_his_mount_what_they_do_on_a_disk() {
    if !can_mount() || !is_root() {
        return;
    }
    let Some(place) = Place::make() else { return };
    place.hand_over();
    // The place where cargo builds may be closed to others.
    let program = place.root().join("storefs");
    fs::copy(PROGRAM, &program).unwrap();
    let user = || {
        open_fuse_to_all(&place.root().join("dev"));
        become_nobody();
        let mount = TempMount::by_copy(&program, &place.storage());
        compare(&place, mount, Caller::Nobody, Part::Light);
    };
    thread::scope(|scope| {
        if let Err(failure) = scope.spawn(user).join() {
            resume_unwind(failure);
        }
    });
}

#[test]
fn p22_programs_in_namespaces_do_in_a_mount_what_they_do_on_a_disk() {
    if !can_mount() {
        return;
    }
    let Some(place) = Place::make() else { return };
    let mount = TempMount::configured(&place.storage(), |_| {});
    compare(&place, mount, Caller::Contained, Part::Light);
}

/// Runs a part of the scripts on both sides, and panics with all differences that are not meant.
fn compare(place: &Place, mount: TempMount, caller: Caller, part: Part) {
    let mut scripts = corpus::scripts();
    let meant = Meant::read(caller, &scripts);
    scripts.retain(|script| script.is_wanted(part));
    let sides = Sides::new(place, &mount, caller);
    scripts.iter().for_each(|script| sides.prepare(script));
    let differences = differences(&scripts, &sides, caller);

    let mut faults = Vec::new();
    for (script, difference) in scripts.iter().zip(differences) {
        faults.extend(meant.judge(&script.name, &difference));
    }
    mount.unmount();
    let doctor = storefs().args(["doctor", "--source"]).arg(place.storage()).output().unwrap();
    if !doctor.status.success() {
        faults.push(format!("storefs doctor: {}", String::from_utf8_lossy(&doctor.stdout)));
    }
    println!("{} scripts, {} faults", scripts.len(), faults.len());
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
}

/// What each script does otherwise in the mount, in the order of the scripts. All of them are run on the disk first: a
/// script that prints or stores the time of day differs then whenever it is run, and not once in a while.
fn differences(scripts: &[Script], sides: &Sides<'_>, caller: Caller) -> Vec<Vec<String>> {
    let plain = of_each(scripts, caller, |_, script| sides.on_plain(script));
    of_each(scripts, caller, |at, script| sides.difference(script, &plain[at]))
}

/// What comes of each script, in the order of the scripts; some are run side by side.
fn of_each<T: Default + Send>(
    scripts: &[Script],
    caller: Caller,
    run: impl Fn(usize, &Script) -> T + Sync,
) -> Vec<T> {
    let next = Mutex::new(scripts.iter().enumerate());
    let outcomes = Mutex::new(scripts.iter().map(|_| T::default()).collect::<Vec<_>>());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                caller.take_over_thread();
                loop {
                    let Some((at, script)) = next.lock().next() else { break };
                    let began = Instant::now();
                    let outcome = run(at, script);
                    let took = began.elapsed();
                    if took > SLOW {
                        println!("{}: {took:?}", script.name);
                    }
                    outcomes.lock()[at] = outcome;
                }
            });
        }
    });
    outcomes.into_inner()
}
