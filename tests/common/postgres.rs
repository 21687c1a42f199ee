//! PostgreSQL servers of the tests' own: real ones, on a free port of this machine, with a directory that goes with them.
//!
//! The file is included by unit tests of the backend (`#[path]`) and by integration tests, so it uses nothing of its
//! neighbours. A server outlives no test: a shell waits for the end of a pipe whose other end is the test's, so that it
//! stops the server and removes the directory however the test comes to its end.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Debian keeps the programs of the server, by version, newest last.
const PROGRAMS: [&str; 5] = ["15", "16", "17", "18", "19"];

/// The tables as the client of Crawlee 1.11 makes them.
const SCHEMA: &str = "tests/fixtures/sql/crawlee-1.11-postgres.sql";
/// The tables of stores as the client of Crawlee 1.0 made them.
const OLD_SCHEMA: &str = "tests/fixtures/sql/crawlee-1.0-postgres.sql";

/// A server. It is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    /// Stops the server and removes the directory once its input ends.
    keeper: Child,
    owner: Option<(u32, u32)>,
}

/// A server that all tests of a program share; `None`, said aloud, where there is none on this machine.
#[track_caller]
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::start(&[])).as_ref();
    if server.is_none() {
        skipped();
    }
    server
}

/// A server of a test's own, with settings as `name=value`.
#[track_caller]
pub(crate) fn own(settings: &[&str]) -> Option<Server> {
    let server = Server::start(settings);
    if server.is_none() {
        skipped();
    }
    server
}

/// Says that a test is skipped; where `CI` is set, that is a failure.
#[track_caller]
fn skipped() {
    let why = "test of PostgreSQL: its server is not installed (apt-get install postgresql)";
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    if let Some(path) = std::env::var_os("STOREFS_TEST_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        std::io::Write::write_all(&mut file.unwrap(), format!("SKIPPED: {why}\n").as_bytes())
            .unwrap();
    }
}

impl Server {
    fn start(settings: &[&str]) -> Option<Self> {
        let programs = PROGRAMS
            .iter()
            .rev()
            .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
            .find(|directory| directory.join("postgres").exists())?;
        let mut server = Self::prepared(programs);
        let data = server.data();
        server.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ],
        );
        let socket = server.directory.display().to_string();
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{socket}'\nfsync = off\n\
             full_page_writes = off\nmax_connections = 60\n"
        );
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap();
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        let config = server.directory.join("data/postgresql.conf");
        let own = fs::read_to_string(&config).unwrap();
        fs::write(&config, own + &text).unwrap();
        server.port = free_port();
        server.start_again();
        server.sql("postgres", "CREATE DATABASE crawlee_template");
        server.file("crawlee_template", SCHEMA);
        server.sql("crawlee_template", "INSERT INTO version VALUES ('1.11.0')");
        Some(server)
    }

    /// A server without data, and what will stop it.
    fn prepared(programs: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap().keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(
                "trap '' INT TERM HUP; cat >/dev/null; \
                 pid=$(head -n 1 \"$0/data/postmaster.pid\" 2>/dev/null) && kill -QUIT \"$pid\"; \
                 while kill -0 \"$pid\" 2>/dev/null; do sleep 0.05; done; rm -rf \"$0\"",
            )
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let owner = owner();
        let server = Self { programs, directory, port: 0, keeper, owner };
        if let Some((uid, gid)) = owner {
            chown(&server.directory, Some(uid), Some(gid)).unwrap();
        }
        server
    }

    fn data(&self) -> String {
        self.directory.join("data").display().to_string()
    }

    /// Where a test may put files that the server is to read.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts a server that was stopped.
    pub(crate) fn start_again(&self) {
        let (data, log) = (self.data(), self.directory.join("log").display().to_string());
        let port = format!("-p {}", self.port);
        self.run("pg_ctl", &["-D", &data, "-w", "-t", "60", "-l", &log, "-o", &port, "start"]);
    }

    /// Stops it at once, as a crash does.
    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }

    /// A second server that follows this one, and only reads until it is promoted.
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::prepared(self.programs.clone());
        let data = standby.data();
        let port = self.port.to_string();
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        let how = ["-D", &data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"];
        standby.run("pg_basebackup", &[&from[..], &how[..]].concat());
        let config = standby.directory.join("data/postgresql.conf");
        let copied = fs::read_to_string(&config).unwrap();
        let socket = standby.directory.display();
        fs::write(&config, format!("{copied}unix_socket_directories = '{socket}'\n")).unwrap();
        standby.port = free_port();
        standby.start_again();
        standby
    }

    /// Has a standby become a server of its own, which writes.
    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-t", "60", "promote"]);
    }

    /// Has it listen to another port from its next start on.
    pub(crate) fn move_to_free_port(&mut self) {
        self.port = free_port();
    }

    /// Has it read its settings again.
    pub(crate) fn reload(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "reload"]);
    }

    /// A new database with the tables of Crawlee.
    pub(crate) fn database(&self) -> String {
        self.database_by("TEMPLATE crawlee_template")
    }

    /// The same whose keys are in another order than their bytes.
    pub(crate) fn icu_database(&self) -> String {
        let name = self.database_by("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'");
        self.file(&name, SCHEMA);
        name
    }

    /// The same as Crawlee made it before it had buffers.
    pub(crate) fn old_database(&self) -> String {
        let name = self.empty_database();
        self.file(&name, OLD_SCHEMA);
        name
    }

    /// A new database without tables.
    pub(crate) fn empty_database(&self) -> String {
        self.database_by("TEMPLATE template0")
    }

    fn database_by(&self, clause: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} {clause}"));
        name
    }

    /// The text that names a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What a statement answers, columns by `|`, rows by line ends.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, text: &str) -> String {
        self.psql(database, &["-c", text])
    }

    fn file(&self, database: &str, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        self.psql(database, &["-1", "-f", path.to_str().unwrap()]);
    }

    /// All that a database is made of but its rows.
    #[track_caller]
    pub(crate) fn schema(&self, database: &str) -> String {
        let output = Command::new(self.programs.join("pg_dump"))
            .args(["--schema-only", "-h", "127.0.0.1", "-U", "postgres", "-d", database])
            .args(["-p", &self.port.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer programs guard each dump by a random word.
        text.lines().filter(|line| !line.contains("restrict")).collect::<Vec<_>>().join("\n")
    }

    /// What a statement answers through a port of this machine that leads here; `None` if it fails.
    pub(crate) fn sql_through(&self, port: u16, database: &str, text: &str) -> Option<String> {
        let output = self.psql_at(port, database, &["-c", text]);
        let answer = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| answer.trim_end().to_owned())
    }

    fn psql_at(&self, port: u16, database: &str, arguments: &[&str]) -> Output {
        Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
            .args(["-U", "postgres", "-p", &port.to_string(), "-d", database])
            .args(arguments)
            .env_remove("PGOPTIONS")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn psql(&self, database: &str, arguments: &[&str]) -> String {
        let output = self.psql_at(self.port, database, arguments);
        assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        // A server that was started keeps what it was given open: it is given no pipe to wait for.
        let log = self.directory.join("programs");
        let output = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.stdout(output.try_clone().unwrap()).stderr(output);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        let status = command.status().unwrap();
        assert!(status.success(), "{program}: {}", fs::read_to_string(&log).unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Whom the server runs as, where this is root, which it refuses.
fn owner() -> Option<(u32, u32)> {
    let number = |what: &str, of: &[&str]| -> u32 {
        let output = Command::new("id").arg(what).args(of).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (number("-u", &[]) == 0).then(|| (number("-u", &["postgres"]), number("-g", &["postgres"])))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
