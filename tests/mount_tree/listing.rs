//! Listings with attributes: what they show of what others have just done, and of names that need a second look.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{METADATA, TempMount, can_mount};
use crate::help::{put, storage_of};

/// Names and lengths of the records that a directory shows, as `ls -l` would.
#[track_caller]
fn listed(dir: &Path) -> BTreeMap<String, u64> {
    let mut listed = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name != METADATA {
            let length = entry.metadata().unwrap().len();
            assert_eq!(listed.insert(name, length), None, "a name is listed twice");
        }
    }
    listed
}

#[test]
fn p02_a_listing_shows_at_once_what_an_sdk_has_just_done() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["stays"]);
    let mount = TempMount::new(&storage);
    let (store, disk) = (mount.store("default"), storage.store("default"));
    let aside = storage.beside().join("aside");
    let mut expected = BTreeMap::from([("stays".to_owned(), 5)]);
    assert_eq!(listed(&store), expected);
    for round in 0..3000_usize {
        let name = format!("k{}", round % 7);
        if round % 5 == 4 {
            // As the SDKs do it: the record vanishes with its value.
            if expected.remove(&name).is_some() {
                fs::remove_file(disk.join(format!("{name}.{METADATA}"))).unwrap();
                fs::remove_file(disk.join(&name)).unwrap();
            }
        } else {
            let length = 1 + round % 11;
            fs::write(&aside, vec![b'x'; length]).unwrap();
            fs::rename(&aside, disk.join(&name)).unwrap();
            fs::write(&aside, "{}").unwrap();
            fs::rename(&aside, disk.join(format!("{name}.{METADATA}"))).unwrap();
            expected.insert(name, length as u64);
        }
        assert_eq!(listed(&store), expected, "round {round}");
    }
}

#[test]
fn a_listing_with_attributes_shows_each_record_wherever_its_file_is() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["plain", "a%2Fb", "%C3%BC"]);
    let disk = storage.store("default");
    let mut expected = BTreeMap::new();
    expected.extend([("plain", 5), ("a%2Fb", 5), ("\u{fc}", 6)]);
    // Bare files that no SDK would have named so.
    fs::write(disk.join("my file.txt"), "bare").unwrap();
    expected.insert("my file.txt", 4);
    // Two files for one key: the SDK's own is the record.
    put(&storage, "default", "two%20files", "of the SDK");
    fs::write(disk.join("two files"), "hidden").unwrap();
    expected.insert("two files", 10);
    // A temporary of an SDK is no record, unless it has a sidecar.
    fs::write(disk.join("obj.abcd_123.tmp"), "half").unwrap();
    put(&storage, "default", "obj.abcd_124.tmp", "a record");
    expected.insert("obj.abcd_124.tmp", 8);
    let expected: BTreeMap<String, u64> =
        expected.into_iter().map(|(name, length)| (name.to_owned(), length)).collect();

    let mount = TempMount::new(&storage);
    for _ in 0..3 {
        assert_eq!(listed(&mount.store("default")), expected);
    }
}
