//! The rows of the table, in groups that share a fixture or a run.

mod large;
mod names;
mod purge;
mod records;
mod sdk;
mod service;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use records::read_records;

use crate::subjects::{Kind, Records, Subject};
use crate::sys::Result;

/// What a number counts, and so how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds: for one operation, or for the whole.
    Seconds,
    /// Records in a second; more is better.
    Rate,
    Bytes,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The name that `--only` takes.
    pub(crate) name: &'static str,
    /// What is done, with `{10000}` for a number of records and `{512 MiB}` for a size, as they are without `--quick`.
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
}

const fn seconds(name: &'static str, title: &'static str) -> Row {
    Row { name, title, unit: Unit::Seconds }
}

/// The values of one run, by row.
pub(crate) type Values = Vec<(&'static str, f64)>;

/// Rows that are measured together.
pub(crate) struct Group {
    pub(crate) rows: &'static [Row],
    pub(crate) subjects: &'static [Kind],
    /// The subject that the ratios refer to.
    pub(crate) base: Kind,
    /// At most so many rounds, where one takes long.
    pub(crate) max_rounds: usize,
    /// With `--large`, and only then.
    pub(crate) large: bool,
    /// Drops caches, which root alone may.
    pub(crate) cold: bool,
    /// Makes the fixture; not timed.
    pub(crate) prepare: fn(&Context, &Subject) -> Result<()>,
    pub(crate) run: fn(&Context, &mut Subject) -> Result<Values>,
    /// Takes the fixture away.
    pub(crate) finish: fn(&Context, &Subject) -> Result<()>,
}

const GROUP: Group = Group {
    rows: &[],
    subjects: &MOUNTS,
    base: Kind::Native,
    max_rounds: usize::MAX,
    large: false,
    cold: false,
    prepare: |_, _| Ok(()),
    run: |_, _| Ok(Vec::new()),
    finish: |_, _| Ok(()),
};

/// All that can be mounted, beside plain files.
const MOUNTS: [Kind; 7] = [
    Kind::Native,
    Kind::Floor,
    Kind::FloorPlain,
    Kind::Storefs,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

/// Subjects of rows that read.
const READERS: [Kind; 8] = [
    Kind::Native,
    Kind::Floor,
    Kind::FloorPlain,
    Kind::Storefs,
    Kind::StorefsReadOnly,
    Kind::Bindfs,
    Kind::Mergerfs,
    Kind::PassthroughHp,
];

/// All groups, in the order of the table.
pub(crate) fn all() -> Vec<&'static Group> {
    let rooms: [&[Group]; 7] = [
        &stream::GROUPS,
        &names::GROUPS,
        &records::GROUPS,
        &purge::GROUPS,
        &sdk::GROUPS,
        &service::GROUPS,
        &large::GROUPS,
    ];
    rooms.into_iter().flatten().collect()
}

/// What a run needs to know.
pub(crate) struct Context {
    /// The directory on the file system that is measured.
    pub(crate) place: PathBuf,
    pub(crate) quick: bool,
    /// The program storefs.
    pub(crate) storefs: PathBuf,
    /// The Python that has the SDK.
    pub(crate) python: Option<PathBuf>,
    /// The directory that has the JavaScript SDK.
    pub(crate) node_modules: Option<PathBuf>,
}

impl Context {
    /// A number of records or repetitions, a tenth of it with `--quick`.
    fn scaled(&self, count: usize) -> usize {
        if self.quick { count / 10 } else { count }
    }

    /// A size of a large file, a sixteenth of it with `--quick`.
    fn sized(&self, mebibytes: usize) -> usize {
        (if self.quick { mebibytes / 16 } else { mebibytes }) * 1024 * 1024
    }

    /// A row's title with the numbers and sizes that are measured.
    pub(crate) fn title(&self, row: &Row) -> String {
        let mut title = String::new();
        let mut rest = row.title;
        while let Some((before, after)) = rest.split_once('{') {
            let (size, after) = after.split_once('}').expect("a brace is closed");
            title += before;
            title += &match size.strip_suffix(" MiB") {
                Some(size) => shown_size(self.sized(size.parse().expect("a size"))),
                None => shown_number(self.scaled(size.parse().expect("a number"))),
            };
            rest = after;
        }
        title + rest
    }
}

fn shown_size(bytes: usize) -> String {
    match bytes / 1024 / 1024 {
        mebibytes if mebibytes % 1024 == 0 => format!("{} GiB", mebibytes / 1024),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

/// A number with a comma before each three digits.
fn shown_number(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{},{rest:03}", shown_number(thousands)),
    }
}

/// Size of a small record.
const RECORD_SIZE: usize = 2048;

/// The store of small records that most rows only read.
const SHELF: &str = "shelf";

fn shelf(context: &Context) -> Records {
    Records::new(context.scaled(10_000), RECORD_SIZE)
}

/// Makes the shelf, once for all groups.
fn stock_shelf(context: &Context, subject: &Subject) -> Result<()> {
    if subject.backing(SHELF).exists() {
        return Ok(());
    }
    subject.fill(SHELF, &shelf(context))
}

/// A value file that all subjects share by hard links, so that the large rows need its room only once.
fn shared_file(context: &Context) -> PathBuf {
    context.place.join("shared-file")
}

fn per_record(seconds: f64, records: usize) -> f64 {
    seconds / records as f64
}

/// A store name that was not used before, so that no cache knows it.
fn fresh(base: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    format!("{base}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How many entries a listing gives.
fn count_entries(path: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(path)? {
        entry?;
        count += 1;
    }
    Ok(count)
}
