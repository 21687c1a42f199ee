//! Several programs that write one record, in each order that leaves a value under another's type (P6).
//!
//! storefs is held between two of its steps by `hold`, and what an SDK does meanwhile is done here, as
//! crawlee-python does it: a value is moved into place, then its sidecar.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;

use serde_json::{Value, json};
use storefs::engine::{Storage, StorageOptions};
use storefs::model::{ContentType, Key, StoreName};

use crate::common::{TempStorage, names, skipped, storefs, wait_until};
use crate::help::{make_store, put};

/// The type of what storefs writes, and its value, and so for the SDK. No two values have one size.
const OURS: (&str, &str) = ("text/x-ours", "ours");
const THEIRS: (&str, &str) = ("text/x-theirs", "of the sdk");

/// `storefs set` of the record `k`, which waits wherever it is told to.
struct Setter {
    child: Child,
    fault: PathBuf,
}

impl Setter {
    fn held_at(storage: &TempStorage, step: &str, (content_type, value): (&str, &str)) -> Self {
        let fault = storage.beside().join(format!("fault of {content_type}").replace('/', "-"));
        let input = storage.beside().join("value");
        fs::write(&input, value).unwrap();
        fs::write(&fault, format!("{step}=hold")).unwrap();
        let mut command: Command = storefs();
        command.args(["set", "default", "k", "--content-type", content_type, "--source"]);
        command.arg(storage.path()).env("STOREFS_FAULT_FILE", &fault);
        command.stdin(fs::File::open(input).unwrap()).stdout(Stdio::null());
        let mut setter = Self { child: command.spawn().unwrap(), fault };
        assert!(setter.is_held(), "{step}: was not passed");
        setter
    }

    fn held_file(&self) -> PathBuf {
        self.fault.with_extension("held")
    }

    /// Waits until it is held, or has ended without passing the step. Gives back whether it is held.
    fn is_held(&mut self) -> bool {
        let mut ended = false;
        wait_until("storefs is held or has ended", || {
            let held = self.held_file().exists();
            ended = !held && self.child.try_wait().unwrap().is_some();
            held || ended
        });
        !ended
    }

    fn release(&self) {
        fs::remove_file(self.held_file()).unwrap();
    }

    /// Has it wait at another step, and go on to there. Gives back whether it comes by there.
    #[must_use]
    fn go_on_to(&mut self, step: &str) -> bool {
        fs::write(&self.fault, format!("{step}=hold")).unwrap();
        self.release();
        self.is_held()
    }

    fn end(mut self) {
        if self.held_file().exists() {
            self.release();
        }
        assert!(self.child.wait().unwrap().success());
    }
}

fn storage_with_record() -> TempStorage {
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    put(&storage, "default", "k", "old");
    storage
}

fn move_in(dir: &Path, name: &str, bytes: &[u8]) {
    let temporary = dir.join(format!("{name}.abcdefgh.tmp"));
    fs::write(&temporary, bytes).unwrap();
    fs::rename(temporary, dir.join(name)).unwrap();
}

fn sdk_value(store: &Path) {
    move_in(store, "k", THEIRS.1.as_bytes());
}

fn sdk_sidecar(store: &Path) {
    let sidecar = json!({"key": "k", "content_type": THEIRS.0, "size": THEIRS.1.len()});
    move_in(store, "k.__metadata__.json", sidecar.to_string().as_bytes());
}

/// The type and the value of the record, whose sidecar must be its own.
#[track_caller]
fn is_record(store: &Path, (content_type, value): (&str, &str)) {
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), value);
    let sidecar = fs::read(store.join("k.__metadata__.json")).unwrap();
    let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
    let named = sidecar.get("contentType").or(sidecar.get("content_type")).unwrap();
    assert_eq!(
        (named.as_str(), sidecar["size"].as_u64()),
        (Some(content_type), Some(value.len() as u64))
    );
    assert!(names(store).iter().all(|name| !name.ends_with(".tmp")), "{:?}", names(store));
}

#[test]
fn p6_an_sdk_that_writes_between_our_value_and_our_sidecar_wins_as_a_whole() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let ours = Setter::held_at(&storage, "publish: value moved", OURS);
    sdk_value(&store);
    sdk_sidecar(&store);
    ours.end();
    is_record(&store, THEIRS);
}

#[test]
fn p6_an_sdk_that_is_between_its_files_when_we_are_finds_no_sidecar_of_ours() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let before = fs::read(store.join("k.__metadata__.json")).ok();
    let ours = Setter::held_at(&storage, "publish: value moved", OURS);
    sdk_value(&store);
    ours.end();
    assert_eq!(fs::read(store.join("k.__metadata__.json")).ok(), before, "what was there is back");
    sdk_sidecar(&store);
    is_record(&store, THEIRS);
}

#[test]
fn p6_an_sdk_that_deletes_between_our_files_leaves_nothing_of_ours() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let ours = Setter::held_at(&storage, "publish: value moved", OURS);
    fs::remove_file(store.join("k")).unwrap();
    fs::remove_file(store.join("k.__metadata__.json")).unwrap();
    ours.end();
    assert_eq!(names(&store), ["__metadata__.json".to_owned()].into());
    assert_eq!(
        fs::read_dir(storage.path().join(".storefs")).unwrap().count(),
        0,
        "nothing is staged"
    );
}

#[test]
fn p6_a_sidecar_of_an_sdk_is_not_lost_when_ours_is_taken_back() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let mut ours = Setter::held_at(&storage, "publish: value moved", OURS);
    sdk_value(&store);
    assert!(ours.go_on_to("sidecar: placed"));
    sdk_sidecar(&store);
    ours.end();
    is_record(&store, THEIRS);
}

#[test]
fn p6_our_sidecar_comes_after_that_of_an_sdk_whose_value_we_replace() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let mut ours = Setter::held_at(&storage, "publish: staged", OURS);
    sdk_value(&store);
    assert!(ours.go_on_to("sidecar: awaited"));
    sdk_sidecar(&store);
    ours.end();
    is_record(&store, OURS);
}

#[test]
fn p6_a_publish_lets_an_sdk_finish_what_it_is_at() {
    let storage = storage_with_record();
    let store = storage.store("default");
    // A value that was written too long ago is none that somebody is at: then it is tried again.
    for _ in 0..20 {
        put(&storage, "default", "k", "old");
        let mut ours = Setter::held_at(&storage, "publish: prepared", OURS);
        sdk_value(&store);
        let waits = ours.go_on_to("sidecar: awaited");
        sdk_sidecar(&store);
        ours.end();
        if waits {
            return is_record(&store, OURS);
        }
    }
    panic!("an SDK was never waited for");
}

#[test]
fn p6_two_processes_place_one_record_one_after_the_other() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let one = Setter::held_at(&storage, "publish: value moved", OURS);
    let mut other = Setter::held_at(&storage, "publish: prepared", THEIRS);
    let waits = other.go_on_to("record: awaited");
    one.end();
    other.end();
    is_record(&store, THEIRS);
    assert!(waits, "the second was not held off");
}

/// An SDK has written a record again, after a process had died between value and sidecar, and the new value has got the
/// inode number that the dead process's had.
#[test]
fn p21_healing_does_not_take_an_inode_number_for_a_file() {
    let storage = storage_with_record();
    let store = storage.store("default");
    let mut dying = Setter::held_at(&storage, "publish: value moved", OURS);
    dying.child.kill().unwrap();
    dying.child.wait().unwrap();
    let number = || fs::metadata(store.join("k")).unwrap().ino();
    let noted = number();
    // As large as ours, so that nothing but its number and age tells them apart.
    let value = "them";
    assert_eq!(value.len(), OURS.1.len());
    let sidecar = json!({"key": "k", "content_type": THEIRS.0, "size": value.len()}).to_string();
    for _ in 0..1_000 {
        move_in(&store, "k", value.as_bytes());
        move_in(&store, "k.__metadata__.json", sidecar.as_bytes());
        if number() == noted {
            // The first write of a process heals.
            let mut writer = storefs();
            writer.args(["set", "default", "more", "--source"]).arg(storage.path());
            assert!(writer.stdin(Stdio::null()).status().unwrap().success());
            return is_record(&store, (THEIRS.0, value));
        }
    }
    skipped("this file system does not use inode numbers again");
}

/// Two processes of ours and an SDK write one record as fast as they can. What is left when they are done is the value
/// of one of them under its own type, unless somebody was kept from running for a tenth of a second at the wrong moment.
#[test]
fn p6_hardly_a_record_is_left_under_the_type_of_another() {
    const ROUNDS: usize = 200;
    let storage = storage_with_record();
    let store = storage.store("default");
    let ours = [("text/x-one", "one"), ("text/x-other", "other")].map(|(content_type, value)| {
        let storage = Storage::open_directory(&storage.path(), StorageOptions::default()).unwrap();
        let store = storage.store(&StoreName::new("default").unwrap());
        let key = Key::new("k").unwrap();
        let content_type = ContentType::new(content_type);
        move || store.set_value(&key, value, Some(&content_type)).unwrap()
    });
    let mut mismatches = 0;
    for _ in 0..ROUNDS {
        let start = Arc::new(Barrier::new(3));
        thread::scope(|scope| {
            for write in &ours {
                let start = Arc::clone(&start);
                scope.spawn(move || {
                    start.wait();
                    (0..5).for_each(|_| write());
                });
            }
            start.wait();
            for _ in 0..5 {
                sdk_value(&store);
                sdk_sidecar(&store);
            }
        });
        let sidecar = fs::read(store.join("k.__metadata__.json")).unwrap();
        let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
        let size = fs::metadata(store.join("k")).unwrap().len();
        mismatches += usize::from(sidecar["size"].as_u64() != Some(size));
    }
    println!("{mismatches} of {ROUNDS} rounds left a value under the type of another");
    assert!(mismatches <= ROUNDS / 50, "{mismatches} of {ROUNDS}");
}
