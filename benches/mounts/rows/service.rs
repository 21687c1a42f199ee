//! What a daemon costs while it serves, and how soon it shows what others do.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{Context, GROUP, Group, Row, Unit, Values, count_entries, fresh, seconds};
use crate::subjects::{Kind, Records, Subject};
use crate::sys::{Dir, Result, anonymous_memory, c, cpu_time};

const MEMORY: [Row; 1] = [Row {
    name: "memory",
    title: "memory of the daemon for each name that is listed and looked up",
    unit: Unit::Bytes,
}];
const IDLE: [Row; 1] = [seconds("idle-cpu", "CPU time in a second without requests")];
const VISIBLE: [Row; 6] = [
    seconds("visible-open-p50", "a rename in the directory is seen by open: median"),
    seconds("visible-open-p95", "... 95 of 100"),
    seconds("visible-open-max", "... the slowest"),
    seconds("visible-stat-p50", "... is seen by stat: median"),
    seconds("visible-stat-p95", "... 95 of 100"),
    seconds("visible-stat-max", "... the slowest"),
];

/// How long one distribution may take.
const LONG_ENOUGH: Duration = Duration::from_secs(20);

const DAEMONS: [Kind; 4] = [Kind::Storefs, Kind::Bindfs, Kind::Mergerfs, Kind::PassthroughHp];

const SERVICE: Group = Group { subjects: &DAEMONS, base: Kind::Storefs, max_rounds: 3, ..GROUP };

pub(super) const GROUPS: [Group; 3] = [
    Group { rows: &MEMORY, run: memory, ..SERVICE },
    Group { rows: &IDLE, run: idle, ..SERVICE },
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
    let before = cpu_time(pid)?;
    let pause = if context.quick { 1 } else { 5 };
    thread::sleep(Duration::from_secs(pause));
    Ok(vec![("idle-cpu", (cpu_time(pid)? - before) / pause as f64)])
}

fn visible(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("seen");
    subject.fill(&store, &Records::new(1, 10))?;
    let mut values = Vec::new();
    // The sizes tell the versions apart, also the last of the one kind from the first of the other.
    for (rows, count, smallest, by_open) in [
        (["visible-open-p50", "visible-open-p95", "visible-open-max"], 200, 20, true),
        (["visible-stat-p50", "visible-stat-p95", "visible-stat-max"], 20, 30, false),
    ] {
        let start = Instant::now();
        let mut times = Vec::new();
        // Where each takes as long as the time to live, a few tell as much as many.
        while times.len() < context.scaled(count).max(2) && start.elapsed() < LONG_ENOUGH {
            let size = smallest + times.len() % 2;
            times.push(until_visible(subject, &store, size, by_open)?);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        values.extend(rows.into_iter().zip([at(0.5), at(0.95), at(1.0)]));
    }
    subject.remove(&store)?;
    Ok(values)
}

/// Seconds from an SDK's rename until the mount shows a version of that size.
fn until_visible(subject: &Subject, store: &str, size: usize, by_open: bool) -> Result<f64> {
    let name = c("record-0000000");
    let (behind, mounted) =
        (Dir::open(&subject.backing(store))?, Dir::open(&subject.store(store))?);
    let mut buffer = [0; 64];
    // The kernel and the daemon know the old version well.
    mounted.read(&name, &mut buffer)?;
    mounted.size(&name)?;
    let temporary = c(".record.tmp");
    behind.write(&temporary, &vec![b'y'; size])?;
    rustix::fs::renameat(&behind, &temporary, &behind, &name)?;
    let start = Instant::now();
    loop {
        let seen = if by_open {
            mounted.read(&name, &mut buffer)? == size
        } else {
            mounted.size(&name)? == Some(size as i64)
        };
        let taken = start.elapsed();
        if seen {
            return Ok(taken.as_secs_f64());
        }
        if taken > Duration::from_secs(30) {
            return Err("the new version was not seen within 30 s".into());
        }
        if taken > Duration::from_millis(2) {
            thread::sleep(Duration::from_micros(500));
        }
    }
}
