//! Who has a record open keeps its version, whatever becomes of it; who opens it next has the new one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::io::Errno;
use serde_json::json;

use crate::common::{TempMount, mime_type, wait_until};
use crate::database::{Database, STORE, bytes};
use crate::sdk::hex;

const KEY: &str = "record.bin";

/// What becomes of a record, by whom.
type Change<'a> = (&'static str, Box<dyn FnMut(&Path) + 'a>);

/// Opens the record, reads a part of it, has it changed, and reads the rest.
#[track_caller]
fn keeps_its_version(
    db: &Database,
    mount: &TempMount,
    size: usize,
    seed: u32,
    change: &mut Change<'_>,
) {
    let path = mount.store(STORE).join(KEY);
    let old = bytes(seed, size);
    // The store may have been dropped by others a moment ago.
    wait_until("it is written", || {
        drop(fs::create_dir(mount.store(STORE)));
        fs::write(&path, &old).is_ok()
    });
    let mut untouched = File::open(&path).unwrap();
    let mut begun = File::open(&path).unwrap();
    let mut seen = vec![0; 700];
    begun.read_exact(&mut seen).unwrap();
    change.1(&path);
    for (mut file, mut seen) in [(begun, seen), (untouched.try_clone().unwrap(), Vec::new())] {
        // What is read in one request is at hand once a part of it has been read.
        let is_at_hand = size <= 4096 && !seen.is_empty();
        match file.read_to_end(&mut seen) {
            Ok(_) => assert!(seen == old, "{}: {} of {size} bytes", change.0, seen.len()),
            Err(error) => {
                let is_stale = error.raw_os_error() == Some(Errno::STALE.raw_os_error());
                assert!(db.may_go_stale() && is_stale && !is_at_hand, "{}: {error}", change.0);
                assert!(old.starts_with(&seen), "{}: mixed", change.0);
                continue;
            }
        }
        assert_eq!(file.metadata().unwrap().len(), size as u64, "{}", change.0);
    }
    let mut end = [0; 1];
    match untouched.read(&mut end) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert!(db.may_go_stale(), "{error}"),
    }
}

/// All that may become of a record without the client of Crawlee.
fn changes<'a>(db: &'a Database, other: &'a TempMount, size: usize) -> Vec<Change<'a>> {
    let new = move || bytes(9999, size);
    let elsewhere = other.store(STORE).join(KEY);
    let source = db.beside().join("new");
    fs::write(&source, new()).unwrap();
    let (again, gone) = (elsewhere.clone(), elsewhere.clone());
    vec![
        ("rewritten here", Box::new(move |path| fs::write(path, new()).unwrap())),
        ("truncated here", Box::new(|path| fs::write(path, "").unwrap())),
        ("deleted here", Box::new(|path| fs::remove_file(path).unwrap())),
        ("moved here", Box::new(|path| fs::rename(path, path.with_extension("moved")).unwrap())),
        (
            "replaced by a rename here",
            Box::new(move |path| {
                fs::write(path.with_extension("new"), new()).unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            }),
        ),
        ("purged here", Box::new(|path| fs::write(path.with_file_name("@purge"), "1").unwrap())),
        ("dropped here", Box::new(|path| fs::remove_dir_all(path.parent().unwrap()).unwrap())),
        ("rewritten by another mount", Box::new(move |_| fs::write(&again, new()).unwrap())),
        ("deleted by another mount", Box::new(move |_| fs::remove_file(&gone).unwrap())),
        (
            "purged by another mount",
            Box::new(move |_| fs::write(elsewhere.with_file_name("@purge"), "1").unwrap()),
        ),
        (
            "set by a command",
            Box::new(move |_| drop(db.run(&["set", STORE, KEY, source.to_str().unwrap()]))),
        ),
        ("removed by a command", Box::new(|_| drop(db.run(&["rm", STORE, KEY])))),
        ("dropped by a command", Box::new(|_| drop(db.run(&["drop", STORE])))),
        ("emptied past storefs", Box::new(|_| db.remove_records())),
    ]
}

pub(crate) fn p1_open_readers_keep_their_version(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount_with(&["--ttl", "0"]));
    for (size, seed) in [(2000, 0), (300_000, 100), (3_000_000, 200)] {
        for (number, change) in changes(db, &other, size).iter_mut().enumerate() {
            keeps_its_version(db, &mount, size, seed + u32::try_from(number).unwrap(), change);
        }
    }
}

pub(crate) fn p1_open_readers_of_large_values_keep_their_version(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount_with(&["--ttl", "0"]));
    let size = 50_000_000;
    let taken = ["rewritten here", "rewritten by another mount", "dropped by a command"];
    for (number, change) in changes(db, &other, size).iter_mut().enumerate() {
        if taken.contains(&change.0) {
            keeps_its_version(db, &mount, size, u32::try_from(number).unwrap(), change);
        }
    }
}

pub(crate) fn p1_open_readers_keep_their_version_while_the_client_works(db: &Database) {
    let mount = db.mount_with_store();
    for (size, seed) in [(2000, 0), (3_000_000, 200)] {
        let Some(mut client) = db.client(STORE) else { return };
        let value = json!({"hex": hex(&bytes(9999, size))});
        let mut set: Change<'_> = ("set", Box::new(|_| client.set(KEY, &value)));
        keeps_its_version(db, &mount, size, seed, &mut set);
        drop(set);
        for (number, what) in ["delete", "purge", "drop"].into_iter().enumerate() {
            let order = json!({what: KEY});
            let mut change: Change<'_> = (what, Box::new(|_| drop(client.ask(&order))));
            keeps_its_version(
                db,
                &mount,
                size,
                seed + 1 + u32::try_from(number).unwrap(),
                &mut change,
            );
        }
    }
}

pub(crate) fn p1_a_memory_map_keeps_its_version(db: &Database) {
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join(KEY);
    for size in [5000, 3_000_000] {
        fs::write(&path, bytes(1, size)).unwrap();
        // Another program, since it takes unsafe code to map a file here.
        let script = format!(
            "import mmap, sys\n\
             file = open('{0}', 'rb')\n\
             seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n\
             open('{0}', 'wb').write(b'x' * {size})\n\
             sys.stdout.buffer.write(seen[:])\n",
            path.display()
        );
        let output = std::process::Command::new("python3").args(["-c", &script]).output().unwrap();
        // What can be read no more ends the program by a signal.
        let is_stale = db.may_go_stale() && output.status.signal() == Some(libc::SIGBUS);
        let is_kept = output.stdout == bytes(1, size);
        assert!(is_kept || is_stale, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

pub(crate) fn p2_the_next_open_sees_what_the_client_changed(db: &Database) {
    let mount = db.mount_with_store();
    let Some(mut client) = db.client(STORE) else { return };
    let path = mount.store(STORE).join("state");
    for number in 0..40 {
        client.set("state", &json!({"number": number}));
        let seen: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(seen["number"], number);
        client.set("state", &json!("text"));
        assert_eq!(fs::read(&path).unwrap(), b"text");
        assert_eq!(mime_type(&path), "text/plain; charset=utf-8");
        client.ask(&json!({"delete": "state"}));
        let gone = File::open(&path).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
    client.set("new", &json!("x"));
    wait_until("a name that the client has made is listed", || {
        crate::common::names(&mount.store(STORE)).contains("new")
    });
    client.ask(&json!({"drop": 1}));
    wait_until("a store that the client has dropped is gone", || !mount.store(STORE).exists());
}

pub(crate) fn p2_a_version_keeps_its_number_and_time(db: &Database) {
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join(KEY);
    fs::write(&path, bytes(1, 3000)).unwrap();
    let shown = || {
        let file = File::open(&path).unwrap().metadata().unwrap();
        (file.ino(), file.mtime(), file.mtime_nsec())
    };
    let first = shown();
    fs::write(path.with_file_name("other"), "x").unwrap();
    db.run(&["set", STORE, "another", "/dev/null"]);
    assert_eq!(shown(), first, "another record of the store has changed");
    db.run(&["set", STORE, KEY, "/dev/null"]);
    assert_ne!(shown(), first);
}
