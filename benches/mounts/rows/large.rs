//! A storage with a million records; minutes of preparation, so only with `--large`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Context, Group, Row, Unit, Values, seconds};
use crate::subjects::{Kind, Records, STORES, Subject};
use crate::sys::{self, Result, anonymous_memory, drop_caches, run_quiet};

const LIST: [Row; 3] = [
    seconds("ls-1m-first", "cold listing of 1,000,000 records: first entry"),
    seconds("ls-1m", "... `ls -f` as a whole"),
    Row { name: "ls-1m-memory", title: "... memory that the daemon takes", unit: Unit::Bytes },
];
const MOUNT: [Row; 1] =
    [seconds("mount-1m", "mount of 10,000 stores with 1,000,000 records until usable")];

pub(super) const GROUPS: [Group; 2] = [
    Group {
        rows: &LIST,
        subjects: &[Kind::NativeSdk, Kind::Storefs],
        base: Kind::NativeSdk,
        max_rounds: 3,
        large: true,
        cold: true,
        prepare: prepare_list,
        run: list,
        finish: |_, subject| subject.remove(STORE),
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
];

const STORE: &str = "million";

fn prepare_list(context: &Context, subject: &Subject) -> Result<()> {
    subject.fill(STORE, &Records::new(context.scaled(1_000_000), 16))
}

fn list(_context: &Context, subject: &mut Subject) -> Result<Values> {
    subject.remount()?;
    let path = subject.store(STORE);
    drop_caches()?;
    let first = sys::seconds(|| {
        fs::read_dir(&path)?.next().ok_or("it is empty")??;
        Ok(())
    })?;
    subject.remount()?;
    drop_caches()?;
    let before = subject.pid().map(anonymous_memory).transpose()?;
    let whole = sys::seconds(|| run_quiet(Command::new("ls").arg("-f").arg(&path), &[0]))?;
    let mut values = vec![("ls-1m-first", first), ("ls-1m", whole)];
    if let (Some(before), Some(pid)) = (before, subject.pid()) {
        values.push(("ls-1m-memory", anonymous_memory(pid)? - before));
    }
    Ok(values)
}

fn wide(context: &Context) -> std::path::PathBuf {
    context.place.join("wide")
}

fn prepare_mount(context: &Context, _subject: &Subject) -> Result<()> {
    let wide = wide(context);
    fs::create_dir_all(wide.join("mnt"))?;
    let records = Records::new(100, 16);
    for number in 0..context.scaled(10_000) {
        let store = wide.join("storage").join(STORES).join(format!("store-{number:05}"));
        crate::subjects::fill(&store, &records, true)?;
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
    let value = fs::read(mountpoint.join(STORES).join("store-00007").join("record-0000007"));
    let taken = start.elapsed();
    // Before the value is judged, so that no failure leaves the mount.
    let mut unmount = Command::new(&context.storefs);
    unmount.arg("unmount").arg(&mountpoint).stderr(Stdio::inherit());
    run_quiet(&mut unmount, &[0])?;
    value?;
    Ok(vec![("mount-1m", taken.as_secs_f64())])
}

fn finish_mount(context: &Context, _subject: &Subject) -> Result<()> {
    Ok(fs::remove_dir_all(wide(context))?)
}
