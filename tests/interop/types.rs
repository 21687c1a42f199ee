//! The type that an SDK gave a record outlives bytes that do not fit it (P10), and what storefs notes for that in a
//! sidecar troubles no SDK.

use std::fs;

use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, TempStorage, mime_type, sh, storefs, try_sh};
use crate::sdk::{Js, Python, STORE, answer_of};

fn sidecar(storage: &TempStorage, name: &str) -> Value {
    let path = storage.store(STORE).join(format!("{name}.{METADATA}"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const LD: &str = "application/json; profile=\"https://example.com/ld\"";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// A record of an SDK, and what is written over it.
struct Given {
    key: &'static str,
    value: Value,
    content_type: &'static str,
    /// Bytes that an SDK could not decode under this type, and how they are shown.
    misfit: &'static [u8],
    shown: &'static str,
    /// Bytes that fit it again.
    fit: &'static [u8],
}

fn given() -> [Given; 4] {
    let json = |key| Given {
        key,
        value: json!({"a": 1}),
        content_type: LD,
        misfit: b"{\"a\" 1}",
        shown: TEXT,
        fit: b"{\"a\": 2}",
    };
    let text = |key, content_type| Given {
        key,
        value: json!("# x"),
        content_type,
        misfit: b"gr\xfcn",
        shown: BYTES,
        fit: b"gr\xc3\xbcn",
    };
    [
        json("state"),
        json("state.json"),
        text("notes", "text/markdown"),
        text("page.txt", "text/html"),
    ]
}

#[test]
fn p10_the_type_that_an_sdk_gave_comes_back_when_the_bytes_fit_it_again() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    for Given { key, value, content_type, .. } in given() {
        client.ask(&json!({"set": key, "value": value, "content_type": content_type}));
    }
    let mount = TempMount::new(&storage);
    for Given { key, misfit, shown, .. } in given() {
        fs::write(mount.store(STORE).join(key), misfit).unwrap();
        // The SDK reads it, and is not irritated by the note.
        assert_eq!(client.get(key)["content_type"], shown, "{key}");
    }
    mount.unmount();
    let listed = python.dump(&storage, STORE);
    let mount = TempMount::new(&storage);
    for Given { key, content_type, misfit, shown, fit, .. } in given() {
        assert_eq!(listed[key]["content_type"], shown, "{key}");
        assert_eq!(mime_type(&mount.store(STORE).join(key)), shown, "{key}");
        // Once more, by a rename over it.
        fs::write(mount.store(STORE).join("new~"), misfit).unwrap();
        fs::rename(mount.store(STORE).join("new~"), mount.store(STORE).join(key)).unwrap();
        assert_eq!(mime_type(&mount.store(STORE).join(key)), shown, "{key}");
        fs::write(mount.store(STORE).join("new~"), fit).unwrap();
        fs::rename(mount.store(STORE).join("new~"), mount.store(STORE).join(key)).unwrap();
        assert_eq!(client.get(key)["content_type"], content_type, "{key}");
        let fields = sidecar(&storage, key);
        assert_eq!(fields.as_object().unwrap().len(), 3, "as an SDK would write it: {fields}");
    }
    // A type that the SDK gives later is the one that holds.
    fs::write(mount.store(STORE).join("notes"), b"\xff").unwrap();
    client.ask(&json!({"set": "notes", "value": "a,b", "content_type": "text/csv"}));
    fs::write(mount.store(STORE).join("notes"), "# x").unwrap();
    assert_eq!(client.get("notes")["content_type"], "text/csv");
}

#[test]
fn p10_an_editor_that_moves_the_record_aside_keeps_its_type() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    for backup in ["no", "yes", "auto"] {
        client.ask(&json!({"set": "notes", "value": "# old", "content_type": "text/markdown"}));
        let vim = |command: &str| {
            format!(
                "vim -es -u NONE -i NONE --cmd 'set enc=utf-8 backupskip= writebackup backupcopy={backup}' -c '{command}' -c wq notes"
            )
        };
        sh(&vim("%s/old/new/"), &mount.store(STORE));
        assert_eq!(client.get("notes")["content_type"], "text/markdown", "backupcopy={backup}");
        sh(&vim("set fenc=latin1 | s/new/\\=nr2char(252)/"), &mount.store(STORE));
        assert_eq!(client.get("notes")["content_type"], BYTES, "backupcopy={backup}");
        sh(&vim("set fenc=utf-8"), &mount.store(STORE));
        assert_eq!(client.get("notes")["content_type"], "text/markdown", "backupcopy={backup}");
    }
}

#[test]
fn p10_a_type_that_was_only_guessed_troubles_no_sdk() {
    let (Some(python), Some(js)) = (Python::find(), Js::find()) else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    client.set("object.json", &json!({"a": 1}));
    let mount = TempMount::new(&storage);
    sh("echo words > words; echo '{' > object.json; echo '[1]' > list", &mount.store(STORE));
    assert!(sidecar(&storage, "words")["givenContentType"].is_null());
    assert_eq!(sidecar(&storage, "list").as_object().unwrap().len(), 4);
    let records = python.dump(&storage, STORE);
    let types =
        [("words", TEXT), ("object.json", TEXT), ("list", "application/json; charset=utf-8")];
    for (key, content_type) in types {
        assert_eq!(records[key]["content_type"], content_type, "{records:?}");
    }
    // JS 3 reads stores with sidecars as far as it ever does: not at all an object.json that is none.
    let records = js.dump(&storage, STORE);
    assert_eq!(records["words"]["value"], "words\n");
    assert_eq!(records["list"]["value"], json!([1]));
}

/// The Apify SDK refuses to open a store in which it finds two input files.
#[test]
fn p10_no_second_input_is_made_beside_one_that_is_there() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    let dir = mount.store("default");
    sh(
        "mkdir default; echo '{\"a\": 1}' > default/INPUT.json; echo '{}' > default/other",
        &mount.stores(),
    );
    for script in ["echo '{}' > INPUT", "mv other INPUT", "cp other INPUT.txt", "touch INPUT.bin"] {
        let refused = try_sh(script, &dir);
        assert!(!refused.status.success(), "{script}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let expected = if script.starts_with("mv") { "not permitted" } else { "File exists" };
        assert!(said.contains(expected), "{script}: {said}");
    }
    assert!(mount.log().contains("beside 'INPUT.json'"), "{}", mount.log());
    // The same from the command line, which finds the input that is there.
    let set = |key: &str| {
        let mut command = storefs();
        command.args(["set", "default", key, "--source"]).arg(storage.path());
        command.status().unwrap().code()
    };
    assert_eq!(set("INPUT.txt"), Some(4));
    // Nor beside one that is only being made.
    sh("mkdir made", &mount.stores());
    let making = fs::File::create(mount.store("made").join("INPUT.json")).unwrap();
    let refused = fs::File::create(mount.store("made").join("INPUT")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(17), "{refused}");
    drop(making);
    // Editors, rewriting, and another spelling of the same record are not in the way.
    sh(
        "echo '{\"a\": 2}' > INPUT.json; cp INPUT.json INPUT.json.bak; rm INPUT.json.bak; \
         vim -es -u NONE -i NONE --cmd 'set backupskip= writebackup' -c '%s/2/3/' -c wq INPUT.json; \
         mv INPUT.json INPUT; mv INPUT INPUT.json; echo '{}' > new; mv new INPUT.json; echo '{\"a\": 4}' > INPUT.json",
        &dir,
    );
    let input = || {
        let mut command = python.command(&["input"]);
        command.env("APIFY_LOCAL_STORAGE_DIR", storage.path());
        answer_of(command, &Value::Null)
    };
    assert_eq!(input()["value"], json!({"a": 4}));
}

#[test]
fn p10_an_input_that_an_sdk_set_as_text_stays_text() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve_apify(&storage, STORE, false);
    client.set("INPUT", &json!("words"));
    let mount = TempMount::new(&storage);
    sh("echo 'more words' > INPUT", &mount.store(STORE));
    assert_eq!(client.get("INPUT")["value"], "more words\n");
    sh("printf '\\xff' > INPUT", &mount.store(STORE));
    assert_eq!(client.get("INPUT")["type"], "bytes");
    mount.unmount();
    let mount = TempMount::new(&storage);
    sh("echo 'again' > INPUT", &mount.store(STORE));
    assert_eq!(client.get("INPUT")["value"], "again\n");
}
