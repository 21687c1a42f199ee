//! What the file system fetches of a far record that is open for writing.

use storefs::fs::{
    AttrChange, Caller, Extent, FileSystem, FsError, FsOptions, Handle, Ino, OpenMode, Position,
    STORES,
};
use storefs::model::{ContentType, Error, RecordType};

use super::{Room, key, replaced};

const WRITE: OpenMode = OpenMode { read: true, write: true, truncate: false, exclusive: false };
const SIZE: u64 = 1 << 20;

/// A file system with a far record, open for writing.
struct Session {
    room: Room,
    fs: FileSystem,
    ino: Ino,
    handle: Handle,
}

impl Session {
    fn begin() -> Self {
        let room = Room::new();
        let bytes = vec![b'o'; usize::try_from(SIZE).unwrap()];
        room.put(&key("a"), &bytes, RecordType::given(ContentType::bytes()));
        let fs = FileSystem::new(room.store.storage().clone(), FsOptions::default());
        let caller = caller();
        let store = fs.lookup(&caller, STORES, b"default").unwrap().attr.ino;
        let look = || fs.lookup(&caller, store, b"a").unwrap().attr.ino;
        let (ino, opened) = match fs.open(&caller, look(), WRITE) {
            Err(FsError::Stale) => {
                let ino = look();
                (ino, fs.open(&caller, ino, WRITE))
            }
            _ => panic!("an open for writing is led to an inode of its own"),
        };
        let handle = opened.unwrap().handle;
        Self { room, fs, ino, handle }
    }

    fn write(&self, data: &[u8], position: Position) {
        self.fs.write(self.handle, data, position.into()).unwrap();
    }

    fn truncate(&self, size: u64) {
        let change = AttrChange { size: Some(size), ..AttrChange::default() };
        self.fs.setattr(&caller(), self.ino, &change, Some(self.handle)).unwrap();
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let count = self.fs.read(self.handle, &mut buffer, offset).unwrap();
        buffer.truncate(count);
        buffer
    }

    fn published(&self) -> Vec<u8> {
        self.room.store.get_value(&key("a")).unwrap().unwrap().bytes().unwrap()
    }
}

fn caller() -> Caller {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    Caller { uid, gid, thread: (1 << 23) + 1 }
}

#[test]
fn p06_an_append_fetches_nothing() {
    let session = Session::begin();
    session.write(b"appended", Position::End);
    assert_eq!(session.room.far.read(), []);
    let Session { fs, handle, .. } = &session;
    assert!(!fs.read_waits(*handle, SIZE, 8) && !fs.handle_waits(*handle).busy);
    assert!(fs.read_waits(*handle, SIZE - 1, 8), "it may take a network");
    assert_eq!(session.read(SIZE, 8), b"appended");
    assert_eq!(session.room.far.read(), []);
    assert_eq!(session.read(SIZE - 2, 4), b"ooap");
    assert_eq!(session.room.far.read(), [SIZE - 2..SIZE]);
    fs.flush(&caller(), *handle).unwrap();
    assert_eq!(session.published()[SIZE as usize - 1..], *b"oappended");
}

#[test]
fn p06_a_cut_a_rewrite_and_a_hole_fetch_nothing() {
    let session = Session::begin();
    let Session { fs, ino, handle, .. } = &session;
    session.truncate(500_000);
    session.truncate(600_000);
    session.write(b"rewritten", Position::At(1000));
    fs.zero(*handle, 8192, 8192, true).unwrap();
    fs.reserve(*handle, 0, 700_000, false).unwrap();
    assert_eq!(fs.seek(*ino, *handle, 20_000, Extent::Hole).unwrap(), 500_000);
    assert_eq!(fs.seek(*ino, *handle, 20_000, Extent::Data).unwrap(), 20_000);
    assert_eq!(session.room.far.read(), []);
    fs.flush(&caller(), *handle).unwrap();
    let mut expected = vec![b'o'; 500_000];
    expected.resize(700_000, 0);
    expected[1000..1009].copy_from_slice(b"rewritten");
    expected[8192..16_384].fill(0);
    assert!(session.published() == expected);
}

#[test]
fn p07_a_close_that_cannot_fetch_is_told_and_keeps_the_old_version() {
    let unreachable = || Error::Backend {
        kind: storefs::model::BackendErrorKind::TimedOut,
        action: "read".to_owned(),
        source: "no answer".into(),
    };
    let session = Session::begin();
    let Session { fs, handle, room, .. } = &session;
    session.write(b"new", Position::At(1000));
    room.far.fail(Some(unreachable));
    assert!(fs.read(*handle, &mut [0; 10], 0).is_err());
    assert!(fs.flush(&caller(), *handle).is_err());
    room.far.fail(None);
    assert!(session.published() == vec![b'o'; SIZE as usize]);
    // It is still staged, and for the next close.
    fs.flush(&caller(), *handle).unwrap();
    assert_eq!(session.published()[999..1004], *b"onewo");

    let session = Session::begin();
    let Session { fs, handle, room, .. } = &session;
    session.write(b"new", Position::At(1000));
    room.far.fail(Some(replaced));
    let failed = fs.flush(&caller(), *handle).unwrap_err();
    assert!(matches!(failed, FsError::Storage(Error::RecordReplaced { .. })), "{failed:?}");
    room.far.fail(None);
    assert!(session.published() == vec![b'o'; SIZE as usize]);
}
