//! A part of a bucket that a test mounts. What [`Database`] offers is what that of tests/databases does, so that the same
//! functions run over both.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::buckets::{self, Place};
use crate::common::{METADATA, STORES, TempMount, can_mount, clean_environment, disk_name};
use crate::common::{storefs, temp_dir};
use crate::proxy::Proxy;
use crate::sdk::Client;

/// The store that most tests work in.
pub(crate) const STORE: &str = "work";

/// A part of a bucket, at first without objects.
pub(crate) struct Database {
    /// Holds the spools.
    dir: tempfile::TempDir,
    pub(crate) place: Place,
    /// Where the test itself asks, whatever is between the bucket and the mount.
    direct: Place,
}

/// Runs a test over a fresh part of a bucket in SeaweedFS.
pub(crate) fn on_seaweedfs(test: fn(&Database)) {
    if let Some(db) = Database::fresh() {
        test(&db);
    }
}

/// The same where conditions on writes are taken no notice of.
pub(crate) fn on_rclone(test: fn(&Database)) {
    if !can_mount() {
        return;
    }
    if let Some(server) = buckets::shared_without_conditions() {
        test(&Database::at(server.place()));
    }
}

impl Database {
    /// One in SeaweedFS, unless this machine can run no test with it.
    #[track_caller]
    pub(crate) fn fresh() -> Option<Self> {
        if !can_mount() {
            return None;
        }
        Some(Self::at(buckets::shared()?.place()))
    }

    pub(crate) fn at(place: Place) -> Self {
        Self { dir: temp_dir(), direct: place.clone(), place }
    }

    /// The same part, by another way or by somebody else.
    pub(crate) fn as_seen_from(&self, place: Place) -> Self {
        Self { dir: temp_dir(), direct: self.direct.clone(), place }
    }

    /// Whether it can keep a record of this key: no object of SeaweedFS has these names.
    pub(crate) fn keeps(&self, key: &str) -> bool {
        !matches!(key, "." | "..")
    }

    /// A directory for what else a test needs.
    pub(crate) fn beside(&self) -> PathBuf {
        let path = self.dir.path().join("beside");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Where values are kept while they are written and read.
    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub(crate) fn url(&self) -> String {
        self.place.url()
    }

    #[track_caller]
    pub(crate) fn mount(&self) -> TempMount {
        self.mount_with(&[])
    }

    #[track_caller]
    pub(crate) fn mount_with(&self, options: &[&str]) -> TempMount {
        TempMount::configured(&self.url(), |command| {
            command.args(options).arg("--cache-dir").arg(self.spool());
            command.envs(self.place.variables());
        })
    }

    /// A mount with the store that most tests work in.
    #[track_caller]
    pub(crate) fn mount_with_store(&self) -> TempMount {
        self.run(&["create", STORE]);
        self.mount()
    }

    /// A command of storefs on this bucket.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = storefs();
        command.args(arguments).args(["--source", &self.url()]);
        command.arg("--cache-dir").arg(self.spool()).envs(self.place.variables());
        command
    }

    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command of storefs prints; panics unless it succeeds.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {errors}{printed}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The other side: boto3 at the same part of the bucket.
    #[track_caller]
    pub(crate) fn objects(&self) -> Objects {
        Objects(Client::start(self.python(&[])))
    }

    /// What Crawlee's client does with the files of a store, with objects in place of files. There is always one.
    #[track_caller]
    #[allow(clippy::unnecessary_wraps)]
    pub(crate) fn client(&self, store: &str) -> Option<Client> {
        Some(Client::start(self.python(&[store])))
    }

    fn python(&self, arguments: &[&str]) -> Command {
        let mut command = self.tool("python");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/buckets/objects.py");
        command.arg(script).args([&self.direct.bucket, &self.direct.prefix]).args(arguments);
        command
    }

    /// A program of `scripts/install-test-deps`, which is told of the bucket.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(buckets::programs().unwrap().join(name));
        clean_environment(&mut command);
        command.envs(self.direct.variables());
        command
    }

    /// AWS's own program; panics unless it succeeds.
    #[track_caller]
    pub(crate) fn aws(&self, arguments: &[&str]) -> String {
        // It asks before it sends, also when there is nothing to send; SeaweedFS and it then wait a minute for each other. The
        // proxy lets it send.
        let proxy = Proxy::to(self.direct.port);
        let mut command = self.tool("python");
        command.envs(self.direct.through(proxy.port()).variables());
        said(command.args(["-m", "awscli"]).args(arguments))
    }

    /// rclone, to which `bucket:` is where the bucket is; panics unless it succeeds.
    #[track_caller]
    pub(crate) fn rclone(&self, arguments: &[&str]) -> String {
        let mut command = self.tool("rclone");
        let (key, secret) = self.direct.who.keys();
        command
            .arg("--config=")
            .env("RCLONE_CONFIG_BUCKET_TYPE", "s3")
            .env("RCLONE_CONFIG_BUCKET_PROVIDER", "SeaweedFS")
            .env("RCLONE_CONFIG_BUCKET_ENDPOINT", self.direct.endpoint())
            .env("RCLONE_CONFIG_BUCKET_ACCESS_KEY_ID", key)
            .env("RCLONE_CONFIG_BUCKET_SECRET_ACCESS_KEY", secret);
        said(command.args(arguments))
    }

    /// What rclone calls this part of the bucket.
    pub(crate) fn remote(&self) -> String {
        format!("bucket:{}/{}", self.direct.bucket, self.direct.prefix)
    }

    /// All that is in the part but stores: nothing of ours is to stay there.
    #[track_caller]
    pub(crate) fn schema(&self) -> Vec<String> {
        let keys = self.objects().keys("");
        keys.into_iter().filter(|key| !key.starts_with(STORES)).collect()
    }

    /// The kind of storage, as `storefs info` shows it.
    #[allow(clippy::unused_self)]
    pub(crate) fn kind(&self) -> &'static str {
        "s3"
    }

    /// Whether an open value may be read no more once it was replaced or removed.
    #[allow(clippy::unused_self)]
    pub(crate) fn may_go_stale(&self) -> bool {
        true
    }

    /// Whether nothing is left of any store.
    #[track_caller]
    pub(crate) fn is_empty(&self) -> bool {
        self.objects().keys("").is_empty()
    }

    /// Removes all records, past storefs.
    #[track_caller]
    pub(crate) fn remove_records(&self) {
        let mut objects = self.objects();
        for key in objects.keys(STORES) {
            if !key.ends_with(&format!("/{METADATA}")) {
                objects.delete(&key);
            }
        }
    }

    /// The size of a record of the store, past storefs.
    #[track_caller]
    pub(crate) fn size_of(&self, key: &str) -> u64 {
        self.objects().head(&value_key(STORE, key))["size"].as_u64().unwrap()
    }

    /// Puts a record into the store with its sidecar, past storefs.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &[u8], content_type: &str) {
        let sidecar = json!({"key": key, "content_type": content_type, "size": value.len()});
        let (mut objects, kind) = (self.objects(), "application/json");
        objects.put(&value_key(STORE, key), value, content_type);
        objects.put(&sidecar_key(STORE, key), sidecar.to_string().as_bytes(), kind);
    }

    /// A record's value and type as they are in the bucket: the type that its sidecar says, which the object has too.
    #[track_caller]
    pub(crate) fn record(&self, key: &str) -> Option<(Vec<u8>, String)> {
        let mut objects = self.objects();
        let value = objects.get(&value_key(STORE, key))?;
        let sidecar = objects.sidecar(STORE, key);
        let content_type = content_type_of(&sidecar);
        assert_eq!(value.content_type, content_type, "{key}: the object's type");
        assert_eq!(sidecar["size"], value.bytes.len(), "{key}: the sidecar's size");
        Some((value.bytes, content_type))
    }
}

/// The key of the object that is a record's value, in the layout with sidecars.
pub(crate) fn value_key(store: &str, key: &str) -> String {
    format!("{STORES}/{store}/{}", disk_name(key))
}

/// The key of the object that is a record's sidecar.
pub(crate) fn sidecar_key(store: &str, key: &str) -> String {
    format!("{}.{METADATA}", value_key(store, key))
}

/// The type that a sidecar says, by either client's spelling.
pub(crate) fn content_type_of(sidecar: &Value) -> String {
    let found = sidecar.get("contentType").or(sidecar.get("content_type")).unwrap();
    found.as_str().unwrap().to_owned()
}

#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// An object as boto3 gives it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) metadata: Value,
}

/// Who looks at the objects and changes them from the other side.
pub(crate) struct Objects(Client);

impl Objects {
    /// All keys that begin so.
    #[track_caller]
    pub(crate) fn keys(&mut self, prefix: &str) -> Vec<String> {
        let listed = self.0.ask(&json!({"do": "listed", "prefix": prefix}));
        listed.as_object().unwrap().keys().cloned().collect()
    }

    /// Type, size, tag and the like.
    #[track_caller]
    pub(crate) fn head(&mut self, key: &str) -> Value {
        self.0.ask(&json!({"do": "head", "key": key}))
    }

    /// One that may not be there.
    #[track_caller]
    pub(crate) fn get(&mut self, key: &str) -> Option<Object> {
        let found = match self.0.try_ask(&json!({"do": "get", "key": key})) {
            Ok(found) => found,
            Err(error) if error.contains("NoSuchKey") => return None,
            Err(error) => panic!("{key}: {error}"),
        };
        let text = |name: &str| found[name].as_str().unwrap().to_owned();
        let (hex, content_type) = (text("hex"), text("type"));
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes = (0..hex.len()).step_by(2).map(digits).collect();
        Some(Object { bytes, content_type, metadata: found["metadata"].clone() })
    }

    /// What a record's sidecar says.
    #[track_caller]
    pub(crate) fn sidecar(&mut self, store: &str, key: &str) -> Value {
        let key = sidecar_key(store, key);
        let found = self.get(&key).unwrap_or_else(|| panic!("there is no {key}"));
        serde_json::from_slice(&found.bytes).unwrap()
    }

    #[track_caller]
    pub(crate) fn put(&mut self, key: &str, value: &[u8], content_type: &str) {
        self.try_put(key, value, content_type).unwrap_or_else(|error| panic!("{key:?}: {error}"));
    }

    /// The same for keys that a server may refuse.
    pub(crate) fn try_put(
        &mut self,
        key: &str,
        value: &[u8],
        content_type: &str,
    ) -> Result<(), String> {
        let value = json!({"hex": crate::sdk::hex(value)});
        let put = json!({"do": "put", "key": key, "value": value, "type": content_type});
        self.0.try_ask(&put).map(drop)
    }

    #[track_caller]
    pub(crate) fn delete(&mut self, key: &str) {
        self.ask(&json!({"do": "delete", "key": key}));
    }

    /// Whether a command succeeds; panics if it fails for another reason than that who asks may not.
    #[track_caller]
    pub(crate) fn ask_or_denied(&mut self, command: &Value) -> bool {
        self.ask_or(command, &["AccessDenied", "SignatureDoesNotMatch"])
    }

    /// The same for what has a condition that does not hold.
    #[track_caller]
    pub(crate) fn ask_or_refused(&mut self, command: &Value) -> bool {
        self.ask_or(command, &["PreconditionFailed"])
    }

    #[track_caller]
    fn ask_or(&mut self, command: &Value, codes: &[&str]) -> bool {
        let Err(error) = self.0.try_ask(command) else { return true };
        assert!(codes.iter().any(|code| error.starts_with(code)), "{error}");
        false
    }

    /// Whatever else the script can do.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        self.0.ask(command)
    }
}

/// Bytes that tell everywhere of which value they are, and from where in it.
pub(crate) fn bytes(seed: u32, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    for at in (0..size).step_by(16) {
        bytes.extend_from_slice(format!("{seed:04}:{at:010}\n").as_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// What something gave, which took no longer than `limit`.
#[track_caller]
pub(crate) fn within<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let taken = begun.elapsed();
    assert!(taken < limit, "it took {taken:?}");
    done
}
