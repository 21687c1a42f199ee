//! The same in the layout of Crawlee JS 3, in which the extension is the type.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, TempStorage, names, sh, storefs};
use crate::sdk::{Js, hex};

/// Asserts that a store has the layout of JS 3 still: no metadata and no sidecar.
#[track_caller]
fn assert_js_layout(store: &Path) {
    let foreign: Vec<_> =
        names(store).into_iter().filter(|name| name.ends_with(METADATA)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

/// The record that a file of this name has become for JS 3: that SDK's keys have no last extension, unless
/// there is one more on disk.
#[track_caller]
fn js_record<'a>(records: &'a BTreeMap<String, Value>, name: &str) -> &'a Value {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    records.get(name).or_else(|| records.get(stem)).unwrap_or_else(|| {
        panic!("JS has no record of {name:?} in {:?}", records.keys().collect::<Vec<_>>())
    })
}

#[test]
fn p12_js3_lists_a_store_after_any_name_was_written() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::of_fixture("js-v3/plain");
    let mount = TempMount::new(&storage);
    let mounted = mount.store("kinds");
    let before = names(&mounted);
    let written = [
        ("fresh.json", "{\"n\":1}"),
        ("words.txt", "text"),
        ("photo2.jpg", "\u{0}jpg"),
        ("readme.md", "# md"),
        ("run.log", "log"),
        (".edited.swp", "swap"),
        ("old.htm", "<p>htm</p>"),
        ("conf.yml", "y: 1"),
        ("no-extension", "bare"),
        ("UPPER.JSON", "{\"u\":1}"),
        ("data.parquet", "PAR1"),
        ("trailing.", "dot"),
        ("with space.txt", "space"),
        ("\u{fc}.txt", "umlaut"),
        ("%41.txt", "percent"),
        ("@home.txt", "at"),
        ("100%.txt", "percent at the end"),
        ("%252F.txt", "code"),
    ];
    for (name, content) in written {
        fs::write(mounted.join(name), content).unwrap();
    }
    // The mount shows each under the name that it was written by, whatever it is called on disk.
    let shown = before.iter().cloned().chain(written.iter().map(|(name, _)| (*name).to_owned()));
    assert_eq!(names(&mounted), shown.collect());
    for (name, content) in written {
        assert_eq!(fs::read(mounted.join(name)).unwrap(), content.as_bytes(), "{name}");
    }

    let records = js.dump(&storage, "kinds");
    assert_eq!(records.len(), before.len() + written.len());
    for (name, content) in written {
        let decoded = name.replace("%252F", "%2F");
        let record = js_record(&records, &decoded);
        let seen = match record["type"].as_str().unwrap() {
            "Buffer" => record["hex"] == hex(content.as_bytes()),
            "string" => record["value"] == content,
            _ => record["value"] == serde_json::from_str::<Value>(content).unwrap(),
        };
        assert!(seen, "{name}: {record}");
    }
    assert_eq!(js_record(&records, "fresh.json")["type"], "object");
    assert_eq!(js_record(&records, "words.txt")["type"], "string");
    assert_eq!(js_record(&records, "photo2.jpg")["type"], "Buffer");
    mount.unmount();
    assert_js_layout(&storage.store("kinds"));
}

#[test]
fn p12_js3_reads_what_tools_changed() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::of_fixture("js-v3/plain");
    let mount = TempMount::new(&storage);
    sh(
        r#"
        sed -i 's/42/43/' num.json
        echo ' more' >> str.txt
        vim -es -u NONE -i NONE -c '%s/x/vim/' -c wq page.html
        mv data.json moved.json
        rm note.txt
        printf '\x89PNG' > "$OLDPWD/shot.png"
        cp "$OLDPWD/shot.png" shot.png
        "#
        .replace("$OLDPWD", storage.beside().to_str().unwrap())
        .as_str(),
        &mount.store("kinds"),
    );
    let records = js.dump(&storage, "kinds");
    assert_eq!(records["num"]["value"], 43);
    assert_eq!(records["str"]["value"], "hello \u{fc} more\n");
    assert_eq!(records["page"]["value"], "<p>vim</p>\n");
    assert_eq!(records["moved"]["value"], json!({"a": 1}));
    assert_eq!(records["shot"]["hex"], hex(b"\x89PNG"));
    assert!(!records.contains_key("data") && !records.contains_key("note"));
    mount.unmount();
    assert_js_layout(&storage.store("kinds"));
}

/// A store that does not tell has the layout of the others of its storage.
#[test]
fn p12_a_new_store_in_a_storage_of_js3_is_one_that_it_can_list() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    js.fill(&storage, "first", &json!([{"key": "obj", "value": {"a": 1}}]));
    fs::create_dir_all(storage.store("default")).unwrap();
    fs::write(storage.store("default").join("INPUT.json"), "{}").unwrap();
    let mount = TempMount::new(&storage);
    let png = storage.beside().join("shot.png");
    fs::write(&png, b"\x89PNG\r\n\x1a\n").unwrap();
    let script = format!(
        "mkdir made; cp {png} made/pic.jpg; echo '{{\"m\": 1}}' > made/obj.json; echo x > default/notes.md; \
         echo 1 > made/@purge; cp {png} made/pic.jpg; echo '{{\"m\": 2}}' > made/obj.json",
        png = png.display()
    );
    sh(&script, &mount.stores());
    let set = |key: &str| {
        let mut command = storefs();
        command.args(["set", "by-command", key, "--source"]).arg(storage.path());
        assert!(command.status().unwrap().success());
    };
    set("notes.md");
    mount.unmount();
    for (store, keys) in [
        ("made", &["pic.jpg", "obj"][..]),
        ("default", &["INPUT", "notes.md"]),
        ("by-command", &["notes.md"]),
    ] {
        let listed = js.dump(&storage, store);
        let expected: BTreeSet<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(listed.into_keys().collect::<BTreeSet<_>>(), expected, "{store}");
        assert!(!storage.store(store).join(METADATA).exists(), "{store}");
    }
    // Where another store tells otherwise, and where none tells, it is one with sidecars.
    for others in [&["first"][..], &[]] {
        let storage = TempStorage::empty();
        if !others.is_empty() {
            js.fill(&storage, "first", &json!([{"key": "obj", "value": {"a": 1}}]));
            fs::create_dir_all(storage.store("second")).unwrap();
            fs::write(storage.store("second").join(METADATA), "{}").unwrap();
        }
        let mount = TempMount::new(&storage);
        sh("mkdir made; echo x > made/notes.md", &mount.stores());
        assert!(storage.store("made").join(METADATA).exists());
        assert!(storage.store("made").join(format!("notes.md.{METADATA}")).exists());
    }
}
