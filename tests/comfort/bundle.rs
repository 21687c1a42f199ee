//! `debug-bundle`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::common::{PROGRAM, can_mount, sh, storefs, temp_dir};
use super::storage;

#[test]
fn a_bundle_tells_what_helps_and_no_secret() {
    let storage = storage();
    let home = temp_dir();
    let logs = home.path().join("storefs");
    fs::create_dir(&logs).unwrap();
    fs::write(
        logs.join("mnt.log"),
        "at postgresql://u:hunter2@h/d\nby sesame-word and key-of-buckets, password=hunter2\n",
    )
    .unwrap();
    let bundle = home.path().join("bundle.tar");
    let mut command = storefs();
    command.arg("--source").arg(storage.path()).args(["debug-bundle", "-o"]).arg(&bundle);
    command.env("PGPASSWORD", "sesame-word").env("APIFY_TOKEN", "token-of-mine");
    command.env("AWS_SECRET_ACCESS_KEY", "key-of-buckets");
    command.env("STOREFS_SOURCE", "postgresql://u:hunter2@h/d").env("XDG_STATE_HOME", home.path());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);

    let names = sh("tar -tf bundle.tar", home.path());
    for name in [
        "versions.txt",
        "environment.txt",
        "system.json",
        "mounts.txt",
        "status.json",
        "doctor.jsonl",
        "log/mnt.log",
    ] {
        assert!(names.contains(&format!("storefs-debug/{name}\n")), "{name}: {names}");
    }
    let text = sh("tar -xOf bundle.tar", home.path());
    for secret in ["hunter2", "sesame-word", "token-of-mine", "key-of-buckets"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    for told in [
        "PGPASSWORD is set",
        "AWS_SECRET_ACCESS_KEY is set",
        "at postgresql://",
        "/dev/fuse",
        env!("CARGO_PKG_VERSION"),
        "\"kind\":\"directory\"",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_bundle_has_the_state_of_mounts() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let script = format!(
        "mkdir mnt; export XDG_STATE_HOME=$PWD; {PROGRAM} mount storage mnt; trap '{PROGRAM} unmount mnt' EXIT
         {PROGRAM} debug-bundle -o - | tar -xO"
    );
    let text = sh(&script, storage.beside());
    assert!(text.contains(&format!("{}/mnt fuse.storefs", storage.beside().display())), "{text}");
    assert!(text.contains("\"state\": \"live\"") && text.contains("\"write_sessions\""), "{text}");
}

#[test]
fn a_bundle_replaces_only_what_is_named() {
    let storage = storage();
    sh(
        &format!(
            "{PROGRAM} debug-bundle; {PROGRAM} debug-bundle -o *.tar; test $(ls *.tar | wc -l) = 1"
        ),
        storage.beside(),
    );
}
