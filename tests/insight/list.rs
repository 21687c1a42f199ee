//! `storefs status`: all mounts in a table, and one for people and programs.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;

use serde_json::Value;

use crate::common::{Stopped, TempMount, can_mount, storefs, temp_dir, wait_until};
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

/// A mount that looks like one of ours, whose daemon takes every request and answers none but the first.
struct Deaf {
    place: tempfile::TempDir,
    device: Option<File>,
}

impl Deaf {
    fn new() -> Self {
        let place = temp_dir();
        let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let c = |text: &str| CString::new(text).unwrap();
        let (target, kind) = (c(place.path().to_str().unwrap()), c("fuse.storefs"));
        let (source, options) = (c("/deaf"), c(&options));
        let made = unsafe {
            libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast())
        };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        let mut taking = device.try_clone().unwrap();
        thread::spawn(move || {
            let mut request = vec![0; 1 << 18];
            while let Ok(40..) = taking.read(&mut request) {
                if request[4..8] == INIT.to_le_bytes() {
                    let mut answer = vec![0; 80];
                    answer[..4].copy_from_slice(&80u32.to_le_bytes());
                    answer[8..16].copy_from_slice(&request[8..16]);
                    answer[16..20].copy_from_slice(&7u32.to_le_bytes());
                    answer[20..24].copy_from_slice(&31u32.to_le_bytes());
                    answer[36..40].copy_from_slice(&4096u32.to_le_bytes());
                    taking.write_all(&answer).unwrap();
                }
            }
        });
        Self { place, device: Some(device) }
    }
}

/// The number of the kernel's first request.
const INIT: u32 = 26;

impl Drop for Deaf {
    fn drop(&mut self) {
        rustix::mount::unmount(self.place.path(), UnmountFlags::FORCE | UnmountFlags::DETACH)
            .unwrap();
        drop(self.device.take());
    }
}

/// Nobody who waits for a request that a daemon has taken can be killed.
#[test]
fn a_mount_that_has_taken_the_question_and_does_not_answer_hangs_nobody() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return;
    }
    let deaf = Deaf::new();
    let path = deaf.place.path().to_str().unwrap().to_owned();
    for arguments in [&["status", &path][..], &["unmount", &path]] {
        let begun = Instant::now();
        let mut asking = storefs().args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it gives up", || asking.try_wait().unwrap().is_some());
        let said = asking.wait_with_output().unwrap();
        assert!(!said.status.success(), "{arguments:?}: {said:?}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{arguments:?}: {:?}", begun.elapsed());
    }
    drop(deaf);
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
