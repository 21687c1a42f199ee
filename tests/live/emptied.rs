//! Stores that an SDK purges, drops or (Crawlee JS 3) replaces by a new directory while they are in use through the
//! mount.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::common::opener::Opener;
use crate::common::{TempMount, TempStorage, names, sh, wait_until};
use crate::sdk::{Client, Js, Python, STORE};
use crate::work::{unless_gone, while_working};

/// Rounds of the threads that write and read while a store is emptied again and again.
const ROUNDS: usize = 400;

/// Long enough for several requests, and for a look at how far somebody has come.
fn long_value(key: &str) -> Vec<u8> {
    let text: String = (0..100_000).map(|number| format!("{key} {number} ")).collect();
    json!({"key": key, "text": text, "end": key}).to_string().into_bytes()
}

/// A store that holds the records `a`, `b` and `c` of [`long_value`].
fn fill(client: &mut Client) {
    for key in ["a", "b", "c"] {
        let value: Value = serde_json::from_slice(&long_value(key)).unwrap();
        client.set(key, &value);
    }
}

/// Lets an SDK empty a store while one reader has read half of a record, another has it mapped, and a third has
/// not yet read anything.
///
/// What they must see is read from the disk: the kernel would remember what was read through the mount.
#[track_caller]
fn readers_keep_their_version(
    mount: &TempMount,
    storage: &TempStorage,
    store: &str,
    empty: impl FnOnce(),
) {
    let (mounted, on_disk) = (mount.store(store), storage.store(store));
    let records: Vec<_> = names(&mounted).into_iter().filter(|name| !name.contains("__")).collect();
    let contents: Vec<_> =
        records.iter().map(|name| fs::read(on_disk.join(name)).unwrap()).collect();
    let open = |at: usize| File::open(mounted.join(&records[at])).unwrap();

    let (mut half_read, unread) = (open(0), open(1));
    let mut seen = vec![0; contents[0].len() / 2];
    half_read.read_exact(&mut seen).unwrap();
    let mapped = Mapped::new(&mounted.join(&records[2]));

    empty();

    half_read.read_to_end(&mut seen).unwrap();
    assert!(seen == contents[0], "the second half is another's");
    assert!(mapped.into_bytes() == contents[2], "the map has changed");
    let mut seen = Vec::new();
    { &unread }.read_to_end(&mut seen).unwrap();
    assert!(seen == contents[1], "who had not read yet got {} bytes", seen.len());
    for name in &records {
        assert_eq!(
            File::open(mounted.join(name)).unwrap_err().kind(),
            ErrorKind::NotFound,
            "{name}"
        );
    }
    let left = unless_gone("list", fs::read_dir(&mounted)).into_iter().flatten();
    let left: Vec<_> =
        left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(records.iter().all(|name| !left.contains(name)), "{left:?}");
}

/// A process that has a file mapped. Rust could not map one without unsafe code.
struct Mapped(Child);

impl Mapped {
    #[track_caller]
    fn new(path: &Path) -> Self {
        let script = "import mmap, sys\n\
                      file = open(sys.argv[1], 'rb')\n\
                      mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n\
                      file.close()\n\
                      print('mapped', flush=True)\n\
                      sys.stdin.read()\n\
                      sys.stdout.buffer.write(mapped)\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut mapped = Self(command.spawn().unwrap());
        let mut ready = [0; 7];
        mapped.0.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        mapped
    }

    /// What the process sees now.
    fn into_bytes(mut self) -> Vec<u8> {
        // The end of its input is what it waits for.
        drop(self.0.stdin.take());
        let mut bytes = Vec::new();
        self.0.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.stdout.take());
        let _ = self.0.wait();
    }
}

#[test]
fn p01_p02_readers_keep_what_crawlee_python_purges() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    fill(&mut client);
    let mount = TempMount::new(&storage);
    readers_keep_their_version(&mount, &storage, STORE, || drop(client.ask(&json!({"purge": 1}))));
}

#[test]
fn p01_p02_readers_keep_what_the_apify_sdk_purges() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve_apify(&storage, STORE, false);
    fill(&mut client);
    let mount = TempMount::new(&storage);
    readers_keep_their_version(&mount, &storage, STORE, || drop(client.ask(&json!({"purge": 1}))));
    fs::write(mount.store(STORE).join("after"), "purge").unwrap();
    assert_eq!(client.get("after")["value"], "purge");
}

#[test]
fn p01_p02_readers_keep_what_crawlee_python_drops() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    fill(&mut client);
    let mount = TempMount::new(&storage);
    readers_keep_their_version(&mount, &storage, STORE, || drop(client.ask(&json!({"drop": 1}))));
    assert!(!names(&mount.stores()).contains(STORE));
    assert!(!storage.store(STORE).exists(), "the store that was dropped is there again");
}

#[test]
fn p01_p02_readers_keep_what_crawlee_js3_drops() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    let mut client = js.serve(&storage, STORE);
    fill(&mut client);
    let mount = TempMount::new(&storage);
    readers_keep_their_version(&mount, &storage, STORE, || drop(client.ask(&json!({"drop": 1}))));
    assert!(!names(&mount.stores()).contains(STORE));
    assert!(!storage.store(STORE).exists(), "the store that was dropped is there again");
}

#[test]
fn p01_p02_readers_keep_what_crawlee_js3_replaces_by_a_new_directory() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    let mut client = js.serve(&storage, "default");
    fill(&mut client);
    let mount = TempMount::new(&storage);
    let mounted = mount.store("default");
    let inode = fs::metadata(storage.store("default")).unwrap().ino();
    readers_keep_their_version(&mount, &storage, "default", || {
        drop(client.ask(&json!({"purge": 1})))
    });
    assert_ne!(fs::metadata(storage.store("default")).unwrap().ino(), inode);

    // The new directory is the store now, also for a shell that was in the old one.
    fs::write(mounted.join("after.json"), "{\"after\": 1}").unwrap();
    assert!(names(&storage.store("default")).contains("after.json"));
    client.ask(&json!({"reopen": 1}));
    let after = js.dump(&storage, "default");
    assert!(after.values().any(|record| record["value"] == json!({"after": 1})), "{after:?}");
}

/// Writers that have written half a version when an SDK empties the store, and the other half afterwards.
struct HalfWritten {
    /// Of a record that is there, opened for appending.
    old: File,
    /// Of a record that is not.
    new: File,
}

impl HalfWritten {
    #[track_caller]
    fn begin(mounted: &Path, old: &str) -> Self {
        let mut old = OpenOptions::new().append(true).open(mounted.join(old)).unwrap();
        let mut new = File::create(mounted.join("new.txt")).unwrap();
        old.write_all(b" ").unwrap();
        new.write_all(b"first, ").unwrap();
        Self { old, new }
    }

    /// What write and close say, of each.
    fn finish(self) -> [rustix::io::Result<()>; 2] {
        [(self.old, " "), (self.new, "second")].map(|(mut file, rest)| {
            let written = file.write_all(rest.as_bytes());
            // The descriptor's own close says nothing in Rust; that of a duplicate publishes as well, and tells.
            let synced = file.sync_all();
            let errno = |error: std::io::Error| rustix::io::Errno::from_io_error(&error).unwrap();
            written.and(synced).map_err(errno)
        })
    }
}

#[test]
fn p03_p06_writers_go_on_into_a_store_that_an_sdk_purged() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    fill(&mut client);
    let mount = TempMount::new(&storage);
    let writers = HalfWritten::begin(&mount.store(STORE), "a");
    client.ask(&json!({"purge": 1}));
    let done = writers.finish();
    assert_eq!(done[1], Ok(()));
    assert_eq!(client.get("new.txt")["value"], "first, second");

    // The old record was removed under its writer. Whole or not there are both right; torn is not.
    let a: Value = serde_json::from_slice(&long_value("a")).unwrap();
    let got = client.get("a");
    assert!(got["type"].is_null() || got["value"] == a, "{:?}", done[0]);
    drop(client);
    mount.unmount();
    assert_eq!(storage.store(STORE).join("a").exists(), !got["type"].is_null());
}

#[test]
fn p07_p17_writers_and_times_never_bring_back_a_store_that_an_sdk_dropped() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    fill(&mut client);
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    let writers = HalfWritten::begin(&mounted, "a");
    fs::read(mounted.join("b")).unwrap();
    client.ask(&json!({"drop": 1}));
    for result in writers.finish() {
        assert!(result.is_err(), "written into a store that is not there");
    }
    assert!(fs::write(mounted.join("late"), "x").is_err());
    // The times of the reads above are written back at the latest now.
    mount.unmount();
    assert!(!storage.store(STORE).exists());
    assert!(
        python
            .run(&["dump", storage.path().to_str().unwrap(), STORE])
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// Work through the mount that must go on in a store that others empty: whole versions are written, and whoever
/// reads gets one, or is told that there is none.
///
/// A new record is seen as it grows. So one is made under a name that nobody reads, and gets its own once it is whole;
/// after that it is written over as long as it is there, which nobody sees before it is published.
#[track_caller]
fn work_in(opener: &mut Opener, mounted: &Path, round: usize) {
    // A name that needs no escape: JS 3 raises over any other that has a sidecar (FORMAT 6.6).
    let thread = format!("{:?}", thread::current().id());
    let own = format!("own-{}", thread.replace(|letter: char| !letter.is_ascii_digit(), ""));
    let (new, path) = (mounted.join(format!("{own}.txt")), mounted.join(format!("{own}.json")));
    let value = |version: &str| {
        let filler = "x".repeat(round * 17);
        json!({"round": round, "version": version, "filler": filler, "end": round}).to_string()
    };
    if unless_gone("write", write_anew(opener, &new, OFlags::CREATE, &value("made"))).is_some() {
        unless_gone("rename", fs::rename(&new, &path));
    }
    if unless_gone("write over", write_anew(opener, &path, OFlags::empty(), &value("written over")))
        .is_some()
        && let Some(got) = unless_gone("read back", fs::read(&path))
    {
        assert_eq!(String::from_utf8(got).unwrap(), value("written over"));
    }
    let Some(listing) = unless_gone("open the store", fs::read_dir(mounted)) else { return };
    for entry in listing {
        let Some(entry) = unless_gone("list", entry) else { return };
        let name = entry.file_name().into_string().unwrap();
        assert!(!name.ends_with(".tmp") && !name.ends_with(".lock"), "{name}");
        if name.ends_with(".txt") {
            continue;
        }
        let Some(bytes) = unless_gone(&name, fs::read(entry.path())) else { continue };
        if name != "__metadata__.json" && name.ends_with(".json") {
            let value: Value = serde_json::from_slice(&bytes)
                .unwrap_or_else(|error| panic!("{name}: {error} in {} bytes", bytes.len()));
            assert!(value.is_object(), "{name}: {value}");
        }
    }
}

/// Writes a record anew, and closes it. Others of this process read it, who must not be its writers.
fn write_anew(opener: &mut Opener, path: &Path, flags: OFlags, text: &str) -> std::io::Result<()> {
    let mut theirs = opener.open(path, flags | OFlags::WRONLY | OFlags::TRUNC)?;
    let written = theirs.file.write_all(text.as_bytes());
    opener.close(theirs)?;
    written
}

/// Lets two threads work in a store while an SDK empties it again and again.
#[track_caller]
fn work_while(mounted: &Path, empty: impl FnMut() + Send) {
    while_working(empty, || {
        thread::scope(|scope| {
            let work = || {
                let mut opener = Opener::start();
                (0..ROUNDS).for_each(|round| work_in(&mut opener, mounted, round));
            };
            for worker in [scope.spawn(work), scope.spawn(work)] {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
    });
}

#[test]
fn p01_p04_p13_a_store_that_an_sdk_purges_again_and_again_can_be_used() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve_apify(&storage, STORE, false);
    let mount = TempMount::new(&storage);
    work_while(&mount.store(STORE), || {
        client.ask(&json!({"fill": "r.json", "numbers": [0, 20]}));
        client.ask(&json!({"purge": 1}));
    });
    leaves_a_sound_store(&mount, &python, &storage);
}

#[test]
fn p01_p04_a_store_that_an_sdk_drops_and_makes_again_can_be_used() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    work_while(&mount.store(STORE), || {
        client.ask(&json!({"fill": "r.json", "numbers": [0, 20]}));
        // On any disk, the removal of a directory fails if somebody puts a file in it meanwhile, or renames one.
        if let Err(error) = client.try_ask(&json!({"drop": 1})) {
            let known = ["Directory not empty", "No such file or directory"];
            assert!(known.iter().any(|known| error.contains(known)), "{error}");
        }
    });
    client.set("last", &json!("value"));
    leaves_a_sound_store(&mount, &python, &storage);
}

/// After all that, the store takes a record as ever, and the SDK reads every record in it.
#[track_caller]
fn leaves_a_sound_store(mount: &TempMount, python: &Python, storage: &TempStorage) {
    fs::write(mount.store(STORE).join("after"), "all").unwrap();
    let records = python.dump(storage, STORE);
    assert_eq!(records["after"]["value"], "all");
    let staging = storage.path().join(".storefs");
    wait_until("nothing is left of what was under way", || {
        sh("find .storefs -mindepth 2 -not -path '.storefs/locks/*'", &storage.path()).is_empty()
            || !staging.exists()
    });
}

#[test]
fn p01_p04_a_store_that_crawlee_js3_replaces_again_and_again_can_be_used() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    // The SDK makes the directory of a store no earlier than its first record.
    fs::create_dir_all(storage.store("default")).unwrap();
    let mut client = js.serve(&storage, "default");
    let mount = TempMount::new(&storage);
    let mounted = mount.store("default");
    fs::write(storage.store("default").join("INPUT.json"), "{\"input\": true}").unwrap();
    work_while(&mounted, || drop(client.ask(&json!({"purge": 1}))));
    assert_eq!(fs::read(mounted.join("INPUT.json")).unwrap(), b"{\"input\": true}");
    fs::write(mounted.join("after.json"), "{\"after\": 1}").unwrap();
    js.dump(&storage, "default");
}
