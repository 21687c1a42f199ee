//! A mount of a storage across a network: PostgreSQL behind a proxy that stalls. Who needs the server waits, and can be
//! interrupted; who needs nothing does not wait for those.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Made for the tests of the backend, and used in part here.
#[allow(dead_code)]
#[path = "../src/backend/sql/postgres/tests/proxy.rs"]
mod proxy;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{STORES, TempMount, can_mount, names, postgres, wait_until};
use proxy::Proxy;
use rustix::process::{Pid, Signal, kill_process};

/// What needs no server takes no longer than this, on a busy machine too: half of the deadline of what waits for one.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Larger than what is held in memory, so that it is fetched while it is read.
const LARGE: usize = 4 << 20;

/// A database in a server, a proxy before it, and a mount of what is behind that.
struct Remote {
    mount: TempMount,
    proxy: Proxy,
}

impl Remote {
    /// With a store `s`, where `k` is `value`, `other` is small and `large` is large.
    fn new() -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let server = postgres::shared()?;
        let database = server.database();
        server.sql(
            &database,
            &format!(
                "INSERT INTO key_value_stores \
                 (key_value_store_id, internal_name, name, accessed_at, created_at, modified_at) \
                 VALUES ('abcdefghijklmnopq', 's', 's', now(), now(), now()); \
                 INSERT INTO key_value_store_records \
                 (key_value_store_id, key, value, content_type, size) \
                 SELECT 'abcdefghijklmnopq', key, value, 'text/plain', length(value) FROM (VALUES \
                 ('k', 'value'::bytea), ('other', 'other'), ('large', repeat('x', {LARGE})::bytea)\
                 ) AS records (key, value)"
            ),
        );
        let proxy = Proxy::to(server.port());
        let url = format!("postgresql://postgres@127.0.0.1:{}/{database}", proxy.port());
        let mount = TempMount::configured(&url, |_| {});
        Some(Self { mount, proxy })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(STORES).join("s").join(name)
    }

    /// Starts a program that then waits for the server.
    fn waiting(&self, program: &str, name: &str) -> Waiting {
        let mut command = Command::new(program);
        command.arg(self.path(name)).stdout(Stdio::null()).stderr(Stdio::null());
        let waiting = Waiting(command.spawn().unwrap());
        // It is at what it waits for, as far as that can be seen from here.
        thread::sleep(Duration::from_millis(300));
        waiting
    }
}

/// A program that is ended at the end of its test.
struct Waiting(Child);

impl Waiting {
    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a call came to that must not wait.
#[track_caller]
fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = call();
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    done
}

#[test]
fn postgres_who_needs_no_server_does_not_wait_for_those_who_do() {
    let Some(remote) = Remote::new() else { return };
    let status = remote.mount.path().join("@status");
    let open = File::open(remote.path("k")).unwrap();
    let mut written = File::create(remote.path("new")).unwrap();
    written.write_all(b"begun").unwrap();
    rustix::fs::statvfs(remote.mount.path()).unwrap();
    thread::sleep(Duration::from_millis(1100));

    remote.proxy.stall(true);
    let mut waiting: Vec<_> = (0..8).map(|_| remote.waiting("cat", "other")).collect();
    let mut buffer = [0; 5];
    at_once(|| open.read_exact_at(&mut buffer, 0)).unwrap();
    assert_eq!(&buffer, b"value");
    at_once(|| fs::metadata(&status)).unwrap();
    let told = at_once(|| fs::read_to_string(&status)).unwrap();
    assert!(told.contains("\"remote\": true") || told.contains("\"remote\":true"), "{told}");
    at_once(|| written.write_all(b", and gone on")).unwrap();
    at_once(|| rustix::fs::statvfs(remote.mount.path())).unwrap();
    assert!(waiting.iter_mut().all(|it| !it.is_over()), "they wait");

    remote.proxy.stall(false);
    wait_until("all who waited are served", || waiting.iter_mut().all(Waiting::is_over));
    drop(written);
    assert_eq!(fs::read(remote.path("new")).unwrap(), b"begun, and gone on");
}

#[test]
fn postgres_a_value_that_is_being_fetched_holds_up_no_other() {
    let Some(remote) = Remote::new() else { return };
    let large = File::open(remote.path("large")).unwrap();
    assert_eq!(large.metadata().unwrap().len(), LARGE as u64);
    let mut buffer = vec![0; LARGE];
    large.read_exact_at(&mut buffer, 0).unwrap();
    assert!(buffer.iter().all(|byte| *byte == b'x'));
    let small = fs::read(remote.path("k")).unwrap();
    assert_eq!(small, b"value");
    assert_eq!(names(&remote.path("")).len(), 4, "and the metadata");
}

#[test]
fn postgres_who_waits_for_a_server_can_be_interrupted() {
    let Some(remote) = Remote::new() else { return };
    let programs = [("ls", ""), ("cat", "other"), ("stat", "k")];
    // Who looks a new name up has all others wait for him in the kernel, where no signal reaches them.
    for (_, name) in programs {
        fs::metadata(remote.path(name)).unwrap();
    }
    // What the kernel knows of names has to be asked for anew.
    thread::sleep(Duration::from_millis(1100));
    remote.proxy.stall(true);
    let mut waiting: Vec<_> =
        programs.iter().map(|(program, name)| remote.waiting(program, name)).collect();
    for (waiting, (program, _)) in waiting.iter_mut().zip(programs) {
        assert!(!waiting.is_over(), "{program} waits");
        kill_process(waiting.pid(), Signal::INT).unwrap();
        let begun = Instant::now();
        wait_until("it ends", || waiting.is_over());
        assert!(begun.elapsed() < AT_ONCE, "{program}: {:?}", begun.elapsed());
    }
    remote.proxy.stall(false);
    wait_until("the mount goes on", || fs::read(remote.path("k")).is_ok_and(|it| it == b"value"));
}
