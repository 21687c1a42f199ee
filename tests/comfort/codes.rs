//! The exit status of each kind of failure.

use std::fs;
use std::os::unix::process::CommandExt;

use super::common::storefs;
use super::{run, storage};

/// A user without any right of its own.
const NOBODY: u32 = 65534;

#[test]
fn each_kind_of_failure_has_its_status() {
    let storage = storage();
    for (code, line) in [
        (0, &["keys"][..]),
        (1, &["rm", "default", "nope"]),
        (2, &["keys", "--nope"]),
        (3, &["get", "default", "nope"]),
        (3, &["get", "nope", "k"]),
        (3, &["info", "id:nope"]),
        (3, &["rescue", "nope"]),
        (4, &["create", "pages"]),
        (4, &["rename", "default", "pages"]),
        (4, &["set", "default", "INPUT.txt", "--text=x"]),
        (9, &["create", "a/b"]),
        (9, &["set", "default", &"k".repeat(300), "--text=x"]),
    ] {
        run(&storage, line, code);
    }
    fs::write(storage.store("pages").join("__metadata__.json"), "no json").unwrap();
    run(&storage, &["info", "pages"], 8);
}

#[test]
fn what_keeps_a_storage_from_being_opened_stays_a_plain_failure() {
    for source in ["/nonexistent/storage", "mysql://h/d"] {
        let output = storefs().args(["--source", source, "stores"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn who_may_not_is_told_by_the_status() {
    let storage = storage();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    super::common::sh("chmod 755 . && chmod -R a+rX storage", storage.beside());
    let mut command = storefs();
    command.arg("--source").arg(storage.path()).args(["create", "new"]).uid(NOBODY).gid(NOBODY);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

#[test]
fn no_room_has_its_status() {
    let storage = storage();
    let mut command = storefs();
    command.arg("--source").arg(storage.path()).args(["get", "pages", "big"]);
    command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(command.status().unwrap().code(), Some(7));
}
