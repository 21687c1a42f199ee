//! Links, special files and damage in the source: nothing leads outside, nothing hangs, nothing is lost.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, mime_type, names, sh, try_sh,
};
use crate::help::{errno, facts, is_root, make_store, put, storage_of, write};

/// A directory beside a storage that holds a whole store, and what it is like.
struct Outside {
    path: PathBuf,
    facts: Vec<String>,
}

impl Outside {
    fn of(storage: &TempStorage) -> Self {
        let path = storage.beside().join("outside");
        sh(
            "mkdir -p outside/key_value_stores/default outside/private
             echo '{\"secret\": true}' > outside/secret
             echo '{\"key\": \"k\", \"contentType\": \"text/x-outside\", \"size\": 1}' > outside/sidecar
             cp storage/key_value_stores/default/* outside/key_value_stores/default/ || true
             cp outside/secret outside/key_value_stores/default/",
            storage.beside(),
        );
        let facts = facts(&path);
        Self { path, facts }
    }

    fn at(&self, inner: &str) -> PathBuf {
        self.path.join(inner)
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(facts(&self.path), self.facts);
    }
}

/// Tries all that could change something behind a path in the mount.
fn meddle(path: &Path) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let script = format!(
        "cat {name}; ls -l {name}/; echo x > {name}; echo x >> {name}; echo x > {name}/new; chmod 600 {name}
         touch {name}; truncate -s 1 {name}; setfattr -n user.mime_type -v a/b {name}; chown 7 {name}
         echo 1 > {name}/@purge; mv {name}/secret {name}/moved; rm -f {name}/secret; mv {name} moved; rm -rf {name}
         rm -rf moved",
    );
    // Each of these may fail or not; what counts is where they reach.
    let each = script.replace(['\n', ';'], " || true\n") + " || true";
    let output = try_sh(&each, path.parent().unwrap());
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(!seen.contains("secret"), "{seen}");
}

#[test]
fn p18_a_linked_store_is_as_good_as_absent() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let outside = Outside::of(&storage);
    let link = storage.store("linked");
    symlink(outside.at("key_value_stores/default"), &link).unwrap();
    symlink("default", storage.store("inner-link")).unwrap();
    let mount = TempMount::new(&storage);
    assert_eq!(names(&mount.stores()), ["default".to_owned()].into());
    for name in ["linked", "inner-link"] {
        assert_eq!(errno(fs::metadata(mount.store(name))), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::read(mount.store(name).join("secret"))), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::create_dir(mount.store(name))), Errno::EXIST, "{name}");
        meddle(&mount.store(name));
    }
    assert_eq!(fs::read_link(&link).unwrap(), outside.at("key_value_stores/default"));
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "k");
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_a_store_that_becomes_a_link_leads_nowhere() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let outside = Outside::of(&storage);
    let mount = TempMount::with_options(&storage, &["--ttl", "3600"]);
    sh("ls -l; cat k", &mount.store("default"));
    let directory = File::open(mount.store("default")).unwrap();
    fs::rename(storage.store("default"), storage.beside().join("taken away")).unwrap();
    symlink(outside.at("key_value_stores/default"), storage.store("default")).unwrap();
    assert_eq!(errno(fs::read(mount.store("default").join("secret"))), Errno::NOENT);
    assert_eq!(errno(write(&mount.store("default").join("k"), "x")), Errno::NOENT);
    assert_eq!(errno(write(&mount.store("default").join("new"), "x")), Errno::NOENT);
    meddle(&mount.store("default"));
    drop(directory);
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_a_linked_record_is_as_good_as_absent() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let outside = Outside::of(&storage);
    let store = storage.store("default");
    put(&storage, "default", "linked", "");
    fs::remove_file(store.join("linked")).unwrap();
    symlink(outside.at("secret"), store.join("linked")).unwrap();
    symlink(outside.at("secret"), store.join("bare")).unwrap();
    symlink(outside.at("absent"), store.join("dangling")).unwrap();
    symlink(outside.at("key_value_stores"), store.join("directory")).unwrap();
    symlink("k", store.join("inner")).unwrap();
    symlink("/etc/passwd", store.join("INPUT.json")).unwrap();
    let mount = TempMount::new(&storage);
    assert_eq!(names(&mount.store("default")), ["k", METADATA].map(String::from).into());
    for name in ["linked", "bare", "dangling", "directory", "inner", "INPUT.json"] {
        let record = mount.store("default").join(name);
        assert_eq!(errno(fs::metadata(&record)), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::read(&record)), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::remove_file(&record)), Errno::NOENT, "{name}");
        meddle(&record);
    }
    // The SDK replaces a link, too.
    write(&mount.store("default").join("linked"), "a record").unwrap();
    assert!(store.join("linked").symlink_metadata().unwrap().is_file());
    sh("echo 1 > @purge", &mount.store("default"));
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_a_linked_sidecar_or_metadata_is_as_good_as_absent() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "other");
    let outside = Outside::of(&storage);
    let sidecar = storage.store("default").join("k.__metadata__.json");
    fs::remove_file(&sidecar).unwrap();
    symlink(outside.at("sidecar"), &sidecar).unwrap();
    let metadata = storage.store("other").join(METADATA);
    fs::remove_file(&metadata).unwrap();
    symlink(outside.at(&format!("key_value_stores/default/{METADATA}")), &metadata).unwrap();
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    assert_eq!(mime_type(&record), "text/plain; charset=utf-8");
    rustix::fs::setxattr(&record, "user.mime_type", b"text/x-own", XattrFlags::empty()).unwrap();
    assert_eq!(mime_type(&record), "text/x-own");
    write(&record, "new").unwrap();
    assert!(sidecar.symlink_metadata().unwrap().is_file());

    assert!(names(&mount.store("other")).is_empty());
    assert_eq!(errno(fs::read(mount.store("other").join(METADATA))), Errno::NOENT);
    write(&mount.store("other").join("made"), "value").unwrap();
    sh("echo 1 > @purge || true; mv ../other ../moved; rm -r ../moved", &mount.store("other"));
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_a_linked_staging_directory_is_not_used() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "k"]);
    make_store(&storage, "empty");
    let outside = Outside::of(&storage);
    let private = storage.path().join(".storefs");
    symlink(outside.at("private"), &private).unwrap();
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "k");
    assert!(write(&store.join("k"), "new").is_err());
    assert!(write(&store.join("made"), "new").is_err());
    assert!(fs::create_dir(mount.store("made")).is_err());
    assert!(!try_sh("echo 1 > @purge", &store).status.success());
    assert!(fs::remove_dir(mount.store("empty")).is_err());
    assert_eq!(storage.files(), before);
    outside.is_untouched();
    fs::remove_file(&private).unwrap();
    write(&store.join("made"), "new").unwrap();
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_a_linked_directory_of_stores_is_refused() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let outside = Outside::of(&storage);
    symlink(outside.at("key_value_stores"), storage.path().join(STORES)).unwrap();
    let mount = TempMount::new(&storage);
    let listed = fs::read_dir(mount.stores()).and_then(|mut listed| listed.next().transpose());
    assert_eq!(errno(listed), Errno::NOTDIR);
    assert!(fs::metadata(mount.store("default")).is_err());
    assert!(fs::create_dir(mount.store("new")).is_err());
    assert!(fs::create_dir(mount.store("default")).is_err());
    meddle(&mount.store("default"));
    let status: Value =
        serde_json::from_slice(&fs::read(mount.path().join("@status")).unwrap()).unwrap();
    assert_eq!(status["pid"], mount.pid());
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_crafted_metadata_leads_nowhere() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let outside = Outside::of(&storage);
    let crafted = |name: &str| {
        json!({
            "id": "../../outside",
            "name": name,
            "accessed_at": "2024-01-15 10:30:00+00:00",
            "created_at": "2024-01-15 10:30:00+00:00",
            "modified_at": "2024-01-15 10:30:00+00:00",
        })
        .to_string()
    };
    fs::write(storage.store("default").join(METADATA), crafted("../../outside")).unwrap();
    let sidecar = json!({"key": "../../../outside/secret", "content_type": "a/b", "size": 1});
    let file = storage.store("default").join("k.__metadata__.json");
    fs::write(file, sidecar.to_string()).unwrap();
    put(&storage, "default", "..%2F..%2F..%2Foutside%2Fsecret", "a key like a path");
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let key = "..%2F..%2F..%2Foutside%2Fsecret";
    assert_eq!(names(&store), ["k", key, METADATA].map(String::from).into());
    write(&store.join(key), "new").unwrap();
    sh("echo more >> k; mv k moved; mv ../default ../other; echo 1 > ../other/@purge", &store);
    mount.unmount();
    outside.is_untouched();
}

#[test]
fn p18_special_files_are_not_shown_and_nothing_hangs() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k", "typed"]);
    let store = storage.store("default");
    let make = |name: &str, kind: FileType| {
        let number = rustix::fs::makedev(1, 3);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, store.join(name), kind, mode, number).unwrap();
    };
    make("fifo", FileType::Fifo);
    make("device", FileType::CharacterDevice);
    make("socket", FileType::Socket);
    make("INPUT.json", FileType::Fifo);
    fs::remove_file(store.join("typed.__metadata__.json")).unwrap();
    make("typed.__metadata__.json", FileType::Fifo);
    fs::create_dir(store.join("directory")).unwrap();
    make_store(&storage, "other");
    fs::remove_file(storage.store("other").join(METADATA)).unwrap();
    sh("mkfifo __metadata__.json", &storage.store("other"));
    let mount = TempMount::new(&storage);
    assert_eq!(names(&mount.store("default")), ["k", "typed", METADATA].map(String::from).into());
    for name in ["fifo", "device", "socket", "INPUT.json", "directory"] {
        let record = mount.store("default").join(name);
        assert_eq!(errno(fs::metadata(&record)), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::read(&record)), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::remove_file(&record)), Errno::NOENT, "{name}");
    }
    assert_eq!(mime_type(&mount.store("default").join("typed")), "text/plain; charset=utf-8");
    assert!(names(&mount.store("other")).is_empty());
    write(&mount.store("other").join("made"), "value").unwrap();
    // A record cannot take the place of a directory, and the writer is told.
    assert!(write(&mount.store("default").join("directory"), "x").is_err());
    assert!(store.join("directory").is_dir());
    // Whatever becomes of it, it ends.
    let _ = write(&mount.store("default").join("fifo"), "x");
    write(&mount.store("default").join("typed"), "new").unwrap();
    sh("echo 1 > @purge", &mount.store("default"));
    assert_eq!(names(&mount.store("default")), [METADATA.to_owned()].into());
    for kept in ["device", "socket", "directory"] {
        assert!(store.join(kept).exists(), "{kept} is no file to the SDK, and stays");
    }
}

/// The records of the store `states`, each with the type that it must show. Temporaries, the sub-directory and
/// the sidecar without a value are not among them.
const STATES: [(&str, &str); 16] = [
    ("good", "text/plain; charset=utf-8"),
    ("camel", "text/plain"),
    ("both-spellings", "text/html"),
    ("extra-fields", "text/plain"),
    ("no-size", "text/plain"),
    ("other-key", "text/plain"),
    ("wrong-size", "text/plain"),
    ("bad-json", "application/json"),
    ("bad-utf8", "text/plain; charset=utf-8"),
    ("none-with-bytes", "application/x-none"),
    // No type can be had from these sidecars, or there is none: the bytes decide.
    ("sidecar-array", "text/plain; charset=utf-8"),
    ("sidecar-empty", "text/plain; charset=utf-8"),
    ("sidecar-no-type", "text/plain; charset=utf-8"),
    ("sidecar-notjson", "text/plain; charset=utf-8"),
    ("sidecar-string", "text/plain; charset=utf-8"),
    ("value-only", "text/plain; charset=utf-8"),
];

#[test]
fn p19_damaged_sidecars_are_shown_as_what_their_values_are() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::of_fixture("python/states");
    fs::write(storage.store("states").join("not-utf8"), "text").unwrap();
    fs::write(storage.store("states").join("not-utf8.__metadata__.json"), b"{\"\xff\": 1}")
        .unwrap();
    fs::write(storage.store("states").join("huge"), "text").unwrap();
    let huge = vec![b' '; 10 << 20];
    fs::write(storage.store("states").join("huge.__metadata__.json"), huge).unwrap();
    // As an SDK leaves them, the sidecars are younger than the values, by more than a tick of the clock.
    std::thread::sleep(std::time::Duration::from_millis(20));
    for name in names(&storage.store("states")).iter().filter(|name| name.ends_with(METADATA)) {
        let sidecar = fs::File::options().write(true).open(storage.store("states").join(name));
        sidecar.unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    }
    let mut before = storage.files();
    let mount = TempMount::new(&storage);
    let states = mount.store("states");
    let plain = "text/plain; charset=utf-8";
    let rows = || STATES.into_iter().chain([("not-utf8", plain), ("huge", plain)]);
    let shown = rows().map(|(name, _)| name.to_owned()).chain([METADATA.to_owned()]).collect();
    assert_eq!(names(&states), shown);
    for (name, expected) in rows() {
        assert_eq!(mime_type(&states.join(name)), expected, "{name}");
        let on_disk = fs::read(storage.store("states").join(name)).unwrap();
        assert_eq!(fs::read(states.join(name)).unwrap(), on_disk, "{name}");
    }
    sh("ls -l; grep -r value .; cp -r . ../../../copied", &states);
    let log = mount.log();
    for damaged in ["sidecar-array", "sidecar-empty", "sidecar-notjson", "not-utf8", "huge"] {
        assert!(log.contains(damaged), "the log does not name {damaged}:\n{log}");
    }
    mount.unmount();
    let mut after = storage.files();
    // Only the times of the store itself have moved.
    for files in [&mut before, &mut after] {
        files.remove(&Path::new("states").join(METADATA)).unwrap();
    }
    assert!(after == before, "a file has changed");
}

#[test]
fn p19_damaged_metadata_keeps_no_store_from_working() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::of_fixture("python/states");
    let damaged = ["meta-array", "meta-empty", "meta-no-dates", "meta-notjson"];
    let foreign = storage.store("meta-not-utf8");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join(METADATA), b"{\"id\": \"\xff\"}").unwrap();
    put(&storage, "meta-not-utf8", "k", "v");
    let metadata = |store: &str| fs::read(storage.store(store).join(METADATA)).unwrap();
    let mount = TempMount::new(&storage);
    let stores = ["states", "meta-missing", "meta-not-utf8"].into_iter().chain(damaged);
    assert_eq!(names(&mount.stores()), stores.map(String::from).collect());
    for store in damaged.into_iter().chain(["meta-not-utf8"]) {
        let before = metadata(store);
        let shown = mount.store(store);
        assert_eq!(names(&shown), ["k", METADATA].map(String::from).into(), "{store}");
        assert_eq!(fs::read(shown.join(METADATA)).unwrap(), before, "{store}");
        let on_disk = fs::read(storage.store(store).join("k")).unwrap();
        assert_eq!(fs::read(shown.join("k")).unwrap(), on_disk, "{store}");
        write(&shown.join("k"), "new").unwrap();
        write(&shown.join("made"), "new").unwrap();
        fs::rename(shown.join("made"), shown.join("moved")).unwrap();
        fs::remove_file(shown.join("moved")).unwrap();
        sh("ls -l; getfattr -d . || true; echo 1 > @purge", &shown);
        assert_eq!(names(&shown), [METADATA.to_owned()].into(), "{store}");
        assert_eq!(metadata(store), before, "{store}");
        fs::rename(&shown, mount.store("moved")).unwrap();
        fs::rename(mount.store("moved"), &shown).unwrap();
        assert_eq!(metadata(store), before, "{store}");
    }
    let shown = mount.store("meta-missing");
    assert_eq!(names(&shown), ["k".to_owned()].into());
    write(&shown.join("k"), "new").unwrap();
    assert_eq!(fs::read_to_string(shown.join("k")).unwrap(), "new");
    let log = mount.log();
    assert!(log.contains("meta-notjson"), "{log}");
    let status = fs::read(mount.path().join("@status")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&status).unwrap()["pid"], mount.pid());
}

#[test]
fn p19_damaged_metadata_can_be_repaired_through_the_mount() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::of_fixture("python/states");
    let good = fs::read(storage.store("states").join(METADATA)).unwrap();
    let mount = TempMount::new(&storage);
    write(&mount.store("meta-notjson").join(METADATA), &good).unwrap();
    assert_eq!(fs::read(storage.store("meta-notjson").join(METADATA)).unwrap(), good);
    write(&mount.store("states").join("sidecar-notjson"), "{}").unwrap();
    let sidecar = storage.store("states").join("sidecar-notjson.__metadata__.json");
    let sidecar: Value = serde_json::from_slice(&fs::read(sidecar).unwrap()).unwrap();
    assert_eq!(sidecar["contentType"], "application/json; charset=utf-8");
}
