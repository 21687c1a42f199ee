//! The SDKs as the tests drive them, and what is expected of a record that they read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::common::{
    METADATA, TempStorage, can_mount, clean_environment, names, sdk_node_modules, sdk_python,
};

/// The store that most tests work in.
pub(crate) const STORE: &str = "work";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// Runs an SDK script and gives back its answer: the last line that it prints, as the SDKs log on standard
/// output too.
#[track_caller]
pub(crate) fn answer_of(mut command: Command, input: &Value) -> Value {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A script that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{printed}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    serde_json::from_str(printed.lines().last().unwrap_or_default()).unwrap()
}

/// crawlee-python and apify-python.
pub(crate) struct Python(PathBuf);

impl Python {
    /// The SDK, unless this machine can run no test with it.
    #[track_caller]
    pub(crate) fn find() -> Option<Self> {
        if can_mount() { sdk_python().map(Self) } else { None }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.interpreter();
        command.arg(script("python_sdk.py")).args(arguments);
        command
    }

    /// The Python that has the SDK, to run any script.
    pub(crate) fn interpreter(&self) -> Command {
        let mut command = Command::new(&self.0);
        clean_environment(&mut command);
        // The scripts are read from the source tree, and leave nothing there.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        answer_of(self.command(arguments), &Value::Null)
    }

    /// Every record that the SDK lists, by key.
    #[track_caller]
    pub(crate) fn dump(&self, storage: &TempStorage, store: &str) -> BTreeMap<String, Value> {
        by_key(self.run(&["dump", storage.path().to_str().unwrap(), store]))
    }

    /// A process that has the store open, and obeys.
    #[track_caller]
    pub(crate) fn serve(&self, storage: &TempStorage, store: &str) -> PythonClient {
        Client::start(self.command(&["serve", storage.path().to_str().unwrap(), store]))
    }

    /// The same with Crawlee's client for databases; `url` is its connection string.
    #[track_caller]
    pub(crate) fn serve_database(&self, url: &str, store: &str) -> Client {
        Client::start(self.command(&["serve", url, store]))
    }

    /// The same with the Apify SDK's client, which is told of the storage by a relative path or an absolute one:
    /// it treats sidecars of inputs differently (FORMAT 8.2).
    #[track_caller]
    pub(crate) fn serve_apify(&self, storage: &TempStorage, store: &str, relative: bool) -> Client {
        let path = storage.path();
        let given = if relative { Path::new("storage") } else { &path };
        let mut command = self.command(&["serve", given.to_str().unwrap(), store, "--apify"]);
        command.current_dir(storage.beside());
        Client::start(command)
    }
}

/// A process of an SDK that has a store open, and obeys.
pub(crate) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

pub(crate) type PythonClient = Client;

impl Client {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, input, answers };
        assert_eq!(client.next_answer(), "ready");
        client
    }

    /// The next line that is an answer; the SDKs log on standard output too.
    #[track_caller]
    pub(crate) fn next_answer(&mut self) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            let length = self.answers.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "the SDK's process has ended");
            if let Ok(answer) = serde_json::from_str(&line) {
                return answer;
            }
        }
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The same for what may fail; `Err` is the SDK's exception.
    #[track_caller]
    pub(crate) fn try_ask(&mut self, command: &Value) -> Result<Value, String> {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = self.next_answer();
        match answer.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    #[track_caller]
    pub(crate) fn set(&mut self, key: &str, value: &Value) {
        self.ask(&json!({"set": key, "value": value}));
    }

    #[track_caller]
    pub(crate) fn get(&mut self, key: &str) -> Value {
        self.ask(&json!({"get": key}))
    }

    #[track_caller]
    pub(crate) fn keys(&mut self) -> BTreeSet<String> {
        serde_json::from_value(self.ask(&json!({"keys": 1}))).unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The end of its input ends the process, so that it is gone before anything else looks at the storage.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Crawlee JS 3.
pub(crate) struct Js(PathBuf);

impl Js {
    /// The SDK, unless this machine can run no test with it.
    #[track_caller]
    pub(crate) fn find() -> Option<Self> {
        if can_mount() { sdk_node_modules().map(Self) } else { None }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.interpreter();
        command.arg(script("js_sdk.cjs")).args(arguments);
        command
    }

    /// Node with the SDK to be found, to run any script.
    pub(crate) fn interpreter(&self) -> Command {
        let mut command = Command::new("node");
        clean_environment(&mut command);
        command.env("NODE_PATH", &self.0).env("APIFY_LOG_LEVEL", "ERROR");
        command
    }

    /// Every record that a fresh process lists, by key. It fails if the SDK cannot list the store.
    #[track_caller]
    pub(crate) fn dump(&self, storage: &TempStorage, store: &str) -> BTreeMap<String, Value> {
        let command = self.command(&["dump", storage.path().to_str().unwrap(), store]);
        by_key(answer_of(command, &Value::Null))
    }

    /// A process that has the store open, and obeys.
    #[track_caller]
    pub(crate) fn serve(&self, storage: &TempStorage, store: &str) -> Client {
        Client::start(self.command(&["serve", storage.path().to_str().unwrap(), store]))
    }

    #[track_caller]
    pub(crate) fn fill(&self, storage: &TempStorage, store: &str, records: &Value) {
        answer_of(self.command(&["fill", storage.path().to_str().unwrap(), store]), records);
    }
}

#[track_caller]
pub(crate) fn by_key(records: Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for record in records.as_array().unwrap() {
        let key = record["key"].as_str().unwrap().to_owned();
        assert!(found.insert(key, record.clone()).is_none(), "listed twice: {record}");
    }
    found
}

/// What an SDK must read under a key: its own name of the value's type, the media type (the content type up
/// to its parameters), and the value.
pub(crate) struct Expected {
    pub(crate) key: &'static str,
    kind: &'static str,
    media_type: &'static str,
    value: Value,
}

pub(crate) fn object(key: &'static str, value: Value) -> Expected {
    let kind = if value.is_array() { "list" } else { "dict" };
    Expected { key, kind, media_type: "application/json", value }
}

pub(crate) fn text(key: &'static str, media_type: &'static str, value: &str) -> Expected {
    Expected { key, kind: "str", media_type, value: value.into() }
}

pub(crate) fn bytes(key: &'static str, media_type: &'static str, value: &[u8]) -> Expected {
    Expected { key, kind: "bytes", media_type, value: hex(value).into() }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

impl Expected {
    pub(crate) fn is_empty(&self) -> bool {
        self.value == ""
    }

    #[track_caller]
    pub(crate) fn check(&self, record: &Value) {
        assert_eq!(record["type"], self.kind, "{record}");
        let content_type = record["content_type"].as_str().unwrap();
        assert_eq!(media_type(content_type), self.media_type, "{record}");
        if let Some((_, parameters)) = content_type.split_once(';') {
            assert_eq!(parameters.trim().to_ascii_lowercase(), "charset=utf-8", "{record}");
        }
        let value = if self.kind == "bytes" { &record["hex"] } else { &record["value"] };
        assert_eq!(*value, self.value, "{record}");
    }
}

/// The records of a store with sidecars, as the sidecars on disk describe them: disk name to key and type.
pub(crate) fn sidecars(store: &Path) -> BTreeMap<String, (String, String)> {
    let suffix = format!(".{METADATA}");
    let mut found = BTreeMap::new();
    for name in names(store) {
        let Some(disk_name) = name.strip_suffix(&suffix) else { continue };
        let sidecar: Value = serde_json::from_slice(&fs::read(store.join(&name)).unwrap()).unwrap();
        let content_type = sidecar.get("contentType").or(sidecar.get("content_type")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found.insert(disk_name.to_owned(), (text(&sidecar["key"]), text(content_type)));
    }
    found
}

/// Asserts that a store holds values, their sidecars and its metadata, and nothing else.
#[track_caller]
pub(crate) fn assert_no_litter(store: &Path) {
    let mut expected = BTreeSet::from([METADATA.to_owned()]);
    for disk_name in sidecars(store).into_keys() {
        expected.insert(format!("{disk_name}.{METADATA}"));
        expected.insert(disk_name);
    }
    assert_eq!(names(store), expected);
}
