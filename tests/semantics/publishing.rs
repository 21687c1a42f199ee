//! When a write is seen, and what a failed one leaves (P3, P4, P5, P7, P8, P9).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use super::Mounted;
use crate::common::{TempMount, mime_type, names, sh, storefs, wait_until};

#[test]
fn p3_new_record_is_seen_by_nobody_until_it_is_closed() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("new");
    let mut writer = File::create(&record).unwrap();
    writer.write_all(b"half").unwrap();
    assert!(!record.exists());
    assert!(File::open(&record).is_err());
    assert!(!names(&mounted.mount.store("default")).contains("new"));
    assert!(!mounted.on_disk("new").exists());
    writer.write_all(b" and whole").unwrap();
    drop(writer);
    assert_eq!(fs::read(&record).unwrap(), b"half and whole");
    assert_eq!(fs::read(mounted.on_disk("new")).unwrap(), b"half and whole");
    assert!(names(&mounted.mount.store("default")).contains("new"));
}

#[test]
fn p3_rewritten_record_is_the_old_one_until_it_is_closed() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"the old version").unwrap();
    let mut writer = File::create(&record).unwrap();
    let is_old = || {
        assert_eq!(fs::read(&record).unwrap(), b"the old version");
        assert_eq!(fs::metadata(&record).unwrap().len(), 15);
        assert_eq!(fs::read(mounted.on_disk("r")).unwrap(), b"the old version");
    };
    is_old();
    writer.write_all(b"new").unwrap();
    is_old();
    writer.write_all(b"er").unwrap();
    is_old();
    drop(writer);
    assert_eq!(fs::read(&record).unwrap(), b"newer");
    assert_eq!(fs::metadata(&record).unwrap().len(), 5);
    assert_eq!(fs::read(mounted.on_disk("r")).unwrap(), b"newer");
}

#[test]
fn p3_writer_sees_its_own_bytes() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"0123456789").unwrap();
    let mut file = OpenOptions::new().read(true).write(true).open(&record).unwrap();
    file.write_all(b"abc").unwrap();
    let mut next = [0; 4];
    file.read_exact(&mut next).unwrap();
    assert_eq!(&next, b"3456");
    file.rewind().unwrap();
    let mut seen = String::new();
    file.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "abc3456789");
    assert_eq!(fs::read(&record).unwrap(), b"0123456789");
    drop(file);
    assert_eq!(fs::read(&record).unwrap(), b"abc3456789");
}

#[test]
fn p3_fsync_publishes() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    let mut writer = File::create(&record).unwrap();
    writer.write_all(b"one").unwrap();
    writer.sync_all().unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"one");
    writer.write_all(b" two").unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"one");
    writer.sync_data().unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"one two");
    drop(writer);
    assert_eq!(fs::read(&record).unwrap(), b"one two");
}

#[test]
fn p3_close_of_any_descriptor_publishes_what_was_written() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    let mut writer = File::create(&record).unwrap();
    let copy = writer.try_clone().unwrap();
    writer.write_all(b"one").unwrap();
    drop(copy);
    assert_eq!(fs::read(&record).unwrap(), b"one");
    writer.write_all(b" two").unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"one", "a published version never changes");
    drop(writer);
    assert_eq!(fs::read(&record).unwrap(), b"one two");
}

#[test]
fn p3_empty_record_is_there_after_close() {
    let Some(mounted) = Mounted::new() else { return };
    for round in 0..100 {
        let record = mounted.record(&format!("r{round}"));
        drop(File::create(&record).unwrap());
        assert!(record.exists(), "round {round}");
        fs::write(&record, b"text").unwrap();
        drop(File::create(&record).unwrap());
        assert_eq!(fs::metadata(&record).unwrap().len(), 0, "round {round}");
        assert_eq!(fs::read(&record).unwrap(), b"", "round {round}");
    }
}

#[test]
fn p3_other_mount_and_command_line_see_it_after_close() {
    let Some(mounted) = Mounted::new() else { return };
    let other = TempMount::new(&mounted.storage);
    for round in 0..20 {
        let value = format!("{{\"round\": {round}}}");
        fs::write(mounted.record("r"), &value).unwrap();
        assert_eq!(fs::read_to_string(other.store("default").join("r")).unwrap(), value);
        let got = storefs()
            .args(["get", "default", "r", "--source"])
            .arg(mounted.storage.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(got.stdout).unwrap(), value);
    }
}

/// Values of two lengths, so that a mixture of them is no JSON.
fn version(number: usize) -> String {
    let padding = "x".repeat(number % 2 * 5000);
    format!("{{\"number\": {number}, \"padding\": \"{padding}\"}}")
}

#[test]
fn p4_readers_get_whole_records_while_they_are_replaced() {
    const VERSIONS: usize = 400;
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, version(0)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) || reads == 0 {
                        let text = fs::read_to_string(&record).unwrap();
                        let value: Value = serde_json::from_str(&text)
                            .unwrap_or_else(|error| panic!("{error} in {} bytes", text.len()));
                        assert!(value["number"].is_number());
                        assert!(fs::metadata(&record).unwrap().len() > 10);
                        reads += 1;
                    }
                })
            })
            .collect();
        let written = scope.spawn(|| {
            for number in 1..=VERSIONS {
                match number % 3 {
                    0 => {
                        let temporary = mounted.record("temporary");
                        fs::write(&temporary, version(number)).unwrap();
                        fs::rename(&temporary, &record).unwrap();
                    }
                    1 => fs::write(&record, version(number)).unwrap(),
                    _ => {
                        // Without O_TRUNC at open, as vim writes.
                        let mut file = OpenOptions::new().write(true).open(&record).unwrap();
                        file.set_len(0).unwrap();
                        file.write_all(version(number).as_bytes()).unwrap();
                    }
                }
            }
        });
        let outcome = written.join();
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert_eq!(fs::read_to_string(&record).unwrap(), version(VERSIONS));
}

#[test]
fn p4_record_is_old_or_new_after_the_daemon_was_killed() {
    let Some(mut mounted) = Mounted::new() else { return };
    fs::write(mounted.record("r"), b"old").unwrap();
    let mut writer = File::create(mounted.record("r")).unwrap();
    writer.write_all(b"half of the new").unwrap();
    let mut fresh = File::create(mounted.record("fresh")).unwrap();
    fresh.write_all(b"half").unwrap();
    mounted.mount.kill();
    drop((writer, fresh));
    assert_eq!(fs::read(mounted.on_disk("r")).unwrap(), b"old");
    assert!(!mounted.on_disk("fresh").exists());
    mounted.mount.start();
    assert_eq!(fs::read(mounted.record("r")).unwrap(), b"old");
    assert!(!mounted.record("fresh").exists());
    // What the dead one had staged is removed by the next that stages.
    fs::write(mounted.record("r"), b"new").unwrap();
    let staged = || sh("find .storefs -type f", &mounted.storage.path());
    wait_until("the old staging is removed", || staged().is_empty());
}

#[test]
fn p5_fsynced_record_is_on_disk_with_its_sidecar() {
    let Some(mut mounted) = Mounted::new() else { return };
    let mut writer = File::create(mounted.record("r.json")).unwrap();
    writer.write_all(b"{\"a\": 1}").unwrap();
    writer.sync_all().unwrap();
    mounted.mount.kill();
    drop(writer);
    assert_eq!(fs::read(mounted.on_disk("r.json")).unwrap(), b"{\"a\": 1}");
    let sidecar = fs::read(mounted.on_disk("r.json.__metadata__.json")).unwrap();
    let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
    assert_eq!(sidecar["contentType"], "application/json; charset=utf-8");
    assert_eq!(sidecar["size"], 8);
}

#[test]
fn p7_publish_into_a_dropped_store_fails_the_close() {
    let Some(mounted) = Mounted::new() else { return };
    fs::create_dir(mounted.mount.store("gone")).unwrap();
    let record = mounted.mount.store("gone").join("r");
    let mut writer = File::create(&record).unwrap();
    writer.write_all(b"text").unwrap();
    fs::remove_dir(mounted.mount.store("gone")).unwrap();
    let error = writer.sync_all().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(writer.sync_all().is_err(), "a handle that failed stays failed");
    drop(writer);
    assert!(!mounted.storage.store("gone").exists());
}

#[test]
fn p8_close_without_a_write_changes_nothing() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"text").unwrap();
    let before = fs::metadata(mounted.on_disk("r")).unwrap();
    drop(OpenOptions::new().write(true).open(&record).unwrap());
    drop(OpenOptions::new().append(true).open(&record).unwrap());
    drop(
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&record)
            .unwrap(),
    );
    sh(": >> r; exec 3<>r; cat <&3 > /dev/null", &mounted.mount.store("default"));
    let after = fs::metadata(mounted.on_disk("r")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(fs::read(&record).unwrap(), b"text");
}

#[test]
fn p8_bare_file_that_is_opened_and_not_written_gets_no_sidecar() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.on_disk("bare"), b"text").unwrap();
    drop(OpenOptions::new().write(true).open(mounted.record("bare")).unwrap());
    assert!(!mounted.on_disk("bare.__metadata__.json").exists());
}

#[test]
fn p9_store_holds_nothing_of_ours_while_it_is_written() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("r"), b"old").unwrap();
    let mut writers: Vec<File> = (0..10)
        .map(|number| File::create(mounted.record(&format!("new{number}"))).unwrap())
        .collect();
    writers.push(File::create(mounted.record("r")).unwrap());
    for writer in &mut writers {
        writer.write_all(b"half").unwrap();
    }
    let on_disk = names(&mounted.storage.store("default"));
    let expected = ["__metadata__.json", "r", "r.__metadata__.json"].map(str::to_owned);
    assert_eq!(on_disk, expected.into());
    drop(writers);
    let on_disk = names(&mounted.storage.store("default"));
    assert_eq!(on_disk.len(), 1 + 2 * 11);
    let staged = sh("find .storefs -type f", &mounted.storage.path());
    assert_eq!(staged, "", "nothing stays staged");
}

#[test]
fn new_records_have_the_mode_that_was_asked_for() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("secret");
    let mut options = OpenOptions::new();
    let mut writer = options.write(true).create_new(true).mode(0o600).open(&record).unwrap();
    writer.write_all(b"x").unwrap();
    drop(writer);
    assert_eq!(fs::metadata(&record).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(mounted.on_disk("secret")).unwrap().mode() & 0o7777, 0o600);
    fs::write(&record, b"rewritten").unwrap();
    assert_eq!(fs::metadata(&record).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(mime_type(&record), "text/plain; charset=utf-8");
}

#[test]
fn p7_too_many_open_files_are_an_error_and_pass() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("r"), b"old").unwrap();
    fs::write(mounted.record("other"), b"other").unwrap();
    let in_use = fs::read_dir(format!("/proc/{}/fd", mounted.mount.pid())).unwrap().count() as u64;
    let limit = format!("--nofile={0}:{0}", in_use + 20);
    let pid = mounted.mount.pid().to_string();
    let limited = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(limited.unwrap().success());

    // Each write session holds its staging file. Some are told that there is no room for theirs.
    let mut writers = Vec::new();
    let refused = (0..60)
        .filter_map(|number| {
            let file = File::create(mounted.record(&format!("new{number}")));
            file.map(|file| writers.push(file)).err()
        })
        .filter(|error| error.raw_os_error() == Some(libc::EMFILE))
        .count();
    assert!(refused > 0 && !writers.is_empty(), "{refused} refused, {} open", writers.len());
    assert!(fs::write(mounted.record("r"), b"new").is_err());
    for writer in &mut writers {
        writer.write_all(b"made").unwrap();
    }
    let made = writers.len();
    // With a descriptor to spare for what a publish opens on its way.
    drop(writers.split_off(made - 8));
    drop(writers);
    assert_eq!(fs::read(mounted.record("other")).unwrap(), b"other");
    assert_eq!(fs::read(mounted.record("r")).unwrap(), b"old");
    fs::write(mounted.record("r"), b"new").unwrap();
    assert_eq!(fs::read(mounted.record("r")).unwrap(), b"new");
    assert_eq!(sh("find .storefs -type f", &mounted.storage.path()), "", "nothing stays staged");
}
