//! Values are published whole, with their types, by several at once, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;

use rustix::io::Errno;
use serde_json::json;

use crate::common::stranger::{stranger, stranger_reads};
use crate::common::{METADATA, mime_type, names, sh};
use crate::database::{Database, STORE, bytes};
use crate::sdk::hex;
use crate::work::Seen;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

pub(crate) fn p3_nobody_sees_what_is_not_published(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    let path = mount.store(STORE).join("k");
    fs::write(&path, "old").unwrap();
    let mut file = File::create(&path).unwrap();
    for part in bytes(1, 5_000_000).chunks(1_000_000) {
        file.write_all(part).unwrap();
        assert_eq!(fs::read(other.store(STORE).join("k")).unwrap(), b"old");
        assert_eq!(db.run(&["get", STORE, "k"]), "old");
    }
    assert_eq!(db.size_of("k"), 3);
    drop(file);
    assert!(fs::read(other.store(STORE).join("k")).unwrap() == bytes(1, 5_000_000));
    assert_eq!(db.size_of("k"), 5_000_000);
}

/// The mount has not heard of a record when somebody empties it: all the same it is hidden from nobody, is the writer's, keeps
/// its type, and goes for good if somebody removes it meanwhile.
pub(crate) fn p3_p6_what_others_have_made_is_emptied_as_any_other(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let empty = |name: &str| {
        db.put(name, b"of others", "text/x-own");
        let mut file = File::create(store.join(name)).unwrap();
        file.write_all(b"new").unwrap();
        file
    };
    let path = store.join("k");
    let file = empty("k");
    assert_eq!(stranger_reads(&path), b"of others");
    assert_eq!(fs::read(&path).unwrap(), b"new", "who writes it finds it");
    assert_eq!(fs::metadata(&path).unwrap().ino(), file.metadata().unwrap().ino());
    assert_eq!(db.record("k").unwrap().0, b"of others");
    drop(file);
    assert_eq!(stranger_reads(&path), b"new");
    assert_eq!(db.record("k").unwrap(), (b"new".to_vec(), "text/x-own".to_owned()));

    let file = empty("listed");
    let listed = stranger("ls -- \"$1\"", &store);
    assert_eq!(String::from_utf8(listed).unwrap().lines().filter(|it| *it == "listed").count(), 1);
    drop(file);

    let file = empty("removed");
    fs::remove_file(store.join("removed")).unwrap();
    drop(file);
    assert!(db.record("removed").is_none());
    let file = empty("purged");
    fs::write(store.join("@purge"), "1").unwrap();
    drop(file);
    assert!(db.record("purged").is_none());
    let error = OpenOptions::new().write(true).create_new(true).open({
        db.put("there", b"of others", TEXT);
        store.join("there")
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

/// A value of one of three kinds and one of two lengths that shows whether it is whole.
fn value(number: usize) -> Vec<u8> {
    let length = if number.is_multiple_of(2) { 600 } else { 400_000 };
    let mark = format!("{number:08}");
    let text = format!("{mark}{}{mark}", "x".repeat(length));
    match number % 3 {
        0 => json!({"text": text}).to_string().into_bytes(),
        1 => text.into_bytes(),
        _ => [b"\xff", text.as_bytes()].concat(),
    }
}

/// Panics unless a value is whole, and of a type that it fits; the client's of the one that the client gave it.
#[track_caller]
fn is_whole(seen: &[u8], content_type: &str) {
    let parsed;
    let (text, given) = match seen.first() {
        Some(b'{') => {
            parsed = serde_json::from_slice::<serde_json::Value>(seen).expect("torn");
            (parsed["text"].as_str().unwrap().as_bytes(), JSON)
        }
        Some(0xff) => (&seen[1..], BYTES),
        _ => (seen, TEXT),
    };
    assert_eq!(text[..8], text[text.len() - 8..], "torn");
    let is_clients = text.windows(6).any(|part| part == b"client");
    // What is written over bytes of the client's has the type that it gave them, if it fits that (P10).
    let fits = match content_type {
        JSON => given == JSON,
        TEXT => given != BYTES,
        other => other == BYTES,
    };
    let is_right = if is_clients { content_type == given } else { fits };
    assert!(is_right, "{content_type}: {}", String::from_utf8_lossy(&text[..20]));
}

pub(crate) fn p3_p4_value_and_type_are_one_for_all(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    let path = mount.store(STORE).join("shared");
    let elsewhere = other.store(STORE).join("shared");
    let Some(mut client) = db.client(STORE) else { return };
    fs::write(&path, value(1)).unwrap();
    let text = |mark| format!("{mark}{}{mark}", " from the client ".repeat(50));
    let bytes = format!("ff{}", hex(text("55555555").as_bytes()));
    let values = json!([{"text": text("33333333")}, text("44444444"), {"hex": bytes}]);
    for number in 0..30 {
        fs::write(db.beside().join(number.to_string()), value(number)).unwrap();
    }
    // By another process: what a process has not closed, it sees itself.
    let script = format!(
        "for n in $(seq 0 29); do cp $n '{0}'; cp $n '{0}.new'; mv '{0}.new' '{0}'; done",
        path.display()
    );
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..3 {
                sh(&script, &db.beside());
            }
        });
        let hammering = scope.spawn(|| {
            for _ in 0..3 {
                client.ask(&json!({"hammer": "shared", "values": values, "times": 10}));
            }
        });
        while !writing.is_finished() || !hammering.is_finished() {
            for path in [&path, &elsewhere] {
                let seen =
                    Seen::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                for content_type in seen.content_types.iter().flatten() {
                    is_whole(&seen.bytes, content_type);
                }
            }
        }
        writing.join().unwrap();
        hammering.join().unwrap();
    });
    // The client, too, finds each value under a type that it fits: it decodes by it.
    for number in 0..30 {
        fs::write(&path, value(number)).unwrap();
        let (kept, content_type) = db.record("shared").unwrap();
        is_whole(&kept, &content_type);
        let read_as = client.get("shared");
        assert_eq!(read_as["content_type"], content_type);
    }
}

pub(crate) fn p5_what_is_synced_is_there_after_a_kill(db: &Database) {
    let mut mount = db.mount_with_store();
    let path = mount.store(STORE).join("k");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"synced").unwrap();
    file.sync_all().unwrap();
    assert_eq!(db.record("k").unwrap(), (b"synced".to_vec(), TEXT.to_owned()));
    file.write_all(b", and not closed").unwrap();
    mount.kill();
    drop(file);
    assert_eq!(db.record("k").unwrap().0, b"synced");
    mount.start();
    assert_eq!(fs::read(&path).unwrap(), b"synced");
    File::open(mount.store(STORE)).unwrap().sync_all().unwrap();
    File::open(&path).unwrap().sync_data().unwrap();
}

pub(crate) fn p6_lines_that_many_add_are_all_there(db: &Database) {
    let mount = db.mount_with_store();
    let script = "for w in 1 2 3 4; do (for n in $(seq 60); do echo \"$w line $n\" >> log; done) & done; wait";
    sh(script, &mount.store(STORE));
    let (value, content_type) = db.record("log").unwrap();
    let text = String::from_utf8(value).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 240);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len(), content_type.as_str()), (240, TEXT));
}

pub(crate) fn p6_only_one_makes_a_record_exclusively(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    for round in 0..25 {
        let winners: usize = thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|racer| {
                    let mount = if racer % 2 == 0 { &mount } else { &other };
                    let path = mount.store(STORE).join(format!("once-{round}"));
                    scope.spawn(move || {
                        let made = OpenOptions::new().write(true).create_new(true).open(path);
                        let Ok(mut file) = made else { return 0 };
                        write!(file, "{racer}").unwrap();
                        usize::from(file.sync_all().is_ok())
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(winners, 1, "of round {round}");
    }
    let Some(mut client) = db.client(STORE) else { return };
    let path = mount.store(STORE).join("the client's");
    assert!(!path.exists());
    client.set("the client's", &json!("x"));
    let refused = OpenOptions::new().write(true).create_new(true).open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    // While it is being made here, by the client.
    let path = mount.store(STORE).join("both");
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    client.set("both", &json!("the client's"));
    file.write_all(b"ours").unwrap();
    assert!(file.sync_all().is_err(), "there is one already");
    drop(file);
    assert_eq!(client.get("both")["value"], "the client's");
}

pub(crate) fn p6_who_adds_to_what_others_replaced_is_told(db: &Database) {
    let (mount, other) = (db.mount_with_store(), db.mount());
    let (path, elsewhere) = (mount.store(STORE).join("k"), other.store(STORE).join("k"));
    for size in [10, 3_000_000] {
        fs::write(&path, bytes(1, size)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"more").unwrap();
        fs::write(&elsewhere, bytes(2, size)).unwrap();
        let error = file.sync_all().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::STALE.raw_os_error()));
        drop(file);
        assert!(fs::read(&path).unwrap() == bytes(2, size));
    }
}

pub(crate) fn p7_a_directory_or_link_in_a_store_is_refused(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    for error in [
        fs::create_dir(store.join("d")).unwrap_err(),
        std::os::unix::fs::symlink("x", store.join("l")).unwrap_err(),
    ] {
        assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()), "{error}");
    }
    assert_eq!(names(&store), [METADATA.to_owned()].into());
}

pub(crate) fn p10_types_are_found_and_kept(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let typed = |name: &str, value: &[u8]| {
        fs::write(store.join(name), value).unwrap();
        let (kept, content_type) = db.record(name).unwrap();
        assert_eq!(kept, value);
        assert_eq!(mime_type(&store.join(name)), content_type, "{name}");
        content_type
    };
    assert_eq!(typed("page.html", b"<p>x</p>"), "text/html; charset=utf-8");
    assert_eq!(typed("shot", b"\x89PNG\r\n\x1a\n0000"), "image/png");
    // A guess is looked at anew, through the same mount.
    assert_eq!(typed("list", b"[1"), TEXT);
    assert_eq!(typed("list", b"[1]"), JSON);
    assert_eq!(typed("list", b"\xff"), BYTES);
    // What was given comes back once the bytes fit it again.
    db.put("given", b"{}", JSON);
    assert_eq!(typed("given", b"{\"a\": 1"), TEXT);
    assert_eq!(typed("given", b"{\"a\": 1}"), JSON);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(store.join("list"), "user.mime_type", b"text/x-own", flags).unwrap();
    assert_eq!(typed("list", b"[1]"), "text/x-own");
    if let Some(mut client) = db.client(STORE) {
        assert_eq!(client.get("given")["value"], json!({"a": 1}));
        client.set("from the client", &json!({"b": 2}));
        assert_eq!(typed("from the client", b"{\"b\": 3}"), JSON);
        assert_eq!(client.get("from the client")["value"], json!({"b": 3}));
    }
}

/// As when a storage is copied over one that has the record already.
pub(crate) fn p10_a_sidecar_that_is_brought_first_is_for_the_value_that_follows(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let nan = b"{\"x\": NaN}";
    let bring = || {
        let sidecar = json!({"key": "nan", "contentType": JSON, "size": nan.len()});
        fs::write(store.join(format!("nan.{METADATA}")), sidecar.to_string()).unwrap();
    };
    let typed = |value: &[u8]| {
        fs::write(store.join("nan"), value).unwrap();
        db.record("nan").unwrap().1
    };
    assert_eq!(typed(nan), TEXT);
    bring();
    assert_eq!(typed(nan), JSON);
    // It has come, so that this is another.
    assert_eq!(typed(b"{\"y\": NaN}"), TEXT);
    bring();
    assert_eq!(typed(b"{\"longer\": NaN}"), TEXT);
}

pub(crate) fn p9_nothing_of_ours_stays_in_the_database(db: &Database) {
    let before = db.schema();
    let mount = db.mount_with_store();
    let script = "
        for n in $(seq 30); do echo $n > rec-$n; done
        head -c 3000000 /dev/urandom > large; cp large copy; cmp large copy
        echo more >> large; truncate -s 100 copy; mv copy moved; sed -i s/1/2/ rec-1; rm rec-2
        cat * > /dev/null; ls -la > /dev/null; setfattr -n user.mime_type -v text/x-own rec-3
        mkdir ../next; mv moved ../next; mv ../next ../last; cp -r . ../copy; rm -r ../last
        echo 1 > @purge; rm -r ../copy";
    sh(script, &mount.store(STORE));
    assert_eq!(names(&mount.stores()).len(), 1);
    db.run(&["set", STORE, "k", "/dev/null"]);
    db.run(&["purge", STORE]);
    mount.unmount();
    assert_eq!(db.schema(), before);
    let left = Command::new("find").arg(db.beside().parent().unwrap().join("spool")).output();
    assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap().lines().count(), 1);
}
