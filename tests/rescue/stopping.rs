//! A daemon that is asked to stop while its mount is in use.

use std::fs;
use std::io::Write;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{TempMount, can_mount, try_sh, wait_until};
use crate::help::is_root;
use crate::{appended, begun, expected, kept_bytes, left, said, seeded};

fn ask_to_stop(mount: &TempMount) {
    let pid = Pid::from_raw(i32::try_from(mount.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

#[test]
fn p21_a_daemon_that_is_stopped_keeps_what_is_not_closed_and_ends() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut stuck = begun(store.join("stuck"), "never closed");
    let grown = appended(store.join("log"), "three\n");
    let finished = begun(store.join("finished"), "closed in time");
    let idle = fs::OpenOptions::new().append(true).open(store.join("kept.json")).unwrap();
    ask_to_stop(&mount);
    wait_until("the mount is detached", || mount.log().contains("detaching it"));
    nix::unistd::close(finished).unwrap();
    stuck.write_all(b", and more").unwrap();
    // It ends by itself, within its deadline.
    let status = mount.wait_for_death();
    assert!(status.success(), "{status}");
    let log = mount.log();
    assert!(log.contains("22 bytes of record 'stuck' of store 'default' were not closed"), "{log}");
    assert!(stuck.write_all(b"too late").is_err());
    drop((stuck, grown, idle));
    let cut_off = expected(&[("stuck", "never closed, and more"), ("log", "one\ntwo\nthree\n")]);
    assert!(left(&storage.path()).iter().any(|path| path.starts_with(".storefs/rescued")));
    assert_eq!(kept_bytes(&storage.path()), cut_off);
    assert_eq!(said(&storage.path(), &["get", "default", "finished"]), "closed in time");
    assert_eq!(said(&storage.path(), &["get", "default", "log"]), "one\ntwo\n");
    said(&storage.path(), &["rescue", "--all"]);
    assert_eq!(said(&storage.path(), &["get", "default", "log"]), "one\ntwo\nthree\n");
}

#[test]
fn p21_a_second_signal_ends_the_wait_and_loses_nothing() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let open = begun(mount.store("default").join("stuck"), "bytes");
    ask_to_stop(&mount);
    wait_until("the mount is detached", || mount.log().contains("detaching it"));
    ask_to_stop(&mount);
    assert!(mount.wait_for_death().success());
    drop(open);
    assert_eq!(kept_bytes(&storage.path()), expected(&[("stuck", "bytes")]));
}

#[test]
fn p21_a_connection_that_is_aborted_loses_nothing() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let mut open = begun(mount.store("default").join("cut off"), "bytes");
    // The unmount itself fails, since the mount is in use.
    let _ = try_sh("umount -f mnt", mount.path().parent().unwrap());
    assert!(mount.wait_for_death().success(), "{}", mount.log());
    assert!(open.write_all(b"too late").is_err());
    drop(open);
    assert!(mount.log().contains("storefs rescue"), "{}", mount.log());
    assert_eq!(kept_bytes(&storage.path()), expected(&[("cut off", "bytes")]));
}
