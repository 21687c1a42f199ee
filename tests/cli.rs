//! The program itself: every command, its output in both forms, its exit status, and the life of a mount.
//!
//! What is promised here to scripts is in docs/CLI.md. Every mount that a test makes is unmounted when the
//! test ends, however it ends.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{TempMount, TempStorage, can_mount, is_mounted, storefs, temp_dir, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A user without any right of its own.
const NOBODY: u32 = 65534;

// What the program did

/// A finished run of the program.
struct Run {
    output: Output,
    line: String,
}

impl Run {
    #[track_caller]
    fn of(command: &mut Command) -> Self {
        Self { output: command.output().unwrap(), line: format!("{command:?}") }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "{}\n{:?}", self.line, self.output);
        self
    }

    /// The output of a run that went well and had nothing else to say.
    #[track_caller]
    fn text(self) -> String {
        let run = self.exits(0);
        assert_eq!(run.stderr(), "", "{}", run.line);
        run.stdout()
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The one line that a failed run had to say, with an exit status of a failure (tests/comfort says which) and no output.
    #[track_caller]
    fn error(self) -> String {
        let is_failure = matches!(self.output.status.code(), Some(1 | 3..=9));
        assert!(is_failure, "{}\n{:?}", self.line, self.output);
        let run = self;
        let said = run.stderr();
        assert_eq!(run.stdout(), "", "{}", run.line);
        assert!(said.starts_with("storefs: ") && said.ends_with('\n'), "{said:?}");
        assert_eq!(said.lines().count(), 1, "{said:?}");
        said
    }

    fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }
}

/// A run of a command on a storage.
#[track_caller]
fn run(storage: &TempStorage, arguments: &[&str]) -> Run {
    Run::of(storefs().arg("--source").arg(storage.path()).args(arguments))
}

/// A run of `set` with a value on standard input.
#[track_caller]
fn set(storage: &TempStorage, arguments: &[&str], value: &[u8]) -> Run {
    let mut command = storefs();
    command.arg("--source").arg(storage.path()).arg("set").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The program may end without reading.
    let _ = child.stdin.take().unwrap().write_all(value);
    Run { output: child.wait_with_output().unwrap(), line: format!("{command:?}") }
}

/// A storage with a default store of three records, and a named store of one.
fn storage() -> TempStorage {
    let storage = TempStorage::empty();
    set(&storage, &["default", "INPUT"], b"{\"url\": \"https://example.com\"}").text();
    set(&storage, &["default", "page.html"], b"<p>hello</p>").text();
    set(&storage, &["default", "b", "--content-type", "image/png"], b"\x89PNG").text();
    set(&storage, &["my-store", "only"], b"text").text();
    storage
}

fn metadata(storage: &TempStorage, store: &str) -> Value {
    let text = fs::read(storage.store(store).join("__metadata__.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

// Stores

#[test]
fn stores_are_listed_with_counts() {
    let storage = storage();
    let listed = run(&storage, &["stores"]).text();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert_eq!((rows[0][0], rows[0][2], rows[0][3]), ("default", "3", "46"));
    assert_eq!((rows[1][0], rows[1][2], rows[1][3]), ("my-store", "1", "4"));
    assert_eq!(rows[0][1], metadata(&storage, "default")["id"]);

    let json = run(&storage, &["stores", "--json"]).json();
    assert_eq!(json[0]["store"], "default");
    assert_eq!(json[0]["name"], Value::Null);
    assert_eq!(json[0]["records"], 3);
    assert_eq!(json[1]["name"], "my-store");
    assert_eq!(json[1]["bytes"], 4);
    assert_eq!(json[1]["id"], metadata(&storage, "my-store")["id"]);
    assert!(json[1]["modified_at"].as_str().unwrap().ends_with('Z'));

    assert_eq!(run(&TempStorage::empty(), &["stores"]).text(), "");
    assert_eq!(run(&TempStorage::empty(), &["stores", "--json"]).json(), json!([]));
}

#[test]
fn a_damaged_store_is_listed_with_its_fault() {
    let storage = storage();
    fs::write(storage.store("my-store").join("__metadata__.json"), "no json").unwrap();
    let listed = run(&storage, &["stores"]).exits(0);
    assert!(listed.stdout().contains("my-store\t-\t1\t4\t-"), "{}", listed.stdout());
    assert!(listed.stderr().contains("my-store"), "{}", listed.stderr());
    let json: Value =
        serde_json::from_str(&run(&storage, &["stores", "--json"]).exits(0).stdout()).unwrap();
    assert!(json[1]["error"].as_str().unwrap().contains("damaged"));
    assert!(run(&storage, &["info", "my-store"]).error().contains("damaged"));
    assert_eq!(run(&storage, &["get", "my-store", "only"]).output.stdout, b"text");
}

#[test]
fn info_tells_of_a_store_and_of_the_storage() {
    let storage = storage();
    let text = run(&storage, &["info", "default"]).text();
    assert!(text.contains("store: default\n") && text.contains("records: 3\n"), "{text}");
    let json = run(&storage, &["info", "default", "--json"]).json();
    assert_eq!(json["input"], json!(["INPUT"]));
    assert_eq!(json["bytes"], 46);
    for time in ["created_at", "accessed_at", "modified_at"] {
        assert!(json[time].as_str().unwrap().ends_with('Z'), "{json}");
    }

    let text = run(&storage, &["info"]).text();
    assert!(text.contains("stores: 2\n") && text.contains("records: 4\n"), "{text}");
    let json = run(&storage, &["info", "--json", "--input-key", "IN"]).json();
    assert_eq!(json["source"], storage.path().to_str().unwrap());
    assert_eq!((&json["input_key"], &json["bytes"]), (&json!("IN"), &json!(50)));
    assert!(json["bytes_available"].as_u64().unwrap() > 0);
}

#[test]
fn stores_are_made_renamed_and_dropped() {
    let storage = TempStorage::empty();
    assert_eq!(run(&storage, &["create", "one"]).text(), "");
    assert_eq!(metadata(&storage, "one")["name"], "one");
    assert!(run(&storage, &["create", "one"]).error().contains("exists already"));
    run(&storage, &["create", "default"]).text();
    assert_eq!(metadata(&storage, "default")["name"], Value::Null);

    let id = metadata(&storage, "one")["id"].clone();
    set(&storage, &["one", "k"], b"v").text();
    run(&storage, &["rename", "one", "two"]).text();
    assert_eq!(
        (&metadata(&storage, "two")["id"], &metadata(&storage, "two")["name"]),
        (&id, &json!("two"))
    );
    assert!(run(&storage, &["rename", "two", "default"]).error().contains("exists already"));
    assert!(run(&storage, &["rename", "one", "three"]).error().contains("'one'"));

    run(&storage, &["drop", &format!("id:{}", id.as_str().unwrap())]).text();
    assert!(!storage.store("two").exists());
    assert!(run(&storage, &["drop", "two"]).error().contains("storefs stores"));
}

#[test]
fn a_store_that_cannot_be_or_is_not_there_is_an_error_and_leaves_nothing() {
    let storage = TempStorage::empty();
    let long = "a".repeat(256);
    for name in ["a/b", ".", "..", "", long.as_str()] {
        for line in [&["create", name][..], &["set", name, "key"], &["keys", name], &["drop", name]]
        {
            run(&storage, line).error();
        }
    }
    for line in [
        &["keys"][..],
        &["keys", "nope"],
        &["get", "nope", "k"],
        &["rm", "nope", "k"],
        &["info", "nope"],
        &["purge"],
        &["purge", "nope"],
        &["adopt", "nope"],
        &["drop", "nope"],
        &["rename", "nope", "other"],
    ] {
        assert!(run(&storage, line).error().contains("storefs stores"), "{line:?}");
    }
    let error = run(&storage, &["keys", "id:nope"]).error();
    assert!(error.contains("Key-value store with ID \"nope\" not found."), "{error}");
    assert!(set(&storage, &["id:nope", "key"], b"").error().contains("not found"));
    assert!(run(&storage, &["create", "id:nope"]).error().contains("cannot be chosen"));
    assert!(storage_is_empty(&storage), "{:?}", storage.files());
    // A store is named once: as NAME or as id:ID. There is no way to give two.
    run(&storage, &["get", "--id", "x", "default", "k"]).exits(2);
}

fn storage_is_empty(storage: &TempStorage) -> bool {
    !storage.path().join("key_value_stores").exists() || storage.files().is_empty()
}

#[test]
fn a_store_is_found_by_its_id() {
    let storage = storage();
    let id = format!("id:{}", metadata(&storage, "my-store")["id"].as_str().unwrap());
    assert_eq!(run(&storage, &["get", &id, "only"]).text(), "text");
    set(&storage, &[&id, "more"], b"x").text();
    assert!(run(&storage, &["keys", "my-store"]).text().contains("more"));
}

// Records

#[test]
fn keys_are_listed_in_order() {
    let storage = storage();
    let text = run(&storage, &["keys"]).text();
    assert_eq!(
        text,
        "INPUT\tapplication/json; charset=utf-8\t30\nb\timage/png\t4\npage.html\ttext/html; charset=utf-8\t12\n"
    );
    let json = run(&storage, &["keys", "default", "--json"]).json();
    assert_eq!(json[1], json!({ "key": "b", "content_type": "image/png", "size": 4 }));
    let keys = |arguments: &[&str]| {
        let json = run(&storage, &[&["keys", "--json"], arguments].concat()).json();
        let keys =
            json.as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned());
        keys.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys(&["--prefix", "p"]), "page.html");
    assert_eq!(keys(&["--limit", "2"]), "INPUT b");
    assert_eq!(keys(&["--limit", "0"]), "");
    assert_eq!(keys(&["--exclusive-start-key", "INPUT", "--limit", "1"]), "b");
    assert_eq!(keys(&["--exclusive-start-key", "zzz"]), "");
}

#[test]
fn a_listing_goes_on_over_pages() {
    let storage = storage();
    for number in 0..2500 {
        fs::write(storage.store("default").join(format!("n{number:05}.txt")), "x").unwrap();
    }
    let json = run(&storage, &["keys", "--json", "--prefix", "n"]).json();
    let keys: Vec<&str> =
        json.as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 2500);
    assert!(keys.is_sorted());
    assert_eq!(
        run(&storage, &["keys", "--prefix", "n", "--limit", "1700"]).text().lines().count(),
        1700
    );
}

#[test]
fn names_are_printed_so_that_no_terminal_obeys_them() {
    let storage = storage();
    let hostile = "k\u{1b}]0;x\u{7}\ty\n";
    set(&storage, &["my-store", hostile], b"1").text();
    let text = run(&storage, &["keys", "my-store"]).text();
    assert!(text.contains("k\\u{1b}]0;x\\u{7}\\ty\\n\t"), "{text:?}");
    assert_eq!(run(&storage, &["keys", "my-store", "--json"]).json()[0]["key"], hostile);
    let error = run(&storage, &["get", "my-store", "no\u{1b}\nsuch"]).error();
    assert!(error.contains("no\\u{1b}\\nsuch"), "{error:?}");
}

#[test]
fn a_key_that_is_no_unicode_is_listed_got_and_removed() {
    use std::os::unix::ffi::OsStrExt;
    let storage = storage();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(storage.store("my-store").join(name), "x").unwrap();
    assert!(run(&storage, &["keys", "my-store"]).text().contains("caf\\xe9.txt\t"));
    let json = run(&storage, &["keys", "my-store", "--json"]).json();
    assert_eq!((&json[0]["foreign"], &json[0]["key"]), (&json!(true), &json!("caf\u{fffd}.txt")));
    assert_eq!(json[1]["foreign"], Value::Null);
    let with_key = |command: &str| {
        Run::of(storefs().arg("--source").arg(storage.path()).args([command, "my-store"]).arg(name))
    };
    assert_eq!(with_key("get").text(), "x");
    assert!(with_key("set").error().contains("not UTF-8"));
    with_key("rm").text();
    assert!(!storage.store("my-store").join(name).exists());
}

#[test]
fn get_writes_the_value_as_it_is() {
    let storage = storage();
    let value: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    set(&storage, &["default", "large"], &value).text();
    // Not assert_eq, which would print megabytes.
    assert!(run(&storage, &["get", "default", "large"]).output.stdout == value);
    assert_eq!(run(&storage, &["get-value", "default", "b"]).output.stdout, b"\x89PNG");
    assert_eq!(
        run(&storage, &["get", "default", "b", "--only-content-type"]).text(),
        "image/png\n"
    );
    let error = run(&storage, &["get", "default", "nope"]).error();
    assert!(error.contains("'nope'") && error.contains("storefs keys default"), "{error}");
    run(&storage, &["get", "default", ""]).error();
}

#[test]
fn get_to_a_closed_pipe_ends_quietly() {
    let storage = storage();
    set(&storage, &["default", "large"], &vec![b'x'; 5_000_000]).text();
    for arguments in [&["get", "default", "large"][..], &["keys", "--json"]] {
        let mut child = storefs()
            .arg("--source")
            .arg(storage.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0];
        if arguments[0] == "get" {
            child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        }
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn the_input_is_found_in_any_spelling() {
    let storage = storage();
    run(&storage, &["rm", "default", "INPUT"]).text();
    fs::write(storage.store("default").join("INPUT.json"), "{\"a\": 1}").unwrap();
    assert_eq!(run(&storage, &["get", "default", "INPUT"]).text(), "{\"a\": 1}");
    let content_type = run(&storage, &["get", "default", "INPUT", "--only-content-type"]).text();
    assert_eq!(content_type, "application/json; charset=utf-8\n");
    fs::write(storage.store("default").join("IN.txt"), "other").unwrap();
    assert_eq!(run(&storage, &["get", "default", "IN", "--input-key", "IN"]).text(), "other");
    let of_variable = Run::of(
        storefs()
            .env("CRAWLEE_INPUT_KEY", "IN")
            .arg("--source")
            .arg(storage.path())
            .args(["get", "default", "IN"]),
    );
    assert_eq!(of_variable.text(), "other");
}

#[test]
fn set_reads_a_file_or_standard_input() {
    let storage = TempStorage::empty();
    let file = storage.beside().join("file");
    fs::write(&file, "{\"from\": \"file\"}").unwrap();
    run(&storage, &["set", "default", "a", file.to_str().unwrap()]).text();
    assert_eq!(run(&storage, &["get", "default", "a"]).text(), "{\"from\": \"file\"}");
    set(&storage, &["default", "b", "-"], b"piped").text();
    assert_eq!(run(&storage, &["get", "default", "b"]).text(), "piped");
    run(&storage, &["set-value", "default", "empty", "/dev/null"]).text();
    assert_eq!(run(&storage, &["get", "default", "empty"]).text(), "");
    assert_eq!(metadata(&storage, "default")["name"], Value::Null, "as the SDKs make it");
    set(&storage, &["named", "a", "--content-type", "text/csv"], b"1,2").text();
    assert_eq!(metadata(&storage, "named")["name"], "named");
    assert_eq!(run(&storage, &["get", "named", "a", "--only-content-type"]).text(), "text/csv\n");

    assert!(run(&storage, &["set", "new", "k", "/no/such/file"]).error().contains("/no/such/file"));
    assert!(run(&storage, &["set", "new", "k", "/tmp"]).error().contains("directory"));
    assert!(!storage.store("new").exists());
    assert!(set(&storage, &["named", &"k".repeat(238)], b"v").error().contains("too long"));
    assert_eq!(run(&storage, &["keys", "named"]).text().lines().count(), 1);
}

#[test]
fn a_value_is_published_only_when_it_is_whole() {
    let storage = storage();
    let mut child = storefs()
        .arg("--source")
        .arg(storage.path())
        .args(["set", "default", "page.html"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"<p>ha").unwrap();
    assert_eq!(run(&storage, &["get", "default", "page.html"]).text(), "<p>hello</p>");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(run(&storage, &["get", "default", "page.html"]).text(), "<p>hello</p>");
}

#[test]
fn rm_deletes_all_it_can_and_reports_the_rest() {
    let storage = storage();
    assert!(run(&storage, &["rm", "default", "nope"]).error().contains("'nope'"));
    let error = run(&storage, &["rm", "default", "b", "nope", "page.html"]).error();
    assert!(error.contains("'nope'"), "{error}");
    assert_eq!(run(&storage, &["keys"]).text().lines().count(), 1);
    run(&storage, &["delete-value", "default", "INPUT"]).text();
    assert_eq!(run(&storage, &["keys"]).text(), "");
}

#[test]
fn purge_spares_the_input() {
    let storage = storage();
    assert_eq!(run(&storage, &["purge"]).text(), "default\t2\tINPUT\n");
    assert_eq!(run(&storage, &["keys"]).text().lines().count(), 1);
    let json = run(&storage, &["purge", "default", "my-store", "--json"]).json();
    assert_eq!(
        json,
        json!([
            { "store": "default", "removed": 0, "bytes": 0, "spared": ["INPUT"], "undoable_until": null },
            { "store": "my-store", "removed": 1, "bytes": 4, "spared": [], "undoable_until": null },
        ])
    );
    set(&storage, &["my-store", "k"], b"v").text();
    run(&storage, &["purge", "my-store", "nope"]).error();
    assert_eq!(run(&storage, &["keys", "my-store"]).text().lines().count(), 1, "all or none");
}

#[test]
fn adopt_gives_bare_files_their_sidecars() {
    let storage = storage();
    fs::write(storage.store("default").join("bare.json"), "[1]").unwrap();
    fs::write(storage.store("my-store").join("bare"), "text").unwrap();
    let json = run(&storage, &["adopt", "my-store", "--json"]).json();
    assert_eq!(json, json!([{ "store": "my-store", "adopted": 1, "failed": 0 }]));
    assert_eq!(run(&storage, &["adopt"]).text(), "default\t1\t0\nmy-store\t0\t0\n");
    let sidecar = fs::read(storage.store("default").join("bare.json.__metadata__.json")).unwrap();
    let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
    assert_eq!(sidecar["contentType"], "application/json; charset=utf-8");
}

#[test]
fn p17_times_are_written_before_a_command_ends() {
    let storage = storage();
    let time = |name: &str| {
        let metadata = metadata(&storage, "my-store");
        metadata[name].as_str().or(metadata[&camel(name)].as_str()).unwrap().to_owned()
    };
    let (accessed, modified) = (time("accessed_at"), time("modified_at"));
    run(&storage, &["get", "my-store", "only"]).text();
    assert!(time("accessed_at") > accessed);
    assert_eq!(time("modified_at"), modified);
    set(&storage, &["my-store", "only"], b"new").text();
    assert!(time("modified_at") > modified);
}

/// `accessedAt` for `accessed_at`.
fn camel(name: &str) -> String {
    name.replace("_at", "At")
}

#[test]
fn a_reader_without_the_right_to_write_is_not_told_so() {
    if !is_root() {
        // Who runs the tests owns the storage, and cannot become another user.
        return;
    }
    let storage = storage();
    let program = program_for_everybody(&storage);
    open_to_everybody(storage.beside());
    let mut command = Command::new(program);
    command.uid(NOBODY).gid(NOBODY).current_dir("/").env_clear();
    command.arg("--source").arg(storage.path()).args(["get", "my-store", "only"]);
    assert_eq!(Run::of(&mut command).text(), "text");
}

// The command line itself

#[test]
fn wrong_usage_is_exit_status_2() {
    let storage = storage();
    for line in [
        &[][..],
        &["nonsense"],
        &["keys", "--bogus"],
        &["get", "default"],
        &["rm", "default"],
        &["keys", "--limit", "x"],
        &["keys", "--dialect", "x"],
        &["keys", "--input-key", ""],
        &["set", "a", "b", "--content-type", ""],
        &["set", "a", "b", "--content-type", "nonsense"],
        &["set", "a", "b", "--content-type", "text/plain html"],
        &["mount"],
        &["mount", "s", "m", "--umask", "8"],
        &["mount", "s", "m", "--ttl", "-1"],
        &["mount", "s", "m", "--uid", "root"],
        &["mount", "s", "m", "-o", "nonsense"],
        &["mount", "s", "m", "-o", "ro,uid=x"],
        &["mount", "s", "m"], // and --source, which `run` gives
        &["completions", "nosuchshell"],
        &["man", "nosuchcommand"],
    ] {
        let run = run(&storage, line).exits(2);
        assert_eq!(run.stdout(), "", "{line:?}");
        assert!(!run.stderr().is_empty(), "{line:?}");
    }
}

#[test]
fn help_version_completions_and_manual_are_printed() {
    let of = |arguments: &[&str]| Run::of(storefs().args(arguments)).text();
    assert!(of(&["--version"]).starts_with("storefs "));
    assert!(of(&["--help"]).contains("APIFY_LOCAL_STORAGE_DIR"));
    assert!(of(&["mount", "--help"]).contains("--allow-other"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(of(&["completions", shell]).contains("storefs"), "{shell}");
    }
    assert!(of(&["man"]).contains(".TH storefs"));
    assert!(of(&["man", "mount"]).contains("nonempty"));
}

#[test]
fn the_environment_names_the_source() {
    let (one, other) = (storage(), TempStorage::empty());
    let stores = |apify: &Path, crawlee: &Path, directory: &Path| {
        let mut command = storefs();
        command.env("APIFY_LOCAL_STORAGE_DIR", apify).env("CRAWLEE_STORAGE_DIR", crawlee);
        Run::of(command.current_dir(directory).arg("stores")).exits(0).stdout().lines().count()
    };
    let empty = Path::new("");
    assert_eq!(stores(&one.path(), &other.path(), Path::new("/")), 2);
    assert_eq!(stores(&other.path(), &one.path(), Path::new("/")), 0);
    assert_eq!(stores(empty, &one.path(), Path::new("/")), 2);
    assert_eq!(stores(empty, empty, one.beside()), 2, "./storage");
    let error = Run::of(storefs().current_dir("/").arg("stores")).error();
    assert!(error.contains("./storage") && error.contains("--source"), "{error}");
}

#[test]
fn a_source_that_is_no_storage_is_named() {
    let dir = temp_dir();
    fs::write(dir.path().join("file"), "").unwrap();
    for (name, word) in [("missing", "--source"), ("file", "irectory")] {
        let source = dir.path().join(name);
        let error = Run::of(storefs().arg("--source").arg(&source).arg("stores")).error();
        assert!(error.contains(source.to_str().unwrap()) && error.contains(word), "{error}");
    }
}

// Mounts

/// A mountpoint whose mount is taken away when the test ends.
struct Mountpoint {
    dir: TempDir,
    /// Daemons that were seen; one that is left behind is killed.
    daemons: Vec<i32>,
}

impl Mountpoint {
    fn new() -> Self {
        let dir = temp_dir();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        Self { dir, daemons: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// A command whose daemons log below the test's directory.
    fn storefs(&self) -> Command {
        let mut command = storefs();
        command.env("XDG_STATE_HOME", self.dir.path().join("state"));
        command
    }

    /// Runs `storefs mount`, in the background.
    #[track_caller]
    fn mount(&mut self, source: &Path, options: &[&str]) -> Run {
        let run = Run::of(self.storefs().arg("mount").args(options).arg(source).arg(self.path()));
        if run.output.status.success() {
            self.daemons.push(self.pid());
        }
        run
    }

    #[track_caller]
    fn status(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path().join("@status")).unwrap()).unwrap()
    }

    #[track_caller]
    fn pid(&self) -> i32 {
        i32::try_from(self.status()["pid"].as_i64().unwrap()).unwrap()
    }

    #[track_caller]
    fn unmount(&self, options: &[&str]) -> Run {
        Run::of(self.storefs().arg("unmount").args(options).arg(self.path()))
    }

    fn is_mounted(&self) -> bool {
        is_mounted(&self.path())
    }

    /// The log that the daemon keeps where none is given.
    fn log(&self) -> String {
        let logs = fs::read_dir(self.dir.path().join("state/storefs")).unwrap();
        logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        let _ = self.unmount(&["--lazy"]);
        for _ in 0..16 {
            if self.is_mounted() {
                let _ = Command::new("umount").arg("-l").arg(self.path()).status();
            }
        }
        for pid in &self.daemons {
            if is_daemon(*pid) {
                signal(*pid, "KILL");
            }
        }
    }
}

/// Whether this process is there and still works; one that has ended may wait for ever to be reaped.
fn is_daemon(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("Name:\tstorefs") && !status.contains("State:\tZ")
}

fn signal(pid: i32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.unwrap().success());
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn open_to_everybody(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A copy of the program that every user can run.
fn program_for_everybody(storage: &TempStorage) -> PathBuf {
    let program = storage.beside().join("storefs");
    fs::copy(env!("CARGO_BIN_EXE_storefs"), &program).unwrap();
    open_to_everybody(&program);
    program
}

/// A process that holds a directory of the mount open.
struct User(Child);

impl User {
    fn of(dir: &Path) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "echo there; exec sleep 300"])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        Self(child)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mount_returns_when_the_mount_is_usable() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    assert_eq!(place.mount(&storage.path(), &[]).text(), "");
    let value = fs::read(place.path().join("key_value_stores/my-store/only")).unwrap();
    assert_eq!(value, b"text");
    let pid = place.pid();
    assert!(is_daemon(pid));
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));

    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(place.path().to_str().unwrap())).unwrap();
    let source = storage.path();
    assert!(line.contains(&format!("- fuse.storefs {} ", source.display())), "{line}");
    for option in ["nosuid", "nodev", "noatime", "default_permissions"] {
        assert!(line.contains(option), "{line}");
    }
    assert!(!line.contains("allow_other"), "{line}");

    assert_eq!(place.unmount(&[]).text(), "");
    assert!(!place.is_mounted());
    assert!(!is_daemon(pid), "unmount waits for the daemon");
    let log = place.log();
    assert!(log.contains("] mounted ") && log.contains("] unmounted "), "{log}");
    assert!(place.unmount(&[]).error().contains("nothing is mounted"));
}

#[test]
fn p17_a_change_through_the_mount_is_in_the_metadata_after_unmount() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let before = metadata(&storage, "my-store");
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &[]).text();
    fs::write(place.path().join("key_value_stores/my-store/new"), "x").unwrap();
    place.unmount(&[]).text();
    assert_ne!(metadata(&storage, "my-store"), before);
    assert_eq!(metadata(&storage, "my-store")["id"], before["id"]);
}

#[test]
fn paths_may_be_relative_and_strange() {
    if !can_mount() {
        return;
    }
    let place = Mountpoint::new();
    let source = place.dir.path().join("a,allow_other\\040 b");
    fs::create_dir(&source).unwrap();
    let strange = place.dir.path().join("m \\n\u{fc}");
    fs::create_dir(&strange).unwrap();
    let command =
        |arguments: &[&str]| Run::of(place.storefs().current_dir(place.dir.path()).args(arguments));
    command(&["mount", "a,allow_other\\040 b", "m \\n\u{fc}", "--log-file", "log"]).text();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = place.dir.path().to_str().unwrap();
    let line = table.lines().find(|line| line.contains(root)).unwrap();
    let is_open = line.contains(",allow_other");
    command(&["unmount", "./m \\n\u{fc}/"]).text();
    assert!(!is_mounted(&strange));
    assert!(!is_open, "{line}");
    assert!(fs::read_to_string(place.dir.path().join("log")).unwrap().contains("mounted"));
    assert!(!place.dir.path().join("state").exists());
}

#[test]
fn what_is_wrong_with_source_or_mountpoint_is_said() {
    let storage = storage();
    let mut place = Mountpoint::new();
    let at = |name: &str| place.dir.path().join(name);
    fs::write(at("file"), "").unwrap();
    fs::create_dir_all(at("full/x")).unwrap();
    fs::create_dir(storage.path().join("inner")).unwrap();
    let refused = |source: &Path, mountpoint: &Path, reason: &str| {
        let error = Run::of(place.storefs().arg("mount").arg(source).arg(mountpoint)).error();
        assert!(error.contains(reason), "{error}");
        assert!(!is_mounted(mountpoint));
    };
    refused(&at("missing"), &place.path(), "does not exist");
    refused(&at("file"), &place.path(), "not a directory");
    refused(&storage.path(), &at("missing"), "does not exist");
    refused(&storage.path(), &at("file"), "not a directory");
    refused(&storage.path(), &at("full"), "--nonempty");
    refused(&storage.path(), &storage.path(), "the source itself");
    refused(&storage.path(), &storage.path().join("inner"), "inside the source");
    refused(&storage.path().join("inner"), &storage.path(), "would hide it");
    refused(&storage.path(), Path::new("/proc"), "already mounted");
    assert!(!at("state").exists(), "nothing was started");
    let missing = place.path().join("no-log/log");
    let options = ["--log-file", missing.to_str().unwrap()];
    assert!(place.mount(&storage.path(), &options).error().contains("no-log"));
    assert!(!place.is_mounted());
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    if !is_root() {
        // Root reads everything; the other way round, this user cannot become another.
        return;
    }
    let storage = storage();
    let place = Mountpoint::new();
    let program = program_for_everybody(&storage);
    open_to_everybody(storage.beside());
    open_to_everybody(place.dir.path());
    chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(storage.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let as_nobody = |arguments: &[&Path]| {
        let mut command = Command::new(&program);
        Run::of(command.uid(NOBODY).gid(NOBODY).current_dir("/").env_clear().args(arguments))
            .error()
    };
    let error = as_nobody(&[Path::new("mount"), &storage.path(), &place.path()]);
    assert!(error.contains(storage.path().to_str().unwrap()), "{error}");
    assert!(error.contains("Permission denied"), "{error}");
    let error = as_nobody(&[Path::new("--source"), &storage.path(), Path::new("stores")]);
    assert!(error.contains("Permission denied"), "{error}");
    assert!(!place.is_mounted());
}

#[test]
fn a_source_that_is_no_storage_is_told_from_one() {
    let storage = storage();
    let mut place = Mountpoint::new();
    let meant = format!("'{}'", storage.path().display());
    let at = |path: &str| storage.path().join(path);
    fs::create_dir_all(at("datasets/default")).unwrap();
    for part in ["key_value_stores", "key_value_stores/default", "datasets", "datasets/default"] {
        let error = place.mount(&at(part), &[]).error();
        assert!(error.contains(&meant), "{error}");
        assert!(!place.is_mounted());
        let error = Run::of(place.storefs().arg("stores").arg("--source").arg(at(part))).error();
        assert!(error.contains(&meant), "{error}");
        let doctor = ["doctor", "--repair", "--source"];
        assert!(Run::of(place.storefs().args(doctor).arg(at(part))).error().contains(&meant));
        assert!(!at(part).join("key_value_stores").exists() && !at(part).join(".storefs").exists());
    }
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["--show-sidecars"]] {
        place.mount(&storage.path(), options).text();
        let other = Mountpoint::new();
        for within in ["", "key_value_stores", "key_value_stores/default"] {
            let within = place.path().join(within);
            let error = Run::of(place.storefs().arg("keys").arg("--source").arg(&within)).error();
            assert!(error.contains(&meant) && error.contains("a mount of storefs"), "{error}");
            let error =
                Run::of(place.storefs().arg("mount").arg(&within).arg(other.path())).error();
            assert!(error.contains(&meant) && error.contains("a mount of storefs"), "{error}");
        }
        assert!(place.unmount(&[]).output.status.success());
    }
}

#[test]
fn a_second_mount_of_a_storage_says_so_in_its_log() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let (mut one, mut other) = (Mountpoint::new(), Mountpoint::new());
    one.mount(&storage.path(), &[]).text();
    other.mount(&storage.path(), &[]).text();
    let place = format!("is mounted at '{}' too", one.path().display());
    assert!(other.log().contains(&place), "{}", other.log());
    assert!(!one.log().contains("too"), "{}", one.log());
}

#[test]
fn a_mountpoint_is_taken_once() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &[]).text();
    let pid = place.pid();
    let error = Run::of(place.storefs().arg("mount").arg(storage.path()).arg(place.path())).error();
    assert!(error.contains("already mounted") && error.contains("storefs unmount"), "{error}");
    let over = ["mount", "--nonempty"];
    let error = Run::of(place.storefs().args(over).arg(storage.path()).arg(place.path())).error();
    assert!(error.contains("already mounted"), "{error}");
    assert_eq!(place.pid(), pid);
}

#[test]
fn nonempty_hides_what_is_there() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    fs::write(place.path().join("hidden"), "x").unwrap();
    place.mount(&storage.path(), &["--nonempty"]).text();
    assert!(!place.path().join("hidden").exists());
    place.unmount(&[]).text();
    assert!(place.path().join("hidden").exists());
}

#[test]
fn a_dead_mount_can_be_unmounted() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &[]).text();
    kill_daemon(&place);
    place.unmount(&[]).text();
    assert!(!place.is_mounted());
}

#[test]
fn p21_a_dead_mount_is_healed_by_the_next_one() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    // What the kernel keeps in its cache must not make a dead mount look alive.
    place.mount(&storage.path(), &["--ttl", "3600"]).text();
    fs::metadata(place.path()).unwrap();
    kill_daemon(&place);
    let run = place.mount(&storage.path(), &[]).exits(0);
    assert!(run.stderr().contains("dead daemon"), "{}", run.stderr());
    let value = fs::read(place.path().join("key_value_stores/my-store/only")).unwrap();
    assert_eq!(value, b"text");
    place.unmount(&[]).text();
    assert!(!place.is_mounted(), "nothing lies below");
}

#[track_caller]
fn kill_daemon(place: &Mountpoint) {
    signal(place.pid(), "KILL");
    wait_until("the mount is dead", || {
        fs::read_dir(place.path()).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN))
    });
    assert!(place.is_mounted());
}

#[test]
fn signals_unmount() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    for name in ["TERM", "INT"] {
        let mut place = Mountpoint::new();
        place.mount(&storage.path(), &[]).text();
        fs::write(place.path().join("key_value_stores/my-store/of-signal"), name).unwrap();
        let pid = place.pid();
        signal(pid, name);
        wait_until("the daemon has ended", || !is_daemon(pid));
        assert!(!place.is_mounted(), "{name}");
        assert_eq!(run(&storage, &["get", "my-store", "of-signal"]).text(), name);
        assert!(place.log().contains("] unmounted "), "{}", place.log());
    }
}

#[test]
fn a_signal_to_a_busy_mount_detaches_it() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &[]).text();
    let pid = place.pid();
    let user = User::of(&place.path().join("key_value_stores"));
    signal(pid, "TERM");
    wait_until("the mount is out of sight", || !place.is_mounted());
    wait_until("the log says why", || place.log().contains("is in use"));
    assert!(place.log().contains(&format!("process {} (", user.0.id())), "{}", place.log());
    drop(user);
    wait_until("the daemon has ended", || !is_daemon(pid));
    assert!(!place.log().contains("ENOTCONN"), "{}", place.log());
}

#[test]
fn a_signal_asks_for_the_status() {
    if !can_mount() {
        return;
    }
    let mut place = Mountpoint::new();
    place.mount(&storage().path(), &[]).text();
    signal(place.pid(), "USR1");
    wait_until("the status is in the log", || place.log().contains("status: {"));
    place.unmount(&[]).text();
}

#[test]
fn a_busy_mount_names_its_users_and_goes_lazily() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &[]).text();
    let pid = place.pid();
    let user = User::of(&place.path().join("key_value_stores"));
    let error = place.unmount(&[]).error();
    assert!(error.contains("in use") && error.contains("--lazy"), "{error}");
    assert!(error.contains(&format!("process {} (", user.0.id())), "{error}");
    assert!(place.is_mounted());

    let run = place.unmount(&["--lazy"]).exits(0);
    assert!(run.stderr().contains("detached"), "{}", run.stderr());
    assert!(!place.is_mounted());
    assert!(is_daemon(pid), "its user goes on");
    drop(user);
    wait_until("the daemon has ended", || !is_daemon(pid));
}

#[test]
fn a_daemon_that_hangs_holds_up_nobody() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &[]).text();
    // The one that serves, whom another process watches.
    let serving = i32::try_from(place.status()["worker"].as_i64().unwrap()).unwrap();
    signal(serving, "STOP");
    let again = Run::of(place.storefs().arg("mount").arg(storage.path()).arg(place.path()));
    assert!(again.error().contains("already mounted"));
    assert!(place.unmount(&[]).error().contains("does not answer"));
    assert!(place.is_mounted());
    assert!(place.unmount(&["--lazy"]).exits(0).stderr().contains("does not answer"));
    assert!(!place.is_mounted());
}

#[test]
fn unmount_works_from_within() {
    if !can_mount() {
        return;
    }
    let mut place = Mountpoint::new();
    place.mount(&storage().path(), &[]).text();
    Run::of(place.storefs().current_dir(place.path()).args(["unmount", "."])).text();
    assert!(!place.is_mounted());
}

#[test]
fn unmount_leaves_alone_what_is_not_ours() {
    let place = Mountpoint::new();
    let error = Run::of(place.storefs().args(["unmount", "/proc"])).error();
    assert!(error.contains("no storefs mount") && error.contains("proc"), "{error}");
    assert!(Path::new("/proc/self").exists());
    let missing = place.dir.path().join("missing");
    assert!(Run::of(place.storefs().arg("unmount").arg(missing)).error().contains("missing"));
}

#[test]
fn the_end_of_a_mount_leaves_alone_what_was_mounted_there_since() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage();
    let mut place = Mountpoint::new();
    place.mount(&storage.path(), &["--log-file", "/dev/null"]).text();
    let pid = place.pid();
    let user = User::of(&place.path());
    Command::new("umount").arg("-l").arg(place.path()).status().unwrap();
    place.mount(&storage.path(), &[]).text();
    let second = place.pid();
    drop(user);
    wait_until("the first daemon has ended", || !is_daemon(pid));
    assert!(place.is_mounted());
    assert_eq!(place.pid(), second);
    place.unmount(&[]).text();
}

#[test]
fn a_mount_in_the_foreground_stays_until_it_is_interrupted() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let place = Mountpoint::new();
    let mut command = place.storefs();
    command.args(["mount", "--foreground"]).arg(storage.path()).arg(place.path());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let root = place.path();
    wait_until("it is mounted", || is_mounted(&root) && root.join("key_value_stores").exists());
    assert_eq!(place.pid(), i32::try_from(child.id()).unwrap());
    assert_eq!(child.try_wait().unwrap(), None);
    signal(place.pid(), "INT");
    assert!(child.wait().unwrap().success());
    assert!(!place.is_mounted());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("mounted"), "{log}");
    assert!(!place.dir.path().join("state").exists());
}

#[test]
fn options_reach_the_mount() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    for options in [&["--read-only"][..], &["-o", "nofail,ro,x-systemd.automount"]] {
        let mut place = Mountpoint::new();
        place.mount(&storage.path(), options).text();
        let write = fs::write(place.path().join("key_value_stores/my-store/new"), "x");
        assert_eq!(write.unwrap_err().raw_os_error(), Some(libc::EROFS), "{options:?}");
        assert_eq!(fs::read(place.path().join("key_value_stores/my-store/only")).unwrap(), b"text");
        place.unmount(&[]).text();
    }
    for options in [
        &["--uid", "12", "--gid", "34", "--umask", "027"][..],
        &["-o", "uid=12,gid=34", "-o", "umask=027"],
    ] {
        use std::os::unix::fs::MetadataExt;
        let mut place = Mountpoint::new();
        // Root alone may look at what it does not own.
        place.mount(&storage.path(), options).text();
        let record = fs::metadata(place.path().join("key_value_stores/my-store/only")).unwrap();
        assert_eq!((record.uid(), record.gid(), record.mode() & 0o027), (12, 34, 0), "{options:?}");
        place.unmount(&[]).text();
    }
    if is_root() {
        let mut place = Mountpoint::new();
        place.mount(&storage.path(), &["--allow-other"]).text();
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let path = place.path();
        let line = table.lines().find(|line| line.contains(path.to_str().unwrap())).unwrap();
        assert!(line.contains("allow_other"), "{line}");
    }
}

/// What somebody wrote, and what the one line that he is told must hold.
#[test]
fn who_mistypes_is_told_what_may_have_been_meant() {
    let storage = storage();
    for (line, status, told) in [
        (&["mnt", "s", "m"][..], 2, "did you mean 'mount'?"),
        (&["stat"], 2, "'storefs status' tells"),
        (&["dir"], 2, "storefs stores"),
        (&["list"], 2, "storefs keys"),
        (&["show", "default", "OUTPUT"], 2, "storefs get"),
        (&["keys", "defualt"], 3, "did you mean 'default'?"),
        (&["get", "defualt", "b"], 3, "did you mean 'default'?"),
        (&["purge", "defualt"], 3, "did you mean 'default'?"),
        (&["keys", "nothing-like-it"], 3, "'nothing-like-it'; 'storefs stores' lists"),
        (&["keys", "--limit", "abc"], 2, "a whole number"),
        (&["keys", "--limit", "-1"], 2, "a whole number"),
    ] {
        let run = run(&storage, line).exits(status);
        assert!(run.stderr().contains(told), "{line:?}: {}", run.stderr());
        assert_eq!(run.stdout(), "", "{line:?}");
    }
    set(&storage, &["default", "OUTPUT"], b"{}").text();
    for (line, status) in [(["get", "default", "OUTPU"], 3), (["rm", "default", "OUTPTU"], 1)] {
        let run = run(&storage, &line).exits(status);
        let expected = format!(
            "storefs: there is no record '{}' in store 'default'; did you mean 'OUTPUT'? 'storefs keys default' lists what is there\n",
            line[2]
        );
        assert_eq!(run.stderr(), expected);
    }
}

#[test]
fn unmounting_a_place_inside_a_mount_is_told_where_the_mount_is() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::new(&storage);
    for inside in
        ["key_value_stores", "key_value_stores/default", "sub", "key_value_stores/no/such"]
    {
        let output = storefs().arg("unmount").arg(mount.path().join(inside)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{inside}: {said}");
        let expected =
            format!("lies in the mount at '{0}': storefs unmount {0}\n", mount.path().display());
        assert!(said.ends_with(&expected), "{inside}: {said}");
    }
    assert!(mount.store("default").exists());
}
