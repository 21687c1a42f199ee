//! Several at once: threads of ours, connections and processes of others.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::*;

#[test]
fn writers_and_readers_of_ours_get_on() {
    let fixture = Fixture::new();
    let databases = [fixture.open(), fixture.open()];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4_usize)
            .map(|writer| {
                let database = &databases[writer % 2];
                scope.spawn(move || {
                    for round in 0..100_usize {
                        // All bytes of a value are one letter, so a mixture would show.
                        let letter = b'a' + u8::try_from(round % 26).unwrap();
                        let value = vec![letter; 1000 + 50 * round];
                        put(database, "default", &format!("k{}", round % 5), &value);
                    }
                })
            })
            .collect();
        for database in &databases {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let rows = database.page("default", Some("j"), 9).unwrap().unwrap();
                    for row in rows.into_iter().filter(|row| row.key.starts_with('k')) {
                        let Lookup::Found(opened) =
                            database.open("default", &row.key, 1 << 20, None).unwrap()
                        else {
                            continue;
                        };
                        let bytes = opened.bytes.unwrap();
                        assert_eq!(bytes.len() as u64, opened.row.size);
                        assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
                    }
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let check: String = fixture.tell("PRAGMA integrity_check");
    assert_eq!(check, "ok");
}

#[test]
fn a_new_record_is_made_by_one_of_many() {
    let fixture = Fixture::new();
    let databases = [fixture.open(), fixture.open()];
    for round in 0..20 {
        let key = format!("k{round}");
        let make = |database| put_over(database, "default", &key, b"v", PutOver::Nothing);
        let made: usize = thread::scope(|scope| {
            let racers: Vec<_> = (0..4_usize)
                .map(|at| {
                    scope.spawn({
                        let make = &make;
                        let it = &databases[at % 2];
                        move || make(it)
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| usize::from(matches!(racer.join().unwrap(), Written::Done(_))))
                .sum()
        });
        assert_eq!(made, 1);
    }
}

#[test]
fn a_foreign_lock_is_waited_for_until_the_deadline() {
    let fixture = Fixture::new();
    let options = SqliteOptions { timeout: Duration::from_millis(300), ..options() };
    let database = open(&fixture.path(), &options).unwrap();
    let other = fixture.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let error = database.delete("default", "num").unwrap_err();
    let taken = begun.elapsed();
    assert_eq!(kind(&error), BackendErrorKind::Busy, "{error}");
    assert!(taken >= Duration::from_millis(250) && taken < Duration::from_secs(3), "{taken:?}");
    // Nobody has to wait to read.
    let begun = Instant::now();
    assert_eq!(bytes(&database, "num"), b"42");
    assert!(begun.elapsed() < Duration::from_millis(200));
    other.execute_batch("ROLLBACK").unwrap();
    put(&database, "default", "num", b"43");

    // A lock that is given back in time is no error.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let database = &database;
        let waiting = scope.spawn(move || put(database, "default", "num", b"44"));
        thread::sleep(Duration::from_millis(100));
        other.execute_batch("COMMIT").unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(bytes(&database, "num"), b"44");
}

#[test]
fn our_own_writers_wait_no_longer_than_the_deadline_either() {
    let fixture = Fixture::altered("PRAGMA journal_mode = DELETE");
    let options = SqliteOptions { timeout: Duration::from_millis(300), ..options() };
    let database = open(&fixture.path(), &options).unwrap();
    let other = fixture.other();
    // Without WAL, this keeps readers out as well.
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            let database = &database;
            scope.spawn(move || {
                let error = database.delete("default", "num").unwrap_err();
                assert_eq!(kind(&error), BackendErrorKind::Busy);
            });
        }
        let database = &database;
        scope.spawn(move || {
            let error = database.head("default", "num").unwrap_err();
            assert_eq!(kind(&error), BackendErrorKind::Busy);
        });
    });
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bytes(&database, "num"), b"42");
}

#[test]
fn a_reader_does_not_wait_for_a_writer_of_ours() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let busy = database.transactions.pool.lease(super::super::pool::Use::Writing, deadline());
    let busy = busy.unwrap();
    busy.connection().unwrap().execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(bytes(&database, "num"), b"42");
    drop(busy);
    // What it had begun is undone.
    put(&database, "default", "num", b"43");
}

fn deadline() -> super::super::pool::Deadline {
    super::super::pool::Deadline::after(Duration::from_secs(1))
}

#[test]
fn streams_take_all_readers_and_give_them_back() {
    let fixture = Fixture::new();
    let options = SqliteOptions { timeout: Duration::from_millis(200), ..options() };
    let database = open(&fixture.path(), &options).unwrap();
    let leases: Vec<_> = (0..16)
        .map(|_| {
            database.transactions.pool.lease(super::super::pool::Use::Reading, deadline()).unwrap()
        })
        .collect();
    let error = database.head("default", "num").unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::Busy);
    drop(leases);
    assert_eq!(bytes(&database, "num"), b"42");
}

#[test]
fn a_failing_sink_ends_a_stream_with_its_error() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let version = opened(&database, "num", None).row.version.unwrap();
    let error = database.stream("default", "num", version, &mut |_| Err(Error::ReadOnly));
    assert!(matches!(error.unwrap_err(), Error::ReadOnly));
    assert_eq!(bytes(&database, "num"), b"42");
}

/// What the other process of the next test does: it is this test program once more.
#[test]
fn another_process_writes() {
    let Some(path) = std::env::var_os("STOREFS_TEST_SQLITE") else { return };
    let database = open(path.as_ref(), &options()).unwrap();
    for round in 0..200 {
        put(&database, "default", &format!("theirs{}", round % 10), b"theirs");
    }
}

#[test]
fn two_processes_write_one_store() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "backend::sql::sqlite::tests::sharing::another_process_writes"])
        .env("STOREFS_TEST_SQLITE", fixture.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for round in 0..200 {
        put(&database, "default", &format!("ours{}", round % 10), b"ours");
    }
    assert!(child.wait().unwrap().success());
    let rows = database.page("default", Some("o"), 99).unwrap().unwrap();
    assert_eq!(rows.len(), 20);
    let versions: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row.version.unwrap().0).collect();
    assert_eq!(versions.len(), 2);
}
