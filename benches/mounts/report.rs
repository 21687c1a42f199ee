//! Results as tables for people, as Markdown, and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::rows::{Row, Unit};
use crate::subjects::Kind;
use crate::sys::Result;

/// The form in which results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Text,
    Markdown,
    Json,
}

/// All that was measured so far.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) form: Form,
    /// Names and directories.
    pub(crate) places: Vec<(String, PathBuf)>,
    pub(crate) rows: Vec<Measured>,
}

impl Results {
    /// Prints all; whoever reads it may have gone.
    pub(crate) fn print(&self) {
        let text = match self.form {
            Form::Json => json(&self.rows, &self.places),
            Form::Markdown => format!("{}\n{}", machine_text(&self.places), markdown(&self.rows)),
            Form::Text => format!("{}\n{}", text(&self.rows, true), machine_text(&self.places)),
        };
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// Prints what there is, and ends, when somebody does not want to wait any longer. In a thread of its own, so that it
/// does not wait for the measurement under way, which may take minutes or hang.
pub(crate) fn print_when_told_to_end(results: &Arc<Mutex<Results>>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let results = Arc::clone(results);
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        // Held to the end, so that nothing is printed twice.
        let results = results.lock();
        eprintln!("mounts: told to end; this is what was measured so far");
        results.print();
        std::process::exit(128 + signal);
    });
    Ok(())
}

/// What was measured of one row at one place.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) place: String,
    pub(crate) row: Row,
    /// What was done, with the numbers of this run.
    pub(crate) title: String,
    /// The subject that the ratios refer to.
    pub(crate) base: Kind,
    /// A value for each round, by subject.
    pub(crate) samples: Vec<(Kind, Vec<f64>)>,
}

/// The middle of some values, and how far they lie apart, as a part of it.
#[derive(Clone, Copy)]
struct Summary {
    median: f64,
    spread: f64,
}

impl Measured {
    /// Notes a value.
    pub(crate) fn add(&mut self, kind: Kind, value: f64) {
        match self.samples.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, values)) => values.push(value),
            None => self.samples.push((kind, vec![value])),
        }
    }

    fn summary(&self, kind: Kind) -> Option<Summary> {
        let (_, values) = self.samples.iter().find(|(of, _)| *of == kind)?;
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 0 {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        let spread = if median == 0.0 { 0.0 } else { (last - first) / median.abs() };
        Some(Summary { median, spread })
    }

    /// How many times the one is of the other; nothing if one is not measured.
    fn ratio(&self, kind: Kind, base: Kind) -> Option<f64> {
        let (value, base) = (self.summary(kind)?.median, self.summary(base)?.median);
        (base != 0.0).then_some(value / base)
    }

    /// storefs beside the best of the peers; below 1 it is ahead.
    fn to_best_peer(&self) -> Option<f64> {
        let peers = Kind::ALL.into_iter().filter(|kind| kind.is_peer());
        peers.filter_map(|peer| self.ratio(Kind::Storefs, peer)).max_by(f64::total_cmp)
    }

    /// As short as it can be, for a terminal: value and ratio, marked where the rounds lie far apart.
    fn short_cell(&self, kind: Kind) -> String {
        let Some(Summary { median, spread }) = self.summary(kind) else { return "-".to_owned() };
        let mut cell = shown(median, self.row.unit).replace(' ', "");
        if let Some(ratio) = self.ratio(kind, self.base).filter(|_| kind != self.base) {
            cell += " ";
            cell += &shown_ratio(ratio);
        }
        if spread > WIDE_SPREAD {
            cell.push('~');
        }
        cell
    }

    fn cell(&self, kind: Kind) -> String {
        let Some(Summary { median, spread }) = self.summary(kind) else { return "-".to_owned() };
        let spread = spread * 100.0;
        let value = shown(median, self.row.unit);
        match self.ratio(kind, self.base) {
            Some(ratio) if kind != self.base => {
                format!("{} ({value}, {spread:.0}%)", shown_ratio(ratio))
            }
            _ => format!("{value} ({spread:.0}%)"),
        }
    }
}

/// From this spread on, a short cell is marked.
const WIDE_SPREAD: f64 = 0.25;

fn shown_ratio(ratio: f64) -> String {
    if ratio >= 100.0 { format!("{ratio:.0}") } else { format!("{ratio:.2}") }
}

fn shown(value: f64, unit: Unit) -> String {
    let (scaled, unit) = match unit {
        Unit::Rate => return format!("{value:.0}/s"),
        Unit::Seconds if value == 0.0 => return "0".to_owned(),
        Unit::Seconds if value < 1e-6 => (value * 1e9, "ns"),
        Unit::Seconds if value < 1e-3 => (value * 1e6, "us"),
        Unit::Seconds if value < 1.0 => (value * 1e3, "ms"),
        Unit::Seconds => (value, "s"),
        Unit::Bytes if value.abs() < 10_000.0 => return format!("{value:.0} B"),
        Unit::Bytes => (value / 1024.0 / 1024.0, "MiB"),
    };
    match scaled {
        scaled if scaled >= 100.0 => format!("{scaled:.0} {unit}"),
        scaled if scaled >= 10.0 => format!("{scaled:.1} {unit}"),
        scaled => format!("{scaled:.2} {unit}"),
    }
}

fn optional_ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), shown_ratio)
}

/// One table: all rows of one place with one base, and the subjects that any of them has.
struct Table<'a> {
    place: &'a str,
    base: Kind,
    rows: Vec<&'a Measured>,
    kinds: Vec<Kind>,
    /// Whether storefs is compared with the floor, and with peers.
    by_floor: bool,
    by_peer: bool,
}

fn tables(results: &[Measured]) -> Vec<Table<'_>> {
    let mut keys: Vec<(&str, Kind)> = Vec::new();
    for measured in results {
        let key = (measured.place.as_str(), measured.base);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.into_iter().map(|(place, base)| table(results, place, base)).collect()
}

fn table<'a>(results: &'a [Measured], place: &'a str, base: Kind) -> Table<'a> {
    let rows: Vec<&Measured> =
        results.iter().filter(|row| row.place == place && row.base == base).collect();
    let has = |kind: &Kind| rows.iter().any(|row| row.summary(*kind).is_some());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(has).collect();
    let by_floor = kinds.contains(&Kind::Floor) && kinds.contains(&Kind::Storefs);
    let by_peer = kinds.contains(&Kind::Storefs) && kinds.iter().any(|kind| kind.is_peer());
    Table { place, base, rows, kinds, by_floor, by_peer }
}

impl Table<'_> {
    fn heading(&self) -> String {
        format!("{}, ratios to {}", self.place, self.base.label())
    }

    /// The last cells of a row: what remains to be gained.
    fn comparisons(&self, row: &Measured) -> Vec<String> {
        let mut cells = Vec::new();
        if self.by_floor {
            cells.push(optional_ratio(row.ratio(Kind::Storefs, Kind::Floor)));
        }
        if self.by_peer {
            cells.push(optional_ratio(row.to_best_peer()));
        }
        cells
    }

    fn comparison_heads(&self, floor: &str, peer: &str) -> Vec<String> {
        let mut heads = Vec::new();
        if self.by_floor {
            heads.push(floor.to_owned());
        }
        if self.by_peer {
            heads.push(peer.to_owned());
        }
        heads
    }
}

/// Tables for a terminal. The titles are too long for a column; `with_titles` puts them below.
pub(crate) fn text(results: &[Measured], with_titles: bool) -> String {
    let mut out = String::new();
    for table in tables(results) {
        let _ = writeln!(out, "== {}", table.heading());
        let mut lines = vec![vec!["row".to_owned()]];
        lines[0].extend(table.kinds.iter().map(|kind| kind.short_label().to_owned()));
        lines[0].extend(table.comparison_heads("/floor", "/peer"));
        for row in &table.rows {
            let mut cells = vec![row.row.name.to_owned()];
            cells.extend(table.kinds.iter().map(|kind| row.short_cell(*kind)));
            cells.extend(table.comparisons(row));
            lines.push(cells);
        }
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0))
            .collect();
        for line in lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        out.push('\n');
    }
    if with_titles {
        let mut named = Vec::new();
        for row in results.iter().filter(|row| row.place == results[0].place) {
            if !named.contains(&row.row.name) {
                named.push(row.row.name);
                let _ = writeln!(out, "{:<18} {}", row.row.name, row.title);
            }
        }
        let _ = writeln!(
            out,
            "\nA cell: the median, and its ratio to the base; ~: the rounds lie more than {:.0} % apart. \
             read-only, no-xattr: storefs with that option. /floor, /peer: storefs beside the floor and the \
             fastest peer.",
            WIDE_SPREAD * 100.0
        );
    }
    out
}

fn markdown(results: &[Measured]) -> String {
    let mut out = String::new();
    for table in tables(results) {
        let mut head = vec!["work".to_owned(), "row".to_owned()];
        head.extend(table.kinds.iter().map(|kind| kind.label().to_owned()));
        head.extend(table.comparison_heads("storefs / floor", "storefs / best peer"));
        let _ = writeln!(out, "### {}\n\n| {} |", table.heading(), head.join(" | "));
        let _ = writeln!(out, "|{}", " --- |".repeat(head.len()));
        for row in &table.rows {
            let mut cells = vec![row.title.clone(), format!("`{}`", row.row.name)];
            cells.extend(table.kinds.iter().map(|kind| row.cell(*kind)));
            cells.extend(table.comparisons(row));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out.push('\n');
    }
    out
}

fn json(results: &[Measured], places: &[(String, PathBuf)]) -> String {
    let rows: Vec<Value> = results.iter().map(row_json).collect();
    let mut text = json!({ "machine": machine(places), "rows": rows }).to_string();
    text.push('\n');
    text
}

fn row_json(measured: &Measured) -> Value {
    let unit = match measured.row.unit {
        Unit::Seconds => "seconds",
        Unit::Rate => "per second",
        Unit::Bytes => "bytes",
    };
    let subjects: serde_json::Map<String, Value> = measured
        .samples
        .iter()
        .filter_map(|(kind, values)| {
            let Summary { median, spread } = measured.summary(*kind)?;
            let ratio = measured.ratio(*kind, measured.base);
            let facts =
                json!({ "median": median, "spread": spread, "ratio": ratio, "samples": values });
            Some((kind.label().to_owned(), facts))
        })
        .collect();
    json!({
        "place": measured.place,
        "row": measured.row.name,
        "title": measured.title,
        "unit": unit,
        "base": measured.base.label(),
        "subjects": subjects,
        "storefs_to_floor": measured.ratio(Kind::Storefs, Kind::Floor),
        "storefs_to_best_peer": measured.to_best_peer(),
    })
}

/// What of the machine matters for the numbers.
fn machine(places: &[(String, PathBuf)]) -> Value {
    let first_word = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let memory = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.lines().next()?.split_whitespace().nth(1)?.parse::<u64>().ok());
    let file_systems: serde_json::Map<String, Value> = places
        .iter()
        .map(|(name, path)| (name.clone(), json!(file_system(path).unwrap_or_default())))
        .collect();
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": memory.unwrap_or(0) / 1024 / 1024,
        "kernel": first_word("/proc/sys/kernel/osrelease"),
        "load": first_word("/proc/loadavg"),
        "file_systems": file_systems,
    })
}

/// Type and options of the file system that a path is on.
fn file_system(path: &Path) -> Result<String> {
    let path = fs::canonicalize(path)?;
    let table = fs::read_to_string("/proc/self/mounts")?;
    let mounts = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        path.starts_with(fields.get(1)?).then(|| (fields[1].len(), fields[2], fields[3]))
    });
    // Of two mounts at one place, the later one is on top.
    let (_, kind, options) =
        mounts.max_by_key(|(length, _, _)| *length).ok_or("it is on no file system")?;
    Ok(format!("{kind} ({options})"))
}

/// The machine in words.
fn machine_text(places: &[(String, PathBuf)]) -> String {
    let machine = machine(places);
    let mut out = format!(
        "{} cores, {} GiB of memory, Linux {}, load {} at the end\n",
        machine["cores"],
        machine["memory_gib"],
        machine["kernel"].as_str().unwrap_or_default(),
        machine["load"].as_str().unwrap_or_default(),
    );
    for (name, kind) in machine["file_systems"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "{name}: {}", kind.as_str().unwrap_or_default());
    }
    out
}
