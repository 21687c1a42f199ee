//! Measures storefs beside plain files, the do-nothing floor and other FUSE file systems. `scripts/bench` sets
//! the places up and calls this; docs/PERFORMANCE.md tells how to read the table.

// A harness may end with a panic; the lints are for the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Counts and times are far from where a double loses digits.
#![allow(clippy::cast_precision_loss)]

mod floor;
mod report;
mod rows;
mod subjects;
mod sys;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use signal_hook::consts::SIGTERM;
use signal_hook::flag;

use report::Measured;
use rows::{Context, Group};
use subjects::{Kind, Programs, Subject};
use sys::Result;

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
    /// Also the rows about a million records, which take minutes to prepare.
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
        None => measure(&args),
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

/// Measures and prints; gives back whether everything could be measured.
fn measure(args: &Args) -> Result<bool> {
    let wanted = wanted_groups(args)?;
    if args.list {
        for row in wanted.iter().flat_map(|group| group.rows) {
            println!("{:<20} {}", row.name, row.title);
        }
        return Ok(true);
    }
    // What was measured so far is printed when it is told to end; the second time it ends at once.
    let told_to_end = Arc::new(AtomicBool::new(false));
    flag::register_conditional_shutdown(SIGTERM, 128 + SIGTERM, Arc::clone(&told_to_end))?;
    flag::register(SIGTERM, Arc::clone(&told_to_end))?;

    let mut results = Vec::new();
    let mut complete = true;
    for (name, dir) in &args.places {
        let context = Context {
            place: dir.clone(),
            quick: args.quick,
            storefs: args.storefs.clone(),
            python: args.python.clone(),
            node_modules: args.node_modules.clone(),
            told_to_end: Arc::clone(&told_to_end),
        };
        complete &= measure_place(args, name, &context, &wanted, &mut results)?;
    }
    results.retain(|measured| is_wanted(&args.only, measured.row.name));
    if args.json {
        print!("{}", report::json(&results, &args.places));
    } else if args.markdown {
        print!("{}\n{}", report::machine_text(&args.places), report::markdown(&results));
    } else {
        print!("{}\n{}", report::text(&results), report::machine_text(&args.places));
    }
    Ok(complete)
}

fn is_wanted(only: &[String], row: &str) -> bool {
    let stands_for = |name: &String| {
        row.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    only.is_empty() || only.iter().any(stands_for)
}

fn wanted_groups(args: &Args) -> Result<Vec<&'static Group>> {
    let all = rows::all();
    for name in &args.only {
        let known = |group: &&Group| {
            group.rows.iter().any(|row| is_wanted(std::slice::from_ref(name), row.name))
        };
        if !all.iter().any(known) {
            return Err(format!("there is no row {name:?}; --list names them").into());
        }
    }
    for name in &args.subjects {
        if !Kind::ALL.iter().any(|kind| kind.label() == name) {
            return Err(format!("there is no subject {name:?}").into());
        }
    }
    let is_root = rustix::process::geteuid().is_root();
    let mut wanted = all;
    wanted.retain(|group| group.rows.iter().any(|row| is_wanted(&args.only, row.name)));
    wanted.retain(|group| args.large || !group.large);
    if !is_root && wanted.iter().any(|group| group.cold) {
        eprintln!("mounts: SKIPPED: rows with caches dropped; only root can drop them");
        wanted.retain(|group| !group.cold);
    }
    Ok(wanted)
}

fn measure_place(
    args: &Args,
    name: &str,
    context: &Context,
    groups: &[&'static Group],
    results: &mut Vec<Measured>,
) -> Result<bool> {
    let programs = Programs { storefs: args.storefs.clone(), floor_threads: args.floor_threads };
    let is_asked = |kind: &Kind| {
        (args.subjects.is_empty() || args.subjects.iter().any(|name| name == kind.label()))
            && programs.has(*kind)
            && match kind {
                Kind::CrawleePython => args.python.is_some(),
                Kind::CrawleeJs3 => args.node_modules.is_some(),
                _ => true,
            }
    };
    let mut subjects = Vec::new();
    for kind in Kind::ALL.into_iter().filter(is_asked) {
        if groups.iter().any(|group| group.subjects.contains(&kind)) {
            subjects.push(Subject::start(kind, &context.place, &programs)?);
        }
    }
    let mut complete = true;
    for group in groups {
        if context.told_to_end.load(Ordering::Relaxed) {
            return Ok(false);
        }
        complete &= measure_group(args, name, context, group, &mut subjects, results);
    }
    Ok(complete)
}

fn measure_group(
    args: &Args,
    place: &str,
    context: &Context,
    group: &'static Group,
    subjects: &mut [Subject],
    results: &mut Vec<Measured>,
) -> bool {
    let rounds = if args.quick { 1 } else { args.rounds.min(group.max_rounds) };
    let row = group.rows.first().map_or("", |row| row.name);
    let mut measured: Vec<Measured> = group
        .rows
        .iter()
        .map(|row| Measured {
            place: place.to_owned(),
            row: *row,
            base: group.base,
            samples: Vec::new(),
        })
        .collect();
    let mut taking_part: Vec<&mut Subject> =
        subjects.iter_mut().filter(|subject| group.subjects.contains(&subject.kind)).collect();
    let mut complete = true;
    let mut report = |kind: Kind, outcome: Result<()>| {
        if let Err(error) = &outcome {
            eprintln!("mounts: FAILED: {row} of {}: {error}", kind.label());
            complete = false;
        }
        outcome.is_ok()
    };
    taking_part.retain(|subject| report(subject.kind, (group.prepare)(context, subject)));
    for round in 1..=rounds {
        if context.told_to_end.load(Ordering::Relaxed) {
            break;
        }
        eprintln!("mounts: {place}: {row}, round {round} of {rounds}");
        // Interleaved, so that a busy minute of the machine meets all subjects alike.
        taking_part.retain_mut(|subject| {
            if context.told_to_end.load(Ordering::Relaxed) {
                return true;
            }
            let outcome = (group.run)(context, subject).map(|values| {
                for (name, value) in values {
                    add(&mut measured, name, subject.kind, value);
                }
            });
            report(subject.kind, outcome)
        });
    }
    for subject in &taking_part {
        report(subject.kind, (group.finish)(context, subject));
    }
    results.append(&mut measured);
    complete
}

fn add(measured: &mut [Measured], row: &str, kind: Kind, value: f64) {
    let Some(of_row) = measured.iter_mut().find(|measured| measured.row.name == row) else {
        panic!("no row is called {row}");
    };
    match of_row.samples.iter_mut().find(|(of, _)| *of == kind) {
        Some((_, values)) => values.push(value),
        None => of_row.samples.push((kind, vec![value])),
    }
}
