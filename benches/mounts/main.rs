//! Measures storefs beside plain files, the do-nothing floor and other FUSE file systems. `scripts/bench` sets
//! the places up and calls this; docs/PERFORMANCE.md tells how to read the table.

// A harness may end with a panic; the lints are for the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Counts and times are far from where a double loses digits.
#![allow(clippy::cast_precision_loss)]

mod floor;
mod measure;
mod report;
mod rows;
mod sdk_rate;
mod subjects;
mod sys;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures storefs beside plain files, the do-nothing floor and other FUSE file systems.
#[derive(Parser, Debug)]
#[command(name = "mounts", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    helper: Option<Helper>,
    /// Where to measure: a name and an empty directory. May be repeated.
    #[arg(long = "place", value_name = "NAME=DIR", value_parser = place)]
    places: Vec<(String, PathBuf)>,
    /// Only these rows; a name also stands for the rows that begin with it.
    #[arg(long, value_name = "ROW,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these subjects.
    #[arg(long, value_name = "SUBJECT,...", value_delimiter = ',')]
    subjects: Vec<String>,
    /// How often each row is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A tenth of the work, in one round.
    #[arg(long)]
    quick: bool,
    /// The rows about a million records instead, which take minutes to prepare.
    #[arg(long)]
    large: bool,
    /// Print JSON, with every sample.
    #[arg(long)]
    json: bool,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the names of the rows.
    #[arg(long)]
    list: bool,
    /// The program to measure.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_storefs"))]
    storefs: PathBuf,
    /// Threads that serve the floor.
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    floor_threads: usize,
    /// The Python that has the SDK.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// The node_modules that have the JavaScript SDK.
    #[arg(long, value_name = "DIR")]
    node_modules: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program is called for by itself.
#[derive(Subcommand, Debug)]
enum Helper {
    /// Serve the floor.
    #[command(hide = true)]
    ServeFloor {
        #[arg(long)]
        tuned: bool,
        #[arg(long)]
        threads: usize,
        mountpoint: PathBuf,
    },
    /// Read records, once for each line of the input.
    #[command(hide = true)]
    ReadRecords { store: PathBuf, from: usize, to: usize },
}

fn place(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, dir) = text.split_once('=').ok_or("NAME=DIR is wanted")?;
    Ok((name.to_owned(), PathBuf::from(dir)))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.helper {
        Some(Helper::ServeFloor { tuned, threads, mountpoint }) => {
            floor::serve(mountpoint, *tuned, *threads)
                .map_err(|error| error.to_string().into())
                .map(|()| true)
        }
        Some(Helper::ReadRecords { store, from, to }) => {
            rows::read_records(store, *from, *to).map(|()| true)
        }
        None => measure::measure(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mounts: {error}");
            ExitCode::FAILURE
        }
    }
}
