//! Records in a second, beside the engines of the official SDKs on a plain directory.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::{Context, GROUP, Group, RECORD_SIZE, Row, Unit, Values, fresh};
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

const PYTHON: &str = include_str!("../sdk_rate.py");
const JS: &str = include_str!("../sdk_rate.cjs");

fn run(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("rates");
    let count = context.scaled(2_000);
    let (set, get) = match subject.kind {
        Kind::CrawleePython => {
            let mut command = Command::new(context.python.as_ref().ok_or("no Python SDK")?);
            command.arg("-").arg(subject.source());
            rates(command, PYTHON, &store, count)?
        }
        Kind::CrawleeJs3 => {
            let modules = context.node_modules.as_ref().ok_or("no JavaScript SDK")?;
            let mut command = Command::new("node");
            command.env("NODE_PATH", modules).arg("-").arg(subject.source());
            rates(command, JS, &store, count)?
        }
        _ => through_files(subject, &store, count)?,
    };
    subject.remove(&store)?;
    let count = count as f64;
    Ok(vec![("sdk-set", count / set), ("sdk-get", count / get)])
}

/// Runs a driver, which is given on its standard input and prints the seconds of setting and getting.
fn rates(mut command: Command, driver: &str, store: &str, count: usize) -> Result<(f64, f64)> {
    command.arg(store).args([count.to_string(), RECORD_SIZE.to_string()]);
    command.env("CRAWLEE_PURGE_ON_START", "0").env("CRAWLEE_LOG_LEVEL", "ERROR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("no pipe")?.write_all(driver.as_bytes())?;
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&stdout);
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [set, get] if status.success() => Ok((set, get)),
        _ => {
            Err(format!("{command:?} ended with {status}: {}", String::from_utf8_lossy(&stderr))
                .into())
        }
    }
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
