//! Measures a mounted bucket beside other mounts of the same bucket, and beside what the crate that storefs speaks S3 with
//! does by itself. `scripts/bench --source s3` calls this; docs/PERFORMANCE.md tells how to read the table.

// A harness may end with a panic; the lints are for the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Counts and times are far from where a double loses digits.
#![allow(clippy::cast_precision_loss)]

#[path = "../../tests/common/buckets.rs"]
mod buckets;
/// By the path that what is shared with the tests has for it.
mod common {
    pub(crate) use crate::buckets;
}
mod large;
mod mounted;
mod own;
#[allow(dead_code)]
#[path = "../../tests/buckets/proxy.rs"]
mod proxy;
mod report;
mod rows;
mod run;
mod served;
#[allow(dead_code)]
#[path = "../mounts/sys.rs"]
mod sys;
#[path = "../../tests/buckets/weed.rs"]
mod weed;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use rows::Subject;

/// Measures a mounted bucket beside other mounts of it.
#[derive(Parser, Debug)]
#[command(name = "buckets")]
struct Args {
    /// What is measured; there is one.
    #[arg(long, value_parser = ["s3"], default_value = "s3")]
    source: String,
    /// Where mounts and their caches are: a name and an empty directory.
    #[arg(long, value_name = "NAME=DIR", value_parser = place, default_value = "none=")]
    place: PathBuf,
    /// Ask a SeaweedFS of seven processes, which keeps each object twice, in place of one process.
    #[arg(long)]
    cluster: bool,
    /// Milliseconds that each request and each answer takes on its way, through a proxy. weed has another way.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Only the rows that begin with one of these.
    #[arg(long, value_name = "ROW,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these subjects.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    subjects: Vec<Subject>,
    /// How often each row is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A tenth of the work, in one round.
    #[arg(long)]
    quick: bool,
    /// Records in the large listing.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    listed: usize,
    /// Do not count requests, which is a round of its own, through a proxy.
    #[arg(long)]
    uncounted: bool,
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
    /// What scripts/bench says to all harnesses.
    #[arg(long, hide = true)]
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
    match run::measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("buckets: {error}");
            ExitCode::FAILURE
        }
    }
}
