//! A copy that is made again, and one that was broken off.

use super::*;
use crate::common::wait_until;

#[test]
fn what_is_there_is_not_sent_again() {
    let storage = TempStorage::of_fixture("python/values");
    let source = text(&storage.path());
    let (_dir, database) = database();
    let directory = TempStorage::empty();
    for target in [database, text(&directory.path())] {
        fill(&source, "again", &[("bytes", b"one", "text/plain"), ("type", b"one", "text/plain")]);
        let all = copied(&source, &target, &[])[0];
        assert_eq!(copied(&source, &target, &[]), [0, all, 0, 0]);
        // The same length, and the same bytes under another type.
        fill(&source, "again", &[("bytes", b"two", "text/plain"), ("type", b"one", "text/html")]);
        assert_eq!(copied(&source, &target, &[]), [2, all - 2, 0, 0]);
        // What others have changed there, too.
        fill(&target, "again", &[("bytes", b"six", "text/plain")]);
        assert_eq!(copied(&source, &target, &["again"]), [1, 1, 0, 0]);
        assert_eq!(held(&target), held(&source), "{target}");
    }
}

#[cfg(feature = "postgres")]
#[test]
fn what_a_server_has_is_not_sent_again() {
    let Some(server) = postgres::shared() else { return };
    let storage = TempStorage::of_fixture("python/values");
    let (source, target) = (text(&storage.path()), server.url(&server.database()));
    let all = copied(&source, &target, &[])[0];
    assert_eq!(copied(&source, &target, &[]), [0, all, 0, 0]);
    fill(&source, "kinds", &[("bytes", b"another", "text/plain")]);
    assert_eq!(copied(&source, &target, &[]), [1, all - 1, 0, 0]);
    assert_eq!(held(&target), held(&source));
}

/// Kills a copy in its middle, by each signal; what is there then is whole, and the next copy completes it.
#[track_caller]
fn break_off(target: &str, records: usize) {
    let storage = many(records);
    let source = text(&storage.path());
    let sent = |target: &str| match open(target, true).stores().unwrap().is_empty() {
        true => 0,
        false => keys(target, "many").len(),
    };
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::INT] {
        let before = sent(target);
        let mut copy = copying(&source, target, &[]).spawn().unwrap();
        wait_until("some are copied", || sent(target) > before + 20);
        let pid = rustix::process::Pid::from_child(&copy);
        rustix::process::kill_process(pid, signal).unwrap();
        assert!(!copy.wait().unwrap().success());
    }
    let there = held(target)["many"].1.clone();
    assert!(there.len() < records, "it was not broken off");
    for (key, (value, _)) in &there {
        assert_eq!(*value, many_value(key[1..].parse().unwrap()), "{key}");
    }
    let [sent, same, removed, failed] = copied(&source, target, &[]);
    assert_eq!([same, sent + same], [there.len() as u64, records as u64]);
    assert_eq!([removed, failed], [0, 0]);
    assert_eq!(held(target), held(&source));
}

#[test]
fn a_copy_that_was_killed_is_completed_by_the_next_one() {
    let (_dir, database) = database();
    break_off(&database, 6000);
    let directory = TempStorage::empty();
    break_off(&text(&directory.path()), 6000);
    assert!(common::staged(&directory.path()).is_empty());
}

#[cfg(feature = "postgres")]
#[test]
fn a_copy_whose_server_has_died_ends_with_one_line_and_is_completed_by_the_next_one() {
    let Some(server) = postgres::own(&[]) else { return };
    let target = server.url(&server.database());
    let storage = many(4000);
    let source = text(&storage.path());
    let copy = copying(&source, &target, &["--json", "--timeout", "2"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("some are copied", || {
        !open(&target, true).stores().unwrap().is_empty() && keys(&target, "many").len() > 20
    });
    server.stop();
    let output = copy.wait_with_output().unwrap();
    let said = complaints(&output);
    assert_eq!((output.status.code(), said.len()), (Some(1), 1), "{said:?}");
    assert!(said[0].starts_with("storefs: store 'many' is not copied"), "{said:?}");
    assert_eq!(output.stdout, b"[]\n");
    server.start_again();
    let [sent, same, ..] = copied(&source, &target, &[]);
    assert!(same > 20 && sent + same == 4000, "{sent} {same}");
    assert_eq!(held(&target), held(&source));
}
