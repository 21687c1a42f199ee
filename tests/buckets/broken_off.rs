//! Purge, drop and rename of a store are many requests: broken off at any of them, the next command completes what was begun.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::{METADATA, STORES};
use crate::database::{Database, STORE, sidecar_key, value_key};
use crate::proxy::{Fault, Proxy, Request};

/// The name that a rename gives.
const NEXT: &str = "next";

/// Times of a bucket are whole seconds: what is written after this is newer than all before.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// The records of a store before anything is done to it.
const RECORDS: [&str; 4] = ["INPUT", "a", "b", "c"];

/// Something that is done to a store, and which objects there are when it has been done.
struct Deed {
    arguments: &'static [&'static str],
    left: fn() -> BTreeSet<String>,
}

/// The objects of some records of a store, and of its metadata.
fn objects_of(store: &str, records: &[&str]) -> BTreeSet<String> {
    let of_record = |record: &&str| [value_key(store, record), sidecar_key(store, record)];
    let mut objects: BTreeSet<String> = records.iter().flat_map(of_record).collect();
    objects.insert(format!("{STORES}/{store}/{METADATA}"));
    objects
}

const DEEDS: [Deed; 3] = [
    Deed { arguments: &["purge", STORE], left: || objects_of(STORE, &["INPUT"]) },
    Deed { arguments: &["drop", STORE], left: BTreeSet::new },
    Deed { arguments: &["rename", STORE, NEXT], left: || objects_of(NEXT, &RECORDS) },
];

/// A store with its records, as an SDK would have written it.
fn fill(db: &Database) {
    let mut objects = db.objects();
    let json = "application/json";
    let at = "2024-01-15T10:30:00.000Z";
    let metadata = json!({"id": "abcdefghijklmnopq", "name": STORE, "createdAt": at, "accessedAt": at, "modifiedAt": at});
    objects.put(&format!("{STORES}/{STORE}/{METADATA}"), metadata.to_string().as_bytes(), json);
    for record in RECORDS {
        let sidecar = json!({"key": record, "contentType": "text/plain; charset=utf-8", "size": 5});
        objects.put(&value_key(STORE, record), b"value", "text/plain; charset=utf-8");
        objects.put(&sidecar_key(STORE, record), sidecar.to_string().as_bytes(), json);
    }
}

fn is_change(request: &Request) -> bool {
    matches!(request.method.as_str(), "PUT" | "POST" | "DELETE")
}

/// Denies a command's changes from the one of this number on, counted from behind the one that writes its intent down.
fn break_off_at(proxy: &Proxy, number: usize) {
    let come = AtomicUsize::new(0);
    let is_meant = move |request: &Request| {
        if !is_change(request) {
            return false;
        }
        let is_first = request.method == "PUT" && request.path.contains("/intents/");
        if is_first || come.load(Ordering::SeqCst) > 0 {
            return come.fetch_add(1, Ordering::SeqCst) > number;
        }
        false
    };
    proxy.befall(usize::MAX, is_meant, Fault::Answered(403, "AccessDenied"));
}

fn found(db: &Database) -> BTreeSet<String> {
    db.objects().keys("").into_iter().collect()
}

#[test]
fn p14_what_is_broken_off_at_any_object_is_completed_by_the_next_command() {
    for deed in DEEDS {
        for number in 0.. {
            let Some(direct) = Database::fresh() else { return };
            fill(&direct);
            let proxy = Proxy::to(direct.place.port);
            let through = direct.as_seen_from(direct.place.through(proxy.port()));
            break_off_at(&proxy, number);
            let is_done = through.try_run(deed.arguments).status.success();
            proxy.release();
            let told = format!("{:?} broken off at {number}", deed.arguments);
            assert!(number > 0 || !is_done, "{told}: it does something");
            if !is_done {
                let private: Vec<String> = direct.schema();
                assert!(private.iter().any(|key| key.contains("intents/")), "{told}: {private:?}");
                direct.run(&["stores"]);
            }
            assert_eq!(found(&direct), (deed.left)(), "{told}");
            if is_done {
                break;
            }
        }
    }
}

/// What somebody writes after it was broken off is not what was to be purged, dropped or moved.
#[test]
fn p14_what_is_written_after_it_was_broken_off_stays() {
    for deed in DEEDS {
        let Some(direct) = Database::fresh() else { return };
        fill(&direct);
        let proxy = Proxy::to(direct.place.port);
        let through = direct.as_seen_from(direct.place.through(proxy.port()));
        break_off_at(&proxy, 0);
        assert!(!through.try_run(deed.arguments).status.success());
        proxy.release();
        thread::sleep(NEXT_SECOND);
        let newer = value_key(STORE, "newer");
        direct.objects().put(&newer, b"newer", "text/plain; charset=utf-8");
        direct.run(&["stores"]);
        let mut left = (deed.left)();
        left.insert(newer);
        assert_eq!(found(&direct), left, "{:?}", deed.arguments);
    }
}

/// So is what somebody writes under the new name of a store whose old one was not yet removed.
#[test]
fn p14_what_is_written_under_the_new_name_is_newer_than_what_was_moved() {
    let Some(direct) = Database::fresh() else { return };
    fill(&direct);
    let proxy = Proxy::to(direct.place.port);
    let through = direct.as_seen_from(direct.place.through(proxy.port()));
    let has_begun = AtomicUsize::new(0);
    let removes = move |request: &Request| {
        if request.method == "PUT" && request.path.contains("/intents/") {
            has_begun.store(1, Ordering::SeqCst);
        }
        has_begun.load(Ordering::SeqCst) > 0 && matches!(request.method.as_str(), "POST" | "DELETE")
    };
    proxy.befall(usize::MAX, removes, Fault::Answered(403, "AccessDenied"));
    assert!(!through.try_run(&["rename", STORE, NEXT]).status.success());
    proxy.release();
    thread::sleep(NEXT_SECOND);
    let text = "text/plain; charset=utf-8";
    direct.objects().put(&value_key(NEXT, "a"), b"newer", text);
    direct.objects().put(&value_key(STORE, "b"), b"replaced", text);
    direct.run(&["stores"]);
    assert_eq!(direct.objects().get(&value_key(NEXT, "a")).unwrap().bytes, b"newer");
    assert_eq!(direct.objects().get(&value_key(STORE, "b")).unwrap().bytes, b"replaced");
    let mut left = objects_of(NEXT, &RECORDS);
    left.insert(value_key(STORE, "b"));
    assert_eq!(found(&direct), left);
}

/// The daemon dies in the middle of a purge of many records; the next mount completes it.
#[test]
fn p14_p21_a_purge_whose_daemon_dies_is_completed_by_the_next_mount() {
    let Some(direct) = Database::fresh() else { return };
    fill(&direct);
    let at = format!("{STORES}/{STORE}");
    direct.objects().ask(&json!({"do": "fill", "prefix": at, "count": 2500, "value": "x"}));
    let proxy = Proxy::to(direct.place.port);
    let through = direct.as_seen_from(direct.place.through(proxy.port()));
    let mut mount = through.mount();
    let purge = mount.store(STORE).join("@purge");
    // The second request that removes objects is held for ever.
    let come = AtomicUsize::new(0);
    let is_second = move |request: &Request| {
        request.method == "POST"
            && request.query.starts_with("delete")
            && come.fetch_add(1, Ordering::SeqCst) > 0
    };
    proxy.befall(usize::MAX, is_second, Fault::Held);
    let purging = thread::spawn(move || std::fs::write(purge, "1"));
    let removes = |request: &&Request| request.query.starts_with("delete");
    crate::common::wait_until("the second is held", || {
        proxy.seen().iter().filter(removes).count() >= 2
    });
    mount.kill();
    proxy.release();
    assert!(purging.join().unwrap().is_err());
    drop(mount);
    let mount = direct.mount();
    crate::common::wait_until("it is completed", || {
        found(&direct) == objects_of(STORE, &["INPUT"])
    });
    drop(mount);
}
