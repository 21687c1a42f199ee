//! Versions in the making: what they hold, who sees them, and how they become records.

use std::slice::from_ref;

use storefs::backend::{Backend, Over, Publish, PublishType, Staged};
use storefs::model::{AttributeChange, ContentType, Error, RecordType, TimeChange};

use super::{
    all_posix, assert_gone, assert_metadata, assert_no_store, assert_record, bytes_of, create,
    failure_of, get, key, keys, name, publish, put, put_as, since_epoch, stage, staged_bytes,
    stores,
};

pub(crate) fn p3_staging_is_seen_by_nobody(backend: &dyn Backend) {
    let staging = stage(backend, b"before there is any store");
    assert_eq!(stores(backend), []);
    let store = create(backend, "default");
    put(backend, &store, &key("old"), b"old");
    let discarded = stage(backend, b"discarded");
    discarded.set_len(3).unwrap();
    assert_eq!(keys(backend, &store), [key("old")]);
    assert_gone(backend, &store, &key("new"));
    drop(discarded);
    drop(staging);
    assert_eq!(keys(backend, &store), [key("old")]);
    assert_record(backend, &store, &key("old"), b"old", &ContentType::bytes());
    assert_eq!(stores(backend), from_ref(&store));
    assert_metadata(backend, &store);
}

pub(crate) fn p3_a_publish_is_seen_at_once(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("new"));
    assert_gone(backend, &store, &key);
    put_as(backend, &store, &key, b"new", &ContentType::text());
    assert_record(backend, &store, &key, b"new", &ContentType::text());
    assert_eq!(keys(backend, &store), [key]);
}

pub(crate) fn p4_publish_replaces_value_and_content_type(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"a long first version", &ContentType::text());
    put_as(backend, &store, &key, b"{}", &ContentType::json());
    assert_record(backend, &store, &key, b"{}", &ContentType::json());
    put_as(backend, &store, &key, b"", &ContentType::new("image/png"));
    assert_record(backend, &store, &key, b"", &ContentType::new("image/png"));
    assert_eq!(keys(backend, &store), [key]);
}

pub(crate) fn p7_publish_without_a_store_gives_the_staging_back(backend: &dyn Backend) {
    let (store, key) = (name("not-yet"), key("a"));
    let staging = stage(backend, b"kept");
    let (error, staging) =
        failure_of(publish(backend, staging, &store, &key, &ContentType::text()));
    assert_no_store(Err::<(), _>(error), &store);
    assert_eq!(stores(backend), [], "a publish makes no store");
    assert_eq!(staged_bytes(&staging), b"kept");

    create(backend, "not-yet");
    staging.write_at(b" and written on", 4).unwrap();
    publish(backend, staging, &store, &key, &ContentType::text()).unwrap();
    assert_record(backend, &store, &key, b"kept and written on", &ContentType::text());
}

pub(crate) fn p7_publish_without_replace_gives_the_staging_back(backend: &dyn Backend) {
    let (store, key, text) = (create(backend, "default"), key("a"), ContentType::text());
    let publish = |staging: Staged, key, over| {
        let content_type = PublishType::Given(&text);
        backend
            .publish(staging, &Publish { store: &store, key, content_type, durable: false, over })
    };
    put_as(backend, &store, &key, b"{}", &ContentType::json());
    let before = backend.record(&store, &key).unwrap();

    let (error, staging) = failure_of(publish(stage(backend, b"new"), &key, Over::Nothing));
    match error {
        Error::RecordExists { store, key } => assert_eq!((&*store, &*key), ("default", "a")),
        other => panic!("{other:?}"),
    }
    assert_record(backend, &store, &key, b"{}", &ContentType::json());
    assert_eq!(backend.record(&store, &key).unwrap().stamp, before.stamp);
    assert_eq!(staged_bytes(&staging), b"new");
    assert_eq!(staging.attributes().unwrap().size, 3);

    publish(staging, &key, Over::Anything).unwrap();
    assert_record(backend, &store, &key, b"new", &text);
    // Where there is nothing to replace, it is a publish like any other.
    publish(stage(backend, b"free"), &super::key("free"), Over::Nothing).unwrap();
    assert_record(backend, &store, &super::key("free"), b"free", &text);
}

pub(crate) fn p06_a_publish_over_one_version_is_refused_where_that_is_not_there_any_more(
    backend: &dyn Backend,
) {
    let (store, key, text) = (create(backend, "default"), key("a"), ContentType::text());
    let publish = |bytes: &[u8], over| {
        let content_type = PublishType::Given(&text);
        let publish = Publish { store: &store, key: &key, content_type, durable: false, over };
        backend.publish(stage(backend, bytes), &publish)
    };
    let first = publish(b"1", Over::Anything).unwrap().attributes().unwrap().stamp;
    let mode = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    if let Some(posix) = all_posix(backend) {
        posix.set_attributes(&store, &key, &mode).unwrap();
    }
    let second = publish(b"2", Over::Version(first)).unwrap();
    let (error, staging) = failure_of(publish(b"late", Over::Version(first)));
    assert!(matches!(error, Error::RecordReplaced { .. }), "{error:?}");
    assert_eq!(staged_bytes(&staging), b"late");
    assert_record(backend, &store, &key, b"2", &text);
    let second = second.attributes().unwrap().stamp;
    backend.delete(&store, &key).unwrap();
    let (error, _) = failure_of(publish(b"late", Over::Version(second)));
    assert!(matches!(error, Error::NoSuchRecord { .. }), "{error:?}");
    assert!(backend.record(&store, &key).is_err());
}

pub(crate) fn publish_gives_back_the_new_version(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"old");
    let value =
        publish(backend, stage(backend, b"new"), &store, &key, &ContentType::text()).unwrap();
    assert_eq!(bytes_of(&value), b"new");
    assert_eq!(value.attributes().unwrap().stamp, backend.record(&store, &key).unwrap().stamp);
    put(backend, &store, &key, b"newer");
    assert_eq!(bytes_of(&value), b"new");
}

pub(crate) fn publish_durably_is_the_same_to_a_reader(backend: &dyn Backend) {
    let (store, key, json) = (create(backend, "default"), key("a"), ContentType::json());
    for bytes in [b"[1]", b"[2]"] {
        let content_type = PublishType::Given(&json);
        let publish =
            Publish { store: &store, key: &key, content_type, durable: true, over: Over::Anything };
        let value = backend.publish(stage(backend, bytes), &publish).unwrap();
        assert_eq!(bytes_of(&value), bytes);
        assert_record(backend, &store, &key, bytes, &json);
    }
    if let Some(durability) = backend.durability() {
        durability.sync_store(&store).unwrap();
    }
}

pub(crate) fn p10_a_type_is_decided_by_what_is_staged_and_what_it_replaces(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    let html = ContentType::new("text/html");
    let publish = |bytes: &[u8], expected: Option<RecordType>| {
        let decide = |staging: &Staged, replaced: Option<&RecordType>| {
            assert_eq!(staged_bytes(staging), bytes);
            assert_eq!(replaced, expected.as_ref());
            Ok(html.clone().into())
        };
        let content_type = PublishType::Decided(&decide);
        let publish = Publish {
            store: &store,
            key: &key,
            content_type,
            durable: false,
            over: Over::Anything,
        };
        backend.publish(stage(backend, bytes), &publish).unwrap();
        assert_record(backend, &store, &key, bytes, &html);
    };
    publish(b"<p>", None);
    publish(b"<p></p>", Some(html.clone().into()));
    put_as(backend, &store, &key, b"[12]", &ContentType::json());
    publish(b"<b>", Some(ContentType::json().into()));

    // What cannot be decided is not published, and can be tried again.
    let decide = |_: &Staged, _: Option<&RecordType>| {
        Err(Error::InvalidKey { key: String::new(), reason: "" })
    };
    let content_type = PublishType::Decided(&decide);
    let refused =
        Publish { store: &store, key: &key, content_type, durable: false, over: Over::Anything };
    let (error, staging) = failure_of(backend.publish(stage(backend, b"later"), &refused));
    assert!(matches!(error, Error::InvalidKey { .. }), "{error:?}");
    assert_record(backend, &store, &key, b"<b>", &html);
    super::publish(backend, staging, &store, &key, &ContentType::text()).unwrap();
    assert_record(backend, &store, &key, b"later", &ContentType::text());
}

pub(crate) fn a_staging_reads_back_what_was_written(backend: &dyn Backend) {
    let staging = backend.stage(None).unwrap();
    assert_eq!(staged_bytes(&staging), b"");
    assert_eq!(staging.attributes().unwrap().size, 0);
    staging.write_at(b"0123456789", 0).unwrap();
    staging.write_at(b"xyz", 4).unwrap();
    staging.write_at(b"", 3).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123xyz789");
    staging.write_at(b"!?", 9).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123xyz78!?");
    let mut buffer = [0; 4];
    assert_eq!(staging.read_at(&mut buffer, 9).unwrap(), 2);
    assert_eq!(staging.read_at(&mut buffer, 11).unwrap(), 0);
    assert_eq!(staging.read_at(&mut buffer, 1000).unwrap(), 0);
}

pub(crate) fn write_at_fills_holes_with_zeroes(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    let staging = backend.stage(Some(&store)).unwrap();
    staging.write_at(b"end", 100_000).unwrap();
    staging.write_at(b"begin", 0).unwrap();
    assert_eq!(staging.attributes().unwrap().size, 100_003);
    publish(backend, staging, &store, &key, &ContentType::bytes()).unwrap();
    let bytes = get(backend, &store, &key);
    assert_eq!(bytes.len(), 100_003);
    assert!(bytes.starts_with(b"begin") && bytes.ends_with(b"end"));
    assert!(bytes[5..100_000].iter().all(|byte| *byte == 0));
}

pub(crate) fn set_len_cuts_and_extends_with_zeroes(backend: &dyn Backend) {
    let staging = stage(backend, b"0123456789");
    staging.set_len(4).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123");
    // What was cut off does not come back.
    staging.set_len(8).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123\0\0\0\0");
    staging.set_len(8).unwrap();
    assert_eq!(staging.attributes().unwrap().size, 8);
    staging.set_len(0).unwrap();
    assert_eq!(staged_bytes(&staging), b"");
    staging.write_at(b"x", 2).unwrap();
    assert_eq!(staged_bytes(&staging), b"\0\0x");
}

pub(crate) fn reserve_extends_unless_it_keeps_the_size(backend: &dyn Backend) {
    let staging = stage(backend, b"0123");
    staging.reserve(0, 4096, true).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123");
    staging.reserve(1, 2, false).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123");
    staging.reserve(2, 6, false).unwrap();
    assert_eq!(staged_bytes(&staging), b"0123\0\0\0\0");
}

pub(crate) fn begin_with_copies_bytes_owner_and_mode(backend: &dyn Backend) {
    let (store, source) = (create(backend, "default"), key("source"));
    put_as(backend, &store, &source, b"0123456789", &ContentType::text());
    let change = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    if let Some(posix) = all_posix(backend) {
        posix.set_attributes(&store, &source, &change).unwrap();
    }
    let value = backend.open_value(&store, &source).unwrap();
    for (len, expected) in [(10, "0123456789"), (4, "0123"), (0, ""), (99, "0123456789")] {
        let staging = backend.stage(Some(&store)).unwrap();
        staging.begin_with(&value, len).unwrap();
        assert_eq!(staged_bytes(&staging), expected.as_bytes());
        staging.write_at(b"+", expected.len() as u64).unwrap();
        publish(backend, staging, &store, &key("copy"), &ContentType::text()).unwrap();

        assert_eq!(get(backend, &store, &key("copy")), format!("{expected}+").as_bytes());
        let copy = backend.record(&store, &key("copy")).unwrap();
        let original = backend.record(&store, &source).unwrap();
        assert_eq!((copy.mode, copy.uid, copy.gid), (original.mode, original.uid, original.gid));
        assert!(all_posix(backend).is_none() || copy.mode == 0o600);
    }
    assert_record(backend, &store, &source, b"0123456789", &ContentType::text());
}

pub(crate) fn begin_with_takes_the_version_it_is_given(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"old");
    let value = backend.open_value(&store, &key).unwrap();
    backend.delete(&store, &key).unwrap();
    put(backend, &store, &key, b"newer");
    let staging = backend.stage(Some(&store)).unwrap();
    staging.begin_with(&value, 3).unwrap();
    staging.write_at(b"O", 0).unwrap();
    assert_eq!(staged_bytes(&staging), b"Old");
    assert_eq!(bytes_of(&value), b"old", "writing to a copy leaves the original alone");
    assert_eq!(get(backend, &store, &key), b"newer");
}

/// What is done to a version and to the bytes that it should have then.
type Change = fn(&Staged, &mut Vec<u8>);

fn write(staging: &Staged, bytes: &mut Vec<u8>, data: &[u8], offset: usize) {
    staging.write_at(data, offset as u64).unwrap();
    bytes.resize(bytes.len().max(offset + data.len()), 0);
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

fn set_len(staging: &Staged, bytes: &mut Vec<u8>, len: usize) {
    staging.set_len(len as u64).unwrap();
    bytes.resize(len, 0);
}

fn zero(staging: &Staged, bytes: &mut [u8], begin: usize, end: usize) {
    staging.zero(begin as u64, (end - begin) as u64).unwrap();
    bytes[begin..end].fill(0);
}

/// The holes that a staging tells of are zeros, and each byte is in a hole or not.
fn assert_holes(staging: &Staged, bytes: &[u8]) {
    let (mut at, end) = (0, bytes.len() as u64);
    while at < end {
        let data = staging.next_data(at).unwrap();
        assert!(bytes[at as usize..data as usize].iter().all(|byte| *byte == 0), "{at}..{data}");
        let hole = staging.next_hole(data).unwrap();
        assert!(hole > data || data == end, "data at {data}, and a hole at {hole}");
        at = hole;
    }
}

pub(crate) fn what_goes_on_from_a_version_is_the_same_wherever_its_bytes_are(
    backend: &dyn Backend,
) {
    let (store, key) = (create(backend, "default"), key("a"));
    let old: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8 + 1).collect();
    let changes: [Change; 9] = [
        |_, _| {},
        |staging, bytes| write(staging, bytes, b"appended", bytes.len()),
        |staging, bytes| write(staging, bytes, b"far behind", 300_000),
        |staging, bytes| {
            write(staging, bytes, b"in the middle", 50_000);
            write(staging, bytes, b"over that", 50_007);
            write(staging, bytes, b"at the begin", 0);
        },
        |staging, bytes| {
            set_len(staging, bytes, 20_000);
            set_len(staging, bytes, 60_000);
            write(staging, bytes, b"after the cut", 40_000);
        },
        |staging, bytes| {
            set_len(staging, bytes, 0);
            set_len(staging, bytes, 100_000);
        },
        |staging, bytes| {
            zero(staging, bytes, 8192, 65_536);
            write(staging, bytes, b"in the hole", 40_000);
        },
        |staging, bytes| {
            staging.reserve(10, 200_000, true).unwrap();
            staging.reserve(60_000, 50_000, false).unwrap();
            bytes.resize(110_000, 0);
        },
        |staging, bytes| {
            // Not what is staged: only where it is.
            staging.fill(30_000..70_000).unwrap();
            write(staging, bytes, b"over what was fetched", 69_990);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        put(backend, &store, &key, &old);
        for len in [old.len(), 70_000] {
            let value = backend.open_value(&store, &key).unwrap();
            let staging = backend.stage(Some(&store)).unwrap();
            staging.begin_with(&value, len as u64).unwrap();
            let mut bytes = old[..len].to_vec();
            change(&staging, &mut bytes);
            assert_eq!(staging.attributes().unwrap().size, bytes.len() as u64);
            assert!(staged_bytes(&staging) == bytes, "change {number} of {len}");
            assert_holes(&staging, &bytes);
            for range in [0..9, 19_990..20_010, 49_995..50_020, 69_995..70_020, 81_000..82_000] {
                let mut part = vec![0; range.len()];
                let count = staging.read_at(&mut part, range.start as u64).unwrap();
                let end = range.end.min(bytes.len()).max(range.start);
                let expected = bytes.get(range.start..end).unwrap_or_default();
                assert!(part[..count] == *expected, "change {number} of {len} at {range:?}");
            }
            if let Some(kept) = staging.kept() {
                assert!(kept.value.is_far() && kept.ranges.is_sorted_by_key(|range| range.start));
            }
            publish(backend, staging, &store, &key, &ContentType::bytes()).unwrap();
            assert!(get(backend, &store, &key) == bytes, "change {number} of {len}, published");
            put(backend, &store, &key, &old);
        }
    }
}

pub(crate) fn a_staging_with_bytes_begins_with_a_version(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"0123456789");
    let value = backend.open_value(&store, &key).unwrap();
    put(backend, &store, &key, b"abcdefghij");
    let other = backend.open_value(&store, &key).unwrap();
    let staging = stage(backend, b"--------------");
    staging.begin_with(&value, 8).unwrap();
    assert_eq!(staged_bytes(&staging), b"01234567------");
    staging.begin_with(&other, 4).unwrap();
    assert_eq!(staged_bytes(&staging), b"abcd4567------");
    publish(backend, staging, &store, &key, &ContentType::text()).unwrap();
    assert_record(backend, &store, &key, b"abcd4567------", &ContentType::text());
}

pub(crate) fn staged_attributes_pass_to_the_record(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    let (accessed, modified) = (since_epoch(1_000_000_000), since_epoch(1_100_000_000));
    let staging = stage(backend, b"text");
    let before = staging.attributes().unwrap();
    let change = AttributeChange {
        mode: Some(0o640),
        uid: Some(before.uid),
        gid: Some(before.gid),
        accessed: Some(TimeChange::At(accessed)),
        modified: Some(TimeChange::At(modified)),
    };
    // What cp -p and rsync do: write, set the times, close.
    staging.set_attributes(&change).unwrap();
    let staged = staging.attributes().unwrap();
    assert_eq!((staged.mode, staged.modified, staged.size), (0o640, modified, 4));
    publish(backend, staging, &store, &key, &ContentType::text()).unwrap();
    let record = backend.record(&store, &key).unwrap();
    let traits = backend.traits();
    if traits.keeps_owner_and_mode {
        assert_eq!((record.mode, record.uid, record.gid), (0o640, before.uid, before.gid));
    }
    if traits.keeps_times {
        assert_eq!((record.accessed, record.modified), (accessed, modified));
    }
}

pub(crate) fn stagings_are_apart(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    let (first, second) = (stage(backend, b"first"), stage(backend, b"second"));
    assert_eq!(staged_bytes(&first), b"first");
    publish(backend, second, &store, &key, &ContentType::text()).unwrap();
    assert_eq!(staged_bytes(&first), b"first");
    assert_eq!(get(backend, &store, &key), b"second");
    publish(backend, first, &store, &key, &ContentType::text()).unwrap();
    assert_eq!(get(backend, &store, &key), b"first", "the last to publish wins");
}
