//! Results as tables for people, as Markdown, and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::rows::{Row, Unit};
use crate::subjects::Kind;
use crate::sys::Result;

/// What was measured of one row at one place.
pub(crate) struct Measured {
    pub(crate) place: String,
    pub(crate) row: Row,
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

/// One table: all rows of one place with one base.
struct Table {
    heading: String,
    head: Vec<String>,
    body: Vec<Vec<String>>,
}

fn tables(results: &[Measured]) -> Vec<Table> {
    let mut keys: Vec<(&str, Kind)> = Vec::new();
    for measured in results {
        let key = (measured.place.as_str(), measured.base);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.into_iter().map(|(place, base)| table(results, place, base)).collect()
}

fn table(results: &[Measured], place: &str, base: Kind) -> Table {
    let rows: Vec<&Measured> =
        results.iter().filter(|row| row.place == place && row.base == base).collect();
    let has = |kind: &Kind| rows.iter().any(|row| row.summary(*kind).is_some());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(has).collect();
    let by_floor = kinds.contains(&Kind::Floor) && kinds.contains(&Kind::Storefs);
    let by_peer = kinds.contains(&Kind::Storefs) && kinds.iter().any(|kind| kind.is_peer());

    let mut head = vec!["work".to_owned(), "row".to_owned()];
    head.extend(kinds.iter().map(|kind| kind.label().to_owned()));
    if by_floor {
        head.push("storefs / floor".to_owned());
    }
    if by_peer {
        head.push("storefs / best peer".to_owned());
    }
    let body = rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.row.title.to_owned(), row.row.name.to_owned()];
            cells.extend(kinds.iter().map(|kind| row.cell(*kind)));
            if by_floor {
                cells.push(optional_ratio(row.ratio(Kind::Storefs, Kind::Floor)));
            }
            if by_peer {
                cells.push(optional_ratio(row.to_best_peer()));
            }
            cells
        })
        .collect();
    Table { heading: format!("{place}, ratios to {}", base.label()), head, body }
}

pub(crate) fn text(results: &[Measured]) -> String {
    let mut out = String::new();
    for Table { heading, head, body } in tables(results) {
        let _ = writeln!(out, "== {heading}\n");
        // The titles are for Markdown; a terminal has no room for them.
        let lines: Vec<Vec<String>> =
            std::iter::once(head).chain(body).map(|cells| cells[1..].to_vec()).collect();
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0))
            .collect();
        for line in lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        out.push('\n');
    }
    out
}

pub(crate) fn markdown(results: &[Measured]) -> String {
    let mut out = String::new();
    for Table { heading, head, body } in tables(results) {
        let _ = writeln!(out, "### {heading}\n\n| {} |", head.join(" | "));
        let _ = writeln!(out, "|{}", " --- |".repeat(head.len()));
        for mut line in body {
            line[1] = format!("`{}`", line[1]);
            let _ = writeln!(out, "| {} |", line.join(" | "));
        }
        out.push('\n');
    }
    out
}

pub(crate) fn json(results: &[Measured], places: &[(String, std::path::PathBuf)]) -> String {
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
        "title": measured.row.title,
        "unit": unit,
        "base": measured.base.label(),
        "subjects": subjects,
        "storefs_to_floor": measured.ratio(Kind::Storefs, Kind::Floor),
        "storefs_to_best_peer": measured.to_best_peer(),
    })
}

/// What of the machine matters for the numbers.
fn machine(places: &[(String, std::path::PathBuf)]) -> Value {
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
pub(crate) fn machine_text(places: &[(String, std::path::PathBuf)]) -> String {
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
