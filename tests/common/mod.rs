//! What the mounted tests share: storages to mount, mounts that clean up after themselves, and the SDKs.
//!
//! Every temporary directory has the prefix [`PREFIX`], so that `scripts/test` can tell whether a test left
//! anything behind. Nothing here sleeps for a fixed time: what has to become true is awaited up to
//! [`DEADLINE`], which is far longer than it takes, so that a slow machine changes no outcome.

// Each test program is compiled with all of this and uses a part of it.
#![allow(dead_code)]
// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(feature = "s3")]
pub(crate) mod buckets;
pub(crate) mod on_disk;
pub(crate) mod opener;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod schemas;
pub(crate) mod seeds;
pub(crate) mod sqlite;
pub(crate) mod stranger;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Prefix of all temporary directories.
pub(crate) const PREFIX: &str = "storefs-test-";

/// How long anything is waited for before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The directory of a storage that holds its key-value stores, and its name in the mount.
pub(crate) const STORES: &str = "key_value_stores";

/// A store's metadata file, and the end of a sidecar's name.
pub(crate) const METADATA: &str = "__metadata__.json";

/// A fresh temporary directory, by its canonical path: the mount table knows no other.
pub(crate) fn temp_dir() -> TempDir {
    let base = std::env::temp_dir().canonicalize().unwrap();
    tempfile::Builder::new().prefix(PREFIX).tempdir_in(base).unwrap()
}

/// A file or directory under `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Waits until `condition` holds; panics with `what` if it does not within [`DEADLINE`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Copies a directory with all that is in it. The copies are writable, whatever the originals are.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

/// All files under a directory: path from there, and content.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, inner: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &path, found);
            } else {
                found.insert(path, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, Path::new(""), &mut found);
    found
}

/// All that is staged in a storage and not published, or still to be removed, but not what is kept of dead writers, or of purges. It may
/// go while this looks. Not by a shell: a child that is started closes its copies of our open files, which publishes them.
pub(crate) fn staged(storage: &Path) -> BTreeSet<PathBuf> {
    fn walk(dir: &Path, found: &mut BTreeSet<PathBuf>) {
        let Ok(listed) = fs::read_dir(dir) else { return };
        for entry in listed.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                Ok(_) => drop(found.insert(entry.path())),
                Err(_) => {}
            }
        }
    }
    let (mut found, own) = (BTreeSet::new(), storage.join(".storefs"));
    walk(&own, &mut found);
    found.retain(|path| {
        !path.starts_with(own.join("rescued")) && !path.starts_with(own.join("purged"))
    });
    found
}

/// The names in a directory; panics if one is listed twice or is not UTF-8.
#[track_caller]
pub(crate) fn names(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!found.contains(&name), "{name:?} is listed twice");
        found.insert(name);
    }
    found
}

/// Runs a script in bash, in the given directory; panics unless every command of it succeeds. Gives back
/// what it printed.
#[track_caller]
pub(crate) fn sh(script: &str, dir: &Path) -> String {
    let output = try_sh(script, dir);
    assert!(
        output.status.success(),
        "{script}\n{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script in bash, in the given directory, and gives back what became of it.
pub(crate) fn try_sh(script: &str, dir: &Path) -> Output {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(dir).stdin(Stdio::null());
    clean_environment(&mut command);
    command.env("LC_ALL", "C.UTF-8").output().unwrap()
}

/// Takes away what the SDKs and storefs would read from the environment of whoever runs the tests.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let known = [
            b"APIFY_".as_slice(),
            b"AWS_",
            b"CRAWLEE_",
            b"ACTOR_",
            b"DEBUG",
            b"RUST_LOG",
            b"STOREFS_",
        ];
        if known.iter().any(|prefix| name.as_bytes().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_storefs");

/// A command that runs the program under test.
pub(crate) fn storefs() -> Command {
    storefs_at(Path::new(PROGRAM))
}

fn storefs_at(program: &Path) -> Command {
    let mut command = Command::new(program);
    clean_environment(&mut command);
    command.stdin(Stdio::null());
    command
}

/// Whether this machine can mount. If not, says so; where `CI` is set, that is a failure.
#[track_caller]
pub(crate) fn can_mount() -> bool {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    if let Err(error) = &device {
        skipped(&format!("mounted test: /dev/fuse cannot be opened: {error}"));
    }
    device.is_ok()
}

/// The Python that has the SDKs, if they are installed. If not, says so; where `CI` is set, that is a failure.
#[track_caller]
pub(crate) fn sdk_python() -> Option<PathBuf> {
    sdk("python")
}

/// The directory that has the JavaScript SDK, as [`sdk_python`].
#[track_caller]
pub(crate) fn sdk_node_modules() -> Option<PathBuf> {
    sdk("node")
}

#[track_caller]
fn sdk(kind: &str) -> Option<PathBuf> {
    installed(kind, &format!("the {kind} SDK"))
}

/// The program fsx, as [`sdk_python`].
#[track_caller]
pub(crate) fn fsx() -> Option<PathBuf> {
    installed("fsx", "the program fsx")
}

/// The program pjdfstest, as [`sdk_python`].
#[track_caller]
pub(crate) fn pjdfstest() -> Option<PathBuf> {
    installed("pjdfstest", "the program pjdfstest")
}

/// Where `scripts/install-test-deps` puts something, if it is there.
#[track_caller]
fn installed(kind: &str, what: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-test-deps");
    let output = Command::new(script).args(["--where", kind]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    if !path.exists() {
        skipped(&format!("{what} is missing: run scripts/install-test-deps"));
        return None;
    }
    Some(path)
}

/// Says that a test is skipped, and why; panics if `CI` is set. Also into a file, for who runs all tests and shows the
/// output of none that passes.
#[track_caller]
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    if let Some(path) = std::env::var_os("STOREFS_TEST_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        io::Write::write_all(&mut file.unwrap(), format!("SKIPPED: {why}\n").as_bytes()).unwrap();
    }
}

/// A storage in a temporary directory.
#[derive(Debug)]
pub(crate) struct TempStorage {
    dir: TempDir,
}

impl TempStorage {
    /// A storage without any store.
    pub(crate) fn empty() -> Self {
        let storage = Self { dir: temp_dir() };
        fs::create_dir(storage.path()).unwrap();
        storage
    }

    /// A copy of a storage under `tests/fixtures`.
    pub(crate) fn of_fixture(name: &str) -> Self {
        let storage = Self { dir: temp_dir() };
        copy_tree(&fixture(name), &storage.path());
        storage
    }

    /// The storage directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    /// The directory beside the storage, for what a test needs on the same file system.
    pub(crate) fn beside(&self) -> &Path {
        self.dir.path()
    }

    /// A store's directory on disk.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.path().join(STORES).join(name)
    }

    /// All files of all stores as they are on disk.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        tree(&self.path().join(STORES))
    }
}

/// A live mount in a temporary directory.
///
/// Dropping it unmounts and asserts that nothing is left: no mount, no process, nothing in the mountpoint.
/// If the test has failed already, what the daemon said is printed instead.
#[derive(Debug)]
pub(crate) struct TempMount {
    /// Holds the mountpoint and the daemon's log.
    dir: TempDir,
    /// How the daemon is started.
    command: Command,
    /// The daemon; `None` once it has been waited for.
    daemon: Option<Child>,
    /// What unmounts: the program under test, or a copy of it.
    program: PathBuf,
}

impl TempMount {
    /// Mounts a storage.
    #[track_caller]
    pub(crate) fn new(storage: &TempStorage) -> Self {
        Self::with_options(storage, &[])
    }

    /// Mounts a storage with options of `storefs mount`.
    #[track_caller]
    pub(crate) fn with_options(storage: &TempStorage, options: &[&str]) -> Self {
        Self::configured(&storage.path(), |command| {
            command.args(options);
        })
    }

    /// Mounts any source; `configure` can add options and variables to `storefs mount --foreground`.
    #[track_caller]
    pub(crate) fn configured(
        source: &(impl AsRef<OsStr> + ?Sized),
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        Self::by(storefs(), source, configure)
    }

    /// As [`configured`](Self::configured), by a copy of the program under test.
    #[track_caller]
    pub(crate) fn by_copy(program: &Path, source: &(impl AsRef<OsStr> + ?Sized)) -> Self {
        let mut mount = Self::by(storefs_at(program), source, |_| {});
        mount.program = program.to_owned();
        mount
    }

    /// As [`configured`](Self::configured), by a command that becomes storefs.
    #[track_caller]
    pub(crate) fn by(
        mut command: Command,
        source: &(impl AsRef<OsStr> + ?Sized),
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let dir = temp_dir();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        command.args(["mount", "--foreground"]);
        configure(&mut command);
        // Any test can be run with mounts that are supervised.
        let mut given = command.get_args();
        if std::env::var_os("STOREFS_SUPERVISED").is_some()
            && !given.any(|word| word == "--supervise" || word == "--no-supervise")
        {
            command.arg("--supervise");
        }
        command.arg(source).arg(dir.path().join("mnt"));
        let program = PathBuf::from(PROGRAM);
        let mut mount = Self { dir, command, daemon: None, program };
        mount.start();
        mount
    }

    /// Kills the daemon, as a crash would. The dead mount stays, until the next `start` or the drop.
    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        let workers = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.id()));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        // A worker dies with its supervisor, but is waited for by nobody.
        for worker in workers.unwrap_or_default().split_whitespace() {
            wait_until("the worker is dead", || !Path::new("/proc").join(worker).exists());
        }
    }

    /// Waits until the daemon has died of itself. The dead mount stays, as after `kill`.
    #[track_caller]
    pub(crate) fn wait_for_death(&mut self) -> ExitStatus {
        let daemon = self.daemon.as_mut().unwrap();
        let ended = wait_for_exit(daemon).expect("the daemon lives on");
        self.daemon = None;
        ended
    }

    /// Starts the daemon, for the first time or again after `kill`, and waits until the mount answers.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let log = fs::OpenOptions::new().append(true).create(true).open(self.log_path()).unwrap();
        self.command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut daemon = self.command.spawn().unwrap();
        let path = self.path();
        wait_until("the storage is mounted", || {
            if let Some(status) = daemon.try_wait().unwrap() {
                panic!("{:?} ended with {status}: {}", self.command, self.log());
            }
            // A dead mount is in the table too, and the kernel may answer for it from its cache; only a daemon
            // that lives tells its process id.
            is_mounted(&path) && answers(&path, daemon.id())
        });
        self.daemon = Some(daemon);
    }

    /// The mountpoint.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// The directory of the stores in the mount.
    pub(crate) fn stores(&self) -> PathBuf {
        self.path().join(STORES)
    }

    /// A store's directory in the mount.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.stores().join(name)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What the daemon has printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// What the mount says of itself.
    #[track_caller]
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path().join("@status")).unwrap()).unwrap()
    }

    /// The daemon's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().map(Child::id).unwrap()
    }

    /// The process that serves it: the daemon, or, where that supervises, its worker.
    pub(crate) fn serving_pid(&self) -> u32 {
        let worker = self.status()["worker"].as_u64();
        worker.map_or_else(|| self.pid(), |worker| u32::try_from(worker).unwrap())
    }

    /// Unmounts with `storefs unmount`, and asserts that the daemon ends well and nothing is left. What a
    /// drop does too; this shows in the test where it happens.
    #[track_caller]
    pub(crate) fn unmount(self) {
        drop(self);
    }

    /// Ends the mount in whatever way works; `Err` says what did not go as it should.
    fn end(&mut self) -> Result<(), String> {
        let path = self.path();
        let Some(mut daemon) = self.daemon.take() else {
            // The test killed the daemon itself.
            if is_mounted(&path) {
                detach(&path);
            }
            return Ok(());
        };
        let mut faults = Vec::new();

        let unmount = storefs_at(&self.program).arg("unmount").arg(&path).output().unwrap();
        if !unmount.status.success() {
            faults.push(format!("storefs unmount: {}", String::from_utf8_lossy(&unmount.stderr)));
            detach(&path);
        }
        match wait_for_exit(&mut daemon) {
            Some(status) if status.success() => {}
            Some(status) => faults.push(format!("the daemon ended with {status}")),
            None => {
                faults.push("the daemon does not end after unmounting".to_owned());
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
        }
        if is_mounted(&path) {
            faults.push("it is still mounted".to_owned());
            detach(&path);
        }
        if fs::read_dir(&path).map(Iterator::count).ok() != Some(0) {
            faults.push("something was written under the mountpoint".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

impl Drop for TempMount {
    fn drop(&mut self) {
        let ended = self.end();
        if thread::panicking() {
            // A second panic would hide the first.
            eprintln!("the daemon said:\n{}", self.log());
            if let Err(faults) = ended {
                eprintln!("and on unmounting: {faults}");
            }
        } else if let Err(faults) = ended {
            panic!("{faults}\nthe daemon said:\n{}", self.log());
        }
    }
}

/// Whether the kernel reads large records of this mount by itself. If not, says so; where `CI` is set, that is a failure.
#[track_caller]
pub(crate) fn has_passthrough(mount: &TempMount) -> bool {
    let kernel = mount.status()["kernel"].clone();
    if kernel["passthrough"] != true {
        skipped(&format!(
            "large records are not read by the kernel: {}",
            kernel["reasons"]["passthrough"]
        ));
    }
    kernel["passthrough"] == true
}

/// Whether the daemon with this process id answers at a mountpoint.
fn answers(path: &Path, pid: u32) -> bool {
    let status = fs::read(path.join("@status"));
    let status = status.ok().and_then(|text| serde_json::from_slice(&text).ok());
    status.is_some_and(|status: serde_json::Value| status["pid"] == pid)
}

fn wait_for_exit(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Takes a mount out of the tree, dead or busy, without storefs.
fn detach(path: &Path) {
    for command in [["umount", "-l"], ["fusermount3", "-uz"]] {
        let done =
            Command::new(command[0]).arg(command[1]).arg(path).stderr(Stdio::null()).status();
        if done.is_ok_and(|status| status.success()) {
            return;
        }
    }
}

/// A daemon that answers nothing until this is dropped.
pub(crate) struct Stopped(Pid);

impl Stopped {
    pub(crate) fn new(mount: &TempMount) -> Self {
        // Who serves hangs, not who watches him.
        let pid = Pid::from_raw(i32::try_from(mount.serving_pid()).unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Whether a file system of type `fuse` or `fuse.*` is mounted there, in the mount namespace of the thread.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let table = fs::read("/proc/thread-self/mounts").unwrap();
    table.split(|byte| *byte == b'\n').any(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let (place, kind) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        kind.starts_with(b"fuse") && unescape(place) == path.as_os_str()
    })
}

/// A path of the mount table, where blanks and backslashes stand as `\040` and the like.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// An extended attribute's text.
pub(crate) fn xattr(path: &Path, name: &str) -> io::Result<String> {
    let mut buffer = vec![0; 64 * 1024];
    let length = rustix::fs::getxattr(path, name, &mut buffer)?;
    buffer.truncate(length);
    Ok(String::from_utf8(buffer).unwrap())
}

/// A record's content type as the mount shows it.
#[track_caller]
pub(crate) fn mime_type(record: &Path) -> String {
    xattr(record, "user.mime_type").unwrap_or_else(|error| panic!("{}: {error}", record.display()))
}

/// Names of control files, also later ones.
const CONTROL_FILES: [&str; 6] =
    ["@purge", "@status", "@log", "@items.jsonl", "@items.json", "@items.csv"];

/// The file name in the mount of a key, by DESIGN section 4. Names that are escaped as a whole (`.`, `..` and
/// those of metadata) are not for this function, since the page leaves open which of their characters is; nor
/// are keys that look like such a name.
pub(crate) fn file_name(key: &str) -> String {
    assert!(key != "." && key != ".." && !key.ends_with(METADATA), "{key:?} is escaped as a whole");
    if CONTROL_FILES.contains(&key) {
        return key.replace('@', "%40");
    }
    let mut name = String::new();
    for (at, character) in key.char_indices() {
        let code = key[at + character.len_utf8()..].trim_start_matches("25");
        match character {
            '/' => name.push_str("%2F"),
            '\0' => name.push_str("%00"),
            '%' if code.starts_with("2F") || code.starts_with("00") => name.push_str("%25"),
            other => name.push(other),
        }
    }
    name
}

/// The file name on disk of a key, in a store with sidecars: Python's `quote(key, safe='')`.
pub(crate) fn disk_name(key: &str) -> String {
    let mut name = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}
