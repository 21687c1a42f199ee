//! Two requests that meet: one is held in the middle, and another comes.
//!
//! Whoever has to wait for the one that is held is let go with it; so a test ends the same however long anything takes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, XattrFlags, flock};
use serde_json::Value;

use crate::common::opener::Opener;
use crate::common::{METADATA, mime_type, names, wait_until};
use crate::help::{close, sidecar_of};
use crate::{Faulty, in_time};

/// Long enough for a publish to have something to do.
const LONG: usize = 2 << 20;

/// Steps that a close passes, from before its first effect to after its last.
const STEPS_OF_CLOSE: [&str; 5] = [
    "close: begun",
    "publish: record held",
    "publish: staged",
    "publish: value moved",
    "publish: sidecar moved",
];

/// Steps that a rename passes, from before its first effect to after its last.
const STEPS_OF_RENAME: [&str; 4] =
    ["rename: records held", "rename: noted", "rename: value moved", "rename: moved"];

/// Steps that a removal passes.
const STEPS_OF_UNLINK: [&str; 3] =
    ["unlink: record held", "delete: noted", "delete: sidecar removed"];

/// Steps that the rename of a store passes.
const STEPS_OF_STORE_RENAME: [&str; 3] =
    ["rename store: records held", "rename store: noted", "rename store: directory moved"];

/// A request that is held at a step until this is dropped.
struct Hold<'a>(&'a Faulty);

impl<'a> Hold<'a> {
    /// Has the next request that passes this step held there.
    fn arm(faulty: &'a Faulty, step: &str) -> Self {
        faulty.arm(step, "hold");
        Self(faulty)
    }

    /// Waits until a request is held.
    #[track_caller]
    fn is_met(&self, step: &str) {
        wait_until(&format!("somebody passes '{step}'"), || !self.0.fault_file().exists());
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0.fault_file());
        let _ = fs::remove_file(self.0.fault_file().with_extension("held"));
    }
}

/// Begins something while a request is held, and lets it get as far as it comes. How far that is decides nothing: one
/// that is held up ends after the request is let go.
fn meanwhile<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let acting = thread::spawn(act);
    for _ in 0..200 {
        if acting.is_finished() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    acting
}

/// A new version of a record that is there, written and not closed.
fn written(record: &Path) -> (File, Vec<u8>) {
    let bytes = vec![b'n'; LONG];
    let mut file = OpenOptions::new().write(true).truncate(true).open(record).unwrap();
    file.write_all(&bytes).unwrap();
    (file, bytes)
}

/// A mount with a store that has the records `k` and `other`.
fn faulty_store(name: &str) -> Option<(Faulty, PathBuf)> {
    let faulty = Faulty::new()?;
    faulty.make_store(name);
    let store = faulty.mount.store(name);
    Some((faulty, store))
}

/// Asserts that a record was renamed with its new version, in the mount and on the disk.
#[track_caller]
fn is_moved(faulty: &Faulty, store: &str, (from, to): (&str, &str), bytes: &[u8], what: &str) {
    let (mounted, on_disk) = (faulty.mount.store(store), faulty.storage.store(store));
    for place in [&mounted, &on_disk] {
        assert!(!names(place).contains(from), "{what}: the old name is back");
        assert!(fs::metadata(place.join(from)).is_err(), "{what}: the old name is found");
        assert!(fs::read(place.join(to)).unwrap() == bytes, "{what}: another version");
    }
    assert_eq!(sidecar_of(&faulty.storage, store, to)["size"], bytes.len(), "{what}");
    assert!(!on_disk.join(format!("{from}.{METADATA}")).exists(), "{what}: an orphan sidecar");
}

#[test]
fn p06_a_rename_that_meets_a_close_leads_to_the_new_version() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    for step in STEPS_OF_CLOSE {
        faulty.make_store("default");
        let (from, to) = (store.join("k"), store.join("moved"));
        let (file, bytes) = written(&from);
        let hold = Hold::arm(&faulty, step);
        let closing = thread::spawn(move || close(file));
        hold.is_met(step);
        let renaming = meanwhile(move || fs::rename(from, to));
        drop(hold);
        closing.join().unwrap().unwrap();
        renaming.join().unwrap().unwrap();
        is_moved(&faulty, "default", ("k", "moved"), &bytes, step);
        faulty.is_well(step);
    }
}

#[test]
fn p06_a_close_that_meets_a_rename_publishes_under_the_new_name() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    for step in STEPS_OF_RENAME {
        faulty.make_store("default");
        let (from, to) = (store.join("k"), store.join("moved"));
        let (file, bytes) = written(&from);
        let hold = Hold::arm(&faulty, step);
        let renaming = thread::spawn(move || fs::rename(from, to));
        hold.is_met(step);
        let closing = meanwhile(move || close(file));
        drop(hold);
        renaming.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
        is_moved(&faulty, "default", ("k", "moved"), &bytes, step);
        faulty.is_well(step);
    }
}

#[test]
fn p06_a_record_that_is_removed_beside_a_close_never_comes_back() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    let is_gone = |step: &str| {
        for place in [&store, &faulty.storage.store("default")] {
            let left = names(place);
            assert!(left.iter().all(|name| !name.starts_with('k')), "{step}: {left:?}");
            assert!(fs::metadata(place.join("k")).is_err(), "{step}: it is found");
        }
        faulty.is_well(step);
    };
    for step in STEPS_OF_CLOSE {
        faulty.make_store("default");
        let record = store.join("k");
        let (file, _) = written(&record);
        let hold = Hold::arm(&faulty, step);
        let closing = thread::spawn(move || close(file));
        hold.is_met(step);
        let removing = meanwhile(move || fs::remove_file(record));
        drop(hold);
        closing.join().unwrap().unwrap();
        removing.join().unwrap().unwrap();
        is_gone(step);
    }
    for step in STEPS_OF_UNLINK {
        faulty.make_store("default");
        let record = store.join("k");
        let (file, _) = written(&record);
        let hold = Hold::arm(&faulty, step);
        let removing = thread::spawn(move || fs::remove_file(record));
        hold.is_met(step);
        let closing = meanwhile(move || close(file));
        drop(hold);
        removing.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
        is_gone(step);
    }
}

#[test]
fn p06_a_lock_that_is_given_back_while_another_is_about_to_be_refused_is_taken() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    let [holder, asker, other] = [(); 3].map(|()| File::open(store.join("k")).unwrap());
    flock(&holder, FlockOperation::LockExclusive).unwrap();
    let step = "lock: refused";
    let hold = Hold::arm(&faulty, step);
    let asking = thread::spawn(move || flock(asker, FlockOperation::NonBlockingLockExclusive));
    hold.is_met(step);
    drop(holder);
    wait_until("the lock is given back", || {
        flock(&other, FlockOperation::NonBlockingLockExclusive).is_ok()
    });
    flock(&other, FlockOperation::Unlock).unwrap();
    drop(hold);
    asking.join().unwrap().unwrap();
    faulty.is_well(step);
}

#[test]
fn p03_who_looks_beside_an_open_for_writing_is_given_the_published_version() {
    // The kernel has others wait for a lookup of a name that it does not know. Where nothing tells it to forget, it
    // knows this one, and the lookup that is held only asks whether that is still so.
    let Some(faulty) = Faulty::with_options(&["--ttl", "0"]) else { return };
    faulty.make_store("default");
    let store = faulty.mount.store("default");
    let step = "open for writing: record held";
    let hold = Hold::arm(&faulty, step);
    let record = store.join("k");
    let opening = thread::spawn({
        let record = record.clone();
        move || OpenOptions::new().write(true).truncate(true).open(record)
    });
    hold.is_met(step);
    in_time("looking at a record that is being opened", move || {
        assert_eq!(fs::metadata(&record).unwrap().len(), 3);
        assert!(names(&store).contains("k"));
        assert_eq!(fs::read_to_string(&record).unwrap(), "old");
        assert_eq!(mime_type(&record), "text/plain");
    });
    drop(hold);
    let mut file = opening.join().unwrap().unwrap();
    file.write_all(b"new").unwrap();
    close(file).unwrap();
    assert_eq!(fs::read_to_string(faulty.mount.store("default").join("k")).unwrap(), "new");
    faulty.is_well(step);
}

/// A call that publishes what a file's writer has written.
type Publish = fn(File) -> io::Result<()>;

#[test]
fn p10_a_type_that_is_set_beside_a_publish_is_kept() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    let publishes: [(&str, Publish); 3] = [
        ("publish: record held", close),
        ("publish: staged", close),
        // Without the backend's lock of the record.
        ("publish: sync value", |file| file.sync_all()),
    ];
    for (step, publish) in publishes {
        faulty.make_store("default");
        let record = store.join("k");
        let (file, _) = written(&record);
        // Set through a descriptor, since a look at the name would wait for the publish.
        let other = file.try_clone().unwrap();
        let hold = Hold::arm(&faulty, step);
        let publishing = thread::spawn(move || publish(file));
        hold.is_met(step);
        let setting = meanwhile(move || {
            let (name, content_type) = ("user.mime_type", b"text/x-by-hand");
            rustix::fs::fsetxattr(&other, name, content_type, XattrFlags::empty())
        });
        drop(hold);
        publishing.join().unwrap().unwrap();
        setting.join().unwrap().unwrap();
        let has_it = |what: &str| {
            assert_eq!(mime_type(&record), "text/x-by-hand", "{step}: {what}");
            let sidecar = sidecar_of(&faulty.storage, "default", "k");
            assert_eq!(sidecar["contentType"], "text/x-by-hand", "{step}: {what}");
        };
        has_it("once it is published");
        // It holds for later versions too, whatever they are.
        fs::write(&record, b"\xff").unwrap();
        has_it("the next version");
        fs::remove_file(&record).unwrap();
        faulty.is_well(step);
    }
}

#[test]
fn p05_p17_a_close_beside_the_rename_of_its_store_publishes_in_the_renamed_store() {
    let Some(faulty) = Faulty::new() else { return };
    for (round, step) in STEPS_OF_STORE_RENAME.into_iter().enumerate() {
        let (old, new) = (format!("old-{round}"), format!("new-{round}"));
        faulty.make_store(&old);
        let (file, bytes) = written(&faulty.mount.store(&old).join("k"));
        let hold = Hold::arm(&faulty, step);
        let (from, to) = (faulty.mount.store(&old), faulty.mount.store(&new));
        let renaming = thread::spawn(move || fs::rename(from, to));
        hold.is_met(step);
        let closing = meanwhile(move || {
            // fsync too: what it says is durable must be what was renamed.
            file.sync_all()?;
            close(file)
        });
        drop(hold);
        renaming.join().unwrap().unwrap();
        closing.join().unwrap().unwrap_or_else(|error| panic!("{step}: {error}"));
        for place in [faulty.mount.store(&new), faulty.storage.store(&new)] {
            assert!(fs::read(place.join("k")).unwrap() == bytes, "{step}");
        }
        assert_eq!(sidecar_of(&faulty.storage, &new, "k")["size"], bytes.len(), "{step}");
        assert!(!faulty.storage.store(&old).exists() && !faulty.mount.store(&old).exists());
        faulty.is_well(step);
    }
}

/// One record for each thread that takes requests from the kernel. No two of them share a lock of the backend.
const CLOSED: [&str; 4] = ["first", "second", "third", "fourth"];

#[test]
fn p02_requests_that_need_nothing_are_answered_while_closes_wait() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    faulty.make_store("quiet");
    let step = "publish: staged";
    let mut holds = Vec::new();
    let mut closing = Vec::new();
    for name in CLOSED {
        let record = store.join(name);
        fs::write(&record, "old").unwrap();
        let (file, _) = written(&record);
        holds.push(Hold::arm(&faulty, step));
        closing.push(thread::spawn(move || close(file)));
        wait_until(&format!("the close of '{name}' is held"), || !faulty.fault_file().exists());
    }
    in_time("what needs nothing", move || {
        let quiet = store.with_file_name("quiet");
        for other in [store.join("other"), quiet.join("k")] {
            assert_eq!(fs::metadata(&other).unwrap().len(), 3);
            assert_eq!(fs::read_to_string(&other).unwrap(), "old");
            assert!(mime_type(&other).starts_with("text/"));
        }
        assert!(names(&quiet).contains("k") && names(&store.join("..")).contains("default"));
        // Also what is just being published can be listed, with its attributes.
        assert!(names(&store).contains(CLOSED[0]));
        let status = fs::read(store.join("../../@status")).unwrap();
        assert!(serde_json::from_slice::<Value>(&status).unwrap()["pid"].is_u64());
    });
    drop(holds);
    for closing in closing {
        closing.join().unwrap().unwrap();
    }
    faulty.is_well(step);
}

/// Threads that add lines to a log.
const APPENDERS: usize = 4;

/// How often the log is moved away under them.
const ROTATIONS: usize = 200;

/// Adds a line, as a shell's `>>` does.
fn append(log: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(log)?;
    file.write_all(line.as_bytes())?;
    close(file)
}

#[test]
fn p06_a_log_that_is_rotated_under_its_writers_loses_no_line_and_has_none_twice() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    let log = store.join("app.log");
    let (done, lines) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; APPENDERS]);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut note = |place: &Path| {
        let text = fs::read_to_string(place).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{place:?} ends in {text:?}");
        let name = place.file_name().unwrap().to_str().unwrap();
        for line in text.lines() {
            seen.entry(line.to_owned()).or_default().push(name.to_owned());
        }
    };
    thread::scope(|scope| {
        let appenders: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(appender, lines)| {
                let (log, done) = (&log, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let line = format!("{appender} {}\n", lines.load(Ordering::Relaxed));
                        append(log, &line)?;
                        lines.fetch_add(1, Ordering::Relaxed);
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        let rotated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for rotation in 1..=ROTATIONS {
                let old = store.join(format!("app.{rotation}"));
                wait_until("there is a log to be moved", || match fs::rename(&log, &old) {
                    Err(error) if error.kind() == ErrorKind::NotFound => false,
                    moved => moved.map(|()| true).unwrap(),
                });
                if rotation % 2 == 0 {
                    continue;
                }
                // Who had it open when it was moved has closed it once he has begun another line.
                let before = lines.each_ref().map(|lines| lines.load(Ordering::Relaxed));
                wait_until("all have gone on to the new log", || {
                    let ended = appenders.iter().any(|appender| appender.is_finished());
                    let mut counts = lines.iter().zip(before);
                    ended || counts.all(|(lines, before)| lines.load(Ordering::Relaxed) > before)
                });
                note(&old);
                fs::remove_file(&old).unwrap();
            }
        }));
        done.store(true, Ordering::Relaxed);
        for appender in appenders {
            appender.join().unwrap().unwrap();
        }
        rotated.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    for name in names(&store).iter().filter(|name| name.starts_with("app.")) {
        note(&store.join(name));
    }
    for (appender, count) in lines.iter().enumerate() {
        for number in 0..count.load(Ordering::Relaxed) {
            let line = format!("{appender} {number}");
            let places = seen.remove(&line).unwrap_or_default();
            assert_eq!(places.len(), 1, "line '{line}' is in {places:?}");
        }
    }
    assert!(seen.is_empty(), "nobody has written {seen:?}");
    faulty.is_well("after the rotations");
}

#[test]
fn p17_what_is_written_to_a_record_while_it_becomes_the_metadata_is_in_that() {
    let Some((faulty, store)) = faulty_store("default") else { return };
    let (metadata, saved) = (store.join(METADATA), store.join("saved"));
    let marked = |mark: u64| {
        let mut fields: Value = serde_json::from_slice(&fs::read(&metadata).unwrap()).unwrap();
        fields["mark"] = mark.into();
        fields.to_string()
    };
    fs::write(&saved, marked(1)).unwrap();
    let later = marked(2);
    // Opened before, since a look at the name would wait for the rename; and by another process, since the kernel locks the
    // inode that it renames, which is the writers' for who is one of them.
    let mut opener = Opener::start();
    let mut theirs = opener.open(&saved, OFlags::WRONLY).unwrap();
    let step = "rename to metadata: kept";
    let hold = Hold::arm(&faulty, step);
    let renaming = thread::spawn({
        let (saved, metadata) = (saved.clone(), metadata.clone());
        move || fs::rename(saved, metadata)
    });
    hold.is_met(step);
    theirs.file.set_len(0).unwrap();
    theirs.file.write_all(later.as_bytes()).unwrap();
    opener.close(theirs).unwrap();
    drop(hold);
    renaming.join().unwrap().unwrap();
    assert!(!saved.exists());
    let kept: Value = serde_json::from_slice(&fs::read(&metadata).unwrap()).unwrap();
    assert_eq!(kept["mark"], 2, "{kept}");
    faulty.is_well(step);
}
