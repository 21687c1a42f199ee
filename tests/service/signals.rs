//! What signals ask of a mount's log.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::common::{PROGRAM, TempMount, can_mount, is_mounted, storefs, temp_dir, wait_until};
use crate::{send, storage_of};

#[test]
fn a_log_that_was_renamed_is_begun_anew() {
    if !can_mount() {
        return;
    }
    let (storage, place) = (storage_of(1), temp_dir());
    let (log, old) = (place.path().join("log"), place.path().join("log.1"));
    let mountpoint = place.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    for (in_foreground, supervised) in [(true, false), (true, true), (false, false), (false, true)]
    {
        let mut command = storefs();
        command.arg("mount").arg("--log-file").arg(&log);
        if in_foreground {
            command.arg("--foreground");
        }
        command.arg(if supervised { "--supervise" } else { "--no-supervise" });
        let mut child = command.arg(storage.path()).arg(&mountpoint).spawn().unwrap();
        let daemon = match in_foreground {
            true => Some(child),
            false => {
                assert!(child.wait().unwrap().success());
                None
            }
        };
        let status = mountpoint.join("@status");
        wait_until("it is mounted", || status.exists());
        wait_until("it is in the log", || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("] mounted '"))
        });
        let status: serde_json::Value =
            serde_json::from_slice(&fs::read(&status).unwrap()).unwrap();
        let pid = status["pid"].to_string();
        let signal = |name: &str| {
            assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        };
        fs::rename(&log, &old).unwrap();
        signal("-HUP");
        wait_until("the log is there again", || log.exists());
        signal("-USR1");
        wait_until("it is written to", || fs::read_to_string(&log).unwrap().contains("status: {"));
        assert!(!fs::read_to_string(&old).unwrap().contains("status: {"));
        assert!(storefs().arg("unmount").arg(&mountpoint).status().unwrap().success());
        if let Some(mut daemon) = daemon {
            assert!(daemon.wait().unwrap().success());
        }
        wait_until("its end is in the log", || {
            fs::read_to_string(&log).unwrap().contains("] unmounted '")
        });
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn a_terminal_that_hangs_up_takes_its_mount_along() {
    if !can_mount() {
        return;
    }
    let (storage, place) = (storage_of(1), temp_dir());
    for option in ["--no-supervise", "--supervise"] {
        let mount = format!(
            "exec {PROGRAM} mount --foreground {option} {} {}",
            storage.path().display(),
            place.path().display()
        );
        let mut terminal = Command::new("script")
            .args(["-q", "-c", &mount, "/dev/null"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("it is mounted", || is_mounted(place.path()));
        terminal.kill().unwrap();
        terminal.wait().unwrap();
        wait_until("it is unmounted", || !is_mounted(place.path()));
    }
}

#[test]
fn a_log_can_be_had_to_tell_more() {
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["--supervise"]] {
        let storage = storage_of(1);
        let mount = TempMount::with_options(&storage, options);
        let missing = |name: &str| {
            assert!(!mount.store("s").join(name).exists());
            mount.log().contains(&format!("lookup of 's/{name}'"))
                || mount.log().contains("lookup of store 's'")
        };
        assert!(!missing("a"), "{}", mount.log());
        send(&mount, Signal::USR2);
        wait_until("it tells more", || mount.log().contains("the log tells more: DEBUG"));
        assert!(missing("b"), "{}", mount.log());
        send(&mount, Signal::USR2);
        wait_until("it tells all", || mount.log().contains("the log tells more: TRACE"));
        send(&mount, Signal::USR2);
        wait_until("it is as before", || {
            mount.log().contains("the log tells what it told at first")
        });
        let length = mount.log().len();
        missing("c");
        assert_eq!(mount.log().len(), length, "{}", mount.log());
    }
}
