//! Results as a table for people, as Markdown, and as JSON.

use std::fmt::Write as _;

use serde_json::json;

use crate::rows::{Cell, ROWS, Row, Subject, Table, Unit};

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Throughput => format!("{value:.0} MiB/s"),
        Unit::Rate => format!("{value:.0}/s"),
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
    }
}

/// Each goal of a row: the ratio, beside whom, and what was wanted.
fn goals(table: &Table, row: &Row) -> String {
    let sign = if row.unit == Unit::Seconds { "<=" } else { ">=" };
    let said = row.goals.iter().filter_map(|goal| {
        let (ratio, is_reached) = table.judged(row, goal)?;
        let whose = if goal.row == row.name { goal.subject.name() } else { goal.row };
        let end = if is_reached { "" } else { ": MISSED" };
        Some(format!("{ratio:.2} of {whose} ({sign} {}{end})", goal.ratio))
    });
    said.collect::<Vec<_>>().join(", ")
}

/// A line for each row: its name, its title, something of each subject.
fn lines(
    table: &Table,
    subjects: &[Subject],
    of: impl Fn(&Row, &Cell) -> Option<String>,
) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for row in &ROWS {
        let cells = subjects.iter().map(|subject| {
            let cell = table.0.get(&(row.name, *subject))?;
            of(row, cell)
        });
        let cells: Vec<Option<String>> = cells.collect();
        if cells.iter().any(Option::is_some) {
            let mut line = vec![row.name.to_owned()];
            line.extend(cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())));
            lines.push(line);
        }
    }
    lines
}

fn measured(row: &Row, cell: &Cell) -> Option<String> {
    let median = cell.median()?;
    Some(format!("{} ({:.0}%)", shown(median, row.unit), cell.spread() * 100.0))
}

fn memory(_: &Row, cell: &Cell) -> Option<String> {
    (cell.memory > 0.0).then(|| format!("{:.0} MiB", cell.memory / f64::from(1 << 20)))
}

/// The tables, each with its head.
fn tables(table: &Table) -> Vec<(&'static str, Vec<Vec<String>>)> {
    let present = |subject: &Subject| table.0.keys().any(|(_, of)| of == subject);
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(present).collect();
    let names = subjects.iter().map(|subject| subject.name().to_owned());
    let head: Vec<String> = std::iter::once("row".to_owned()).chain(names).collect();
    let with_head = |lines: Vec<Vec<String>>| [vec![head.clone()], lines].concat();
    let mut results = with_head(lines(table, &subjects, measured));
    for line in &mut results {
        let row = ROWS.iter().find(|row| row.name == line[0]);
        let (title, goals) = match row {
            Some(row) => (row.title.to_owned(), goals(table, row)),
            None => ("work".to_owned(), "storefs (goal)".to_owned()),
        };
        line.insert(1, title);
        line.push(goals);
    }
    let requests = lines(table, &subjects, |_, cell| cell.requests.clone());
    vec![
        ("Medians (spread), and storefs beside others", results),
        ("Requests", with_head(requests)),
        ("The most memory of the daemon", with_head(lines(table, &subjects, memory))),
    ]
}

/// For a terminal.
pub(crate) fn text(table: &Table) -> String {
    let mut out = String::new();
    for (title, lines) in tables(table) {
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0))
            .collect();
        let _ = writeln!(out, "{title}\n");
        for line in lines {
            let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
        }
        out.push('\n');
    }
    out
}

pub(crate) fn markdown(table: &Table) -> String {
    let mut out = String::new();
    for (title, lines) in tables(table) {
        let _ = writeln!(out, "{title}:\n");
        for (at, line) in lines.iter().enumerate() {
            let first = if at == 0 { line[0].clone() } else { format!("`{}`", line[0]) };
            let _ = writeln!(out, "| {first} | {} |", line[1..].join(" | "));
            if at == 0 {
                let _ = writeln!(out, "|{}", " --- |".repeat(line.len()));
            }
        }
        out.push('\n');
    }
    out
}

pub(crate) fn json(table: &Table) -> String {
    let cells = table.0.iter().map(|((row, subject), cell)| {
        json!({
            "row": row,
            "subject": subject.name(),
            "median": cell.median(),
            "samples": cell.samples,
            "memory_bytes": cell.memory,
            "requests": cell.requests,
        })
    });
    let goals = ROWS.iter().flat_map(|row| {
        row.goals.iter().filter_map(|goal| {
            let (ratio, is_reached) = table.judged(row, goal)?;
            Some(json!({
                "row": row.name,
                "beside": goal.subject.name(),
                "beside_row": goal.row,
                "ratio": ratio,
                "wanted": goal.ratio,
                "is_reached": is_reached,
            }))
        })
    });
    let (cells, goals): (Vec<_>, Vec<_>) = (cells.collect(), goals.collect());
    format!("{}\n", json!({ "cells": cells, "goals": goals }))
}
