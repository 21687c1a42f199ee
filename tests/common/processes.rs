//! Processes of a test's own: by their names killed and started again, on free ports, and gone with the test however it ends.
//!
//! A shell waits for the end of a pipe whose other end is the test's; then it kills what runs and removes the directory.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a server may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Processes that can be killed and started again by their names. Those that run are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Processes {
    programs: PathBuf,
    pub(crate) directory: PathBuf,
    started: Mutex<BTreeMap<String, Started>>,
    /// Kills what runs and removes the directory once its input ends.
    keeper: Child,
}

#[derive(Debug)]
struct Started {
    program: String,
    arguments: Vec<String>,
    /// `None` after it was killed.
    child: Option<Child>,
}

/// Each process has a file with its number, and each socket that it makes outside the directory a file with its path.
const KEEPER: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for file in "$0"/*.pid; do
    pid=$(cat "$file" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
    while [ -n "$(readlink "/proc/$pid/exe")" ]; do sleep 0.05; done
done
for file in "$0"/*.socket; do rm -f "$(cat "$file")"; done
rm -rf "$0""#;

impl Processes {
    pub(crate) fn new(programs: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap().keep();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let started = Mutex::new(BTreeMap::new());
        Self { programs: programs.to_owned(), directory, started, keeper }
    }

    /// Starts a program under a name.
    pub(crate) fn start(&self, name: &str, program: &str, arguments: &[String]) {
        let (program, arguments) = (program.to_owned(), arguments.to_vec());
        let started = Started { program, arguments, child: None };
        self.started.lock().insert(name.to_owned(), started);
        self.start_again(name);
    }

    /// Starts one again that was killed.
    pub(crate) fn start_again(&self, name: &str) {
        let mut started = self.started.lock();
        let started = started.get_mut(name).unwrap();
        assert!(started.child.is_none(), "{name} runs");
        let path = |end: &str| self.directory.join(format!("{name}.{end}"));
        let log = fs::OpenOptions::new().create(true).append(true).open(path("log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", "echo $$ > \"$0\"; exec \"$@\""])
            .arg(path("pid"))
            .arg(self.programs.join(&started.program))
            .args(&started.arguments)
            // Nothing that the environment says of AWS, or of a home, is meant for a server.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.directory)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        started.child = Some(child);
    }

    /// Kills one at once, as a crash does.
    pub(crate) fn kill(&self, name: &str) {
        let mut started = self.started.lock();
        let mut child = started.get_mut(name).unwrap().child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = fs::remove_file(self.directory.join(format!("{name}.pid")));
    }

    /// What one has printed.
    pub(crate) fn said(&self, name: &str) -> String {
        let log = fs::read(self.directory.join(format!("{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Whether one has ended by itself.
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        let mut started = self.started.lock();
        let child = started.get_mut(name).and_then(|started| started.child.as_mut());
        child.is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// SeaweedFS makes sockets beside its ports, wherever it is told to keep its files.
    pub(crate) fn has_socket(&self, of: &str, port: u16) {
        let path = format!("/tmp/seaweedfs-{of}-grpc-{port}.sock");
        fs::write(self.directory.join(format!("{port}.socket")), path).unwrap();
    }

    /// Waits until a port answers what has no signature; no if the process that is to answer has ended.
    pub(crate) fn answers(&self, name: &str, port: u16) -> bool {
        let url = format!("http://127.0.0.1:{port}/");
        let begun = Instant::now();
        loop {
            let asked = Command::new("curl")
                .args(["-s", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", &url])
                .output()
                .unwrap();
            // What answers in the place of one that has ended is another's.
            if self.has_ended(name) {
                return false;
            }
            if asked.stdout != b"000" {
                return true;
            }
            assert!(begun.elapsed() < DEADLINE, "{name} does not answer: {}", self.said(name));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for started in self.started.lock().values_mut() {
            if let Some(child) = &mut started.child {
                let _ = (child.kill(), child.wait());
            }
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Ports that nobody listens at, each another. They are below those that the kernel gives to whoever asks for any, and each
/// process of tests begins elsewhere: what is free is still so when a server comes to take it.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    const FIRST: u16 = 10_000;
    const EACH: u32 = 37;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let next = || {
        let own = std::process::id().wrapping_mul(EACH);
        let number = own.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % 20_000;
        FIRST + u16::try_from(number).unwrap()
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::array::from_fn(|_| std::iter::repeat_with(next).find(is_free).unwrap())
}

/// Tries to start something until it runs: a port that was free may be somebody else's a moment later.
#[track_caller]
pub(crate) fn tried<T>(start: impl Fn() -> Option<T>) -> T {
    (0..5).find_map(|_| start()).expect("the servers do not start")
}
