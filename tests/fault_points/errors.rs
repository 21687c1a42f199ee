//! Every error at every step of every operation: the caller is told, and nothing is lost or left behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::Faulty;
use crate::common::{DEADLINE, METADATA, mime_type, tree};
use crate::help::{close, errno, write};

/// A full disk, a quota, a disk that turned read-only, a broken one, and a lack of descriptors.
const FAULTS: [Errno; 5] = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO, Errno::MFILE];

/// What a store may hold after an operation that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// What it held before, to the byte.
    Old,
    /// The same records, each whole; the new version may be one of them, since the step comes after its value has
    /// been moved into place.
    OldOrNew,
}

/// One step of one operation.
struct Row {
    step: &'static str,
    left: Left,
    /// The operation on a store in the mount, down to the call that is told of the error.
    act: fn(&Path) -> io::Result<()>,
}

const fn row(step: &'static str, act: fn(&Path) -> io::Result<()>) -> Row {
    Row { step, left: Left::Old, act }
}

const fn late(step: &'static str, act: fn(&Path) -> io::Result<()>) -> Row {
    Row { step, left: Left::OldOrNew, act }
}

fn create(store: &Path) -> io::Result<()> {
    write(&store.join("made"), "a new record")
}

fn append(store: &Path) -> io::Result<()> {
    let mut record = File::options().append(true).open(store.join("k"))?;
    record.write_all(b" and more")?;
    close(record)
}

fn lengthen(store: &Path) -> io::Result<()> {
    let record = File::options().write(true).open(store.join("k"))?;
    record.set_len(1_000)?;
    close(record)
}

fn replace(store: &Path) -> io::Result<()> {
    write(&store.join("k"), "a new version")
}

/// A handle whose fsync has failed stays failed; where it has not, closing it is no news.
fn replace_durably(store: &Path) -> io::Result<()> {
    let mut record = File::create(store.join("k"))?;
    record.write_all(b"a new version")?;
    if let Err(error) = record.sync_all() {
        let failure = Errno::from_io_error(&error).unwrap();
        assert_eq!(errno(record.sync_all()), failure, "the handle has failed");
        assert_eq!(errno(record.write_all(b"x")), failure, "the handle has failed");
        assert_eq!(errno(close(record)), failure, "the handle has failed");
        return Err(error);
    }
    close(record)
}

fn delete(store: &Path) -> io::Result<()> {
    fs::remove_file(store.join("k"))
}

fn rename(store: &Path) -> io::Result<()> {
    fs::rename(store.join("k"), store.join("moved"))
}

fn rename_over(store: &Path) -> io::Result<()> {
    fs::rename(store.join("k"), store.join("other"))
}

fn set_type(store: &Path) -> io::Result<()> {
    let value = b"text/x-set";
    Ok(rustix::fs::setxattr(store.join("k"), "user.mime_type", value, XattrFlags::empty())?)
}

fn purge(store: &Path) -> io::Result<()> {
    File::options().write(true).open(store.join("@purge"))?.write_all(b"1")
}

fn beside(store: &Path, end: &str) -> PathBuf {
    store.with_file_name(format!("{}-{end}", store.file_name().unwrap().to_str().unwrap()))
}

fn make_store(store: &Path) -> io::Result<()> {
    fs::create_dir(beside(store, "made"))
}

fn rename_store(store: &Path) -> io::Result<()> {
    fs::rename(store, beside(store, "moved"))
}

fn drop_store(store: &Path) -> io::Result<()> {
    // Only of a store without records, as any directory.
    for record in ["INPUT.json", "k", "other"] {
        let _ = fs::remove_file(store.join(record));
    }
    fs::remove_dir(store)
}

fn edit_metadata(store: &Path) -> io::Result<()> {
    let text = fs::read(store.join(METADATA))?;
    write(&store.join(METADATA), text)
}

const ROWS: [Row; 42] = [
    row("stage: create", create),
    row("stage: write", create),
    row("sidecar: create", create),
    row("sidecar: write", create),
    row("publish: move value", create),
    row("publish: move sidecar", create),
    row("stage: create", append),
    row("stage: copy", append),
    row("stage: write", append),
    row("publish: move value", append),
    late("publish: move sidecar", append),
    row("stage: create", replace),
    row("stage: truncate", lengthen),
    row("stage: write", replace),
    row("sidecar: create", replace),
    row("sidecar: write", replace),
    row("publish: move value", replace),
    late("publish: move sidecar", replace),
    row("publish: sync value", replace_durably),
    row("sidecar: write", replace_durably),
    row("sidecar: sync", replace_durably),
    row("publish: move value", replace_durably),
    late("publish: sync directory", replace_durably),
    row("note: link", delete),
    row("delete: remove sidecar", delete),
    row("delete: remove value", delete),
    row("sidecar: create", rename),
    row("note: link", rename),
    row("rename: move value", rename),
    row("rename: move sidecar", rename),
    row("sidecar: write", rename_over),
    row("rename: move value", rename_over),
    row("sidecar: create", set_type),
    row("set type: move sidecar", set_type),
    row("stage: make a directory", purge),
    row("metadata: create", purge),
    row("metadata: write", purge),
    row("metadata: move", purge),
    row("make store: move", make_store),
    row("rename store: move", rename_store),
    row("drop: move", drop_store),
    row("metadata: move", edit_metadata),
];

/// The files of a store, without its metadata: their times move on their own.
fn records(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(store);
    files.remove(Path::new(METADATA)).unwrap();
    files
}

/// Fails one step of an operation in a fresh store, and gives back the store's name.
#[track_caller]
fn fail(
    faulty: &Faulty,
    row: &Row,
    fault: Errno,
    names: &mut impl Iterator<Item = String>,
) -> String {
    let start = Instant::now();
    loop {
        let name = names.next().unwrap();
        faulty.make_store(&name);
        let before = records(&faulty.storage.store(&name));
        let what = format!("{fault:?} at '{}' in store '{name}'", row.step);
        if row.step == "drop: move" {
            // Its records go first, and that is not what is looked at here.
            let _ = (row.act)(&faulty.mount.store(&name));
            faulty.make_store(&name);
        }
        faulty.arm(row.step, &fault.raw_os_error().to_string());
        let outcome = (row.act)(&faulty.mount.store(&name));
        faulty.was_hit(&what);
        if outcome.is_ok() && row.step.starts_with("metadata: ") {
            // Whoever writes the stores' times once a second was faster.
            assert!(start.elapsed() < DEADLINE, "{what}: always met by somebody else");
            continue;
        }
        assert_eq!(errno(outcome), fault, "{what}");
        let after = records(&faulty.storage.store(&name));
        let mounted = faulty.mount.store(&name);
        match row.left {
            _ if row.step == "drop: move" => assert!(after.is_empty(), "{what}"),
            Left::Old => {
                assert_eq!(after, before, "{what}");
                assert_eq!(fs::read_to_string(mounted.join("k")).unwrap(), "old", "{what}");
                assert_eq!(mime_type(&mounted.join("k")), "text/plain", "{what}");
            }
            Left::OldOrNew => {
                assert!(after.keys().eq(before.keys()), "{what}: {after:?}");
                let value = fs::read_to_string(mounted.join("k")).unwrap();
                assert!(["old", "old and more", "a new version"].contains(&&*value), "{value}");
                assert_eq!(mime_type(&mounted.join("k")), "text/plain", "{what}");
            }
        }
        faulty.is_well(&what);
        return name;
    }
}

#[test]
fn p7_every_error_at_every_step_is_told_and_passes() {
    let Some(faulty) = Faulty::new() else { return };
    let mut names = (0..).map(|number| format!("s{number}"));
    for row in &ROWS {
        for fault in FAULTS {
            let name = fail(&faulty, row, fault, &mut names);
            let what = format!("'{}' after {fault:?} in store '{name}'", row.step);
            // The cause is gone, so the same call works.
            let again = (row.act)(&faulty.mount.store(&name));
            again.unwrap_or_else(|error| panic!("{what}: {error}"));
            faulty.is_well(&what);
            let left = faulty.storage.store(&name);
            for file in left.exists().then(|| tree(&left)).into_iter().flatten() {
                let file = file.0.to_str().unwrap().to_owned();
                let value = file.strip_suffix(METADATA).and_then(|name| name.strip_suffix('.'));
                let pair = value.map_or_else(|| format!("{file}.{METADATA}"), str::to_owned);
                assert!(file == METADATA || left.join(pair).is_file(), "{what}: '{file}' is alone");
            }
        }
    }
}
