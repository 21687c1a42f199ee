//! fsync on a PostgreSQL server that is set to acknowledge commits before they are durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::common::postgres::{self, Server};
use crate::common::{can_mount, wait_until};
use crate::database::{Database, STORE, bytes};

/// Commits wait for nothing, and what they have logged goes to the disk seldom.
const LATE: [&str; 4] = [
    "synchronous_commit=off",
    "wal_writer_delay=10s",
    "wal_writer_flush_after=1GB",
    "bgwriter_lru_maxpages=0",
];

/// How something that was published is made durable, and what that is: seed and size.
type Sync = (&'static str, fn(&Path) -> io::Result<()>, (u32, usize));

const SYNCS: [Sync; 4] = [
    (
        "its writer's",
        |path| {
            let mut file = File::create(path)?;
            file.write_all(&bytes(1, 3000))?;
            file.sync_all()
        },
        (1, 3000),
    ),
    (
        "its reader's",
        |path| {
            fs::write(path, bytes(2, 3000))?;
            File::open(path)?.sync_all()
        },
        (2, 3000),
    ),
    (
        "its store's",
        |path| {
            fs::write(path, bytes(3, 3000))?;
            File::open(path.parent().unwrap())?.sync_all()
        },
        (3, 3000),
    ),
    (
        "a large one's writer's",
        |path| {
            let mut file = File::create(path)?;
            file.write_all(&bytes(4, 3_000_000))?;
            file.sync_all()
        },
        (4, 3_000_000),
    ),
];

/// What is left of a record when the server has died, all that it had not yet written being lost.
fn left(server: &Server, db: &Database) -> Option<Vec<u8>> {
    server.stop();
    server.start_again();
    db.record("k").map(|(value, _)| value)
}

#[test]
fn p5_an_fsync_is_durable_where_commits_are_not() {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::own(&LATE) else { return };
    let server: &Server = Box::leak(Box::new(server));
    let db = Database::postgres(server, server.database());
    let mount = db.mount_with_store();
    File::open(mount.store(STORE)).unwrap().sync_all().unwrap();
    let path = mount.store(STORE).join("k");
    // Without an fsync it may be lost: else this would tell nothing.
    wait_until("what is closed is lost", || {
        fs::write(&path, "late").unwrap();
        left(server, &db).as_deref() != Some(b"late")
    });
    for (how, sync, value) in SYNCS {
        sync(&path).unwrap();
        assert!(left(server, &db) == Some(bytes(value.0, value.1)), "{how} fsync");
        assert!(fs::read(&path).unwrap() == bytes(value.0, value.1));
    }
}
