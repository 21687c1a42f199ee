//! What the manager of services is told, and the files that tell it of mounts.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{
    DEADLINE, PROGRAM, TempMount, can_mount, is_mounted, storefs, temp_dir, wait_until,
};
use crate::{send, storage_of};

/// By one process, or by a worker that another one supervises.
const SERVED: [&[&str]; 2] = [&["--no-supervise"], &["--supervise"]];

/// The socket of a manager of services.
struct Manager {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let dir = temp_dir();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { dir, socket }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("notify")
    }

    /// The next message.
    #[track_caller]
    fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The first message that has this in it; what comes before it is passed over.
    #[track_caller]
    fn told_with(&self, what: &str) -> String {
        loop {
            let told = self.told();
            if told.contains(what) {
                return told;
            }
        }
    }
}

#[test]
fn the_manager_is_told_when_the_mount_is_ready_and_when_it_stops() {
    if !can_mount() {
        return;
    }
    for options in SERVED {
        let (manager, storage) = (Manager::new(), storage_of(1));
        let mount = TempMount::configured(&storage.path(), |command| {
            command.args(options).env("NOTIFY_SOCKET", manager.path());
        });
        let told = manager.told();
        assert!(told.contains("READY=1\n"), "{told}");
        assert!(told.contains(&format!("STATUS=serving '{}'", mount.path().display())), "{told}");
        mount.unmount();
        let told = manager.told();
        assert!(told.contains("STOPPING=1\n") && told.contains("EXTEND_TIMEOUT_USEC="), "{told}");
        assert!(told.contains("STATUS="), "{told}");
        manager.socket.set_nonblocking(true).unwrap();
        assert!(manager.socket.recv(&mut [0; 16]).is_err(), "it was told more");
    }
}

#[test]
fn a_stop_that_has_to_wait_says_so() {
    if !can_mount() {
        return;
    }
    for options in SERVED {
        let (manager, storage) = (Manager::new(), storage_of(1));
        let mut mount = TempMount::configured(&storage.path(), |command| {
            command.args(options).env("NOTIFY_SOCKET", manager.path());
        });
        let used = fs::File::open(mount.store("s").join("r0.txt")).unwrap();
        send(&mount, Signal::TERM);
        manager.told_with("STATUS=waiting for those who use the mount");
        drop(used);
        assert!(mount.wait_for_death().success());
        manager.told_with("STATUS=writing what is left");
    }
}

#[test]
fn the_watchdog_hears_that_a_mount_lives_until_it_is_stopped() {
    if !can_mount() {
        return;
    }
    for options in SERVED {
        let (manager, storage) = (Manager::new(), storage_of(1));
        // As systemd names the process that it has started.
        let mut command = Command::new("sh");
        command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", PROGRAM]);
        let mount = TempMount::by(command, &storage.path(), |command| {
            command
                .args(options)
                .env("NOTIFY_SOCKET", manager.path())
                .env("WATCHDOG_USEC", "200000");
        });
        manager.told_with("READY=1");
        for _ in 0..3 {
            manager.told_with("WATCHDOG=1");
        }
        {
            let _hanging = crate::common::Stopped::new(&mount);
            manager.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            // What was on its way.
            while manager.socket.recv(&mut [0; 4096]).is_ok() {}
            manager.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            assert!(manager.socket.recv(&mut [0; 4096]).is_err(), "a daemon that hangs lives");
        }
        manager.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        manager.told_with("WATCHDOG=1");
        mount.unmount();
        manager.told_with("STOPPING=1");
    }
}

#[test]
fn the_manager_hears_of_the_process_that_takes_over() {
    if !can_mount() {
        return;
    }
    let (manager, storage) = (Manager::new(), storage_of(1));
    let mount = TempMount::configured(&storage.path(), |command| {
        command
            .arg("--supervise")
            .env("NOTIFY_SOCKET", manager.path())
            .env("WATCHDOG_USEC", "200000");
    });
    manager.told_with("READY=1");
    let worker = i32::try_from(mount.status()["worker"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    let told = manager.told_with(", again, by process ");
    let worker = mount.status()["worker"].to_string();
    assert!(told.trim_end().ends_with(&worker) && !told.contains("READY"), "{told}");
    manager.told_with("WATCHDOG=1");
    mount.unmount();
    manager.told_with("STOPPING=1");
}

#[test]
fn a_mount_in_the_background_speaks_for_nobody() {
    if !can_mount() {
        return;
    }
    let (manager, storage, place) = (Manager::new(), storage_of(1), temp_dir());
    let mut command = storefs();
    command.env("NOTIFY_SOCKET", manager.path()).env("XDG_STATE_HOME", place.path().join("state"));
    let mountpoint = place.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    command.arg("mount").arg(storage.path()).arg(&mountpoint);
    assert!(command.status().unwrap().success());
    assert!(storefs().arg("unmount").arg(&mountpoint).status().unwrap().success());
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 16]).is_err(), "it was told something");
}

/// The command of a unit file, and the file that it reads its variables from.
fn unit(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd").join(name);
    let text = fs::read_to_string(path).unwrap();
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{name} has no {key}")).to_owned()
    };
    assert_eq!(of("Type="), "notify");
    (of("ExecStart="), of("EnvironmentFile="))
}

#[test]
fn the_units_start_a_mount() {
    if !can_mount() {
        return;
    }
    for (name, file) in [
        ("system/storefs@.service", "/etc/storefs/%i.conf"),
        ("user/storefs@.service", "%E/storefs/%i.conf"),
    ] {
        let (command, environment) = unit(name);
        assert_eq!(environment, file);
        let (manager, storage, place) = (Manager::new(), storage_of(1), temp_dir());
        let mountpoint = place.path().join("the mountpoint");
        fs::create_dir(&mountpoint).unwrap();
        // As systemd reads it: $NAME is taken apart at blanks, ${NAME} is one word.
        let mut words = Vec::new();
        for word in command.split(' ') {
            match word {
                "/usr/bin/storefs" => words.push(PROGRAM.into()),
                "$OPTIONS" => words.extend(["--ttl".into(), "5".into(), "--read-only".into()]),
                "${SOURCE}" => words.push(storage.path().into_os_string()),
                "${MOUNTPOINT}" => words.push(mountpoint.clone().into_os_string()),
                word => words.push(word.into()),
            }
        }
        let mut command = Command::new(&words[0]);
        let mut daemon =
            command.args(&words[1..]).env("NOTIFY_SOCKET", manager.path()).spawn().unwrap();
        manager.told_with("READY=1");
        assert!(is_mounted(&mountpoint), "{name}");
        assert!(storefs().arg("unmount").arg(&mountpoint).status().unwrap().success());
        assert!(daemon.wait().unwrap().success());
        wait_until("it is unmounted", || !is_mounted(&mountpoint));
    }
}
