//! Purging a store through `@purge`, and what the input is.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde_json::Value;

use crate::common::{
    METADATA, TempMount, TempStorage, can_mount, mime_type, names, sh, staged, try_sh, wait_until,
};
use crate::help::{
    LONG_AGO, close, errno, is_root, make_store, metadata_of, put, storage_of, write,
};

/// One write(2) to a store's `@purge`.
fn purge_with(store: &Path, content: &[u8]) -> std::io::Result<usize> {
    OpenOptions::new().write(true).open(store.join("@purge"))?.write(content)
}

/// What `@purge` says of the last purge.
fn report(store: &Path) -> Value {
    serde_json::from_slice(&fs::read(store.join("@purge")).unwrap()).unwrap()
}

#[test]
fn p15_exactly_one_purges() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for content in [b"1".as_slice(), b"1\n"] {
        put(&storage, "default", "k", "v");
        assert_eq!(purge_with(&store, content).unwrap(), content.len());
        assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
    }
    for script in
        ["echo 1 > @purge", "printf 1 > @purge", "echo 1 >> @purge", "echo 1 | tee @purge"]
    {
        put(&storage, "default", "k", "v");
        sh(script, &store);
        assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into(), "{script}");
    }
    // A newline may come in a write of its own.
    put(&storage, "default", "k", "v");
    let mut control = OpenOptions::new().write(true).open(store.join("@purge")).unwrap();
    control.write_all(b"1").unwrap();
    control.write_all(b"\n").unwrap();
    close(control).unwrap();
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
}

#[test]
fn p15_any_other_write_is_refused_and_harmless() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "k"]);
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for content in
        ["2", "11", "1 ", " 1", "01", "0", "1\n\n", "1\r\n", "\n", "1\0", "true", "purge", "\u{b9}"]
    {
        let refused = purge_with(&store, content.as_bytes());
        assert_eq!(errno(refused), Errno::INVAL, "{content:?}");
    }
    assert_eq!(errno(purge_with(&store, &[b'1'; 100_000])), Errno::INVAL);
    let control = OpenOptions::new().write(true).open(store.join("@purge")).unwrap();
    assert_eq!(errno(control.write_at(b"1", 1)), Errno::INVAL);
    assert_eq!(errno(control.write_at(b"1", 1 << 40)), Errno::INVAL);
    drop(control);
    assert_eq!(report(&store)["purged_at"], Value::Null);
    mount.unmount();
    assert_eq!(storage.files().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

#[test]
fn p15_opening_reading_touching_and_truncating_do_nothing() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "k"]);
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    assert_eq!(purge_with(&store, b"").unwrap(), 0);
    sh(
        ": > @purge; : >> @purge; touch @purge; touch -d '2001-01-01' @purge; truncate -s 0 @purge
         cat @purge; stat @purge; chmod 600 @purge; cp @purge /dev/null; exec 3<> @purge; exec 3>&-
         true 1> @purge; cp /dev/null @purge",
        &store,
    );
    for size in [0, 1, 100] {
        let control = OpenOptions::new().write(true).open(store.join("@purge")).unwrap();
        let _ = control.set_len(size);
        let _ = control.sync_all();
    }
    assert_eq!(report(&store)["purged_at"], Value::Null);
    mount.unmount();
    assert_eq!(storage.files().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

#[test]
fn the_control_file_says_what_the_last_purge_did() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "a", "b"]);
    fs::write(storage.store("default").join("bare"), "bare").unwrap();
    make_store(&storage, "other");
    put(&storage, "other", "k", "v");
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    assert_eq!(report(&store)["purged_at"], Value::Null);
    sh("echo 1 > @purge", &store);
    let first = report(&store);
    assert_eq!(
        (&first["removed"], &first["spared"]),
        (&3.into(), &Value::from(vec!["INPUT.json"]))
    );
    assert!(first["purged_at"].as_str().is_some(), "{first}");
    sh("echo 1 > @purge", &store);
    assert_eq!(report(&store)["removed"], 0);
    assert_eq!(report(&mount.store("other"))["purged_at"], Value::Null);
    let mut control = OpenOptions::new().read(true).write(true).open(store.join("@purge")).unwrap();
    control.write_all(b"1").unwrap();
    let mut text = vec![0; 4096];
    let count = control.read_at(&mut text, 0).unwrap();
    let own: Value = serde_json::from_slice(&text[..count]).unwrap();
    assert_eq!(own["removed"], 0, "the same descriptor can ask");
}

#[test]
fn p13_the_purge_spares_metadata_and_input_in_every_store() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    for store in ["default", "named"] {
        make_store(&storage, store);
        for record in
            ["INPUT.json", "OUTPUT", "INPUTx", "INPUT-2.json", "a%2Fb", "left.abcd_123.tmp"]
        {
            put(&storage, store, record, "{}");
        }
        let dir = storage.store(store);
        fs::write(dir.join("bare file"), "bare").unwrap();
        fs::write(dir.join("orphan.__metadata__.json"), "{}").unwrap();
        fs::write(dir.join("x.abcd_123.tmp"), "temporary").unwrap();
        fs::create_dir_all(dir.join("directory/inner")).unwrap();
        fs::write(dir.join("directory/inner/file"), "kept").unwrap();
    }
    let mount = TempMount::new(&storage);
    for store in ["default", "named"] {
        let before = metadata_of(&storage, store);
        sh("echo 1 > @purge", &mount.store(store));
        let input_sidecar = format!("INPUT.json.{METADATA}");
        let left = [METADATA, "INPUT.json", &input_sidecar, "directory"].map(String::from);
        assert_eq!(names(&storage.store(store)), left.into(), "{store}");
        let kept = storage.store(store).join("directory/inner/file");
        assert_eq!(fs::read_to_string(kept).unwrap(), "kept");
        let shown = [METADATA, "INPUT.json"].map(String::from);
        assert_eq!(names(&mount.store(store)), shown.into(), "{store}");
        let after = metadata_of(&storage, store);
        for kept in ["id", "name", "created_at"] {
            assert_eq!(after[kept], before[kept], "{store}: {kept}");
        }
        assert_eq!(after["accessed_at"], after["modified_at"], "{store}");
        assert!(after["modified_at"].as_str().unwrap() > LONG_AGO, "{store}");
    }
    wait_until("what was purged is removed", || staged(&storage.path()).is_empty());
}

#[test]
fn purged_names_are_gone_at_once_for_whoever_has_seen_them() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "a", "b", "c"]);
    // Were the kernel not told, it would go on answering by itself.
    let mount = TempMount::with_options(&storage, &["--ttl", "3600"]);
    let store = mount.store("default");
    sh("ls -l; cat a b c", &store);
    for name in ["a", "b", "c"] {
        assert!(fs::metadata(store.join(name)).unwrap().is_file());
    }
    purge_with(&store, b"1").unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(errno(fs::metadata(store.join(name))), Errno::NOENT, "{name}");
        assert_eq!(errno(File::open(store.join(name))), Errno::NOENT, "{name}");
    }
    assert_eq!(fs::read_to_string(store.join("INPUT.json")).unwrap(), "INPUT.json");
    assert_eq!(names(&store), [METADATA, "INPUT.json"].map(String::from).into());
    write(&store.join("a"), "new").unwrap();
    assert_eq!(fs::read_to_string(store.join("a")).unwrap(), "new");
}

#[test]
fn open_readers_of_purged_records_finish() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let value: Vec<u8> = (0..8 << 20).map(|at: u32| at.to_le_bytes()[at as usize % 3]).collect();
    fs::write(storage.store("default").join("k"), &value).unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut reader = File::open(store.join("k")).unwrap();
    let mut read = vec![0; 1000];
    reader.read_exact(&mut read).unwrap();
    sh("echo 1 > @purge", &store);
    assert_eq!(errno(File::open(store.join("k"))), Errno::NOENT);
    assert_eq!(names(&store), [METADATA.to_owned()].into());
    // While a reader has it open, the kernel may tell of it for the time to live.
    wait_until("its name is gone", || fs::metadata(store.join("k")).is_err());
    wait_until("the purged files are removed", || staged(&storage.path()).is_empty());
    reader.read_to_end(&mut read).unwrap();
    assert!(read == value, "the reader got other bytes");
    assert_eq!(reader.metadata().unwrap().len(), value.len() as u64);
}

#[test]
fn p06_a_record_that_is_purged_while_it_is_written_never_comes_back() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["old"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut made = File::create(store.join("made")).unwrap();
    made.write_all(b"made").unwrap();
    // Not by a shell: a child that is started closes its copy of the descriptor, and so publishes.
    purge_with(&store, b"1").unwrap();
    assert_eq!(names(&store), [METADATA.to_owned()].into());
    let old = names(&store);
    close(made).unwrap();
    assert_eq!(names(&store), old);
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
    assert_eq!(sh("echo again > made; cat made", &store), "again\n");
}

#[test]
fn the_store_s_directory_stays_the_same_one_for_whoever_is_in_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let output = sh(
        "ls; echo 1 > @purge; ls; echo new > made; cat made; ls; cd ..; ls default",
        &mount.store("default"),
    );
    let metadata = METADATA;
    let expected = format!("{metadata}\nk\n{metadata}\nnew\n{metadata}\nmade\n{metadata}\nmade\n");
    assert_eq!(output, expected);
}

#[test]
fn a_purge_keeps_owner_and_mode_of_the_store() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "k"]);
    let on_disk = storage.store("default");
    fs::set_permissions(&on_disk, fs::Permissions::from_mode(0o2751)).unwrap();
    std::os::unix::fs::chown(&on_disk, Some(1234), Some(5678)).unwrap();
    let facts = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    let (before, input) = (facts(&on_disk), facts(&on_disk.join("INPUT.json")));
    let mount = TempMount::new(&storage);
    sh("echo 1 > @purge", &mount.store("default"));
    for store in [on_disk, mount.store("default")] {
        assert_eq!(facts(&store), before, "{}", store.display());
        assert_eq!(facts(&store.join("INPUT.json")), input, "{}", store.display());
    }
}

/// Purges, and asserts that it fails with nothing lost.
#[track_caller]
fn fails_without_loss(storage: &TempStorage, mount: &TempMount) -> Errno {
    let before: Vec<PathBuf> = storage.files().into_keys().collect();
    let store = mount.store("default");
    let refused = errno(purge_with(&store, b"1"));
    let shell = try_sh("echo 1 > @purge", &store);
    assert!(!shell.status.success(), "{shell:?}");
    assert_eq!(storage.files().into_keys().collect::<Vec<_>>(), before);
    for record in ["INPUT.json", "a", "b"] {
        assert_eq!(fs::read_to_string(store.join(record)).unwrap(), record);
    }
    assert_eq!(report(&store)["purged_at"], Value::Null);
    refused
}

#[test]
fn p15_a_purge_that_cannot_stage_fails_the_write() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "a", "b"]);
    let private = storage.path().join(".storefs");
    fs::write(&private, "a file where the staging directory should be").unwrap();
    let mount = TempMount::new(&storage);
    fails_without_loss(&storage, &mount);
    fs::remove_file(&private).unwrap();
    sh("echo 1 > @purge", &mount.store("default"));
    assert_eq!(names(&mount.store("default")), [METADATA, "INPUT.json"].map(String::from).into());
}

/// Makes a directory immutable until it is dropped.
struct Immutable(PathBuf);

impl Immutable {
    /// `None` where the file system cannot do it.
    fn make(dir: &Path) -> Option<Self> {
        let done = try_sh("chattr +i .", dir);
        if !done.status.success() {
            eprintln!("SKIPPED: directories cannot be made immutable here: {done:?}");
            return None;
        }
        Some(Self(dir.to_owned()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        sh("chattr -i .", &self.0);
    }
}

#[test]
fn p15_a_purge_of_what_cannot_be_removed_fails_the_write() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "a", "b"]);
    let mount = TempMount::new(&storage);
    let Some(immutable) = Immutable::make(&storage.store("default")) else { return };
    let refused = fails_without_loss(&storage, &mount);
    assert_eq!(refused, Errno::PERM);
    drop(immutable);
    wait_until("nothing is left of the attempt", || staged(&storage.path()).is_empty());
    sh("echo 1 > @purge", &mount.store("default"));
    assert_eq!(names(&mount.store("default")), [METADATA, "INPUT.json"].map(String::from).into());
}

#[test]
fn a_store_without_records_can_be_purged() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    make_store(&storage, "bare");
    fs::remove_file(storage.store("bare").join(METADATA)).unwrap();
    fs::write(storage.store("bare").join("INPUT.json"), "{}").unwrap();
    let mount = TempMount::new(&storage);
    sh("echo 1 > default/@purge; echo 1 > bare/@purge", &mount.stores());
    assert_eq!(names(&mount.store("default")), [METADATA.to_owned()].into());
    assert_eq!(fs::read_to_string(mount.store("bare").join("INPUT.json")).unwrap(), "{}");
}

#[test]
fn p16_an_input_that_appeared_after_the_mount_is_spared() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "named");
    let mount = TempMount::new(&storage);
    sh("ls -l default named", &mount.stores());
    fs::write(storage.store("default").join("INPUT.json"), "{\"a\": 1}").unwrap();
    write(&mount.store("named").join("INPUT.txt"), "through the mount").unwrap();
    write(&mount.store("named").join("k"), "v").unwrap();
    sh("echo 1 > default/@purge; echo 1 > named/@purge", &mount.stores());
    assert_eq!(names(&mount.store("default")), [METADATA, "INPUT.json"].map(String::from).into());
    assert_eq!(names(&mount.store("named")), [METADATA, "INPUT.txt"].map(String::from).into());
    let input = mount.store("default").join("INPUT.json");
    assert_eq!(fs::read_to_string(&input).unwrap(), "{\"a\": 1}");
    assert_eq!(mime_type(&input), "application/json; charset=utf-8");
}

/// Purges a store with four possible inputs and gives back the input key and which of them are left.
fn spared(options: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let storage = storage_of(&["INPUT", "INPUT.json", "ONE", "OTHER.txt", "k"]);
    let mount = TempMount::configured(&storage.path(), |command| {
        command.args(options).envs(variables.iter().copied());
    });
    let status = fs::read(mount.path().join("@status")).unwrap();
    let status: Value = serde_json::from_slice(&status).unwrap();
    sh("echo 1 > @purge", &mount.store("default"));
    let mut left = names(&mount.store("default"));
    left.remove(METADATA);
    let input_key = status["input_key"].as_str().unwrap().to_owned();
    std::iter::once(input_key).chain(left).collect()
}

#[test]
fn p16_the_input_key_comes_from_options_then_from_the_environment() {
    if !can_mount() {
        return;
    }
    let actor = ("ACTOR_INPUT_KEY", "ONE");
    let apify = ("APIFY_INPUT_KEY", "OTHER");
    let crawlee = ("CRAWLEE_INPUT_KEY", "k");
    let left = |input_key: &str, input: &[&str]| -> Vec<String> {
        // What is called INPUT is spared always.
        let left = [input_key, "INPUT", "INPUT.json"].into_iter().chain(input.iter().copied());
        left.map(str::to_owned).collect()
    };
    assert_eq!(spared(&[], &[]), left("INPUT", &[]));
    assert_eq!(spared(&[], &[crawlee]), left("k", &["k"]));
    assert_eq!(spared(&[], &[apify, crawlee]), left("OTHER", &["OTHER.txt"]));
    assert_eq!(spared(&[], &[actor, apify, crawlee]), left("ONE", &["ONE"]));
    let option = spared(&["--input-key", "OTHER"], &[actor, crawlee]);
    assert_eq!(option, left("OTHER", &["OTHER.txt"]));
    assert_eq!(spared(&["-o", "input_key=ONE"], &[crawlee]), left("ONE", &["ONE"]));
}

#[test]
fn p16_the_input_is_spared_in_each_of_its_spellings() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let spellings = ["INPUT", "INPUT.json", "INPUT.txt", "INPUT.bin", "INPUT.tar.gz"];
    for spelling in spellings {
        make_store(&storage, spelling);
        put(&storage, spelling, spelling, spelling);
        for near in ["INPUT_SCHEMA.json", "INPUT-2.json", "INPUTx", "input.json", "MY_INPUT"] {
            put(&storage, spelling, near, near);
        }
    }
    let mount = TempMount::new(&storage);
    for spelling in spellings {
        sh("echo 1 > @purge", &mount.store(spelling));
        let left = names(&mount.store(spelling));
        assert_eq!(left, [METADATA, spelling].map(String::from).into());
        let value = fs::read_to_string(mount.store(spelling).join(spelling)).unwrap();
        assert_eq!(value, spelling);
    }
}

/// More names than a purge looks at before it happens.
const MANY: usize = 9_000;

#[test]
fn p14_a_large_store_is_purged_before_it_is_looked_through() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "INPUT.json.of-mine"]);
    let store = storage.store("default");
    for number in 0..MANY {
        File::create(store.join(format!("record-{number}"))).unwrap();
    }
    fs::create_dir(store.join("sub-directory")).unwrap();
    fs::write(store.join("sub-directory/file"), "stays").unwrap();
    let mount = TempMount::new(&storage);
    purge_with(&mount.store("default"), b"1").unwrap();
    // At once, whatever is still to be removed.
    let left = names(&mount.store("default"));
    assert!(left.len() <= 3 && left.contains("INPUT.json"), "{left:?}");

    wait_until("the old records are counted", || {
        !report(&mount.store("default"))["removed"].is_null()
    });
    let done = report(&mount.store("default"));
    assert_eq!(done["removed"], MANY);
    assert_eq!(done["spared"].as_array().unwrap().len(), 2);
    let kept = [METADATA, "INPUT.json", "INPUT.json.of-mine"].map(str::to_owned);
    // A directory in a store is not shown.
    assert_eq!(names(&mount.store("default")), kept.into());
    assert_eq!(fs::read_to_string(store.join("INPUT.json.of-mine")).unwrap(), "INPUT.json.of-mine");
    assert_eq!(fs::read_to_string(store.join("sub-directory/file")).unwrap(), "stays");
    wait_until("what was purged is removed", || staged(&storage.path()).is_empty());
}
