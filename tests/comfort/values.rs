//! `set --json` and `set --text`, and the variable that names the source.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use super::common::{TempStorage, storefs};
use super::{printed, run};

#[test]
fn a_value_on_the_command_line_has_its_type() {
    let storage = TempStorage::empty();
    run(&storage, &["set", "s", "number", "--json=1.0"], 0);
    run(&storage, &["set", "s", "text", "--text={}"], 0);
    run(&storage, &["set", "s", "empty", "--text="], 0);
    assert_eq!(printed(&storage, &["get", "s", "number"]), "1.0");
    assert_eq!(
        printed(&storage, &["keys", "s"]),
        "empty\ttext/plain; charset=utf-8\t0\nnumber\tapplication/json; charset=utf-8\t3\n\
         text\ttext/plain; charset=utf-8\t2\n"
    );
}

#[test]
fn what_is_read_has_the_type_too_and_must_fit_it() {
    let storage = TempStorage::empty();
    let file = storage.beside().join("value");
    fs::write(&file, "[1").unwrap();
    let file = file.to_str().unwrap();
    let refused = run(&storage, &["set", "s", "k", file, "--json"], 9);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no JSON"), "{refused:?}");
    assert!(!storage.store("s").exists(), "nothing is made for it");
    fs::write(file, b"\xff").unwrap();
    run(&storage, &["set", "s", "k", file, "--text"], 9);
    run(&storage, &["set", "s", "k", file, "--text=x"], 2);
    run(&storage, &["set", "s", "k", "--text=x", "--json=1"], 2);

    let mut command = storefs();
    command.env("STOREFS_SOURCE", storage.path()).args(["set", "s", "k", "--json"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b" [1]\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(printed(&storage, &["get", "s", "k"]), " [1]\n");
}

#[test]
fn a_value_without_its_equals_sign_is_explained() {
    let storage = TempStorage::empty();
    let output = run(&storage, &["set", "s", "k", "--json", "{\"a\":1}"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--json=VALUE"), "{output:?}");
}

#[test]
fn our_own_variable_names_the_source_before_those_of_the_sdks() {
    let (ours, other) = (TempStorage::empty(), TempStorage::empty());
    run(&ours, &["set", "s", "k", "--text=x"], 0);
    let mut command = storefs();
    command.env("STOREFS_SOURCE", ours.path()).env("APIFY_LOCAL_STORAGE_DIR", other.path());
    let output = command.args(["get", "s", "k"]).output().unwrap();
    assert_eq!(output.stdout, b"x", "{output:?}");
    // No password of it is told.
    let mut command = storefs();
    command.env("STOREFS_SOURCE", "mysql://u:hunter2@h/d").arg("stores");
    let output = command.output().unwrap();
    assert!(
        output.status.code() == Some(1) && !format!("{output:?}").contains("hunter2"),
        "{output:?}"
    );
}
