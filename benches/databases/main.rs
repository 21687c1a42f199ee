//! Measures a mounted database, and the library on it, beside the client's own code and the database's own program.
//! `scripts/bench --source` calls this; docs/PERFORMANCE.md tells how to read the table.

// A harness may end with a panic; the lints are for the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Counts and times are far from where a double loses digits.
#![allow(clippy::cast_precision_loss)]

mod database;
mod mounted;
#[path = "../../tests/common/postgres.rs"]
mod postgres;
mod report;
mod rows;
#[path = "../mounts/sdk_rate.rs"]
mod sdk_rate;
#[path = "../../tests/common/sqlite.rs"]
mod sqlite;
#[allow(dead_code)]
#[path = "../mounts/sys.rs"]
mod sys;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use database::Kind;

/// Measures a mounted database beside the client's own code and the database's own program.
#[derive(Parser, Debug)]
#[command(name = "databases")]
struct Args {
    /// Which database.
    #[arg(long, value_enum)]
    source: Kind,
    /// Where to measure: a name and an empty directory.
    #[arg(long, value_name = "NAME=DIR", value_parser = place, default_value = "none=")]
    place: PathBuf,
    /// Only the rows that begin with one of these.
    #[arg(long, value_name = "ROW,...", value_delimiter = ',')]
    only: Vec<String>,
    /// How often each row is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A tenth of the work, in one round.
    #[arg(long)]
    quick: bool,
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
    /// The Python that has the SDK with its SQL client.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The directory of a place; its name is said by whoever has made it.
fn place(text: &str) -> std::result::Result<PathBuf, String> {
    let (_, dir) = text.split_once('=').ok_or("NAME=DIR is wanted")?;
    Ok(PathBuf::from(dir))
}

fn main() -> ExitCode {
    match rows::measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("databases: {error}");
            ExitCode::FAILURE
        }
    }
}
