//! What the file system makes of what a storage cannot, and of what its listing tells.

use storefs::fs::Listed;
use storefs::model::TimeChange;

use super::*;

/// A room over a storage whose listing tells more than keys.
fn telling() -> Room {
    Room::over(Watched { tells: true, ..Watched::default() }, FsOptions::default())
}

/// Names and sizes of records, from a cookie on, so many at most; and the next cookie.
fn list_plus(room: &Room, handle: Handle, cookie: u64, most: usize) -> (Vec<(String, u64)>, u64) {
    let (mut found, mut next) = (Vec::new(), cookie);
    let add = |listed: &Listed<'_>, entry: &Entry| {
        if found.len() == most {
            return true;
        }
        found.push((String::from_utf8(listed.name.to_vec()).unwrap(), entry.attr.attributes.size));
        next = listed.next;
        false
    };
    room.fs.readdirplus(&thread(1), handle, cookie, add).unwrap();
    (found, next)
}

#[test]
fn a_listing_that_tells_attributes_asks_of_no_record() {
    let room = telling();
    for number in 0..10 {
        room.set(&format!("k{number}"), &"v".repeat(number));
    }
    let handle = room.fs.opendir(room.store).unwrap();
    let before = room.backend.looks.load(Ordering::Relaxed);
    let (listed, _) = list_plus(&room, handle, 3, 100);
    let expected: Vec<_> = (0..10).map(|number| (format!("k{number}"), number)).collect();
    assert_eq!(listed, expected);
    assert_eq!(room.backend.looks.load(Ordering::Relaxed), before);
    room.fs.releasedir(handle);
}

#[test]
fn p02_what_a_listing_told_gives_way_to_what_this_mount_has_done_since() {
    let room = telling();
    for number in 0..10 {
        room.set(&format!("k{number}"), "old");
    }
    let handle = room.fs.opendir(room.store).unwrap();
    let (begun, cookie) = list_plus(&room, handle, 3, 2);
    assert_eq!(begun.len(), 2);
    room.fs.unlink(room.store, b"k3").unwrap();
    let written = room.open_by_name(1, "k4", TRUNCATE);
    room.write(written, "new and longer");
    room.close(written);
    let to = b"k50";
    room.fs.rename(room.store, b"k5", room.store, to, false).unwrap();
    let (rest, _) = list_plus(&room, handle, cookie, 100);
    let expected = [("k2", 3), ("k4", 14), ("k6", 3), ("k7", 3), ("k8", 3), ("k9", 3)];
    assert_eq!(rest, expected.map(|(name, size)| (name.to_owned(), size)));
    // After a purge nothing of what was told holds.
    room.set("INPUT", "{}");
    let (begun, cookie) = list_plus(&room, handle, 0, 4);
    assert_eq!(begun.last().unwrap().0, "INPUT");
    purge(&room, b"1").unwrap();
    assert_eq!(list_plus(&room, handle, cookie, 100).0, []);
    room.fs.releasedir(handle);
}

/// What `rm -r` does: it removes all that is in a store, its metadata first, and then the store.
#[test]
fn metadata_that_is_part_of_the_store_is_removed_with_it() {
    let room = Room::new();
    room.set("a", "1");
    assert!(room.names().contains(METADATA));
    room.fs.unlink(room.store, METADATA.as_bytes()).unwrap();
    assert!(matches!(room.lookup(1, METADATA), Err(FsError::NotFound)));
    assert!(matches!(room.fs.unlink(room.store, METADATA.as_bytes()), Err(FsError::NotFound)));
    assert!(matches!(room.fs.rmdir(STORES, b"default"), Err(FsError::NotEmpty)));
    assert!(room.names().contains(METADATA), "it is still there for whoever lists the store");
    assert!(room.engine().get_metadata().unwrap().id.is_some());

    room.fs.unlink(room.store, METADATA.as_bytes()).unwrap();
    room.fs.unlink(room.store, b"a").unwrap();
    room.fs.rmdir(STORES, b"default").unwrap();
    assert_eq!(room.fs.storage().stores().unwrap(), []);
}

#[test]
fn metadata_that_is_part_of_the_store_is_edited_as_a_text() {
    let room = Room::new();
    let before = room.engine().get_metadata().unwrap();
    let text = String::from_utf8(room.engine().metadata_text().unwrap().unwrap().bytes).unwrap();
    let new = text.replace(before.id.as_deref().unwrap(), "HvTUFIxMPIib09NEi");
    let handle = room.open(1, room.ino(1, METADATA), TRUNCATE);
    room.fs.write(handle, new.as_bytes(), Position::At(0).into()).unwrap();
    room.close(handle);
    let after = room.engine().get_metadata().unwrap();
    assert_eq!(after.id.as_deref(), Some("HvTUFIxMPIib09NEi"));
    assert_eq!((after.name, after.times), (before.name, before.times));
    let shown = room.engine().metadata_text().unwrap().unwrap();
    assert_eq!(shown.bytes, new.as_bytes());
    assert_eq!(shown.attributes.size, new.len() as u64);
    // It cannot be moved away, and no text that is none takes its place.
    let moved = room.fs.rename(room.store, METADATA.as_bytes(), room.store, b"saved", false);
    assert!(matches!(moved, Err(FsError::NotPermitted)), "{moved:?}");
    let handle = room.open(1, room.ino(1, METADATA), TRUNCATE);
    room.fs.write(handle, b"{bad", Position::At(0).into()).unwrap();
    assert!(room.fs.flush(&UNKNOWN, handle).is_err());
    room.fs.release(handle);
    assert_eq!(room.engine().metadata_text().unwrap().unwrap().bytes, new.as_bytes());
}

#[test]
fn what_a_storage_does_not_keep_is_changed_without_effect_or_refused_if_strict() {
    let changes = [
        AttributeChange { mode: Some(0o600), ..AttributeChange::default() },
        AttributeChange { uid: Some(12_345), ..AttributeChange::default() },
        AttributeChange { modified: Some(TimeChange::Now), ..AttributeChange::default() },
    ];
    for strict in [false, true] {
        let backend = Watched { lacks_posix: true, ..Watched::default() };
        let room = Room::over(backend, FsOptions { strict, ..FsOptions::default() });
        room.set("a", "1");
        let (written, handle) = room.create(1, "b");
        for ino in [room.store, room.ino(1, "a"), written, room.ino(1, METADATA)] {
            let before = room.fs.getattr(ino).unwrap();
            for attributes in changes {
                let change = AttrChange { attributes, ..AttrChange::default() };
                let changed = room.fs.setattr(&thread(1), ino, &change, None);
                match strict {
                    true => assert!(matches!(changed, Err(FsError::NotPermitted)), "{changed:?}"),
                    false => assert_eq!(changed.unwrap().attributes.mode, before.attributes.mode),
                }
            }
            let after = room.fs.getattr(ino).unwrap();
            assert_eq!(after.attributes, before.attributes, "strict: {strict}");
        }
        // A length is no such attribute.
        let change = AttrChange { size: Some(3), ..AttrChange::default() };
        room.fs.setattr(&thread(1), written, &change, Some(handle)).unwrap();
        room.close(handle);
    }
}
