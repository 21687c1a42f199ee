//! Many kills at random moments, under readers, writers, purges and shells.
//!
//! How many: the variable `STOREFS_KILLS`, or 40. What is checked: no call hangs, the mount is never dead, what a close or fsync has
//! acknowledged is there, and nothing that is read is torn. A call may fail with EIO, ESTALE or EINTR, and then has promised nothing.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::common::stranger::stranger;
use crate::common::{DEADLINE, can_mount, is_mounted};
use crate::{lives, process, seeded, supervised};

/// A value that tells by itself whether it is whole.
fn value(writer: usize, number: u64) -> String {
    let length = usize::try_from(number * 7919 % 40_000).unwrap();
    format!("{writer} {number} {}.", "x".repeat(length))
}

/// The number of a value, if it is whole; panics if it is torn.
#[track_caller]
fn number_of(writer: usize, text: &str) -> u64 {
    let number = text.split(' ').nth(1).and_then(|number| number.parse().ok());
    let number = number.unwrap_or_else(|| panic!("torn: {text:?} of writer {writer}"));
    assert!(text == value(writer, number), "torn: {:?} of {} bytes", text.get(..40), text.len());
    number
}

/// A shell that walks about, and leaves if its directory is no directory any more.
const SHELL: &str = r#"
while [ ! -e "$STOP" ]; do
    cd .. && cd default && cat kept.json && ls || [ -d . ] || exit 7
done > /dev/null
"#;

/// Reads what others write, and ends if any of it is torn.
const READER: &str = r#"
count=0
while [ ! -e "$1/stop" ]; do
    value=$(cat "$1/written") || continue
    number=${value#0 }; number=${number%% *}
    [ ${#value} = $((4 + ${#number} + number * 7919 % 40000)) ] || { echo "torn: $value"; break; }
    count=$((count + 1))
done
echo $count
"#;

/// Whether a failure is one that a kill explains.
fn is_expected(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::ESTALE | libc::EINTR | libc::EEXIST))
}

/// Writes a record, and gives back whether its close was acknowledged.
fn publish(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    // SAFETY: the descriptor is owned by nobody else.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn p04_no_kill_leaves_a_dead_mount_or_loses_what_was_acknowledged() {
    if !can_mount() {
        return;
    }
    let kills: u64 =
        std::env::var("STOREFS_KILLS").map_or(40, |kills| kills.parse().expect("a number"));
    let storage = seeded();
    for store in ["written", "purged"] {
        fs::create_dir(storage.store(store)).unwrap();
    }
    fs::write(storage.store("purged").join("INPUT.json"), "{}").unwrap();
    for writer in 0..2 {
        // There from the beginning: a new record is seen as it grows.
        fs::write(storage.store("written").join(format!("w{writer}")), value(writer, 0)).unwrap();
    }
    let mount = supervised(&storage, &["--most-restarts", "1000000"]);
    let (written, purged) = (mount.store("written"), mount.store("purged"));
    let (done, failed, published) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut opened = 0;
    let is_over = || done.load(Ordering::Relaxed);
    let note = |error: std::io::Error| {
        assert!(is_expected(&error), "{error:?}");
        failed.fetch_add(1, Ordering::Relaxed);
    };
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        for writer in 0..2 {
            let (written, published, note, is_over) = (&written, &published, &note, &is_over);
            scope.spawn(move || {
                let path = written.join(format!("w{writer}"));
                let mut last = 0;
                for number in 1.. {
                    if is_over() {
                        break;
                    }
                    match publish(&path, &value(writer, number)) {
                        Ok(()) => {
                            last = number;
                            published.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => note(error),
                    }
                    match read(&path) {
                        // What failed may have been published all the same; what was acknowledged is there.
                        Ok(text) => {
                            let found = number_of(writer, &text);
                            assert!(found >= last && found <= number, "{found} after {last}");
                        }
                        Err(error) => note(error),
                    }
                }
            });
        }
        scope.spawn(move || {
            for number in 0_u64.. {
                if is_over() {
                    break;
                }
                for record in 0..5 {
                    publish(&purged.join(format!("r{record}")), &number.to_string())
                        .unwrap_or_else(note);
                }
                match fs::write(purged.join("@purge"), "1") {
                    Ok(()) => {
                        let left = fs::read_dir(&purged)
                            .and_then(|names| names.collect::<std::io::Result<Vec<_>>>());
                        match left {
                            Ok(left) => {
                                let left: Vec<_> =
                                    left.iter().map(fs::DirEntry::file_name).collect();
                                assert!(
                                    !left
                                        .iter()
                                        .any(|name| name.to_string_lossy().starts_with('r')),
                                    "{left:?}"
                                );
                                assert!(left.iter().any(|name| name == "INPUT.json"), "{left:?}");
                            }
                            Err(error) => note(error),
                        }
                    }
                    Err(error) => note(error),
                }
            }
        });
        let stop = storage.beside().join("stop");
        let run = |script: &str| {
            Command::new("bash")
                .args(["-c", script])
                .env("STOP", &stop)
                .current_dir(mount.store("default"))
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut shell = run(SHELL);
        std::os::unix::fs::symlink(written.join("w0"), storage.beside().join("written")).unwrap();
        // A process that writes, and who it has started, sees its own drafts.
        let reader = scope.spawn(|| stranger(READER, storage.beside()));
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for kill in 0..kills {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            thread::sleep(Duration::from_micros(random % 60_000));
            let begun = Instant::now();
            let status = loop {
                assert!(begun.elapsed() < DEADLINE, "dead after {kill} kills: {}", mount.log());
                match fs::read(mount.path().join("@status")) {
                    Ok(status) => break status,
                    Err(error) => assert!(is_expected(&error), "{error:?}: {}", mount.log()),
                }
            };
            slowest = slowest.max(begun.elapsed());
            let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
            let worker = process(&status["worker"]);
            let _ = kill_process(worker, Signal::KILL);
            while lives(worker) {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        fs::write(&stop, "").unwrap();
        let shell = shell.wait().unwrap();
        assert!(shell.success(), "the shell has left its directory: {shell}");
        let read = String::from_utf8(reader.join().unwrap()).unwrap();
        opened = read.trim().parse::<u64>().unwrap_or_else(|_| panic!("{read}"));
    });
    assert!(is_mounted(&mount.path()));
    let restarts = mount.status()["restarts"].as_u64().unwrap();
    assert_eq!(restarts, kills);
    let (failed, published) = (failed.into_inner(), published.into_inner());
    println!(
        "{kills} kills, {published} published, {opened} read, {failed} calls failed, slowest status {slowest:?}"
    );
    assert!(published > 0 && opened > 0);
    mount.unmount();
}
