//! Each SDK through all that it can do with a storage.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{
    OF_APIFY, OF_CRAWLEE, assert_alike, assert_shows_what_is_on_disk, assert_success, mount,
    run_in, script, snapshot,
};
use crate::common::{STORES, TempStorage};
use crate::sdk::{Js, Python};

/// Lets a script work in a storage directory that holds an input and a record of an earlier run, and gives back what
/// it saw.
#[track_caller]
fn exercise(command: Command, variable: &str, storage_dir: &Path) -> Value {
    let default = storage_dir.join(STORES).join("default");
    fs::create_dir_all(&default).unwrap();
    fs::write(default.join("INPUT.json"), "{\"maxItems\": 3}").unwrap();
    fs::write(default.join("earlier.txt"), "of an earlier run").unwrap();
    run_in(command, variable, storage_dir)
}

#[track_caller]
fn exercise_both(variable: &str, command: impl Fn() -> Command) {
    let (plain, storage) = (TempStorage::empty(), TempStorage::empty());
    let expected = exercise(command(), variable, &plain.path());
    let mount = mount(&storage);
    let seen = exercise(command(), variable, &mount.path());
    for (part, expected) in expected.as_object().unwrap() {
        assert_eq!(seen[part], *expected, "{part}");
    }
    assert_eq!(seen.as_object().unwrap().len(), expected.as_object().unwrap().len());
    assert_shows_what_is_on_disk(&mount, &storage);
    let expected = snapshot(&plain.path());
    assert_alike(&expected, &snapshot(&mount.path()));
    mount.unmount();
    assert_alike(&expected, &snapshot(&storage.path()));
}

#[test]
fn crawlee_python_works_in_the_mount_as_in_a_directory() {
    let Some(python) = Python::find() else { return };
    exercise_both(OF_CRAWLEE, || {
        let mut command = python.interpreter();
        command.arg(script("python_storage.py")).arg("crawlee");
        command
    });
}

#[test]
fn apify_python_works_in_the_mount_as_in_a_directory() {
    let Some(python) = Python::find() else { return };
    exercise_both(OF_APIFY, || {
        let mut command = python.interpreter();
        command.arg(script("python_storage.py")).arg("apify");
        command
    });
}

#[test]
fn crawlee_js3_works_in_the_mount_as_in_a_directory() {
    let Some(js) = Js::find() else { return };
    exercise_both(OF_CRAWLEE, || {
        let mut command = js.interpreter();
        command.arg(script("js_storage.cjs"));
        command
    });
}

/// The client's tests, with the storage directory given.
#[track_caller]
fn client_tests(python: &Python, storage_dir: &Path) {
    let mut command = python.interpreter();
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]);
    command.args(["-o", "asyncio_default_fixture_loop_scope=function"]);
    command.arg(script("kvs_client_test.py")).env("STOREFS_TEST_STORAGE", storage_dir);
    // Relative names of the SDK must not be found beside the sources.
    command.current_dir(storage_dir.parent().unwrap());
    assert_success(&command.output().unwrap());
}

#[test]
fn tests_of_the_python_client_pass_in_a_directory() {
    let Some(python) = Python::find() else { return };
    client_tests(&python, &TempStorage::empty().path());
}

#[test]
fn tests_of_the_python_client_pass_in_the_mount() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mount = mount(&storage);
    client_tests(&python, &mount.path());
    assert_shows_what_is_on_disk(&mount, &storage);
}
