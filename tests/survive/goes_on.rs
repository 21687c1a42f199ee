//! What goes on, and who is told that it does not.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};

use crate::common::{STORES, can_mount, has_passthrough, names, storefs, wait_until};
use crate::{ino, kill_worker, seeded, supervised};

#[test]
fn a_shell_in_the_mount_goes_on() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    fs::create_dir_all(storage.path().join("datasets/default")).unwrap();
    let mount = supervised(&storage, &[]);
    let directories = [
        mount.path(),
        mount.stores(),
        mount.store("default"),
        mount.path().join("datasets/default"),
    ];
    let before = directories.each_ref().map(|directory| ino(directory));
    let mut shell = Command::new("bash")
        .current_dir(mount.store("default"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
    let mut ask = |line: &str| {
        writeln!(to, "{line}; echo =").unwrap();
        let mut said = String::new();
        while !said.ends_with("=\n") {
            let mut byte = [0];
            from.read_exact(&mut byte).unwrap();
            said.push(char::from(byte[0]));
        }
        said.trim_end_matches("=\n").trim().to_owned()
    };
    assert_eq!(ask("cat INPUT.json"), "{\"a\": 1}");
    for kill in 0..3 {
        kill_worker(&mount);
        assert_eq!(ask("cat INPUT.json"), "{\"a\": 1}");
        assert_eq!(ask("ls"), ["INPUT.json", "kept.json"].join("\n"));
        assert_eq!(ask(&format!("echo {kill} > new && cat new && rm new")), kill.to_string());
        assert_eq!(ask("cd .. && ls && cd default && pwd -P"), {
            format!("default\n{}", mount.store("default").display())
        });
    }
    drop(to);
    assert!(shell.wait().unwrap().success());
    assert_eq!(directories.each_ref().map(|directory| ino(directory)), before);
    assert_eq!(mount.status()["restarts"], 3);
    mount.unmount();
}

#[test]
fn a_store_has_its_number_under_its_new_name_too() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = supervised(&storage, &[]);
    fs::create_dir(mount.store("first")).unwrap();
    fs::write(mount.store("first").join("r"), "1").unwrap();
    let number = ino(&mount.store("first"));
    let directory = File::open(mount.store("first")).unwrap();
    fs::rename(mount.store("first"), mount.store("second")).unwrap();
    fs::create_dir(mount.store("gone")).unwrap();
    let gone = File::open(mount.store("gone")).unwrap();
    fs::remove_dir_all(mount.store("gone")).unwrap();
    kill_worker(&mount);
    assert_eq!(ino(&mount.store("second")), number);
    assert_eq!(directory.metadata().unwrap().ino(), number);
    let of_gone = gone.metadata().unwrap_err();
    assert_eq!(of_gone.raw_os_error(), Some(libc::ESTALE), "{of_gone}");
    drop((directory, gone));
    assert!(!mount.store("first").exists());
    mount.unmount();
}

#[test]
fn what_is_open_for_reading_goes_on_where_its_version_is_still_there() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let store = storage.store("default");
    let long = "0123456789".repeat(100_000);
    for name in ["stays", "replaced", "removed"] {
        fs::write(store.join(name), &long).unwrap();
    }
    let mount = supervised(&storage, &["--ttl", "0"]);
    let open = |name: &str| {
        let file = File::open(mount.store("default").join(name)).unwrap();
        let mut begin = [0; 10];
        file.read_exact_at(&mut begin, 0).unwrap();
        file
    };
    let (mut stays, replaced, removed) = (open("stays"), open("replaced"), open("removed"));
    let number = stays.metadata().unwrap().ino();
    for _ in 0..3 {
        kill_worker(&mount);
    }
    fs::write(mount.store("default").join("replaced"), "another").unwrap();
    fs::remove_file(mount.store("default").join("removed")).unwrap();
    kill_worker(&mount);
    let mut read = String::new();
    stays.read_to_string(&mut read).unwrap();
    assert!(read == long);
    assert_eq!(stays.metadata().unwrap().ino(), number);
    for file in [&replaced, &removed] {
        let error = file.metadata().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "never another file: {error}");
        // What the kernel has may be read; what it has not is of nobody else.
        let mut end = [0; 10];
        match file.read_exact_at(&mut end, 999_990) {
            Ok(()) => assert_eq!(&end, b"0123456789"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}"),
        }
    }
    assert_eq!(fs::read_to_string(mount.store("default").join("replaced")).unwrap(), "another");
    drop((stays, replaced, removed));
    wait_until("all is closed", || mount.status()["handles"].as_u64() <= Some(1));
    mount.unmount();
}

#[test]
fn what_the_kernel_reads_by_itself_is_opened_again_by_the_same_file() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let long = "0123456789".repeat(100_000);
    fs::write(storage.store("default").join("long"), &long).unwrap();
    let mount = supervised(&storage, &[]);
    if !has_passthrough(&mount) {
        return;
    }
    let path = mount.store("default").join("long");
    let read = |file: &File| {
        let mut text = vec![0; long.len()];
        file.read_exact_at(&mut text, 0).unwrap();
        assert!(text == long.as_bytes());
    };
    let first = File::open(&path).unwrap();
    kill_worker(&mount);
    // With any other file, the kernel would refuse this one.
    let second = File::open(&path).unwrap();
    kill_worker(&mount);
    let third = File::open(&path).unwrap();
    [&first, &second, &third].into_iter().for_each(read);
    drop(first);
    kill_worker(&mount);
    [&second, &third, &File::open(&path).unwrap()].into_iter().for_each(read);
    drop((second, third));
    wait_until("all is closed", || mount.status()["handles"].as_u64() <= Some(1));
    read(&File::open(&path).unwrap());
    assert_eq!(mount.status()["kernel"]["passthrough"], true);
    mount.unmount();
}

#[test]
fn p21_writers_are_told_and_their_bytes_are_kept() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = supervised(&storage, &[]);
    let open = |name: &str| {
        let path = mount.store("default").join(name);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(b"begun").unwrap();
        file
    };
    let (mut written, synced, closed) = (open("written"), open("synced"), open("closed"));
    let mut durable = open("durable");
    durable.sync_all().unwrap();
    durable.write_all(b", and more").unwrap();
    kill_worker(&mount);
    let is_told = |outcome: std::io::Result<()>| {
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EIO));
    };
    is_told(written.write_all(b"x"));
    is_told(synced.sync_all());
    is_told(rustix::io::dup(&closed).map_err(Into::into).and_then(close));
    drop((written, synced, closed, durable));
    assert_eq!(
        names(&mount.store("default")),
        ["INPUT.json", "durable", "kept.json"].map(String::from).into()
    );
    assert_eq!(fs::read(mount.store("default").join("durable")).unwrap(), b"begun");
    let rescue =
        storefs().args(["rescue", "--all", "--source"]).arg(storage.path()).output().unwrap();
    assert!(rescue.status.success(), "{rescue:?}");
    for name in ["written", "synced", "closed"] {
        assert_eq!(fs::read(mount.store("default").join(name)).unwrap(), b"begun", "{name}");
    }
    assert_eq!(fs::read(mount.store("default").join("durable")).unwrap(), b"begun, and more");
    mount.unmount();
}

/// Closes a descriptor, and tells what the system says of it.
fn close(descriptor: std::os::fd::OwnedFd) -> std::io::Result<()> {
    let number = std::os::fd::IntoRawFd::into_raw_fd(descriptor);
    // SAFETY: it is owned by nobody else.
    let closed = unsafe { libc::close(number) };
    if closed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
fn a_listing_goes_on_or_says_that_it_does_not() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let all = 3000;
    for number in 0..all {
        fs::write(storage.store("default").join(format!("r{number}")), "").unwrap();
    }
    let mount = supervised(&storage, &[]);
    let mut begun = fs::read_dir(mount.store("default")).unwrap();
    begun.next().unwrap().unwrap();
    let untouched = fs::read_dir(mount.store("default")).unwrap();
    kill_worker(&mount);
    let failed = begun.find_map(Result::err).expect("the rest is known to nobody");
    assert_eq!(failed.raw_os_error(), Some(libc::EIO), "{failed}");
    drop(begun);
    assert_eq!(untouched.map(Result::unwrap).count(), all + 2);
    assert_eq!(names(&mount.path().join(STORES).join("default")).len(), all + 2);
    mount.unmount();
}

/// The step at which each worker dies is named to all of them.
#[cfg(feature = "failpoints")]
#[test]
fn a_request_that_kills_is_answered_an_error() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = crate::common::TempMount::configured(&storage.path(), |command| {
        command.arg("--supervise").env("STOREFS_CRASH_AT", "close: begun");
    });
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(mount.store("default").join("deadly"))
        .unwrap();
    file.write_all(b"x").unwrap();
    // It kills the first worker; the second does not know the file.
    let told = close(file.into()).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(libc::EIO), "{told}");
    assert_eq!(mount.status()["restarts"], 1);
    assert_eq!(fs::read(mount.store("default").join("kept.json")).unwrap(), b"[1, 2]");
    mount.unmount();

    let mount = crate::common::TempMount::configured(&storage.path(), |command| {
        command.arg("--supervise").env("STOREFS_CRASH_AT", "note: link");
    });
    let record = mount.store("default").join("kept.json");
    let told = fs::remove_file(&record).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(libc::EIO), "{told}");
    assert_eq!(mount.status()["restarts"], 2, "it has killed two, and no third");
    assert_eq!(fs::read(record).unwrap(), b"[1, 2]");
    mount.unmount();
}
