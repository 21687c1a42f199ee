//! Records, one at a time and in pages.

use super::*;
use crate::backend::sql::database::{Outcome, Rename};

fn rename<'a>(from: (&'a str, &'a str), to: (&'a str, &'a str)) -> Rename<'a> {
    Rename {
        from_store: from.0,
        from_key: from.1,
        to_store: to.0,
        to_key: to.1,
        content_type: "text/html",
        replace: true,
        at: Timestamp::now(),
    }
}

#[test]
fn what_the_client_wrote_is_read() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let opened = opened(&database, "INPUT", None);
    assert_eq!(opened.row.content_type, "application/json; charset=utf-8");
    assert_eq!(opened.row.size, 39);
    assert_eq!(
        opened.bytes.unwrap(),
        "{\"url\": \"https://example.com\", \"\u{17e}\": 1}".as_bytes()
    );
    assert_eq!(bytes(&database, "none"), b"");
    assert_eq!(bytes(&database, "bin"), [0, 1, 255]);
    assert!(matches!(database.head("default", "no").unwrap(), Lookup::NoRecord));
    assert!(matches!(database.head("no", "num").unwrap(), Lookup::NoStore));
}

#[test]
fn what_is_written_is_what_the_client_writes() {
    for fixture in [Fixture::new(), Fixture::old()] {
        let database = fixture.open();
        let value = staged("\u{17e}lu\u{165}".as_bytes());
        let put = Put {
            internal_name: "default",
            key: "k",
            content_type: "text/plain; charset=utf-8",
            value: &value,
            size: 6,
            over: PutOver::Anything,
            at: moment("2126-11-24T09:04:42.907462Z"),
            durable: true,
        };
        let row = done(database.put(&put).unwrap());
        assert_eq!((row.size, row.content_type.as_str()), (6, "text/plain; charset=utf-8"));
        let record: String = fixture.tell(
            "SELECT typeof(value) || hex(value) || content_type || size || typeof(size) \
             FROM key_value_store_records WHERE key = 'k'",
        );
        assert_eq!(record, "blobC5BE6C75C5A5text/plain; charset=utf-86integer");
        let store = database.store("default").unwrap().unwrap();
        assert_eq!((store.accessed_at, store.modified_at), (put.at, put.at));
    }
    let fixture = Fixture::new();
    put(&fixture.open(), "default", "k", b"v");
    let times: String = fixture.tell(
        "SELECT key_value_store_id || (accessed_at = modified_at) || length(accessed_at) \
         FROM key_value_store_metadata_buffer ORDER BY id DESC LIMIT 1",
    );
    assert_eq!(times, "J2hIKIX5qjuXDtroT126");
}

#[test]
fn a_version_takes_the_place_of_what_it_may() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let over = |bytes: &[u8], over| put_over(&database, "default", "k", bytes, over);
    let first = done(over(b"1", PutOver::Nothing));
    assert!(matches!(over(b"2", PutOver::Nothing), Written::Refused));
    let version = PutOver::Version(first.version.unwrap());
    let second = done(over(b"2", version));
    assert_ne!(first.version, second.version);
    assert!(matches!(over(b"3", version), Written::Refused));
    // Another connection puts the first one back: the same bytes are the same version.
    let sql = "UPDATE key_value_store_records SET value = x'31' WHERE key = 'k'";
    fixture.other().execute_batch(sql).unwrap();
    done(over(b"3", version));
    database.delete("default", "k").unwrap();
    assert!(matches!(over(b"4", version), Written::NoRecord));
    let nowhere = put_over(&database, "no", "k", b"", PutOver::Anything);
    assert!(matches!(nowhere, Written::NoStore));
    assert_eq!(
        fixture.tell::<i64>("SELECT count(*) FROM key_value_store_records WHERE key='k'"),
        0
    );
}

#[test]
fn a_type_is_changed_alone() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let before = opened(&database, "bin", None).row.version;
    let rows: i64 = fixture.tell("SELECT count(*) FROM key_value_store_metadata_buffer");
    let row = done(database.set_type("default", "bin", "image/png").unwrap());
    assert_eq!((row.version, row.content_type.as_str(), row.size), (before, "image/png", 3));
    assert_eq!(opened(&database, "bin", None).row, row);
    let now: i64 = fixture.tell("SELECT count(*) FROM key_value_store_metadata_buffer");
    assert_eq!(now, rows + 1);
    assert!(matches!(database.set_type("default", "no", "a/b").unwrap(), Written::NoRecord));
    assert!(matches!(database.set_type("no", "no", "a/b").unwrap(), Written::NoStore));
}

#[test]
fn a_delete_leaves_a_note_only_if_something_went() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let notes = || fixture.tell::<i64>("SELECT count(*) FROM key_value_store_metadata_buffer");
    let before = notes();
    assert_eq!(database.delete("default", "no").unwrap(), Outcome::NoRecord);
    assert_eq!(database.delete("no", "num").unwrap(), Outcome::NoStore);
    assert_eq!(notes(), before);
    assert_eq!(database.delete("default", "num").unwrap(), Outcome::Done);
    assert_eq!(notes(), before + 1);
}

#[test]
fn a_record_moves_with_its_row() {
    let fixture = Fixture::altered(
        "PRAGMA journal_mode = WAL;
         ALTER TABLE key_value_store_records ADD COLUMN tag TEXT DEFAULT 'x';
         UPDATE key_value_store_records SET tag = 'mine' WHERE key = 'num'",
    );
    let database = fixture.open();
    let before = opened(&database, "num", None).row.version;
    let to = rename(("default", "num"), ("my-store", "a/b c"));
    assert!(matches!(database.rename(&Rename { replace: false, ..to }).unwrap(), Written::Refused));
    let row = done(database.rename(&to).unwrap());
    assert_eq!((row.version, row.content_type.as_str()), (before, "text/html"));
    let tag: String = fixture.tell("SELECT tag FROM key_value_store_records WHERE key = 'a/b c'");
    assert_eq!(tag, "mine");
    assert!(matches!(database.head("default", "num").unwrap(), Lookup::NoRecord));
    let noted: i64 = fixture.tell(
        "SELECT count(DISTINCT key_value_store_id) FROM key_value_store_metadata_buffer WHERE id > 6",
    );
    assert_eq!(noted, 2);
    assert!(matches!(database.rename(&to).unwrap(), Written::NoRecord));
    let own = rename(("default", "bin"), ("default", "bin"));
    let row = done(database.rename(&own).unwrap());
    assert_eq!(row.content_type, "application/octet-stream");
    let nowhere = rename(("default", "bin"), ("no", "bin"));
    assert!(matches!(database.rename(&nowhere).unwrap(), Written::NoStore));
}

#[test]
fn pages_follow_one_another() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let page = |after, limit| {
        let rows = database.page("default", after, limit).unwrap().unwrap();
        rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3), ["INPUT", "bin", "none"]);
    assert_eq!(page(Some("none"), 3), ["num"]);
    assert_eq!(page(Some("zz"), 3), Vec::<String>::new());
    assert!(database.page("no", None, 3).unwrap().is_none());
    let rows = database.page("default", None, 9).unwrap().unwrap();
    for row in rows {
        let Lookup::Found(head) = database.head("default", &row.key).unwrap() else { panic!() };
        assert_eq!(head, row);
        assert_eq!(opened(&database, &row.key, None).row, row);
    }
}

#[test]
fn a_page_is_read_in_the_order_of_the_primary_key() {
    let fixture = Fixture::new();
    for condition in ["key > 'a'", "key >= ''"] {
        let plan: String = fixture
            .other()
            .query_row(
                &format!(
                    "EXPLAIN QUERY PLAN SELECT key, octet_length(value) FROM key_value_store_records \
                     WHERE key_value_store_id = 'x' AND {condition} ORDER BY key LIMIT 10"
                ),
                [],
                |row| row.get(3),
            )
            .unwrap();
        assert!(plan.contains("autoindex"), "{plan}");
    }
}

#[test]
fn values_that_were_written_as_text_are_bytes_too() {
    let fixture = Fixture::new();
    let long = "\u{17e}".repeat(100_000);
    fixture
        .other()
        .execute(
            "INSERT INTO key_value_store_records VALUES \
             ('J2hIKIX5qjuXDtroT', 't', '\u{17e}x', 'text/plain', 2), \
             ('J2hIKIX5qjuXDtroT', 'l', ?1, 'text/plain', 0), \
             ('J2hIKIX5qjuXDtroT', 'n', 12, 'text/plain', 0)",
            [&long],
        )
        .unwrap();
    let database = fixture.open();
    assert_eq!(opened(&database, "t", None).row.size, 3);
    assert_eq!(bytes(&database, "t"), "\u{17e}x".as_bytes());
    assert_eq!(bytes(&database, "n"), b"12");
    let row = opened(&database, "l", None).row;
    assert_eq!(row.size, 200_000);
    assert_eq!(streamed(&database, "l", row.version.unwrap()), long.as_bytes());
}

#[test]
fn a_large_value_goes_in_and_out_in_parts() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let large: Vec<u8> = (0..5_000_001_u32).map(|at| (at / 7) as u8).collect();
    let made = put(&database, "default", "large", &large);
    assert_eq!(made.size, 5_000_001);
    let version = made.version.unwrap();
    let found = opened(&database, "large", None);
    assert_eq!((found.row.version, found.bytes), (Some(version), None));
    assert_eq!(streamed(&database, "large", version), large);
    // Another opening of the database has another key for its versions.
    let again = fixture.open();
    let theirs = opened(&again, "large", None).row.version.unwrap();
    assert_eq!(streamed(&again, "large", theirs), large);
    let mut parts = 0;
    let mut sink = |part: &[u8]| {
        assert!(part.len() <= 1 << 20);
        parts += 1;
        Ok(())
    };
    database.stream("default", "large", version, &mut sink).unwrap();
    assert!(parts >= 5);
    put(&database, "default", "large", &large[1..]);
    let replaced = database.stream("default", "large", version, &mut |_| panic!("a part"));
    assert!(matches!(replaced.unwrap_err(), Error::RecordReplaced { .. }));
}

#[test]
fn what_is_too_large_is_told_before_anything_is_written() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let value = staged(b"");
    value.set_len(1_000_000_001).unwrap();
    let put = Put {
        internal_name: "default",
        key: "k",
        content_type: "text/plain",
        value: &value,
        size: 1_000_000_001,
        over: PutOver::Anything,
        at: Timestamp::now(),
        durable: false,
    };
    assert_eq!(kind(&database.put(&put).unwrap_err()), BackendErrorKind::TooLarge);
    assert!(matches!(database.head("default", "k").unwrap(), Lookup::NoRecord));
}
