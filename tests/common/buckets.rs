//! Servers of S3 of the tests' own: real ones, on free ports of this machine, with a directory that goes with them.
//!
//! The file is included by the suite of backends (`#[path]`) and by tests of mounts, so it uses nothing of what else
//! is there for those.
//!
//! `scripts/install-test-deps` installs the programs: SeaweedFS, which keeps conditions on writes, and rclone, which answers
//! that it did and overwrites.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// By its path, as this file is included from more than one place.
#[path = "processes.rs"]
mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use processes::{Processes, free_ports, tried};

/// How long a server may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// The bucket that the tests of a program share, each by a prefix of its own.
pub(crate) const BUCKET: &str = "storefs";

/// Of this prefix, and below it, [`Who::Part`] may do all.
pub(crate) const PART: &str = "part";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// May do all.
    All,
    /// May list and read.
    Reader,
    /// May do all to what is below [`PART`] in [`BUCKET`], and nothing else.
    Part,
    /// Has the name of who may do all, and a wrong secret.
    Impostor,
}

impl Who {
    /// The key and its secret.
    pub(crate) fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::All => ("storefskey", "storefssecret"),
            Self::Reader => ("readerkey", "readersecret"),
            Self::Part => ("partkey", "partsecret"),
            Self::Impostor => ("storefskey", "wrongsecret"),
        }
    }
}

/// Whom SeaweedFS lets do what. Without the star, a prefix lets nobody do anything.
pub(crate) const IDENTITIES: &str = r#"{"identities": [
  {"name": "all", "credentials": [{"accessKey": "storefskey", "secretKey": "storefssecret"}],
   "actions": ["Admin", "Read", "List", "Tagging", "Write"]},
  {"name": "reader", "credentials": [{"accessKey": "readerkey", "secretKey": "readersecret"}],
   "actions": ["Read", "List"]},
  {"name": "part", "credentials": [{"accessKey": "partkey", "secretKey": "partsecret"}],
   "actions": ["Read:storefs/part/*", "List:storefs/part/*", "Write:storefs/part/*", "Tagging:storefs/part/*"]}
]}"#;

/// A server of S3. It is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    processes: Processes,
    port: u16,
    /// The ports of the filer's HTTP and of its own clients, if there is a filer.
    filer: Option<[u16; 2]>,
}

/// A SeaweedFS that all tests of a program share; `None`, said aloud, where there is none on this machine.
#[track_caller]
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    or_skipped(SERVER.get_or_init(seaweedfs).as_ref())
}

/// A SeaweedFS of a test's own.
#[track_caller]
pub(crate) fn own() -> Option<Server> {
    or_skipped(seaweedfs())
}

/// An `rclone serve s3` that all tests of a program share: it takes no notice of conditions on writes.
#[track_caller]
pub(crate) fn shared_without_conditions() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    or_skipped(SERVER.get_or_init(rclone).as_ref())
}

/// Says that a test is skipped where there is no server; where `CI` is set, that is a failure.
#[track_caller]
pub(crate) fn or_skipped<T>(server: Option<T>) -> Option<T> {
    if server.is_none() {
        let why = "test of buckets: the servers are missing: run scripts/install-test-deps";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        if let Some(path) = std::env::var_os("STOREFS_TEST_SKIPPED") {
            let file = fs::OpenOptions::new().create(true).append(true).open(path);
            std::io::Write::write_all(&mut file.unwrap(), format!("SKIPPED: {why}\n").as_bytes())
                .unwrap();
        }
    }
    server
}

/// The directory of the programs, if they are installed.
pub(crate) fn programs() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-test-deps");
    let output = Command::new(script).args(["--where", "buckets"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    path.exists().then_some(path)
}

/// All of SeaweedFS in one process.
fn seaweedfs() -> Option<Server> {
    let programs = programs()?;
    Some(tried(|| {
        let processes = Processes::new(&programs);
        let ports = free_ports::<10>();
        fs::write(processes.directory.join("s3.json"), IDENTITIES).unwrap();
        fs::create_dir(processes.directory.join("data")).unwrap();
        let [
            admin,
            admin_grpc,
            master,
            master_grpc,
            volume,
            volume_grpc,
            filer,
            filer_grpc,
            s3,
            s3_grpc,
        ] = ports.map(|port| port.to_string());
        let directory = processes.directory.display().to_string();
        let arguments = [
            "-logtostderr=true".to_owned(),
            "mini".to_owned(),
            format!("-dir={directory}/data"),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            format!("-admin.port={admin}"),
            format!("-admin.port.grpc={admin_grpc}"),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_grpc}"),
            format!("-volume.port={volume}"),
            format!("-volume.port.grpc={volume_grpc}"),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_grpc}"),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_grpc}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            "-webdav=false".to_owned(),
            "-admin.ui=false".to_owned(),
            "-master.telemetry=false".to_owned(),
            format!("-s3.config={directory}/s3.json"),
            format!("-filer.localSocket={directory}/filer.sock"),
            format!("-s3.localSocket={directory}/s3.sock"),
        ];
        processes.has_socket("admin", ports[1]);
        processes.has_socket("master", ports[3]);
        processes.has_socket("volume", ports[5]);
        processes.has_socket("filer", ports[7]);
        processes.has_socket("s3", ports[9]);
        processes.start("weed", "weed", &arguments);
        let filer = Some([ports[6], ports[7]]);
        let server = Server { processes, port: ports[8], filer };
        server.is_ready("weed").then(|| server.with_bucket("weed")).flatten()
    }))
}

fn rclone() -> Option<Server> {
    let programs = programs()?;
    Some(tried(|| {
        let processes = Processes::new(&programs);
        let [port] = free_ports();
        let data = processes.directory.join("data");
        fs::create_dir(&data).unwrap();
        let (key, secret) = Who::All.keys();
        let arguments = [
            "--config=".to_owned(),
            "serve".to_owned(),
            "s3".to_owned(),
            data.display().to_string(),
            format!("--addr=127.0.0.1:{port}"),
            format!("--auth-key={key},{secret}"),
        ];
        processes.start("rclone", "rclone", &arguments);
        let server = Server { processes, port, filer: None };
        server.is_ready("rclone").then(|| server.with_bucket("rclone")).flatten()
    }))
}

impl Server {
    /// The port that speaks S3.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The filer, as the programs of SeaweedFS name it.
    pub(crate) fn filer(&self) -> Option<String> {
        self.filer.map(|[port, grpc]| format!("127.0.0.1:{port}.{grpc}"))
    }

    /// Where a test may look at what the server has said.
    pub(crate) fn directory(&self) -> &Path {
        &self.processes.directory
    }

    /// A place in the bucket that all share, where nothing is yet.
    pub(crate) fn place(&self) -> Place {
        Place::fresh(self.port)
    }

    /// A bucket of a test's own. Its first object costs a fifth of a second.
    #[track_caller]
    pub(crate) fn bucket(&self) -> Place {
        let bucket = format!("{BUCKET}-{}", number());
        make_bucket(self.port, &bucket);
        Place { bucket, prefix: String::new(), ..self.place() }
    }

    /// Kills it, as a crash does.
    pub(crate) fn kill(&self) {
        self.processes.kill("weed");
    }

    /// Starts it again after that.
    #[track_caller]
    pub(crate) fn start_again(&self) {
        self.processes.start_again("weed");
        assert!(self.is_ready("weed"), "{}", self.processes.said("weed"));
    }

    fn is_ready(&self, name: &str) -> bool {
        self.processes.answers(name, self.port)
    }

    /// With the bucket that all share; `None` if it has ended meanwhile.
    #[track_caller]
    fn with_bucket(self, name: &str) -> Option<Self> {
        let is_made = make_bucket_unless(self.port, BUCKET, || self.processes.has_ended(name));
        is_made.then_some(self)
    }
}

fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Makes a bucket, by a request that curl signs. A server that has just begun may know nobody yet.
#[track_caller]
pub(crate) fn make_bucket(port: u16, bucket: &str) {
    make_bucket_unless(port, bucket, || false);
}

/// The same, unless it turns out to be in vain. Gives back whether it is made.
#[track_caller]
fn make_bucket_unless(port: u16, bucket: &str, is_vain: impl Fn() -> bool) -> bool {
    let (key, secret) = Who::All.keys();
    let begun = Instant::now();
    loop {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "-X", "PUT", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &format!("{key}:{secret}")])
            .arg(format!("http://127.0.0.1:{port}/{bucket}"))
            .output()
            .unwrap();
        if is_vain() {
            return false;
        }
        if output.stdout == b"200" {
            return true;
        }
        assert!(begun.elapsed() < DEADLINE, "no bucket can be made: {output:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A part of a bucket, and who asks for it where.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The port of this machine that is asked.
    pub(crate) port: u16,
    pub(crate) bucket: String,
    /// Without a slash at its end; empty for the whole bucket.
    pub(crate) prefix: String,
    pub(crate) who: Who,
}

impl Place {
    /// One where nothing is yet, in the bucket that all share.
    pub(crate) fn fresh(port: u16) -> Self {
        let prefix = format!("test-{}", number());
        Self { port, bucket: BUCKET.to_owned(), prefix, who: Who::All }
    }

    /// The same, asked for by somebody else.
    pub(crate) fn by(&self, who: Who) -> Self {
        Self { who, ..self.clone() }
    }

    /// The same, by another port that leads there.
    pub(crate) fn through(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }

    /// The same bucket's other part.
    pub(crate) fn at(&self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self.clone() }
    }

    /// The text that names it as a source.
    pub(crate) fn url(&self) -> String {
        if self.prefix.is_empty() {
            format!("s3://{}", self.bucket)
        } else {
            format!("s3://{}/{}", self.bucket, self.prefix)
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What tells storefs, and the tools of AWS, where the bucket is and who asks. Nothing else of this machine does.
    pub(crate) fn variables(&self) -> [(&'static str, String); 7] {
        let (key, secret) = self.who.keys();
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }
}
