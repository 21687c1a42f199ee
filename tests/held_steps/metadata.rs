//! Edits of a store's metadata that meet (P17).

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;
use storefs::backend::{Backend, MetadataFiles};
use storefs::engine::Storage;
use storefs::model::StoreName;

use crate::{Held, at, key, metadata_of, name};

fn touch(held: &Held, store: &StoreName) -> storefs::Result<()> {
    let now = Some(at("2030-01-02T03:04:05.678901Z"));
    held.backend.touch_store(store, now, now)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The metadata's text with one more field.
fn edited(path: &Path, field: &str) -> Vec<u8> {
    let mut text = json(path);
    text[field] = "by hand".into();
    serde_json::to_vec_pretty(&text).unwrap()
}

/// Puts a text in the place of a file as the SDKs do.
fn save(path: &Path, text: &[u8]) {
    let temporary = path.with_file_name("__metadata__.json.abcd_123.json.tmp");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, path).unwrap();
}

#[test]
fn p17_an_edit_is_not_undone_by_a_write_back_that_had_read_before() {
    let held = Held::new();
    let store = held.create("default");
    let path = held.metadata_path(&store);
    let text = edited(&path, "edited");
    thread::scope(|scope| {
        let touching = held.hold(scope, "metadata: move", |_| touch(&held, &store));
        let editing = held.begin(scope, |backend| backend.set_metadata_text(&store, Some(&text)));
        held.release();
        touching.outcome().unwrap();
        editing.outcome().unwrap();
    });
    assert_eq!(fs::read(&path).unwrap(), text, "the whole text wins");
}

#[test]
fn p17_two_edits_of_times_are_both_kept() {
    let held = Held::new();
    let store = held.create("default");
    let (early, late) = (at("2030-01-01T00:00:00.000001Z"), at("2031-01-01T00:00:00.000001Z"));
    thread::scope(|scope| {
        let early = held.hold(scope, "metadata: move", |backend| {
            backend.touch_store(&store, Some(early), Some(early))
        });
        let late = held.begin(scope, |backend| backend.touch_store(&store, Some(late), None));
        held.release();
        early.outcome().unwrap();
        late.outcome().unwrap();
    });
    let times = held.backend.metadata(&store).unwrap().times;
    assert_eq!((times.accessed_at, times.modified_at), (late, early));
}

#[test]
fn p17_what_an_sdk_saves_before_a_write_back_moves_is_kept() {
    what_an_sdk_saves_is_kept("metadata: move");
}

#[test]
fn p17_what_an_sdk_saves_in_the_last_moment_is_kept() {
    what_an_sdk_saves_is_kept("metadata: exchange");
}

fn what_an_sdk_saves_is_kept(step: &str) {
    let held = Held::new();
    let store = held.create("default");
    let path = held.metadata_path(&store);
    thread::scope(|scope| {
        let touching = held.hold(scope, step, |_| touch(&held, &store));
        save(&path, &edited(&path, "saved"));
        held.release();
        touching.outcome().unwrap();
    });
    let text = json(&path);
    assert_eq!(
        (&text["saved"], &text["modifiedAt"]),
        (&"by hand".into(), &"2030-01-02T03:04:05.678901+00:00".into())
    );
}

#[test]
fn p17_a_write_back_makes_nothing_in_a_store_that_is_being_removed() {
    for step in ["metadata: move", "metadata: exchange"] {
        let held = Held::new();
        let store = held.create("default");
        thread::scope(|scope| {
            let touching = held.hold(scope, step, |_| touch(&held, &store));
            // As an SDK drops a store: file after file, then the directory.
            fs::remove_file(held.metadata_path(&store)).unwrap();
            held.release();
            touching.outcome().unwrap();
        });
        fs::remove_dir(held.path(&store)).unwrap();
    }
}

#[test]
fn p17_metadata_that_was_there_at_the_last_publish_is_not_made_again() {
    let held = Held::new();
    let storage = Storage::open_directory(held.storage.path(), Default::default()).unwrap();
    let store = storage.create_store(&name("default")).unwrap();
    store.set_value(&key("k"), "v", None).unwrap();
    fs::remove_file(held.metadata_path(store.name())).unwrap();
    storage.write_back().unwrap();
    assert!(!held.metadata_path(store.name()).exists());

    // This publish meets a store without metadata, and none that anybody is removing.
    store.set_value(&key("k"), "w", None).unwrap();
    storage.write_back().unwrap();
    assert!(store.get_metadata().unwrap().id.is_some());
}

#[test]
fn p17_the_name_of_a_renamed_store_is_not_undone_by_a_write_back() {
    let held = Held::new();
    let (old, new) = (held.create("old"), name("new"));
    thread::scope(|scope| {
        let touching = held.hold(scope, "metadata: move", |_| touch(&held, &old));
        let renaming = held.begin(scope, |backend| backend.rename_store(&old, &new, Some("new")));
        held.release();
        touching.outcome().unwrap();
        renaming.outcome().unwrap();
    });
    let metadata = held.backend.metadata(&new).unwrap();
    assert_eq!(metadata.name.as_deref(), Some("new"));
    assert!(metadata.times.modified_at > metadata_of(&old).times.modified_at);
}

#[test]
fn p17_what_an_sdk_saves_while_a_store_is_purged_is_kept() {
    let held = Held::new();
    let store = held.create("default");
    let path = held.metadata_path(&store);
    let purge_at = at("2030-01-02T03:04:05.678901Z");
    thread::scope(|scope| {
        let purging = held.hold(scope, "purge: fresh directory filled", |backend| {
            let purge = storefs::backend::Purge { input_key: "INPUT", at: purge_at };
            backend.purge_store(&store, &purge).unwrap().wait()
        });
        save(&path, &edited(&path, "saved"));
        held.release();
        purging.outcome();
    });
    assert_eq!(json(&path)["saved"], "by hand");
    assert_eq!(held.backend.metadata(&store).unwrap().times.modified_at, purge_at);
}
