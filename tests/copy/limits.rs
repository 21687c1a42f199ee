//! What a target cannot take is told record by record, and the rest goes on.

use super::*;

/// Copies what fails in part: exit status 1, and a line for each failure with these words in it, in any order.
#[track_caller]
fn failing(from: &str, to: &str, options: &[&str], words: &[&[&str]]) -> [u64; 4] {
    let output = copy(from, to, &[&["--json"], options].concat());
    let said = complaints(&output);
    assert_eq!((output.status.code(), said.len()), (Some(1), words.len()), "{said:?}");
    for words in words {
        let fits = |line: &String| words.iter().all(|word| line.contains(word));
        assert!(said.iter().any(fits), "{words:?}: {said:?}");
    }
    counts(&output)
}

#[test]
fn what_a_database_cannot_keep_is_told_before_it_is_sent() {
    let storage = TempStorage::empty();
    let source = text(&storage.path());
    fill(&source, "s", &[("fits", b"x", "text/plain"), ("nul\0", b"x", "text/plain")]);
    // Longer than any value in SQLite; it takes no room.
    fill(&source, "s", &[("large", b"x", "application/octet-stream")]);
    let large = fs::OpenOptions::new().write(true).open(storage.store("s").join("large")).unwrap();
    large.set_len(1_000_000_000).unwrap();
    let (_dir, database) = database();
    let words: &[&[&str]] = &[
        &["record 'nul", "of store 's' is not copied", "NUL"],
        &["record 'large' of store 's'", "1000000000 bytes"],
    ];
    assert_eq!(failing(&source, &database, &["--dry-run"], words), [1, 0, 0, 2]);
    assert_eq!(failing(&source, &database, &[], words), [1, 0, 0, 2]);
    assert_eq!(failing(&source, &database, &["--purge"], words), [0, 1, 0, 2]);
    assert_eq!(keys(&database, "s"), ["fits"]);
}

/// SQLite keeps keys that the client's tables were not meant for.
fn add_long_key(database: &str) {
    let sql = format!(
        "INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
         SELECT key_value_store_id, '{}', x'00', 'a/b', 1 FROM key_value_stores",
        "k".repeat(300)
    );
    sqlite::sql(database.as_ref(), &sql);
}

#[cfg(feature = "postgres")]
#[test]
fn what_a_server_cannot_keep_is_told() {
    let Some(server) = postgres::shared() else { return };
    let (_dir, database) = database();
    let long_type = format!("text/plain; x={}", "y".repeat(60));
    fill(&database, "s", &[("fits", b"x", "text/plain"), ("typed", b"x", &long_type)]);
    add_long_key(&database);
    let target = server.url(&server.database());
    let words: &[&[&str]] =
        &[&["record 'typed' of store 's' is not copied", "at most 50"], &["kkk", "too long"]];
    assert_eq!(failing(&database, &target, &["--dry-run"], words), [1, 0, 0, 2]);
    assert_eq!(failing(&database, &target, &[], words), [1, 0, 0, 2]);
    assert_eq!(keys(&target, "s"), ["fits"]);
}

#[test]
fn what_a_directory_cannot_keep_is_told() {
    let (_dir, database) = database();
    fill(&database, "s", &[("fits", b"x", "text/plain"), (&"ž".repeat(100), b"x", "text/plain")]);
    add_long_key(&database);
    let target = TempStorage::empty();
    let words: &[&[&str]] = &[&["ž", "too long"], &["kkk", "too long"]];
    assert_eq!(failing(&database, &text(&target.path()), &[], words), [1, 0, 0, 2]);
}

#[test]
fn a_store_whose_id_is_taken_gets_another() {
    let (storage, target) = (TempStorage::empty(), database());
    let source = text(&storage.path());
    fill(&source, "one", &[("k", b"x", "text/plain")]);
    let metadata = held(&source)["one"].0.clone();
    fill(&target.1, "other", &[]);
    let sql = format!(
        "UPDATE key_value_stores SET key_value_store_id = '{}'",
        metadata.id.clone().unwrap()
    );
    sqlite::sql(target.1.as_ref(), &sql);
    assert_eq!(failing(&source, &target.1, &[], &[&["store 'one'", "new id"]]), [1, 0, 0, 1]);
    let got = held(&target.1)["one"].0.clone();
    assert_ne!(got.id, metadata.id);
    assert_eq!((got.name, got.times), (metadata.name, metadata.times));
}

#[test]
fn damaged_metadata_hold_up_no_record() {
    let storage = TempStorage::empty();
    let source = text(&storage.path());
    fill(&source, "s", &[("k", b"x", "text/plain")]);
    fs::write(storage.store("s").join("__metadata__.json"), "{").unwrap();
    let (_dir, database) = database();
    assert_eq!(
        failing(&source, &database, &[], &[&["metadata of store 's' is damaged"]]),
        [1, 0, 0, 1]
    );
}
