//! Openers that are killed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::common::seeds::some_seed;
use crate::common::{TempMount, can_mount, wait_until};
use crate::{kept, left, seeded};

/// So many openers are at work at a time, and so many are killed in all.
const AT_ONCE: usize = 6;
const KILLED: usize = 240;

/// Opens the same records again and again in each way there is.
const OPENS: &str = r#"
    while :; do
        echo line >> log
        : > new.$((RANDOM % 4))
        { echo a; echo b; } > kept.json
        exec 3<> log; echo x >&3; exec 3>&-
        read -r line < kept.json
        mv new.1 new.2; rm -f new.3
    done 2> /dev/null
"#;

fn opener(mount: &TempMount) -> Child {
    let mut command = Command::new("bash");
    command.args(["-c", OPENS]).current_dir(mount.store("default"));
    command.stdin(Stdio::null()).process_group(0).spawn().unwrap()
}

#[test]
fn p21_openers_that_are_killed_at_any_moment_leave_nothing_behind() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mount = TempMount::new(&storage);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", mount.pid())).unwrap().count();
    let idle = descriptors();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                for _ in 0..KILLED / AT_ONCE {
                    let mut opener = opener(&mount);
                    thread::sleep(Duration::from_micros(some_seed() % 60_000));
                    let group = Pid::from_raw(i32::try_from(opener.id()).unwrap()).unwrap();
                    kill_process_group(group, Signal::KILL).unwrap();
                    opener.wait().unwrap();
                }
            });
        }
    });
    let status = || -> Value {
        serde_json::from_slice(&fs::read(mount.path().join("@status")).unwrap()).unwrap()
    };
    wait_until("nobody is taken for a writer", || status()["write_sessions"] == 0);
    // The status itself is open while it is read.
    wait_until("no handle is left", || status()["handles"].as_u64() <= Some(1));
    wait_until("no descriptor is left", || descriptors() <= idle + 8);
    wait_until("nothing is staged", || left(&storage.path()).is_empty());
    assert_eq!(kept(&storage.path()), [].into());
}
