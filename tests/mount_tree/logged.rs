//! What the log of a mount tells, and that nobody can fill a disk with it.

use std::fs;

use crate::common::{METADATA, TempMount, can_mount, mime_type, sh, try_sh};
use crate::help::{make_store, put, storage_of, write};

/// How often the log says this.
fn told(mount: &TempMount, what: &str) -> usize {
    mount.log().lines().filter(|line| line.contains(what)).count()
}

#[test]
fn p19_each_problem_is_told_once_however_often_it_is_met() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["damaged", "typed"]);
    fs::write(storage.store("default").join(format!("damaged.{METADATA}")), "{no").unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    sh("setfattr -n user.mime_type -v application/json typed", &store);
    for number in 0..50 {
        mime_type(&store.join("damaged"));
        write(&store.join("typed"), format!("{{no JSON {number}")).unwrap();
    }
    sh("for i in $(seq 50); do getfattr -n user.mime_type damaged; echo '{' > typed; done", &store);
    assert_eq!(told(&mount, "the sidecar of 'damaged'"), 1, "{}", mount.log());
    assert_eq!(told(&mount, "does not decode"), 1, "{}", mount.log());
    // Another problem is another line.
    fs::write(storage.store("default").join(format!("damaged.{METADATA}")), "[]").unwrap();
    mime_type(&store.join("damaged"));
    assert_eq!(told(&mount, "the sidecar of 'damaged'"), 2, "{}", mount.log());
}

#[test]
fn p19_the_log_is_bounded_however_many_problems_there_are() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    for number in 0..1500 {
        put(&storage, "default", &format!("r{number}"), "value");
        fs::write(storage.store("default").join(format!("r{number}.{METADATA}")), "{no").unwrap();
    }
    let mount = TempMount::new(&storage);
    let look =
        "getfattr -n user.mime_type r* > /dev/null; getfattr -n user.mime_type r* > /dev/null";
    sh(look, &mount.store("default"));
    assert_eq!(told(&mount, "the sidecar of "), 1024);
    assert_eq!(told(&mount, "what else there is is not told"), 1);
}

#[test]
fn a_directory_in_a_store_is_refused_and_the_log_says_why_once_for_each_store() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    make_store(&storage, "other");
    let mount = TempMount::new(&storage);
    let made =
        try_sh("mkdir default/sub || mkdir default/more || mkdir -p other/a/b", &mount.stores());
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert_eq!(said.matches("Operation not permitted").count(), 3, "{said}");
    assert_eq!(told(&mount, "stores are flat"), 2, "{}", mount.log());
    // In a dataset there may be directories.
    sh("mkdir -p datasets/default/sub", &mount.path());
    assert_eq!(told(&mount, "stores are flat"), 2);
}
