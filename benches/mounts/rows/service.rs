//! What a daemon costs while it serves, and how soon it shows what others do.

use std::ffi::{CStr, CString};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{Context, GROUP, Group, Row, Unit, Values, count_entries, fresh, seconds};
use crate::subjects::{Kind, Records, Subject};
use crate::sys::{Dir, Result, anonymous_memory, c, run_since, thread_times};

const MEMORY: [Row; 1] = [Row {
    name: "memory",
    title: "memory of the daemon for each of {50000} records looked up",
    unit: Unit::Bytes,
}];
const IDLE: [Row; 1] = [seconds("idle-cpu", "CPU time in a second without requests")];
const VISIBLE: [Row; 8] = [
    seconds("visible-open-p50", "an SDK's rename is seen by open: median"),
    seconds("visible-open-p90", "... 90 of 100"),
    seconds("visible-open-p99", "... 99 of 100"),
    seconds("visible-open-max", "... the slowest"),
    seconds("visible-stat-p50", "an SDK's rename is seen by stat: median"),
    seconds("visible-stat-p90", "... 90 of 100"),
    seconds("visible-stat-p99", "... 99 of 100"),
    seconds("visible-stat-max", "... the slowest"),
];

/// What is sought in a distribution: the parts of it that are not slower.
const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// How long one distribution may take.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

const DAEMONS: [Kind; 4] = [Kind::Storefs, Kind::Bindfs, Kind::Mergerfs, Kind::PassthroughHp];

const SERVICE: Group = Group { subjects: &DAEMONS, base: Kind::Storefs, max_rounds: 3, ..GROUP };

pub(super) const GROUPS: [Group; 3] = [
    Group { rows: &MEMORY, run: memory, ..SERVICE },
    Group { rows: &IDLE, run: idle, max_rounds: 2, ..SERVICE },
    Group { rows: &VISIBLE, run: visible, max_rounds: 1, ..SERVICE },
];

fn memory(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("many");
    let records = Records::new(context.scaled(50_000), 16);
    subject.fill(&store, &records)?;
    // A daemon that has room left from earlier rows would seem to need none.
    subject.remount()?;
    let pid = subject.pid().ok_or("it has no daemon")?;
    let path = subject.store(&store);
    fs::metadata(&path)?;
    let before = anonymous_memory(pid)?;
    let listed = count_entries(&path)?;
    let dir = Dir::open(&path)?;
    for name in &records.names {
        dir.size(name)?;
    }
    let after = anonymous_memory(pid)?;
    drop(dir);
    subject.remove(&store)?;
    subject.remount()?;
    Ok(vec![("memory", (after - before) / listed as f64)])
}

fn idle(context: &Context, subject: &mut Subject) -> Result<Values> {
    let pid = subject.pid().ok_or("it has no daemon")?;
    // What was read and changed before has been written back by then.
    thread::sleep(Duration::from_millis(2500));
    let before = thread_times(pid)?;
    let pause = if context.quick { 1 } else { 4 };
    thread::sleep(Duration::from_secs(pause));
    Ok(vec![("idle-cpu", run_since(&before, pid)? / pause as f64)])
}

fn visible(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("seen");
    let count = context.scaled(200);
    let names = Records::new(2 * count, 0).names;
    subject.fill(&store, &Records::new(2 * count, OLD_SIZE))?;
    let by_open = distribution(subject, &store, &names[..count], true)?;
    let by_stat = distribution(subject, &store, &names[count..], false)?;
    subject.remove(&store)?;
    let rows = VISIBLE.iter().map(|row| row.name);
    Ok(rows.zip(by_open.into_iter().chain(by_stat)).collect())
}

/// How long changes of records take to be seen, each of another one: a name that has just changed is trusted less.
fn distribution(
    subject: &Subject,
    store: &str,
    names: &[CString],
    by_open: bool,
) -> Result<[f64; 4]> {
    let dirs = (Dir::open(&subject.backing(store))?, Dir::open(&subject.store(store))?);
    let start = Instant::now();
    let mut times = Vec::new();
    for name in names {
        // Where each takes as long as the time to live, a few tell as much as many.
        if start.elapsed() > LONG_ENOUGH {
            break;
        }
        times.push(until_visible(&dirs, name, by_open)?);
    }
    times.sort_by(f64::total_cmp);
    Ok(SHARES.map(|share| times[(times.len() as f64 * share).ceil() as usize - 1]))
}

/// Sizes of the versions, which tell them apart.
const OLD_SIZE: usize = 10;
const NEW_SIZE: usize = 20;

/// Seconds from an SDK's rename until the mount shows the new version.
fn until_visible((behind, mounted): &(Dir, Dir), name: &CStr, by_open: bool) -> Result<f64> {
    let mut buffer = [0; 64];
    // The kernel and the daemon know the old version well.
    mounted.read(name, &mut buffer)?;
    if mounted.size(name)? != Some(OLD_SIZE as i64) {
        return Err(format!("{name:?} is not what was made").into());
    }
    let temporary = c(".record.tmp");
    behind.write(&temporary, &[b'y'; NEW_SIZE])?;
    rustix::fs::renameat(behind, &temporary, behind, name)?;
    let start = Instant::now();
    loop {
        let seen = if by_open {
            mounted.read(name, &mut buffer)? == NEW_SIZE
        } else {
            mounted.size(name)? == Some(NEW_SIZE as i64)
        };
        let taken = start.elapsed();
        if seen {
            return Ok(taken.as_secs_f64());
        }
        if taken > Duration::from_secs(90) {
            return Err("the new version was not seen within 90 s".into());
        }
        if taken > Duration::from_millis(2) {
            thread::sleep(Duration::from_micros(500));
        }
    }
}
