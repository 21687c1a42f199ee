//! Looking at names: stat, open, listings.

use std::process::Command;

use super::{
    Context, GROUP, Group, READERS, Row, SHELF, Values, per_record, seconds, shelf, stock_shelf,
};
use crate::subjects::{Kind, Subject};
use crate::sys::{self, Dir, Result, c, close, drop_caches, run_quiet};

const STAT: [Row; 2] = [
    seconds("stat-known", "stat of a known name, warm"),
    seconds("stat-absent", "stat of an absent name, warm"),
];
const OPEN: [Row; 1] = [seconds("open-close", "open + close of one record")];
const LIST: [Row; 1] = [seconds("ls-l", "`ls -l` of {10000}, warm")];
const LIST_COLD: [Row; 1] = [seconds("ls-l-cold", "`ls -l` of {10000}, caches dropped")];
const FIND: [Row; 1] = [seconds("find", "`find` over {10000}, warm")];
const SCAN: [Row; 1] = [seconds("scandir-stat", "scandir + stat of {10000}, warm")];

/// With what an SDK keeps, which has two names for each record, and with a mount that has no extended attributes.
const LISTERS: [Kind; 10] = [
    Kind::Native,
    Kind::NativeSdk,
    Kind::Floor,
    Kind::FloorPlain,
    Kind::Storefs,
    Kind::StorefsReadOnly,
    Kind::StorefsNoXattr,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

const SHELVED: Group = Group { subjects: &READERS, prepare: stock_shelf, ..GROUP };
const LISTING: Group = Group { subjects: &LISTERS, ..SHELVED };

pub(super) const GROUPS: [Group; 6] = [
    Group { rows: &STAT, run: stat, ..SHELVED },
    Group { rows: &OPEN, run: open_close, ..SHELVED },
    Group { rows: &LIST, run: list, ..LISTING },
    Group { rows: &LIST_COLD, run: list_cold, cold: true, ..LISTING },
    Group { rows: &FIND, run: find, ..LISTING },
    Group { rows: &SCAN, run: scan, ..LISTING },
];

fn stat(context: &Context, subject: &mut Subject) -> Result<Values> {
    let dir = Dir::open(&subject.store(SHELF))?;
    let count = context.scaled(50_000);
    let mut times = Vec::new();
    for (row, name, there) in
        [("stat-known", "record-0000007", true), ("stat-absent", "absent", false)]
    {
        let name = c(name);
        dir.size(&name)?;
        let taken = sys::seconds(|| {
            for _ in 0..count {
                if dir.size(&name)?.is_some() != there {
                    return Err(format!("stat of {name:?} is wrong").into());
                }
            }
            Ok(())
        })?;
        times.push((row, per_record(taken, count)));
    }
    Ok(times)
}

fn open_close(context: &Context, subject: &mut Subject) -> Result<Values> {
    let dir = Dir::open(&subject.store(SHELF))?;
    let (name, count) = (c("record-0000007"), context.scaled(20_000));
    let open_and_close = || close(dir.open_file(&name)?);
    open_and_close()?;
    let taken = sys::seconds(|| (0..count).try_for_each(|_| open_and_close()))?;
    Ok(vec![("open-close", per_record(taken, count))])
}

fn ls(subject: &Subject) -> Result<()> {
    run_quiet(Command::new("ls").arg("-l").arg(subject.store(SHELF)), &[0])
}

fn list(_context: &Context, subject: &mut Subject) -> Result<Values> {
    ls(subject)?;
    Ok(vec![("ls-l", sys::seconds(|| ls(subject))?)])
}

fn list_cold(_context: &Context, subject: &mut Subject) -> Result<Values> {
    drop_caches()?;
    Ok(vec![("ls-l-cold", sys::seconds(|| ls(subject))?)])
}

fn find(_context: &Context, subject: &mut Subject) -> Result<Values> {
    let find = || run_quiet(Command::new("find").arg(subject.store(SHELF)), &[0]);
    find()?;
    Ok(vec![("find", sys::seconds(find)?)])
}

fn scan(context: &Context, subject: &mut Subject) -> Result<Values> {
    let path = subject.store(SHELF);
    let expected = shelf(context).names.len();
    let scan = || {
        let mut total = 0;
        for entry in std::fs::read_dir(&path)? {
            // fstatat beneath the directory that is open, as Python's os.scandir does it.
            total += usize::from(entry?.metadata()?.is_file());
        }
        if total < expected {
            Err(format!("{total} of {expected} records are listed").into())
        } else {
            Ok(())
        }
    };
    scan()?;
    Ok(vec![("scandir-stat", sys::seconds(scan)?)])
}
