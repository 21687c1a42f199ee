//! What makes the program pleasant: on a terminal and without one, in a shell, in a script.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "comfort/bundle.rs"]
mod bundle;
#[path = "comfort/codes.rs"]
mod codes;
#[path = "comfort/completion.rs"]
mod completion;
#[path = "comfort/manual.rs"]
mod manual;
#[path = "comfort/schemas.rs"]
mod schemas;
#[path = "comfort/system.rs"]
mod system;
#[path = "comfort/terminal.rs"]
mod terminal;
#[path = "comfort/troubles.rs"]
mod troubles;
#[path = "comfort/values.rs"]
mod values;

use std::process::{Command, Output, Stdio};

use common::{PROGRAM, TempStorage, clean_environment, storefs};

/// A storage with some records in the stores `default` and `pages`.
fn storage() -> TempStorage {
    let storage = TempStorage::empty();
    for line in [
        &["set", "default", "INPUT", "--json={\"url\":\"x\",\"n\":1.00}"][..],
        &["set", "default", "a b", "--text=hi"],
        &["set", "pages", "big", &format!("--text={}", "x".repeat(3000))],
    ] {
        run(&storage, line, 0);
    }
    storage
}

/// Runs a command on a storage, without a terminal, which must end with this status.
#[track_caller]
fn run(storage: &TempStorage, arguments: &[&str], code: i32) -> Output {
    let output = storefs().arg("--source").arg(storage.path()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    output
}

/// What a command that goes well prints without a terminal.
#[track_caller]
fn printed(storage: &TempStorage, arguments: &[&str]) -> String {
    String::from_utf8(run(storage, arguments, 0).stdout).unwrap()
}

/// What it shows on a terminal, by util-linux's script(1), with variables of the environment.
#[track_caller]
fn shown(storage: &TempStorage, words: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("script");
    clean_environment(&mut command);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").env("STOREFS_SOURCE", storage.path());
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command.args(["-qec", &format!("{PROGRAM} {words}"), "/dev/null"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}
