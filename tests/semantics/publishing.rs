//! When a write is seen, and what a failed one leaves (P3, P4, P5, P7, P8, P9).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use super::Mounted;
use crate::common::stranger::{stranger, stranger_reads};
use crate::common::{TempMount, mime_type, names, sh, storefs, temp_dir, wait_until};

#[test]
fn p03_new_record_is_in_this_mount_from_its_creation_and_elsewhere_once_it_is_closed() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("new");
    let mut writer = File::create(&record).unwrap();
    writer.write_all(b"half").unwrap();
    assert_eq!(fs::metadata(&record).unwrap().len(), 4);
    let mut follower = File::open(&record).unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"half");
    assert!(names(&mounted.mount.store("default")).contains("new"));
    assert!(File::create_new(&record).is_err());
    assert!(!mounted.on_disk("new").exists());
    writer.write_all(b" and whole").unwrap();
    let mut read = String::new();
    follower.read_to_string(&mut read).unwrap();
    assert_eq!(read, "half and whole", "who follows it sees it grow");
    drop(writer);
    assert_eq!(fs::read(&record).unwrap(), b"half and whole");
    assert_eq!(fs::read(mounted.on_disk("new")).unwrap(), b"half and whole");
    assert!(names(&mounted.mount.store("default")).contains("new"));
}

#[test]
fn p03_an_empty_record_is_published_at_close() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("old"), b"old").unwrap();
    let output = std::process::Command::new("sh")
        .current_dir(mounted.mount.store("default"))
        .arg("-c")
        // What the command has left is on the disk when it has ended, for whoever looks there.
        .arg("for i in 1 2 3 4 5 6 7 8 9; do : > new$i; test -e $DISK/new$i || exit 1; \
              : > old; test -s $DISK/old && exit 2; echo x > old; test -s $DISK/old || exit 3; done")
        .env("DISK", mounted.storage.store("default"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn p3_rewritten_record_is_the_old_one_until_it_is_closed() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"the old version").unwrap();
    let mut writer = File::create(&record).unwrap();
    let is_old = || {
        assert_eq!(stranger("cat \"$1\"; stat -c %s \"$1\"", &record), b"the old version15\n");
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
    assert_eq!(stranger_reads(&record), b"0123456789");
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
    assert_eq!(stranger_reads(&record), b"one");
    writer.write_all(b" two").unwrap();
    assert_eq!(stranger_reads(&record), b"one");
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
    let mut reader = File::open(&record).unwrap();
    writer.write_all(b" two").unwrap();
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "one", "a published version never changes");
    assert_eq!(stranger_reads(&record), b"one");
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
    let sources = temp_dir();
    for number in 1..=VERSIONS {
        fs::write(sources.path().join(number.to_string()), version(number)).unwrap();
    }
    // Another process, since its own would see what it has not closed. The third way is without O_TRUNC at open, as vim
    // writes.
    let script = "for n in $(seq $0); do case $(($n % 3)) in \
         0) cat $1/$n > temporary; mv temporary r;; \
         1) cat $1/$n > r;; \
         *) dd if=$1/$n of=r conv=nocreat,fdatasync bs=64k status=none oflag=nonblock;; \
         esac || exit 1; done";
    let mut writer = Command::new("sh")
        .args(["-c", script, &VERSIONS.to_string()])
        .arg(sources.path())
        .current_dir(mounted.mount.store("default"))
        .spawn()
        .unwrap();
    let mut is_done = || writer.try_wait().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let read = || {
            while !done.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&record).unwrap();
                let value: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{error} in {} bytes", text.len()));
                assert!(value["number"].is_number());
                assert!(fs::metadata(&record).unwrap().len() > 10);
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        wait_until("all versions are written", || is_done().is_some());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert!(is_done().unwrap().success());
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
    // What the dead one had staged is kept aside, and the rest is removed by the next that stages.
    fs::write(mounted.record("r"), b"new").unwrap();
    let rest = "find .storefs -type f -not -path '.storefs/rescued/*'";
    let staged = || sh(rest, &mounted.storage.path());
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
    assert!(fs::remove_dir(mounted.mount.store("gone")).is_err(), "a new record is in it");
    fs::remove_dir_all(mounted.storage.store("gone")).unwrap();
    let error = writer.sync_all().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let again = writer.sync_all().unwrap_err();
    assert_eq!(again.kind(), error.kind(), "a handle that failed stays failed, and says the same");
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
    let in_use =
        fs::read_dir(format!("/proc/{}/fd", mounted.mount.serving_pid())).unwrap().count() as u64;
    let limit = format!("--nofile={0}:{0}", in_use + 20);
    let pid = mounted.mount.serving_pid().to_string();
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
