//! Another program serves a mount.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use rustix::process::{Signal, kill_process};

use crate::common::{TempMount, can_mount, is_mounted, storefs, temp_dir, wait_until};
use crate::{ino, kill_worker, process, seeded, supervised};

/// The program of the process that serves a mount.
fn serving(mount: &TempMount) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", mount.status()["worker"])).unwrap()
}

fn program() -> PathBuf {
    PathBuf::from(storefs().get_program())
}

fn upgrade(program: &Path, mount: &TempMount, options: &[&str]) -> Output {
    Command::new(program).arg("upgrade").args(options).arg(mount.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn another_program_takes_over_and_stays() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = supervised(&storage, &[]);
    let newer = storage.beside().join("storefs-newer");
    fs::copy(program(), &newer).unwrap();
    let mut open = File::open(mount.store("default").join("kept.json")).unwrap();
    let number = ino(&mount.store("default"));
    assert_ne!(serving(&mount), newer);

    let upgraded = upgrade(&newer, &mount, &[]);
    assert!(upgraded.status.success(), "{upgraded:?}: {}", mount.log());
    assert!(said(&upgraded).contains("is served by"), "{upgraded:?}");
    assert_eq!(serving(&mount), newer);
    kill_worker(&mount);
    assert_eq!(serving(&mount), newer, "also after that one has died");
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "[1, 2]");
    assert_eq!(ino(&mount.store("default")), number);

    // And back, at a time when nobody is writing.
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(mount.store("default").join("new"))
        .unwrap();
    file.write_all(b"begun").unwrap();
    let refused = upgrade(&program(), &mount, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("1 files are open for writing"), "{refused:?}");
    assert_eq!(serving(&mount), newer);
    let forced = upgrade(&program(), &mount, &["--force"]);
    assert!(forced.status.success(), "{forced:?}: {}", mount.log());
    assert_ne!(serving(&mount), newer);
    assert_eq!(file.write_all(b"more").unwrap_err().raw_os_error(), Some(libc::EIO));
    drop((open, file));
    mount.unmount();
}

#[test]
fn what_mount8_has_asked_for_is_upgraded_with_its_words_and_its_log() {
    if !can_mount() {
        return;
    }
    let (storage, place) = (seeded(), temp_dir());
    let at = |name: &str| place.path().join(name);
    let (helper, newer, path) = (at("mount.storefs"), at("newer"), at("mnt"));
    std::os::unix::fs::symlink(program(), &helper).unwrap();
    fs::copy(program(), &newer).unwrap();
    fs::create_dir(&path).unwrap();
    let words = format!("rw,most_restarts=5,log_file={}", at("log").display());
    let mounted =
        Command::new(&helper).arg(storage.path()).arg(&path).args(["-o", &words]).output().unwrap();
    assert!(mounted.status.success(), "{mounted:?}");
    let log = || fs::read_to_string(at("log")).unwrap_or_default();
    let upgraded = Command::new(&newer).arg("upgrade").arg(&path).output().unwrap();
    assert!(upgraded.status.success(), "{upgraded:?}: {}", log());
    let status: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("@status")).unwrap()).unwrap();
    assert_eq!(fs::read_link(format!("/proc/{}/exe", status["worker"])).unwrap(), newer);
    fs::rename(at("log"), at("log.1")).unwrap();
    let supervisor = process(&status["pid"]);
    kill_process(supervisor, Signal::HUP).unwrap();
    wait_until("the log is there again", || at("log").exists());
    kill_process(supervisor, Signal::USR1).unwrap();
    wait_until("it is written to", || log().contains("status: {"));
    assert!(storefs().arg("unmount").arg(&path).status().unwrap().success());
    assert!(log().contains("] unmounted '"), "{}", log());
}

#[test]
fn a_program_that_does_not_serve_gives_way_to_the_one_before() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    // It is started where the mount was asked for, which will be nowhere.
    let place = temp_dir();
    let mount = TempMount::configured(&storage.path(), |command| {
        command.arg("--supervise").current_dir(place.path());
    });
    drop(place);
    let before = serving(&mount);
    let failed = upgrade(&program(), &mount, &[]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("what served it before does again"), "{failed:?}");
    assert_eq!(serving(&mount), before);
    assert_eq!(fs::read(mount.store("default").join("kept.json")).unwrap(), b"[1, 2]");
    kill_worker(&mount);
    assert_eq!(serving(&mount), before);
    mount.unmount();
}

#[test]
fn a_program_that_hangs_gives_way_in_time() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = supervised(&storage, &[]);
    let before = serving(&mount);
    let hanging = storage.beside().join("hanging");
    fs::write(&hanging, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&hanging, fs::Permissions::from_mode(0o755)).unwrap();
    // As `storefs upgrade` asks, which names itself and would not hang.
    let asker = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    let name = format!("storefs/{}", mount.pid());
    connect(&asker, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
    send(&asker, hanging.as_os_str().as_bytes(), SendFlags::empty()).unwrap();
    let mut answer = [0; 1000];
    let (length, _) = recv(&asker, &mut answer[..], RecvFlags::empty()).unwrap();
    assert_eq!(&answer[..length], b"-it did not serve in time");
    assert_eq!(serving(&mount), before);
    mount.unmount();
}

#[test]
fn a_mount_of_one_process_is_not_upgraded() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = TempMount::with_options(&storage, &["--no-supervise"]);
    let refused = upgrade(&program(), &mount, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("unmount it, and mount again"), "{refused:?}");
    assert!(is_mounted(&mount.path()));
    mount.unmount();
}
