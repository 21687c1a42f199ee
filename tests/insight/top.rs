//! `storefs top`: what a mount is busy with, for people and for scripts.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::common::{TempMount, can_mount, storefs, wait_until};
use crate::help::{directory, run, run_json, text, try_run};

/// Has a mount be used as long as something is done.
fn while_used<T>(store: &Path, act: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                fs::write(store.join("record"), "value").unwrap();
                let _ = fs::read(store.join("missing"));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        is_done.store(true, Ordering::SeqCst);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn scripts_get_one_interval_as_json() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let top = ["top", "--once", "--json", &text(&mount)];
    let busy = while_used(&mount.store("default"), || run_json(&top));
    let operations = busy["operations"].as_object().unwrap();
    let lookup = &operations["lookup"];
    assert!(lookup["count"].as_u64() > Some(0) && lookup["p50"].as_f64() > Some(0.0), "{busy}");
    assert!(lookup["errors"]["ENOENT"].as_u64() > Some(0), "{busy}");
    assert!(operations.contains_key("write"), "{busy}");
    assert_eq!(busy["stores"][0]["store"], "default", "{busy}");
    assert!(busy["bytes"]["written"].as_u64() > Some(0), "{busy}");
    // Nobody reads on, nor counts.
    wait_until("it has gone", || mount.status()["log"]["readers"] == 0);
}

#[test]
fn without_a_terminal_it_is_plain_text() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let top = ["top", "--once", "--interval", "0.3", &text(&mount)];
    let shown = while_used(&mount.store("default"), || run(&top));
    assert!(shown.is_ascii() && !shown.contains('\u{1b}'), "{shown}");
    assert!(
        shown.lines().any(|line| line.starts_with("lookup ") && line.contains("ENOENT")),
        "{shown}"
    );
    assert!(shown.lines().any(|line| line.ends_with("  default")), "{shown}");
}

/// Killed if a test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_goes_on_and_ends_with_the_mount() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let out = tempfile::Builder::new().prefix("storefs-test-").tempfile().unwrap();
    let command = storefs()
        .args(["top", "--json", "--interval", "0.1", &text(&mount)])
        .stdout(out.reopen().unwrap())
        .stderr(Stdio::null())
        .spawn();
    let mut top = Killed(command.unwrap());
    let told = || fs::read_to_string(out.path()).unwrap();
    wait_until("it has told three intervals", || told().lines().count() >= 3);
    mount.unmount();
    wait_until("it ends", || top.0.try_wait().unwrap().is_some());
    for line in told().lines() {
        let interval: Value = serde_json::from_str(line).unwrap();
        assert!(interval["seconds"].as_f64() >= Some(0.1), "{line}");
    }
}

#[test]
fn what_is_no_mount_is_refused() {
    let output = try_run(&["top", "--once", "/proc"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no storefs mount"), "{said}");
}

/// Where the kernel opens files without asking, the stores are not known, and the rest is.
#[test]
fn without_the_log_it_tells_the_rest() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&["--read-only"]);
    let shown: String = run(&["top", "--once", "--interval", "0.1", &text(&mount)]);
    if is_without_opens(&mount) {
        assert!(shown.contains("which stores are busy is not known"), "{shown}");
    }
    assert!(shown.lines().any(|line| line.starts_with("OPERATION")), "{shown}");
}

fn is_without_opens(mount: &TempMount) -> bool {
    mount.status()["pinned"].is_u64()
}
