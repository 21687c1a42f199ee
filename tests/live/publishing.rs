//! Nothing that is published through the mount makes an SDK raise that has the store open, or opens it then.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::common::{METADATA, TempMount, TempStorage, names, sh};
use crate::sdk::{Client, Js, Python, STORE, assert_no_litter, object, text};

/// What people do in a store. `$O` is a directory outside; the script runs in the store.
const DEEDS: &[&str] = &[
    r#"echo '{"a": 1}' > data.json; echo words > note; printf '\377\376' > raw"#,
    r#"echo more >> note; echo '{"a": 2}' > data.json"#,
    r#"echo '"a string"' > data.json; echo '[1]' > note"#,
    r#"printf 'a,b\n' > "$O/t.csv"; cp -p "$O/t.csv" .; setfattr -n user.mime_type -v text/x-own t.csv"#,
    r#"mv t.csv moved.csv; mv note renamed; rm raw"#,
    r#"sed -i 's/1/2/' renamed; vim -es -N -u NONE -i NONE -c '%s/a/b/' -c wq moved.csv"#,
    r#"setfattr -x user.mime_type moved.csv; truncate -s 1 renamed; : > data.json"#,
    r#"mkdir -p "$O/tree"; echo '{}' > "$O/tree/x.json"; echo y > "$O/tree/y"; rsync -a "$O/tree/" ./"#,
    r#"echo k > 'a%2Fb'; echo k > 'with space'; echo k > '@at'; echo k > '100%.txt'; echo k > '%41'; echo k > .hidden; echo k > foo.tmp"#,
    r#"mv x.json y; touch empty; tar cf - y empty | tar xf - --overwrite"#,
    r#"rm -f INPUT; echo '{"input": 1}' > INPUT.json; sed -i 's/1/2/' INPUT.json"#,
    r#"mv INPUT.json INPUT.txt; echo more >> INPUT.txt"#,
    r#"printf '{"input": 3}' > "$O/INPUT"; rm INPUT.txt; cp "$O/INPUT" INPUT"#,
    r#"printf 1 > @purge"#,
    r#"echo '{"after": "purge"}' > last; rm INPUT"#,
];

#[track_caller]
fn do_through(mount: &TempMount, store: &str, outside: &Path, deed: &str) {
    sh(&format!("O='{}'\n{deed}", outside.display()), &mount.store(store));
}

/// Asks a client that has the store open for all that it lists.
#[track_caller]
fn reads_all(client: &mut Client, deed: &str) -> Vec<Value> {
    let keys = client.keys();
    let records: Vec<_> = keys.iter().map(|key| client.get(key)).collect();
    for record in &records {
        // Only the value of an SDK's None has no type, and nobody sets one here.
        assert_ne!(record["type"], Value::Null, "listed and not to be got after {deed}: {record}");
    }
    records
}

/// An object's field, which must be there in exactly one of two spellings: the engine of Crawlee JS 4 takes either,
/// and refuses a text that has both (FORMAT 1.2).
#[track_caller]
fn one_of<'a>(fields: &'a Map<String, Value>, spellings: [&str; 2]) -> &'a Value {
    let found: Vec<_> = spellings.iter().filter_map(|spelling| fields.get(*spelling)).collect();
    assert_eq!(found.len(), 1, "{spellings:?} in {fields:?}");
    found[0]
}

/// Asserts that every SDK can read the metadata and sidecars of a store.
#[track_caller]
fn every_sdk_can_read(store: &Path) {
    for name in names(store).iter().filter(|name| name.ends_with(METADATA)) {
        let content = fs::read(store.join(name)).unwrap();
        let Ok(Value::Object(fields)) = serde_json::from_slice(&content) else {
            panic!("{name}: {}", content.escape_ascii());
        };
        if name == METADATA {
            assert!(fields["id"].is_string() && fields.contains_key("name"), "{fields:?}");
            for spellings in [
                ["createdAt", "created_at"],
                ["accessedAt", "accessed_at"],
                ["modifiedAt", "modified_at"],
            ] {
                let time = one_of(&fields, spellings).as_str().unwrap();
                time.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{time}: {error}"));
            }
        } else {
            let key = fields["key"].as_str().unwrap();
            assert_eq!(*name, format!("{}.{METADATA}", crate::common::disk_name(key)));
            assert!(one_of(&fields, ["contentType", "content_type"]).is_string());
            assert!(fields["size"].is_u64(), "{fields:?}");
        }
    }
}

#[test]
fn p03_p10_p12_python_sdks_that_have_the_store_open_never_raise() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let outside = crate::common::temp_dir();
    let mut apify = python.serve_apify(&storage, "default", false);
    let mut crawlee = python.serve(&storage, "default");
    crawlee.set("of-the-sdk", &json!({"stays": true}));
    let mount = TempMount::new(&storage);
    for deed in DEEDS {
        do_through(&mount, "default", outside.path(), deed);
        let records = reads_all(&mut crawlee, deed);
        assert_eq!(reads_all(&mut apify, deed).len(), records.len(), "after {deed}");
        let started = apify.ask(&json!({"reopen": 1, "key": "INPUT"}));
        let has_input = names(&mount.store("default")).iter().any(|name| name.starts_with("INPUT"));
        assert_eq!(started[0].is_null(), !has_input, "after {deed}: {started}");
        every_sdk_can_read(&storage.store("default"));
    }
    assert_eq!(crawlee.get("last")["value"], json!({"after": "purge"}));
    drop((apify, crawlee));
    mount.unmount();
    assert_no_litter(&storage.store("default"));
}

#[test]
fn p03_p12_a_store_of_the_js4_engine_stays_readable_for_it() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::of_fixture("crawlee-storage-v4/values");
    let outside = crate::common::temp_dir();
    let stores = names(&storage.path().join(crate::common::STORES));
    let mount = TempMount::new(&storage);
    for store in &stores {
        for deed in DEEDS {
            do_through(&mount, store, outside.path(), deed);
            every_sdk_can_read(&storage.store(store));
        }
        let metadata = fs::read(storage.store(store).join(METADATA)).unwrap();
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
        assert!(metadata["modifiedAt"].is_string(), "the spelling has changed: {metadata}");
        object("last", json!({"after": "purge"})).check(&python.dump(&storage, store)["last"]);
    }
    assert!(!stores.is_empty());
}

#[test]
fn p03_p12_crawlee_js3_that_has_its_store_open_gets_what_the_mount_publishes() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    let mut client = js.serve(&storage, STORE);
    client.set("state", &json!({"round": 0}));
    client.ask(&json!({"set": "page", "value": "<p>0</p>", "contentType": "text/html"}));
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    assert_eq!(names(&mounted), ["page.html", "state.json"].map(str::to_owned).into());
    for round in 1..20 {
        fs::write(mounted.join("state.json"), json!({"round": round}).to_string()).unwrap();
        assert_eq!(client.get("state")["value"], json!({"round": round}));
        sh(&format!("sed -i 's/[0-9][0-9]*/{round}/' page.html"), &mounted);
        assert_eq!(client.get("page")["value"], format!("<p>{round}</p>"));
        // The SDK writes in place; the next open by name sees it.
        client.set("state", &json!({"by": "the SDK", "round": round}));
        let seen: Value =
            serde_json::from_slice(&fs::read(mounted.join("state.json")).unwrap()).unwrap();
        assert_eq!(seen, json!({"by": "the SDK", "round": round}));

        // What it does not look for does not disturb it.
        for name in
            [format!("extra{round}.json"), format!("photo{round}.jpg"), format!("log{round}")]
        {
            fs::write(mounted.join(name), "{}").unwrap();
        }
        assert_eq!(client.keys(), ["page", "state"].map(str::to_owned).into());
        let on_disk = names(&storage.store(STORE));
        assert!(on_disk.iter().all(|name| !name.contains(METADATA)), "{on_disk:?}");
    }
    // And one that opens the store now lists all of it.
    client.ask(&json!({"reopen": 1}));
    assert_eq!(js.dump(&storage, STORE).len(), 2 + 19 * 3);
    mount.unmount();
    assert!(names(&storage.store(STORE)).iter().all(|name| !name.contains(METADATA)));
}

#[test]
fn p03_p12_crawlee_js3_reads_a_store_with_sidecars_that_the_mount_has_written() {
    let (Some(js), Some(python)) = (Js::find(), Python::find()) else { return };
    let storage = TempStorage::empty();
    drop(python.serve(&storage, STORE));
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    sh(
        "echo '{\"a\": 1}' > data; echo words > note; echo '<p>' > page.html; cp data list.json",
        &mounted,
    );
    // With camelCase sidecars JS 3 knows the types of names without an extension too (FORMAT 6.6).
    let records = js.dump(&storage, STORE);
    assert_eq!(records["data"]["value"], json!({"a": 1}));
    assert_eq!(records["note"]["value"], "words\n");
    assert_eq!(records["list.json"]["value"], json!({"a": 1}));
    let records = python.dump(&storage, STORE);
    text("page.html", "text/html", "<p>\n").check(&records["page.html"]);
    assert_eq!(records.len(), 4);
}
