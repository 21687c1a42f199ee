//! PostgreSQL failed over to a standby, behind the same name or by a list of hosts, under a writer and a reader; and a
//! standby as a storage of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::common::postgres::Server;
use crate::common::{TempMount, wait_until};
use crate::database::{Database, STORE, bytes, mount, within};
use crate::opening::only_reads;
use crate::proxy::Proxy;
use crate::server::{LIMIT, own_server};

/// So many records are written in turn, each large one larger than what is sent at once.
const RECORDS: u32 = 10;
/// So many publishes or reads are waited for before the failover and behind it.
const MANY: usize = 40;
/// What may be said while no server writes.
const TROUBLE: [Errno; 4] = [Errno::IO, Errno::TIMEDOUT, Errno::AGAIN, Errno::ROFS];

/// What was done well, as far as both sides tell each other.
#[derive(Default)]
struct Work {
    /// The last number that a sync has acknowledged, by record.
    acknowledged: Mutex<BTreeMap<u32, u32>>,
    published: AtomicUsize,
    read: AtomicUsize,
    is_over: AtomicBool,
}

impl Work {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    fn acknowledged(&self) -> BTreeMap<u32, u32> {
        self.acknowledged.lock().clone()
    }

    /// Waits until both sides have come on.
    #[track_caller]
    fn comes_on(&self) {
        let now = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let (published, read) = (now(&self.published), now(&self.read));
        wait_until("writer and reader go on", || {
            now(&self.published) >= published + MANY && now(&self.read) >= read + MANY
        });
    }
}

/// Ends the work also when the test fails, so that nobody waits for it.
struct Ending<'a>(&'a Work);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// What something gave in time; `None` if it failed in a way that is to be expected.
#[track_caller]
fn tried<T>(what: &str, work: impl FnOnce() -> io::Result<T>) -> Option<T> {
    match within(LIMIT, work) {
        Ok(done) => Some(done),
        Err(error) => {
            let errno = error.raw_os_error();
            let is_expected = TROUBLE.iter().any(|it| Some(it.raw_os_error()) == errno);
            assert!(is_expected, "{what}: {error}");
            None
        }
    }
}

fn name_of(record: u32) -> String {
    format!("record-{record}")
}

/// Publishes version after version; what is refused is synced by the same handle until it is not.
fn write_on(mount: &TempMount, work: &Work) {
    for number in RECORDS.. {
        let record = number % RECORDS;
        let size = if record == 0 { 2_500_000 } else { 3000 };
        let path = mount.store(STORE).join(name_of(record));
        let mut file = loop {
            if !work.goes_on() {
                return;
            }
            if let Some(file) = tried("open", || File::create(&path)) {
                break file;
            }
        };
        file.write_all(&bytes(number, size)).unwrap();
        while tried("sync", || file.sync_all()).is_none() {
            if !work.goes_on() {
                return;
            }
        }
        work.acknowledged.lock().insert(record, number);
        work.published.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads whole versions, none of them older than what was acknowledged before.
fn read_on(mount: &TempMount, work: &Work) {
    for record in (0..RECORDS).cycle() {
        if !work.goes_on() {
            return;
        }
        let Some(oldest) = work.acknowledged().get(&record).copied() else { continue };
        let path = mount.store(STORE).join(name_of(record));
        let Some(seen) = tried("read", || fs::read(&path)) else { continue };
        let number: u32 = std::str::from_utf8(&seen[..4]).unwrap().parse().unwrap();
        assert!(seen == bytes(number, seen.len()), "torn");
        assert!(number >= oldest, "{number} of record {record}, where {oldest} was acknowledged");
        work.read.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server, and a standby without which it acknowledges nothing.
fn pair() -> Option<(&'static Server, &'static Server)> {
    let server = own_server()?;
    let standby: &Server = Box::leak(Box::new(server.standby()));
    server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    server.reload();
    wait_until("the standby is waited for", || {
        server.sql("postgres", "SELECT sync_state FROM pg_stat_replication") == "sync"
    });
    Some((server, standby))
}

/// Has a writer and a reader at work while the server dies and the standby takes its place.
#[track_caller]
fn goes_on(from: &Database, to: &Database, source: &str, fail_over: impl FnOnce()) {
    from.run(&["create", STORE]);
    // Readers are others than the writer's own process: another mount.
    let options = ["--timeout", "3", "--ttl", "0"];
    let (writing, reading) = (mount(from, source, &options), mount(from, source, &options));
    for record in 0..RECORDS {
        fs::write(writing.store(STORE).join(name_of(record)), bytes(record, 3000)).unwrap();
    }
    let work = Work::default();
    thread::scope(|scope| {
        let ending = Ending(&work);
        let writer = scope.spawn(|| write_on(&writing, &work));
        let reader = scope.spawn(|| read_on(&reading, &work));
        work.comes_on();
        fail_over();
        work.comes_on();
        drop(ending);
        writer.join().unwrap();
        reader.join().unwrap();
    });
    for (record, number) in work.acknowledged() {
        let kept = to.record(&name_of(record)).unwrap().0;
        let seen: u32 = std::str::from_utf8(&kept[..4]).unwrap().parse().unwrap();
        assert!(kept == bytes(seen, kept.len()), "torn");
        assert!(seen >= number, "{seen} of record {record}, where {number} was acknowledged");
    }
}

#[test]
fn p7_a_server_that_fails_over_behind_its_name_is_gone_on_with() {
    let Some((server, standby)) = pair() else { return };
    let name = server.database();
    let proxy = Proxy::to(server.port());
    let source = format!("postgresql://postgres@127.0.0.1:{}/{name}", proxy.port());
    let (from, to) = (Database::postgres(server, name.clone()), Database::postgres(standby, name));
    goes_on(&from, &to, &source, || {
        server.stop();
        // The name leads there before it is promoted: it only reads then.
        proxy.lead_to(standby.port());
        standby.promote();
    });
}

#[test]
fn p7_the_host_of_a_list_that_writes_is_gone_on_with() {
    let Some((server, standby)) = pair() else { return };
    let name = server.database();
    // The standby comes first: only what is asked for of the session tells which of them to take.
    let source = format!(
        "postgresql+asyncpg://postgres@127.0.0.1:{},127.0.0.1:{}/{name}\
         ?target_session_attrs=read-write",
        standby.port(),
        server.port(),
    );
    let (from, to) = (Database::postgres(server, name.clone()), Database::postgres(standby, name));
    goes_on(&from, &to, &source, || {
        server.stop();
        standby.promote();
    });
}

#[test]
fn a_standby_is_mounted_to_be_read() {
    let Some(server) = own_server() else { return };
    // Made before, so that the standby has it from its beginning.
    let name = server.database();
    let standby: &Server = Box::leak(Box::new(server.standby()));
    let (primary, db) =
        (Database::postgres(server, name.clone()), Database::postgres(standby, name));
    let writing = primary.mount_with_store();
    let path = writing.store(STORE).join("k");
    fs::write(&path, "value").unwrap();
    wait_until("the standby has it", || {
        db.sql("SELECT count(*) FROM key_value_store_records") == "1"
    });
    only_reads(&db, &db.url(), &[]);

    let reading = db.mount_with(&["--ttl", "0"]);
    let why = "standby";
    let told = reading.status()["storage"]["read_only"].clone();
    assert!(told.as_str().is_some_and(|told| told.contains(why)), "{told}");
    assert_eq!(writing.status()["storage"]["read_only"], serde_json::Value::Null);
    let looked = db.try_run(&["doctor"]);
    let said = String::from_utf8(looked.stderr).unwrap();
    assert!(looked.status.success() && said.contains(why), "{said}");
    let info = db.run(&["info", "--json"]);
    assert!(info.contains(why), "{info}");

    let elsewhere = reading.store(STORE).join("k");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"value");
    fs::write(&path, "another").unwrap();
    fs::write(path.with_file_name("new"), bytes(1, 3_000_000)).unwrap();
    wait_until("what is published is seen", || {
        fs::read(&elsewhere).unwrap() == b"another"
            && fs::read(elsewhere.with_file_name("new")).is_ok_and(|it| it == bytes(1, 3_000_000))
    });
    fs::write(path.with_file_name("@purge"), "1").unwrap();
    wait_until("a purge is seen", || !elsewhere.exists());
}
