//! An input that is edited through the mount while runs of Actors start.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, TempStorage, mime_type, names, sh};
use crate::sdk::Python;
use crate::work::{Flag, while_working};

/// How often each editor saves.
const EDITS: usize = 25;

/// How often the SDK opens the store at one order.
const OPENS: usize = 5;

/// The names in the store's directory that the Apify SDK counts as input files (FORMAT 8.2), but for its own
/// temporary sidecars.
fn inputs(store: &Path) -> Vec<String> {
    let is_input =
        |name: &String| name == "INPUT" || (name.starts_with("INPUT.") && !name.contains(METADATA));
    names(store).into_iter().filter(is_input).collect()
}

/// Saves an input with a shell script again and again, while the Apify SDK opens the store again and again. The
/// script runs in a directory of its own; `$I` is the input in the mount, `$N` the number to write into it.
#[track_caller]
fn edit_while_runs_start(script: &str, relative: bool) {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve_apify(&storage, "default", relative);
    let mount = TempMount::new(&storage);
    let (input, on_disk) = (mount.store("default").join("INPUT.json"), storage.store("default"));
    let edit = |number: usize| {
        sh(&format!("I='{}'\nN={number}\n{script}", input.display()), storage.beside());
    };
    let content =
        |number: usize| json!({"edit": number, "pages": vec!["https://example.com/"; 300]});
    std::fs::write(&input, serde_json::to_string_pretty(&content(0)).unwrap()).unwrap();

    let stop = Flag::default();
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            while !stop.is_set() {
                assert_eq!(inputs(&on_disk), ["INPUT.json"]);
            }
        });
        let _stop = stop.set_on_drop();
        let open = || {
            let found = client.ask(&json!({"reopen": OPENS, "key": "INPUT"}));
            for input in found.as_array().unwrap() {
                let number = input["value"]["edit"].as_u64().unwrap_or_else(|| panic!("{input}"));
                assert_eq!(input["value"], content(usize::try_from(number).unwrap()));
            }
        };
        while_working(open, || {
            for number in 1..=EDITS {
                edit(number);
                let got: Value = serde_json::from_slice(&std::fs::read(&input).unwrap()).unwrap();
                assert_eq!(got, content(number), "after the edit");
                assert!(!looker.is_finished(), "there was a second input file");
            }
        });
    });
    assert_eq!(mime_type(&input), "application/json; charset=utf-8");
    let found = client.ask(&json!({"reopen": 1, "key": "INPUT"}));
    assert_eq!(found[0]["value"], content(EDITS));
}

/// Vim as it comes, with its own idea of backups, and without the settings of whoever runs the tests. It says what
/// it does, which is shown if it fails.
const VIM: &str =
    r#"vim -es -V1 -N -u NONE -i NONE -c '%s/"edit": [0-9]*/"edit": '$N'/' -c wq "$I""#;

const SED: &str = r#"sed -i 's/"edit": [0-9]*/"edit": '$N'/' "$I""#;

const RSYNC: &str = r#"
    mkdir -p edited
    sed 's/"edit": [0-9]*/"edit": '$N'/' "$I" > edited/INPUT.json
    rsync -a --ignore-times edited/INPUT.json "$I"
"#;

#[test]
fn p03_p04_runs_start_while_the_input_is_edited_with_vim() {
    edit_while_runs_start(VIM, false);
}

#[test]
fn p03_p04_runs_in_a_working_directory_start_while_the_input_is_edited_with_vim() {
    edit_while_runs_start(VIM, true);
}

#[test]
fn p03_p04_runs_start_while_the_input_is_edited_with_sed() {
    edit_while_runs_start(SED, false);
}

#[test]
fn p03_p04_runs_in_a_working_directory_start_while_the_input_is_edited_with_sed() {
    edit_while_runs_start(SED, true);
}

#[test]
fn p03_p04_runs_start_while_the_input_is_copied_with_rsync() {
    edit_while_runs_start(RSYNC, false);
}

#[test]
fn p03_p04_runs_in_a_working_directory_start_while_the_input_is_copied_with_rsync() {
    edit_while_runs_start(RSYNC, true);
}
