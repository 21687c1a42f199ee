//! Mounts that do less: without deleting, without overwriting, of one store alone, with modes of their own.
//!
//! Ordinary programs try to do what is refused, and go on doing what is not.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "verbs/modes.rs"]
mod modes;
#[path = "verbs/no_delete.rs"]
mod no_delete;
#[path = "verbs/no_overwrite.rs"]
mod no_overwrite;
#[path = "verbs/one_store.rs"]
mod one_store;

use std::path::Path;

use common::{TempStorage, storefs, try_sh};

/// A storage with the records `a`, `b` and the empty one `empty` in the store `s`.
fn storage() -> TempStorage {
    let storage = TempStorage::empty();
    let run = |arguments: &[&str]| {
        let status = storefs().arg("--source").arg(storage.path()).args(arguments).status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    for (key, value) in [("a", "first"), ("b", "second"), ("empty", "")] {
        let file = storage.beside().join("value");
        std::fs::write(&file, value).unwrap();
        run(&["set", "s", key, file.to_str().unwrap(), "--content-type", "text/plain"]);
    }
    storage
}

/// Runs a script that must fail, and say why.
#[track_caller]
fn refused(script: &str, dir: &Path) {
    let output = try_sh(script, dir);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{script}: it is not refused");
    assert!(said.contains("peration not permitted"), "{script}: {said}");
}
