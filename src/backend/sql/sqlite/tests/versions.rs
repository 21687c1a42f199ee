//! Which version a record is, while others change it.

use super::*;
use crate::backend::sql::sqlite::versions::{Generation, Versions};

fn set(connection: &Connection, key: &str, value: &str) {
    let sql = "UPDATE key_value_store_records SET value = ?2 WHERE key = ?1";
    assert_eq!(connection.execute(sql, (key, value.as_bytes())).unwrap(), 1);
}

#[test]
fn what_is_known_is_not_sent_again() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let first = opened(&database, "num", None);
    assert_eq!(first.bytes.as_deref(), Some(&b"42"[..]));
    let again = opened(&database, "num", first.row.version);
    assert_eq!((again.bytes, &again.row), (None, &first.row));
    // The version of another record is not this one's.
    let other = opened(&database, "bin", None).row.version;
    assert_eq!(opened(&database, "num", other).bytes.as_deref(), Some(&b"42"[..]));
}

#[test]
fn another_connections_change_of_equal_length_is_another_version() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let other = fixture.other();
    let first = opened(&database, "num", None).row.version;
    for _ in 0..3 {
        set(&other, "num", "43");
        let changed = opened(&database, "num", first);
        assert_ne!(changed.row.version, first);
        assert_eq!(changed.bytes.as_deref(), Some(&b"43"[..]));
        let row = database.page("default", Some("none"), 1).unwrap().unwrap().remove(0);
        assert_eq!(row.version, changed.row.version);
        set(&other, "num", "42");
        let row = database.page("default", Some("none"), 1).unwrap().unwrap().remove(0);
        assert_eq!(row.version, first);
        assert_eq!(opened(&database, "num", None).row.version, first);
    }
}

#[test]
fn a_record_that_is_removed_and_made_again_is_what_it_holds() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let first = put(&database, "default", "k", b"one").version;
    database.delete("default", "k").unwrap();
    let second = put(&database, "default", "k", b"two").version;
    assert_ne!(first, second);
    assert_eq!(opened(&database, "k", second).bytes, None);
    // The same by another connection.
    let other = fixture.other();
    other
        .execute_batch(
            "DELETE FROM key_value_store_records WHERE key = 'k';
             INSERT INTO key_value_store_records VALUES ('J2hIKIX5qjuXDtroT', 'k', x'6f6e65', 'text/plain', 3)",
        )
        .unwrap();
    let third = opened(&database, "k", second);
    assert_eq!((third.row.version, third.bytes.as_deref()), (first, Some(&b"one"[..])));
}

#[test]
fn a_large_value_is_read_once_for_its_version() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let large = vec![7; 300_000];
    let sql = "INSERT INTO key_value_store_records \
               VALUES ('J2hIKIX5qjuXDtroT', 'large', ?1, 'text/plain', 300000)";
    fixture.other().execute(sql, [&large]).unwrap();
    let version = || {
        let Lookup::Found(row) = database.head("default", "large").unwrap() else { panic!() };
        row.version
    };
    assert_eq!(version(), None);
    let told = opened(&database, "large", None).row.version;
    assert_eq!(version(), told);
    let page = database.page("default", Some("bin"), 1).unwrap().unwrap();
    assert_eq!(page[0].version, told);
    // Our own commits leave it known, others' do not.
    put(&database, "default", "other", b"x");
    database.delete("default", "other").unwrap();
    assert_eq!(version(), told);
    set(&fixture.other(), "num", "44");
    assert_eq!(version(), None);
    assert_eq!(opened(&database, "large", None).row.version, told);
}

#[test]
fn a_commit_of_anothers_beside_our_own_is_not_overlooked() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let other = fixture.other();
    for round in 0..100 {
        let known = opened(&database, "num", None).row.version;
        let value = format!("{}", 100 + round);
        if round % 2 == 0 {
            set(&other, "num", &value);
            put(&database, "default", "mine", b"x");
        } else {
            put(&database, "default", "mine", b"y");
            set(&other, "num", &value);
        }
        let found = opened(&database, "num", known);
        assert_eq!(found.bytes.as_deref(), Some(value.as_bytes()));
        put(&database, "default", "mine", b"z");
        assert_eq!(opened(&database, "num", None).row.version, found.row.version);
    }
}

#[test]
fn an_old_state_has_old_versions() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
    let first = put(&database, "default", "large", &large).version.unwrap();
    let mut second = None;
    let mut streamed = Vec::new();
    let mut sink = |part: &[u8]| {
        streamed.extend_from_slice(part);
        if second.is_none() {
            // In the middle of the stream, the record is replaced, twice.
            second = put(&database, "default", "large", &large[7..]).version;
            put(&fixture.open(), "default", "large", b"small");
        }
        Ok(())
    };
    database.stream("default", "large", first, &mut sink).unwrap();
    assert_eq!(streamed, large);
    assert_ne!(second, Some(first));
    assert_eq!(bytes(&database, "large"), b"small");
}

/// One record's versions, by hand: what our commits leave known.
struct ByHand {
    fixture: Fixture,
    writer: Connection,
    versions: Versions,
}

impl ByHand {
    fn new() -> Self {
        let fixture = Fixture::new();
        let (writer, witness) = (fixture.other(), fixture.other());
        let versions = Versions::new(witness).unwrap();
        Self { fixture, writer, versions }
    }

    /// A commit of ours that makes a version of `key`; `meanwhile` comes between it and what follows from it.
    fn commit(&self, key: &str, version: Version, meanwhile: impl FnOnce(&Self)) {
        self.writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = self.versions.begun(&self.writer).unwrap();
        set(&self.writer, "num", "1");
        self.writer.execute_batch("COMMIT").unwrap();
        meanwhile(self);
        self.versions.committed(&self.writer, begun.as_ref(), &[made(key, version)]);
    }

    fn remember(&self, key: &str, version: Version, generation: Option<Generation>) {
        self.versions.remember("store", [(key, version)].into_iter(), generation);
    }

    /// What is known now.
    fn known(&self, key: &str) -> Option<Version> {
        self.versions.remembered("store", key, self.versions.generation())
    }
}

fn made(key: &str, version: Version) -> (String, String, Version) {
    ("store".to_owned(), key.to_owned(), version)
}

const ONE: Version = Version(1);
const TWO: Version = Version(2);

#[test]
fn a_commit_of_ours_leaves_the_other_records_known() {
    let by_hand = ByHand::new();
    let before = by_hand.versions.generation();
    by_hand.remember("mine", ONE, before);
    by_hand.remember("other", ONE, before);
    // A reader of ours may see the commit before the writer has told what follows from it.
    by_hand.commit("mine", TWO, |it| assert_eq!(it.known("other"), None));
    assert_eq!((by_hand.known("mine"), by_hand.known("other")), (Some(TWO), Some(ONE)));
    // A transaction that has begun before the commit sees another version of the one.
    assert_eq!(by_hand.versions.remembered("store", "mine", before), None);
    assert_eq!(by_hand.versions.remembered("store", "other", before), Some(ONE));
    // And what it has found comes too late.
    by_hand.remember("mine", ONE, before);
    assert_eq!(by_hand.known("mine"), Some(TWO));
}

#[test]
fn a_commit_of_anothers_right_after_ours_leaves_nothing_known() {
    let by_hand = ByHand::new();
    by_hand.remember("other", ONE, by_hand.versions.generation());
    by_hand.commit("mine", TWO, |it| set(&it.fixture.other(), "num", "2"));
    assert_eq!((by_hand.known("mine"), by_hand.known("other")), (None, None));
    // The same if it was seen in the meantime.
    by_hand.remember("other", ONE, by_hand.versions.generation());
    by_hand.commit("mine", TWO, |it| {
        it.versions.generation();
        set(&it.fixture.other(), "num", "2");
        it.versions.generation();
    });
    assert_eq!((by_hand.known("mine"), by_hand.known("other")), (None, None));
}

#[test]
fn what_a_late_reader_found_before_our_commit_is_not_remembered() {
    let by_hand = ByHand::new();
    let before = by_hand.versions.generation();
    by_hand.commit("mine", TWO, |it| it.remember("mine", ONE, before));
    assert_eq!(by_hand.known("mine"), Some(TWO));
}
