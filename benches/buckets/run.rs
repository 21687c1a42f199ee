//! The work itself, in rounds: one subject after the other in each, so that a busy minute of the machine meets all alike.
//!
//! The first round counts requests, through a proxy, and is not timed.

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Args;
use crate::buckets::Place;
use crate::large::{self, MIB};
use crate::mounted::Mounted;
use crate::own::Own;
use crate::proxy::{Proxy, counted};
use crate::report;
use crate::rows::{ROWS, Row, Subject, Table, Unit};
use crate::served::Served;
use crate::sys::{Dir, Result, c, run_quiet, seconds, wait_until};

/// Size of a small record.
const RECORD_SIZE: usize = 2048;
/// Where the stores are.
const STORES: &str = "key_value_stores";

/// A run.
struct Run<'a> {
    args: &'a Args,
    served: Served,
    proxy: Proxy,
    table: Table,
    /// The bucket of all that is only read.
    place: Place,
    /// Whether requests are counted in this round, and nothing timed.
    is_counting: bool,
    /// Tells rounds, subjects and rows apart in names.
    number: usize,
    names: Vec<CString>,
    large_bytes: u64,
    listed: usize,
    purged: usize,
}

/// What a piece of work is done with.
struct Doing<'a> {
    subject: Subject,
    mounted: Option<&'a Mounted>,
    own: &'a Own,
    place: &'a Place,
}

impl Doing<'_> {
    /// The mount; the crate has none.
    fn mounted(&self) -> Result<&Mounted> {
        Ok(self.mounted.ok_or("nothing is mounted")?)
    }
}

/// Measures and prints.
pub(crate) fn measure(args: &Args) -> Result<()> {
    if args.list {
        ROWS.iter().for_each(|row| println!("{:<18} {}", row.name, row.title));
        return Ok(());
    }
    let share = if args.quick { 10 } else { 1 };
    let served = Served::start(args.cluster)?;
    let place = served.bucket("bench")?;
    let mut run = Run {
        args,
        proxy: Proxy::to(served.port()),
        served,
        table: Table::default(),
        place,
        is_counting: false,
        number: 0,
        names: record_names(1_000 / share).iter().map(|name| c(name)).collect(),
        large_bytes: 1024 / share as u64 * MIB,
        listed: args.listed / share,
        purged: 10_000 / share,
    };
    run.measure()?;
    let table = &run.table;
    print!(
        "{}",
        match (args.json, args.markdown) {
            (true, _) => report::json(table),
            (_, true) => report::markdown(table),
            _ => report::text(table),
        }
    );
    Ok(())
}

fn record_names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("record-{number:07}")).collect()
}

/// Does something with each of some names, by so many threads at once.
fn by(
    at_once: usize,
    names: &[CString],
    work: impl Fn(&[CString]) -> Result<()> + Sync,
) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .chunks(names.len().div_ceil(at_once))
            .map(|names| scope.spawn(|| work(names)))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })
}

impl Run<'_> {
    fn measure(&mut self) -> Result<()> {
        let rounds = if self.args.quick { 1 } else { self.args.rounds.max(1) };
        self.fill()?;
        let first = usize::from(self.args.uncounted);
        for round in first..=rounds {
            self.is_counting = round == 0;
            let delay = if self.is_counting { 0 } else { self.args.delay };
            self.proxy.delay(Duration::from_millis(delay), Duration::from_millis(delay));
            eprintln!("buckets: round {round} of {rounds}");
            for row in self.rows() {
                for subject in row.subjects {
                    if self.is_wanted(*subject) {
                        self.one(&row, *subject)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is only read is there from the beginning.
    fn fill(&self) -> Result<()> {
        let own = Own::new(&self.place)?;
        let has = |name: &str| self.rows().iter().any(|row| row.name.starts_with(name));
        let bytes = large::bytes(RECORD_SIZE);
        if has("read-1") || has("read-8") {
            let names: Vec<String> = record_names(self.names.len());
            own.fill(&format!("{STORES}/small"), &names, &bytes)?;
        }
        if has("list") {
            let begun = Instant::now();
            own.fill(&format!("{STORES}/listed"), &record_names(self.listed), &bytes[..16])?;
            eprintln!("buckets: {} records in {:.0?}", self.listed, begun.elapsed());
        }
        if has("read-large") {
            own.fill(&format!("{STORES}/large"), &[], &[])?;
            own.write_large(&format!("{STORES}/large/value"), self.large_bytes)?;
            large::write(&self.args.place.join("file"), self.large_bytes)?;
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let only = &self.args.only;
        let is_wanted =
            |row: &&Row| only.is_empty() || only.iter().any(|only| row.name.starts_with(only));
        ROWS.iter().filter(is_wanted).copied().collect()
    }

    fn is_wanted(&self, subject: Subject) -> bool {
        let subjects = &self.args.subjects;
        // The proxy does not see what is not of S3.
        let has_requests = !matches!(subject, Subject::Weed | Subject::File);
        (subjects.is_empty() || subjects.contains(&subject)) && (has_requests || !self.is_counting)
    }

    /// Notes what one subject makes of one row.
    fn one(&mut self, row: &Row, subject: Subject) -> Result<()> {
        self.number += 1;
        let name = format!("{}-{}", row.name, self.number);
        let writes = row.name.starts_with("write") || row.name == "purge";
        let direct = if writes { self.served.bucket(&name)? } else { self.place.clone() };
        if row.name == "purge" {
            let bytes = large::bytes(RECORD_SIZE);
            let names = record_names(self.purged);
            Own::new(&direct)?.fill(&format!("{STORES}/{name}"), &names, &bytes[..16])?;
        }
        let is_through = self.is_counting || self.args.delay > 0;
        let place = if is_through { direct.through(self.proxy.port()) } else { direct.clone() };
        let own = Own::new(&place)?;
        self.served.evict()?;
        let mounts = !matches!(subject, Subject::Crate | Subject::Aws | Subject::File);
        let filer = self.served.filer();
        let mount = |filer: Option<&str>| {
            Mounted::new(subject, &self.args.storefs, &place, filer, &self.args.place)
        };
        let mounted = mounts.then(|| mount(filer.as_deref())).transpose()?;
        let doing = Doing { subject, mounted: mounted.as_ref(), own: &own, place: &place };
        let (value, requests) = self.proxy.during(|| self.work(row, &doing, &name, &direct));
        let value =
            value.map_err(|error| format!("{} by {}: {error}", row.name, subject.name()))?;
        let memory = mounted.as_ref().map(Mounted::memory).transpose()?.unwrap_or_default();
        drop(mounted);
        if writes {
            self.served.drop_bucket(&direct)?;
        }
        let cell = self.table.0.entry((row.name, subject)).or_default();
        if self.is_counting {
            cell.requests = Some(counted(&requests));
        } else {
            cell.samples.push(value);
            cell.memory = cell.memory.max(memory);
        }
        eprintln!(
            "buckets: {} by {}: {value:.3} {}",
            row.name,
            subject.name(),
            if self.is_counting { counted(&requests) } else { String::new() }
        );
        Ok(())
    }

    /// Does the work of a row; gives back its number.
    fn work(&self, row: &Row, doing: &Doing<'_>, name: &str, direct: &Place) -> Result<f64> {
        let taken = match row.name {
            "read-large" => self.read_large(doing)?,
            "read-large-again" => {
                if doing.subject != Subject::File {
                    self.read_large(doing)?;
                }
                self.read_large(doing)?
            }
            "read-1" => self.read(doing, 1)?,
            "read-8" => self.read(doing, 8)?,
            "list" => self.list(doing)?,
            "write-1" => self.write(doing, 1, name, direct)?,
            "write-8" => self.write(doing, 8, name, direct)?,
            "write-large" => self.write_large(doing, name, direct)?,
            "purge" => self.purge(doing, name, direct)?,
            other => return Err(format!("nobody knows how to do '{other}'").into()),
        };
        Ok(match row.unit {
            Unit::Throughput => (self.large_bytes / MIB) as f64 / taken,
            Unit::Rate => self.names.len() as f64 / taken,
            Unit::Seconds => taken,
        })
    }

    fn read_large(&self, doing: &Doing<'_>) -> Result<f64> {
        let name = format!("{STORES}/large/value");
        let size = self.large_bytes;
        match doing.subject {
            Subject::Crate => seconds(|| doing.own.read_large(&name, size)),
            Subject::File => {
                let file = self.args.place.join("file");
                large::read(&file, size)?;
                seconds(|| large::read(&file, size))
            }
            _ => {
                let path = doing.mounted()?.at(&name);
                seconds(|| large::read(&path, size))
            }
        }
    }

    fn read(&self, doing: &Doing<'_>, at_once: usize) -> Result<f64> {
        let store = format!("{STORES}/small");
        if doing.subject == Subject::Crate {
            let names = record_names(self.names.len());
            let names: Vec<_> = names.iter().map(|name| format!("{store}/{name}")).collect();
            return seconds(|| doing.own.read(&names, at_once));
        }
        let dir = Dir::open(&doing.mounted()?.at(&store))?;
        seconds(|| {
            by(at_once, &self.names, |names| {
                let mut buffer = vec![0; RECORD_SIZE * 2];
                names.iter().try_for_each(|name| match dir.read(name, &mut buffer)? {
                    RECORD_SIZE => Ok(()),
                    other => Err(format!("{other} bytes came").into()),
                })
            })
        })
    }

    fn list(&self, doing: &Doing<'_>) -> Result<f64> {
        let store = format!("{STORES}/listed");
        if doing.subject == Subject::Crate {
            return seconds(|| match doing.own.list(&store)? {
                count if count == self.listed => Ok(()),
                other => Err(format!("{other} are listed").into()),
            });
        }
        let path = doing.mounted()?.at(&store);
        let mut command = Command::new("ls");
        command.env("LC_ALL", "C").arg("-l").arg(path);
        seconds(|| run_quiet(&mut command, &[0]))
    }

    fn write(&self, doing: &Doing<'_>, at_once: usize, name: &str, direct: &Place) -> Result<f64> {
        let (store, bytes) = (format!("{STORES}/{name}"), large::bytes(RECORD_SIZE));
        let count = self.names.len();
        if doing.subject == Subject::Crate {
            let names = record_names(count);
            return seconds(|| doing.own.write(&store, &names, &bytes, at_once));
        }
        let path = doing.mounted()?.at(&store);
        fs::create_dir_all(&path)?;
        let dir = Dir::open(&path)?;
        let begun = Instant::now();
        by(at_once, &self.names, |names| {
            names.iter().try_for_each(|name| dir.write(name, &bytes))
        })?;
        let looks = Own::new(direct)?;
        until(begun, || Ok(looks.list(&store)? == count))
    }

    fn write_large(&self, doing: &Doing<'_>, name: &str, direct: &Place) -> Result<f64> {
        let store = format!("{STORES}/{name}");
        let (value, size) = (format!("{store}/value"), self.large_bytes);
        if doing.subject == Subject::Crate {
            return seconds(|| doing.own.write_large(&value, size));
        }
        let mounted = doing.mounted()?;
        fs::create_dir_all(mounted.at(&store))?;
        let begun = Instant::now();
        large::write(&mounted.at(&value), size)?;
        let looks = Own::new(direct)?;
        until(begun, || Ok(looks.size(&value)? == Some(size)))
    }

    fn purge(&self, doing: &Doing<'_>, name: &str, direct: &Place) -> Result<f64> {
        let store = format!("{STORES}/{name}");
        let taken = match doing.subject {
            Subject::Crate => seconds(|| doing.own.remove(&store))?,
            Subject::Aws => {
                let mut command = aws()?;
                command.envs(doing.place.variables());
                command.args(["s3", "rm", "--recursive", "--quiet"]);
                command.arg(format!("{}/{store}", doing.place.url()));
                seconds(|| run_quiet(&mut command, &[0]))?
            }
            _ => {
                let file = doing.mounted()?.at(&store).join("@purge");
                seconds(|| Ok(fs::write(&file, "1\n")?))?
            }
        };
        match Own::new(direct)?.list(&store)? {
            0 => Ok(taken),
            left => Err(format!("{left} are left").into()),
        }
    }
}

/// Seconds since a moment, until something was so in the bucket; the look at it does not count.
fn until(begun: Instant, is_so: impl Fn() -> Result<bool>) -> Result<f64> {
    let mut taken = begun.elapsed();
    wait_until("all is in the bucket", || {
        taken = begun.elapsed();
        is_so()
    })?;
    Ok(taken.as_secs_f64())
}

/// AWS's program. Its script names an interpreter that may be elsewhere.
fn aws() -> Result<Command> {
    let programs = crate::buckets::programs().ok_or("the programs are missing")?;
    let python: &Path = &programs.join("python");
    let mut command = Command::new(python);
    command.args(["-m", "awscli"]).stdin(Stdio::null());
    Ok(command)
}
