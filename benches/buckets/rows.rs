//! What is measured: whose work, at what, and what it is to reach.

use std::collections::BTreeMap;

use clap::ValueEnum;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Subject {
    /// The crate that storefs speaks S3 with, by itself.
    Crate,
    Storefs,
    Rclone,
    S3fs,
    Weed,
    /// `aws s3`.
    Aws,
    /// A file on the disk, in the kernel's memory.
    File,
}

impl Subject {
    pub(crate) const ALL: [Self; 7] =
        [Self::Crate, Self::Storefs, Self::Rclone, Self::S3fs, Self::Weed, Self::Aws, Self::File];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crate => "crate",
            Self::Storefs => "storefs",
            Self::Rclone => "rclone",
            Self::S3fs => "s3fs",
            Self::Weed => "weed",
            Self::Aws => "aws",
            Self::File => "file",
        }
    }
}

use Subject::{Aws, Crate, File, Rclone, S3fs, Storefs, Weed};

/// What the numbers of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// MiB in a second; more is better.
    Throughput,
    /// Records in a second; more is better.
    Rate,
    /// Seconds; less is better.
    Seconds,
}

/// How storefs is to compare: at least so many times of a rate, at most so many of a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) ratio: f64,
    pub(crate) subject: Subject,
    pub(crate) row: &'static str,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) subjects: &'static [Subject],
    pub(crate) goals: &'static [Goal],
}

const fn goal(ratio: f64, subject: Subject, row: &'static str) -> Goal {
    Goal { ratio, subject, row }
}

/// All that a mount can do; the crate is the yardstick.
const MOUNTS: &[Subject] = &[Crate, Storefs, Rclone, S3fs, Weed];

pub(crate) const ROWS: [Row; 9] = [
    Row {
        name: "read-large",
        title: "read a large record, cold",
        unit: Unit::Throughput,
        subjects: MOUNTS,
        goals: &[
            goal(0.8, Crate, "read-large"),
            goal(1.0, Rclone, "read-large"),
            goal(1.0, S3fs, "read-large"),
        ],
    },
    Row {
        name: "read-large-again",
        title: "... again; a file of the disk that is in memory",
        unit: Unit::Throughput,
        subjects: &[Storefs, Rclone, S3fs, Weed, File],
        goals: &[goal(0.8, File, "read-large-again")],
    },
    Row {
        name: "read-1",
        title: "read records of 2 KiB, cold, one reader",
        unit: Unit::Rate,
        subjects: MOUNTS,
        goals: &[goal(1.0, Rclone, "read-1"), goal(1.0, S3fs, "read-1"), goal(1.0, Weed, "read-1")],
    },
    Row {
        name: "read-8",
        title: "... 8 readers",
        unit: Unit::Rate,
        subjects: MOUNTS,
        goals: &[goal(4.0, Storefs, "read-1")],
    },
    Row {
        name: "list",
        title: "`ls -l` of a large store, new mount",
        unit: Unit::Seconds,
        subjects: MOUNTS,
        goals: &[goal(1.2, Crate, "list")],
    },
    Row {
        name: "write-1",
        title: "write new records of 2 KiB, one writer",
        unit: Unit::Rate,
        subjects: MOUNTS,
        goals: &[],
    },
    Row {
        name: "write-8",
        title: "... 8 writers",
        unit: Unit::Rate,
        subjects: MOUNTS,
        goals: &[goal(4.0, Storefs, "write-1")],
    },
    Row {
        name: "write-large",
        title: "write a large record",
        unit: Unit::Throughput,
        subjects: MOUNTS,
        goals: &[goal(0.7, Crate, "write-large")],
    },
    Row {
        name: "purge",
        title: "empty a store: `echo 1 > @purge`, `aws s3 rm --recursive`, in bulk by the crate",
        unit: Unit::Seconds,
        subjects: &[Crate, Storefs, Aws],
        goals: &[goal(0.1, Aws, "purge")],
    },
];

/// What was measured of a subject in a row.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) samples: Vec<f64>,
    /// The most that its daemon has held by the end of the row, in bytes.
    pub(crate) memory: f64,
    /// Requests of each kind, where they were counted.
    pub(crate) requests: Option<String>,
}

impl Cell {
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
    pub(crate) fn spread(&self) -> f64 {
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.samples.iter().copied().fold(0.0, f64::max);
        self.median().map_or(0.0, |median| (most - least) / median)
    }
}

/// All cells, by row and subject.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<(&'static str, Subject), Cell>);

impl Table {
    pub(crate) fn median(&self, row: &'static str, subject: Subject) -> Option<f64> {
        self.0.get(&(row, subject))?.median()
    }

    /// Ratio of storefs to what a goal names, and whether that is the goal.
    pub(crate) fn judged(&self, row: &Row, goal: &Goal) -> Option<(f64, bool)> {
        let ratio = self.median(row.name, Storefs)? / self.median(goal.row, goal.subject)?;
        let is_reached = match row.unit {
            Unit::Throughput | Unit::Rate => ratio >= goal.ratio,
            Unit::Seconds => ratio <= goal.ratio,
        };
        Some((ratio, is_reached))
    }
}
