//! What is left after a power cut at any moment, on disks worse than ours (P4, P5).
//!
//! A script works on a mounted storage while strace records every system call by which the daemon changes the
//! disk. From the record follows what the disk may hold if the power is cut after any of them ([`disk`]). Each
//! such state is made as a directory and healed, and what is there then is compared with what the script was
//! told. Cutting the power for real (`tests/power_cut.rs`) meets only those states that this machine's ext4
//! happens to leave.
//!
//! `STOREFS_POWER_SEED` repeats the choice of states where there are too many, `STOREFS_POWER_SAMPLES` is their
//! number for each moment.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "power_trace/disk.rs"]
mod disk;
// Made for tests/power_cut.rs, and used in part here.
#[allow(dead_code)]
#[path = "power_cut/ledger.rs"]
mod ledger;
#[path = "power_trace/script.rs"]
mod script;
#[path = "power_trace/states.rs"]
mod states;
#[path = "power_trace/strace.rs"]
mod strace;
// Made for tests/chaos.rs, and used in part here.
#[allow(dead_code)]
#[path = "chaos/value.rs"]
mod value;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::on_disk::records_of;
use common::seeds::{Report, given, some_seed};
use common::{TempMount, TempStorage, can_mount, names, temp_dir, wait_until};
use disk::{Disk, State};
use ledger::{Place, Records};
use parking_lot::Mutex;
use script::{MARK, Script, Step};
use value::Choices;

/// States of the careless disk for each moment, unless `STOREFS_POWER_SAMPLES` says otherwise.
const SAMPLES: u64 = 3;

/// So many states are looked at side by side: most of the time goes into waiting for the disk.
const THREADS: usize = 8;

/// strace, attached to a daemon. It ends with the daemon, or when dropped.
struct Recorder(Child);

impl Recorder {
    fn attach(mount: &TempMount, trace: &Path, said: &Path) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-xx", "-v", "-s", "1000000", "-e"]);
        command.arg(format!("trace={}", strace::CALLS)).arg("-o").arg(trace);
        command.args(["-p", &mount.pid().to_string()]);
        let said_file = fs::File::create(said).unwrap();
        let child = command.stdin(Stdio::null()).stderr(said_file).spawn();
        let mut recorder = Self(child.unwrap_or_else(|error| panic!("strace: {error}")));
        wait_until("strace is attached", || {
            let said = fs::read_to_string(said).unwrap();
            if let Some(status) = recorder.0.try_wait().unwrap() {
                panic!("strace ended with {status}: {said}");
            }
            said.contains("attached")
        });
        recorder
    }

    /// Waits until all is recorded, once the daemon has ended.
    fn finish(mut self) {
        wait_until("strace has ended", || self.0.try_wait().unwrap().is_some());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was done, and what that did to the disk.
struct Recording {
    steps: Vec<Step>,
    disk: Disk,
}

/// Runs the script once for all tests of this process. `None`, and said so, where that cannot be done.
fn recording() -> Option<&'static Recording> {
    static RECORDING: OnceLock<Option<Recording>> = OnceLock::new();
    RECORDING.get_or_init(|| if can_mount() { record() } else { None }).as_ref()
}

fn record() -> Option<Recording> {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err() {
        common::skipped("strace is not installed");
        return None;
    }
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    let trace = storage.beside().join("trace");
    let recorder = Recorder::attach(&mount, &trace, &storage.beside().join("strace"));
    let mut script = Script::new(&mount);
    script.run();
    let steps = script.steps;
    mount.unmount();
    recorder.finish();
    let calls = strace::parse(&fs::read_to_string(&trace).unwrap());
    let disk = Disk::new(&calls, &storage.path(), MARK);
    // What was imagined of the whole run must be what is on this disk.
    let states = disk.journaled(disk.len());
    let last = states.last().unwrap();
    assert_eq!(found(&disk, last), found_in(&storage.path()), "the record is not understood");
    assert!(disk.syncs() > 20, "only {} calls of fsync were recorded", disk.syncs());
    assert_eq!(disk.operations(disk.len()), steps.len() - 1);
    Some(Recording { steps, disk })
}

/// The records of a whole storage, with the last of its bytes checked.
fn found_in(root: &Path) -> Records {
    let mut records = Records::new();
    let stores = root.join(common::STORES);
    if !stores.exists() {
        return records;
    }
    for store in names(&stores) {
        for (key, (bytes, content_type)) in records_of(&stores.join(&store)) {
            let number = value::number_of(&bytes);
            let number = number.unwrap_or_else(|fault| panic!("'{key}' of '{store}' is {fault}"));
            assert!(value::fits(&content_type, &bytes), "'{key}' is of type {content_type:?}");
            records.insert((store.clone(), key), number);
        }
    }
    records
}

/// The records of a state, healed.
fn found(disk: &Disk, state: &State) -> Records {
    let dir = healed(disk, state);
    found_in(dir.path())
}

fn healed(disk: &Disk, state: &State) -> tempfile::TempDir {
    let dir = temp_dir();
    states::materialise(disk, state, dir.path());
    states::heal(dir.path());
    dir
}

/// Says where a fault was found.
struct Moment<'a> {
    step: Option<&'a Step>,
    next: Option<&'a Step>,
    cut: usize,
    state: &'a State,
}

impl<'a> Moment<'a> {
    fn new(steps: &'a [Step], over: usize, cut: usize, state: &'a State) -> Self {
        Self { step: steps.get(over), next: steps.get(over + 1), cut, state }
    }
}

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let what = |step: Option<&Step>| step.map_or("nothing", |step| &step.what).to_owned();
            let (before, under_way) = (what(self.step), what(self.next));
            eprintln!(
                "cut after {} events, after {before:?}, in {under_way:?}, leaving:",
                self.cut
            );
            for ((dir, name), inode) in &self.state.names {
                let bytes = self.state.files.get(inode).map(|bytes| String::from_utf8_lossy(bytes));
                let name = String::from_utf8_lossy(name);
                eprintln!("  {dir}/{name} = {inode} {:.60}", bytes.unwrap_or_default());
            }
        }
    }
}

/// Looks at each moment at which the power may be cut, several side by side.
fn at_each_moment(disk: &Disk, look: impl Fn(usize) -> usize + Sync) {
    let next = AtomicUsize::new(0);
    let states = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let cut = next.fetch_add(1, Ordering::Relaxed);
                    if cut > disk.len() {
                        break;
                    }
                    states.fetch_add(look(cut), Ordering::Relaxed);
                }
            });
        }
    });
    eprintln!("{} states of {} moments", states.into_inner(), disk.len());
}

#[test]
fn p4_p5_at_each_moment_on_a_journaling_disk() {
    let Some(Recording { steps, disk }) = recording() else { return };
    let seen = Mutex::new(BTreeSet::new());
    at_each_moment(disk, |cut| {
        let over = disk.operations(cut);
        let durable = (0..=over).rfind(|at| steps[*at].is_barrier).unwrap();
        let last = (over + 1).min(steps.len() - 1);
        let mut states = disk.journaled(cut);
        states.retain(|state| seen.lock().insert((state.clone(), durable, last)));
        for state in &states {
            let moment = Moment::new(steps, over, cut, state);
            let records = found(disk, state);
            let allowed = &steps[durable..=last];
            assert!(
                allowed.iter().any(|step| step.records == records),
                "found {records:?}\nexpected one of {:#?}",
                allowed.iter().map(|step| &step.records).collect::<Vec<_>>()
            );
            drop(moment);
        }
        states.len()
    });
}

#[test]
fn p5_what_is_durable_is_there_on_a_careless_disk() {
    let Some(Recording { steps, disk }) = recording() else { return };
    let seed = given("STOREFS_POWER_SEED").unwrap_or_else(some_seed);
    let _report = Report::new("STOREFS_POWER_SEED", seed);
    let samples = given("STOREFS_POWER_SAMPLES").unwrap_or(SAMPLES);
    let seen = Mutex::new(BTreeSet::new());
    at_each_moment(disk, |cut| {
        let over = disk.operations(cut);
        let promised = promised(steps, over);
        let mut choices = Choices::new(seed, cut as u64);
        let mut states = disk.careless(cut, samples, &mut choices);
        states.retain(|state| seen.lock().insert((state.clone(), over)));
        for state in &states {
            let moment = Moment::new(steps, over, cut, state);
            let dir = healed(disk, state);
            for (place, number) in &promised {
                check_record(dir.path(), place, *number);
            }
            drop(moment);
        }
        states.len()
    });
}

/// The records that are durable as they are, or durably absent, once so many operations are over: nothing has been
/// done to them since, nor is being done.
fn promised(steps: &[Step], over: usize) -> Vec<(Place, Option<u64>)> {
    let all: BTreeSet<&Place> = steps.iter().flat_map(|step| &step.durable).collect();
    let is_promised = |place: &&&Place| {
        let durable = (0..=over).rfind(|at| steps[*at].durable.contains(place));
        let until = (over + 1).min(steps.len() - 1);
        durable.is_some_and(|at| !steps[at + 1..=until].iter().any(|s| s.touched.contains(place)))
    };
    let kept = all.iter().filter(is_promised);
    kept.map(|place| ((*place).clone(), steps[over].records.get(*place).copied())).collect()
}

/// A record is whole, of the right type, and this version; or it is not there at all.
#[track_caller]
fn check_record(root: &Path, place: &Place, expected: Option<u64>) {
    let dir = root.join(common::STORES).join(&place.0);
    let name = common::disk_name(&place.1);
    let sidecar: PathBuf = dir.join(format!("{name}.{}", common::METADATA));
    let Some(number) = expected else {
        assert!(!dir.join(&name).exists(), "{place:?} is back");
        assert!(!sidecar.exists(), "the sidecar of {place:?} is back");
        return;
    };
    let bytes = fs::read(dir.join(&name)).unwrap_or_else(|error| panic!("{place:?}: {error}"));
    assert_eq!(value::number_of(&bytes), Ok(number), "{place:?}");
    let text = fs::read(&sidecar).unwrap_or_else(|error| panic!("sidecar of {place:?}: {error}"));
    let sidecar: serde_json::Value = serde_json::from_slice(&text)
        .unwrap_or_else(|error| panic!("sidecar of {place:?}: {} bytes: {error}", text.len()));
    let content_type = sidecar["contentType"].as_str().unwrap();
    assert!(value::fits(content_type, &bytes), "{place:?} is of type {content_type:?}");
    assert_eq!(sidecar["size"], bytes.len(), "{place:?}");
}
