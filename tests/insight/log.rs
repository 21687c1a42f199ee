//! `@log`: a line for each request, for programs that read it as it grows.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{TempMount, can_mount, names, sh, storefs, try_sh, wait_until};
use crate::help::{database, directory, text};

/// A program that reads the log into a file. Killed if a test fails.
struct Reader {
    child: Child,
    into: tempfile::NamedTempFile,
}

impl Reader {
    fn new(mount: &TempMount, program: &[&str]) -> Self {
        let readers = mount.status()["log"]["readers"].as_u64().unwrap();
        let into = tempfile::Builder::new().prefix("storefs-test-").tempfile().unwrap();
        let out = into.reopen().unwrap();
        // The last word says how the program takes a file.
        let (last, words) = program.split_last().unwrap();
        let command = format!("exec {} {last}{}/@log", words.join(" "), text(mount));
        let child = Command::new("bash")
            .args(["-c", &command])
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = Self { child, into };
        wait_until("it reads", || mount.status()["log"]["readers"] == readers + 1);
        reader
    }

    fn text(&self) -> String {
        fs::read_to_string(self.into.path()).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, what: &str) {
        wait_until(what, || self.text().contains(what));
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// What it says on standard error by its end.
    fn end(mut self) -> String {
        wait_until("the reader ends", || self.child.try_wait().unwrap().is_some());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Not waited for: if the daemon does not answer it, it ends with the mount alone.
        let _ = self.child.kill();
    }
}

/// The lines of a text that are about something, each as its columns.
fn lines<'a>(text: &'a str, operation: &str, name: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(|columns| columns[3] == operation && columns[4] == name).collect()
}

#[test]
fn a_line_tells_who_did_what_and_how_it_ended() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let reader = Reader::new(&mount, &["cat", ""]);
    let own = sh("echo $$; echo x > a; exec mv -T a 'b c'", &mount.store("default"));
    try_sh("cat missing", &mount.store("default"));
    reader.wait_for("missing ENOENT");
    let log = reader.text();
    assert!(log.starts_with("# time uid pid operation name result seconds\n"), "{log}");
    let uid = format!("uid={}", rustix::process::getuid().as_raw());
    let pid = format!("pid={}", own.trim());
    let created = &lines(&log, "create", "key_value_stores/default/a")[0];
    assert_eq!((created[1], created[2], created[5]), (uid.as_str(), pid.as_str(), "OK"), "{log}");
    assert!(created[0].parse::<storefs::jiff::Timestamp>().is_ok(), "{log}");
    assert!(created[6].parse::<f64>().unwrap() > 0.0, "{log}");
    let moved = "key_value_stores/default/a=>key_value_stores/default/b\\x20c";
    assert_eq!(lines(&log, "rename", moved).len(), 1, "{log}");
    assert_eq!(lines(&log, "write", "key_value_stores/default/a").len(), 1, "{log}");
    assert!(log.lines().all(|line| line.starts_with('#') || line.split(' ').count() == 7), "{log}");
    // What reads the log is not told in it.
    assert!(lines(&log, "read", "@log").is_empty(), "{log}");
}

#[test]
fn names_do_not_command_a_terminal() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let reader = Reader::new(&mount, &["cat", ""]);
    fs::write(mount.store("default").join("\u{1b}[2J\nnew line\\"), "x").unwrap();
    reader.wait_for("default/\\x1b[2J\\x0anew\\x20line\\x5c OK");
    assert!(!reader.text().contains('\u{1b}'));
}

#[test]
fn nobody_finds_it_who_does_not_know_it() {
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["--show-sidecars"]] {
        let (_storage, mount) = directory(options);
        assert!(!names(&mount.path()).contains("@log"));
        let log = fs::metadata(mount.path().join("@log")).unwrap();
        assert_eq!((log.is_file(), log.mode() & 0o777), (true, 0o400));
        let refused = try_sh("echo x > @log || rm -f @log || mv @log x", &mount.path());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(said.matches("Operation not permitted").count(), 3, "{said}");
        // No record has the name, but where the storage is shown as it is.
        assert!(
            !options.is_empty()
                || try_sh("echo x > @log", &mount.store("default")).status.code() != Some(0)
        );
    }
}

#[test]
fn several_read_at_once_and_each_gets_each_line() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let readers = [
        &["cat", ""][..],
        &["tail", "-n", "1000", "-f", ""],
        &["dd", "bs=70", "status=none", "if="],
    ];
    let readers = readers.map(|it| Reader::new(&mount, it));
    for number in 0..200 {
        fs::write(mount.store("default").join(format!("r{number}")), "x").unwrap();
    }
    for reader in &readers {
        reader.wait_for("create key_value_stores/default/r199");
        let log = reader.text();
        for number in 0..200 {
            let name = format!("key_value_stores/default/r{number}");
            assert_eq!(lines(&log, "create", &name).len(), 1, "{name}");
        }
    }
    drop(readers);
    wait_until("nobody reads", || mount.status()["log"]["readers"] == 0);
    let written = mount.status()["log"]["lines"].clone();
    sh("ls -l", &mount.store("default"));
    assert_eq!(mount.status()["log"]["lines"], written, "no line is made for nobody");
}

#[test]
fn tail_shows_the_last_lines_and_follows() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let all = Reader::new(&mount, &["cat", ""]);
    for number in 0..50 {
        fs::write(mount.store("default").join(format!("r{number}")), "x").unwrap();
    }
    all.wait_for("release key_value_stores/default/r49");
    let tail = Reader::new(&mount, &["tail", "-n", "3", "-f", ""]);
    fs::write(mount.store("default").join("later"), "x").unwrap();
    tail.wait_for("create key_value_stores/default/later");
    let log = tail.text();
    assert!(!log.contains("create key_value_stores/default/r49 "), "{log}");
}

#[test]
fn who_reads_too_slowly_is_told_how_many_lines_he_has_lost() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let slow = File::open(mount.path().join("@log")).unwrap();
    let before = mount.status()["log"]["lines"].as_u64().unwrap();
    let store = mount.store("default");
    // Some hundred bytes for each.
    for number in 0..15_000 {
        let _ = fs::metadata(store.join(format!("missing{number}")));
    }
    let mut log = vec![0; 4 * 1024 * 1024];
    let count = slow.read_at(&mut log, 0).unwrap();
    let log = String::from_utf8(log[..count].to_vec()).unwrap();
    let first = log.lines().next().unwrap();
    let lost = first
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_suffix(" lines are lost: they were not read in time"));
    let lost: u64 = lost.unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    let status = mount.status();
    assert_eq!(status["log"]["lost"], lost);
    // With the heading; what was written since is by the looks at the status.
    let read = log.lines().count() as u64 - 1;
    let written = status["log"]["lines"].as_u64().unwrap();
    assert!(
        (lost + read..lost + read + 20).contains(&(written - before + 1)),
        "{lost} {read} {written} {before}"
    );
    assert!(log.contains("missing14999"));
}

#[test]
fn ctrl_c_ends_who_waits_for_lines() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    for program in [&["cat", ""][..], &["tail", "-f", ""], &["tail", "-n", "+1", "-f", ""]] {
        let reader = Reader::new(&mount, program);
        thread::sleep(std::time::Duration::from_millis(300));
        reader.signal(Signal::INT);
        assert_eq!(reader.end(), "", "{program:?}");
    }
}

#[test]
fn readers_end_with_the_mount_and_do_not_keep_it() {
    if !can_mount() {
        return;
    }
    let unmount: [fn(&TempMount); 3] = [
        |mount| {
            let output = storefs().arg("unmount").arg(mount.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        },
        |mount| drop(sh(&format!("kill -TERM {}", mount.pid()), Path::new("/"))),
        |mount| {
            drop(sh(&format!("umount -l {0} || fusermount3 -uz {0}", text(mount)), Path::new("/")))
        },
    ];
    for (at, unmount) in unmount.into_iter().enumerate() {
        for options in [&[][..], &["--read-only", "--ttl", "0"]] {
            let (_storage, mut mount) = directory(options);
            let readers = [&["cat", ""][..], &["tail", "-f", ""]].map(|it| Reader::new(&mount, it));
            unmount(&mount);
            for reader in readers {
                // `tail` ends by an error alone.
                let said = reader.end();
                assert!(said.is_empty() || said.contains("no files remaining"), "{at}: {said}");
            }
            assert!(mount.wait_for_death().success(), "{at}");
        }
    }
}

#[test]
fn who_uses_the_mount_otherwise_keeps_it() {
    if !can_mount() {
        return;
    }
    let (_storage, mount) = directory(&[]);
    let reader = Reader::new(&mount, &["cat", ""]);
    let held = File::open(mount.store("default")).unwrap();
    let output = storefs().arg("unmount").arg(mount.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in use by"));
    assert_eq!(mount.status()["pid"], mount.pid());
    drop((held, reader));
}

#[test]
fn a_database_tells_its_requests_too() {
    if !can_mount() {
        return;
    }
    let (_dir, mount) = database();
    let reader = Reader::new(&mount, &["cat", ""]);
    sh("echo x > a; cat a", &mount.store("default"));
    reader.wait_for("read key_value_stores/default/a OK");
}
