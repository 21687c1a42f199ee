//! `storefs status`: all mounts in a table, and one for people and programs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Stopped, TempMount, can_mount};
use crate::help::{database, directory, run, run_json, text, try_run};

/// The line of a mount in the list.
#[track_caller]
fn listed(mount: &TempMount) -> Value {
    let all = run_json(&["status", "--json"]);
    let own = all.as_array().unwrap().iter().find(|one| one["mountpoint"] == *text(mount));
    own.unwrap_or_else(|| panic!("{all}")).clone()
}

#[test]
fn live_mounts_are_listed_with_source_and_daemon() {
    if !can_mount() {
        return;
    }
    let (storage, mount) = directory(&[]);
    let (dir, other) = database();
    let one = listed(&mount);
    assert_eq!(one["source"], *storage.path().to_str().unwrap());
    assert_eq!((one["pid"].as_u64(), &one["state"]), (Some(mount.pid().into()), &"live".into()));
    assert_eq!(listed(&other)["backend"], "sqlite");
    let table = run(&["status"]);
    let source = dir.path().join("crawlee.db").display().to_string();
    let line = table.lines().find(|line| line.contains(&text(&other))).unwrap();
    let cells: Vec<&str> = line.split('\t').collect();
    assert_eq!(cells[..3], [text(&other).as_str(), source.as_str(), "live"], "{line}");
    assert_eq!((cells[3], cells[5]), (other.pid().to_string().as_str(), "sqlite"));
}

#[test]
fn a_mount_that_hangs_hangs_nobody() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let (_other_storage, other) = directory(&[]);
    let stopped = Stopped::new(&mount);
    let begun = Instant::now();
    assert_eq!(listed(&mount)["state"], "hanging");
    assert_eq!(listed(&other)["state"], "live");
    let one = try_run(&["status", &text(&mount)]);
    let said = String::from_utf8(one.stderr).unwrap();
    assert_eq!(one.status.code(), Some(1), "{said}");
    assert!(said.contains("does not answer within 2 s"), "{said}");
    // Three questions of two seconds each, on a machine under whatever load.
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    drop(stopped);
    assert_eq!(listed(&mount)["state"], "live");
}

#[test]
fn a_mount_without_its_daemon_is_told_to_be_dead() {
    if !can_mount() {
        return;
    }
    let (_storage, mut mount) = directory(&[]);
    mount.kill();
    assert_eq!(listed(&mount)["state"], "dead");
    let one = try_run(&["status", &text(&mount)]);
    let said = String::from_utf8(one.stderr).unwrap();
    assert!(said.contains("has lost its daemon") && one.status.code() == Some(1), "{said}");
}

#[test]
fn the_state_of_one_is_what_its_file_says() {
    if !can_mount() {
        return;
    }
    let (storage, mount) = directory(&[]);
    let status = run_json(&["status", "--json", &text(&mount)]);
    assert_eq!(status["pid"], mount.pid());
    let shown = run(&["status", &text(&mount)]);
    let source = format!("source: {}\n", storage.path().display());
    assert!(shown.contains(&source) && shown.contains("backend: directory\n"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("lookup\t")), "{shown}");
    let elsewhere = try_run(&["status", storage.path().to_str().unwrap()]);
    assert_eq!(elsewhere.status.code(), Some(1));
}
