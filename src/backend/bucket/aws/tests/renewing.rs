//! Keys that are changed by a tool, expire, or are refused, while the bucket is open.

use std::fs;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::Either;
use jiff::{SignedDuration, Timestamp};

use super::{Home, refusal, waited};
use crate::backend::bucket::aws::{Access, AwsOptions, access};

fn keys(id: &str) -> String {
    format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = secret-of-{id}\n")
}

fn id_at(access: &Access, now: Timestamp) -> Result<String, String> {
    let keys = waited(access.credentials.get_at(now));
    keys.map(|keys| keys.unwrap().key_id.clone()).map_err(|error| error.to_string())
}

/// Says that the keys in use are refused, and which come in their place.
fn refused_at(access: &Access, now: Timestamp) -> Option<String> {
    waited(async {
        let used = access.credentials.get_at(now).await.unwrap().unwrap();
        access.refused();
        let others = access.credentials.get_at(now).await.unwrap().unwrap();
        (*others != *used).then(|| others.key_id.clone())
    })
}

/// A home whose default profile has a program that counts how often it is run. It prints the file `keys`, and fails with
/// what the file `fail` says.
fn with_program() -> Home {
    let home = Home::new("", "");
    home.write(
        "program",
        "cd \"$1\"; echo >> runs; if [ -e fail ]; then cat fail >&2; echo hunter2; exit 1; fi; cat keys",
    );
    let path = home.path().display();
    home.write("config", &format!("[default]\ncredential_process = sh '{path}/program' {path}\n"));
    home
}

fn runs(home: &Home) -> usize {
    fs::read_to_string(home.path().join("runs")).map_or(0, |text| text.lines().count())
}

fn print(home: &Home, id: &str, expires: Option<Timestamp>) {
    let expires = expires.map_or_else(String::new, |at| format!(", \"Expiration\": \"{at}\""));
    let keys = format!(
        "{{\"Version\": 1, \"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"s\"{expires}}}"
    );
    home.replace("keys", &keys);
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn keys_that_a_tool_replaces_are_taken_up() {
    let home = Home::new("", &keys("AKONE"));
    let access = access(&home.options()).unwrap();
    let now = Timestamp::now();
    assert_eq!(id_at(&access, now).as_deref(), Ok("AKONE"));
    home.replace("credentials", &keys("AKTWO"));
    assert_eq!(id_at(&access, now).as_deref(), Ok("AKTWO"));
    // Written in its place, and seen half written: what there was stays.
    home.write("credentials", "[default]\naws_access_k");
    assert_eq!(id_at(&access, now).as_deref(), Ok("AKTWO"));
    home.write("credentials", &keys("AKTHREE"));
    assert_eq!(id_at(&access, now).as_deref(), Ok("AKTHREE"));
    fs::remove_file(home.path().join("credentials")).unwrap();
    assert_eq!(id_at(&access, now).as_deref(), Ok("AKTHREE"));
    home.write("config", "[default]\ncredential_process = echo '{}'\n");
    assert!(id_at(&access, now).unwrap_err().contains("Version 1"));
}

#[test]
fn keys_of_one_length_that_are_written_in_place_are_found_once_the_old_ones_are_refused() {
    // Where the clock of files ticks (before Linux 6.13), mostly within one tick: then the stamps say nothing.
    for _ in 0..50 {
        let home = Home::new("", &keys("AKONE"));
        let access = access(&home.options()).unwrap();
        let now = Timestamp::now();
        assert_eq!(id_at(&access, now).as_deref(), Ok("AKONE"));
        home.write("credentials", &keys("AKTWO"));
        access.refused();
        assert_eq!(id_at(&access, now).as_deref(), Ok("AKTWO"));
    }
}

#[test]
fn a_program_is_run_again_before_its_keys_expire() {
    let home = with_program();
    print(&home, "AKONE", Some(time("2026-01-01T01:00:00Z")));
    let access = access(&home.options()).unwrap();
    assert_eq!(runs(&home), 0, "nothing is run before keys are needed");
    let at = |text: &str| id_at(&access, time(text));
    assert_eq!(at("2026-01-01T00:00:00Z").as_deref(), Ok("AKONE"));
    print(&home, "AKTWO", Some(time("2026-01-01T02:00:00Z")));
    assert_eq!(at("2026-01-01T00:54:59Z").as_deref(), Ok("AKONE"));
    assert_eq!(runs(&home), 1);
    // It fails while its keys hold: nobody notices, and it is tried again a little later.
    home.write("fail", "log in\nfirst");
    assert_eq!(at("2026-01-01T00:55:00Z").as_deref(), Ok("AKONE"));
    assert_eq!(at("2026-01-01T00:55:29Z").as_deref(), Ok("AKONE"));
    assert_eq!(runs(&home), 2);
    let said = at("2026-01-01T01:00:00Z").unwrap_err();
    assert!(said.contains("of profile 'default' has failed (exit status: 1): log in first"));
    assert!(!said.contains("hunter2"), "{said}");
    // Many requests at once do not run it again and again.
    assert_eq!(at("2026-01-01T01:00:01Z").unwrap_err(), said);
    assert_eq!(runs(&home), 3);
    fs::remove_file(home.path().join("fail")).unwrap();
    assert_eq!(at("2026-01-01T01:00:02Z").as_deref(), Ok("AKTWO"));
    // Keys of a short life are renewed in the middle of it.
    print(&home, "AKTHREE", Some(time("2026-01-01T01:56:00Z")));
    assert_eq!(at("2026-01-01T01:55:00Z").as_deref(), Ok("AKTHREE"));
    assert_eq!(at("2026-01-01T01:55:29Z").as_deref(), Ok("AKTHREE"));
    print(&home, "AKFOUR", None);
    assert_eq!(at("2026-01-01T01:55:30Z").as_deref(), Ok("AKFOUR"));
    assert_eq!(at("2036-01-01T00:00:00Z").as_deref(), Ok("AKFOUR"));
    assert_eq!(runs(&home), 6);
}

#[test]
fn a_program_whose_keys_are_refused_is_run_again_once() {
    let home = with_program();
    let now = time("2026-01-01T00:00:00Z");
    print(&home, "AKONE", None);
    let access = access(&home.options()).unwrap();
    assert_eq!(refused_at(&access, now), None);
    assert_eq!(refused_at(&access, now), None);
    assert_eq!(runs(&home), 2);
    print(&home, "AKTWO", None);
    let later = now + SignedDuration::from_mins(1);
    assert_eq!(refused_at(&access, later).as_deref(), Some("AKTWO"));
    // Whoever has used the old ones besides is given the new ones, and it is not run for that.
    assert_eq!(id_at(&access, later).as_deref(), Ok("AKTWO"));
    assert_eq!(runs(&home), 3);
}

#[test]
fn a_program_that_nobody_waits_for_is_killed_with_all_that_it_has_started() {
    let home = Home::new("", "");
    let path = home.path().display();
    home.write("program", "cd \"$1\"; sleep 1000 & echo $$ $! > new; mv new pids; wait");
    home.write("config", &format!("[default]\ncredential_process = sh '{path}/program' {path}\n"));
    let access = access(&home.options()).unwrap();
    let pids = waited(async {
        let written = async {
            loop {
                if let Ok(pids) = fs::read_to_string(home.path().join("pids")) {
                    return pids;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let (get, written) = (pin!(access.credentials.get()), pin!(written));
        match futures_util::future::select(get, written).await {
            Either::Left((keys, _)) => panic!("{keys:?}"),
            Either::Right((pids, _)) => pids,
        }
    });
    let has_ended = |pid: &str| {
        // Whom nobody has waited for yet is a zombie.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.rsplit(") ").next().is_none_or(|state| state.is_empty() || state.starts_with('Z'))
    };
    let begin = Instant::now();
    while !pids.split_whitespace().all(has_ended) {
        assert!(begin.elapsed() < Duration::from_secs(30), "{pids}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(pids.split_whitespace().count(), 2);
}

#[test]
fn what_a_program_does_wrong_is_told_in_one_line_and_what_it_prints_is_not() {
    let cases = [
        ("/nonexistent/program hunter2", "cannot be started: /nonexistent/program: No such file"),
        ("echo hunter2", "has printed what is no JSON"),
        ("echo '{\"Version\": 2, \"AccessKeyId\": \"hunter2\"}'", "not of Version 1"),
        ("echo '{\"Version\": 1, \"AccessKeyId\": \"hunter2\"}'", "without AccessKeyId and Secret"),
        (
            "echo '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"hunter2\", \
             \"Expiration\": \"hunter2\"}'",
            "an Expiration that is no time",
        ),
        (
            "echo '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"hunter2\", \
             \"Expiration\": \"2020-01-01T00:00:00+01:00\"}'",
            "have expired at 2019-12-31T23:00:00Z",
        ),
        (
            "echo '{\"Version\": 1, \"AccessKeyId\": \"hunter2\\n\", \"SecretAccessKey\": \"s\"}'",
            "signs in a key that no key has",
        ),
        ("sh -c 'echo hunter2; kill -9 $$'", "without a word (signal: 9 (SIGKILL))"),
        ("sh -c 'yes hunter2'", "prints more than keys"),
        ("echo 'hunter2", "has a quote without its end"),
        ("''", "cannot be started"),
    ];
    for (command, word) in cases {
        let home = Home::new(&format!("[profile p]\ncredential_process = {command}"), "");
        let said = refusal(&AwsOptions { profile: Some("p".to_owned()), ..home.options() });
        assert!(said.contains(word) && said.contains("profile 'p'"), "{command}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
