//! Emptying a store, for stores of very different sizes.

use std::fs;

use super::{Context, GROUP, Group, Row, Values, fresh, seconds};
use crate::subjects::{Kind, METADATA, Records, Subject, store_metadata};
use crate::sys::{self, Dir, Result, c, wait_until};

const SMALL: [Row; 2] =
    [seconds("purge-10", "purge of 10 records"), seconds("purge-1k", "purge of 1,000 records")];
const MANY: [Row; 1] = [seconds("purge-100k", "purge of 100,000 records")];
const HUGE: [Row; 1] = [seconds("purge-1m", "purge of 1,000,000 records")];

const SUBJECTS: [Kind; 6] = [
    Kind::Native,
    Kind::NativeSdk,
    Kind::Storefs,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

pub(super) const GROUPS: [Group; 3] = [
    Group { rows: &SMALL, subjects: &SUBJECTS, run: small, ..GROUP },
    Group { rows: &MANY, subjects: &SUBJECTS, run: many, max_rounds: 3, ..GROUP },
    Group {
        rows: &HUGE,
        subjects: &[Kind::NativeSdk, Kind::Storefs],
        run: huge,
        base: Kind::NativeSdk,
        max_rounds: 1,
        large: true,
        ..GROUP
    },
];

fn small(_context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("purge-10", purge(subject, 10)?), ("purge-1k", purge(subject, 1_000)?)])
}

fn many(context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("purge-100k", purge(subject, context.scaled(100_000))?)])
}

fn huge(context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("purge-1m", purge(subject, context.scaled(1_000_000))?)])
}

fn purge(subject: &Subject, count: usize) -> Result<f64> {
    let store = fresh("purged");
    subject.fill(&store, &Records::new(count, 64))?;
    let path = subject.store(&store);
    // Looked at once, as by whoever is about to purge it.
    fs::metadata(&path)?;
    let taken = sys::seconds(|| {
        if subject.kind.is_storefs() {
            // By the bare system calls, as `echo 1 > @purge` makes them.
            return Dir::open(&path)?.write(&c("@purge"), b"1\n");
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_name() != METADATA {
                fs::remove_file(entry.path())?;
            }
        }
        if subject.kind == Kind::NativeSdk {
            let text = store_metadata(&store);
            Dir::open(&path)?.replace(&c(METADATA), &c(".metadata.tmp"), text.as_bytes())?;
        }
        Ok(())
    })?;
    let left = fs::read_dir(subject.backing(&store))?.count();
    if left > 1 {
        return Err(format!("the purge left {left} files").into());
    }
    subject.remove(&store)?;
    wait_for_reaper(subject)?;
    Ok(taken)
}

/// Waits until what a purge has put aside is removed, so that the next subject is not measured meanwhile.
fn wait_for_reaper(subject: &Subject) -> Result<()> {
    if !subject.kind.is_storefs() {
        return Ok(());
    }
    let staging = subject.source().join(".storefs");
    wait_until("the purged records are removed", || {
        let Ok(processes) = fs::read_dir(&staging) else { return Ok(true) };
        for process in processes.flatten() {
            // One that vanishes meanwhile is empty too.
            if fs::read_dir(process.path()).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir()))
            }) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}
