//! Emptying a store, for stores of very different sizes.

use std::fs;

use super::{Context, GROUP, Group, Row, Values, fresh, seconds};
use crate::subjects::{Kind, METADATA, Records, Subject, store_metadata};
use crate::sys::{self, Dir, Result, c, wait_until};

const SMALL: [Row; 3] = [
    seconds("purge-10", "purge of 10 records"),
    seconds("purge-1k", "purge of 1,000 records"),
    seconds("purge-10k", "purge of {10000} records"),
];
const MANY: [Row; 1] = [seconds("purge-100k", "purge of {100000} records")];

const SUBJECTS: [Kind; 6] = [
    Kind::Native,
    Kind::NativeSdk,
    Kind::Storefs,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

pub(super) const GROUPS: [Group; 2] = [
    Group { rows: &SMALL, subjects: &SUBJECTS, run: small, ..GROUP },
    Group {
        rows: &MANY,
        // The peers would take ten times as long as for 10,000, and as all else in this row.
        subjects: &[Kind::Native, Kind::NativeSdk, Kind::Storefs],
        run: many,
        max_rounds: 2,
        ..GROUP
    },
];

fn small(context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![
        ("purge-10", fill_and_purge(subject, 10)?),
        ("purge-1k", fill_and_purge(subject, 1_000)?),
        ("purge-10k", fill_and_purge(subject, context.scaled(10_000))?),
    ])
}

fn many(context: &Context, subject: &mut Subject) -> Result<Values> {
    Ok(vec![("purge-100k", fill_and_purge(subject, context.scaled(100_000))?)])
}

fn fill_and_purge(subject: &Subject, count: usize) -> Result<f64> {
    let store = fresh("purged");
    subject.fill(&store, &Records::new(count, 64))?;
    // Else whoever has to be sure of the medium would wait for what was written before it.
    rustix::fs::sync();
    let taken = purge(subject, &store)?;
    wait_for_removal(subject)?;
    subject.remove(&store)?;
    Ok(taken)
}

/// Seconds until a store is empty for whoever looks. What was in it may still have to be removed.
pub(super) fn purge(subject: &Subject, store: &str) -> Result<f64> {
    let path = subject.store(store);
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
            let text = store_metadata(store);
            Dir::open(&path)?.replace(&c(METADATA), &c(".metadata.tmp"), text.as_bytes())?;
        }
        Ok(())
    })?;
    let (left, expected) =
        (fs::read_dir(subject.backing(store))?.count(), usize::from(subject.kind.has_sidecars()));
    if left != expected {
        return Err(format!("the purge left {left} files, not {expected}").into());
    }
    Ok(taken)
}

/// Waits until what a purge has put aside is removed, so that nobody is measured meanwhile.
fn wait_for_removal(subject: &Subject) -> Result<()> {
    if !subject.kind.is_storefs() {
        return Ok(());
    }
    let staging = subject.source().join(".storefs");
    wait_until("the purged records are removed", || {
        let Ok(processes) = fs::read_dir(&staging) else { return Ok(true) };
        // The lock files of records stay; all else there is a process's staging directory.
        for process in processes.flatten().filter(|entry| entry.file_name() != "locks") {
            // One that vanishes meanwhile is empty too.
            if fs::read_dir(process.path()).is_ok_and(|mut entries| entries.next().is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    // The journal still has to write what was removed.
    rustix::fs::sync();
    Ok(())
}
