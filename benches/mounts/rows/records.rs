//! Small records: reading, writing, rewriting, deleting; from one and from two.

use std::ffi::{CStr, CString};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::{
    Context, GROUP, Group, MOUNTS, READERS, RECORD_SIZE, Row, SHELF, Values, fresh, per_record,
    seconds, shelf, stock_shelf,
};
use crate::subjects::{Kind, Records, Subject, delete_as_sdk, set_as_sdk};
use crate::sys::{self, Dir, Result, drop_caches, run_quiet};

const READ: [Row; 1] = [seconds("read", "read {10000} x 2 KiB (open, read, close), warm; each")];
const READ_COLD: [Row; 1] = [seconds("read-cold", "read {10000} x 2 KiB, caches dropped; each")];
const GREP: [Row; 1] = [seconds("grep", "`grep -r` over {10000} x 2 KiB, warm")];
const PROCESSES: [Row; 1] =
    [seconds("read-2-processes", "two processes reading {5000} each; each record")];
const WRITE: [Row; 3] = [
    seconds("write-new", "write {2000} new x 2 KiB; each"),
    seconds("rewrite", "rewrite {2000} x 2 KiB; each"),
    seconds("delete", "delete {2000}; each"),
];
const THREADS_READ: [Row; 2] = [
    seconds("threads-read-1", "1 thread reading {2000}; each record"),
    seconds("threads-read-2", "2 threads reading {2000} each; each record"),
];
const THREADS_WRITE: [Row; 2] = [
    seconds("threads-write-1", "1 thread rewriting {2000}; each record"),
    seconds("threads-write-2", "2 threads rewriting {2000} each; each record"),
];

/// Native is measured both ways: plain, and with what an SDK keeps beside a value.
const WRITERS: [Kind; 8] = [
    Kind::Native,
    Kind::NativeSdk,
    Kind::Floor,
    Kind::FloorPlain,
    Kind::Storefs,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

/// `grep` reads what an SDK keeps beside the values too.
const SEARCHED: [Kind; 9] = [
    Kind::Native,
    Kind::NativeSdk,
    Kind::Floor,
    Kind::FloorPlain,
    Kind::Storefs,
    Kind::StorefsReadOnly,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

const SHELVED: Group = Group { subjects: &READERS, prepare: stock_shelf, ..GROUP };

pub(super) const GROUPS: [Group; 7] = [
    Group { rows: &READ, run: read_warm, ..SHELVED },
    Group { rows: &READ_COLD, run: read_cold, cold: true, ..SHELVED },
    Group { rows: &GREP, subjects: &SEARCHED, run: grep, ..SHELVED },
    Group { rows: &PROCESSES, run: two_processes, ..SHELVED },
    Group { rows: &WRITE, subjects: &WRITERS, run: write_and_delete, ..GROUP },
    Group { rows: &THREADS_READ, run: threads_read, ..SHELVED },
    Group { rows: &THREADS_WRITE, subjects: &MOUNTS, run: threads_write, ..SHELVED },
];

fn read_all(dir: &Dir, records: &[CString]) -> Result<()> {
    let mut buffer = vec![0; RECORD_SIZE * 2];
    for name in records {
        if dir.read(name, &mut buffer)? != RECORD_SIZE {
            return Err(format!("{name:?} has not its length").into());
        }
    }
    Ok(())
}

fn read_warm(context: &Context, subject: &mut Subject) -> Result<Values> {
    let (dir, names) = (Dir::open(&subject.store(SHELF))?, shelf(context).names);
    read_all(&dir, &names)?;
    let taken = sys::seconds(|| read_all(&dir, &names))?;
    Ok(vec![("read", per_record(taken, names.len()))])
}

fn read_cold(context: &Context, subject: &mut Subject) -> Result<Values> {
    let names = shelf(context).names;
    drop_caches()?;
    let taken = sys::seconds(|| read_all(&Dir::open(&subject.store(SHELF))?, &names))?;
    Ok(vec![("read-cold", per_record(taken, names.len()))])
}

fn grep(_context: &Context, subject: &mut Subject) -> Result<Values> {
    let grep = || {
        // Finds nothing, and says so with 1.
        run_quiet(Command::new("grep").args(["-r", "samovar"]).arg(subject.store(SHELF)), &[1])
    };
    grep()?;
    Ok(vec![("grep", sys::seconds(grep)?)])
}

/// A process that reads its part of the shelf when it is told to.
struct Reader(Child);

impl Reader {
    fn start(store: &Path, from: usize, to: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("read-records").arg(store).args([from.to_string(), to.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = Self(command.spawn()?);
        reader.answer()?;
        Ok(reader)
    }

    fn ask(&mut self) -> Result<()> {
        Ok(self.0.stdin.as_mut().ok_or("no pipe")?.write_all(b"read\n")?)
    }

    fn answer(&mut self) -> Result<()> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().ok_or("no pipe")?).read_line(&mut line)?;
        if line == "done\n" { Ok(()) } else { Err("a reading process failed".into()) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What a reading process does: reads once for each line of its input, the first time unasked.
pub(crate) fn read_records(store: &Path, from: usize, to: usize) -> Result<()> {
    let (dir, names) = (Dir::open(store)?, Records::new(to, 0).names);
    let mut lines = std::io::stdin().lines();
    loop {
        read_all(&dir, &names[from..])?;
        println!("done");
        if lines.next().is_none() {
            return Ok(());
        }
    }
}

fn two_processes(context: &Context, subject: &mut Subject) -> Result<Values> {
    let (store, count) = (subject.store(SHELF), shelf(context).names.len());
    let mut readers =
        [Reader::start(&store, 0, count / 2)?, Reader::start(&store, count / 2, count)?];
    let taken = sys::seconds(|| {
        readers.iter_mut().try_for_each(Reader::ask)?;
        readers.iter_mut().try_for_each(Reader::answer)
    })?;
    Ok(vec![("read-2-processes", per_record(taken, count))])
}

fn write_and_delete(context: &Context, subject: &mut Subject) -> Result<Values> {
    let store = fresh("written");
    let records = Records::new(context.scaled(2_000), RECORD_SIZE);
    subject.make_store(&store)?;
    let dir = Dir::open(&subject.store(&store))?;
    let as_sdk = subject.kind == Kind::NativeSdk;
    let each = |work: &dyn Fn(&CStr) -> Result<()>| {
        let taken = sys::seconds(|| records.names.iter().try_for_each(|name| work(name)))?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(per_record(taken, records.names.len()))
    };
    let write = |name: &CStr| {
        if as_sdk {
            set_as_sdk(&dir, &store, name.to_str()?, &records.value)
        } else {
            dir.write(name, &records.value)
        }
    };
    let delete = |name: &CStr| {
        if as_sdk { delete_as_sdk(&dir, name.to_str()?) } else { dir.unlink(name) }
    };
    let values =
        vec![("write-new", each(&write)?), ("rewrite", each(&write)?), ("delete", each(&delete)?)];
    drop(dir);
    subject.remove(&store)?;
    Ok(values)
}

fn threads_read(context: &Context, subject: &mut Subject) -> Result<Values> {
    let (dir, names) = (Dir::open(&subject.store(SHELF))?, shelf(context).names);
    let (first, second) = parts(&names);
    let read = |names: &[CString]| read_all(&dir, names);
    read(first)?;
    read(second)?;
    let (one, two) = one_and_two(first, second, &read)?;
    Ok(vec![("threads-read-1", one), ("threads-read-2", two)])
}

fn threads_write(context: &Context, subject: &mut Subject) -> Result<Values> {
    let (dir, records) = (Dir::open(&subject.store(SHELF))?, shelf(context));
    let (first, second) = parts(&records.names);
    let write =
        |names: &[CString]| names.iter().try_for_each(|name| dir.write(name, &records.value));
    let (one, two) = one_and_two(first, second, &write)?;
    Ok(vec![("threads-write-1", one), ("threads-write-2", two)])
}

/// A fifth of the shelf for each of two threads.
fn parts(names: &[CString]) -> (&[CString], &[CString]) {
    let count = names.len() / 5;
    (&names[..count], &names[count..2 * count])
}

/// Seconds for each record, by one thread and by two.
fn one_and_two(
    first: &[CString],
    second: &[CString],
    work: &(impl Fn(&[CString]) -> Result<()> + Sync),
) -> Result<(f64, f64)> {
    let one = sys::seconds(|| work(first))?;
    let two = at_once(first, second, work)?;
    Ok((per_record(one, first.len()), per_record(two, first.len() + second.len())))
}

/// Seconds until two threads have done their parts.
fn at_once(
    first: &[CString],
    second: &[CString],
    work: &(impl Fn(&[CString]) -> Result<()> + Sync),
) -> Result<f64> {
    sys::seconds(|| {
        thread::scope(|scope| {
            let other = scope.spawn(|| work(second));
            work(first)?;
            other.join().map_err(|_| "a thread panicked")?
        })
    })
}
