//! A purge through the mount leaves what the SDK's own purge leaves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, copy_tree, fixture, names, sh, tree,
};
use crate::sdk::{Js, Python, answer_of};

/// The metadata of a store on disk.
fn metadata(storage: &TempStorage, store: &str) -> Value {
    serde_json::from_slice(&fs::read(storage.store(store).join(METADATA)).unwrap()).unwrap()
}

/// Purges one copy of a fixture through the mount and another with the SDK, and asserts that both are left
/// alike, in the default store and in a named one.
///
/// `configure` tells the mount the fixture's input key.
#[track_caller]
fn purge_like_the_sdk(name: &str, configure: impl FnOnce(&mut Command, &str)) {
    let Some(python) = Python::find() else { return };
    let result = fs::read(fixture(&format!("apify/{name}/result.json"))).unwrap();
    let result: Value = serde_json::from_slice(&result).unwrap();
    let input_key = result["input_key"].as_str().unwrap();

    let copy = || {
        let storage = TempStorage::of_fixture(&format!("apify/{name}/before"));
        copy_tree(&storage.store("default"), &storage.store("named"));
        let mut named = metadata(&storage, "named");
        named["name"] = "named".into();
        named["id"] = "aNamedStoresId00X".into();
        fs::write(
            storage.store("named").join(METADATA),
            serde_json::to_string_pretty(&named).unwrap(),
        )
        .unwrap();
        storage
    };
    let (ours, theirs) = (copy(), copy());

    let mount = TempMount::configured(&ours.path(), |command| configure(command, input_key));
    for store in ["default", "named"] {
        let before = metadata(&ours, store);
        sh("echo 1 > @purge", &mount.store(store));
        let after = metadata(&ours, store);
        for field in ["id", "name", "created_at"] {
            assert_eq!(after[field], before[field], "{store}: {field}");
        }
        assert_eq!(after["accessed_at"], after["modified_at"], "{store}");
        assert!(
            after["modified_at"].as_str() > before["modified_at"].as_str(),
            "{store}: {before} {after}"
        );

        let path = theirs.path();
        let mut command = python.command(&["purge", path.to_str().unwrap(), store]);
        command.env("ACTOR_INPUT_KEY", input_key);
        answer_of(command, &Value::Null);
    }
    // Under another input key, what the run's user calls the input stays besides (P16).
    let others: &[&str] = if input_key == "INPUT" { &[] } else { &["INPUT.json"] };
    let files = |storage: &TempStorage| {
        let mut files = storage.files();
        files.retain(|path, _| !others.iter().any(|other| path.ends_with(other)));
        files
    };
    let names = |storage: &TempStorage| files(storage).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "while mounted");
    mount.unmount();
    for other in others {
        let path = format!("apify/{name}/before/{STORES}/default/{other}");
        let before = fs::read(fixture(&path)).unwrap();
        assert_eq!(fs::read(ours.store("default").join(other)).unwrap(), before);
    }

    let (left, left_by_sdk) = (files(&ours), files(&theirs));
    assert_eq!(left.keys().collect::<Vec<_>>(), left_by_sdk.keys().collect::<Vec<_>>());
    let recorded: BTreeSet<_> =
        result["after"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    let in_default: BTreeSet<_> = left
        .keys()
        .filter(|path| path.starts_with("default"))
        .map(|path| Path::new(STORES).join(path))
        .collect();
    assert_eq!(in_default, recorded.iter().map(PathBuf::from).collect());
    for (path, content) in &left {
        if !path.ends_with(METADATA) {
            let texts = [content, &left_by_sdk[path]].map(|text| String::from_utf8_lossy(text));
            assert_eq!(texts[0], texts[1], "{}", path.display());
        }
    }

    // And a run that starts now gets the same input as one that starts after the SDK's purge.
    let input = |storage: &TempStorage| {
        let mut command = python.command(&["input"]);
        command.env("APIFY_LOCAL_STORAGE_DIR", storage.path()).env("ACTOR_INPUT_KEY", input_key);
        answer_of(command, &Value::Null)
    };
    assert_eq!(input(&ours), input(&theirs));
}

fn default_input_key(_: &mut Command, input_key: &str) {
    assert_eq!(input_key, "INPUT");
}

#[test]
fn p13_purge_leaves_what_the_sdk_leaves_of_input_json() {
    purge_like_the_sdk("purge-input-json", default_input_key);
}

#[test]
fn p13_purge_leaves_what_the_sdk_leaves_of_a_bare_input() {
    purge_like_the_sdk("purge-input-bare", default_input_key);
}

#[test]
fn p13_purge_leaves_what_the_sdk_leaves_of_input_txt() {
    purge_like_the_sdk("purge-input-txt", default_input_key);
}

#[test]
fn p13_purge_leaves_what_the_sdk_leaves_of_input_bin() {
    purge_like_the_sdk("purge-input-bin", default_input_key);
}

#[test]
fn p13_purge_leaves_what_the_sdk_leaves_without_an_input() {
    purge_like_the_sdk("purge-no-input", default_input_key);
}

#[test]
fn p16_purge_spares_the_input_key_of_the_environment() {
    purge_like_the_sdk("purge-cli-input", |command, input_key| {
        command.env("ACTOR_INPUT_KEY", input_key).env("APIFY_INPUT_KEY", "not-asked");
    });
}

#[test]
fn p16_purge_spares_the_input_key_of_the_option() {
    purge_like_the_sdk("purge-cli-input", |command, input_key| {
        command.args(["--input-key", input_key]).env("ACTOR_INPUT_KEY", "not-asked");
    });
}

/// All files of a storage but those of our own, and the times in metadata.
fn without_times(storage: &TempStorage) -> Vec<(PathBuf, Value)> {
    let mut files = tree(&storage.path());
    files.retain(|path, _| !path.starts_with(".storefs"));
    let content = |path: &Path, bytes: Vec<u8>| {
        let Ok(mut fields) = serde_json::from_slice::<Value>(&bytes) else {
            return Value::from(String::from_utf8_lossy(&bytes).into_owned());
        };
        if path.ends_with(METADATA) {
            let times = ["accessed_at", "modified_at", "accessedAt", "modifiedAt"];
            times.iter().for_each(|time| drop(fields.as_object_mut().unwrap().remove(*time)));
        } else if let Some(content_type) = fields.get("content_type").cloned() {
            fields =
                json!({"key": fields["key"], "contentType": content_type, "size": fields["size"]});
        }
        fields
    };
    files.into_iter().map(|(path, bytes)| (path.clone(), content(&path, bytes))).collect()
}

const PURGE_BOTH: &str = "echo 1 > datasets/items/@purge; echo 1 > request_queues/queue/@purge";

#[test]
fn p13_a_purge_of_datasets_and_queues_leaves_what_the_sdk_leaves() {
    let Some(python) = Python::find() else { return };
    let (ours, theirs) = (TempStorage::empty(), TempStorage::empty());
    let path = |storage: &TempStorage| storage.path().to_str().unwrap().to_owned();
    python.run(&["collect", &path(&ours)]);
    for (name, text) in [
        ("datasets/items/note.txt", "x"),
        ("datasets/items/.hidden.json", "{}"),
        ("datasets/items/litter.json", "{}"),
        ("datasets/items/INPUT.json", "{}"),
        ("request_queues/queue/left.abcd1234.json.tmp", "{}"),
    ] {
        fs::write(ours.path().join(name), text).unwrap();
    }
    fs::create_dir(ours.path().join("request_queues/queue/directory")).unwrap();
    fs::write(ours.path().join("request_queues/queue/directory/inner.json"), "{}").unwrap();
    copy_tree(&ours.path(), &theirs.path());

    let mount = TempMount::new(&ours);
    sh(PURGE_BOTH, &mount.path());
    python.run(&["purge-collected", &path(&theirs)]);
    assert_eq!(without_times(&ours), without_times(&theirs), "while mounted");
    mount.unmount();
    assert_eq!(without_times(&ours), without_times(&theirs));
    for kind in ["datasets/items", "request_queues/queue"] {
        let text = fs::read(ours.path().join(kind).join(METADATA)).unwrap();
        let metadata: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(metadata["accessed_at"], metadata["modified_at"], "{metadata}");
    }
    let collected = python.run(&["collected", &path(&ours)]);
    assert_eq!(collected, python.run(&["collected", &path(&theirs)]));
    assert_eq!(
        collected,
        json!({
            "items": 0, "listed": 0, "requests": 0, "is_empty": true,
            "again": "https://example.com/handled", "pushed": [{"c": 3}],
        })
    );
}

#[test]
fn p13_datasets_of_crawlee_js_are_purged_in_their_own_form() {
    let Some(js) = Js::find() else { return };
    for fixture in ["js-v3/plain", "js-v3/with-metadata", "crawlee-storage-v4/values"] {
        let storage = TempStorage::of_fixture(fixture);
        let metadata = storage.path().join("datasets/items").join(METADATA);
        let before = fs::read_to_string(&metadata).ok();
        let mount = TempMount::new(&storage);
        sh(PURGE_BOTH, &mount.path());
        assert_eq!(
            names(&mount.path().join("datasets/items")).len(),
            usize::from(before.is_some())
        );
        mount.unmount();
        if let Some(before) = before {
            let after = fs::read_to_string(&metadata).unwrap();
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(parse(&after)["itemCount"], 0, "{fixture}");
            assert_eq!(parse(&after)["createdAt"], parse(&before)["createdAt"]);
            assert_eq!(after.contains('\t'), before.contains('\t'), "the indent");
            assert_eq!(
                after.matches("Z\"").count(),
                before.matches("Z\"").count(),
                "the times' form"
            );
        }
        let path = storage.path();
        let command = js.command(&["items", path.to_str().unwrap(), "items"]);
        let answer = answer_of(command, &Value::Null);
        assert_eq!(answer, json!({"before": [], "after": [{"pushed": true}]}), "{fixture}");
    }
}
