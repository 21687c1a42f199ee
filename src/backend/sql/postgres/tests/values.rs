//! Large values: in and out in parts, whatever their storage.

use super::*;

/// Bytes that compress to little.
fn plain(size: usize) -> Vec<u8> {
    b"a line that comes again and again\n".iter().copied().cycle().take(size).collect()
}

/// Bytes that do not compress.
fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn streamed(database: &PostgresDatabase, key: &str) -> Vec<u8> {
    let version = found(database.head("s", key).unwrap()).version.unwrap();
    let mut bytes = Vec::new();
    let mut sink = |part: &[u8]| {
        assert!(part.len() <= 1 << 20);
        bytes.extend_from_slice(part);
        Ok(())
    };
    database.stream("s", key, version, &mut sink).unwrap();
    bytes
}

#[test]
fn values_of_all_sizes_come_back_as_they_were_put() {
    let Some((server, name, database)) = with_store() else { return };
    let part = 1 << 20;
    for size in [0, 1, part - 1, part, part + 1, 3 * part, 5 * part + 17] {
        for value in [plain(size), random(size)] {
            let row = done(put(&database, "k", &value, PutOver::Anything).unwrap());
            assert_eq!(row.size, size as u64);
            assert!(streamed(&database, "k") == value, "{size} bytes");
            assert_eq!(found(database.head("s", "k").unwrap()), row);
        }
    }
    // Nothing of ours stays behind.
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE '%storefs%'";
    assert_eq!(server.sql(&name, left), "0");
}

#[test]
fn conditions_hold_for_large_values_too() {
    let Some((_, _, database)) = with_store() else { return };
    let value = random(3 << 20);
    let first = done(put(&database, "k", &value, PutOver::Nothing).unwrap()).version.unwrap();
    assert!(matches!(put(&database, "k", &value, PutOver::Nothing).unwrap(), Written::Refused));
    let second = done(put(&database, "k", &value, PutOver::Version(first)).unwrap());
    assert_ne!(second.version, Some(first));
    let refused = put(&database, "k", &value, PutOver::Version(first)).unwrap();
    assert!(matches!(refused, Written::Refused));
    assert!(matches!(
        put(&database, "none", &value, PutOver::Version(first)).unwrap(),
        Written::NoRecord
    ));
}

#[test]
fn a_stream_is_of_one_version() {
    let Some((_, _, database)) = with_store() else { return };
    let old = random(8 << 20);
    let version = done(put(&database, "k", &old, PutOver::Anything).unwrap()).version.unwrap();
    let mut bytes = Vec::new();
    database
        .stream("s", "k", version, &mut |part| {
            if bytes.is_empty() {
                done(put(&database, "k", &plain(8 << 20), PutOver::Anything).unwrap());
            }
            bytes.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
    assert!(bytes == old);
    let mut parts = 0;
    let mut count = |_: &[u8]| {
        parts += 1;
        Ok(())
    };
    let error = database.stream("s", "k", version, &mut count).unwrap_err();
    assert!(matches!(error, Error::RecordReplaced { .. }), "{error}");
    assert_eq!(parts, 0);
}

#[test]
fn who_reads_may_stop() {
    let Some((server, name, database)) = with_store() else { return };
    let value = random(8 << 20);
    let version = done(put(&database, "k", &value, PutOver::Anything).unwrap()).version.unwrap();
    let error = database.stream("s", "k", version, &mut |_| Err(Error::ReadOnly)).unwrap_err();
    assert!(matches!(error, Error::ReadOnly));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        database.stream("s", "k", version, &mut |_| panic!("on purpose"))
    }));
    assert!(panicked.is_err());
    assert!(streamed(&database, "k") == value);
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND state LIKE 'idle in transaction%'";
    assert_eq!(server.sql(&name, idle), "0");
}
