//! How a supervised mount ends.

use std::fs;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use crate::common::{TempMount, can_mount, is_mounted, storefs, temp_dir, wait_until};
use crate::{kill_worker, lives, process, seeded, supervised};

#[test]
fn a_mount_in_the_background_is_supervised_unless_it_need_not_be() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    for (options, is) in [(&[][..], true), (&["--no-supervise"], false), (&["--read-only"], false)]
    {
        let place = temp_dir();
        let path = place.path().join("mnt");
        fs::create_dir(&path).unwrap();
        let log = place.path().join("log");
        let mut command = storefs();
        command
            .arg("mount")
            .args(options)
            .arg(storage.path())
            .arg(&path)
            .arg("--log-file")
            .arg(&log);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let status: serde_json::Value =
            serde_json::from_slice(&fs::read(path.join("@status")).unwrap()).unwrap();
        assert_eq!(status["worker"].is_u64(), is, "{options:?}: {status}");
        let daemon = process(&status["pid"]);
        let unmounted = storefs().arg("unmount").arg(&path).output().unwrap();
        assert!(unmounted.status.success() && unmounted.stderr.is_empty(), "{unmounted:?}");
        assert!(!lives(daemon), "it is waited for");
        assert!(!is_mounted(&path));
    }
}

#[test]
fn what_cannot_be_mounted_is_told_and_leaves_nothing() {
    if !can_mount() {
        return;
    }
    // No database: that is found by the worker alone.
    let place = temp_dir();
    let (source, path) = (place.path().join("a.db"), place.path().join("mnt"));
    fs::create_dir(&path).unwrap();
    let header = [&b"SQLite format 3\0"[..], &[0; 84]].concat();
    fs::write(&source, header).unwrap();
    let output = storefs().arg("mount").arg(&source).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("a.db"), "{said}");
    assert!(!is_mounted(&path), "{said}");
}

#[test]
fn signals_reach_whoever_serves() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    for signal in [Signal::TERM, Signal::INT] {
        let mut mount = supervised(&storage, &[]);
        kill_worker(&mount);
        // Not to one that is just dying.
        assert_eq!(mount.status()["restarts"], 1);
        kill_process(process(&mount.pid().into()), Signal::USR1).unwrap();
        wait_until("the status is in the log", || mount.log().contains("\"restarts\":1"));
        kill_process(process(&mount.pid().into()), signal).unwrap();
        let ended = mount.wait_for_death();
        assert!(ended.success(), "{ended}: {}", mount.log());
        assert!(!is_mounted(&mount.path()));
    }
}

#[test]
fn what_is_typed_at_a_terminal_asks_once() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::configured(&storage.path(), |command| {
        std::os::unix::process::CommandExt::process_group(command, 0);
        command.arg("--supervise");
    });
    let used = fs::File::open(mount.store("default").join("kept.json")).unwrap();
    let (supervisor, worker) = (process(&mount.pid().into()), process(&mount.status()["worker"]));
    let group = rustix::process::getpgid(Some(supervisor)).unwrap();
    assert_ne!(rustix::process::getpgid(Some(worker)).unwrap(), group);
    rustix::process::kill_process_group(group, Signal::INT).unwrap();
    wait_until("it is out of sight", || !is_mounted(&mount.path()));
    drop(used);
    assert!(mount.wait_for_death().success());
    assert!(!mount.log().contains("ending all the same"), "{}", mount.log());
}

#[test]
fn a_dead_supervisor_leaves_a_dead_mount_and_no_process() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = supervised(&storage, &[]);
    let worker = process(&mount.status()["worker"]);
    mount.kill();
    wait_until("the worker is gone", || !lives(worker));
    wait_until("the mount is dead", || {
        let error = fs::read_dir(mount.path()).unwrap_err();
        error.raw_os_error() == Some(libc::ENOTCONN)
    });
    // The next mount heals it.
    mount.start();
    assert_eq!(fs::read(mount.store("default").join("kept.json")).unwrap(), b"[1, 2]");
    mount.unmount();
}

#[test]
fn a_crash_loop_ends_in_a_dead_mount_and_a_clear_line() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = supervised(&storage, &["--most-restarts", "3"]);
    for _ in 0..4 {
        kill_worker(&mount);
    }
    let ended = mount.wait_for_death();
    assert_eq!(ended.code(), Some(1));
    let log = mount.log();
    assert!(log.contains("died again and again, the last time: killed by SIGKILL"), "{log}");
    assert!(log.contains("storefs unmount"), "{log}");
    let error = fs::read_dir(mount.path()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN), "{error}");
}

#[test]
fn umount_works_whoever_serves() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    for _ in 0..10 {
        let mut mount = supervised(&storage, &[]);
        let worker = process(&mount.status()["worker"]);
        kill_process(worker, Signal::KILL).unwrap();
        let program = if rustix::process::geteuid().is_root() {
            ["umount"].as_slice()
        } else {
            &["fusermount3", "-u"]
        };
        let done = Command::new(program[0]).args(&program[1..]).arg(mount.path()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        assert!(mount.wait_for_death().success(), "{}", mount.log());
        assert!(!is_mounted(&mount.path()));
    }
}
