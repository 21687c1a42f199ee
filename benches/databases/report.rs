//! Results as a table for people, as Markdown, and as JSON.

use std::fmt::Write as _;

use serde_json::json;

/// What a row of the table counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Records in a second; more is better.
    Rate,
    /// Seconds; less is better.
    Seconds,
}

/// What ours is measured against, and how it is to compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// The row of whom.
    pub(crate) base: &'static str,
    /// At least so many times of a rate, at most so many of a time.
    pub(crate) ratio: f64,
}

/// A row: whose work is measured, at what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goal: Option<Goal>,
}

/// All samples of a row.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) samples: Vec<f64>,
    /// Statements for each record or the whole, where they are counted.
    pub(crate) statements: Option<f64>,
}

impl Measured {
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            length if length % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
            _ => Some(sorted[middle]),
        }
    }

    /// Largest minus smallest, as a part of the median.
    fn spread(&self) -> f64 {
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.samples.iter().copied().fold(0.0, f64::max);
        self.median().map_or(0.0, |median| (most - least) / median)
    }
}

/// The median of a row that has been measured.
fn median_of(all: &[Measured], name: &str) -> Option<f64> {
    all.iter().find(|measured| measured.row.name == name)?.median()
}

/// Ratio to the base, and whether that is the goal.
fn judged(all: &[Measured], measured: &Measured) -> Option<(f64, bool)> {
    let goal = measured.row.goal?;
    let ratio = measured.median()? / median_of(all, goal.base)?;
    let is_reached = match measured.row.unit {
        Unit::Rate => ratio >= goal.ratio,
        Unit::Seconds => ratio <= goal.ratio,
    };
    Some((ratio, is_reached))
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Rate => format!("{value:.0}/s"),
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
    }
}

/// The cells of each row that was measured.
fn cells(all: &[Measured]) -> Vec<[String; 6]> {
    let mut lines = Vec::new();
    for measured in all {
        let Some(median) = measured.median() else { continue };
        let Row { name, title, unit, goal } = measured.row;
        let value = format!("{} ({:.0}%)", shown(median, unit), measured.spread() * 100.0);
        let sign = if unit == Unit::Rate { "at least" } else { "at most" };
        let (ratio, wanted) = match (judged(all, measured), goal) {
            (Some((ratio, is_reached)), Some(goal)) => (
                format!("{ratio:.2} of {}", goal.base),
                format!("{sign} {}{}", goal.ratio, if is_reached { "" } else { ": MISSED" }),
            ),
            _ => Default::default(),
        };
        let statements = measured.statements.map_or(String::new(), |count| format!("{count:.3}"));
        lines.push([name.to_owned(), title.to_owned(), value, ratio, wanted, statements]);
    }
    lines
}

const HEAD: [&str; 6] = ["row", "work", "median (spread)", "ratio", "goal", "statements"];

/// For a terminal.
pub(crate) fn text(all: &[Measured]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(cells(all));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for line in lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    out
}

pub(crate) fn markdown(all: &[Measured]) -> String {
    let mut out = format!("| {} |\n|{}\n", HEAD.join(" | "), " --- |".repeat(HEAD.len()));
    for line in cells(all) {
        let _ = writeln!(out, "| `{}` | {} |", line[0], line[1..].join(" | "));
    }
    out
}

pub(crate) fn json(all: &[Measured]) -> String {
    let rows: Vec<_> = all
        .iter()
        .map(|measured| {
            let judged = judged(all, measured);
            json!({
                "row": measured.row.name,
                "title": measured.row.title,
                "median": measured.median(),
                "samples": measured.samples,
                "base": measured.row.goal.map(|goal| goal.base),
                "ratio": judged.map(|(ratio, _)| ratio),
                "is_reached": judged.map(|(_, is_reached)| is_reached),
                "statements": measured.statements,
            })
        })
        .collect();
    format!("{}\n", json!({ "rows": rows }))
}
