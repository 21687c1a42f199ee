//! Listings.

use super::*;

/// Lists from a cookie on as much as fits into a buffer of so many names. Gives back the next cookie.
fn list(room: &Room, handle: Handle, cookie: u64, room_for: usize, into: &mut Vec<String>) -> u64 {
    let (mut next, mut taken) = (cookie, 0);
    let add = |listed: &storefs::fs::Listed<'_>| {
        if taken == room_for {
            return true;
        }
        taken += 1;
        next = listed.next;
        into.push(String::from_utf8(listed.name.to_vec()).unwrap());
        false
    };
    room.fs.readdir(handle, cookie, add).unwrap();
    next
}

#[test]
fn a_listing_goes_on_where_it_stopped() {
    let room = Room::new();
    let keys: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    for name in &keys {
        room.set(name, "v");
    }
    let handle = room.fs.opendir(room.store).unwrap();
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let next = list(&room, handle, cookie, 3, &mut names);
        if next == cookie {
            break;
        }
        cookie = next;
    }
    let dots = [".", "..", METADATA].map(String::from);
    let expected: BTreeSet<String> = keys.iter().cloned().chain(dots).collect();
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(names[..2], [".", ".."]);
}

#[test]
fn a_listing_is_not_confused_by_what_happens_meanwhile() {
    let room = Room::new();
    for number in 0..10 {
        room.set(&format!("k{number}"), "v");
    }
    let handle = room.fs.opendir(room.store).unwrap();
    let mut names = Vec::new();
    let cookie = list(&room, handle, 0, 5, &mut names);
    let begun = names.clone();
    for name in begun.iter().filter(|name| name.starts_with('k')) {
        room.fs.unlink(room.store, name.as_bytes()).unwrap();
    }
    room.set("later", "v");
    list(&room, handle, cookie, 100, &mut names);
    let kept: Vec<&String> = names.iter().filter(|name| name.starts_with('k')).collect();
    assert_eq!(kept.len(), 10, "{names:?}");
    assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), 10, "{names:?}");
    // The same cookie leads to the same place; the beginning to a new listing.
    let mut again = Vec::new();
    list(&room, handle, cookie, 1, &mut again);
    assert_eq!(again[0], names[5]);
    let mut anew = Vec::new();
    list(&room, handle, 0, 100, &mut anew);
    assert!(anew.contains(&"later".to_owned()));
    assert!(!anew.contains(&begun[4]), "{anew:?}");
    room.fs.releasedir(handle);
    assert!(matches!(room.fs.readdir(handle, 0, |_| true), Err(FsError::BadHandle)));
}

#[test]
fn readdirplus_takes_back_the_lookup_that_found_no_room() {
    let room = Room::new();
    for number in 0..10 {
        room.set(&format!("k{number}"), "v");
    }
    let base = room.counter("inodes");
    let handle = room.fs.opendir(room.store).unwrap();
    let mut told = Vec::new();
    let mut next = 0;
    for expected in [3_usize, 6, 9, 11] {
        let (cookie, mut taken) = (next, 0);
        let add = |listed: &storefs::fs::Listed<'_>, entry: &Entry| {
            let is_dots = matches!(listed.name, b"." | b"..");
            if !is_dots && taken == 3 {
                return true;
            }
            next = listed.next;
            if !is_dots {
                taken += 1;
                told.push(entry.attr.ino);
            }
            false
        };
        room.fs.readdirplus(&thread(1), handle, cookie, add).unwrap();
        assert_eq!(told.len(), expected);
        assert_eq!(room.counter("inodes"), base + expected as u64);
    }
    for ino in &told {
        room.fs.forget(*ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
    room.fs.releasedir(handle);
}

#[test]
fn readdirplus_passes_over_what_has_gone() {
    let room = Room::new();
    room.set("gone", "v");
    room.set("stays", "v");
    let handle = room.fs.opendir(room.store).unwrap();
    room.fs.readdir(handle, 0, |_| true).unwrap();
    room.engine().delete_value(&key("gone")).unwrap();
    let mut names = BTreeSet::new();
    let add = |listed: &storefs::fs::Listed<'_>, _: &Entry| {
        names.insert(String::from_utf8(listed.name.to_vec()).unwrap());
        false
    };
    room.fs.readdirplus(&thread(1), handle, 2, add).unwrap();
    assert_eq!(names, set_of([METADATA, "stays"]));
}

#[test]
fn p19_a_record_that_cannot_be_looked_at_hides_no_other_and_leaves_no_lookup() {
    let room = Room::new();
    for name in ["a", "bad", "c"] {
        room.set(name, "v");
    }
    *room.backend.bad.lock() = Some(key("bad"));
    let base = room.counter("inodes");
    let handle = room.fs.opendir(room.store).unwrap();
    let mut told = Vec::new();
    let add = |listed: &storefs::fs::Listed<'_>, entry: &Entry| {
        if !matches!(listed.name, b"." | b"..") {
            told.push((String::from_utf8(listed.name.to_vec()).unwrap(), entry.attr.ino));
        }
        false
    };
    room.fs.readdirplus(&thread(1), handle, 0, add).unwrap();
    let names: BTreeSet<String> = told.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, set_of([METADATA, "a", "bad", "c"]));
    let bad = told.iter().find(|(name, _)| name == "bad").unwrap().1;
    let looked = room.fs.getattr(bad);
    assert!(matches!(looked, Err(FsError::Storage(Error::Io { .. }))), "{looked:?}");
    for (_, ino) in told {
        room.fs.forget(ino, 1);
    }
    assert_eq!(room.counter("inodes"), base);
}
