//! Write sessions.

use super::*;

#[test]
fn p03_a_new_record_is_in_the_mount_from_its_creation_and_elsewhere_once_it_is_published() {
    let room = Room::new();
    let (ino, handle) = room.create(1, "k");
    room.write(handle, "val");
    assert_eq!(room.published("k"), None);
    // Found, listed, and read as it grows.
    assert_eq!(room.ino(2, "k"), ino);
    assert_eq!(room.names(), set_of([METADATA, "k"]));
    let follower = room.open(2, ino, READ);
    assert_eq!(room.read(follower), "val");
    room.write(handle, "ue");
    assert_eq!(room.read(follower), "value");
    assert_eq!(room.lookup(2, "k").unwrap().attr.attributes.size, 5);
    let exclusive = OpenMode { exclusive: true, ..WRITE };
    let again = room.fs.create(&thread(2), room.store, b"k", 0o644, exclusive);
    assert!(matches!(again, Err(FsError::Exists)), "{again:?}");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("k").unwrap(), "value");
    assert_eq!(room.names(), set_of([METADATA, "k"]), "once");
    // Who reads along keeps what the writers leave, whatever comes later (P1).
    room.fs.release(handle);
    assert_eq!(room.read(follower), "value");
    let later = room.open_by_name(1, "k", TRUNCATE);
    room.write(later, "later");
    room.close(later);
    assert_eq!(room.read(follower), "value");
    room.fs.release(follower);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn p03_a_new_record_can_be_renamed_and_removed_before_it_is_published() {
    let room = Room::new();
    room.set("target", "old");
    let (_, handle) = room.create(1, "tmp");
    room.write(handle, "half");
    room.fs.rename(room.store, b"tmp", room.store, b"target", false).unwrap();
    assert_eq!(room.published("target").unwrap(), "half");
    room.write(handle, " and half");
    room.close(handle);
    assert_eq!(room.published("target").unwrap(), "half and half");
    assert_eq!(room.names(), set_of([METADATA, "target"]));

    let (_, handle) = room.create(1, "unlinked");
    room.fs.unlink(room.store, b"unlinked").unwrap();
    room.write(handle, "nowhere");
    assert_eq!(room.read(handle), "nowhere", "its writer still has it");
    room.close(handle);

    let base = room.held();
    let (ino, handle) = room.create(1, "followed");
    let follower = room.open(2, ino, READ);
    room.fs.unlink(room.store, b"followed").unwrap();
    room.write(handle, "nowhere");
    room.close(handle);
    assert_eq!(room.read(follower), "nowhere", "who has it open goes on");
    room.fs.release(follower);
    assert_eq!(room.held(), base);
    assert_eq!(room.published("unlinked"), None);
    assert!(matches!(room.lookup(1, "unlinked"), Err(FsError::NotFound)));
}

#[test]
fn p22_callers_without_a_number_open_what_they_mean() {
    let room = Room::new();
    room.set("k", "old");
    let (reader, writer) = (0, 0);
    // Both have looked the name up, and both are about to open it: nobody can tell whose lookup is whose.
    let version = room.ino(reader, "k");
    assert!(matches!(room.fs.open(&UNKNOWN, version, APPEND), Err(FsError::Stale)));
    let of_reader = room.ino(reader, "k");
    let of_writer = room.ino(writer, "k");
    assert!(of_reader != of_writer && of_reader != version);
    let writing = room.open(writer, of_writer, APPEND);
    room.write(writing, " and new");
    let reading = room.open(reader, of_reader, READ);
    assert_eq!(room.read(reading), "old", "what another has not closed is not seen");
    // A second writer shares with the first, by whatever inode.
    let other = room.open(writer, room.ino(writer, "k"), APPEND);
    room.write(other, "er");
    room.close(writing);
    room.close(other);
    assert_eq!(room.published("k").unwrap(), "old and newer");
    assert_eq!(room.read(reading), "old");
    room.fs.release(reading);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn p03_an_open_for_reading_is_never_led_to_what_others_have_not_closed() {
    let room = Room::new();
    room.set("k", "old");
    // An announced open that fails, since an SDK has deleted the record, leaves nothing behind.
    let version = room.ino(1, "k");
    assert!(matches!(room.fs.open(&thread(1), version, WRITE), Err(FsError::Stale)));
    room.engine().delete_value(&key("k")).unwrap();
    assert!(room.lookup(1, "k").is_err());
    room.set("k", "new");
    let other = room.open_by_name(2, "k", APPEND);
    room.write(other, " unclosed");
    let reader = room.open_by_name(1, "k", READ);
    assert_eq!(room.read(reader), "new");
    room.fs.release(reader);
    // Nor does one that never comes: the thread has looked the name up to write, and opens it to read.
    let version = room.ino(3, "k");
    assert!(matches!(room.fs.open(&thread(3), version, WRITE), Err(FsError::Stale)));
    let of_writers = room.ino(3, "k");
    let reader = room.open(3, of_writers, READ);
    assert_eq!(room.read(reader), "new");
    room.fs.release(reader);
    room.close(other);
}

#[test]
fn p06_a_record_that_others_have_deleted_does_not_come_back_by_an_idle_writer() {
    let room = Room::new();
    room.set("k", "deleted");
    let idle = room.open_by_name(1, "k", APPEND);
    room.engine().delete_value(&key("k")).unwrap();
    let (_, handle) = room.create(2, "k");
    room.write(handle, "new");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "new");
    room.write(idle, " bytes");
    room.close(idle);
    assert_eq!(room.published("k").unwrap(), "new");
}

#[test]
fn p06_what_is_purged_under_its_writers_does_not_come_back_by_them() {
    let room = Room::new();
    room.set("k", "old");
    let old = room.open_by_name(1, "k", APPEND);
    room.write(old, " and more");
    let (_, new) = room.create(1, "new");
    room.write(new, "never published");
    purge(&room, b"1").unwrap();
    room.close(old);
    room.close(new);
    assert_eq!(room.names(), set_of([METADATA]));
}

#[test]
fn p3_a_shell_that_closes_a_duplicate_before_it_writes_publishes_once() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("k").unwrap(), "old");
    room.write(handle, "new");
    assert_eq!(room.published("k").unwrap(), "old");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "new");
}

#[test]
fn a_truncation_alone_is_published_at_release() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("k").unwrap(), "old");
    room.fs.release(handle);
    assert_eq!(room.published("k").unwrap(), "");

    let (_, handle) = room.create(1, "empty");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.published("empty"), None);
    room.fs.release(handle);
    assert_eq!(room.published("empty").unwrap(), "");
}

#[test]
fn p8_a_writer_that_writes_nothing_changes_nothing() {
    let room = Room::new();
    room.set("k", "value");
    let before = room.engine().record(&key("k")).unwrap();
    for mode in [WRITE, APPEND] {
        let handle = room.open_by_name(1, "k", mode);
        room.close(handle);
    }
    assert_eq!(room.engine().record(&key("k")).unwrap(), before);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn p6_two_writers_share_what_is_staged() {
    let room = Room::new();
    room.set("k", "0");
    let one = room.open_by_name(1, "k", APPEND);
    let other = room.open_by_name(2, "k", APPEND);
    assert_eq!(room.counter("write_sessions"), 1);
    room.write(one, "1");
    assert_eq!(room.read(other), "01");
    room.write(other, "2");
    room.write(one, "3");
    assert_eq!(room.published("k").unwrap(), "0");
    room.close(one);
    room.write(other, "4");
    room.close(other);
    assert_eq!(room.published("k").unwrap(), "01234");
}

#[test]
fn p6_a_writer_joins_one_who_is_still_creating() {
    let room = Room::new();
    let (ino, one) = room.create(1, "k");
    room.write(one, "one");
    let (same, other) = room.create(2, "k");
    assert_eq!(same, ino);
    // The second open has truncated what they share, as in any file.
    assert_eq!(room.read(other), "");
    let exclusive = OpenMode { exclusive: true, ..WRITE };
    let refused = room.fs.create(&thread(3), room.store, b"k", 0o644, exclusive);
    assert!(matches!(refused, Err(FsError::Exists)), "{refused:?}");
    room.write(other, "other");
    room.close(one);
    room.close(other);
    assert_eq!(room.published("k").unwrap(), "other");
}

#[test]
fn an_unlinked_record_is_not_brought_back_by_its_writer() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.unlink(room.store, b"k").unwrap();
    assert_eq!(room.read(handle), "old and more", "the writer still has its file");
    room.write(handle, " and more");
    room.close(handle);
    assert_eq!(room.published("k"), None);
    assert_eq!(room.names(), set_of([METADATA]));
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn an_unlinked_record_does_not_overwrite_its_successor() {
    let room = Room::new();
    room.set("k", "old");
    let old = room.open_by_name(1, "k", APPEND);
    room.write(old, " and more");
    room.fs.unlink(room.store, b"k").unwrap();
    let (_, new) = room.create(2, "k");
    room.write(new, "new");
    room.close(new);
    room.close(old);
    assert_eq!(room.published("k").unwrap(), "new");
}

#[test]
fn a_renamed_record_takes_its_writer_along() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.rename(room.store, b"k", room.store, b"moved", false).unwrap();
    assert_eq!(room.published("moved").unwrap(), "old");
    room.close(handle);
    assert_eq!(room.published("moved").unwrap(), "old and more");
    assert_eq!(room.published("k"), None);
}

#[test]
fn a_record_that_is_replaced_by_a_rename_is_lost_to_its_writer() {
    let room = Room::new();
    room.set("k", "old");
    room.set("new", "new");
    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.rename(room.store, b"new", room.store, b"k", false).unwrap();
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "new");
    assert_eq!(room.names(), set_of([METADATA, "k"]));
}

#[test]
fn a_renamed_store_takes_its_writers_along() {
    let room = Room::new();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "value");
    room.fs.rename(STORES, b"default", STORES, b"renamed", false).unwrap();
    room.close(handle);
    let renamed = room.fs.storage().store(&StoreName::new("renamed").unwrap());
    assert!(renamed.record_exists(&key("k")).unwrap());
    assert!(room.fs.lookup(&thread(1), STORES, b"default").is_err());
    let again = room.fs.lookup(&thread(1), STORES, b"renamed").unwrap();
    assert_eq!(again.attr.ino, room.store);
}

#[test]
fn a_length_is_set_through_the_writers_inode() {
    let room = Room::new();
    room.set("k", "a long value");
    let version = room.ino(1, "k");
    let change = AttrChange { size: Some(6), ..AttrChange::default() };
    let refused = room.fs.setattr(&thread(1), version, &change, None);
    assert!(matches!(refused, Err(FsError::Stale)), "{refused:?}");
    let writer = room.ino(1, "k");
    let attr = room.fs.setattr(&thread(1), writer, &change, None).unwrap();
    assert_eq!(attr.attributes.size, 6);
    assert_eq!(room.published("k").unwrap(), "a long", "truncate(2) has no close to wait for");
    assert_eq!(room.fs.status()["write_sessions"], 0, "and no release that would end its session");
}

#[test]
fn p7_a_failed_publish_fails_the_close_and_keeps_the_old_version() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.write(handle, "new");
    room.backend.fails.store(true, Ordering::Relaxed);
    let failed = room.fs.flush(&UNKNOWN, handle);
    let Err(FsError::Storage(Error::Io { source, .. })) = &failed else { panic!("{failed:?}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(room.fs.flush(&UNKNOWN, handle).is_err(), "each close of it is told");
    assert!(room.fs.fsync(storefs::fs::ROOT, handle).is_err());
    room.backend.fails.store(false, Ordering::Relaxed);
    room.fs.release(handle);
    assert_eq!(room.published("k").unwrap(), "old", "what was called failed is not done later");
    assert_eq!(room.counter("write_sessions"), 0);

    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.write(handle, "newer");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "newer");
}

#[test]
fn p7_a_new_record_whose_publish_fails_is_not_there() {
    let room = Room::new();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "value");
    room.backend.fails.store(true, Ordering::Relaxed);
    assert!(room.fs.flush(&UNKNOWN, handle).is_err());
    room.fs.release(handle);
    assert_eq!(room.published("k"), None);
    assert!(matches!(room.lookup(1, "k"), Err(FsError::NotFound)));
    assert_eq!(room.names(), set_of([METADATA]));
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn what_nobody_has_open_is_not_held_whatever_the_kernel_remembers() {
    let room = Room::new();
    room.set("k", "old");
    let base = room.held();
    // None of the inodes is forgotten here.
    let handle = room.open_by_name(1, "k", READ);
    assert_eq!(room.held(), base + 1);
    room.fs.release(handle);
    assert_eq!(room.held(), base, "after reading");

    let (_, handle) = room.create(1, "made");
    room.write(handle, "value");
    assert_eq!(room.held(), base + 1);
    room.close(handle);
    assert_eq!(room.held(), base, "after writing");

    let handle = room.open_by_name(1, "k", WRITE);
    room.close(handle);
    assert_eq!(room.held(), base, "after an open for writing that wrote nothing");

    let handle = room.open_by_name(1, "k", APPEND);
    room.write(handle, " and more");
    room.fs.unlink(room.store, b"k").unwrap();
    room.close(handle);
    assert_eq!(room.held(), base, "after writing to what was removed");
}

#[test]
fn p7_what_could_not_be_published_is_not_kept_in_staging() {
    let room = Room::new();
    let base = room.held();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "value");
    room.backend.fails.store(true, Ordering::Relaxed);
    assert!(room.fs.flush(&UNKNOWN, handle).is_err());
    room.fs.release(handle);
    assert_eq!(room.held(), base, "on a full disk, this room is what everybody waits for");
}

#[test]
fn p7_a_publish_that_fails_after_the_last_close_is_counted() {
    let room = Room::new();
    room.set("k", "old");
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    room.backend.fails.store(true, Ordering::Relaxed);
    room.fs.release(handle);
    assert_eq!(room.published("k").unwrap(), "old");
    assert_eq!(room.counter("late_failures"), 1);
}

#[test]
fn p02_what_an_sdk_sets_under_a_name_that_is_being_made_is_seen_at_once() {
    let room = Room::new();
    let (_, handle) = room.create(1, "k");
    room.write(handle, "half");
    room.set("k", "by an SDK");
    let reader = room.open_by_name(2, "k", READ);
    assert_eq!(room.read(reader), "by an SDK");
}
