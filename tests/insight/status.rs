//! `@status`: that it is as its schema says, and that it tells what has happened.

use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};

use crate::common::{TempMount, can_mount, schemas, sh, try_sh};
use crate::help::{database, directory, run, text};

/// What is wrong with a state by the schema; `None` if nothing is.
#[track_caller]
fn complaint(status: &Value) -> Option<String> {
    schemas::complaint("status.schema.json", "", &status.to_string())
}

#[track_caller]
fn is_valid(mount: &TempMount) {
    let status = mount.status();
    assert_eq!(complaint(&status), None, "{status}");
}

/// Does something of everything.
fn use_all(mount: &TempMount) {
    let script = "echo '{}' > a; cat a; mv a b; ls -l; cp b c; rm c; setfattr -n user.mime_type \
                  -v text/plain b; flock b true; truncate -s 5 b; stat -f .; echo 1 > @purge";
    sh(script, &mount.store("default"));
    try_sh("cat missing || ln -s a b || mkdir d", &mount.store("default"));
}

#[test]
fn a_directory_tells_its_state_as_the_schema_says() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    is_valid(&mount);
    use_all(&mount);
    let mut held = File::create(mount.store("default").join("held")).unwrap();
    held.write_all(b"12345").unwrap();
    let _log = File::open(mount.path().join("@log")).unwrap();
    is_valid(&mount);
}

#[test]
fn a_database_tells_its_state_as_the_schema_says() {
    if !can_mount() {
        return;
    }
    let (_dir, mount) = database();
    is_valid(&mount);
    use_all(&mount);
    is_valid(&mount);
    let backend = &mount.status()["backend"];
    assert!(backend["count"].as_u64() > Some(10), "{backend}");
    assert_eq!((&backend["failures"], &backend["retries"]), (&json!(0), &json!(0)));
}

#[test]
fn mounts_of_every_kind_tell_their_state_as_the_schema_says() {
    if !can_mount() {
        return;
    }
    let options: [&[&str]; 3] =
        [&["--read-only"], &["--show-sidecars", "--ttl", "0"], &["--metrics-addr", "0"]];
    for options in options {
        let (_storage, mount) = directory(options);
        sh("ls -lR > /dev/null", &mount.path());
        is_valid(&mount);
    }
}

#[test]
fn the_schema_leaves_nothing_open() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    use_all(&mount);
    if !schemas::can_validate() {
        return;
    }
    let status = mount.status();
    type Change = fn(&mut Value);
    let changes: [Change; 6] = [
        |status| status["unheard_of"] = json!(1),
        |status| drop(status.as_object_mut().unwrap().remove("staged_bytes")),
        |status| status["requests"]["lookup"]["unheard_of"] = json!(1),
        |status| status["requests"]["unheard_of"] = json!({}),
        |status| status["requests"]["lookup"]["errors"]["ENOENT"] = json!("two"),
        |status| status["inodes"] = json!(-1),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut changed = status.clone();
        change(&mut changed);
        assert!(complaint(&changed).is_some(), "change {at}");
    }
}

#[test]
fn requests_are_counted_with_their_errors_and_times() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let script = "for i in 1 2 3; do echo value > r$i; done; cat r1 r2 r3";
    sh(script, &mount.store("default"));
    try_sh("cat missing || ln -s a b || mkdir d", &mount.store("default"));
    let requests = &mount.status()["requests"];
    assert_eq!(requests["create"]["count"], 3);
    assert_eq!(requests["symlink"]["errors"], json!({ "EPERM": 1 }));
    assert_eq!(requests["mkdir"]["errors"], json!({ "EPERM": 1 }));
    assert!(requests["lookup"]["errors"]["ENOENT"].as_u64() >= Some(4), "{requests}");
    for one in requests.as_object().unwrap().values() {
        let buckets = one["buckets"].as_array().unwrap();
        let counted: u64 = buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
        assert_eq!(one["count"], counted, "{one}");
        let quantiles = ["p50", "p90", "p99", "max"].map(|name| one[name].as_f64().unwrap());
        assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{one}");
    }
    let bytes = &mount.status()["bytes"];
    assert_eq!(bytes["written"], 18);
    assert!(bytes["read"].as_u64() >= Some(18), "{bytes}");
}

#[test]
fn what_is_being_written_is_told_until_it_is_published() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let mut held = File::create(mount.store("default").join("held")).unwrap();
    held.write_all(&[b'x'; 3000]).unwrap();
    let status = mount.status();
    assert_eq!(status["writing"], json!([{ "store": "default", "key": "held", "bytes": 3000 }]));
    assert_eq!((&status["staged_bytes"], &status["write_sessions"]), (&json!(3000), &json!(1)));
    let shown = run(&["status", &text(&mount)]);
    assert!(shown.contains("  default/held 2.93 KiB\n"), "{shown}");
    held.sync_all().unwrap();
    let status = mount.status();
    assert_eq!((&status["writing"], &status["staged_bytes"]), (&json!([]), &json!(0)));
}
