//! Records: each method, and what it leaves in the tables.

use super::*;
use crate::backend::sql::database::{Outcome, Rename};

#[test]
fn a_record_is_put_and_found_with_its_buffered_row() {
    let Some((server, name, database)) = with_store() else { return };
    let row = done(put(&database, "k", b"one", PutOver::Anything).unwrap());
    assert_eq!((row.key.as_str(), row.size, row.content_type.as_str()), ("k", 3, "text/plain"));
    assert_eq!(found(database.head("s", "k").unwrap()), row);
    let opened = opened_record(&database, "k");
    assert_eq!((opened.row, opened.bytes.as_deref()), (row.clone(), Some(&b"one"[..])));

    // What is known, or larger than wanted, does not come along.
    let known = found(database.open("s", "k", 1 << 20, row.version).unwrap());
    assert_eq!((known.row.version, known.bytes), (row.version, None));
    assert_eq!(found(database.open("s", "k", 2, None).unwrap()).bytes, None);
    assert_eq!(
        found(database.open("s", "k", 3, None).unwrap()).bytes.as_deref(),
        Some(&b"one"[..])
    );

    let again = done(put(&database, "k", b"", PutOver::Anything).unwrap());
    assert_ne!(again.version, row.version);
    assert_eq!(opened_record(&database, "k").bytes.as_deref(), Some(&b""[..]));
    let columns =
        "SELECT key, encode(value, 'escape'), content_type, size FROM key_value_store_records";
    assert_eq!(server.sql(&name, columns), "k||text/plain|0");
    let buffer = "SELECT key_value_store_id, extract(epoch FROM accessed_at)::int, \
         accessed_at = modified_at FROM key_value_store_metadata_buffer";
    assert_eq!(
        server.sql(&name, buffer),
        "saaaaaaaaaaaaaaaa|2000000|t\nsaaaaaaaaaaaaaaaa|2000000|t"
    );
    assert_eq!(database.store("s").unwrap().unwrap().modified_at, at(2_000_000));
}

#[test]
fn what_is_not_there_is_told_apart() {
    let Some((_, _, database)) = with_store() else { return };
    assert!(matches!(database.head("s", "k").unwrap(), Lookup::NoRecord));
    assert!(matches!(database.head("t", "k").unwrap(), Lookup::NoStore));
    assert!(matches!(database.open("s", "k", 9, None).unwrap(), Lookup::NoRecord));
    assert!(matches!(database.open("t", "k", 9, None).unwrap(), Lookup::NoStore));
    assert_eq!(database.page("s", None, 9).unwrap(), Some(vec![]));
    assert_eq!(database.page("t", None, 9).unwrap(), None);
    assert_eq!(database.page("t", Some("k"), 9).unwrap(), None);
    assert_eq!(database.delete("s", "k").unwrap(), Outcome::NoRecord);
    assert_eq!(database.delete("t", "k").unwrap(), Outcome::NoStore);
    assert!(matches!(database.set_type("s", "k", "a/b").unwrap(), Written::NoRecord));
    assert!(matches!(database.set_type("t", "k", "a/b").unwrap(), Written::NoStore));
}

#[test]
fn conditions_of_a_put_are_kept() {
    let Some((server, name, database)) = with_store() else { return };
    let first = done(put(&database, "k", b"1", PutOver::Nothing).unwrap());
    let first = first.version.unwrap();
    assert!(matches!(put(&database, "k", b"2", PutOver::Nothing).unwrap(), Written::Refused));
    let second = done(put(&database, "k", b"2", PutOver::Version(first)).unwrap());
    assert!(matches!(
        put(&database, "k", b"3", PutOver::Version(first)).unwrap(),
        Written::Refused
    ));
    assert_eq!(opened_record(&database, "k").row.version, second.version);
    let gone = put(&database, "none", b"3", PutOver::Version(first)).unwrap();
    assert!(matches!(gone, Written::NoRecord));
    // What was refused has left no buffered row.
    let rows = server.sql(&name, "SELECT count(*) FROM key_value_store_metadata_buffer");
    assert_eq!(rows, "2");
    assert_eq!(database.drop_store("s", false).unwrap(), Outcome::Done);
    for over in [PutOver::Anything, PutOver::Nothing, PutOver::Version(first)] {
        assert!(matches!(put(&database, "k", b"4", over).unwrap(), Written::NoStore));
    }
}

#[test]
fn a_type_changes_and_the_value_stays() {
    let Some((server, name, database)) = with_store() else { return };
    let old = done(put(&database, "k", b"one", PutOver::Anything).unwrap());
    let new = done(database.set_type("s", "k", "text/css").unwrap());
    assert_ne!(new.version, old.version);
    let opened = opened_record(&database, "k");
    assert_eq!((opened.row, opened.bytes.as_deref()), (new, Some(&b"one"[..])));
    assert_eq!(database.delete("s", "k").unwrap(), Outcome::Done);
    assert!(matches!(database.head("s", "k").unwrap(), Lookup::NoRecord));
    let rows = server.sql(&name, "SELECT count(modified_at) FROM key_value_store_metadata_buffer");
    assert_eq!(rows, "3");
}

#[test]
fn a_record_moves_over_another_and_to_another_store() {
    let Some((server, name, database)) = with_store() else { return };
    assert!(database.create_store(&store("t")).unwrap());
    done(put(&database, "a", b"one", PutOver::Anything).unwrap());
    done(put(&database, "b", b"three", PutOver::Anything).unwrap());
    server.sql(&name, "DELETE FROM key_value_store_metadata_buffer");
    let rename = Rename {
        from_store: "s",
        from_key: "a",
        to_store: "s",
        to_key: "b",
        content_type: "text/css",
        replace: false,
        at: at(3_000_000),
    };
    assert!(matches!(database.rename(&rename).unwrap(), Written::Refused));
    assert_eq!(server.sql(&name, "SELECT count(*) FROM key_value_store_metadata_buffer"), "0");
    let moved = done(database.rename(&Rename { replace: true, ..rename }).unwrap());
    assert_eq!((moved.key.as_str(), moved.size), ("b", 3));
    assert_eq!(found(database.head("s", "b").unwrap()), moved);
    assert!(matches!(database.head("s", "a").unwrap(), Lookup::NoRecord));
    assert!(matches!(database.rename(&rename).unwrap(), Written::NoRecord));
    let buffer = "SELECT count(*), extract(epoch FROM max(modified_at))::int FROM key_value_store_metadata_buffer";
    assert_eq!(server.sql(&name, buffer), "1|3000000");

    let across = Rename { from_key: "b", to_store: "t", to_key: "c", replace: false, ..rename };
    done(database.rename(&across).unwrap());
    assert_eq!(found(database.head("t", "c").unwrap()).size, 3);
    assert_eq!(server.sql(&name, buffer), "3|3000000");
    let nowhere = Rename { from_store: "t", from_key: "c", to_store: "u", ..across };
    assert!(matches!(database.rename(&nowhere).unwrap(), Written::NoStore));
    // To itself, it is a change of the type.
    let itself =
        Rename { from_store: "t", from_key: "c", to_store: "t", content_type: "a/b", ..across };
    assert_eq!(done(database.rename(&itself).unwrap()).content_type, "a/b");
}

#[test]
fn pages_are_in_the_order_of_the_server() {
    let Some(server) = server::shared() else { return };
    let keys = ["B", "_", "a", "k ey", "\u{c9}", "zz"];
    for name in [server.database(), server.icu_database()] {
        let database = opened(server, &name);
        assert!(database.create_store(&store("s")).unwrap());
        for key in keys {
            done(put(&database, key, key.as_bytes(), PutOver::Anything).unwrap());
        }
        let wanted = server.sql(&name, "SELECT key FROM key_value_store_records ORDER BY key");
        for limit in 1..8 {
            let mut listed: Vec<String> = Vec::new();
            loop {
                let after = listed.last().cloned();
                let page = database.page("s", after.as_deref(), limit).unwrap().unwrap();
                assert!(page.iter().all(|row| row.size == row.key.len() as u64));
                let is_last = page.len() < limit;
                listed.extend(page.into_iter().map(|row| row.key));
                if is_last {
                    break;
                }
            }
            assert_eq!(listed.join("\n"), wanted);
        }
    }
}

#[test]
fn times_of_commits_are_told_where_the_server_keeps_them() {
    let Some(server) = server::own(&["track_commit_timestamp=on"]) else { return };
    let name = server.database();
    let database = opened(&server, &name);
    assert!(database.create_store(&store("s")).unwrap());
    let before = Timestamp::now();
    let row = done(put(&database, "k", b"one", PutOver::Anything).unwrap());
    let told = row.committed_at.unwrap();
    assert!(before.as_second() - 1 <= told.as_second() && told <= Timestamp::now());
    assert_eq!(found(database.head("s", "k").unwrap()), row);
    assert_eq!(database.page("s", None, 9).unwrap().unwrap(), std::slice::from_ref(&row));
    let row = done(database.set_type("s", "k", "a/b").unwrap());
    assert_eq!(found(database.head("s", "k").unwrap()), row);
    assert!(row.committed_at.is_some());
    // The time of a transaction from before the server kept them is not known, and no failure.
    server.sql(&name, "VACUUM FREEZE");
    found(database.head("s", "k").unwrap());
}

#[test]
fn what_is_too_long_is_refused_by_its_kind() {
    let Some((_, _, database)) = with_store() else { return };
    assert_eq!((database.facts().most_key_chars, database.facts().most_type_chars), (255, 50));
    let error = put(&database, &"k".repeat(256), b"", PutOver::Anything).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::TooLarge);
    let value = tempfile::tempfile().unwrap();
    let error = database
        .put(&Put {
            internal_name: "s",
            key: "k",
            content_type: "a/b",
            value: &value,
            size: database.facts().most_value_bytes + 1,
            over: PutOver::Anything,
            at: at(1),
            durable: false,
        })
        .unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::TooLarge);
    // The connection is as good as before.
    done(put(&database, "k", b"1", PutOver::Anything).unwrap());
}
