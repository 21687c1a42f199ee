//! `doctor --system`.

use serde_json::Value;

use super::common::{storefs, temp_dir};

#[test]
fn the_machine_is_looked_at() {
    let empty = temp_dir();
    let output = storefs()
        .args(["doctor", "--system", "--json"])
        .current_dir(empty.path())
        .output()
        .unwrap();
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let state = |name: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("{name}: {checks}"))["state"].as_str().unwrap().to_owned()
    };
    for name in
        ["fusermount3", "user_allow_other", "inotify", "passthrough", "resend", "epoch", "prune"]
    {
        assert!(["ok", "absent", "missing"].contains(&state(name).as_str()), "{name}");
    }
    let can_open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    assert_eq!(state("/dev/fuse") == "ok", can_open);
    let is_missing = checks.as_array().unwrap().iter().any(|check| check["state"] == "missing");
    assert_eq!(output.status.code(), Some(i32::from(is_missing)));
}

#[test]
fn a_helper_that_is_not_there_is_told() {
    let empty = temp_dir();
    let mut command = storefs();
    command.args(["doctor", "--system"]).env("PATH", empty.path());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("fusermount3\t")).unwrap();
    assert!(line.contains("package fuse3") && !line.contains("\tok\t"), "{line}");
}
