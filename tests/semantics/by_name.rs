//! Who writes a record finds by its name what he is writing, and nobody else does (P3).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::Mounted;
use crate::common::stranger::{stranger, stranger_reads};
use crate::common::{names, try_sh};

#[test]
fn p03_who_rewrites_a_record_finds_by_its_name_what_he_has_written() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, "the old version").unwrap();
    let before = fs::metadata(&record).unwrap().ino();
    let mut writer = File::create(&record).unwrap();
    writer.write_all(b"new").unwrap();
    assert_eq!(fs::read_to_string(&record).unwrap(), "new");
    let found = fs::metadata(&record).unwrap();
    assert_eq!((found.len(), found.ino()), (3, before));
    assert_eq!(found.ino(), writer.metadata().unwrap().ino());
    // So does what he has started.
    let child = Command::new("cat").arg(&record).output().unwrap();
    assert_eq!(child.stdout, b"new");
    // Who has it open for reading follows, and another writer shares it.
    let mut reader = File::open(&record).unwrap();
    let mut second = OpenOptions::new().append(true).open(&record).unwrap();
    second.write_all(b"er").unwrap();
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "newer");
    assert_eq!(stranger("cat \"$1\"; stat -c %s \"$1\"", &record), b"the old version15\n");
    assert_eq!(fs::read(mounted.on_disk("r")).unwrap(), b"the old version");
    drop((writer, second));
    assert_eq!(stranger_reads(&record), b"newer");
    assert_eq!(fs::read_to_string(&record).unwrap(), "newer");
}

#[test]
fn p03_what_is_done_by_name_while_it_is_written_is_done_to_what_is_written() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, "the old version").unwrap();
    let mut writer = OpenOptions::new().read(true).write(true).open(&record).unwrap();
    writer.write_all(b"THE").unwrap();
    fs::set_permissions(&record, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(writer.metadata().unwrap().mode() & 0o777, 0o640);
    nix::unistd::truncate(&record, 7).unwrap();
    assert_eq!(writer.metadata().unwrap().len(), 7);
    let renamed = mounted.record("renamed");
    fs::rename(&record, &renamed).unwrap();
    assert!(!record.exists());
    writer.write_all(b"-NEW").unwrap();
    assert_eq!(fs::read_to_string(&renamed).unwrap(), "THE-NEW");
    drop(writer);
    assert_eq!(stranger_reads(&renamed), b"THE-NEW");
    assert_eq!(fs::metadata(&renamed).unwrap().mode() & 0o777, 0o640);

    let mut writer = OpenOptions::new().read(true).append(true).open(&renamed).unwrap();
    writer.write_all(b" and more").unwrap();
    fs::remove_file(&renamed).unwrap();
    assert!(names(&mounted.mount.store("default")).iter().all(|name| name != "renamed"));
    writer.rewind().unwrap();
    let mut read = String::new();
    writer.read_to_string(&mut read).unwrap();
    assert_eq!(read, "THE-NEW and more");
    drop(writer);
    assert!(!renamed.exists() && !mounted.on_disk("renamed").exists());
}

#[test]
fn p03_p04_a_process_that_is_started_in_the_middle_of_a_write_publishes_nothing() {
    let Some(mounted) = Mounted::new() else { return };
    let record = mounted.record("r");
    fs::write(&record, "[\"old\"]").unwrap();
    let mut writer = File::create(&record).unwrap();
    writer.write_all(b"[\"half").unwrap();
    // It inherits the descriptor and lets go of it.
    assert!(Command::new("true").status().unwrap().success());
    assert_eq!(fs::read(mounted.on_disk("r")).unwrap(), b"[\"old\"]");
    assert_eq!(stranger_reads(&record), b"[\"old\"]");
    writer.write_all(b" and whole\"]").unwrap();
    drop(writer);
    assert_eq!(fs::read(mounted.on_disk("r")).unwrap(), b"[\"half and whole\"]");
    // Of what a child has written it has closed, when it has ended.
    let script = "exec 3> r; sh -c 'echo child >&3'; cat \"$DISK\"";
    let output = Command::new("sh")
        .current_dir(mounted.mount.store("default"))
        .args(["-c", script])
        .env("DISK", mounted.on_disk("r"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "child\n");
}

#[test]
fn p03_databases_and_caches_that_open_a_record_again_by_its_name_work() {
    let Some(mounted) = Mounted::new() else { return };
    let script = r#"set -e
        python3 - <<'P'
import sqlite3, shelve, dbm.dumb, os, tempfile
db = sqlite3.connect('db.sqlite')
db.execute('create table t (a)')
for i in range(5):
    db.execute('insert into t values (?)', (i,)); db.commit()
other = sqlite3.connect('db.sqlite')
assert other.execute('select count(*) from t').fetchone() == (5,)
other.execute('insert into t values (9)'); other.commit()
assert db.execute('select count(*) from t').fetchone() == (6,)
db.close(); other.close()
with dbm.dumb.open('cache') as cache: cache['k'] = 'v'
with dbm.dumb.open('cache') as cache: assert cache['k'] == b'v'; cache['k'] = 'w'
with dbm.dumb.open('cache') as cache: assert cache['k'] == b'w'
f = open('log', 'r+' if os.path.exists('log') else 'w+')
for i in range(3):
    f.write(f'line {i}\n'); f.flush()
    assert len(open('log').readlines()) == i + 1
    assert os.stat('log').st_ino == os.fstat(f.fileno()).st_ino
    os.fsync(f.fileno())
    assert os.stat('log').st_ino == os.fstat(f.fileno()).st_ino
f.close()
P
        python3 - <<'P'
import sqlite3
db = sqlite3.connect('db.sqlite')
assert db.execute('pragma integrity_check').fetchone() == ('ok',)
assert db.execute('select count(*) from t').fetchone() == (6,)
P"#;
    let output = try_sh(script, &mounted.mount.store("default"));
    assert!(output.status.success(), "{output:?}");
}
