//! All connections of a mount are held by statements that wait for another's lock.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::common::{can_mount, names, postgres, wait_until};
use crate::database::{Database, STORE, bytes, within};
use crate::server::hasty;

/// What is held, by which statement, and how many connections of a mount then wait for it.
struct Held {
    by: &'static str,
    waiting: u64,
    /// Whether who only looks is served all the same.
    lets_look: bool,
    /// How often others come.
    rounds: u32,
}

/// Records: what would change them waits, and has a share of the connections.
const RECORDS_HELD: Held = Held {
    by: "SELECT count(*) FROM \
         (SELECT key FROM key_value_store_records WHERE key LIKE 'held-%' FOR UPDATE) held",
    waiting: 6,
    lets_look: true,
    rounds: 4,
};
/// All of them, from readers too, who have all connections.
const TABLE_HELD: Held = Held {
    by: "LOCK TABLE key_value_store_records IN ACCESS EXCLUSIVE MODE",
    waiting: 8,
    lets_look: false,
    rounds: 1,
};

/// A program's call is several requests, each of which has the deadline of three seconds.
const LIMIT: Duration = Duration::from_secs(20);
/// More records than that, each of which somebody wants to write.
const RECORDS: u32 = 12;

/// How many statements of a mount wait for locks.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'storefs' \
     AND wait_event_type = 'Lock' AND datname = current_database()";

/// Tells that all is held, and keeps it until it is told to let go.
const HOLD: &str = "SELECT pg_advisory_xact_lock(1); \
     DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM let_go) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$; \
     ROLLBACK";
const IS_HELD: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// What was done in time; `None` if it is refused because all is busy.
#[track_caller]
fn tried<T>(what: &str, work: impl FnOnce() -> io::Result<T>) -> Option<T> {
    match within(LIMIT, work) {
        Ok(done) => Some(done),
        Err(error) => {
            let errno = error.raw_os_error();
            let busy = [Errno::AGAIN, Errno::TIMEDOUT].map(|it| Some(it.raw_os_error()));
            assert!(busy.contains(&errno), "{what}: {error}");
            None
        }
    }
}

/// Lets the records go also when the test fails, so that nobody waits for it.
struct LettingGo<'a>(&'a Database, &'a AtomicBool);

impl Drop for LettingGo<'_> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.sql("INSERT INTO let_go VALUES (1)");
    }
}

#[test]
fn p7_who_looks_is_served_while_changes_wait_for_locks() {
    others_come_through(&RECORDS_HELD);
}

#[test]
fn p7_who_finds_all_connections_waiting_for_a_lock_is_told_or_served() {
    others_come_through(&TABLE_HELD);
}

fn others_come_through(what: &Held) {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let db = Database::postgres(server, server.database());
    db.run(&["create", STORE]);
    db.sql("CREATE TABLE let_go (a integer)");
    let mount = hasty(&db, server.port());
    let store = mount.store(STORE);
    let held = |record: u32| store.join(format!("held-{record}"));
    for record in 0..RECORDS {
        fs::write(held(record), "old").unwrap();
    }
    let other = store.join("other");
    fs::write(&other, "value").unwrap();
    let open = File::open(&other).unwrap();
    // Opened before: the kernel lets only one at a time make or look for a new name in a directory.
    let writing: Vec<_> = (0..RECORDS)
        .map(|record| {
            let mut file = File::create(held(record)).unwrap();
            file.write_all(&bytes(record, 3000)).unwrap();
            file
        })
        .collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| db.sql(&format!("BEGIN; {}; {HOLD}", what.by)));
        let letting_go = LettingGo(&db, &is_over);
        wait_until("the records are held", || db.sql(IS_HELD) == "1");
        let writers: Vec<_> = writing
            .into_iter()
            .map(|file| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut refused = 0;
                    while tried("sync", || file.sync_all()).is_none() {
                        refused += 1;
                    }
                    assert!(is_over.load(Ordering::SeqCst), "it is held");
                    refused
                })
            })
            .collect();
        // Each its own record: who looks a name up has others wait for him in the kernel.
        for reader in 0..4 {
            let (path, is_over) = (held(reader), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    tried("stat", || fs::metadata(&path));
                }
            });
        }
        // Others come in between, as soon as somebody gives up.
        for round in 0..what.rounds {
            wait_until("connections wait", || db.number(WAITING) >= what.waiting);
            // What needs no server is there at once.
            within(Duration::from_secs(2), || drop(mount.status()));
            let mut value = [0; 5];
            within(Duration::from_secs(2), || open.read_exact_at(&mut value, 0)).unwrap();
            assert_eq!(&value, b"value");
            let list = || fs::read_dir(&store)?.collect::<io::Result<Vec<_>>>();
            let looked =
                [tried("read", || fs::read(&other).map(drop)), tried("list", || list().map(drop))];
            let expected = if what.lets_look { Some(()) } else { None };
            assert_eq!(looked, [expected; 2]);
            tried("make", || {
                let mut file = File::create(store.join(format!("made-{round}")))?;
                file.write_all(b"x")?;
                file.sync_all()
            });
        }
        drop(letting_go);
        let refused: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert!(refused > 0, "nobody has waited in vain");
    });
    for record in 0..RECORDS {
        assert!(fs::read(held(record)).unwrap() == bytes(record, 3000), "{record}");
        assert_eq!(db.record(&format!("held-{record}")).unwrap().0.len(), 3000);
    }
    fs::write(store.join("after"), "x").unwrap();
    assert_eq!(fs::read(store.join("after")).unwrap(), b"x");
    assert!(names(&store).contains("after"));
}
