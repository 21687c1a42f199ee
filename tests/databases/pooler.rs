//! PgBouncer before the server: it may keep sessions, and is refused where it lends them for a transaction.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::common::postgres::{self, Server};
use crate::common::{METADATA, can_mount, names, skipped, temp_dir, wait_until};
use crate::database::{Database, STORE, bytes, mount, within};
use crate::opening::refused;

/// Where Debian has the program, which is on nobody's path but root's.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler that is stopped when this is dropped, or the test's process ends.
struct Pooler {
    port: u16,
    keeper: Child,
    _directory: tempfile::TempDir,
}

impl Pooler {
    /// One before a server, with more lines of its settings; `None`, said aloud, where there is none on this machine.
    #[track_caller]
    fn start(server: &Server, settings: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skipped("test of a pooler: pgbouncer is not installed (apt-get install pgbouncer)");
            return None;
        }
        let directory = temp_dir();
        // It does not run as root.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (users, config): (PathBuf, PathBuf) =
            (directory.path().join("users"), directory.path().join("pgbouncer.ini"));
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n{settings}\n",
            server.port(),
            users.display(),
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let is_root = rustix::process::getuid().is_root();
        let user: &[&str] = if is_root { &["--user", "postgres"] } else { &[] };
        let keeper = Command::new("sh")
            .args(["-c", "trap '' INT TERM HUP; \"$@\" & cat >/dev/null; kill $!; wait", "sh"])
            .args([PROGRAM, "--quiet"])
            .args(user)
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pooler = Self { port, keeper, _directory: directory };
        wait_until("the pooler answers", || {
            server.sql_through(port, "postgres", "SELECT 1").is_some()
        });
        Some(pooler)
    }

    fn url(&self, db: &Database) -> String {
        format!("postgresql+asyncpg://postgres@127.0.0.1:{}/{}", self.port, name_of(db))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn name_of(db: &Database) -> String {
    db.url().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_pooler_that_lends_sessions_for_a_transaction_is_refused() {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let db = Database::postgres(server, server.database());
    db.run(&["create", STORE]);
    for (settings, cure) in [
        ("pool_mode = transaction", "pool_mode = session"),
        ("pool_mode = statement", "pool_mode = session"),
        ("pool_mode = transaction\nignore_startup_parameters = options", "pool_mode = session"),
        ("pool_mode = session\nignore_startup_parameters = options", "ignore_startup_parameters"),
    ] {
        let Some(pooler) = Pooler::start(server, settings) else { return };
        let source = pooler.url(&db);
        let said = within(Duration::from_secs(20), || refused(&source));
        assert!(said.contains("pooler") && said.contains(cure), "{settings}: {said}");
        let listed = crate::common::storefs().args(["stores", "--source", &source]).output();
        let listed = listed.unwrap();
        let told = String::from_utf8_lossy(&listed.stderr).into_owned();
        assert!(!listed.status.success() && told.contains(cure), "{settings}: {told}");
        // Who is lent the same session finds nothing that we have set.
        let left = "SELECT current_setting('statement_timeout') || current_setting('jit')";
        let before = server.sql("postgres", left);
        assert_eq!(
            server.sql_through(pooler.port, &name_of(&db), left),
            Some(before),
            "{settings}"
        );
    }
}

#[test]
fn a_pooler_that_keeps_sessions_is_worked_through() {
    if !can_mount() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let db = Database::postgres(server, server.database());
    db.run(&["create", STORE]);
    let Some(pooler) = Pooler::start(server, "pool_mode = session") else { return };
    let mount = mount(&db, &pooler.url(&db), &["--timeout", "5"]);
    let store = mount.store(STORE);
    for (name, size) in [("small", 2000), ("large", 3_000_000)] {
        let mut file = fs::File::create(store.join(name)).unwrap();
        file.write_all(&bytes(1, size)).unwrap();
        file.sync_all().unwrap();
        assert!(fs::read(store.join(name)).unwrap() == bytes(1, size));
        assert_eq!(db.record(name).unwrap().0.len(), size);
    }
    // The settings of a session are there too: what waits for a lock is ended by the server, and says so.
    let held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    thread::scope(|scope| {
        scope.spawn(|| {
            db.sql("BEGIN; SELECT key FROM key_value_store_records FOR UPDATE; SELECT pg_sleep(9); ROLLBACK")
        });
        wait_until("the lock is held", || db.sql(held) == "1");
        let file = fs::File::create(store.join("small")).unwrap();
        let error = within(Duration::from_secs(15), || file.sync_all()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::AGAIN.raw_os_error()), "{error}");
        wait_until("the lock is free", || db.sql(held) == "0");
    });
    fs::write(store.join("@purge"), "1").unwrap();
    assert_eq!(names(&store), [METADATA.to_owned()].into());
}
