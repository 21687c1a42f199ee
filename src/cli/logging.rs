//! Where log lines go, and which ones.
//!
//! Commands report at standard error, as `storefs: warning: ...`. A mount's log has times, and goes to
//! standard error in the foreground, to a file in the background: there the daemon puts the file in standard
//! error's place. A line is not written twice a day (`told`).

use std::fs::File;
use std::io::Write;

use env_logger::{Builder, Env, Target, WriteStyle};
use log::Level;

use super::args::Cli;
use super::config;
use super::failure::{Failure, Outcome};
use super::output::printable;
use super::told::ToldOnce;
use crate::mount;

/// The variable that decides instead of `-v`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Sets up the log of this process.
///
/// # Errors
/// If a mount's log file cannot be opened.
pub(super) fn start(cli: &Cli) -> Outcome {
    let mut builder = Builder::new();
    builder.parse_filters(filter(cli.common.verbose, cli.daemon().is_some()));
    builder.parse_env(Env::new().filter(FILTER_VARIABLE));
    match cli.daemon() {
        None => {
            builder.format(|line, record| {
                let level = match record.level() {
                    Level::Error => "error",
                    Level::Warn => "warning",
                    Level::Info => "info",
                    Level::Debug => "debug",
                    Level::Trace => "trace",
                };
                writeln!(line, "storefs: {level}: {}", printable(&record.args().to_string()))
            });
        }
        Some(mount) => {
            builder.format_timestamp_millis();
            if !mount.foreground {
                // Standard error may be a terminal now, and is a file in the daemon.
                builder.write_style(WriteStyle::Never);
            } else if let Some(log) = log_file(cli)? {
                builder.target(Target::Pipe(Box::new(log)));
            }
        }
    }
    let log = builder.build();
    log::set_max_level(log.filter());
    // It is set only once in the life of a process, so it cannot be there already.
    let _ = log::set_boxed_logger(Box::new(ToldOnce::new(log)));
    Ok(())
}

/// The log file that the command line names.
///
/// # Errors
/// If it cannot be opened.
pub(super) fn log_file(cli: &Cli) -> Outcome<Option<File>> {
    let Some(path) = cli.daemon().and_then(config::log_file) else { return Ok(None) };
    match mount::open_log(&path) {
        Ok(log) => Ok(Some(log)),
        Err(error) => {
            Err(Failure::Failed(format!("cannot open log file '{}': {error}", path.display())))
        }
    }
}

fn filter(verbose: u8, is_mount: bool) -> &'static str {
    match verbose {
        0 if is_mount => "warn,storefs::mount=info",
        0 => "warn",
        1 => "warn,storefs=info",
        2 => "info,storefs=debug",
        _ => "trace",
    }
}
