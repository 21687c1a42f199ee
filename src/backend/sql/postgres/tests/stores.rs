//! Stores: each method, on new and old schemas, and what a database is opened as.

use std::ops::ControlFlow;

use super::*;
use crate::backend::sql::database::{Outcome, PurgedRows, Touched};

#[test]
fn stores_are_made_renamed_replaced_and_dropped() {
    let Some((server, name, database)) = with_store() else { return };
    assert!(!database.create_store(&store("s")).unwrap());
    assert!(
        !database.create_store(&StoreRow { internal_name: "x".to_owned(), ..store("s") }).unwrap()
    );
    assert!(database.create_store(&StoreRow { name: None, ..store("t") }).unwrap());
    assert_eq!(database.store("s").unwrap(), Some(store("s")));
    assert_eq!(database.store("x").unwrap(), None);
    let mut all: Vec<_> =
        database.stores().unwrap().into_iter().map(|store| store.internal_name).collect();
    all.sort();
    assert_eq!(all, ["s", "t"]);

    assert_eq!(database.rename_store("s", "t", None).unwrap(), Outcome::Taken);
    assert_eq!(database.rename_store("x", "y", None).unwrap(), Outcome::NoStore);
    assert_eq!(database.rename_store("t", "u", Some("u")).unwrap(), Outcome::Done);
    assert_eq!(database.store("u").unwrap().unwrap().name.as_deref(), Some("u"));

    done(put(&database, "k", b"1", PutOver::Anything).unwrap());
    let new = StoreRow { id: "N".repeat(17), modified_at: at(5), ..store("s") };
    assert_eq!(database.replace_store("s", &new).unwrap(), Outcome::Done);
    assert_eq!(database.store("s").unwrap(), Some(new.clone()));
    assert_eq!(opened_record(&database, "k").bytes.as_deref(), Some(&b"1"[..]));
    assert_eq!(database.replace_store("x", &new).unwrap(), Outcome::NoStore);
    let taken = StoreRow { internal_name: "u".to_owned(), ..new.clone() };
    assert_eq!(database.replace_store("s", &taken).unwrap(), Outcome::Taken);
    let same = StoreRow { accessed_at: at(6), ..new };
    assert_eq!(database.replace_store("s", &same).unwrap(), Outcome::Done);
    assert_eq!(opened_record(&database, "k").bytes.as_deref(), Some(&b"1"[..]));

    assert_eq!(database.drop_store("x", false).unwrap(), Outcome::NoStore);
    assert_eq!(database.drop_store("s", true).unwrap(), Outcome::NotEmpty);
    assert_eq!(database.drop_store("u", true).unwrap(), Outcome::Done);
    done(put(&database, "k", b"2", PutOver::Anything).unwrap());
    assert_eq!(database.drop_store("s", false).unwrap(), Outcome::Done);
    for table in ["key_value_stores", "key_value_store_records", "key_value_store_metadata_buffer"]
    {
        assert_eq!(server.sql(&name, &format!("SELECT count(*) FROM {table}")), "0");
    }
}

#[test]
fn a_purge_spares_folds_and_sets_times() {
    for is_old in [false, true] {
        let Some(server) = server::shared() else { return };
        let name = if is_old { server.old_database() } else { server.database() };
        let database = opened(server, &name);
        assert!(database.create_store(&store("s")).unwrap());
        for key in ["INPUT", "INPUT.json", "a", "b"] {
            done(put(&database, key, b"1", PutOver::Anything).unwrap());
        }
        let spares = |key: &str| key.starts_with("INPUT");
        let purged = database.purge("s", at(9_000_000), &spares).unwrap();
        let mut purged = purged.unwrap();
        purged.spared.sort();
        let spared = vec!["INPUT".to_owned(), "INPUT.json".to_owned()];
        assert_eq!(purged, PurgedRows { spared, removed: 2, bytes: 2 });
        let row = database.store("s").unwrap().unwrap();
        assert_eq!((row.accessed_at, row.modified_at), (at(9_000_000), at(9_000_000)));
        assert_eq!(database.page("s", None, 9).unwrap().unwrap().len(), 2);
        if !is_old {
            let rows = server.sql(&name, "SELECT count(*) FROM key_value_store_metadata_buffer");
            assert_eq!(rows, "0");
        }
        assert_eq!(database.purge("x", at(1), &spares).unwrap(), None);
    }
}

#[test]
fn a_use_is_buffered_or_moves_the_times_forward() {
    let Some(server) = server::shared() else { return };
    for is_old in [false, true] {
        let name = if is_old { server.old_database() } else { server.database() };
        let database = opened(server, &name);
        assert!(database.create_store(&store("s")).unwrap());
        let read = Touched { accessed_at: at(3_000_000), modified_at: None };
        let late = Touched { accessed_at: at(2_000_000), modified_at: Some(at(2_000_000)) };
        for touched in [read, late] {
            assert_eq!(database.touch("s", touched).unwrap(), Outcome::Done);
        }
        let row = database.store("s").unwrap().unwrap();
        assert_eq!((row.accessed_at, row.modified_at), (at(3_000_000), at(2_000_000)));
        assert_eq!(database.stores().unwrap(), [row]);
        assert_eq!(database.touch("x", read).unwrap(), Outcome::NoStore);
        done(put(&database, "k", b"1", PutOver::Anything).unwrap());
        assert_eq!(database.delete("s", "k").unwrap(), Outcome::Done);
        assert_eq!(database.drop_store("s", true).unwrap(), Outcome::Done);
    }
}

#[test]
fn datasets_are_read_in_order_and_may_be_absent() {
    let Some((server, name, database)) = with_store() else { return };
    server.sql(
        &name,
        "INSERT INTO datasets VALUES ('d1', 0, 'one', NULL, now(), now(), now(), NULL), \
         ('d2', 7, 'none', NULL, now(), now(), now(), NULL); \
         INSERT INTO dataset_records (item_id, dataset_id, data) VALUES (3, 'd1', '{\"n\": 3}'), \
         (1, 'd1', '{\"n\": 1}'), (2, 'd1', '[]')",
    );
    let mut all = database.datasets().unwrap();
    all.sort();
    assert_eq!(all, [("none".to_owned(), 0), ("one".to_owned(), 3)]);
    let items = |from, limit| database.dataset_items("one", from, limit).unwrap().unwrap();
    assert_eq!(items(0, 9), ["{\"n\": 1}", "[]", "{\"n\": 3}"]);
    assert_eq!(items(0, 1), ["{\"n\": 1}"]);
    assert_eq!(items(1, 1), ["[]"]);
    assert!(items(3, 1).is_empty());
    assert_eq!(database.dataset_items("none", 0, 9).unwrap(), Some(vec![]));
    assert_eq!(database.dataset_items("other", 0, 9).unwrap(), None);
    let all = |database: &PostgresDatabase, name, most: usize| {
        let mut all = Vec::new();
        let is_there = database.each_item(name, &mut |text| {
            all.push(text);
            let is_enough = all.len() >= most;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        is_there.unwrap().then_some(all)
    };
    assert_eq!(all(&database, "one", 9), Some(items(0, 9)));
    assert_eq!(all(&database, "one", 1), Some(items(0, 1)));
    assert_eq!(all(&database, "none", 9), Some(vec![]));
    assert_eq!(all(&database, "other", 9), None);
    assert!(database.space().unwrap().0 > 1 << 20);

    let old = opened(server, &server.old_database());
    assert_eq!(old.datasets().unwrap(), []);
    assert_eq!(old.dataset_items("one", 0, 9).unwrap(), None);
    assert_eq!(all(&old, "one", 9), None);
}

#[test]
fn a_database_is_opened_as_what_it_is() {
    let Some(server) = server::shared() else { return };
    let name = server.database();
    let database = opened(server, &name);
    assert!(database.facts().server.starts_with("PostgreSQL 1"));
    assert_eq!(database.facts().read_only, None);
    assert!(database.facts().is_remote);

    let empty = server.empty_database();
    let error = open(&server.url(&empty), &PATIENT).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::Unsupported);
    assert!(error.to_string().contains("no database of Crawlee's"), "{error}");
    let error = open(&server.url("absent"), &PATIENT).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");

    let reading = PostgresOptions { read_only: true, ..PATIENT };
    let database = open(&server.url(&name), &reading).unwrap();
    assert!(database.facts().read_only.is_some());
    let error = database.create_store(&store("s")).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::ReadOnly);

    server.sql(&name, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    assert!(opened(server, &name).facts().read_only.is_some());
}

#[test]
fn a_role_that_may_only_read_reads() {
    let Some((server, name, database)) = with_store() else { return };
    done(put(&database, "k", b"1", PutOver::Anything).unwrap());
    let role = format!("reader_{name}");
    server.sql(
        &name,
        &format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
    );
    let reader =
        open(&server.url(&name).replace("postgres@", &format!("{role}@")), &PATIENT).unwrap();
    let why = reader.facts().read_only.clone().unwrap();
    assert!(why.contains(&role), "{why}");
    assert_eq!(opened_record(&reader, "k").bytes.as_deref(), Some(&b"1"[..]));
    assert_eq!(reader.page("s", None, 9).unwrap().unwrap().len(), 1);
    let error = put(&reader, "k", b"2", PutOver::Anything).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::Denied);
}
