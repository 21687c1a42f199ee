//! Several writers of one record, and names that go while it is open (P6).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::thread;

use super::Mounted;
use crate::common::sh;
use crate::common::stranger::stranger_reads;

#[test]
fn p6_concurrent_appends_are_all_kept() {
    const WRITERS: usize = 8;
    const LINES: usize = 50;
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("log");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let record = &record;
            scope.spawn(move || {
                for line in 0..LINES {
                    let mut options = OpenOptions::new();
                    let mut file = options.append(true).create(true).open(record).unwrap();
                    file.write_all(format!("{writer} {line}\n").as_bytes()).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&record).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), WRITERS * LINES);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), WRITERS * LINES, "each line once and whole");
}

#[test]
fn p6_shell_appends_in_parallel_are_all_kept() {
    let Some(mounted) = Mounted::new() else { return };
    let count = sh(
        "for i in 1 2 3 4; do (for j in $(seq 40); do echo $i.$j >> log; done) & done; wait; wc -l < log",
        &mounted.mount.store("default"),
    );
    assert_eq!(count.trim(), "160");
}

#[test]
fn p6_writers_share_what_they_write() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"0123456789").unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(&record).unwrap();
    let (mut one, mut other) = (open(), open());
    one.write_all(b"abc").unwrap();
    other.seek(SeekFrom::Start(7)).unwrap();
    other.write_all(b"xyz").unwrap();
    let mut seen = String::new();
    one.seek(SeekFrom::Start(0)).unwrap();
    one.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "abc3456xyz");
    assert_eq!(stranger_reads(&record), b"0123456789");
    drop(one);
    drop(other);
    assert_eq!(fs::read(&record).unwrap(), b"abc3456xyz");
}

#[test]
fn p6_exclusive_creation_has_one_winner() {
    let Some(mounted) = Mounted::new() else { return };
    for round in 0..20 {
        let record = mounted.record(&format!("r{round}"));
        let create = || OpenOptions::new().write(true).create_new(true).open(&record);
        let first = create().unwrap();
        let error = create().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        drop(first);
        assert!(create().is_err());
    }
}

#[test]
fn deleted_record_is_not_written_back_by_who_has_it_open() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"old").unwrap();
    let mut writer = OpenOptions::new().append(true).open(&record).unwrap();
    writer.write_all(b" more").unwrap();
    fs::remove_file(&record).unwrap();
    writer.write_all(b" and more").unwrap();
    writer.sync_all().unwrap();
    drop(writer);
    assert!(!record.exists());
    assert!(!mounted.on_disk("r").exists());
    fs::write(&record, b"anew").unwrap();
    assert_eq!(fs::read(&record).unwrap(), b"anew");
}

#[test]
fn writer_follows_a_record_that_is_renamed() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("from"), b"one").unwrap();
    let mut writer = OpenOptions::new().append(true).open(mounted.record("from")).unwrap();
    fs::rename(mounted.record("from"), mounted.record("to")).unwrap();
    writer.write_all(b" two").unwrap();
    drop(writer);
    assert_eq!(fs::read(mounted.record("to")).unwrap(), b"one two");
    assert!(!mounted.record("from").exists());
}

#[test]
fn writer_of_a_replaced_record_does_not_overwrite_the_new_one() {
    let Some(mounted) = Mounted::new() else { return };
    fs::write(mounted.record("r"), b"old").unwrap();
    fs::write(mounted.record("new"), b"new").unwrap();
    let mut writer = OpenOptions::new().append(true).open(mounted.record("r")).unwrap();
    fs::rename(mounted.record("new"), mounted.record("r")).unwrap();
    writer.write_all(b" lost with the old file").unwrap();
    drop(writer);
    assert_eq!(fs::read(mounted.record("r")).unwrap(), b"new");
}

#[test]
fn open_flags_do_what_they_say() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, b"0123456789").unwrap();
    let mut file = OpenOptions::new().write(true).open(&record).unwrap();
    file.seek(SeekFrom::Start(4)).unwrap();
    file.write_all(b"XX").unwrap();
    drop(file);
    assert_eq!(fs::read(&record).unwrap(), b"0123XX6789");

    let mut file = OpenOptions::new().write(true).open(&record).unwrap();
    file.seek(SeekFrom::Start(15)).unwrap();
    file.write_all(b"far").unwrap();
    drop(file);
    assert_eq!(fs::read(&record).unwrap(), b"0123XX6789\0\0\0\0\0far");

    let file = OpenOptions::new().write(true).open(&record).unwrap();
    file.set_len(4).unwrap();
    drop(file);
    assert_eq!(fs::read(&record).unwrap(), b"0123");

    let mut file = OpenOptions::new().read(true).append(true).open(&record).unwrap();
    file.write_all(b"!").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "0123!");
    drop(file);

    let mut reader = File::open(&record).unwrap();
    assert!(reader.write_all(b"no").is_err());
    assert_eq!(fs::read(&record).unwrap(), b"0123!");
}

#[test]
fn p2_bytes_of_a_record_that_is_gone_do_not_come_back() {
    let Some(mounted) = Mounted::new() else { return };
    let dir = mounted.mount.store("default");
    let record = mounted.record("r");
    // A truncation by name leaves no handle behind, but for a moment the writers' inode.
    let truncate = "python3 -c 'import os; os.truncate(\"r\", 2)'";
    fs::write(&record, b"OLD").unwrap();
    sh(&format!("{truncate}; echo 1 > @purge; printf new >> r"), &dir);
    assert_eq!(fs::read(&record).unwrap(), b"new");
}
