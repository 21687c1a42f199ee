//! What becomes of a target: what it has besides, what it gets, and what is refused as one.

use std::os::unix::fs::symlink;

use super::*;

/// The one line of a copy that was refused.
#[track_caller]
fn refusal(output: &Output, status: i32) -> String {
    let said = complaints(output);
    assert_eq!((output.status.code(), said.len()), (Some(status), 1), "{said:?}");
    assert!(output.stdout.is_empty());
    said[0].clone()
}

#[test]
fn a_dry_run_says_what_a_copy_does_and_changes_nothing() {
    let storage = TempStorage::of_fixture("python/values");
    let source = text(&storage.path());
    let target = TempStorage::empty();
    let (_dir, database) = database();
    for target in [text(&target.path()), database] {
        let before = held(&target);
        assert!(before.is_empty());
        let said = copied(&source, &target, &["--dry-run", "--purge"]);
        assert_eq!(held(&target), before);
        assert_eq!(copied(&source, &target, &["--purge"]), said);
        fill(&source, "kinds", &[("more", b"x", "text/plain")]);
        fill(&target, "kinds", &[("other", b"x", "text/plain")]);
        let before = held(&target);
        let said = copied(&source, &target, &["--dry-run", "--purge"]);
        assert_eq!((said[0], said[2], said[3]), (1, 1, 0));
        assert_eq!(held(&target), before);
        assert_eq!(copied(&source, &target, &["--purge"]), said);
        open(&source, false)
            .store(&StoreName::new("kinds").unwrap())
            .delete(&Key::new("more").unwrap())
            .unwrap();
    }
    assert!(!target.path().join(".storefs/rescued").exists());
}

#[test]
fn a_purge_makes_an_exact_copy_and_touches_no_other_store() {
    let storage = TempStorage::empty();
    let source = text(&storage.path());
    fill(&source, "s", &[("INPUT", b"{}", "application/json"), ("k", b"x", "text/plain")]);
    fill(&source, "t", &[]);
    let (directory, (_dir, database)) = (TempStorage::empty(), database());
    for target in [text(&directory.path()), database] {
        let there =
            [("INPUT.json", b"{}".as_slice(), "application/json"), ("old", b"y", "text/plain")];
        for store in ["s", "t", "untouched"] {
            fill(&target, store, &there);
        }
        // The Apify SDK would open no store with two inputs.
        let output = copy(&source, &target, &["--json", "s"]);
        assert_eq!((output.status.code(), counts(&output)), (Some(1), [1, 0, 0, 1]));
        assert!(complaints(&output)[0].contains("second input"), "{output:?}");
        assert_eq!(keys(&target, "s"), ["INPUT.json", "k", "old"]);
        let [sent, same, removed, failed] = copied(&source, &target, &["--purge"]);
        assert_eq!([sent, same, failed], [1, 1, 0]);
        // The other input has made room before it could be counted.
        assert_eq!(removed, 3);
        assert_eq!(keys(&target, "untouched"), ["INPUT.json", "old"]);
        let (mut there, source) = (held(&target), held(&source));
        there.remove("untouched");
        assert_eq!(there, source);
    }
}

#[test]
fn only_the_stores_that_are_named_are_copied() {
    let storage = TempStorage::of_fixture("python/values");
    let source = text(&storage.path());
    let (_dir, database) = database();
    let id = held(&source)["kinds"].0.id.clone().unwrap();
    copied(&source, &database, &[&format!("id:{id}"), "default"]);
    assert_eq!(held(&database).into_keys().collect::<Vec<_>>(), ["default", "kinds"]);
    let said = refusal(&copy(&source, &database, &["run-scoped", "absent"]), 3);
    assert!(said.contains("'absent'"), "{said}");
    assert_eq!(held(&database).len(), 2);
}

#[test]
fn a_storage_is_not_copied_onto_itself() {
    let storage = TempStorage::of_fixture("python/values");
    let (source, link) = (text(&storage.path()), storage.beside().join("link"));
    symlink(storage.path(), &link).unwrap();
    let (dir, database) = database();
    let hard = dir.path().join("hard.db");
    fs::hard_link(&database, &hard).unwrap();
    for (from, to) in [
        (source.clone(), source.clone()),
        (source, text(&link)),
        (database.clone(), format!("sqlite:///{database}")),
        (format!("sqlite:///{database}?mode=ro"), database.clone()),
        (database, text(&hard)),
    ] {
        let said = refusal(&copy(&from, &to, &[]), 1);
        assert!(said.contains("are the same storage"), "{said}");
    }
}

#[test]
fn nothing_is_made_where_no_storage_is() {
    let storage = TempStorage::of_fixture("python/values");
    let (source, dir) = (text(&storage.path()), temp_dir());
    for (name, words) in [("absent", "name another one with --to"), ("absent.db", "does not exist")]
    {
        let said = refusal(&copy(&source, &text(&dir.path().join(name)), &[]), 1);
        assert!(said.contains(words), "{said}");
        let said = refusal(&copy(&text(&dir.path().join(name)), &source, &[]), 1);
        assert!(said.contains(&words.replace("--to", "--source")), "{said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(storefs().arg("copy").output().unwrap().status.code(), Some(2));
    // A directory that is there need hold nothing.
    copied(&source, &text(dir.path()), &[]);
    assert_eq!(held(&text(dir.path())), held(&source));
}

#[test]
fn that_datasets_and_queues_are_not_copied_is_told_in_one_line() {
    let storage = TempStorage::of_fixture("python/values");
    let (_dir, database) = database();
    let output = copy(&text(&storage.path()), &database, &[]);
    let said = complaints(&output);
    assert_eq!((output.status.code(), said.len()), (Some(0), 1), "{said:?}");
    assert!(said[0].contains("datasets and request queues, which are not copied"), "{said:?}");
    let target = TempStorage::empty();
    assert_eq!(complaints(&copy(&database, &text(&target.path()), &[])), [""; 0]);
    assert_eq!(common::names(&target.path().join("key_value_stores")).len(), 3);
}
