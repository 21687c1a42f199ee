//! `--store`.

use std::fs;

use crate::common::{TempMount, can_mount, mime_type, names, sh, storefs, temp_dir, wait_until};
use crate::{refused, storage};

#[test]
fn a_store_is_the_root() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["--store", "s"]);
    let root = mount.path();
    let listed: Vec<String> = names(&root).into_iter().collect();
    assert_eq!(listed, ["__metadata__.json", "a", "b", "empty"]);
    assert_eq!(mount.status()["store"], "s");
    sh(
        "cat a; echo '{}' > made.json; mv b c; rm empty; echo more >> a; stat -c %F .
         for name in key_value_stores s datasets .storefs; do test ! -e $name; done
         test $(ls -a .. | grep -c key_value_stores) = 0",
        &root,
    );
    assert_eq!(mime_type(&root.join("made.json")), "application/json; charset=utf-8");
    assert_eq!(fs::read(storage.store("s").join("c")).unwrap(), b"second");
    // What others do is seen.
    fs::write(storage.store("s").join("dropped.txt"), "in").unwrap();
    wait_until("it is seen", || root.join("dropped.txt").exists());
    fs::remove_file(storage.store("s").join("dropped.txt")).unwrap();
    wait_until("it is seen to be gone", || !root.join("dropped.txt").exists());
    sh("echo 1 > @purge; grep -q removed @purge", &root);
    assert_eq!(names(&root).into_iter().collect::<Vec<_>>(), ["__metadata__.json"]);
    refused("mkdir sub", &root);
    // A key that is the name of a control file is another file.
    sh("echo key > %40status; grep -q pid @status; cat %40status | grep -q key", &root);
    assert!(storage.store("s").join("%40status").exists());
}

#[test]
fn it_is_named_as_everywhere_and_must_be_there() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let metadata = fs::read(storage.store("s").join("__metadata__.json")).unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
    let id = format!("id:{}", metadata["id"].as_str().unwrap());
    let mount = TempMount::with_options(&storage, &["-o", &format!("ro,store={id}")]);
    assert_eq!(fs::read(mount.path().join("a")).unwrap(), b"first");
    assert_eq!(mount.status()["store"], "s");

    let dir = temp_dir();
    let fails = |options: &[&str]| {
        let mut command = storefs();
        command.arg("mount").args(options).arg(storage.path()).arg(dir.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = fails(&["--store", "none"]);
    assert!(said.contains("no key-value store 'none'"), "{said}");
    let said = fails(&["--store", "s", "--show-sidecars"]);
    assert!(said.contains("give one of them"), "{said}");
}
