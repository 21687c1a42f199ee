//! Records in a second, beside the engines of the official SDKs on a plain directory.

use std::process::Command;

use super::{Context, GROUP, Group, RECORD_SIZE, Row, Unit, Values, fresh};
use crate::sdk_rate::{PYTHON, rates};
use crate::subjects::{Kind, Records, Subject, set_as_sdk};
use crate::sys::{self, Dir, Result};

const ROWS: [Row; 2] = [
    Row { name: "sdk-set", title: "set {2000} x 2 KiB", unit: Unit::Rate },
    Row { name: "sdk-get", title: "get {2000} x 2 KiB", unit: Unit::Rate },
];

pub(super) const GROUPS: [Group; 1] = [Group {
    rows: &ROWS,
    subjects: &[Kind::NativeSdk, Kind::Storefs, Kind::CrawleePython, Kind::CrawleeJs3],
    base: Kind::CrawleePython,
    run,
    ..GROUP
}];

const JS: &str = include_str!("../sdk_rate.cjs");

fn run(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("rates");
    let count = context.scaled(2_000);
    let (set, get) = match subject.kind {
        Kind::CrawleePython => {
            let mut command = Command::new(context.python.as_ref().ok_or("no Python SDK")?);
            command.arg("-").arg(subject.source());
            rates(command, PYTHON, &store, (count, RECORD_SIZE))?
        }
        Kind::CrawleeJs3 => {
            let modules = context.node_modules.as_ref().ok_or("no JavaScript SDK")?;
            let mut command = Command::new("node");
            command.env("NODE_PATH", modules).arg("-").arg(subject.source());
            rates(command, JS, &store, (count, RECORD_SIZE))?
        }
        _ => through_files(subject, &store, count)?,
    };
    subject.remove(&store)?;
    let count = count as f64;
    Ok(vec![("sdk-set", count / set), ("sdk-get", count / get)])
}

fn through_files(subject: &Subject, store: &str, count: usize) -> Result<(f64, f64)> {
    let records = Records::new(count, RECORD_SIZE);
    subject.make_store(store)?;
    let dir = Dir::open(&subject.store(store))?;
    let set = sys::seconds(|| {
        records.names.iter().try_for_each(|name| match subject.kind {
            Kind::NativeSdk => set_as_sdk(&dir, store, name.to_str()?, &records.value),
            _ => dir.write(name, &records.value),
        })
    })?;
    let mut buffer = vec![0; RECORD_SIZE * 2];
    let get = sys::seconds(|| {
        records.names.iter().try_for_each(|name| dir.read(name, &mut buffer).map(drop))
    })?;
    Ok((set, get))
}
