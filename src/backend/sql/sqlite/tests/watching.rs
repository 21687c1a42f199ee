//! Commits of others are told, our own are not, and those of a busy client not one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use super::super::watch::{EVERY, HOT_FOR};
use super::*;
use crate::backend::Watchable;
use crate::backend::watch::{Change, Watch};

/// Longer than it takes until a commit is told.
const SOON: Duration = Duration::from_secs(20);

fn watched(database: &SqliteDatabase) -> (Arc<dyn Watch>, Receiver<Vec<Change>>) {
    let (tell, told) = mpsc::channel();
    let watch = database.watch(Box::new(move |changes| {
        let _ = tell.send(changes.iter().cloned().collect());
    }));
    (watch.unwrap(), told)
}

const TOUCH: &str = "UPDATE key_value_stores SET accessed_at = '2026-01-01 00:00:00.000000'";

#[test]
fn what_others_commit_is_told_and_what_we_do_is_not() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (watch, told) = watched(&database);
    assert!(watch.watches_stores() && !watch.is_prompt());
    for round in 0..100 {
        put(&database, "default", "own", format!("{round}").as_bytes());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(told.recv_timeout(4 * EVERY).is_err(), "our own");
    assert!(watch.watches_stores());
    fixture.other().execute_batch(TOUCH).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), [Change::Everything]);
    assert!(!watch.watches_stores(), "it may be written again at any moment");
}

#[test]
fn what_others_commit_among_our_own_is_told() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (_watch, told) = watched(&database);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                put(&database, "default", "own", b"own");
            }
        });
        std::thread::sleep(2 * EVERY);
        let was_told = told.try_recv();
        fixture.other().execute_batch(TOUCH).unwrap();
        let outcome = told.recv_timeout(SOON);
        is_over.store(true, Ordering::Relaxed);
        assert!(was_told.is_err());
        assert_eq!(outcome.unwrap(), [Change::Everything]);
    });
}

#[test]
fn a_busy_client_is_told_of_once() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (watch, told) = watched(&database);
    let (other, begun) = (fixture.other(), Instant::now());
    while begun.elapsed() < HOT_FOR / 10 {
        other.execute_batch(TOUCH).unwrap();
    }
    assert_eq!(told.recv_timeout(SOON).unwrap(), [Change::Everything]);
    assert!(told.recv_timeout(4 * EVERY).is_err());
    assert!(!watch.watches_stores());
    drop(watch);
    assert!(told.recv().is_err(), "nobody watches any more");
}

#[test]
fn a_client_that_has_come_to_rest_and_begins_again_is_told_of_again() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (watch, told) = watched(&database);
    let other = fixture.other();
    // SQLite commits nothing where nothing is changed.
    for touch in [TOUCH, &TOUCH.replace("2026", "2027")] {
        assert!(watch.watches_stores());
        other.execute_batch(touch).unwrap();
        assert_eq!(told.recv_timeout(SOON).unwrap(), [Change::Everything]);
        assert!(!watch.watches_stores());
        let begun = Instant::now();
        while !watch.watches_stores() {
            assert!(begun.elapsed() < HOT_FOR + SOON, "it is never watched again");
            std::thread::sleep(EVERY);
        }
    }
}

#[test]
fn a_database_that_is_only_read_is_watched_too() {
    let fixture = Fixture::new();
    let options = SqliteOptions { read_only: true, ..options() };
    let database = open(&fixture.path(), &options).unwrap();
    let (_watch, told) = watched(&database);
    assert!(told.recv_timeout(4 * EVERY).is_err());
    fixture.other().execute_batch(TOUCH).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), [Change::Everything]);
}
