//! Many records and large ones: everything is listed, and the daemon stays small.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{METADATA, STORES, TempMount, TempStorage, can_mount, sh, wait_until};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{IterateKeys, Storage, StorageOptions, Store};
use storefs::model::{Key, StoreName};

/// Records in a store that is large.
const MANY: usize = 100_000;

/// A mebibyte in the kilobytes of `/proc`.
const MIB: u64 = 1024;

/// Key of a record; its order is that of its number.
fn key(number: usize) -> String {
    format!("record-{number:06}.json")
}

/// A storage whose default store holds records, each with its sidecar, made as an SDK would.
fn storage_of(records: usize) -> TempStorage {
    let storage = empty_storage();
    let store = storage.store("default");
    for number in 0..records {
        let key = key(number);
        let sidecar =
            format!("{{\"key\": \"{key}\", \"content_type\": \"application/json\", \"size\": 2}}");
        fs::write(store.join(&key), "{}").unwrap();
        fs::write(store.join(format!("{key}.{METADATA}")), sidecar).unwrap();
    }
    storage
}

/// The same, for so many records that making and removing their files would take longer than the test: a
/// thousand names share a file.
fn storage_of_many() -> TempStorage {
    const NAMES_PER_FILE: usize = 1000;
    let storage = empty_storage();
    let store = storage.store("default");
    let (value, sidecar) = (storage.beside().join("value"), storage.beside().join("sidecar"));
    for number in 0..MANY {
        if number % NAMES_PER_FILE == 0 {
            for (file, text) in [(&value, "{}"), (&sidecar, "{\"contentType\": \"text/x-own\"}")] {
                let _ = fs::remove_file(file);
                fs::write(file, text).unwrap();
            }
        }
        let key = key(number);
        fs::hard_link(&value, store.join(&key)).unwrap();
        fs::hard_link(&sidecar, store.join(format!("{key}.{METADATA}"))).unwrap();
    }
    storage
}

/// A storage with a default store that has no record.
fn empty_storage() -> TempStorage {
    let storage = TempStorage::empty();
    let store = storage.store("default");
    fs::create_dir_all(&store).unwrap();
    let at = "2024-01-15 10:30:00.000001+00:00";
    let metadata = format!(
        "{{\"id\": \"HvTUFIxMPIib09NEi\", \"name\": null, \"accessed_at\": \"{at}\", \
         \"created_at\": \"{at}\", \"modified_at\": \"{at}\"}}"
    );
    fs::write(store.join(METADATA), metadata).unwrap();
    storage
}

/// A number of kilobytes in `/proc/PID/status`.
#[track_caller]
fn memory(mount: &TempMount, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mount.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(&format!("{field}:"))).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A number in `@status`.
#[track_caller]
fn status(mount: &TempMount, field: &str) -> u64 {
    let text = fs::read(mount.path().join("@status")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()[field].as_u64().unwrap()
}

/// How many files the daemon has open.
fn descriptors(mount: &TempMount) -> usize {
    fs::read_dir(format!("/proc/{}/fd", mount.pid())).unwrap().count()
}

/// What a program prints, line by line, without holding it all.
#[track_caller]
fn for_each_line(program: &str, arguments: &[&str], dir: &Path, mut act: impl FnMut(&str)) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdout(Stdio::piped()).env("LC_ALL", "C.UTF-8");
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text.lines().for_each(&mut act);
    assert!(child.wait().unwrap().success(), "{command:?}");
}

/// Counts names, and asserts that each record is among them once and nothing else but the metadata is.
#[derive(Default)]
struct Seen(HashSet<String>);

impl Seen {
    #[track_caller]
    fn add(&mut self, name: &str) {
        assert!(self.0.insert(name.to_owned()), "{name} is listed twice");
    }

    #[track_caller]
    fn is_all(&self) {
        assert_eq!(self.0.len(), MANY + 1);
        assert!(self.0.contains(METADATA));
        for number in 0..MANY {
            assert!(self.0.contains(&key(number)), "{} is missing", key(number));
        }
    }
}

#[test]
fn many_records_are_each_listed_once_and_the_daemon_stays_small() {
    if !can_mount() {
        return;
    }
    let storage = storage_of_many();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let (base_inodes, base_memory) = (status(&mount, "inodes"), memory(&mount, "VmRSS"));

    let mut seen = Seen::default();
    for_each_line("ls", &["-f"], &store, |line| {
        if !matches!(line, "." | "..") {
            seen.add(line);
        }
    });
    seen.is_all();

    let mut seen = Seen::default();
    for_each_line("find", &[".", "-type", "f", "-printf", "%f\\n"], &store, |line| seen.add(line));
    seen.is_all();

    let mut seen = Seen::default();
    for_each_line("ls", &["-l"], &store, |line| {
        if line.starts_with("total ") {
            return;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert!(fields[0].starts_with("-rw"), "{line}");
        assert!(fields[4] == "2" || fields[8] == METADATA, "{line}");
        seen.add(fields[8]);
    });
    seen.is_all();
    let peak = memory(&mount, "VmHWM");
    assert!(peak < 200 * MIB, "the daemon took {peak} kB");

    if !rustix::process::getuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "only root may drop the kernel's caches");
        eprintln!("SKIPPED: only root may drop the kernel's caches");
        return;
    }
    // The kernel keeps what was used lately over the first drops.
    wait_until("the kernel has forgotten the inodes", || {
        fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        status(&mount, "inodes") < 100
    });
    assert!(base_inodes < 100, "{base_inodes}");
    wait_until("the daemon has given memory back", || {
        memory(&mount, "VmRSS") <= base_memory + 30 * MIB
    });
    assert_eq!(fs::read(store.join(key(MANY / 2))).unwrap(), b"{}");
}

/// Iterates over a store page by page and in one go, and asserts that each of its records comes once and in order.
#[track_caller]
fn iterates_in_order(store: &Store, records: usize, content_type: &str) {
    let mut query = IterateKeys { limit: Some(1000), ..IterateKeys::default() };
    let mut next = 0;
    loop {
        let page = store.iterate_keys(&query).unwrap();
        assert!(page.items.len() == 1000 || page.next_exclusive_start_key.is_none());
        for record in &page.items {
            assert_eq!(record.key.as_str(), Some(key(next).as_str()));
            assert_eq!((record.size, record.content_type.as_str()), (2, content_type));
            next += 1;
        }
        match page.next_exclusive_start_key {
            Some(start) => query.exclusive_start_key = Some(start),
            None => break,
        }
    }
    assert_eq!(next, records);
    let listed = store.keys(&IterateKeys::default()).map(|record| record.unwrap().key.to_string());
    assert!(listed.eq((0..records).map(key)));
}

#[test]
fn many_records_are_iterated_page_by_page_in_order() {
    let backend = MemoryBackend::new();
    let storage = Storage::with_backend(Arc::new(backend.clone()), Some("INPUT".to_owned()));
    let default = StoreName::default_store();
    let store = storage.create_store(&default).unwrap();
    for number in (0..MANY).rev() {
        backend.insert_bare(&default, &Key::new(&key(number)).unwrap(), b"{}").unwrap();
    }
    iterates_in_order(&store, MANY, "application/json; charset=utf-8");
}

#[test]
fn records_of_a_directory_are_iterated_page_by_page_in_order() {
    // Each page is one pass over the directory, so that a hundred pages would take a minute in a debug build.
    const RECORDS: usize = 10_500;
    let storage = storage_of(RECORDS);
    let opened = Storage::open_directory(&storage.path(), StorageOptions::default()).unwrap();
    iterates_in_order(&opened.store(&StoreName::default_store()), RECORDS, "application/json");
}

#[test]
fn a_large_record_is_read_in_bounded_memory() {
    if !can_mount() {
        return;
    }
    const LENGTH: u64 = 1 << 30;
    let storage = storage_of(2);
    let large = File::options().write(true).open(storage.store("default").join(key(0))).unwrap();
    large.set_len(LENGTH).unwrap();
    large.write_all_at(b"the end", LENGTH - 7).unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    assert_eq!(fs::read(store.join(key(1))).unwrap(), b"{}");
    let before = memory(&mount, "VmHWM");
    sh(&format!("cat {} > /dev/null", key(0)), &store);
    let after = memory(&mount, "VmHWM");
    assert!(after < before + 16 * MIB, "{before} kB have become {after} kB");
    assert_eq!(sh(&format!("tail -c 7 {}", key(0)), &store), "the end");
    assert_eq!(sh(&format!("wc -c < {}", key(0)), &store).trim(), LENGTH.to_string());
}

#[test]
fn a_large_record_is_written_in_bounded_memory() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(1);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    sh("echo small > small", &store);
    let before = memory(&mount, "VmHWM");
    sh("head -c 256M /dev/zero > large", &store);
    let after = memory(&mount, "VmHWM");
    assert!(after < before + 16 * MIB, "{before} kB have become {after} kB");
    assert_eq!(fs::metadata(store.join("large")).unwrap().len(), 256 << 20);
}

#[test]
fn records_that_were_written_take_no_descriptors() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(0);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let base = descriptors(&mount);
    // The kernel may remember an inode as long as it likes. Here it must: a path is held to each.
    let mut remembered = Vec::new();
    for number in 0..300 {
        let mut file = File::create(store.join(key(number))).unwrap();
        file.write_all(b"{}").unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        remembered
            .push(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap());
    }
    wait_until("all writers are released", || status(&mount, "write_sessions") == 0);
    wait_until("the daemon has closed the files", || descriptors(&mount) <= base + 20);
    drop(remembered);
}

#[test]
fn many_records_are_removed_while_they_are_listed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(5000);
    let mount = TempMount::new(&storage);
    sh("find . -name 'record-*' -delete; rm -r ../default", &mount.store("default"));
    assert!(!storage.store("default").exists());
    assert!(storage.path().join(STORES).exists());
}
