//! What is measured, in rounds: one after the other in each, so that a busy minute of the machine meets all alike.

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use storefs::engine::{Source, Storage, StorageOptions};
use storefs::model::{Key, StoreName};

use crate::Args;
use crate::database::Database;
use crate::mounted::Mounted;
use crate::report::{self, Goal, Measured, Row, Unit};
use crate::sdk_rate::{PYTHON, rates};
use crate::sys::{Dir, Result, c, run_quiet, seconds};

/// Size of a small record.
const RECORD_SIZE: usize = 2048;
/// The store of the listings, and of the large value.
const LISTED: &str = "listed";
const LARGE: &str = "large";
/// Longer than names are trusted.
const UNTRUSTED: Duration = Duration::from_millis(1100);

const fn row(
    name: &'static str,
    title: &'static str,
    unit: Unit,
    goal: Option<(&'static str, f64)>,
) -> Row {
    let goal = match goal {
        Some((base, ratio)) => Some(Goal { base, ratio }),
        None => None,
    };
    Row { name, title, unit, goal }
}

const ROWS: [Row; 18] = [
    row("client-set", "crawlee-python sets 2 KiB", Unit::Rate, None),
    row("client-get", "crawlee-python gets them", Unit::Rate, None),
    row("set", "write new 2 KiB through the mount", Unit::Rate, Some(("client-set", 3.0))),
    row("rewrite", "write them again", Unit::Rate, None),
    row("get", "read what others have written", Unit::Rate, Some(("client-get", 8.0))),
    row("get-again", "read it again, names untrusted", Unit::Rate, Some(("client-get", 8.0))),
    row("library-set", "set 2 KiB by the library", Unit::Rate, Some(("client-set", 5.0))),
    row("library-get", "get them", Unit::Rate, Some(("client-get", 5.0))),
    row(
        "copy",
        "`storefs copy` of as many from a directory",
        Unit::Rate,
        Some(("client-set", 5.0)),
    ),
    row("own-keys", "keys in order by the database's program", Unit::Seconds, None),
    row("disk-ls", "`ls` of as many empty files on the disk", Unit::Seconds, None),
    row("disk-ls-l", "`ls -l` of them", Unit::Seconds, None),
    row("ls", "`ls` of as many, new mount", Unit::Seconds, Some(("own-keys", 1.5))),
    row("ls-l", "`ls -l`, new mount", Unit::Seconds, Some(("own-keys", 2.0))),
    row("ls-l-again", "`ls -l` again", Unit::Seconds, None),
    row("own-value", "a large value by the database's program", Unit::Seconds, None),
    row("cat", "`cat` of it, new mount", Unit::Seconds, Some(("own-value", 2.0))),
    row("cat-again", "`cat` again, names untrusted", Unit::Seconds, None),
];

/// A run.
struct Run<'a> {
    args: &'a Args,
    database: Database,
    rows: Vec<Measured>,
    /// Records that are set and got, names that are listed, MiB of the large value.
    records: usize,
    listed: usize,
    mebibytes: usize,
}

/// Measures and prints.
pub(crate) fn measure(args: &Args) -> Result<()> {
    let is_wanted =
        |row: &Row| args.only.is_empty() || args.only.iter().any(|only| row.name.starts_with(only));
    let wanted = ROWS.into_iter().filter(is_wanted);
    if args.list {
        wanted.for_each(|row| println!("{:<12} {}", row.name, row.title));
        return Ok(());
    }
    let rows = wanted.map(|row| Measured { row, samples: Vec::new(), statements: None }).collect();
    let share = if args.quick { 10 } else { 1 };
    let mut run = Run {
        args,
        database: Database::make(args.source, &args.place)?,
        rows,
        records: 2_000 / share,
        listed: 100_000 / share,
        mebibytes: 200 / share,
    };
    run.measure()?;
    let rows = &run.rows;
    print!(
        "{}",
        match (args.json, args.markdown) {
            (true, _) => report::json(rows),
            (_, true) => report::markdown(rows),
            _ => report::text(rows),
        }
    );
    Ok(())
}

impl Run<'_> {
    fn measure(&mut self) -> Result<()> {
        let rounds = if self.args.quick { 1 } else { self.args.rounds.max(1) };
        for round in 1..=rounds {
            eprintln!("databases: round {round} of {rounds}");
            if self.is_wanted(&["client", "set", "rewrite", "get", "library", "copy"]) {
                self.small(round)?;
            }
        }
        if self.is_wanted(&["own-keys", "ls"]) {
            self.database.fill(LISTED, self.listed, 64);
            let files = self.args.place.join("files");
            std::fs::create_dir(&files)?;
            for number in 0..self.listed {
                std::fs::File::create(files.join(format!("record-{number:07}")))?;
            }
            (0..rounds).try_for_each(|_| self.listings())?;
        }
        if self.is_wanted(&["own-value", "cat"]) {
            self.database.fill(LARGE, 1, self.mebibytes << 20);
            (0..rounds).try_for_each(|_| self.large())?;
        }
        Ok(())
    }

    fn is_wanted(&self, names: &[&str]) -> bool {
        self.rows.iter().any(|it| names.iter().any(|name| it.row.name.starts_with(name)))
    }

    fn mount(&self) -> Result<Mounted> {
        Mounted::new(&self.args.storefs, &self.database.source(), &self.args.place)
    }

    /// Notes a sample, and how many statements it took, for each of `pieces`.
    fn note(&mut self, name: &str, value: f64, pieces: usize) {
        let statements = self.database.counted().map(|count| count / pieces as f64);
        if let Some(measured) = self.rows.iter_mut().find(|measured| measured.row.name == name) {
            measured.samples.push(value);
            measured.statements = statements.or(measured.statements);
        }
        eprintln!(
            "databases: {name}: {value:.3} {}",
            statements.map_or(String::new(), |it| format!("({it:.3} statements)"))
        );
        self.database.count_anew();
    }

    /// Notes what a piece of work on all small records takes.
    fn rate(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.database.count_anew();
        let records = self.records;
        let taken = seconds(work)?;
        self.note(name, records as f64 / taken, records);
        Ok(())
    }

    fn small(&mut self, round: usize) -> Result<()> {
        let (client, mount, library) =
            (format!("client-{round}"), format!("mount-{round}"), format!("library-{round}"));
        let names: Vec<CString> =
            (0..self.records).map(|number| c(&format!("record-{number:07}"))).collect();
        let value = vec![b'x'; RECORD_SIZE];
        if let Some(python) = self.args.python.as_deref() {
            let (set, get) = self.client(python, &client)?;
            let records = self.records as f64;
            self.note("client-set", records / set, self.records);
            self.note("client-get", records / get, self.records);
        } else {
            eprintln!("databases: SKIPPED: the rows of crawlee-python: no --python");
            self.database.fill(&client, self.records, RECORD_SIZE);
        }
        {
            let mounted = self.mount()?;
            std::fs::create_dir(mounted.store(&mount))?;
            let dir = Dir::open(&mounted.store(&mount))?;
            let write = || names.iter().try_for_each(|name| dir.write(name, &value));
            self.rate("set", write)?;
            self.rate("rewrite", write)?;
            let dir = Dir::open(&mounted.store(&client))?;
            let mut buffer = vec![0; RECORD_SIZE * 2];
            let mut read = || {
                names.iter().try_for_each(|name| match dir.read(name, &mut buffer)? {
                    RECORD_SIZE => Ok(()),
                    other => Err(format!("{other} bytes came").into()),
                })
            };
            self.rate("get", &mut read)?;
            std::thread::sleep(UNTRUSTED);
            self.rate("get-again", &mut read)?;
        }
        self.library(&library, &value)?;
        let copied = format!("copied-{round}");
        self.copy(&copied, &value)?;
        for store in [&client, &mount, &library, &copied] {
            self.database.drop_store(store);
        }
        Ok(())
    }

    fn library(&mut self, store: &str, value: &[u8]) -> Result<()> {
        let source = Source::parse(OsStr::new(&self.database.source()))?;
        let cache_dir = Some(self.args.place.join("spool"));
        let options = StorageOptions { cache_dir, ..StorageOptions::default() };
        let storage = Storage::open(&source, options)?;
        let store = storage.create_store(&StoreName::new(store)?)?;
        let keys: std::result::Result<Vec<Key>, _> =
            (0..self.records).map(|number| Key::new(&format!("record-{number:07}"))).collect();
        let keys = keys?;
        self.rate("library-set", || {
            Ok(keys.iter().try_for_each(|key| store.set_value(key, value, None))?)
        })?;
        self.rate("library-get", || {
            keys.iter().try_for_each(|key| {
                let record = store.get_value(key)?.ok_or("a record is not there")?;
                let mut got = Vec::with_capacity(RECORD_SIZE);
                record.reader().read_to_end(&mut got)?;
                if got == value { Ok(()) } else { Err("other bytes came".into()) }
            })
        })
    }

    /// Copies a store from a directory into the database, by the program.
    fn copy(&mut self, store: &str, value: &[u8]) -> Result<()> {
        let directory = self.args.place.join(store);
        std::fs::create_dir(&directory)?;
        let from =
            Storage::open(&Source::parse(directory.as_os_str())?, StorageOptions::default())?;
        let from = from.create_store(&StoreName::new(store)?)?;
        for number in 0..self.records {
            from.set_value(&Key::new(&format!("record-{number:07}"))?, value, None)?;
        }
        let mut command = Command::new(&self.args.storefs);
        command.arg("copy").arg("--source").arg(&directory).arg("--to");
        command.arg(self.database.source()).stdout(Stdio::null());
        self.rate("copy", || run_quiet(&mut command, &[0]))?;
        Ok(std::fs::remove_dir_all(&directory)?)
    }

    /// Seconds that the client takes to set and to get.
    fn client(&self, python: &Path, store: &str) -> Result<(f64, f64)> {
        let mut command = Command::new(python);
        command.arg("-").arg(self.database.client_url());
        rates(command, PYTHON, store, (self.records, RECORD_SIZE))
    }

    fn listings(&mut self) -> Result<()> {
        let own = self.database.list_keys(LISTED)?;
        self.note("own-keys", own, 1);
        let list = |options: &str, directory: &Path| {
            let mut command = Command::new("ls");
            command.env("LC_ALL", "C").arg(options).arg(directory);
            seconds(|| run_quiet(&mut command, &[0]))
        };
        let files = self.args.place.join("files");
        self.note("disk-ls", list("-1", &files)?, 1);
        self.note("disk-ls-l", list("-l", &files)?, 1);
        for (name, again, options) in [("ls", None, "-1"), ("ls-l", Some("ls-l-again"), "-l")] {
            let mounted = self.mount()?;
            let listed = mounted.store(LISTED);
            self.database.count_anew();
            let taken = list(options, &listed)?;
            self.note(name, taken, 1);
            if let Some(again) = again {
                let taken = list(options, &listed)?;
                self.note(again, taken, 1);
            }
        }
        Ok(())
    }

    fn large(&mut self) -> Result<()> {
        let own = self.database.write_out(LARGE)?;
        self.note("own-value", own, 1);
        let mounted = self.mount()?;
        let file = mounted.store(LARGE).join("record-0000000");
        let size = std::fs::metadata(&file)?.len();
        if size != (self.mebibytes as u64) << 20 {
            return Err(format!("the large value has {size} bytes").into());
        }
        let cat = || seconds(|| run_quiet(Command::new("cat").arg(&file), &[0]));
        self.database.count_anew();
        let first = cat()?;
        std::thread::sleep(UNTRUSTED);
        let counted = self.database.counted();
        self.database.count_anew();
        let again = cat()?;
        let counted_again = self.database.counted();
        for (name, taken, counted) in [("cat", first, counted), ("cat-again", again, counted_again)]
        {
            self.note(name, taken, 1);
            if let Some(measured) = self.rows.iter_mut().find(|it| it.row.name == name) {
                measured.statements = counted;
            }
        }
        Ok(())
    }
}
