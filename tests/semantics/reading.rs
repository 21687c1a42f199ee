//! What an open for reading sees (P1, P2).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Mounted;
use crate::common::{mime_type, sh, wait_until};

/// More than the kernel reads ahead at once, so that a reader has not all of it in advance.
const LARGE: usize = 3 * 1024 * 1024;

/// Opens a record of old bytes, lets `change` happen, and checks that the reader gets the old bytes to the end.
fn reader_keeps_its_version(change: impl FnOnce(&Mounted, &Path)) {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("big");
    let old: Vec<u8> = (0..LARGE).map(|at| (at / 4096 % 251) as u8).collect();
    fs::write(&record, &old).unwrap();

    let mut reader = File::open(&record).unwrap();
    let mut seen = vec![0; 4096];
    reader.read_exact(&mut seen).unwrap();
    change(&mounted, &record);
    reader.read_to_end(&mut seen).unwrap();
    assert!(seen == old, "the reader got {} bytes that are not those it opened", seen.len());
    assert_eq!(reader.metadata().unwrap().size(), LARGE as u64);

    // From the beginning too, with nothing of it in any cache.
    sh("echo 1 > /proc/sys/vm/drop_caches", Path::new("/"));
    reader.seek(SeekFrom::Start(0)).unwrap();
    let mut again = Vec::new();
    reader.read_to_end(&mut again).unwrap();
    assert!(again == old, "the second pass differs");
}

#[test]
fn p1_reader_keeps_its_version_when_the_record_is_rewritten() {
    reader_keeps_its_version(|_, record| {
        fs::write(record, b"new").unwrap();
        assert_eq!(fs::read(record).unwrap(), b"new");
    });
}

#[test]
fn p1_reader_keeps_its_version_when_the_record_is_appended_to() {
    reader_keeps_its_version(|_, record| {
        sh("echo more >> big; tail -c 5 big", record.parent().unwrap());
        assert_eq!(fs::metadata(record).unwrap().size(), LARGE as u64 + 5);
    });
}

#[test]
fn p1_reader_keeps_its_version_when_the_record_is_truncated() {
    reader_keeps_its_version(|_, record| {
        sh("perl -e 'truncate(\"big\", 10) or die'", record.parent().unwrap());
        assert_eq!(fs::read(record).unwrap().len(), 10);
    });
}

#[test]
fn p1_reader_keeps_its_version_when_another_is_renamed_over_it() {
    reader_keeps_its_version(|mounted, record| {
        fs::write(mounted.record("other"), b"other").unwrap();
        fs::rename(mounted.record("other"), record).unwrap();
        assert_eq!(fs::read(record).unwrap(), b"other");
    });
}

#[test]
fn p1_reader_keeps_its_version_when_the_record_is_renamed_and_made_anew() {
    reader_keeps_its_version(|mounted, record| {
        fs::rename(record, mounted.record("elsewhere")).unwrap();
        fs::write(record, b"anew").unwrap();
        assert_eq!(fs::read(record).unwrap(), b"anew");
        assert_eq!(fs::read(mounted.record("elsewhere")).unwrap().len(), LARGE);
    });
}

#[test]
fn p1_reader_keeps_its_version_when_the_record_is_deleted() {
    reader_keeps_its_version(|_, record| {
        fs::remove_file(record).unwrap();
        assert!(!record.exists());
    });
}

#[test]
fn p1_reader_keeps_its_version_when_the_store_is_purged() {
    reader_keeps_its_version(|mounted, record| {
        fs::write(mounted.record("@purge"), b"1").unwrap();
        assert!(File::open(record).is_err());
        // While a reader has it open, the kernel may tell of it for the time to live.
        wait_until("its name is gone", || !record.exists());
    });
}

#[test]
fn p1_reader_keeps_its_version_when_an_sdk_replaces_the_file() {
    reader_keeps_its_version(|mounted, record| {
        let staged = mounted.storage.beside().join("staged");
        fs::write(&staged, b"by an SDK").unwrap();
        fs::rename(staged, mounted.on_disk("big")).unwrap();
        assert_eq!(fs::read(record).unwrap(), b"by an SDK");
    });
}

#[test]
fn p1_many_versions_are_open_at_once() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    let mut readers = Vec::new();
    for version in 0..20 {
        fs::write(&record, format!("version {version}")).unwrap();
        readers.push(File::open(&record).unwrap());
    }
    for (version, reader) in readers.iter_mut().enumerate() {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("version {version}"));
    }
}

#[test]
fn p2_change_on_disk_is_seen_by_the_next_open() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"first").unwrap();
    for round in 0..50 {
        // The kernel has name, attributes and pages of the old version cached.
        assert!(!fs::read(&record).unwrap().is_empty());
        let staged = mounted.storage.beside().join("staged");
        let value = format!("round {round} {}", "x".repeat(round));
        fs::write(&staged, &value).unwrap();
        fs::rename(&staged, mounted.on_disk("r")).unwrap();
        assert_eq!(fs::read_to_string(&record).unwrap(), value);
    }
}

#[test]
fn p2_write_in_place_is_seen_by_the_next_open() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"first").unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"first");
    // As Crawlee JS 3 does.
    fs::write(mounted.on_disk("r"), b"third").unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"third");
}

#[test]
fn p2_absent_record_is_found_as_soon_as_it_is_there() {
    let Some(mounted) = Mounted::new() else { return };
    for round in 0..50 {
        let name = format!("r{round}");
        assert!(!mounted.record(&name).exists());
        fs::write(mounted.on_disk(&name), b"now").unwrap();
        assert_eq!(fs::read(mounted.record(&name)).unwrap(), b"now");
        let listed = fs::read_dir(mounted.mount.store("default")).unwrap();
        assert!(listed.into_iter().any(|entry| entry.unwrap().file_name() == name.as_str()));
    }
}

#[test]
fn p2_removed_record_is_gone_for_the_next_open_and_listing() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("r"), b"x").unwrap();
    assert_eq!(mime_type(&mounted.record("r")), "text/plain; charset=utf-8");
    fs::remove_file(mounted.on_disk("r")).unwrap();
    fs::remove_file(mounted.on_disk("r.__metadata__.json")).unwrap();
    assert!(File::open(mounted.record("r")).is_err());
    let names = crate::common::names(&mounted.mount.store("default"));
    assert!(!names.contains("r"));
}

/// Crawlee JS 3 writes in place, again and again: that changes the version that an open has just looked up.
#[test]
fn p01_a_record_that_is_rewritten_in_place_can_be_opened() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("in-place"), "0".repeat(100)).unwrap();
    let (record, on_disk) = (mounted.record("in-place"), mounted.on_disk("in-place"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&on_disk).unwrap();
            for digit in (0..10).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all_at(digit.to_string().repeat(100).as_bytes(), 0).unwrap();
            }
        });
        let opened = (0..2000).try_for_each(|_| fs::read(&record).map(drop));
        done.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}
