//! Stores, their times, purge and drop; datasets.

use std::ops::ControlFlow;

use super::*;
use crate::backend::sql::database::{Outcome, PurgedRows, StoreRow, Touched};

const AT: &str = "2126-01-02T03:04:05.678901Z";

fn store(id: &str, internal_name: &str, name: Option<&str>) -> StoreRow {
    StoreRow {
        id: id.to_owned(),
        internal_name: internal_name.to_owned(),
        name: name.map(str::to_owned),
        created_at: moment("2126-01-01T00:00:00Z"),
        accessed_at: moment("2126-01-03T00:00:00.000001Z"),
        modified_at: moment("2126-01-02T00:00:00Z"),
    }
}

#[test]
fn the_clients_stores_have_the_times_of_their_buffers() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let mut stores = database.stores().unwrap();
    stores.sort_by(|one, other| one.internal_name.cmp(&other.internal_name));
    let names: Vec<_> =
        stores.iter().map(|it| (it.internal_name.as_str(), it.name.as_deref())).collect();
    assert_eq!(names, [("default", None), ("my-store", Some("my-store")), ("runlocal", None)]);
    let default = &stores[0];
    assert_eq!(default.created_at, moment("2026-11-30T10:42:03.512291Z"));
    assert_eq!(default.modified_at, moment("2026-11-30T10:42:03.543584Z"));
    assert_eq!(default.accessed_at, moment("2026-11-30T10:42:03.549337Z"));
    assert_eq!(stores[2].accessed_at, stores[2].created_at);
    assert_eq!(database.store("default").unwrap().as_ref(), Some(default));
    assert_eq!(database.store("no").unwrap(), None);
}

#[test]
fn a_use_is_noted() {
    for fixture in [Fixture::new(), Fixture::old()] {
        let database = fixture.open();
        let before = database.store("default").unwrap().unwrap();
        let touch = |accessed_at, modified_at| {
            database.touch("default", Touched { accessed_at, modified_at }).unwrap()
        };
        assert_eq!(touch(moment(AT), None), Outcome::Done);
        let read = database.store("default").unwrap().unwrap();
        assert_eq!((read.accessed_at, read.modified_at), (moment(AT), before.modified_at));
        assert_eq!(touch(Timestamp::UNIX_EPOCH, Some(Timestamp::UNIX_EPOCH)), Outcome::Done);
        assert_eq!(database.store("default").unwrap().unwrap(), read);
        assert_eq!(touch(moment(AT), Some(moment(AT))), Outcome::Done);
        assert_eq!(database.store("default").unwrap().unwrap().modified_at, moment(AT));
        let touched = Touched { accessed_at: moment(AT), modified_at: None };
        assert_eq!(database.touch("no", touched).unwrap(), Outcome::NoStore);
    }
}

#[test]
fn the_last_change_is_told_over_rows_that_come_and_go() {
    for fixture in [Fixture::new(), Fixture::old()] {
        let database = fixture.open();
        let whole = || database.store("default").unwrap().unwrap().modified_at;
        let touch = |at: &str| {
            let (accessed_at, modified_at) = (moment(at), Some(moment(at)));
            database.touch("default", Touched { accessed_at, modified_at }).unwrap();
        };
        let first = database.changed("default", None).unwrap().unwrap();
        assert_eq!(first.at, whole());
        touch("2126-01-02T00:00:00Z");
        let second = database.changed("default", Some(&first)).unwrap().unwrap();
        assert_eq!((second.at, whole()), (moment("2126-01-02T00:00:00Z"), second.at));
        // Its own row has the time after a fold, and the numbers begin anew.
        if fixture.tell::<bool>(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name LIKE '%value_store_metadata%')",
        ) {
            fixture.other().execute_batch(
                "UPDATE key_value_stores SET modified_at = '2126-01-02 00:00:00' WHERE internal_name = 'default'; \
                 DELETE FROM key_value_store_metadata_buffer",
            ).unwrap();
        }
        touch("2126-01-03T00:00:00Z");
        let third = database.changed("default", Some(&second)).unwrap().unwrap();
        assert_eq!((third.at, whole()), (moment("2126-01-03T00:00:00Z"), third.at));
        assert_eq!(database.changed("default", Some(&third)).unwrap(), Some(third));
        assert_eq!(database.changed("no", None).unwrap(), None);
    }
}

#[test]
fn notes_are_folded_before_they_are_many() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let touched = Touched { accessed_at: moment(AT), modified_at: Some(moment(AT)) };
    for _ in 0..1100 {
        database.touch("default", touched).unwrap();
    }
    let notes: i64 = fixture.tell(
        "SELECT count(*) FROM key_value_store_metadata_buffer \
         WHERE key_value_store_id = 'J2hIKIX5qjuXDtroT'",
    );
    assert!(notes < 200, "{notes}");
    let folded: String =
        fixture.tell("SELECT modified_at FROM key_value_stores WHERE internal_name = 'default'");
    assert_eq!(folded, "2126-01-02 03:04:05.678901");
    // Another store's are its own.
    let others: i64 = fixture.tell(
        "SELECT count(*) FROM key_value_store_metadata_buffer \
         WHERE key_value_store_id = 'rDrUAXgiBcHZdsMxl'",
    );
    assert_eq!(others, 1);
}

#[test]
fn a_store_is_made_once() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let made = store("AbCdEfGhIjKlMnOp1", "new", Some("new"));
    assert!(database.create_store(&made).unwrap());
    assert_eq!(database.store("new").unwrap(), Some(made.clone()));
    assert!(!database.create_store(&made).unwrap());
    assert!(!database.create_store(&store(&made.id, "other", None)).unwrap());
    assert!(!database.create_store(&store("AbCdEfGhIjKlMnOp2", "new", None)).unwrap());
    assert!(!database.create_store(&store("AbCdEfGhIjKlMnOp2", "other", Some("new"))).unwrap());
    assert_eq!(database.stores().unwrap().len(), 4);
}

#[test]
fn a_row_is_replaced_and_its_records_stay() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let row = store("AbCdEfGhIjKlMnOp1", "moved", Some("moved"));
    assert_eq!(database.replace_store("no", &row).unwrap(), Outcome::NoStore);
    for taken in [
        store("rDrUAXgiBcHZdsMxl", "moved", None),
        store(&row.id, "my-store", None),
        store(&row.id, "moved", Some("my-store")),
    ] {
        assert_eq!(database.replace_store("default", &taken).unwrap(), Outcome::Taken);
    }
    assert_eq!(database.replace_store("default", &row).unwrap(), Outcome::Done);
    assert_eq!(database.store("moved").unwrap(), Some(row.clone()));
    assert_eq!(database.page("moved", None, 9).unwrap().unwrap().len(), 4);
    let left: i64 = fixture.tell(
        "SELECT (SELECT count(*) FROM key_value_store_records WHERE key_value_store_id = 'J2hIKIX5qjuXDtroT') \
         + (SELECT count(*) FROM key_value_store_metadata_buffer WHERE key_value_store_id = 'J2hIKIX5qjuXDtroT')",
    );
    assert_eq!(left, 0);
    let same = StoreRow { name: None, ..row };
    assert_eq!(database.replace_store("moved", &same).unwrap(), Outcome::Done);
    assert_eq!(database.store("moved").unwrap(), Some(same));
}

#[test]
fn a_store_is_renamed() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let rename = |from: &str, to: &str| database.rename_store(from, to, Some(to)).unwrap();
    assert_eq!(rename("no", "new"), Outcome::NoStore);
    assert_eq!(rename("runlocal", "my-store"), Outcome::Taken);
    assert_eq!(rename("runlocal", "new"), Outcome::Done);
    let renamed = database.store("new").unwrap().unwrap();
    assert_eq!(renamed.name.as_deref(), Some("new"));
    assert_eq!(rename("new", "new"), Outcome::Done);
    assert_eq!(database.store("runlocal").unwrap(), None);
}

#[test]
fn a_store_is_removed_with_all_that_it_has() {
    for fixture in [Fixture::new(), Fixture::old()] {
        let database = fixture.open();
        assert_eq!(database.drop_store("no", false).unwrap(), Outcome::NoStore);
        assert_eq!(database.drop_store("default", true).unwrap(), Outcome::NotEmpty);
        assert_eq!(database.page("default", None, 9).unwrap().unwrap().len(), 4);
        assert_eq!(database.drop_store("default", false).unwrap(), Outcome::Done);
        assert_eq!(database.drop_store("runlocal", true).unwrap(), Outcome::Done);
        let names: Vec<_> =
            database.stores().unwrap().into_iter().map(|it| it.internal_name).collect();
        assert_eq!(names, ["my-store"]);
        let records: i64 = fixture.tell("SELECT count(*) FROM key_value_store_records");
        assert_eq!(records, 1);
    }
    let fixture = Fixture::new();
    fixture.open().drop_store("default", false).unwrap();
    let notes: i64 = fixture.tell("SELECT count(*) FROM key_value_store_metadata_buffer");
    assert_eq!(notes, 1);
}

#[test]
fn a_purge_leaves_what_is_spared() {
    for fixture in [Fixture::new(), Fixture::old()] {
        let database = fixture.open();
        put(&database, "default", "odd ' \" \\ \u{e9}", b"v");
        let spares = |key: &str| key == "INPUT" || key.starts_with("odd");
        let rows = database.page("default", None, 9).unwrap().unwrap();
        let bytes_of = |is_spared| {
            rows.iter().filter(|row| spares(&row.key) == is_spared).map(|row| row.size).sum::<u64>()
        };
        let (bytes, rest) = (bytes_of(false), bytes_of(true));
        let purged = database.purge("default", moment(AT), &spares);
        let mut purged = purged.unwrap().unwrap();
        purged.spared.sort();
        let spared = vec!["INPUT".to_owned(), "odd ' \" \\ \u{e9}".to_owned()];
        assert_eq!(purged, PurgedRows { spared: spared.clone(), removed: 3, bytes });
        let left = database.page("default", None, 9).unwrap().unwrap();
        assert_eq!(left.into_iter().map(|row| row.key).collect::<Vec<_>>(), spared);
        let store = database.store("default").unwrap().unwrap();
        assert_eq!((store.accessed_at, store.modified_at), (moment(AT), moment(AT)));
        // A note from before it does not come to light again.
        let row: String = fixture
            .tell("SELECT modified_at FROM key_value_stores WHERE internal_name = 'default'");
        assert_eq!(row, "2126-01-02 03:04:05.678901");
        assert_eq!(database.purge("no", moment(AT), &|_| false).unwrap(), None);
        let all = database.purge("default", moment(AT), &|_| false).unwrap().unwrap();
        assert_eq!(all, PurgedRows { spared: Vec::new(), removed: 2, bytes: rest });
    }
    let fixture = Fixture::new();
    fixture.open().purge("default", moment(AT), &|_| false).unwrap();
    let notes: i64 = fixture.tell("SELECT count(*) FROM key_value_store_metadata_buffer");
    assert_eq!(notes, 1);
}

#[test]
fn datasets_are_read_in_the_order_of_their_items() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let mut datasets = database.datasets().unwrap();
    datasets.sort();
    assert_eq!(datasets, [("default".to_owned(), 0), ("items".to_owned(), 2)]);
    let items = |from, limit| database.dataset_items("items", from, limit).unwrap().unwrap();
    assert_eq!(items(0, 9), [r#"{"n": 1}"#, r#"{"n": 2, "s": "\u00e9"}"#]);
    assert_eq!(items(1, 1), [r#"{"n": 2, "s": "\u00e9"}"#]);
    assert_eq!(items(2, 9), Vec::<String>::new());
    assert_eq!(database.dataset_items("no", 0, 9).unwrap(), None);
    let all = |database: &SqliteDatabase, name, most: usize| {
        let mut all = Vec::new();
        let is_there = database.each_item(name, &mut |text| {
            all.push(text);
            let is_enough = all.len() >= most;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        is_there.unwrap().then_some(all)
    };
    assert_eq!(all(&database, "items", 9), Some(items(0, 9)));
    assert_eq!(all(&database, "items", 1), Some(items(0, 1)));
    assert_eq!(all(&database, "default", 9), Some(Vec::new()));
    assert_eq!(all(&database, "no", 9), None);

    let fixture = Fixture::altered("DROP TABLE dataset_records; DROP TABLE datasets");
    let without = fixture.open();
    assert_eq!(without.datasets().unwrap(), []);
    assert_eq!(without.dataset_items("items", 0, 9).unwrap(), None);
    assert_eq!(all(&without, "items", 9), None);
}
