//! The command itself: its forms of output, its exit status, and what it says when it cannot go on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use storefs::engine::{DirectoryOptions, Storage, StorageOptions};
use storefs::model::{Error, FindingState, StoreName};

use crate::common::{METADATA, TempStorage};
use crate::{STORE, doctor, found, make_store, path, put, record, storage};

/// A user without any right of its own.
const NOBODY: u32 = 65534;

#[test]
fn a_sound_storage_has_nothing_to_tell() {
    for storage in [TempStorage::empty(), storage(), TempStorage::of_fixture("python/odd-keys")] {
        for arguments in [&[][..], &["--repair"]] {
            let output = doctor(&storage, arguments);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
            assert_eq!(doctor(&storage, &[arguments, &["--json"]].concat()).stdout, b"[]\n");
        }
    }
}

#[test]
fn a_finding_is_one_line_that_no_terminal_obeys() {
    let storage = storage();
    put(&storage, "a\tb\n\u{1b}[2J", b"x");
    let output = doctor(&storage, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let columns: Vec<&str> = text.trim_end().split('\t').collect();
    assert_eq!(columns[..4], [STORE, "a\\tb\\n\\u{1b}[2J", "foreign-name", "repairable"]);
    assert_eq!(columns.len(), 5, "{text}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "storefs: 1 found; 'storefs doctor --repair' mends 1 of them\n");

    let json = String::from_utf8(doctor(&storage, &["--json"]).stdout).unwrap();
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!((lines[0], lines[2]), ("[", "]"), "{json}");
    assert!(lines[1].starts_with("  {\"store\":\"s\",\"file\":"), "{json}");
}

#[test]
fn one_store_can_be_examined_alone() {
    let storage = storage();
    make_store(&storage, "t");
    put(&storage, "bare", b"x");
    fs::write(storage.store("t").join("bare"), "x").unwrap();
    assert_eq!(found(&storage, &["t"]), ["t bare bare-file repairable"]);
    assert_eq!(found(&storage, &["id:id-of-s"]), ["bare bare-file repairable"]);
    assert_eq!(found(&storage, &["t", "--repair"]), ["t bare bare-file repaired"]);
    assert_eq!(found(&storage, &[]), ["bare bare-file repairable"]);

    let output = doctor(&storage, &["none"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("'none'"));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_read_only_storage_can_be_examined_and_not_repaired() {
    let storage = storage();
    put(&storage, "bare", b"x");
    let directory = DirectoryOptions { read_only: true, ..DirectoryOptions::default() };
    let options = StorageOptions { directory, ..StorageOptions::default() };
    let opened = Storage::open_directory(&storage.path(), options).unwrap();
    let store = opened.store(&StoreName::new(STORE).unwrap());
    for repair in [false, true] {
        for findings in [opened.examine(repair), store.examine(repair)] {
            match findings {
                Ok(findings) => {
                    let findings: Vec<_> = findings.map(Result::unwrap).collect();
                    assert!(!repair && findings.len() == 1, "{findings:?}");
                    assert_eq!(findings[0].state, FindingState::Found);
                }
                Err(error) => assert!(repair && matches!(error, Error::ReadOnly), "{error}"),
            }
        }
    }
}

#[test]
fn what_may_not_be_read_is_told_and_the_rest_is_examined() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let storage = storage();
    record(&storage, "secret.txt", "text/plain", b"x");
    record(&storage, "typed", "text/plain", b"x");
    put(&storage, "bare", b"x");
    make_store(&storage, "closed");
    make_store(&storage, "dark");
    for name in ["secret.txt", "typed.__metadata__.json"] {
        fs::set_permissions(path(&storage, name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let metadata = storage.store("dark").join(METADATA);
    fs::set_permissions(metadata, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(storage.store("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(storage.beside(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = storage.beside().join("storefs");
    fs::copy(env!("CARGO_BIN_EXE_storefs"), &program).unwrap();
    let as_nobody = |arguments: &[&str], code| {
        let mut command = Command::new(&program);
        command.uid(NOBODY).gid(NOBODY).current_dir("/").env_clear();
        command.arg("--source").arg(storage.path()).arg("doctor").args(arguments);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (text, said) = as_nobody(&[], 1);
    for part in [
        "dark\t__metadata__.json\tunreadable\tleft\t",
        "s\tsecret.txt\tunreadable\tleft\t",
        "s\ttyped.__metadata__.json\tunreadable\tleft\t",
        "s\tbare\tbare-file\trepairable\t",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(said.contains("closed") && said.contains("Permission denied"), "{said}");

    let (text, said) = as_nobody(&["--repair"], 5);
    assert_eq!(text, "", "nothing is done where nothing can be written");
    assert!(said.contains("Permission denied") && said.lines().count() == 1, "{said}");
    // With a place to write in, but not in the store: each repair that fails is told.
    fs::create_dir(storage.path().join(".storefs")).unwrap();
    chown(storage.path().join(".storefs"), Some(NOBODY), Some(NOBODY)).unwrap();
    let (text, _) = as_nobody(&["--repair"], 1);
    assert!(text.contains("s\tbare\tbare-file\tfailed\t"), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    assert!(!path(&storage, "bare.__metadata__.json").exists());
}
