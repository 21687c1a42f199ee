//! Who gets in (P20).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Output;

use crate::common::{TempMount, TempStorage, can_mount};
use crate::help::{NOBODY, as_nobody, is_root, open_the_way_to, sidecar_of, storage_of};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn is_refused(script: &str, dir: &Path) {
    let output = as_nobody(script, dir);
    assert!(!output.status.success(), "{script}: {output:?}");
    assert!(said(&output).contains("Permission denied"), "{script}: {}", said(&output));
}

#[track_caller]
fn is_allowed(script: &str, dir: &Path) -> String {
    let output = as_nobody(script, dir);
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A storage whose files everybody may read and write, and a mount that everybody can reach.
fn opened(storage: &TempStorage, options: &[&str]) -> TempMount {
    set_mode(&storage.store("default"), 0o777);
    set_mode(&storage.store("default").join("k"), 0o666);
    let mount = TempMount::with_options(storage, options);
    open_the_way_to(&mount.path());
    mount
}

#[test]
fn p20_without_allow_other_nobody_else_gets_in() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = opened(&storage, &[]);
    // The mount is reached, and it is the mount that says no.
    is_allowed("ls \"$DIR\"", mount.path().parent().unwrap());
    for script in [
        "ls \"$DIR\"",
        "stat \"$DIR/key_value_stores\"",
        "cat \"$DIR/key_value_stores/default/k\"",
        "cat \"$DIR/@status\"",
        "echo 1 > \"$DIR/key_value_stores/default/@purge\"",
        "echo x > \"$DIR/key_value_stores/default/new\"",
    ] {
        is_refused(script, &mount.path());
    }
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "k");
}

#[test]
fn p20_with_allow_other_owner_and_mode_decide() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k", "secret", "readable"]);
    set_mode(&storage.store("default").join("secret"), 0o600);
    set_mode(&storage.store("default").join("readable"), 0o644);
    let mount = opened(&storage, &["--allow-other"]);
    let store = mount.store("default");
    assert_eq!(is_allowed("cat \"$DIR/k\" \"$DIR/readable\"", &store), "kreadable");
    is_allowed("echo new > \"$DIR/k\"", &store);
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "new\n");
    is_refused("cat \"$DIR/secret\"", &store);
    is_refused("echo x > \"$DIR/readable\"", &store);
    is_refused("echo 1 > \"$DIR/@purge\"", &store);
    is_refused("mkdir \"$DIR/new\"", &mount.stores());
    is_refused("mv \"$DIR/default\" \"$DIR/moved\"", &mount.stores());
    let chmod = as_nobody("chmod 777 \"$DIR/readable\"", &store);
    assert!(said(&chmod).contains("not permitted"), "{}", said(&chmod));
    for (name, text) in [("secret", "secret"), ("readable", "readable")] {
        assert_eq!(fs::read_to_string(store.join(name)).unwrap(), text);
    }
    set_mode(&store, 0o755);
    is_refused("echo x > \"$DIR/new\"", &store);
    is_refused("rm -f \"$DIR/k\"", &store);
    set_mode(&store, 0o700);
    is_refused("ls \"$DIR\"", &store);
    is_refused("cat \"$DIR/k\"", &store);
}

#[test]
fn p20_what_another_user_makes_is_theirs() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    chown(storage.store("default").join("k"), Some(1234), None).unwrap();
    let mount = opened(&storage, &["--allow-other"]);
    let store = mount.store("default");
    is_allowed("umask 027; echo new > \"$DIR/made\"; echo new > \"$DIR/k\"", &store);
    for (name, owner, mode) in [("made", NOBODY, 0o640), ("k", 1234, 0o666)] {
        for side in [&store, &storage.store("default")] {
            let found = fs::metadata(side.join(name)).unwrap();
            assert_eq!((found.uid(), found.mode() & 0o7777), (owner, mode), "{name}");
        }
    }
    is_allowed("chmod 600 \"$DIR/made\"; rm \"$DIR/made\"", &store);
    assert_eq!(sidecar_of(&storage, "default", "k")["size"], 4);
}
