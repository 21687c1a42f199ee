//! Where a mount's log goes, and what is in it.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use crate::common::{TempMount, can_mount, storefs, temp_dir, try_sh, wait_until};
use crate::namespace::Place;
use crate::storage_of;

#[test]
fn the_journal_is_told_how_bad_each_line_is() {
    if !can_mount() {
        return;
    }
    let (storage, place) = (storage_of(1), temp_dir());
    let (mut journal, stderr) = UnixStream::pair().unwrap();
    let stat = rustix::fs::fstat(&stderr).unwrap();
    let mut command = storefs();
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino));
    command.args(["mount", "--read-only"]).arg(storage.path()).arg(place.path());
    command.stderr(stderr.as_fd().try_clone_to_owned().unwrap());
    assert!(command.status().unwrap().success());
    drop((command, stderr));
    assert!(storefs().arg("unmount").arg(place.path()).status().unwrap().success());
    // Until the daemon has ended.
    let mut told = String::new();
    journal.read_to_string(&mut told).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("<6>mounted '"), "{told}");
    assert!(lines.last().unwrap().starts_with("<6>unmounted '"), "{told}");
}

#[test]
fn what_is_not_the_journal_is_not_taken_for_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(1);
    let mount = TempMount::configured(&storage.path(), |command| {
        command.env("JOURNAL_STREAM", "1:2");
    });
    wait_until("it is logged", || mount.log().contains("] mounted '"));
    assert!(mount.log().starts_with("[20"), "{}", mount.log());
}

#[test]
fn who_has_no_file_to_log_to_logs_to_the_system() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "HERE/storage  HERE/m2  storefs  defaults  0 0\n",
        r"mkdir own/dev; for name in null zero fuse urandom; do
              touch own/dev/$name; mount -n --bind /dev/$name own/dev/$name
          done
          ln -s /proc/self/fd own/dev/fd; mount -n --rbind own/dev /dev
          cat > listen.py <<'END'
import socket, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind('/dev/log')
while True:
    print(log.recv(65536).decode(), file=sys.stderr, flush=True)
END
          python3 listen.py 2> told & until [ -S /dev/log ]; do sleep 0.05; done
          # By whoever has no home, by mount(8), and where it is asked for.
          env -u HOME storefs mount storage m1; mount m2; storefs mount -o syslog,log_format=json storage m3
          storefs mount storage m4
          umount m1 m2 m3 m4
          until [ $(grep -c unmounted told) = 3 ]; do sleep 0.05; done
          for m in 1 2 3; do
              grep -cE '^<30>storefs.[0-9]+.:.*[^n]mounted .*/m'$m told
          done
          grep -o '^<30>storefs.[0-9]*.: {.time' told | head -1 | cut -d: -f2
          ls .local/state/storefs | grep -c m4
          ! grep -q m4 told",
    );
    assert_eq!(printed, "1\n1\n1\n {\"time\n1\n");
}

#[test]
fn a_line_of_json_says_what_failed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(3);
    let options = ["-v", "--log-format", "json", "--no-delete"];
    let mount = TempMount::with_options(&storage, &options);
    assert!(!try_sh("rm r1.txt", &mount.store("s")).status.success());
    let log = mount.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = lines.iter().find(|line| line["operation"] == "unlink").expect(&log);
    assert_eq!((&failed["store"], &failed["key"]), (&"s".into(), &"r1.txt".into()), "{log}");
    assert_eq!((&failed["errno"], &failed["level"]), (&libc::EPERM.into(), &"info".into()));
    assert!(failed["message"].as_str().unwrap().contains("--no-delete"), "{log}");
    assert!(lines.iter().all(|line| line["time"].as_str().unwrap().ends_with('Z')), "{log}");
}

#[test]
fn one_problem_is_one_line_however_many_records_have_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(250);
    let place = temp_dir();
    let log = place.path().join("log");
    let options = ["-v", "--no-delete", "--log-file", log.to_str().unwrap()];
    let mount = TempMount::with_options(&storage, &options);
    for _ in 0..2 {
        assert!(!try_sh("rm -r s", &mount.stores()).status.success());
    }
    let told = |what: &str| {
        let log = fs::read_to_string(&log).unwrap();
        log.lines().filter(|line| line.contains(what)).map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = told("unlink of ");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(".txt' in store 's': this mount deletes nothing"), "{lines:?}");
    assert!(lines[0].contains("(EPERM)"), "{lines:?}");
    // Another operation, another error, and another store are other problems.
    assert!(!try_sh("mkdir s/directory", &mount.stores()).status.success());
    assert_eq!(told("mkdir of 'directory' in store 's'").len(), 1);
    mount.unmount();
    wait_until("the rest is told", || told("unlink in store 's' has failed ").len() == 1);
    let rest = told("unlink in store 's' has failed ");
    assert!(rest[0].contains(" 499 times more (EPERM)"), "{rest:?}");
}
