//! A mount of a storage across a network: PostgreSQL behind a proxy that stalls. Who needs the server waits, and can be
//! interrupted; who needs nothing does not wait for those.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Made for the tests of the backend, and used in part here.
#[allow(dead_code)]
#[path = "../src/backend/sql/postgres/tests/proxy.rs"]
mod proxy;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::postgres::{self, Server};
use common::{STORES, TempMount, can_mount, names, wait_until};
use proxy::Proxy;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};
use storefs::engine::{Source, Storage, StorageOptions};
use storefs::fs::{
    Caller, FileSystem, FsError, FsOptions, OpenMode, Position, STORES as STORES_INO,
};

/// What needs no server takes no longer than this, on a busy machine too: half of the deadline of what waits for one.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Larger than what is held in memory, so that it is fetched while it is read.
const LARGE: usize = 4 << 20;

/// A database in a server, a proxy before it, and a mount of what is behind that.
struct Remote {
    mount: TempMount,
    proxy: Proxy,
    url: String,
    server: &'static Server,
    database: String,
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
        Some(Self { mount, proxy, url, server, database })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(STORES).join("s").join(name)
    }

    /// What others do beside the mount.
    fn sql(&self, text: &str) {
        self.server.sql(&self.database, text);
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
    outlive_trust();

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

/// What the kernel knows of names has to be asked for anew.
fn outlive_trust() {
    thread::sleep(Duration::from_millis(1100));
}

#[test]
fn p02_postgres_an_open_for_reading_takes_one_round_trip_and_sees_what_was_published_before_it() {
    let Some(remote) = Remote::new() else { return };
    let path = remote.path("k");
    assert_eq!(fs::read(&path).unwrap(), b"value");
    // Beside it the mount notes now and then that a store was read.
    let once = (0..10).any(|_| {
        outlive_trust();
        // The directories on the way.
        fs::metadata(remote.path("")).unwrap();
        let before = remote.proxy.asked();
        assert_eq!(fs::read(&path).unwrap(), b"value");
        remote.proxy.asked() == before + 1
    });
    assert!(once, "the lookup brings what the open needs");

    // What the lookup of another open has brought along, that came to nothing, is for no other.
    let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let mut old = "value";
    for value in ["first", "second", "third"] {
        outlive_trust();
        assert_eq!(open(libc::O_DIRECTORY).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        let by_no_name = open(libc::O_PATH).unwrap();
        let by_no_name_path = format!("/proc/self/fd/{}", by_no_name.as_raw_fd());
        remote.sql(&format!(
            "UPDATE key_value_store_records SET value = '{value}'::bytea, size = length('{value}') \
             WHERE key = 'k'"
        ));
        assert_ne!(fs::read(&by_no_name_path).ok().as_deref(), Some(old.as_bytes()));
        assert_eq!(fs::read(&path).unwrap(), value.as_bytes());
        old = value;
    }
}

/// A process in the middle of an open that creates.
fn creating(fifo: &Path) -> Waiting {
    let mut command = Command::new("sh");
    let creating = Waiting(command.args(["-c", "exec 3>\"$1\"", "sh"]).arg(fifo).spawn().unwrap());
    let call = format!("/proc/{}/syscall", creating.0.id());
    let opens = format!("{} ", libc::SYS_openat);
    let is_at_it = || fs::read_to_string(&call).unwrap_or_default();
    wait_until("it waits for a reader of the fifo", || {
        let before = is_at_it();
        thread::sleep(Duration::from_millis(10));
        before.starts_with(&opens) && before == is_at_it()
    });
    creating
}

#[test]
fn p02_p03_postgres_who_creates_asks_once_and_goes_on_from_what_was_written_since() {
    let Some(remote) = Remote::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    // The kernel's part is played here, to have one caller do all that it does between two requests of the other.
    let source = Source::parse(OsStr::new(&remote.url)).unwrap();
    let storage = Storage::open(&source, StorageOptions::default()).unwrap();
    let mount = FileSystem::new(storage, FsOptions::default());
    let caller = |thread| Caller { uid: 0, gid: 0, thread };
    let creator = creating(&fifo);
    let (late, early) = (caller(creator.0.id()), caller(0));
    let store = mount.lookup(&early, STORES_INO, b"s").unwrap().attr.ino;
    let misses = |name: &[u8]| {
        assert!(matches!(mount.lookup(&late, store, name), Err(FsError::NotFound)));
    };
    let mode = OpenMode { write: true, ..OpenMode::default() };
    let create = |caller: &Caller, name: &[u8]| {
        mount.create(caller, store, name, 0o644, mode).unwrap().1.handle
    };
    let append = |caller: &Caller, handle, line: &[u8]| {
        mount.write(handle, line, Position::End.into()).unwrap();
        mount.flush(caller, handle).unwrap();
        mount.release(handle);
    };

    misses(b"alone");
    let before = remote.proxy.asked();
    let handle = create(&late, b"alone");
    assert_eq!(remote.proxy.asked(), before, "the lookup has told that it is not there");
    append(&late, handle, b"late\n");
    assert_eq!(fs::read(remote.path("alone")).unwrap(), b"late\n");

    misses(b"shared");
    let handle = create(&early, b"shared");
    append(&early, handle, b"early\n");
    let handle = create(&late, b"shared");
    append(&late, handle, b"late\n");
    assert_eq!(fs::read(remote.path("shared")).unwrap(), b"early\nlate\n");
}

#[test]
fn postgres_a_value_that_is_being_fetched_holds_up_no_other() {
    let Some(remote) = Remote::new() else { return };
    // The server's answers stop in the middle of it; it is fetched from its open on.
    remote.proxy.hold_long_answers(Some(LARGE as i64 / 2));
    let large = File::open(remote.path("large")).unwrap();
    assert_eq!(large.metadata().unwrap().len(), LARGE as u64);
    let read = thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let mut buffer = vec![0; LARGE];
            large.read_exact_at(&mut buffer, 0).unwrap();
            buffer
        });
        // It has come to where it waits, as far as that can be seen from here.
        thread::sleep(Duration::from_millis(300));
        at_once(|| assert_eq!(fs::read(remote.path("k")).unwrap(), b"value"));
        at_once(|| assert_eq!(names(&remote.path("")).len(), 4, "and the metadata"));
        at_once(|| fs::write(remote.path("written"), "x").unwrap());
        assert!(!fetching.is_finished(), "it is held");
        remote.proxy.hold_long_answers(None);
        fetching.join().unwrap()
    });
    assert!(read.len() == LARGE && read.iter().all(|byte| *byte == b'x'));
}

#[test]
fn postgres_who_waits_for_a_server_can_be_interrupted() {
    let Some(remote) = Remote::new() else { return };
    let programs = [("ls", ""), ("cat", "other"), ("stat", "k")];
    // Who looks a new name up has all others wait for him in the kernel, where no signal reaches them.
    for (_, name) in programs {
        fs::metadata(remote.path(name)).unwrap();
    }
    outlive_trust();
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
