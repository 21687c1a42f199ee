//! What somebody who may write into the storage can plant there: nothing leads outside, hangs, or costs memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::common::{
    DEADLINE, METADATA, STORES, TempMount, TempStorage, can_mount, clean_environment, names,
};
use crate::help::{LONG_AGO, errno, facts, make_store, put, rename_with, storage_of, write};

/// Most memory that the daemon may ever have used, in KiB; what is planted claims gigabytes.
const MOST_MEMORY: u64 = 64 * 1024;

/// Runs the program on a storage with little memory and little time, and gives back what it printed. It may fail,
/// but neither be killed nor run out of time.
#[track_caller]
fn storefs(storage: &TempStorage, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("bash");
    clean_environment(&mut command);
    command.args(["-c", "ulimit -v 1048576; exec timeout 60 \"$@\"", "bash"]);
    command.arg(env!("CARGO_BIN_EXE_storefs")).args(arguments);
    let output = command.arg("--source").arg(storage.path()).output().unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1 | 3..=9)), "storefs {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The most memory that a process has had in use, in KiB.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

fn sparse(path: &Path) {
    File::create(path).unwrap().set_len(4 << 30).unwrap();
}

/// Plants all of it in stores of their own and in `default`. Gives back the names of the stores.
fn plant(storage: &TempStorage) -> Vec<String> {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let store = storage.store("default");
    let record = |name: &[u8], sidecar: &[u8]| {
        fs::write(store.join(OsStr::from_bytes(name)), "value").unwrap();
        let sidecar_name = [name, b".", METADATA.as_bytes()].concat();
        fs::write(store.join(OsStr::from_bytes(&sidecar_name)), sidecar).unwrap();
    };
    for size in ["-1", "9223372036854775808", "1e400", "\"5\"", "null", "[]"] {
        let sidecar = format!(r#"{{"key": "s", "contentType": "text/plain", "size": {size}}}"#);
        record(format!("size{}", size.len()).as_bytes(), sidecar.as_bytes());
    }
    record(
        b"twice",
        br#"{"key": "a", "key": "b", "contentType": "a/b", "contentType": 7, "size": 1}"#,
    );
    record(b"wrong", br#"{"key": {}, "contentType": [], "size": {}}"#);
    let long = format!(r#"{{"key": "l", "contentType": "{}", "size": 1}}"#, "x".repeat(60_000));
    record(b"long-type", long.as_bytes());
    record(b"deep-sidecar", &deep);
    let nested =
        [br#"{"key": "n", "contentType": "a/b", "size": 5, "x": "#.as_slice(), &deep, b"}"];
    record(b"deep-field", &nested.concat()[..60_000]);
    fs::write(store.join("deep.json"), &deep).unwrap();
    record(b"big-sidecar", b"");
    sparse(&store.join(format!("big-sidecar.{METADATA}")));
    for name in
        [b"nul%00".as_slice(), b"%2E%2E", b"%2e", b"..%2F..%2Fx", b"raw\xff", b"%FF", b"%", b"%zz"]
    {
        record(name, br#"{"key": "../../x", "contentType": "text/plain", "size": 5}"#);
    }
    fs::write(store.join("l".repeat(255)), "value").unwrap();
    fs::write(store.join(OsStr::from_bytes(&[0xfe; 255])), "value").unwrap();
    fs::create_dir_all(store.join("directory/inner")).unwrap();
    record(b"with-directory", b"");
    let sidecar = store.join(format!("with-directory.{METADATA}"));
    fs::remove_file(&sidecar).unwrap();
    fs::create_dir_all(sidecar.join("inner")).unwrap();

    let mut stores = vec!["default".to_owned()];
    let times = ["accessed_at", "created_at", "modified_at"];
    let times = times.map(|field| format!(r#""{field}": "{LONG_AGO}""#)).join(", ");
    let damaged: [(&str, Vec<u8>); 7] = [
        ("twice", format!(r#"{{"id": "a", "id": 7, "name": "x", "name": [], {times}}}"#).into()),
        ("wrong-types", br#"{"id": 1, "name": {}, "accessed_at": [], "created_at": 1e400, "modified_at": true}"#.into()),
        ("far-times", format!(r#"{{"id": "a", "name": null, {times}}}"#).replace("2024", "99999").into()),
        ("size", format!(r#"{{"id": "a", "name": null, "size": 1e400, "x": -9223372036854775809, {times}}}"#).into()),
        ("deep", deep.clone()),
        ("deep-field", [br#"{"id": "a", "x": "#.as_slice(), &deep, b"}"].concat()),
        ("name", format!(r#"{{"id": "../../x", "name": "../../x", {times}}}"#).into()),
    ];
    for (name, metadata) in damaged {
        make_store(storage, name);
        put(storage, name, "k", "value");
        fs::write(storage.store(name).join(METADATA), metadata).unwrap();
        stores.push(name.to_owned());
    }
    for name in ["big", "directory"] {
        make_store(storage, name);
        put(storage, name, "k", "value");
        stores.push(name.to_owned());
    }
    sparse(&storage.store("big").join(METADATA));
    fs::remove_file(storage.store("directory").join(METADATA)).unwrap();
    fs::create_dir_all(storage.store("directory").join(METADATA).join("inner")).unwrap();
    stores
}

#[test]
fn p19_nothing_that_can_be_planted_takes_the_mount_down_or_memory() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k", "INPUT.json"]);
    let stores = plant(&storage);
    let mount = TempMount::new(&storage);
    for store in &stores {
        let shown = mount.store(store);
        let mut values = 0;
        for entry in fs::read_dir(&shown).unwrap() {
            let path = entry.unwrap().path();
            // Whatever is shown can be looked at; a value can be read, and gets a type.
            if path.file_name() != Some(OsStr::new(METADATA)) {
                values += usize::from(fs::read(&path).is_ok());
                let _ = rustix::fs::getxattr(&path, "user.mime_type", &mut [0; 100_000][..]);
            }
        }
        assert!(values > 0, "{store}");
        let _ = fs::read(shown.join(METADATA)).map_or(0, |text| text.len());
        for name in ["user.storefs.id", "user.storefs.name", "user.storefs.created_at"] {
            let _ = rustix::fs::getxattr(&shown, name, &mut [0; 4096][..]);
        }
        assert!(fs::read(shown.join("k")).is_ok(), "{store}");
        let keys = storefs(&storage, &["keys", store]);
        assert!(keys.lines().any(|line| line.split('\t').any(|field| field == "k")), "{keys}");
        storefs(&storage, &["get", store, "k"]);
        storefs(&storage, &["info", store]);
    }
    for key in
        ["size2", "twice", "wrong", "deep-sidecar", "deep.json", "big-sidecar", "with-directory"]
    {
        assert_ne!(storefs(&storage, &["get", "default", key]), "", "{key}");
    }
    storefs(&storage, &["stores"]);
    storefs(&storage, &["doctor"]);
    storefs(&storage, &["doctor", "--repair"]);
    // Each can be written, and each store purged; what is damaged stays, or is replaced as a whole.
    for store in &stores {
        let shown = mount.store(store);
        for entry in fs::read_dir(&shown).unwrap().flatten() {
            if entry.file_name() != METADATA {
                let _ = write(&entry.path(), "new");
            }
        }
        assert_eq!(fs::read_to_string(shown.join("k")).unwrap(), "new", "{store}");
        match write(&shown.join("@purge"), "1") {
            Ok(()) => assert!(!names(&shown).contains("k"), "{store}"),
            // Metadata that cannot be read cannot be carried over.
            refused => {
                assert_eq!((store.as_str(), errno(refused)), ("big", Errno::INVAL));
                assert!(names(&shown).contains("k"), "a purge that fails loses nothing");
            }
        }
    }
    assert_eq!(fs::metadata(storage.store("big").join(METADATA)).unwrap().len(), 4 << 30);
    assert!(storage.store("default").join("directory/inner").is_dir());
    assert!(storage.store("directory").join(METADATA).join("inner").is_dir());
    let peak = peak_memory(mount.pid());
    assert!(peak < MOST_MEMORY, "the daemon has used {peak} KiB");
    mount.unmount();
}

#[test]
fn p18_a_record_that_is_a_link_to_a_file_outside_is_replaced_and_not_written() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k", "other"]);
    let outside = storage.beside().join("outside");
    fs::write(&outside, "outside").unwrap();
    for record in ["k", "other", "k.__metadata__.json"] {
        fs::remove_file(storage.store("default").join(record)).unwrap();
        fs::hard_link(&outside, storage.store("default").join(record)).unwrap();
    }
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut appended = File::options().append(true).open(store.join("k")).unwrap();
    appended.write_all(b" and more").unwrap();
    appended.sync_all().unwrap();
    appended.write_all(b" and more").unwrap();
    drop(appended);
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "outside and more and more");
    File::options().write(true).open(store.join("other")).unwrap().set_len(1).unwrap();
    write(&store.join("other"), "new").unwrap();
    write(&store.join("@purge"), "1").unwrap();
    mount.unmount();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
}

/// Whether what is there is a link; `None` if nothing is.
fn is_link(path: &Path) -> Option<bool> {
    path.symlink_metadata().ok().map(|found| found.is_symlink())
}

/// Uses a store in the mount in all ways, again and again, until told to stop. Any of it may fail.
fn work(store: &Path, round: &mut dyn FnMut() -> bool) {
    while round() {
        let _ = write(&store.join("k"), "mine");
        for name in ["k", "secret", "other"] {
            if let Ok(value) = fs::read(store.join(name)) {
                let value = String::from_utf8_lossy(&value);
                assert!(!value.contains("outside"), "it was read through a link: {value}");
            }
            let kind = crate::common::xattr(&store.join(name), "user.mime_type");
            assert!(
                !kind.is_ok_and(|kind| kind.contains("outside")),
                "a sidecar was read through a link"
            );
        }
        if let Ok(listed) = fs::read_dir(store) {
            for entry in listed.flatten() {
                assert_ne!(entry.file_name(), "secret", "a directory was read through a link");
            }
        }
        if let Ok(mut record) = File::options().append(true).open(store.join("other")) {
            let _ = record.write_all(b"mine").and_then(|()| record.sync_all());
        }
        let _ = write(&store.join("new"), "mine");
        let _ = fs::rename(store.join("new"), store.join("k2"));
        let _ = fs::remove_file(store.join("k2"));
        let _ = write(&store.join("@purge"), "1");
    }
}

#[test]
fn p18_links_that_are_swapped_in_at_work_lead_nowhere() {
    /// How often each link is put in place and taken away again.
    const SWAPS: usize = 400;
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k", "other", "INPUT.json"]);
    let outside = storage.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["secret", "k", "other", "INPUT.json"] {
        fs::write(outside.join(name), "outside").unwrap();
        let sidecar = format!(r#"{{"key": "{name}", "contentType": "text/x-outside", "size": 7}}"#);
        fs::write(outside.join(format!("{name}.{METADATA}")), sidecar).unwrap();
    }
    fs::copy(storage.store("default").join(METADATA), outside.join(METADATA)).unwrap();
    let before = facts(&outside);
    let mount = TempMount::new(&storage);
    let (store, on_disk) = (mount.store("default"), storage.store("default"));
    // What is swapped, and for a link to what: links lie ready beside the stores, on the same disk.
    let ready = storage.beside().join("ready");
    fs::create_dir(&ready).unwrap();
    let sidecar = format!("k.{METADATA}");
    let pairs = [
        (on_disk.clone(), outside.clone(), "store"),
        (on_disk.join("k"), outside.join("secret"), "record"),
        (on_disk.join(&sidecar), outside.join(&sidecar), "sidecar"),
        (on_disk.join(METADATA), outside.join(METADATA), "metadata"),
        (storage.path().join(".storefs"), outside.clone(), "staging"),
        (storage.path().join(STORES), outside.clone(), "stores"),
    ];
    let swapped = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut done = [0_usize; 6];
            let until = Instant::now() + DEADLINE;
            // The staging directory is there once a worker has got so far as to write.
            while done.iter().max().is_some_and(|most| *most < SWAPS)
                || done.contains(&0) && Instant::now() < until
            {
                for (at, (place, target, name)) in pairs.iter().enumerate() {
                    let link = ready.join(name);
                    // There and back. Where a purge or publish has come between, it is a plain one that lies there now.
                    if is_link(&link) == Some(false) {
                        let _ = fs::remove_dir_all(&link).or_else(|_| fs::remove_file(&link));
                    }
                    let _ = symlink(target, &link);
                    let exchange = || rename_with(&link, place, RenameFlags::EXCHANGE);
                    if exchange().is_ok() {
                        done[at] += 1;
                        thread::yield_now();
                        let _ = exchange();
                    }
                }
            }
            swapped.store(true, Ordering::Relaxed);
            done
        });
        for _ in 0..3 {
            scope.spawn(|| work(&store, &mut || !swapped.load(Ordering::Relaxed)));
        }
        let done = swapper.join().unwrap();
        assert!(done.iter().all(|swaps| *swaps > 0), "never swapped: {done:?}");
    });
    for (place, _, name) in &pairs {
        if is_link(place) == Some(true) {
            rename_with(&ready.join(name), place, RenameFlags::EXCHANGE).unwrap();
        }
    }
    assert_eq!(facts(&outside), before);
    for name in ["secret", "k", "other", "INPUT.json"] {
        assert_eq!(fs::read_to_string(outside.join(name)).unwrap(), "outside");
    }
    crate::faults::is_alive(&mount);
    mount.unmount();
    assert_eq!(facts(&outside), before);
}
