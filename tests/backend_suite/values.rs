//! Open values: versions that stay what they are.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::slice::from_ref;
use std::sync::Arc;

use storefs::backend::{Backend, OpenValues, Reader, RenameRecord, Value};
use storefs::model::{ContentType, Key, StoreName};

use super::{assert_record, bytes_of, create, get, key, keys, name, purge, put, put_as, stage};

/// Something that happens to a record while it is open.
type Event = fn(&dyn Backend, &StoreName, &Key);

fn rename(backend: &dyn Backend, from: (&StoreName, &Key), to: (&StoreName, &Key)) {
    let rename = RenameRecord {
        from_store: from.0,
        from_key: from.1,
        to_store: to.0,
        to_key: to.1,
        record_type: &ContentType::text().into(),
        replace: true,
    };
    backend.rename_record(&rename).unwrap();
}

/// All that can happen to a record. Each happens to the record `key` of a store of its own.
fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("replaced", |backend, store, key| put(backend, store, key, b"a newer version")),
        ("renamed", |backend, store, key| rename(backend, (store, key), (store, &super::key("b")))),
        ("renamed-over", |backend, store, key| {
            put(backend, store, &super::key("b"), b"another record");
            rename(backend, (store, &super::key("b")), (store, key));
        }),
        ("moved", |backend, store, key| {
            let other = create(backend, "moved-to");
            rename(backend, (store, key), (&other, key));
        }),
        ("deleted", |backend, store, key| backend.delete(store, key).unwrap()),
        ("deleted-and-made-anew", |backend, store, key| {
            backend.delete(store, key).unwrap();
            put(backend, store, key, b"another record");
        }),
        ("typed", |backend, store, key| {
            backend.set_content_type(store, key, &ContentType::text()).unwrap();
        }),
        ("purged", |backend, store, _| {
            backend.purge_store(store, &purge("INPUT")).unwrap();
        }),
        ("store-renamed", |backend, store, _| {
            backend.rename_store(store, &name("renamed-to"), None).unwrap();
        }),
        ("dropped", |backend, store, _| backend.drop_store(store).unwrap()),
    ]
}

/// Whether an open value can be read no more since its record is another or gone, where the backend declares that.
fn went_stale(backend: &dyn Backend, value: &Arc<dyn Value>) -> bool {
    let may = backend.traits().open_values == OpenValues::MayGoStale;
    may && Reader::new(Arc::clone(value)).read_to_end(&mut Vec::new()).is_err()
}

pub(crate) fn p1_open_value_keeps_its_version(backend: &dyn Backend) {
    let key = key("a");
    let bytes: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    for (what, event) in events() {
        let store = create(backend, what);
        put(backend, &store, &key, &bytes);
        let value = backend.open_value(&store, &key).unwrap();
        let (mut read, half) = (vec![0; bytes.len()], bytes.len() / 2);
        assert_eq!(value.read_at(&mut read[..half], 0).unwrap(), half);
        event(backend, &store, &key);
        if went_stale(backend, &value) {
            continue;
        }
        let rest = bytes.len() - half;
        assert_eq!(value.read_at(&mut read[half..], half as u64).unwrap(), rest, "{what}");
        assert!(read == bytes, "{what}: a reader has got bytes of two versions");
        assert!(bytes_of(&value) == bytes, "{what}");
    }
}

pub(crate) fn p1_open_value_keeps_its_attributes(backend: &dyn Backend) {
    let key = key("a");
    for (what, event) in events() {
        let store = create(backend, what);
        put(backend, &store, &key, b"the first version");
        let value = backend.open_value(&store, &key).unwrap();
        let before = value.attributes().unwrap();
        assert_eq!(before.stamp, backend.record(&store, &key).unwrap().stamp);
        event(backend, &store, &key);
        let after = value.attributes().unwrap();
        assert_eq!(after.size, before.size, "{what}");
        assert_eq!(after.modified, before.modified, "{what}");
        assert_eq!(after.stamp.object, before.stamp.object, "{what}");
    }
}

pub(crate) fn read_at_gives_ranges_and_nothing_past_the_end(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"0123456789");
    let value = backend.open_value(&store, &key).unwrap();
    let read = |offset, len| {
        let mut buffer = vec![b'.'; len];
        let count = value.read_at(&mut buffer, offset).unwrap();
        assert!(buffer[count..].iter().all(|byte| *byte == b'.'), "bytes past the count");
        buffer.truncate(count);
        String::from_utf8(buffer).unwrap()
    };
    assert_eq!(read(0, 10), "0123456789");
    assert_eq!(read(0, 4), "0123");
    assert_eq!(read(3, 4), "3456");
    assert_eq!(read(9, 1), "9");
    assert_eq!(read(8, 4), "89");
    assert_eq!(read(0, 100), "0123456789");
    assert_eq!(read(10, 4), "");
    assert_eq!(read(11, 4), "");
    assert_eq!(read(1 << 62, 4), "");
    assert_eq!(read(0, 0), "");
    assert_eq!(read(5, 0), "");
}

pub(crate) fn an_empty_value_is_a_record(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("empty"));
    let none = ContentType::new("application/x-none");
    super::publish(backend, backend.stage(Some(&store)).unwrap(), &store, &key, &none).unwrap();
    assert_record(backend, &store, &key, b"", &none);
    assert_eq!(keys(backend, &store), from_ref(&key));
    let value = backend.open_value(&store, &key).unwrap();
    assert_eq!(value.read_at(&mut [0; 16], 0).unwrap(), 0);
}

pub(crate) fn a_large_value_comes_back_whole(backend: &dyn Backend) {
    /// Not a multiple of anything that a backend might copy by.
    const LEN: u32 = 5_000_011;
    let (store, key) = (create(backend, "default"), key("large"));
    let bytes: Vec<u8> = (0..LEN).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put_as(backend, &store, &key, &bytes, &ContentType::bytes());
    assert!(get(backend, &store, &key) == bytes);
    assert_eq!(backend.record(&store, &key).unwrap().size, u64::from(LEN));

    // The same, written piece by piece from the end to the beginning.
    let staging = stage(backend, b"");
    for (piece, chunk) in bytes.chunks(100_003).enumerate().rev() {
        staging.write_at(chunk, piece as u64 * 100_003).unwrap();
    }
    super::publish(backend, staging, &store, &key, &ContentType::bytes()).unwrap();
    assert!(get(backend, &store, &key) == bytes);
}

/// The optional capability: where a backend hands out a file, it holds the version, also once replaced.
pub(crate) fn a_local_file_holds_the_same_bytes(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"the first version");
    let value: Arc<dyn Value> = backend.open_value(&store, &key).unwrap();
    put(backend, &store, &key, b"a newer version");
    let Some(descriptor) = value.local_file() else { return };
    let file = File::from(descriptor.try_clone_to_owned().unwrap());
    let mut bytes = vec![0; 17];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, b"the first version");
    assert_eq!(file.metadata().unwrap().len(), 17);
}
