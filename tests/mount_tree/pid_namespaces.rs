//! Daemon and callers that see each other's process numbers differently, or not at all, as in containers (P22).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::help::{make_store, put};
use crate::common::{
    TempMount, TempStorage, can_mount, clean_environment, skipped, temp_dir, wait_until,
};

/// How often each process writes.
const ROUNDS: usize = 50;

/// Processes of each kind.
const PROCESSES: usize = 2;

/// Rewrites in three ways, with readers beside. Ends with an error if any call fails, or anything read is not whole.
const WORK: &str = r#"
    cd "$STORE"
    pad=$(printf 'x%.0s' $(seq 3000))
    rewrite() {
        for round in $(seq "$ROUNDS"); do
            printf '{"n": %d, "pad": "%s", "end": %d}' "$round" "$pad" "$round" > "rewritten$1.json" || return
        done
    }
    append() {
        for round in $(seq "$ROUNDS"); do
            echo "$1 $round" >> log.txt || return
        done
    }
    readers=() writers=()
    for process in $(seq "$PROCESSES"); do
        python3 -c "$READ" "$STOP" "$PROCESSES" & readers+=($!)
        rewrite "$process" & writers+=($!)
        append "$process" & writers+=($!)
        python3 -c "$REPLACE" "$process" "$ROUNDS" & writers+=($!)
    done
    failed=0
    for job in "${writers[@]}"; do wait "$job" || failed=1; done
    touch "$STOP"
    for job in "${readers[@]}"; do wait "$job" || failed=1; done
    exit "$failed"
"#;

/// Replaces a record by renaming another over it, and reads it back.
const REPLACE: &str = r#"
import json, os, sys
process, rounds = sys.argv[1], int(sys.argv[2])
for n in range(1, rounds + 1):
    with open('new' + process, 'w') as new:
        new.write('{"n": %d, "pad": "' % n)
        new.flush()
        new.write('y' * 3000 + '", "end": %d}' % n)
    os.rename('new' + process, 'replaced.json')
    with open('replaced.json') as replaced:
        value = json.load(replaced)
    assert value['n'] == value['end'], value
"#;

/// Reads what the others write, until they have ended.
const READ: &str = r#"
import json, os, sys
stop, processes = sys.argv[1], int(sys.argv[2])
names = ['replaced.json'] + ['rewritten%d.json' % (at + 1) for at in range(processes)]
while True:
    is_last = os.path.exists(stop)
    for name in names:
        with open(name) as file:
            text = file.read()
        try:
            value = json.loads(text)
        except ValueError as error:
            sys.exit('%s is torn: %s in %r...' % (name, error, text[:60]))
        assert value['n'] == value['end'], (name, text[:60])
    with open('log.txt') as log:
        text = log.read()
    if text and not text.endswith('\n'):
        sys.exit('half a line: %r' % text[-20:])
    if is_last:
        break
"#;

/// A store with the records that are rewritten.
fn storage() -> TempStorage {
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    let value = json!({"n": 0, "end": 0}).to_string();
    for process in 1..=PROCESSES {
        put(&storage, "default", &format!("rewritten{process}.json"), &value);
    }
    put(&storage, "default", "replaced.json", &value);
    put(&storage, "default", "log.txt", "");
    storage
}

/// Whether this machine makes process namespaces. If not, says so; where `CI` is set, that is a failure.
#[track_caller]
fn can_unshare() -> bool {
    let tried = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    let can = tried.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        skipped(&format!("no process namespace can be made: {tried:?}"));
    }
    can
}

/// Has a command do the work in a store, and looks at what has come of it.
#[track_caller]
fn work(mut command: Command, storage: &TempStorage, store: &Path) {
    clean_environment(&mut command);
    command.args(["bash", "-uc", WORK]).stdin(Stdio::null());
    command.env("STORE", store).env("STOP", storage.beside().join("stop"));
    command.env("ROUNDS", ROUNDS.to_string()).env("PROCESSES", PROCESSES.to_string());
    command.env("READ", READ).env("REPLACE", REPLACE);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let on_disk = |name: &str| fs::read_to_string(storage.store("default").join(name)).unwrap();
    for process in 1..=PROCESSES {
        let value: Value =
            serde_json::from_str(&on_disk(&format!("rewritten{process}.json"))).unwrap();
        assert_eq!(value["end"], ROUNDS);
    }
    let log = on_disk("log.txt");
    let lines: BTreeSet<&str> = log.lines().collect();
    assert_eq!(log.lines().count(), PROCESSES * ROUNDS, "lines are lost or doubled");
    assert_eq!(lines.len(), PROCESSES * ROUNDS, "a line is there twice");
}

/// A daemon in a process namespace of its own, and in a mount namespace, since it has a `/proc` of its own.
struct DaemonInside {
    dir: TempDir,
    /// `unshare`, which ends as the daemon does.
    daemon: Child,
}

impl DaemonInside {
    #[track_caller]
    fn new(storage: &TempStorage) -> Self {
        let dir = temp_dir();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("unshare");
        clean_environment(&mut command);
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).stdin(Stdio::null());
        command.arg(env!("CARGO_BIN_EXE_storefs")).args(["mount", "--foreground"]);
        command.arg(storage.path()).arg(dir.path().join("mnt"));
        let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut mount = Self { dir, daemon };
        wait_until("the storage is mounted", || {
            let ended = mount.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended with {ended:?}: {}", mount.log());
            let mut look = mount.caller();
            let looked = look.arg("cat").arg(mount.path().join("@status")).output().unwrap();
            looked.status.success()
        });
        mount
    }

    /// A command that runs another outside of the daemon's process namespace, where its mount is seen.
    fn caller(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.daemon.id()));
        command
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for DaemonInside {
    fn drop(&mut self) {
        let mut unmount = self.caller();
        // Not by storefs, for which the `/proc` there is of another namespace.
        unmount.arg("umount").arg(self.path());
        let unmounted = unmount.output().unwrap();
        if !unmounted.status.success() {
            let _ = self.daemon.kill();
        }
        let ended = self.daemon.wait().unwrap();
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
        } else {
            assert!(ended.success(), "{ended}, {unmounted:?}: {}", self.log());
        }
    }
}

#[test]
fn p22_callers_outside_of_the_daemon_s_process_namespace_keep_every_promise() {
    if !can_mount() || !can_unshare() {
        return;
    }
    let storage = storage();
    let mount = DaemonInside::new(&storage);
    let store = mount.path().join("key_value_stores/default");
    work(mount.caller(), &storage, &store);
}

#[test]
fn p22_callers_in_a_process_namespace_of_their_own_keep_every_promise() {
    if !can_mount() || !can_unshare() {
        return;
    }
    let storage = storage();
    let mount = TempMount::new(&storage);
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--kill-child"]);
    work(inside, &storage, &mount.store("default"));
}
