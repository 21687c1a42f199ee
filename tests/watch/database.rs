//! A storage in an SQLite database, which tells that others have committed, and not what.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{LONG, counter, make_trusted, size, status, wait_for_size};
use crate::common::sqlite::{make, sql};
use crate::common::{STORES, TempMount, can_mount, skipped, temp_dir};

/// Makes the value of a record, as a client beside the mount does.
fn set(database: &Path, key: &str, value: &str) {
    sql(
        database,
        &format!(
            "PRAGMA busy_timeout = 30000; INSERT INTO key_value_store_records \
             (key_value_store_id, key, value, content_type, size) \
             VALUES ('abcdefghijklmnopq', '{key}', '{value}', 'text/plain', length('{value}')) \
             ON CONFLICT DO UPDATE SET value = excluded.value, size = excluded.size;"
        ),
    );
}

#[test]
fn p02_what_others_commit_to_a_database_is_seen_although_names_are_trusted() {
    if !can_mount() {
        return;
    }
    let directory = temp_dir();
    let database = directory.path().join("crawlee.db");
    make(&database);
    sql(
        &database,
        "INSERT INTO key_value_stores \
         (key_value_store_id, internal_name, name, accessed_at, created_at, modified_at) \
         VALUES ('abcdefghijklmnopq', 's', 's', '2026-01-01 00:00:00.000000', \
         '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000');",
    );
    set(&database, "k", "value");
    let mount = TempMount::configured(&database, |command| {
        command.args(LONG);
    });
    let told = status(&mount);
    if told["watching"] != true {
        let reason = told["watch"]["reason"].as_str().unwrap();
        assert!(reason.contains("kernel"), "not watched: {reason}");
        return skipped(reason);
    }
    let store = mount.path().join(STORES).join("s");
    let k = store.join("k");
    make_trusted(&k);
    let epochs = counter(&mount, "epochs");
    // What this mount does itself is nobody else's.
    for round in 0..20 {
        fs::write(store.join("own"), format!("{round}")).unwrap();
        assert_eq!(size(&k), Some(5));
    }
    // It is looked twenty times a second.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(counter(&mount, "epochs"), epochs);

    let begun = Instant::now();
    set(&database, "k", "another value");
    wait_for_size(&k, Some(13));
    println!("seen after {:?}", begun.elapsed());
    assert_eq!(fs::read(&k).unwrap(), b"another value");
    // A database that is written again and again is not told of each time, and what is in it is seen.
    for round in 0..10 {
        set(&database, "k", &"x".repeat(20 + round));
        wait_for_size(&k, Some(20 + round as u64));
    }
    assert_eq!(counter(&mount, "epochs"), epochs + 1);
}
