//! Conditions under race: several mounts and threads at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::backend::sql::database::{Outcome, Rename};

const THREADS: u32 = 8;

#[test]
fn one_of_many_makes_a_record() {
    let Some((_, _, database)) = with_store() else { return };
    for round in 0..20 {
        let key = format!("k{round}");
        let winners = AtomicU32::new(0);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (database, key, winners) = (&database, &key, &winners);
                scope.spawn(move || {
                    let value = thread.to_string();
                    match put(database, key, value.as_bytes(), PutOver::Nothing).unwrap() {
                        Written::Done(_) => _ = winners.fetch_add(1, Ordering::Relaxed),
                        Written::Refused => {}
                        other => panic!("{other:?}"),
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
    }
}

#[test]
fn a_count_over_versions_loses_nothing() {
    let Some((_, _, database)) = with_store() else { return };
    done(put(&database, "n", b"0", PutOver::Nothing).unwrap());
    const EACH: u32 = 25;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut left = EACH;
                while left > 0 {
                    let opened = opened_record(&database, "n");
                    let count = String::from_utf8(opened.bytes.unwrap()).unwrap();
                    let next = (count.parse::<u32>().unwrap() + 1).to_string();
                    let over = PutOver::Version(opened.row.version.unwrap());
                    match put(&database, "n", next.as_bytes(), over).unwrap() {
                        Written::Done(_) => left -= 1,
                        Written::Refused => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let count = opened_record(&database, "n").bytes.unwrap();
    assert_eq!(String::from_utf8(count).unwrap(), (THREADS * EACH).to_string());
}

#[test]
fn nothing_is_put_into_a_store_that_was_dropped_as_empty() {
    let Some((server, name, database)) = with_store() else { return };
    for round in 0..40 {
        let store = StoreRow { id: format!("{round:0>17}"), ..store("e") };
        assert!(database.create_store(&store).unwrap());
        let file = file_of(b"1");
        let put = Put {
            internal_name: "e",
            key: "k",
            content_type: "text/plain",
            value: &file,
            size: 1,
            over: PutOver::Anything,
            at: at(1),
            durable: false,
        };
        let (dropped, written) = thread::scope(|scope| {
            let dropped = scope.spawn(|| database.drop_store("e", true).unwrap());
            let written = scope.spawn(|| database.put(&put).unwrap());
            (dropped.join().unwrap(), written.join().unwrap())
        });
        match (dropped, written) {
            (Outcome::Done, Written::NoStore) => {}
            (Outcome::NotEmpty, Written::Done(_)) => {
                assert_eq!(database.drop_store("e", false).unwrap(), Outcome::Done);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.sql(&name, "SELECT count(*) FROM key_value_store_metadata_buffer"), "0");
}

#[test]
fn renames_that_cross_both_come_to_an_end() {
    let Some((_, _, database)) = with_store() else { return };
    for _ in 0..30 {
        done(put(&database, "a", b"a", PutOver::Anything).unwrap());
        done(put(&database, "b", b"b", PutOver::Anything).unwrap());
        let rename = |from_key, to_key| {
            database.rename(&Rename {
                from_store: "s",
                from_key,
                to_store: "s",
                to_key,
                content_type: "text/plain",
                replace: true,
                at: at(1),
            })
        };
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| rename("a", "b").unwrap());
            let other = scope.spawn(|| rename("b", "a").unwrap());
            (one.join().unwrap(), other.join().unwrap())
        });
        // One after the other: the second finds what the first has moved, or that it is gone.
        let done = [&one, &other].iter().filter(|it| matches!(it, Written::Done(_))).count();
        assert!(done >= 1, "{one:?} {other:?}");
        assert_eq!(database.page("s", None, 9).unwrap().unwrap().len(), 1);
    }
}

#[test]
fn a_purge_and_writers_leave_whole_records() {
    let Some((_, _, database)) = with_store() else { return };
    thread::scope(|scope| {
        for thread in 0..4 {
            let database = &database;
            scope.spawn(move || {
                for round in 0..50 {
                    let key = format!("{thread}-{}", round % 5);
                    done(put(database, &key, b"1", PutOver::Anything).unwrap());
                }
            });
        }
        for _ in 0..10 {
            let purged = database.purge("s", at(1), &|key| key == "0-0").unwrap().unwrap();
            assert!(purged.spared.iter().all(|key| key == "0-0"));
        }
    });
    assert!(database.page("s", None, 99).unwrap().unwrap().len() <= 20);
}
