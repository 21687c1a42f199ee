//! A storage with a million records; minutes of preparation, so only with `--large`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Context, GROUP, Group, Row, Unit, Values, count_entries, purge, seconds};
use crate::subjects::{Kind, Records, STORES, Subject, fill, fill_by_links};
use crate::sys::{self, Result, drop_caches, peak_memory, run_quiet};

const LIST: [Row; 3] = [
    seconds("ls-1m-first", "first name of a cold listing of {1000000} records"),
    seconds("ls-1m", "cold `ls -f` of {1000000} records"),
    Row {
        name: "ls-1m-memory",
        title: "most memory that the daemon held for it (VmHWM)",
        unit: Unit::Bytes,
    },
];
const PURGE: [Row; 1] = [seconds("purge-1m", "purge of {1000000} records")];
const MOUNT: [Row; 3] = [
    seconds("mount-1m", "cold mount of {10000} stores with {1000000} records: the command returns"),
    seconds("mount-1m-ls", "... the names of the stores are listed"),
    seconds("mount-1m-read", "... a first record is read"),
];

pub(super) const GROUPS: [Group; 3] = [
    Group {
        rows: &LIST,
        // Beside what keeps a sidecar for each record as storefs does.
        subjects: &[Kind::NativeSdk, Kind::Storefs],
        base: Kind::NativeSdk,
        max_rounds: 3,
        large: true,
        cold: true,
        prepare: prepare_million,
        run: list,
        ..GROUP
    },
    Group {
        rows: &MOUNT,
        subjects: &[Kind::Storefs],
        base: Kind::Storefs,
        max_rounds: 3,
        large: true,
        cold: true,
        prepare: prepare_mount,
        run: mount,
        finish: finish_mount,
    },
    // The last, on the store that was listed, so that nobody has to wait until a million files are removed; nor does
    // anybody remove as many one by one, which `purge-100k` tells of.
    Group {
        rows: &PURGE,
        subjects: &[Kind::Storefs],
        base: Kind::Storefs,
        max_rounds: 1,
        large: true,
        prepare: prepare_million,
        run: purge_million,
        ..GROUP
    },
];

const STORE: &str = "million";

fn prepare_million(context: &Context, subject: &Subject) -> Result<()> {
    if subject.backing(STORE).exists() {
        return Ok(());
    }
    subject.fill(STORE, &Records::new(context.scaled(1_000_000), 16))
}

fn list(_context: &Context, subject: &mut Subject) -> Result<Values> {
    let path = subject.store(STORE);
    subject.remount()?;
    drop_caches()?;
    let first = sys::seconds(|| {
        fs::read_dir(&path)?.next().ok_or("it is empty")??;
        Ok(())
    })?;
    subject.remount()?;
    drop_caches()?;
    let whole = sys::seconds(|| run_quiet(Command::new("ls").arg("-f").arg(&path), &[0]))?;
    let mut values = vec![("ls-1m-first", first), ("ls-1m", whole)];
    if let Some(pid) = subject.pid() {
        values.push(("ls-1m-memory", peak_memory(pid)?));
    }
    Ok(values)
}

fn purge_million(_context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("purge-1m", purge::purge(subject, STORE)?)])
}

fn wide(context: &Context) -> PathBuf {
    context.place.join("wide")
}

fn prepare_mount(context: &Context, _subject: &Subject) -> Result<()> {
    let wide = wide(context);
    let pattern = wide.join("pattern");
    fs::create_dir_all(wide.join("mnt"))?;
    fill(&pattern, &Records::new(100, 16), true)?;
    for number in 0..context.scaled(10_000) {
        let store = wide.join("storage").join(STORES).join(format!("store-{number:05}"));
        fill_by_links(&store, &pattern)?;
    }
    Ok(())
}

fn mount(context: &Context, _subject: &mut Subject) -> Result<Values> {
    let wide = wide(context);
    let mountpoint = wide.join("mnt");
    drop_caches()?;
    let start = Instant::now();
    // The command as a user gives it: it returns when the mount is usable.
    let mut command = Command::new(&context.storefs);
    command.arg("mount").arg("--log-file").arg(wide.join("log"));
    command.arg(wide.join("storage")).arg(&mountpoint);
    run_quiet(&mut command, &[0])?;
    let mounted = start.elapsed();
    let used = use_mount(context, &mountpoint, start);
    // Before that is judged, so that no failure leaves the mount.
    let mut unmount = Command::new(&context.storefs);
    unmount.arg("unmount").arg(&mountpoint).stderr(Stdio::inherit());
    run_quiet(&mut unmount, &[0])?;
    let (listed, read) = used?;
    Ok(vec![("mount-1m", mounted.as_secs_f64()), ("mount-1m-ls", listed), ("mount-1m-read", read)])
}

/// Seconds since the start, when all stores were listed, and when a record was read.
fn use_mount(context: &Context, mountpoint: &Path, start: Instant) -> Result<(f64, f64)> {
    let stores = mountpoint.join(STORES);
    let (found, made) = (count_entries(&stores)?, context.scaled(10_000));
    if found != made {
        return Err(format!("{found} of {made} stores are listed").into());
    }
    let listed = start.elapsed();
    fs::read(stores.join("store-00007").join("record-0000007"))?;
    Ok((listed.as_secs_f64(), start.elapsed().as_secs_f64()))
}

fn finish_mount(context: &Context, _subject: &Subject) -> Result<()> {
    Ok(fs::remove_dir_all(wide(context))?)
}
