//! What can be opened, and how.

use super::*;

fn refusal(fixture: &Fixture) -> Error {
    open(&fixture.path(), &options()).unwrap_err()
}

#[test]
fn an_absent_file_is_not_made() {
    let fixture = Fixture { directory: TempDir::new().unwrap() };
    let error = refusal(&fixture);
    assert!(error.is_not_found(), "{error}");
    assert!(!fixture.path().exists());
    let error = open(fixture.directory.path(), &options()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn what_is_no_database_of_crawlees_is_refused_in_one_line() {
    let fixture = Fixture { directory: TempDir::new().unwrap() };
    for (bytes, says) in [
        (&b"key,value\n".repeat(1000)[..], "file is not a database"),
        (b"short", "file is not a database"),
        (b"", "it is no database of Crawlee's"),
    ] {
        std::fs::write(fixture.path(), bytes).unwrap();
        let error = refusal(&fixture);
        assert_eq!(kind(&error), BackendErrorKind::Damaged);
        let line = error.to_string();
        assert!(line.contains(says) && !line.contains('\n'), "{line}");
        assert!(line.contains("crawlee.db"), "{line}");
        assert_eq!(std::fs::read(fixture.path()).unwrap(), bytes);
    }
    let other = Fixture::altered("DROP TABLE key_value_store_records");
    assert!(refusal(&other).to_string().contains("key_value_store_records"));
}

#[test]
fn schemas_of_other_releases_work() {
    let new = Fixture::altered(
        "ALTER TABLE key_value_stores ADD COLUMN owner TEXT;
         ALTER TABLE key_value_store_records ADD COLUMN etag INTEGER DEFAULT 7;
         CREATE TABLE buckets (id INTEGER)",
    );
    for fixture in [Fixture::old(), new] {
        let database = fixture.open();
        assert_eq!(database.stores().unwrap().len(), 3);
        put(&database, "default", "k", b"v");
        assert_eq!(bytes(&database, "k"), b"v");
        assert_eq!(database.datasets().unwrap().len(), 2);
    }
}

#[test]
fn a_column_that_has_to_be_given_is_named() {
    let fixture = Fixture::altered(
        "ALTER TABLE key_value_store_records RENAME TO old;
         CREATE TABLE key_value_store_records (
            key_value_store_id TEXT, key TEXT, value BLOB, content_type TEXT, size INTEGER,
            checksum TEXT NOT NULL, PRIMARY KEY (key_value_store_id, key))",
    );
    let database = fixture.open();
    let value = staged(b"v");
    let put = Put {
        internal_name: "default",
        key: "k",
        content_type: "text/plain",
        value: &value,
        size: 1,
        over: PutOver::Anything,
        at: Timestamp::now(),
        durable: false,
    };
    let error = database.put(&put).unwrap_err().to_string();
    assert!(error.contains("checksum") && error.contains("'k'"), "{error}");
}

#[test]
fn a_database_for_reading_only_says_why_and_writes_nothing() {
    let fixture = Fixture::new();
    let options = SqliteOptions { read_only: true, ..options() };
    let database = open(&fixture.path(), &options).unwrap();
    assert!(database.facts().read_only.as_ref().unwrap().contains("reading only"));
    assert_eq!(bytes(&database, "num"), b"42");
    let error = database.delete("default", "num").unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::ReadOnly);
    // What others write is seen.
    put(&fixture.open(), "default", "num", b"43");
    assert_eq!(bytes(&database, "num"), b"43");
}

#[test]
fn the_journal_mode_stays_as_it_is() {
    for mode in ["delete", "truncate", "persist", "wal"] {
        let fixture = Fixture::altered(&format!("PRAGMA journal_mode = {mode}"));
        let database = fixture.open();
        put(&database, "default", "k", b"v");
        let value = staged(b"w");
        let durable = Put {
            internal_name: "default",
            key: "k",
            content_type: "text/plain",
            value: &value,
            size: 1,
            over: PutOver::Anything,
            at: Timestamp::now(),
            durable: true,
        };
        done(database.put(&durable).unwrap());
        database.sync().unwrap();
        assert_eq!(bytes(&database, "k"), b"w");
        let kept: String = fixture.tell("PRAGMA journal_mode");
        // Modes other than WAL are a connection's own, and the next one begins with DELETE.
        assert_eq!(kept == "wal", mode == "wal");
    }
}

#[test]
fn room_is_told() {
    let fixture = Fixture::new();
    let (bytes, free) = fixture.open().space().unwrap();
    assert!(bytes >= 4096 && free.unwrap() > 0);
}

#[test]
fn a_file_that_was_put_in_the_place_of_the_open_one_is_not_taken_for_it() {
    let fixture = Fixture::new();
    let database = fixture.open();
    assert_eq!(bytes(&database, "num"), b"42");
    std::fs::rename(fixture.path(), fixture.directory.path().join("old.db")).unwrap();
    let lost = |database: &SqliteDatabase| {
        let error = database.delete("default", "num").unwrap_err();
        assert_eq!(kind(&error), BackendErrorKind::Unreachable);
        error.to_string()
    };
    assert!(lost(&database).contains("not there any more"));
    let other = Connection::open(fixture.path()).unwrap();
    other.pragma_update(None, "foreign_keys", false).unwrap();
    other.execute_batch(FIXTURE).unwrap();
    assert!(lost(&database).contains("not there any more"));
    assert_eq!(fixture.tell::<i64>("SELECT count(*) FROM key_value_store_records"), 5);
}
