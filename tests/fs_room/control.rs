//! Control files, and what is refused.

use super::*;

/// What `@purge` shows.
#[track_caller]
fn report(room: &Room) -> Json {
    let handle = room.open(1, room.ino(1, "@purge"), READ);
    let text = room.read(handle);
    room.fs.release(handle);
    serde_json::from_str(&text).unwrap()
}

/// Notes of which inodes the kernel is told to ask again.
#[derive(Clone, Debug, Default)]
struct Dropped(Arc<Mutex<BTreeSet<Ino>>>);

impl Invalidate for Dropped {
    fn attributes(&self, inodes: &[Ino]) {
        self.0.lock().extend(inodes);
    }
}

#[test]
fn p15_a_purge_is_a_write_of_one() {
    let room = Room::new();
    for name in ["INPUT.json", "a", "b/c"] {
        room.set(name, "{}");
    }
    assert_eq!(report(&room)["purged_at"], Json::Null);
    for text in [b"2".as_slice(), b"11", b"1 ", b"\n", b"1\n\n"] {
        assert!(matches!(purge(&room, text), Err(FsError::Invalid)), "{text:?}");
    }
    assert_eq!(room.names(), set_of([METADATA, "INPUT.json", "a", "b%2Fc"]));

    let dropped = Dropped::default();
    room.fs.set_notifier(Box::new(dropped.clone()));
    let removed = [room.ino(1, "a"), room.ino(1, "b%2Fc")];
    purge(&room, b"1\n").unwrap();
    assert_eq!(room.names(), set_of([METADATA, "INPUT.json"]));
    let told = dropped.0.lock().clone();
    for ino in removed {
        assert!(told.contains(&ino), "inode {ino} is not dropped: {told:?}");
    }
    let done = report(&room);
    assert_eq!((&done["removed"], &done["spared"][0]), (&2.into(), &"INPUT.json".into()));
}

#[test]
fn what_the_last_purge_did_is_known_when_the_kernel_has_forgotten_the_store() {
    let room = Room::new();
    room.set("k", "v");
    purge(&room, b"1").unwrap();
    let before = report(&room);
    let purge_ino = room.ino(1, "@purge");
    // Each lookup of the tests' own is forgotten, then the store itself.
    room.fs.forget(purge_ino, u64::MAX);
    room.fs.forget(room.store, u64::MAX);
    let store = room.fs.lookup(&thread(1), STORES, b"default").unwrap().attr.ino;
    let room = Room { store, ..room };
    assert_eq!(report(&room), before);
}

#[test]
fn p10_a_type_set_by_hand_holds_when_the_kernel_has_forgotten_the_store() {
    let room = Room::new();
    room.set("k", "{}");
    let ino = room.ino(1, "k");
    room.fs.setxattr(ino, b"user.mime_type", b"application/json", false).unwrap();
    room.fs.forget(ino, u64::MAX);
    room.fs.forget(room.store, u64::MAX);
    let store = room.fs.lookup(&thread(1), STORES, b"default").unwrap().attr.ino;
    let room = Room { store, ..room };
    let handle = room.open_by_name(1, "k", TRUNCATE);
    room.write(handle, "{no json");
    room.close(handle);
    let content_type = room.engine().content_type(&key("k")).unwrap();
    assert_eq!(content_type.as_str(), "application/json");
}

#[test]
fn the_status_is_json_and_counts() {
    let room = Room::new();
    let root = storefs::fs::ROOT;
    let ino = room.fs.lookup(&thread(1), root, b"@status").unwrap().attr.ino;
    let (_, writer) = room.create(1, "k");
    let handle = room.open(1, ino, READ);
    let status: Json = serde_json::from_str(&room.read(handle)).unwrap();
    assert_eq!(status["pid"], std::process::id());
    assert_eq!(status["write_sessions"], 1);
    assert!(matches!(room.fs.open(&thread(1), ino, WRITE), Err(FsError::NotPermitted)));
    room.fs.release(handle);
    room.fs.release(writer);
}

#[test]
fn a_read_only_file_system_refuses_every_change() {
    let options = FsOptions { read_only: true, ..FsOptions::default() };
    let room = Room::with_options(options);
    room.set("k", "v");
    let ino = room.ino(1, "k");
    let control = room.ino(1, "@purge");
    let caller = thread(1);
    let create = room.fs.create(&caller, room.store, b"new", 0o644, WRITE).map(drop);
    let (fs, store) = (&room.fs, room.store);
    let refusals = [
        ("open", fs.open(&caller, ino, WRITE).map(drop)),
        ("open @purge", fs.open(&caller, control, WRITE).map(drop)),
        ("truncate", fs.open(&caller, ino, OpenMode { truncate: true, ..READ }).map(drop)),
        ("create", create),
        ("mknod", fs.mknod(&caller, store, b"new", 0o644).map(drop)),
        ("mkdir", fs.mkdir(&caller, STORES, b"new", 0o755).map(drop)),
        ("rmdir", fs.rmdir(STORES, b"default")),
        ("unlink", fs.unlink(store, b"k")),
        ("rename", fs.rename(store, b"k", store, b"new", false)),
        ("setattr", fs.setattr(&caller, ino, &AttrChange::default(), None).map(drop)),
        ("setxattr", fs.setxattr(ino, b"user.mime_type", b"a/b", false)),
        ("removexattr", fs.removexattr(ino, b"user.mime_type")),
    ];
    for (what, refused) in refusals {
        assert!(matches!(refused, Err(FsError::ReadOnly)), "{what}: {refused:?}");
    }
    let handle = room.open(1, ino, READ);
    assert_eq!(room.read(handle), "v");
    assert_eq!(room.names(), set_of([METADATA, "k"]));
}

#[test]
fn a_store_is_made_only_under_a_name_that_a_store_can_have() {
    let room = Room::new();
    let mkdir = |name: &[u8]| room.fs.mkdir(&thread(1), STORES, name, 0o755);
    for name in [b"".as_slice(), b".", b"..", b"a/b", b"a\0b"] {
        let made = mkdir(name);
        assert!(
            matches!(made, Err(FsError::Storage(Error::InvalidStoreName { .. }))),
            "{name:?}: {made:?}"
        );
    }
    let long = [b's'; 256];
    assert!(matches!(mkdir(&long), Err(FsError::Storage(Error::NameTooLong { .. }))));
    assert!(matches!(mkdir(b"\xff"), Err(FsError::NotUnicode)));
    assert!(matches!(mkdir(b"default"), Err(FsError::Storage(Error::StoreExists { .. }))));
    assert_eq!(room.fs.storage().stores().unwrap(), [StoreName::default_store()]);
    for parent in [storefs::fs::ROOT, room.store] {
        let made = room.fs.mkdir(&thread(1), parent, b"new", 0o755);
        assert!(matches!(made, Err(FsError::NotPermitted)), "{made:?}");
    }
}

#[test]
fn p10_a_purge_keeps_the_type_of_an_input_that_is_being_made() {
    let room = Room::new();
    let (ino, handle) = room.create(1, "INPUT");
    room.fs.setxattr(ino, b"user.mime_type", b"text/x-own", false).unwrap();
    purge(&room, b"1").unwrap();
    assert_eq!(room.fs.getxattr(ino, b"user.mime_type").unwrap(), b"text/x-own");
    room.close(handle);
}
