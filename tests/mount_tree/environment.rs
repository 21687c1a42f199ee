//! What whoever starts a daemon may have set: limits, signals, umask, descriptors. None of it leaves a dead mount.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{
    METADATA, TempMount, TempStorage, can_mount, clean_environment, names, sh, storefs, wait_until,
};
use crate::faults::is_alive;
use crate::help::{close, errno, storage_of, write};

/// `storefs` started by a shell that has run a script before.
fn after(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{script}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_storefs")]);
    clean_environment(&mut command);
    command.stdin(Stdio::null());
    command
}

fn mount_after(script: &str, storage: &TempStorage) -> TempMount {
    TempMount::by(after(script), &storage.path(), |_| {})
}

/// Does what users do: reads, writes, many at once, renames, purges.
#[track_caller]
fn works(mount: &TempMount, storage: &TempStorage) {
    let store = mount.store("default");
    sh(
        "for n in $(seq 40); do (echo $n > r$n; echo more >> r$n; cat r$n > /dev/null; mv r$n s$n) & done; wait
         dd if=/dev/zero of=large bs=1M count=8 2> /dev/null; cmp -n 8388608 large /dev/zero; ls -l > /dev/null",
        &store,
    );
    assert_eq!(names(&store).len(), 43, "{}", mount.log());
    write(&store.join("@purge"), "1").unwrap();
    assert_eq!(names(&store), ["INPUT", METADATA].map(String::from).into());
    write(&store.join("k"), "x").unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "x");
    is_alive(mount);
}

#[test]
fn p7_a_limit_of_a_files_size_is_an_errno() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT"]);
    // A soft limit is raised; beyond a hard one no file can be.
    works(&mount_after("ulimit -Sf 16", &storage), &storage);
    let mount = mount_after("ulimit -f 64", &storage);
    let store = mount.store("default");
    let mut file = File::create(store.join("k")).unwrap();
    let refused = (0..).find_map(|_| file.write_all(&[b'x'; 8192]).err()).unwrap();
    assert_eq!(errno::<()>(Err(refused)), Errno::FBIG);
    assert_eq!(errno(close(file)), Errno::FBIG, "the handle has failed");
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "x");
    let file = File::options().write(true).open(store.join("k")).unwrap();
    assert_eq!(errno(file.set_len(1 << 20)), Errno::FBIG);
    assert_eq!(errno(file.write_all_at(b"x", 1 << 20)), Errno::FBIG);
    drop(file);
    write(&store.join("k"), "y").unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "y");
    is_alive(&mount);
}

#[test]
fn p7_a_command_under_a_limit_of_a_files_size_fails_with_a_line() {
    let storage = storage_of(&["k"]);
    let mut command = after(
        "ulimit -f 64; dd if=/dev/zero of=$DIR/value bs=1K count=63 2> /dev/null; printf %80000s > /dev/null",
    );
    command.env("DIR", storage.beside()).args(["set", "default", "k", "-", "--source"]);
    let mut child =
        command.arg(storage.path()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; 1 << 20]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("File too large"), "{output:?}");
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "k");
    assert_eq!(crate::common::staged(&storage.path()).len(), 0);
}

#[test]
fn p7_limits_that_shells_and_batch_systems_set_are_survived() {
    if !can_mount() {
        return;
    }
    for script in [
        "ulimit -c 0",
        "ulimit -d 300000",
        // Less than a mount takes. With less than the megabyte of data in its own file no system could start it.
        "ulimit -Sd 3000",
        "ulimit -Sv 100000",
        "ulimit -v 600000",
        "ulimit -Ss 256",
        "ulimit -s 1024",
        "ulimit -l 0",
        "ulimit -m 1000",
        "ulimit -i 0",
        "ulimit -q 0",
        "ulimit -x 0",
        "ulimit -e 0",
        "ulimit -r 0",
        "ulimit -Sn 16",
        "ulimit -t 3600",
        "renice -n 19 $$ > /dev/null",
        "ionice -c 3 -p $$",
        "echo 1000 > /proc/self/oom_score_adj",
        "umask 777",
        "umask 0",
        "export TMPDIR=/nowhere; unset HOME",
        "trap '' HUP INT TERM PIPE USR1 XFSZ",
        "cd /; exec 0<&-",
        "export -n PATH; unset PATH",
        "export LC_ALL=nonsense LANG=x TZ=Nowhere/At_all",
    ] {
        let storage = storage_of(&["INPUT"]);
        let mount = mount_after(script, &storage);
        eprintln!("after {script}");
        works(&mount, &storage);
        mount.unmount();
    }
}

#[test]
fn p7_less_memory_than_a_mount_takes_is_refused_at_once() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT"]);
    let mountpoint = storage.beside().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    for script in ["ulimit -v 500000", "ulimit -d 200000"] {
        let mut command = after(script);
        let output = command.arg("mount").arg(storage.path()).arg(&mountpoint).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("MiB of memory"), "{output:?}");
        assert!(!crate::common::is_mounted(&mountpoint));
    }
}

#[test]
fn p7_few_descriptors_are_an_errno() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT", "k"]);
    let mount = mount_after("ulimit -n 48", &storage);
    let store = mount.store("default");
    let mut held = Vec::new();
    let refused = loop {
        match File::options()
            .write(true)
            .truncate(true)
            .create(true)
            .open(store.join(format!("n{}", held.len())))
        {
            Ok(file) => held.push(file),
            Err(error) => break errno::<()>(Err(error)),
        }
        assert!(held.len() < 100, "as many as one likes are open");
    };
    assert!(matches!(refused, Errno::MFILE | Errno::NFILE), "{refused}");
    for mut file in held {
        file.write_all(b"x").unwrap();
        // What was open to be written can be published, or the writer is told.
        if let Err(error) = close(file) {
            assert!(matches!(errno::<()>(Err(error)), Errno::MFILE | Errno::NFILE));
        }
    }
    write(&store.join("k"), "y").unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "y");
    is_alive(&mount);
}

#[test]
fn p21_a_mount_ends_in_order_before_its_processor_time_is_used_up() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mut mount = mount_after("ulimit -t 7", &storage);
    assert!(mount.log().contains("ends after 2 seconds of processor time"), "{}", mount.log());
    let path = mount.store("default").join("k");
    let reader = std::thread::spawn(move || while fs::read(&path).is_ok() {});
    let ended = mount.wait_for_death();
    reader.join().unwrap();
    assert!(ended.success(), "{ended}: {}", mount.log());
    assert!(mount.log().contains("is used up"), "{}", mount.log());
    assert!(!crate::common::is_mounted(&mount.path()));
}

#[test]
fn p21_a_mount_that_was_started_with_signals_blocked_can_be_ended_by_them() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mut command = Command::new("python3");
    let script = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
os.execv(sys.argv[1], sys.argv[1:])";
    command.args(["-c", script, env!("CARGO_BIN_EXE_storefs")]);
    clean_environment(&mut command);
    let mut mount = TempMount::by(command, &storage.path(), |_| {});
    let pid = Pid::from_raw(i32::try_from(mount.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(mount.wait_for_death().success());
    assert!(!crate::common::is_mounted(&mount.path()));
}

#[test]
fn p21_nohup_keeps_a_mount() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT"]);
    let mount = mount_after("trap '' HUP", &storage);
    let pid = Pid::from_raw(i32::try_from(mount.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    // A signal that is obeyed comes after the one that is not.
    kill_process(pid, Signal::USR1).unwrap();
    wait_until("the status is in the log", || mount.log().contains("status: "));
    works(&mount, &storage);
}

/// A mount in the background; unmounted when dropped.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = storefs().args(["unmount", "--lazy"]).arg(&self.0).output().unwrap();
        assert!(std::thread::panicking() || unmounted.status.success(), "{unmounted:?}");
    }
}

/// What a process has open beside standard input, output and error.
fn open_files(pid: i32) -> Vec<String> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = listed.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.map(|target| target.to_string_lossy().into_owned()).collect()
}

/// Mounts in the background by a script, with `$STOREFS`, `$SOURCE` and `$MNT`, and gives back the daemon's process id.
#[track_caller]
fn mount_by(script: &str, storage: &TempStorage, mountpoint: &Path) -> i32 {
    let mut command = Command::new("timeout");
    command.args(["60", "bash", "-euc", script]).current_dir(storage.beside());
    clean_environment(&mut command);
    command.env("STOREFS", env!("CARGO_BIN_EXE_storefs")).env("MNT", mountpoint);
    command.env("SOURCE", storage.path()).env("XDG_STATE_HOME", storage.beside());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    let status = fs::read(mountpoint.join("@status")).unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    i32::try_from(status["pid"].as_i64().unwrap()).unwrap()
}

#[test]
fn the_daemon_keeps_nothing_of_the_shell_that_started_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mountpoint = storage.beside().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    // A lock ends with the command, and so does a pipe: `cat` would wait for the daemon.
    for script in [
        "flock lock $STOREFS mount $SOURCE $MNT; flock -n lock true",
        "exec 3> three 9< /dev/null; $STOREFS mount $SOURCE $MNT",
        "$STOREFS mount $SOURCE $MNT 7>&1 8>&2 | cat",
        "$STOREFS mount --log-file log $SOURCE $MNT 3> three; grep -q mounted log",
        "$STOREFS mount $SOURCE $MNT <&- >&- 2>&-",
        "mkdir -p in; cd in; $STOREFS mount $SOURCE $MNT; cd ..; rmdir in",
    ] {
        let mounted = Mounted(mountpoint.clone());
        let pid = mount_by(script, &storage, &mountpoint);
        let open = open_files(pid);
        let foreign = |file: &&String| {
            let is_here = file.starts_with(storage.beside().to_str().unwrap());
            let is_own =
                file.contains("/storage") || file.ends_with(".log") || file.ends_with("/log");
            is_here && !is_own
        };
        assert_eq!(open.iter().find(foreign), None, "{script}: {open:?}");
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
        assert_eq!(fs::read_to_string(mountpoint.join("key_value_stores/default/k")).unwrap(), "k");
        drop(mounted);
        wait_until("the daemon has ended", || !Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn records_are_as_the_caller_wants_them_whatever_the_daemon_was_told() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = mount_after("umask 777", &storage);
    sh("umask 022; echo x > new; mkdir ../made; echo y > ../made/new", &mount.store("default"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&storage.store("default").join("new")), 0o644);
    // Ours to read and write, at least.
    for path in ["default/new.__metadata__.json", "made/__metadata__.json"] {
        assert_eq!(
            mode(&storage.path().join("key_value_stores").join(path)) & 0o700,
            0o600,
            "{path}"
        );
    }
    assert_eq!(mode(&storage.store("made")) & 0o700, 0o700);
}

/// A group of processes that may have so many tasks, as systemd's `TasksMax=` makes them; removed when dropped.
struct FewTasks(std::path::PathBuf);

impl FewTasks {
    /// `None` where this machine makes none.
    fn new(most: usize) -> Option<Self> {
        let own = format!("storefs-test-{}-{most}", std::process::id());
        let group = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].iter().find_map(|parent| {
            let group = Self(Path::new(parent).join(&own));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join("pids.max"), most.to_string()).ok()?;
            Some(group)
        });
        if group.is_none() {
            eprintln!("SKIPPED: tasks cannot be limited here");
        }
        group
    }
}

impl Drop for FewTasks {
    fn drop(&mut self) {
        wait_until("the group is empty", || !self.0.exists() || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn p7_few_tasks_are_enough_or_refused() {
    if !can_mount() {
        return;
    }
    let (mut served, mut refused) = (0, 0);
    for most in [4, 6, 9, 11, 12, 13, 14, 16, 20, 24] {
        let storage = storage_of(&["INPUT"]);
        let Some(group) = FewTasks::new(most) else { return };
        let mountpoint = storage.beside().join("mnt");
        fs::create_dir_all(&mountpoint).unwrap();
        let mut command = after("echo $$ > $GROUP/cgroup.procs");
        command.env("GROUP", &group.0).env("XDG_STATE_HOME", storage.beside());
        let output = command.arg("mount").arg(storage.path()).arg(&mountpoint).output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("thread") || said.contains("fork"), "{most}: {output:?}");
            assert!(!crate::common::is_mounted(&mountpoint), "{most}");
            refused += 1;
            continue;
        }
        let mounted = Mounted(mountpoint.clone());
        let script = "for n in $(seq 40); do (echo $n > r$n; echo more >> r$n; cat r$n > /dev/null) & done; wait; ls | wc -l";
        let listed = sh(script, &mountpoint.join("key_value_stores/default"));
        assert_eq!(listed.trim(), "42", "{most}");
        drop(mounted);
        served += 1;
    }
    assert!(served > 1 && refused > 1, "{served} served, {refused} refused");
}
