//! What tells of a mount, and what makes texts of it, over the death of a worker.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use crate::common::{can_mount, storefs, wait_until};
use crate::{kill_worker, process, seeded, supervised};

#[test]
fn who_reads_the_log_goes_on() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = supervised(&storage, &[]);
    let told = storage.beside().join("told");
    let mut reader = Command::new("cat")
        .arg(mount.path().join("@log"))
        .stdout(File::create(&told).unwrap())
        .spawn()
        .unwrap();
    let is_told = |name: &str| {
        // Who has begun to read is told from then on.
        wait_until("it is in the log", || {
            let _ = fs::metadata(mount.store("default").join(name));
            fs::read_to_string(&told).unwrap().contains(name)
        });
    };
    is_told("first");
    // One read waits all the while.
    for _ in 0..3 {
        kill_worker(&mount);
        mount.status();
    }
    is_told("second");
    assert_eq!(mount.status()["log"]["readers"], 1);
    mount.unmount();
    let ended = reader.wait().unwrap();
    assert!(ended.success() || ended.code() == Some(1), "{ended}");
}

#[test]
fn texts_of_a_dataset_are_what_they_were_or_gone() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let dataset = storage.path().join("datasets/d");
    fs::create_dir_all(&dataset).unwrap();
    fs::write(dataset.join("000000001.json"), "{\"a\":1}").unwrap();
    // Else the kernel may know the attributes.
    let mount = supervised(&storage, &["--ttl", "0"]);
    let path = mount.path().join("datasets/d/@items.jsonl");
    let old = File::open(&path).unwrap();
    kill_worker(&mount);
    let error = old.metadata().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "{error}");
    let mut byte = [0];
    let error = old.read_at(&mut byte, 0).unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::ESTALE | libc::EIO)), "{error}");
    fs::write(dataset.join("000000002.json"), "{\"a\":2}").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
    drop(old);
    wait_until("all is closed", || mount.status()["handles"].as_u64() <= Some(1));
    mount.unmount();
}

#[test]
fn a_state_that_was_opened_is_read_anew() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = supervised(&storage, &[]);
    let mut status = File::open(mount.path().join("@status")).unwrap();
    let supervisor = mount.pid();
    kill_worker(&mount);
    assert!(status.metadata().unwrap().is_file());
    let error = status.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "what it was is known to nobody");
    drop(status);
    let now = mount.status();
    assert_eq!((&now["restarts"], now["pid"].as_u64()), (&1.into(), Some(supervisor.into())));
    let listed = storefs().args(["status", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let place = mount.path().display().to_string();
    let listed = listed.as_array().unwrap().iter().find(|one| one["mountpoint"] == *place);
    assert_eq!(listed.unwrap()["pid"], supervisor);
    mount.unmount();
}

#[test]
fn metrics_are_served_by_who_takes_over() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mount = supervised(&storage, &["--metrics-addr", &address]);
    let scrape = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    assert!(scrape().contains("storefs_restarts_total 0\n"));
    kill_worker(&mount);
    assert_eq!(mount.status()["metrics_at"], *address);
    assert!(scrape().contains("storefs_restarts_total 1\n"));
    // Who cannot have it any more serves all the same.
    let (supervisor, worker) = (process(&mount.pid().into()), process(&mount.status()["worker"]));
    kill_process(supervisor, Signal::STOP).unwrap();
    kill_process(worker, Signal::KILL).unwrap();
    let mut taken = None;
    wait_until("its address is free", || {
        taken = TcpListener::bind(&address).ok();
        taken.is_some()
    });
    kill_process(supervisor, Signal::CONT).unwrap();
    assert_eq!(fs::read(mount.store("default").join("kept.json")).unwrap(), b"[1, 2]");
    assert!(mount.status()["metrics_at"].is_null(), "{}", mount.log());
    drop(taken);
    mount.unmount();
}
