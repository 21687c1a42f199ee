//! What names a storage, in each place where one can be named, and what becomes of what names none. Passwords are looked for
//! in all that the program says and in what the system shows of it.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{TempMount, TempStorage, can_mount, is_mounted, storefs, temp_dir, wait_until};
use tempfile::TempDir;

/// No output may hold it.
const PASSWORD: &str = "hunter2";

/// What the environment may name a source by.
const VARIABLES: [&str; 2] = ["APIFY_LOCAL_STORAGE_DIR", "CRAWLEE_STORAGE_DIR"];

fn run(command: &mut Command) -> Output {
    let begin = Instant::now();
    let output = command.output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30), "{command:?}");
    output
}

/// The one line that a run had to say that failed with this exit status and printed nothing.
#[track_caller]
fn refusal(output: &Output, status: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("storefs: ") && !said.contains(PASSWORD), "{said}");
    said
}

/// A directory to be in, with a mountpoint `mnt` and nothing else.
fn place() -> TempDir {
    let dir = temp_dir();
    fs::create_dir(dir.path().join("mnt")).unwrap();
    dir
}

/// What is in a place beside its mountpoint.
fn left_in(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.ends_with("mnt")).collect()
}

fn storefs_in(place: &Path) -> Command {
    let mut command = storefs();
    command.current_dir(place).env("XDG_STATE_HOME", place.join("mnt/no-log"));
    command
}

/// What is said of a bucket with keys in it.
const BUCKET: &str = if cfg!(feature = "s3") {
    "'s3:' has more than a name before its prefix"
} else {
    "'s3:' is a bucket, and this program was built without the feature 's3'"
};

/// Each source that can be none, with what is said of it wherever it is named.
const REFUSED: [(&str, &str); 21] = [
    ("sqlite:///absent.db", "'sqlite:///absent.db' does not exist"),
    ("sqlite+aiosqlite:///storage/absent.db", "'sqlite:///storage/absent.db' does not exist"),
    ("absent.db", "'absent.db' does not exist, and no database is made"),
    ("absent.sqlite", "'absent.sqlite' does not exist, and no database is made"),
    ("sqlite://", "in memory"),
    ("sqlite:///:memory:", "in memory"),
    ("sqlite://absent.db", "sqlite:///FILE"),
    ("sqlite:///a.db?vfs=memdb", "has a parameter"),
    ("sqlite+pysqlcipher://:hunter2@/a.db", "driver that is not known; known are sqlite+aiosqlite"),
    ("mysql+pymysql://u:hunter2@h/d", "'mysql:' is a MySQL or MariaDB database"),
    ("mariadb://u:hunter2@h/d", "'mariadb:' is a MySQL or MariaDB database"),
    ("redis://:hunter2@h", "'redis:' is a Redis database, which is not built in"),
    ("s3://key:hunter2@bucket", BUCKET),
    ("apify:hunter2", "'apify:' is on the Apify platform, which is not built in"),
    (
        "https://u:hunter2@h/d",
        "'https:' has a scheme that is not known; there is a storage directory",
    ),
    ("URL=https://u:hunter2@h/d", "no scheme that can be read; there is a storage directory"),
    ("postgresql://u:hunter2@x@h/d", "postgresql:"),
    ("postgresql://u:hunter2", "postgresql:"),
    ("postgresql+pg8000://u:hunter2@h/d", "postgresql"),
    ("file://host/a", "file:///PATH"),
    ("postgres//u:hunter2@h/d", "'postgres:***'"),
];

#[test]
fn each_source_that_can_be_none_has_its_line() {
    let place = place();
    let in_place = || storefs_in(place.path());
    for (source, word) in REFUSED {
        let by_option = run(in_place().args(["stores", "--source", source]));
        let by_one_word = run(in_place().arg("info").arg(format!("--source={source}")));
        let mut outputs = vec![by_option, by_one_word];
        for variable in VARIABLES {
            outputs.push(run(in_place().args(["keys", "--json"]).env(variable, source)));
        }
        outputs.push(run(in_place().args(["mount", source, "mnt"])));
        outputs.push(run(in_place().args(["mount", "--foreground", "mnt", "--source", source])));
        for output in outputs {
            let said = refusal(&output, 1);
            assert!(said.contains(word), "{source}: {said}");
        }
    }
    assert_eq!(left_in(place.path()), Vec::<PathBuf>::new());
    // In the place of something else.
    for source in ["mysql://u:hunter2@h/d", "postgres//u:hunter2@h/d"] {
        refusal(&run(in_place().args(["mount", source])), 1);
        refusal(&run(in_place().args(["unmount", source])), 1);
        refusal(&run(in_place().args(["get", source, "k", "--source", "."])), 9);
    }
    let said =
        refusal(&run(in_place().args(["get", "default", "x://a/b?c=d", "--source", "."])), 3);
    assert!(!said.contains("***"), "{said}");
    assert!(!is_mounted(&place.path().join("mnt")));
    assert_eq!(fs::read_dir(place.path().join("mnt")).unwrap().count(), 0);
}

#[test]
fn no_verbosity_shows_a_password() {
    let place = place();
    for (source, _) in REFUSED {
        let output = run(storefs_in(place.path()).args(["-vvv", "stores", "--source", source]));
        assert!(!String::from_utf8_lossy(&output.stderr).contains(PASSWORD), "{output:?}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_repeats_no_password() {
    let place = place();
    let source = "postgresql://u:hunter2@h/d";
    let option = format!("--source={source}");
    let lines: [&[&str]; 7] = [
        &["mount", "sqlite:///a.db"],
        &[source, "mnt"],
        &["mount", "mnt", "more", source],
        &["keys", "default", source],
        &["stores", &option, source],
        &["mount", source, "mnt", "--no-such-option", source],
        &["mount", source, "mnt", &option],
    ];
    for line in lines {
        let output = run(storefs_in(place.path()).args(line));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains(PASSWORD) && !said.is_empty(), "{said}");
    }
}

#[test]
fn a_file_is_told_from_a_database_by_how_it_begins() {
    let place = place();
    let at = |name: &str| place.path().join(name);
    fs::write(at("text"), "no database").unwrap();
    fs::write(at("pages"), [b'x'; 1024]).unwrap();
    fs::write(at("empty.db"), "").unwrap();
    for file in ["text", "pages", "empty.db"] {
        for line in [&["stores", "--source", file][..], &["mount", file, "mnt"]] {
            let said = refusal(&run(storefs_in(place.path()).args(line)), 1);
            assert!(said.contains(&format!("{file}' is not a directory, nor an SQLite")), "{said}");
        }
    }
    fs::remove_file(at("text")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("text")).unwrap();
    let said = refusal(&run(storefs_in(place.path()).args(["stores", "--source", "text"])), 1);
    assert!(said.contains("not a directory, nor an SQLite database"), "{said}");
}

#[test]
fn what_only_the_daemon_finds_out_is_one_line_too() {
    let place = place();
    let mut page = b"SQLite format 3\0".to_vec();
    page.resize(4096, 0);
    fs::write(place.path().join("damaged.db"), page).unwrap();
    // Nobody listens at the first port.
    let unreachable = "postgresql://user:hunter2@127.0.0.1:1/db?connect_timeout=5";
    for (source, code) in [("damaged.db", 1), (unreachable, 6)] {
        let mut command = storefs_in(place.path());
        command.env("XDG_STATE_HOME", place.path().join("state"));
        refusal(&run(command.args(["mount", source, "mnt"])), 1);
        assert!(!is_mounted(&place.path().join("mnt")));
        refusal(&run(storefs_in(place.path()).args(["stores", "--source", source])), code);
    }
}

#[test]
fn the_files_of_a_database_cannot_be_shown() {
    let place = place();
    let mut page = b"SQLite format 3\0".to_vec();
    page.resize(4096, 0);
    fs::write(place.path().join("a.db"), page).unwrap();
    let mut command = storefs_in(place.path());
    let said = refusal(&run(command.args(["mount", "a.db", "mnt", "--show-sidecars"])), 1);
    assert!(said.contains("--show-sidecars"), "{said}");
}

#[test]
fn a_directory_with_a_database_instead_of_stores_is_no_empty_storage() {
    let place = place();
    let storage = place.path().join("storage");
    fs::create_dir(&storage).unwrap();
    fs::write(storage.join("crawlee.db"), "").unwrap();
    let hint = format!("give '{}' as the source", storage.join("crawlee.db").display());
    let lines: [&[&str]; 3] = [&["stores"], &["set", "default", "k"], &["mount", "mnt"]];
    for line in lines {
        let said = refusal(&run(storefs_in(place.path()).args(line)), 1);
        assert!(said.contains(&hint), "{said}");
    }
    assert_eq!(fs::read_dir(&storage).unwrap().count(), 1);
    fs::create_dir(storage.join("key_value_stores")).unwrap();
    let output = run(storefs_in(place.path()).arg("stores"));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_directory_is_named_by_path_or_url() {
    let storage = TempStorage::empty();
    let path = storage.path();
    let shown = path.display().to_string();
    for source in [shown.clone(), format!("file://{shown}"), format!("file:{shown}")] {
        let output = run(storefs().args(["info", "--json", "--source", &source]));
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(info["source"], shown.as_str());
    }
    if !can_mount() {
        return;
    }
    let mount = TempMount::new(&storage);
    let within = mount.path().join("key_value_stores");
    for source in [within.display().to_string(), format!("file://{}", within.display())] {
        let said = refusal(&run(storefs().args(["stores", "--source", &source])), 1);
        assert!(
            said.contains("is in a mount of storefs") && said.contains(&format!("'{shown}'")),
            "{said}"
        );
    }
}

#[test]
fn timeouts_and_caches_are_options_of_every_command() {
    let storage = TempStorage::empty();
    let with = |words: &[&str]| {
        run(storefs().args(["stores", "--source"]).arg(storage.path()).args(words)).status.code()
    };
    assert_eq!(with(&["--timeout", "0.5", "--cache-dir", "/nowhere"]), Some(0));
    for timeout in ["0", "-1", "x", "1e9", ""] {
        assert_eq!(with(&[&format!("--timeout={timeout}")]), Some(2), "{timeout}");
    }
    assert_eq!(with(&["--cache-size", "512M"]), Some(0));
    for size in ["-1", "x", "1.5G", ""] {
        assert_eq!(with(&[&format!("--cache-size={size}")]), Some(2), "{size}");
    }
    assert!(!Path::new("/nowhere").exists());
    let place = place();
    let words = ["mount", "absent.db", "mnt", "-o"];
    let output = run(storefs_in(place.path()).args(words).arg("timeout=0"));
    assert_eq!(output.status.code(), Some(2));
    refusal(
        &run(storefs_in(place.path()).args(words).arg("timeout=1,cache_dir=/c,cache_size=1G")),
        1,
    );
}

/// What everybody sees of a process.
fn command_line_of(pid: u32) -> (String, Vec<u8>) {
    let ps = Command::new("ps").args(["-ww", "-o", "args=", "-p"]).arg(pid.to_string()).output();
    let shown = String::from_utf8_lossy(&ps.unwrap().stdout).trim_end().to_owned();
    (shown, fs::read(format!("/proc/{pid}/cmdline")).unwrap())
}

fn holds(line: &[u8], text: &str) -> bool {
    line.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn no_command_shows_a_password_on_its_command_line() {
    let place = place();
    for source in ["postgresql+asyncpg://user:hunter2@host/db", "mysql://user:hunter2@host/db"] {
        for arguments in [&["--source", source][..], &[&format!("--source={source}")]] {
            // It cannot say what is wrong before this is read, and so is still there when it is looked at.
            let (reader, writer) = full_pipe();
            let mut command = storefs_in(place.path());
            command.arg("stores").args(arguments).arg("--json").stderr(writer);
            let mut child = command.spawn().unwrap();
            drop(command);
            let line = || command_line_of(child.id());
            wait_until("the password is hidden", || !holds(&line().1, PASSWORD));
            let (shown, line) = line();
            assert!(!shown.contains(PASSWORD) && !holds(&line, PASSWORD), "{shown}");
            assert!(shown.contains("stores") && shown.ends_with("--json"), "{shown}");
            assert!(shown.contains(&source[..5]), "{shown}");
            if cfg!(feature = "postgres") && source.starts_with("postgres") {
                assert!(shown.contains("postgresql://user@host/db"), "{shown}");
            }
            drop(reader);
            child.wait().unwrap();
        }
    }
}

/// A pipe that takes no more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// That a mount is there takes a storage that can be mounted; what is hidden does not depend on what it is. So here it is the
/// mountpoint that looks like a source with a password.
#[test]
fn a_daemon_shows_no_password_on_its_command_line() {
    if !can_mount() {
        return;
    }
    let (storage, place) = (TempStorage::empty(), place());
    let mountpoint = "user:hunter2@host";
    fs::create_dir(place.path().join(mountpoint)).unwrap();
    let mut command = storefs_in(place.path());
    command.arg("mount").arg(storage.path()).arg(mountpoint).arg("--read-only");
    let mounted = run(&mut command);
    assert!(mounted.status.success(), "{mounted:?}");
    let status = fs::read(place.path().join(mountpoint).join("@status")).unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let seen = command_line_of(status["pid"].as_u64().unwrap().try_into().unwrap());
    let unmounted = run(storefs_in(place.path()).args(["unmount", mountpoint]));
    assert!(unmounted.status.success(), "{unmounted:?}");
    let (shown, line) = seen;
    assert!(!holds(&line, PASSWORD) && !shown.contains(PASSWORD), "{shown}");
    assert!(
        shown.contains(storage.path().to_str().unwrap()) && shown.contains("user:***"),
        "{shown}"
    );
    assert!(shown.ends_with("--read-only"), "{shown}");
}
