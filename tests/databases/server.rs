//! PostgreSQL, and the network before it, in trouble: told within the deadline, nothing lost, and the mount goes on.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::common::postgres::{self, Server};
use crate::common::{METADATA, TempMount, can_mount, names, wait_until};
use crate::database::{Database, STORE, bytes, mount, within};
use crate::proxy::Proxy;

/// What an operation may take at most: the deadline of [`hasty`], and some for a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(9);

/// A mount that waits for the server no longer than three seconds.
pub(crate) fn hasty(db: &Database, port: u16) -> TempMount {
    let name = db.url().rsplit('/').next().unwrap().to_owned();
    let url = format!("postgresql://postgres@127.0.0.1:{port}/{name}");
    mount(db, &url, &["--timeout", "3", "--ttl", "0"])
}

/// A server of the test's own. It stops when the program ends, by its keeper.
pub(crate) fn own_server() -> Option<&'static Server> {
    can_mount().then(|| postgres::own(&[])).flatten().map(|server| &*Box::leak(Box::new(server)))
}

#[track_caller]
fn errno_in<T>(what: &str, allowed: &[Errno], work: impl FnOnce() -> io::Result<T>) {
    let error = within(LIMIT, work).err().unwrap_or_else(|| panic!("{what} succeeds"));
    let errno = error.raw_os_error();
    assert!(allowed.iter().any(|it| Some(it.raw_os_error()) == errno), "{what}: {error}");
}

/// All that is asked of a mount fails in time.
#[track_caller]
fn all_fail(mount: &TempMount, allowed: &[Errno]) {
    let store = mount.store(STORE);
    errno_in("open", allowed, || File::open(store.join("k")).map(drop));
    errno_in("list", allowed, || fs::read_dir(&store)?.collect::<io::Result<Vec<_>>>());
    errno_in("make", allowed, || File::create(store.join("new"))?.sync_all());
    errno_in("remove", allowed, || fs::remove_file(store.join("k")));
    errno_in("move", allowed, || fs::rename(store.join("k"), store.join("l")));
    errno_in("purge", allowed, || {
        fs::OpenOptions::new().write(true).open(store.join("@purge"))?.write_all(b"1")
    });
    errno_in("make a store", allowed, || fs::create_dir(mount.store("next")));
    within(LIMIT, || mount.status());
}

#[test]
fn p7_a_server_that_is_gone_is_told_and_nothing_is_lost() {
    let Some(server) = own_server() else { return };
    let db = Database::postgres(server, server.database());
    db.run(&["create", STORE]);
    let mount = hasty(&db, server.port());
    let path = mount.store(STORE).join("k");
    fs::write(&path, "old").unwrap();
    fs::write(mount.store(STORE).join("large"), bytes(1, 3_000_000)).unwrap();
    let mut reading = File::open(&path).unwrap();
    for (round, size) in [(1, 2000), (2, 3_000_000)] {
        let mut writing = File::create(&path).unwrap();
        writing.write_all(&bytes(round, size)).unwrap();
        server.stop();
        let gone = [Errno::IO, Errno::TIMEDOUT];
        errno_in("sync", &gone, || writing.sync_all());
        errno_in("sync again", &gone, || writing.sync_all());
        if round == 1 {
            all_fail(&mount, &gone);
            let mut seen = String::new();
            reading.read_to_string(&mut seen).unwrap();
            assert_eq!(seen, "old", "what is open is at hand");
        }
        server.start_again();
        // What was not published is held as long as the file is open, and goes where it was meant to.
        writing.sync_all().unwrap();
        drop(writing);
        assert!(fs::read(&path).unwrap() == bytes(round, size));
        assert_eq!(db.record("k").unwrap().0.len(), size);
        let listed = ["k", "large", METADATA].map(str::to_owned);
        assert_eq!(names(&mount.store(STORE)), listed.into());
    }
    assert!(fs::read(mount.store(STORE).join("large")).unwrap() == bytes(1, 3_000_000));
}

#[test]
fn a_server_that_is_restarted_is_used_on_without_a_word() {
    let Some(server) = own_server() else { return };
    let db = Database::postgres(server, server.database());
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join("k");
    for round in 0..3 {
        fs::write(&path, round.to_string()).unwrap();
        thread::scope(|scope| {
            let restarting = scope.spawn(|| {
                server.stop();
                server.start_again();
            });
            for number in 0..40 {
                fs::write(&path, format!("{round} {number}")).unwrap();
                let mut file = File::create(mount.store(STORE).join("synced")).unwrap();
                write!(file, "{round} {number}").unwrap();
                file.sync_all().unwrap();
            }
            restarting.join().unwrap();
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{round} 39"));
        let large = mount.store(STORE).join("large");
        fs::write(&large, bytes(round, 5_000_000)).unwrap();
        assert!(fs::read(&large).unwrap() == bytes(round, 5_000_000));
    }
}

#[test]
fn p7_a_stalled_network_is_told_and_the_mount_goes_on() {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let db = Database::postgres(server, server.database());
    db.run(&["create", STORE]);
    let proxy = Proxy::to(server.port());
    let mount = hasty(&db, proxy.port());
    let path = mount.store(STORE).join("k");
    fs::write(&path, "old").unwrap();
    let mut writing = File::create(&path).unwrap();
    writing.write_all(b"new").unwrap();
    proxy.stall(true);
    let slow = [Errno::TIMEDOUT, Errno::AGAIN];
    errno_in("sync", &slow, || writing.sync_all());
    all_fail(&mount, &slow);
    proxy.stall(false);
    wait_until("what is open can be synced", || writing.sync_all().is_ok());
    drop(writing);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    // Cut in the middle of a value.
    let large = mount.store(STORE).join("large");
    fs::write(&large, bytes(3, 8_000_000)).unwrap();
    let other = hasty(&db, proxy.port());
    assert!(other.store(STORE).exists());
    proxy.cut_after(3_000_000);
    assert!(fs::read(other.store(STORE).join("large")).unwrap() == bytes(3, 8_000_000));
    assert!(!proxy.is_about_to_cut());
}

#[test]
fn p7_a_lock_of_others_is_told_and_waited_for() {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let db = Database::postgres(server, server.database());
    db.run(&["create", STORE]);
    let mount = hasty(&db, server.port());
    let store = mount.store(STORE);
    fs::write(store.join("k"), "old").unwrap();
    let held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    thread::scope(|scope| {
        scope.spawn(|| {
            db.sql("BEGIN; SELECT key FROM key_value_store_records FOR UPDATE; SELECT pg_sleep(8); ROLLBACK")
        });
        wait_until("the lock is held", || db.sql(held) == "1");
        let mut writing = File::create(store.join("k")).unwrap();
        writing.write_all(b"new").unwrap();
        errno_in("sync", &[Errno::AGAIN, Errno::TIMEDOUT], || writing.sync_all());
        // Who wants another record is not held up, by however many wait for this one.
        thread::scope(|scope| {
            for _ in 0..12 {
                let store = &store;
                scope.spawn(move || drop(fs::remove_file(store.join("k"))));
            }
            thread::sleep(Duration::from_millis(300));
            within(LIMIT, || drop(fs::write(store.join("other"), "x")));
        });
        wait_until("the lock is free", || db.sql(held) == "0");
        drop(writing.sync_all());
    });
    fs::write(store.join("after"), "x").unwrap();
    assert_eq!(fs::read(store.join("after")).unwrap(), b"x");
}

#[test]
fn keys_in_the_order_of_a_language_are_listed_once_each() {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let db = Database::postgres(server, server.icu_database());
    let mount = db.mount_with_store();
    db.sql(
        "INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
         SELECT key_value_store_id, k || n, 'x', 'text/plain', 1 FROM key_value_stores, \
         unnest(array['a', 'A', 'B', '_', '\u{e9}', '\u{c9}', 'k-', 'k ', '\"', 'e\u{301}']) k, generate_series(1, 700) n",
    );
    assert_eq!(names(&mount.store(STORE)).len(), 7001);
    let store = mount.store(STORE);
    // Also while others come and go between the pages.
    thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for n in 0..60 {
                fs::write(store.join(format!("new {n}")), "x").unwrap();
                fs::remove_file(store.join(format!("new {n}"))).unwrap();
            }
        });
        while !changing.is_finished() {
            let listed = names(&store);
            assert_eq!(listed.iter().filter(|name| !name.starts_with("new ")).count(), 7001);
        }
        changing.join().unwrap();
    });
}
