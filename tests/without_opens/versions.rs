//! What a reader has opened stays what it was (P1), and is whole (P4).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{TempMount, TempStorage, storefs, wait_until, xattr};
use crate::{drop_caches, mounted, put, storage_of};

/// More than the kernel reads ahead at once, so that a reader has not all of it in advance.
const LARGE: usize = 3 * 1024 * 1024;

/// How often a reader of the hammered record reads it.
const READS: usize = 4000;

fn old_bytes() -> Vec<u8> {
    (0..LARGE).map(|at| (at / 4096 % 251) as u8).collect()
}

/// Opens two records, and reads of one of them; lets `change` happen and waits until `is_seen`; then reads both to
/// their ends, and once more with nothing of them in any cache.
fn readers_keep_their_version(
    change: impl FnOnce(&TempStorage),
    is_seen: impl Fn(&TempMount) -> bool,
) {
    let old = old_bytes();
    let storage = storage_of(&[("begun", &old), ("opened", &old)]);
    let Some(mount) = mounted(&storage) else { return };
    let mut begun = File::open(mount.store("default").join("begun")).unwrap();
    let opened = File::open(mount.store("default").join("opened")).unwrap();
    let mut first = [0; 4096];
    begun.read_exact(&mut first).unwrap();
    drop_caches(1);
    change(&storage);
    wait_until("the change is seen", || is_seen(&mount));
    for _ in 0..2 {
        for mut reader in [&begun, &opened] {
            let mut seen = Vec::new();
            reader.seek(SeekFrom::Start(0)).unwrap();
            reader.read_to_end(&mut seen).unwrap();
            assert!(seen == old, "{} bytes that are not those that were opened", seen.len());
            assert_eq!(reader.metadata().unwrap().size(), LARGE as u64);
        }
        drop_caches(3);
    }
}

fn reads(mount: &TempMount, name: &str, expected: &[u8]) -> bool {
    fs::read(mount.store("default").join(name)).is_ok_and(|bytes| bytes == expected)
}

fn are_gone(mount: &TempMount) -> bool {
    ["begun", "opened"].iter().all(|name| !mount.store("default").join(name).exists())
}

fn run(storage: &TempStorage, arguments: &[&str]) {
    let output = storefs().args(arguments).arg("--source").arg(storage.path()).output().unwrap();
    assert!(output.status.success(), "storefs {arguments:?}: {output:?}");
}

#[test]
fn p01_readers_keep_their_version_when_an_sdk_replaces_it() {
    readers_keep_their_version(
        |storage| ["begun", "opened"].iter().for_each(|name| put(storage, name, b"new", "a/b")),
        |mount| reads(mount, "begun", b"new") && reads(mount, "opened", b"new"),
    );
}

#[test]
fn p01_readers_keep_their_version_when_an_sdk_deletes_it() {
    readers_keep_their_version(
        |storage| {
            for name in ["begun", "opened"] {
                fs::remove_file(storage.store("default").join(name)).unwrap();
            }
        },
        are_gone,
    );
}

#[test]
fn p01_readers_keep_their_version_when_the_store_is_purged() {
    readers_keep_their_version(|storage| run(storage, &["purge", "default"]), are_gone);
}

#[test]
fn p01_readers_keep_their_version_when_the_store_is_dropped() {
    readers_keep_their_version(|storage| run(storage, &["drop", "default"]), are_gone);
}

#[test]
fn p01_readers_keep_their_version_when_the_store_is_renamed() {
    readers_keep_their_version(|storage| run(storage, &["rename", "default", "other"]), are_gone);
}

#[test]
fn p01_a_memory_map_keeps_its_version() {
    let old = old_bytes();
    let storage = storage_of(&[("r", &old)]);
    let Some(mount) = mounted(&storage) else { return };
    let compare = "import mmap, os, sys, time\n\
        name, old, new = sys.argv[1:4]\n\
        f = os.open(name, os.O_RDONLY)\n\
        m = mmap.mmap(f, 0, prot=mmap.PROT_READ)\n\
        os.close(f)\n\
        os.rename(new, old)\n\
        deadline = time.time() + 60\n\
        while open(name, 'rb').read() != b'new': assert time.time() < deadline\n\
        open('/proc/sys/vm/drop_caches', 'w').write('1')\n\
        assert bytes(m) == bytes(i // 4096 % 251 for i in range(len(m)))\n";
    let staged = storage.beside().join("staged");
    fs::write(&staged, "new").unwrap();
    let output = std::process::Command::new("python3")
        .args(["-c", compare])
        .arg(mount.store("default").join("r"))
        .arg(storage.store("default").join("r"))
        .arg(&staged)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn p01_p10_a_type_is_that_of_the_version() {
    let storage = storage_of(&[("r", b"some text")]);
    let Some(mount) = mounted(&storage) else { return };
    let record = mount.store("default").join("r");
    let reader = File::open(&record).unwrap();
    let type_of = |file: &File| {
        let mut buffer = vec![0; 100];
        let length = rustix::fs::fgetxattr(file, "user.mime_type", &mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(type_of(&reader), "text/plain; charset=utf-8");
    put(&storage, "r", b"{\"a\": [1, 2, 3]}", "application/json; charset=utf-8");
    wait_until("the new version is opened", || fs::read(&record).unwrap().starts_with(b"{"));
    assert_eq!(xattr(&record, "user.mime_type").unwrap(), "application/json; charset=utf-8");
    assert_eq!(type_of(&reader), "text/plain; charset=utf-8");
    assert_eq!(type_of(&File::open(&record).unwrap()), "application/json; charset=utf-8");
}

/// A value that tells whether it is whole.
fn value(lines: usize) -> Value {
    let lines: Vec<_> = (0..lines).map(|line| format!("line {line}")).collect();
    json!({"lines": lines, "count": lines.len()})
}

#[test]
fn p01_p04_json_of_two_sizes_is_never_torn() {
    let values = [value(3), value(2000)];
    let texts = values.each_ref().map(|value| value.to_string().into_bytes());
    let storage = storage_of(&[("state", &texts[0])]);
    let Some(mount) = mounted(&storage) else { return };
    let record = mount.store("default").join("state");
    let done = AtomicBool::new(false);
    let seen = [const { AtomicBool::new(false) }; 2];
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                texts.iter().for_each(|text| put(&storage, "state", text, "application/json"));
            }
        });
        let read = || {
            let mut count = 0;
            // Until both were seen, however slow the machine is.
            while count < READS || !seen.iter().all(|seen| seen.load(Ordering::SeqCst)) {
                let mut file = File::open(&record).unwrap();
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                let which = texts.iter().position(|text| *text == bytes);
                let which = which.unwrap_or_else(|| panic!("torn: {} bytes", bytes.len()));
                seen[which].store(true, Ordering::SeqCst);
                assert_eq!(file.metadata().unwrap().len(), bytes.len() as u64);
                count += 1;
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        let outcomes = readers.map(thread::ScopedJoinHandle::join);
        done.store(true, Ordering::SeqCst);
        for outcome in outcomes {
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// Crawlee JS 3 has no versions. Who had opened a record gets what the kernel has of it, or is told that it is gone.
#[test]
fn p04_a_record_that_is_rewritten_in_place_is_never_mixed() {
    let (old, new) = (vec![b'a'; LARGE], vec![b'b'; LARGE]);
    let storage = TempStorage::empty();
    fs::create_dir_all(storage.store("default")).unwrap();
    // Neither metadata nor sidecars: that SDK's layout.
    fs::write(storage.store("default").join("r"), &old).unwrap();
    let Some(mount) = mounted(&storage) else { return };
    let record = mount.store("default").join("r");
    let reader = File::open(&record).unwrap();
    let mut first = [0; 4096];
    reader.read_exact_at(&mut first, 0).unwrap();
    rewrite(&storage.store("default").join("r"), &new);
    drop_caches(1);
    for at in (0..LARGE).step_by(4096) {
        match reader.read_exact_at(&mut first, at as u64) {
            Ok(()) => assert!(first.iter().all(|byte| *byte == b'a'), "at {at}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::STALE.raw_os_error())),
        }
    }
    wait_until("the new bytes are opened", || fs::read(&record).is_ok_and(|bytes| bytes == new));
}

#[test]
fn p01_readers_survive_a_touch_through_another_mount() {
    let bytes = vec![b'a'; LARGE];
    let storage = storage_of(&[("r", &bytes)]);
    let Some(mount) = mounted(&storage) else { return };
    let writable = TempMount::new(&storage);
    let readers = [(); 5].map(|()| File::open(mount.store("default").join("r")).unwrap());
    for (at, reader) in readers.iter().enumerate() {
        let mut read = vec![0; LARGE / 2];
        reader.read_exact_at(&mut read, 0).unwrap();
        let touched = writable.store("default").join("r");
        assert!(Command::new("touch").arg(&touched).status().unwrap().success());
        drop_caches(1);
        reader.read_exact_at(&mut read, (LARGE / 2) as u64).unwrap();
        assert!(read.iter().all(|byte| *byte == b'a'), "reader {at}");
    }
}

/// Overwrites a file where it is.
fn rewrite(path: &Path, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, 0).unwrap();
}
