//! pjdfstest, a suite of some 400 tests of what POSIX says about a file system, in stores and in the plain directories of
//! a mount (P6b).
//!
//! Many of its tests make a directory, a link or a device on the way, which a store refuses. Which tests fail is in
//! `tests/pjdfstest/store.txt` and `plain.txt`, by name, with the reason: exactly these, and with what is said there. On
//! the file system that the storage is on, none fails.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Made for tests/mount_tree.rs, and used in part here.
#[allow(dead_code, unused_imports)]
#[path = "mount_tree/help.rs"]
mod help;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{STORES, TempMount, TempStorage, can_mount, clean_environment, pjdfstest, sh};
use help::{is_root, open_the_way_to};

/// How many tests there are, and how many are left out: those that need a read-only mount or a second file system, and
/// in a mount the one that makes as many links as the file system allows.
const TESTS: usize = 398;
const SKIPPED_ON_DISK: usize = 15;
const SKIPPED_IN_MOUNT: usize = 16;

#[test]
fn p6b_pjdfstest_finds_no_fault_in_the_file_system_below() {
    let Some(suite) = Suite::find() else { return };
    let dir = suite.storage.beside().join("disk");
    fs::create_dir(&dir).unwrap();
    suite.run(&dir, None).hold_to_list("", SKIPPED_ON_DISK);
}

#[test]
fn p6b_pjdfstest_finds_in_stores_what_is_listed() {
    let Some(suite) = Suite::find() else { return };
    let Some(mount) = suite.mount() else { return };
    let dir = suite.storage.beside().join("base");
    fs::create_dir(&dir).unwrap();
    suite.run(&dir, Some(&mount.stores())).hold_to_list("store.txt", SKIPPED_IN_MOUNT);
}

#[test]
fn p6b_pjdfstest_finds_in_plain_directories_what_is_listed() {
    let Some(suite) = Suite::find() else { return };
    let Some(mount) = suite.mount() else { return };
    let dir = mount.path().join("datasets/default");
    fs::create_dir_all(&dir).unwrap();
    suite.run(&dir, None).hold_to_list("plain.txt", SKIPPED_IN_MOUNT);
}

/// The program, and the storage to run it on.
struct Suite {
    program: PathBuf,
    storage: TempStorage,
}

impl Suite {
    /// `None`, and said so, where it is missing or cannot become other users; where `CI` is set, that is a failure.
    #[track_caller]
    fn find() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let suite = Self { program: pjdfstest()?, storage: TempStorage::empty() };
        open_the_way_to(&suite.storage.path());
        Some(suite)
    }

    /// A mount that lets in those whom the program becomes.
    #[track_caller]
    fn mount(&self) -> Option<TempMount> {
        if !can_mount() {
            return None;
        }
        fs::create_dir(self.storage.path().join(STORES)).unwrap();
        let mount = TempMount::with_options(&self.storage, &["--allow-other"]);
        open_the_way_to(&mount.path());
        Some(mount)
    }

    /// Runs all tests in directories that it makes in `dir`, or in `stores`.
    #[track_caller]
    fn run(&self, dir: &Path, stores: Option<&Path>) -> Findings {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pjdfstest");
        // At a short path, which only it sees: that of a socket is 107 bytes long at most.
        let mut command = Command::new("unshare");
        clean_environment(&mut command);
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /mnt && exec \"$@\""]);
        command.arg(dir).arg(&self.program);
        command.arg("--configuration-file").arg(files.join("config.toml"));
        command.args(["--path", "/mnt"]).env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
        if let Some(stores) = stores {
            let built = self.storage.beside();
            let source = files.join("base.c");
            sh(&format!("cc -shared -fPIC -o base.so '{}'", source.display()), built);
            command.env("PJDFSTEST_BASE", stores).env("LD_PRELOAD", built.join("base.so"));
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Findings::read(&text)
    }
}

/// What the program said.
#[derive(Default)]
struct Findings {
    passed: usize,
    skipped: usize,
    /// The tests that failed, and what each said.
    failed: BTreeMap<String, String>,
}

impl Findings {
    /// A test's name and outcome are in one line; in the next ones, indented, is what it said.
    #[track_caller]
    fn read(text: &str) -> Self {
        let mut findings = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(_), Some("ok"), None) => findings.passed += 1,
                (Some(_), Some("skipped"), None) => findings.skipped += 1,
                (Some(name), Some("FAILED"), None) => {
                    let said = lines.next_if(|next| next.starts_with('\t')).unwrap_or_default();
                    findings.failed.insert(name.to_owned(), said.trim().to_owned());
                }
                _ => {}
            }
        }
        let total = findings.passed + findings.skipped + findings.failed.len();
        assert_eq!(total, TESTS, "not each test has come to an end:\n{text}");
        findings
    }

    /// Panics unless exactly the tests of a list have failed. An entry begins with `WORDS: reason`; below it are the names of tests,
    /// indented, which say one of these words, parted by `|`, as they fail.
    #[track_caller]
    fn hold_to_list(mut self, list: &str, skipped: usize) {
        let mut faults = Vec::new();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pjdfstest").join(list);
        let text = if list.is_empty() { String::new() } else { fs::read_to_string(path).unwrap() };
        let mut said = "";
        let mut listed = 0;
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let Some(name) = line.strip_prefix("  ") else {
                said = line.split_once(": ").expect("an entry has a reason").0;
                continue;
            };
            listed += 1;
            match self.failed.remove(name) {
                Some(failure) if said.split(" | ").any(|words| failure.contains(words)) => {}
                Some(failure) => faults.push(format!("{name}: not {said:?}, but: {failure}")),
                None => faults.push(format!("{name}: is listed, and does not fail")),
            }
        }
        faults.extend(self.failed.iter().map(|(name, failure)| format!("{name}: {failure}")));
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(self.skipped, skipped, "skipped");
        assert_eq!(self.passed, TESTS - skipped - listed, "passed");
        println!("{} passed, {listed} failed as listed, {skipped} skipped", self.passed);
    }
}
