//! Values and sidecars.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{METADATA, TempStorage};
use crate::{OLD, age, found, path, put, record, sidecar, storage};

/// What is found in the fixture, apart from temporaries.
const STATES: [&str; 21] = [
    "meta-array __metadata__.json damaged-metadata left",
    "meta-empty __metadata__.json damaged-metadata left",
    "meta-missing __metadata__.json missing-metadata repairable",
    "meta-no-dates __metadata__.json damaged-metadata left",
    "meta-notjson __metadata__.json damaged-metadata left",
    "states bad-json undecodable-value left",
    "states bad-utf8 undecodable-value left",
    "states bad-utf8.__metadata__.json wrong-size repairable",
    "states both-spellings.__metadata__.json both-spellings repairable",
    "states no-size.__metadata__.json missing-size repairable",
    "states none-with-bytes undecodable-value left",
    "states other-key.__metadata__.json mismatched-key repairable",
    "states sidecar-array.__metadata__.json corrupt-sidecar repairable",
    "states sidecar-empty.__metadata__.json corrupt-sidecar repairable",
    "states sidecar-no-type.__metadata__.json corrupt-sidecar repairable",
    "states sidecar-notjson.__metadata__.json corrupt-sidecar repairable",
    "states sidecar-only.__metadata__.json dangling-sidecar repairable",
    "states sidecar-string.__metadata__.json doubly-encoded-sidecar repairable",
    "states subdir sub-directory left",
    "states value-only bare-file repairable",
    "states wrong-size.__metadata__.json wrong-size repairable",
];

/// The temporaries in the fixture.
const TEMPORARIES: [&str; 3] =
    [".tmp.AbCdEf012345", "left.__metadata__.json.zyx98765.json.tmp", "left.abcd_123.tmp"];

fn in_state(lines: &[&str], from: &str, to: &str) -> Vec<String> {
    lines.iter().map(|line| line.replace(from, to)).collect()
}

#[test]
fn p19_every_kind_of_damage_is_listed_and_left_as_it_is() {
    let storage = TempStorage::of_fixture("python/states");
    let before = storage.files();
    assert_eq!(found(&storage, &[]), STATES);
    assert_eq!(storage.files(), before);

    for name in TEMPORARIES {
        age(&storage.store("states").join(name), OLD);
    }
    let all = found(&storage, &[]);
    for name in TEMPORARIES {
        assert!(all.contains(&format!("states {name} temporary repairable")), "{all:?}");
    }
    assert_eq!(all.len(), STATES.len() + TEMPORARIES.len());
    assert_eq!(storage.files(), before);
    assert!(!storage.path().join(".storefs").exists(), "a look writes nothing");
}

#[test]
fn p19_a_repair_mends_what_has_one_right_answer_and_says_what_it_left() {
    let storage = TempStorage::of_fixture("python/states");
    let before = storage.files();
    assert_eq!(found(&storage, &["--repair"]), in_state(&STATES, "repairable", "repaired"));
    let left: Vec<&str> = STATES.into_iter().filter(|line| line.ends_with("left")).collect();
    assert_eq!(found(&storage, &[]), left);
    assert_eq!(found(&storage, &["--repair"]), left);

    // No value and no foreign file has changed, and nothing but the dangling sidecar has gone.
    let after = storage.files();
    for (path, content) in &before {
        let name = path.to_str().unwrap();
        if !name.ends_with(METADATA) || name.contains("meta-") {
            assert_eq!(after.get(path), Some(content), "{name}");
        } else if name != "states/sidecar-only.__metadata__.json" {
            assert!(after.contains_key(path), "{name}");
        }
    }
    assert_eq!(after.len(), before.len() + 1, "one sidecar less; one and a metadata file more");

    let sidecar = |name: &str| {
        let text = &after[&Path::new("states").join(format!("{name}.{METADATA}"))];
        serde_json::from_slice::<Value>(text).unwrap()
    };
    let text = "text/plain; charset=utf-8";
    for (name, content_type) in [
        ("both-spellings", "text/html"),
        ("other-key", "text/plain"),
        ("no-size", "text/plain"),
        ("wrong-size", "text/plain"),
        ("sidecar-string", "text/plain"),
        ("sidecar-empty", text),
        ("sidecar-array", text),
        ("value-only", text),
    ] {
        let size = after[&Path::new("states").join(name)].len();
        let mut expected = json!({"key": name, "contentType": content_type, "size": size});
        if content_type == text {
            // Nobody has given that one.
            expected["givenContentType"] = Value::Null;
        }
        assert_eq!(sidecar(name), expected);
    }
}

#[test]
fn each_corrupt_sidecar_is_found_and_rewritten_as_inferred() {
    let storage = storage();
    let large = [b" ".repeat(70_000), b"{}".to_vec()].concat();
    let deep = b"[".repeat(10_000);
    for (at, text) in [
        &b""[..],
        b"{no",
        b"[]",
        b"null",
        b"\"text\"",
        b"5",
        b"{}",
        b"{\"key\": \"x\", \"contentType\": \"\"}",
        b"{\"key\": \"x\", \"content_type\": 5}",
        b"{\"key\": \"\xff\", \"contentType\": \"a/b\"}",
        b"\"[]\"",
        &large,
        &deep,
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("r{at}.json");
        put(&storage, &name, b"{\"a\": 1}");
        fs::write(path(&storage, format!("{name}.{METADATA}")), text).unwrap();
        let expected = |state| [format!("{name}.{METADATA} corrupt-sidecar {state}")];
        assert_eq!(found(&storage, &[]), expected("repairable"), "{:?}", text.get(..20));
        assert_eq!(found(&storage, &["--repair"]), expected("repaired"));
        assert_eq!(
            sidecar(&storage, &name),
            json!({"key": name, "contentType": "application/json; charset=utf-8", "size": 8})
        );
        assert_eq!(found(&storage, &[]), [""; 0]);
    }
}

#[test]
fn several_faults_of_one_sidecar_are_mended_together() {
    let storage = storage();
    put(&storage, "k", b"12345");
    let text = "{\"key\": \"l\", \"contentType\": \"a/b\", \"content_type\": \"c/d\", \"size\": \"5\", \"x\": 1}";
    put(&storage, "k.__metadata__.json", text.as_bytes());
    let expected = |state: &str| {
        ["both-spellings", "mismatched-key", "wrong-size"]
            .map(|kind| format!("k.__metadata__.json {kind} {state}"))
    };
    assert_eq!(found(&storage, &[]), expected("repairable"));
    assert_eq!(found(&storage, &["--repair"]), expected("repaired"));
    assert_eq!(sidecar(&storage, "k"), json!({"key": "k", "contentType": "a/b", "size": 5}));
    assert_eq!(found(&storage, &[]), [""; 0]);
}

#[test]
fn doubly_encoded_sidecars_of_js3_become_those_of_their_values() {
    let storage = TempStorage::of_fixture("js-v3/with-metadata");
    let before = storage.files();
    let all = found(&storage, &["--repair"]);
    assert_eq!(all.len(), 21);
    assert!(all.iter().all(|line| line.ends_with(" doubly-encoded-sidecar repaired")), "{all:?}");
    assert_eq!(found(&storage, &[]), [""; 0]);

    let after = storage.files();
    assert_eq!(after.len(), before.len());
    let sidecar = |name: &str| -> Value {
        let name = format!("kinds/{name}.{METADATA}");
        serde_json::from_slice(&after[Path::new(&name)]).unwrap()
    };
    assert_eq!(sidecar("photo.jpeg")["contentType"], "image/jpeg");
    assert_eq!(sidecar("page.html")["contentType"], "text/html");
    assert_eq!(sidecar("unknown.bin")["contentType"], "application/x-foo");
    assert_eq!(sidecar("ok%21-_.%27%28%29.txt")["key"], "ok!-_.'().txt");
    assert!(!after.contains_key(Path::new("kinds/photo.__metadata__.json")));
}

#[test]
fn a_dangling_sidecar_goes_and_one_of_something_else_stays() {
    let storage = storage();
    let text = b"{\"key\": \"x\", \"contentType\": \"text/plain\", \"size\": 1}";
    put(&storage, "gone.__metadata__.json", text);
    put(&storage, "broken.__metadata__.json", b"[]");
    // Left by a record of the key `__metadata__.json`: whose it is, nobody can tell.
    put(&storage, "__metadata__.json.__metadata__.json", text);
    fs::create_dir(path(&storage, "dir")).unwrap();
    put(&storage, "dir.__metadata__.json", text);
    let expected = |state: &str| {
        vec![
            "__metadata__.json.__metadata__.json dangling-sidecar left".to_owned(),
            format!("broken.__metadata__.json dangling-sidecar {state}"),
            "dir sub-directory left".to_owned(),
            format!("gone.__metadata__.json dangling-sidecar {state}"),
        ]
    };
    assert_eq!(found(&storage, &[]), expected("repairable"));
    assert_eq!(found(&storage, &["--repair"]), expected("repaired"));
    assert!(!path(&storage, "gone.__metadata__.json").exists());
    assert!(!path(&storage, "broken.__metadata__.json").exists());
    assert!(path(&storage, "dir.__metadata__.json").exists());
}

#[test]
fn values_that_do_not_fit_their_type_are_listed_and_left() {
    let storage = storage();
    record(&storage, "json", "application/json; charset=utf-8", b"{\"a\": ");
    record(&storage, "empty", "application/json", b"");
    record(&storage, "text", "text/html", b"\xff");
    record(&storage, "none", "application/x-none", b"x");
    record(&storage, "fine", "application/octet-stream", b"\xff");
    record(&storage, "nothing", "application/x-none", b"");
    let before = storage.files();
    let expected = ["empty", "json", "none", "text"].map(|k| format!("{k} undecodable-value left"));
    assert_eq!(found(&storage, &[]), expected);
    assert_eq!(found(&storage, &["--repair"]), expected);
    assert_eq!(storage.files(), before);
}

#[test]
fn bare_files_are_adopted_and_a_bare_input_needs_nothing() {
    let storage = storage();
    put(&storage, "INPUT.json", b"{}");
    put(&storage, "page.html", b"<p>");
    assert_eq!(found(&storage, &[]), ["page.html bare-file repairable"]);
    assert_eq!(found(&storage, &["--repair"]), ["page.html bare-file repaired"]);
    let expected =
        json!({"key": "page.html", "contentType": "text/html; charset=utf-8", "size": 3});
    assert_eq!(sidecar(&storage, "page.html"), expected);
    assert_eq!(found(&storage, &[]), [""; 0]);

    // What the Apify SDK writes when it opens the store.
    let apify =
        b"{\"key\": \"INPUT\", \"content_type\": \"application/json; charset=utf-8\", \"size\": 2}";
    put(&storage, "INPUT.json.__metadata__.json", apify);
    assert_eq!(found(&storage, &[]), [""; 0]);
    assert_eq!(
        found(&storage, &["--input-key", "OTHER"]),
        ["INPUT.json.__metadata__.json mismatched-key repairable"]
    );
}
