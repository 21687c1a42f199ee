//! Files that show a text: each look sees it whole, as it is now.

use std::fs;

use serde_json::Value;

use crate::common::{METADATA, sh, wait_until};
use crate::{mounted, replace, status, storage_of};

#[test]
fn texts_are_read_whole_and_as_they_are_now() {
    let storage = storage_of(&[("r", b"some text")]);
    let Some(mount) = mounted(&storage) else { return };
    let store = mount.store("default");
    assert_eq!(status(&mount)["pid"], mount.pid());
    let purge: Value = serde_json::from_slice(&fs::read(store.join("@purge")).unwrap()).unwrap();
    assert_eq!(purge["purged_at"], Value::Null);
    for round in 0..20 {
        let text = format!("{{\"id\": \"id\", \"round\": \"{}\"}}", "x".repeat(round));
        replace(&storage, METADATA, text.as_bytes());
        assert_eq!(fs::read_to_string(store.join(METADATA)).unwrap(), text);
        assert_eq!(fs::metadata(store.join(METADATA)).unwrap().len(), text.len() as u64);
    }
    fs::remove_file(storage.store("default").join(METADATA)).unwrap();
    assert!(fs::read(store.join(METADATA)).is_err());
}

/// These compare a file that they have opened with the one that they have looked at.
#[test]
fn whole_stores_are_copied_and_packed() {
    let storage = storage_of(&[("r", b"some text"), ("s", b"{}")]);
    let Some(mount) = mounted(&storage) else { return };
    let copies = storage.beside().display();
    sh(
        &format!(
            "cp -a default '{copies}/copy'; cp ../@status '{copies}/status'; tar cf '{copies}/tar' default; \
             diff -r default '{copies}/copy'; tar df '{copies}/tar'"
        ),
        &mount.stores(),
    );
}

#[test]
fn the_status_follows() {
    let storage = storage_of(&[("r", b"some text")]);
    let Some(mount) = mounted(&storage) else { return };
    assert_eq!(status(&mount)["pinned"], 0);
    wait_until("the record that was read counts", || {
        fs::read(mount.store("default").join("r")).unwrap();
        status(&mount)["pinned"] == 1
    });
}
