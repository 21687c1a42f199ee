//! What is known of a record without reading it.

use std::thread;
use std::time::{Duration, SystemTime};

use storefs::backend::Backend;
use storefs::model::{AttributeChange, ContentType, TimeChange};

use super::{
    CLOCK_LAG, all_posix, assert_no_record, assert_record, at, bytes_of, create, get, key, keys,
    publish, put, put_as, since_epoch, stage,
};

pub(crate) fn attributes_tell_size_and_owner(backend: &dyn Backend) {
    let store = create(backend, "default");
    for size in [0, 1, 511, 512, 513, 100_000] {
        put(backend, &store, &key("a"), &vec![b'x'; size]);
        let record = backend.record(&store, &key("a")).unwrap();
        assert_eq!((record.size, record.stamp.size), (size as u64, size as u64));
        // Also where it is made up: whoever mounts must be able to use it.
        assert_eq!(record.uid, rustix::process::geteuid().as_raw());
        assert_eq!(record.gid, rustix::process::getegid().as_raw());
        assert_eq!(record.mode & 0o600, 0o600, "its owner can read and write it");
        assert_eq!(record.mode & !0o777, 0);
    }
}

pub(crate) fn modified_is_the_moment_of_publication(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    let staging = stage(backend, b"1");
    // The last write must lie further back than the clocks may be apart.
    thread::sleep(3 * CLOCK_LAG);
    let before = SystemTime::now();
    publish(backend, staging, &store, &key, &ContentType::text()).unwrap();
    let after = SystemTime::now();
    let record = backend.record(&store, &key).unwrap();
    let cut = backend.traits().time_granularity;
    assert!(record.modified >= before - CLOCK_LAG - cut, "that is when it was written");
    assert!(record.modified <= after);
    assert!(record.changed >= record.modified - CLOCK_LAG);
}

pub(crate) fn stamps_change_with_the_version(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"v00");
    let mut value = backend.open_value(&store, &key).unwrap();
    // The same size each time and faster than any clock ticks.
    for version in 1..50 {
        let old = backend.record(&store, &key).unwrap().stamp;
        put(backend, &store, &key, format!("v{version:02}").as_bytes());
        let new = backend.record(&store, &key).unwrap().stamp;
        if !backend.traits().tells_versions {
            assert_eq!(bytes_of(&value), format!("v{:02}", version - 1).as_bytes());
            value = backend.open_value(&store, &key).unwrap();
            continue;
        }
        assert_ne!(old, new, "version {version}");
        // While the old version is open, it cannot be taken for the new one in any way.
        assert_ne!(value.attributes().unwrap().stamp.object, new.object);
        value = backend.open_value(&store, &key).unwrap();
        assert_eq!(value.attributes().unwrap().stamp, new);
        assert_eq!(bytes_of(&value), format!("v{version:02}").as_bytes());
    }
}

pub(crate) fn stamps_stay_while_the_version_stays(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"1", &ContentType::text());
    let stamp = backend.record(&store, &key).unwrap().stamp;
    let stays = |what: &str| {
        assert_eq!(backend.record(&store, &key).unwrap().stamp, stamp, "{what}");
    };
    stays("looked at");
    assert_eq!(get(backend, &store, &key), b"1");
    stays("read");
    assert_eq!(keys(backend, &store).len(), 1);
    stays("scanned");
    backend.content_type(&store, &key).unwrap();
    stays("content type read");
    put(backend, &store, &super::key("other"), b"2");
    backend.delete(&store, &super::key("other")).unwrap();
    stays("another record");
    let now = Some(at("2030-01-01T00:00:00Z"));
    backend.touch_store(&store, now, now).unwrap();
    stays("store touched");
    drop(stage(backend, b"discarded"));
    stays("staging discarded");
    if let Some(posix) = backend.posix() {
        posix.set_attributes(&store, &key, &AttributeChange::default()).unwrap();
        stays("nothing changed");
    }
    if let Some(durability) = backend.durability() {
        durability.sync_store(&store).unwrap();
        stays("store synced");
    }
}

pub(crate) fn set_attributes_changes_only_what_it_is_told(backend: &dyn Backend) {
    let Some(posix) = all_posix(backend) else { return };
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"text", &ContentType::text());
    let original = backend.record(&store, &key).unwrap();
    let set = |change: AttributeChange| {
        let said = posix.set_attributes(&store, &key, &change).unwrap();
        assert_eq!(said, backend.record(&store, &key).unwrap());
        said
    };
    let nothing = AttributeChange::default();

    let after = set(AttributeChange { mode: Some(0o604), ..nothing });
    assert_eq!(after.mode, 0o604);
    assert_eq!((after.modified, after.accessed), (original.modified, original.accessed));

    let modified = since_epoch(1_100_000_000);
    let after = set(AttributeChange { modified: Some(TimeChange::At(modified)), ..nothing });
    assert_eq!((after.modified, after.accessed), (modified, original.accessed));
    assert_ne!(after.stamp, original.stamp);

    let accessed = since_epoch(1_200_000_000);
    let after = set(AttributeChange { accessed: Some(TimeChange::At(accessed)), ..nothing });
    assert_eq!((after.modified, after.accessed, after.mode), (modified, accessed, 0o604));

    let (uid, gid) = (original.uid, original.gid);
    let after = set(AttributeChange { uid: Some(uid), gid: Some(gid), ..nothing });
    assert_eq!((after.uid, after.gid, after.mode), (uid, gid, 0o604));
    assert_eq!((after.modified, after.accessed), (modified, accessed));
    assert_record(backend, &store, &key, b"text", &ContentType::text());
}

pub(crate) fn set_attributes_takes_now(backend: &dyn Backend) {
    let Some(posix) = all_posix(backend) else { return };
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"text");
    let old = Some(TimeChange::At(since_epoch(1_000_000_000)));
    let now = Some(TimeChange::Now);
    let recent = |time: SystemTime| {
        // Neither the old time nor one far in the future; a slow machine makes no difference.
        SystemTime::now().duration_since(time).is_ok_and(|ago| ago < Duration::from_secs(86_400))
    };
    let set = |accessed, modified| {
        let change = AttributeChange { accessed, modified, ..AttributeChange::default() };
        posix.set_attributes(&store, &key, &change).unwrap()
    };
    set(old, old);
    let after = set(None, now);
    assert!(recent(after.modified) && !recent(after.accessed));
    set(old, old);
    let after = set(now, None);
    assert!(!recent(after.modified) && recent(after.accessed));
    let after = set(now, now);
    assert!(recent(after.modified) && recent(after.accessed));
}

pub(crate) fn set_attributes_refuses_a_missing_record(backend: &dyn Backend) {
    let Some(posix) = backend.posix() else { return };
    let (store, key) = (create(backend, "default"), key("missing"));
    for change in [
        AttributeChange::default(),
        AttributeChange { mode: Some(0o600), ..AttributeChange::default() },
        AttributeChange { modified: Some(TimeChange::Now), ..AttributeChange::default() },
    ] {
        assert_no_record(posix.set_attributes(&store, &key, &change), &store, &key);
    }
}
