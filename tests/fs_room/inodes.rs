//! Inodes, and which one an open is led to.

use super::*;

#[test]
fn what_is_forgotten_takes_no_inode() {
    const RECORDS: usize = 100_000;
    let room = Room::new();
    let default = StoreName::default_store();
    for number in 0..RECORDS {
        room.backend.inner.insert_bare(&default, &key(&format!("k{number}")), b"v").unwrap();
    }
    let base = room.counter("inodes");
    let inos: Vec<Ino> = (0..RECORDS).map(|number| room.ino(1, &format!("k{number}"))).collect();
    assert_eq!(inos.iter().collect::<BTreeSet<_>>().len(), RECORDS);
    assert_eq!(room.counter("inodes"), base + RECORDS as u64);
    for ino in &inos {
        room.fs.forget(*ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
    assert!(matches!(room.fs.getattr(inos[0]), Err(FsError::Stale)));
}

#[test]
fn an_inode_lasts_until_every_lookup_is_forgotten() {
    let room = Room::new();
    room.set("k", "v");
    let base = room.counter("inodes");
    let ino = room.ino(1, "k");
    for _ in 0..4 {
        assert_eq!(room.ino(1, "k"), ino);
    }
    room.fs.forget(ino, 2);
    room.fs.forget(ino, 2);
    assert_eq!(room.fs.getattr(ino).unwrap().attributes.size, 1);
    room.fs.forget(ino, 1);
    assert_eq!(room.counter("inodes"), base);
    // A number stands for one version, also when the kernel has forgotten it, and is never given out twice.
    assert_eq!(room.ino(1, "k"), ino);
    room.set("k", "other");
    assert!(room.ino(1, "k") > ino);
}

#[test]
fn p01_p03_the_inode_of_the_writers_is_that_of_the_version_they_leave() {
    let room = Room::new();
    let (first, handle) = room.create(1, "k");
    room.write(handle, "one");
    room.close(handle);
    assert_eq!(room.ino(2, "k"), first);
    let keeps_cache = |ino| {
        let opened = room.fs.open(&thread(2), ino, READ).unwrap();
        assert_eq!(room.read(opened.handle), "one");
        room.fs.release(opened.handle);
        opened.keep_cache
    };
    assert!(!keeps_cache(first), "what the writers saw is not what was published");
    assert!(keeps_cache(first));

    // The next writers have another one, and readers keep what they have.
    let reader = room.open_by_name(2, "k", READ);
    let (second, handle) = room.create(1, "k");
    room.write(handle, "two");
    assert_ne!(second, first);
    assert_eq!(room.ino(2, "k"), first, "nothing is published yet");
    room.close(handle);
    assert_eq!(room.ino(2, "k"), second);
    assert_eq!(room.read(reader), "one");
    room.fs.release(reader);

    // Not where the version has an inode already, nor where it is no more.
    room.set("k", "by an SDK");
    let seen = room.ino(2, "k");
    let handle = room.open_by_name(1, "k", APPEND);
    room.close(handle);
    assert_eq!(room.ino(2, "k"), seen);
    let (third, handle) = room.create(1, "gone");
    room.write(handle, "soon");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    room.fs.unlink(room.store, b"gone").unwrap();
    room.fs.release(handle);
    assert!(room.lookup(2, "gone").is_err());
    room.set("gone", "again");
    assert_ne!(room.ino(2, "gone"), third);
}

#[test]
fn p03_an_inode_that_the_kernel_has_stays_the_name_s_when_its_writers_leave() {
    let room = Room::new();
    let (_, handle) = room.create(1, "new");
    room.write(handle, "new");
    room.fs.flush(&UNKNOWN, handle).unwrap();
    // As a rename does too, whose other half is still to come.
    let mode = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    room.engine().set_record_attributes(&key("new"), &mode).unwrap();
    let seen = room.ino(2, "new");
    room.fs.release(handle);
    room.fs.rename(room.store, b"new", room.store, b"k", false).unwrap();

    // The kernel moves the inode that it has, and so opens that; and looks but once again.
    assert_eq!(room.ino(2, "k"), seen);
    assert!(matches!(room.fs.open(&thread(2), seen, WRITE), Err(FsError::Stale)));
    let writer = room.ino(2, "k");
    room.close(room.open(2, writer, APPEND));
}

#[test]
fn p03_an_empty_record_is_there_after_close_when_the_threads_have_no_core() {
    let room = Room::new();
    room.set("empty", "old");
    let handle = room.open_by_name(1, "empty", TRUNCATE);
    let (begun, closed) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let release = || {
            begun.store(true, Ordering::Relaxed);
            while !closed.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            let since = Instant::now();
            while since.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
            room.fs.release(handle);
        };
        // Named as those are that serve the kernel.
        std::thread::Builder::new()
            .name("fuser-9".to_owned())
            .spawn_scoped(scope, release)
            .unwrap();
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        room.fs.flush(&UNKNOWN, handle).unwrap();
        closed.store(true, Ordering::Relaxed);
        assert_eq!(room.lookup(2, "empty").unwrap().attr.attributes.size, 0);
    });

    // Where all rest, none is on its way: the close was not the last.
    room.set("more", "old");
    let handle = room.open_by_name(1, "more", TRUNCATE);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    assert_eq!(room.lookup(2, "more").unwrap().attr.attributes.size, 3);
    room.close(handle);
    assert_eq!(room.lookup(2, "more").unwrap().attr.attributes.size, 0);
}

#[test]
fn p07_an_open_that_comes_late_is_served() {
    let room = Room::new();
    room.set("k", "old");
    let look_to_write = || {
        let version = room.ino(1, "k");
        assert!(matches!(room.fs.open(&thread(1), version, WRITE), Err(FsError::Stale)));
        let writer = room.ino(1, "k");
        std::thread::sleep(LONGER_THAN_OPENS_TAKE);
        writer
    };
    // From what is there by then.
    let writer = look_to_write();
    room.set("k", "by an SDK");
    let handle = room.open(1, writer, APPEND);
    assert_eq!(room.read(handle), "by an SDK");
    room.write(handle, " and me");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "by an SDK and me");

    // With others who have begun meanwhile, it shares what they write.
    let late = look_to_write();
    let other = room.open_by_name(2, "k", APPEND);
    room.write(other, ", another");
    let joined = room.open(1, late, WRITE);
    assert_eq!(room.read(joined), "by an SDK and me, another");
    room.close(joined);
    room.close(other);
    assert_eq!(room.counter("write_sessions"), 0);
}

#[test]
fn control_files_and_lookups_that_fail_take_no_inode_for_ever() {
    let room = Room::new();
    let base = room.counter("inodes");
    for name in ["@purge", METADATA] {
        room.fs.forget(room.ino(1, name), 1);
    }
    for name in ["absent", "@log", "x.__metadata__.json", "%41", "%2E"] {
        assert!(matches!(room.lookup(1, name), Err(FsError::NotFound)), "{name}");
    }
    assert!(room.fs.lookup(&thread(1), room.store, b"\xff").is_err());
    assert!(room.fs.lookup(&thread(1), STORES, b"absent").is_err());
    assert_eq!(room.counter("inodes"), base);
}

#[test]
fn p1_an_inode_does_not_follow_a_record_that_was_replaced_before_it_is_moved() {
    let room = Room::new();
    room.set("k", "old");
    let old = room.ino(1, "k");
    room.fs.rename(room.store, b"k", room.store, b"moved", false).unwrap();
    assert_eq!(room.ino(1, "moved"), old);
    // The kernel has pages of the old version, and has not looked again.
    room.set("moved", "new");
    room.fs.rename(room.store, b"moved", room.store, b"again", false).unwrap();
    assert!(room.ino(1, "again") > old);
}

#[test]
fn a_writers_inode_is_forgotten_with_its_lookups() {
    let room = Room::new();
    let base = room.counter("inodes");
    for round in 0..100 {
        let (ino, handle) = room.create(1, &format!("k{round}"));
        room.write(handle, "v");
        room.close(handle);
        room.fs.forget(ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
    assert_eq!(room.counter("write_sessions"), 0);
    assert_eq!(room.counter("handles"), 0);
}

// Versions

#[test]
fn a_version_cannot_be_opened_for_writing_but_its_name_can() {
    let room = Room::new();
    room.set("k", "old");
    let version = room.ino(1, "k");
    for mode in [WRITE, APPEND, TRUNCATE] {
        assert!(matches!(room.fs.open(&thread(1), version, mode), Err(FsError::Stale)));
    }
    assert_eq!(room.ino(2, "k"), version, "others see the version");
    let writer = room.ino(1, "k");
    assert_ne!(writer, version);
    let handle = room.open(1, writer, WRITE);
    assert_eq!(room.read(handle), "old");
    assert_eq!(room.ino(2, "k"), version, "others still see the version");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "old");
    assert_eq!(room.ino(2, "k"), version, "nothing was written, nothing has changed");
}

#[test]
fn the_writers_inode_is_there_even_if_new_versions_come_in_between() {
    let room = Room::new();
    room.set("k", "one");
    let version = room.ino(1, "k");
    assert!(matches!(room.fs.open(&thread(1), version, WRITE), Err(FsError::Stale)));
    room.set("k", "two");
    let writer = room.ino(1, "k");
    room.set("k", "three");
    let handle = room.open(1, writer, APPEND);
    room.write(handle, " and more");
    room.close(handle);
    assert_eq!(room.published("k").unwrap(), "three and more");
}

#[test]
fn p1_a_reader_keeps_its_version() {
    let room = Room::new();
    room.set("k", "one");
    let first = room.ino(1, "k");
    let handle = room.open(1, first, READ);
    room.set("k", "two, and longer");
    assert_eq!(room.read(handle), "one");
    let second = room.ino(1, "k");
    assert_ne!(second, first);
    assert_eq!(room.fs.getattr(first).unwrap().attributes.size, 3);
    assert_eq!(room.fs.getattr(first).unwrap().links, 0);
    room.fs.unlink(room.store, b"k").unwrap();
    assert_eq!(room.read(handle), "one");
    room.fs.release(handle);
}

#[test]
fn a_stale_open_is_answered_by_the_version_that_the_next_lookup_finds() {
    let room = Room::new();
    room.set("k", "one");
    let first = room.ino(1, "k");
    room.set("k", "two");
    assert!(matches!(room.fs.open(&thread(1), first, READ), Err(FsError::Stale)));
    let second = room.ino(1, "k");
    // The kernel looks again only once: now it must succeed, whatever happens.
    room.set("k", "three");
    let handle = room.open(1, second, READ);
    assert_eq!(room.read(handle), "two");
    room.fs.release(handle);
    // The pin was for that open alone.
    let third = room.open_by_name(1, "k", READ);
    assert_eq!(room.read(third), "three");
}

#[test]
fn a_stale_open_of_a_record_that_has_gone_says_so() {
    let room = Room::new();
    room.set("k", "one");
    let ino = room.ino(1, "k");
    room.engine().delete_value(&key("k")).unwrap();
    let opened = room.fs.open(&thread(1), ino, READ);
    let gone = match opened {
        Err(FsError::Stale) => room.lookup(1, "k").map(drop),
        opened => opened.map(drop),
    };
    assert!(
        matches!(gone, Err(FsError::NotFound | FsError::Storage(Error::NoSuchRecord { .. }))),
        "{gone:?}"
    );
}

#[test]
fn p01_an_open_for_reading_of_a_new_record_is_stale_at_most_once() {
    let room = Room::new();
    room.set("k", "old");
    let version = room.ino(2, "k");
    room.engine().delete_value(&key("k")).unwrap();
    assert!(matches!(room.fs.open(&thread(2), version, READ), Err(FsError::Stale)));
    // The kernel looks again, and finds a record that is just being made; before it opens that, it is published.
    let (new, handle) = room.create(1, "k");
    room.write(handle, "new");
    assert_eq!(room.ino(2, "k"), new);
    room.fs.flush(&UNKNOWN, handle).unwrap();
    let reader = room.open(2, new, READ);
    assert_eq!(room.read(reader), "new");
    room.write(handle, ", not closed");
    assert_eq!(room.read(reader), "new");
}

#[test]
fn p06_an_open_to_append_to_a_rotated_log_is_stale_at_most_once() {
    let room = Room::new();
    let (first, handle) = room.create(1, "log");
    assert_eq!(room.ino(2, "log"), first);
    room.close(handle);
    let looked = room.fs.open(&thread(2), first, APPEND);
    assert!(matches!(looked, Err(FsError::Stale)), "{looked:?}");
    room.fs.rename(room.store, b"log", room.store, b"log.1", false).unwrap();
    // The kernel finds that the name is gone, and looks once more before it makes the record itself.
    assert!(room.lookup(2, "log").is_err());
    let (second, handle) = room.create(3, "log");
    assert_eq!(room.ino(2, "log"), second);
    room.write(handle, "a line");
    room.close(handle);
    room.fs.rename(room.store, b"log", room.store, b"log.2", false).unwrap();
    let appender = room.open(2, second, APPEND);
    room.write(appender, ", another");
    room.close(appender);
    assert_eq!(room.published("log.2").unwrap(), "a line, another");
}

#[test]
fn p06_an_open_to_append_by_a_ticket_is_served_when_the_log_is_rotated() {
    let room = Room::new();
    room.set("log", "a line");
    let version = room.ino(0, "log");
    assert!(matches!(room.fs.open(&UNKNOWN, version, APPEND), Err(FsError::Stale)));
    let ticket = room.ino(0, "log");
    room.fs.rename(room.store, b"log", room.store, b"log.1", false).unwrap();
    let appender = room.open(0, ticket, APPEND);
    room.write(appender, ", another");
    room.close(appender);
    assert_eq!(room.published("log.1").unwrap(), "a line, another");
}

#[test]
fn p06_what_is_set_by_name_is_told_also_if_others_have_changed_attributes_before() {
    let room = Room::new();
    room.set("k", "value");
    let ino = room.ino(1, "k");
    // As others do, and the removal of a second link of a spared input after a purge.
    let others = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    room.engine().set_record_attributes(&key("k"), &others).unwrap();
    let own = AttributeChange { mode: Some(0o640), ..AttributeChange::default() };
    let change = AttrChange { size: None, attributes: own };
    let told = room.fs.setattr(&thread(1), ino, &change, None).unwrap();
    assert_eq!(told.attributes.mode & 0o777, 0o640);
    assert_eq!(told.links, 1, "it is the record that has the name");
}
