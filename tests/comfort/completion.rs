//! Completion, by bash itself and by what other shells ask.

use std::path::Path;

use super::common::{PROGRAM, TempStorage, sh, storefs};
use super::{run, storage};

/// What bash offers for a command line, by the script that it has read.
fn offered(storage: &TempStorage, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> =
        words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    let script = format!(
        "PATH={}:$PATH; source <(storefs completions bash); complete -p storefs > /dev/null
         COMP_WORDS=(storefs {}); COMP_CWORD={}; COMP_TYPE=9
         _clap_complete_storefs storefs \"${{COMP_WORDS[COMP_CWORD]}}\" x 2> /dev/null || :
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        Path::new(PROGRAM).parent().unwrap().display(),
        quoted.join(" "),
        words.len(),
    );
    sh(&script, storage.beside())
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn bash_completes_commands_stores_and_keys() {
    let storage = storage();
    run(&storage, &["set", "pages", "big\nger", "--text=x"], 0);
    assert_eq!(offered(&storage, &["comp"]), ["completions"]);
    // ./storage is the source.
    assert_eq!(offered(&storage, &["get", ""]), ["default", "pages"]);
    assert_eq!(offered(&storage, &["get", "pa"]), ["pages"]);
    assert_eq!(offered(&storage, &["get", "default", ""]), ["INPUT", "a\\ b"]);
    assert_eq!(offered(&storage, &["rm", "default", "INPUT", "a\\ "]), ["a\\ b"]);
    // What would end a line is not offered.
    assert_eq!(offered(&storage, &["cat", "pages", "b"]), ["big"]);
    assert_eq!(offered(&storage, &["create", "pa"]), [""; 0]);
    assert_eq!(offered(&storage, &["get", "--on"]), ["--only-content-type"]);
    assert_eq!(offered(&storage, &["--source", "/nonexistent", "get", "d"]), [""; 0]);
}

#[test]
fn bash_completes_from_the_source_that_is_named() {
    let (here, other) = (TempStorage::empty(), storage());
    let other = other.path();
    let other = other.to_str().unwrap();
    assert_eq!(offered(&here, &["--source", other, "get", "d"]), ["default"]);
    assert_eq!(offered(&here, &["keys", "--source", other, "p"]), ["pages"]);
    assert_eq!(offered(&here, &["keys", "d"]), [""; 0]);
}

#[test]
fn zsh_and_fish_are_told_the_types_too() {
    let storage = storage();
    for (shell, separator) in [("zsh", ':'), ("fish", '\t')] {
        let mut command = storefs();
        command
            .env("STOREFS_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", "3")
            .env("_CLAP_IFS", "\n");
        command.current_dir(storage.beside()).args(["--", "storefs", "get", "default", "I"]);
        let output = command.output().unwrap();
        let offered = String::from_utf8(output.stdout).unwrap();
        let wanted = format!("INPUT{separator}application/json; charset=utf-8");
        assert_eq!(offered.trim_end(), wanted, "{shell}");
    }
}

#[test]
fn completion_changes_nothing() {
    let storage = storage();
    let state = || {
        sh(
            "find storage -printf '%p %T@ %s\\n' | sort; cat storage/*/*/__metadata__.json",
            storage.beside(),
        )
    };
    let before = state();
    assert_eq!(offered(&storage, &["get", "default", "I"]), ["INPUT"]);
    assert_eq!(state(), before);
}
