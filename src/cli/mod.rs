//! The command line: arguments, output, exit status.
//!
//! `args` is the grammar, `config` gives the arguments their meaning, `commands` has a short function for each
//! command, `output` prints. Standard output carries data, standard error talk. The commands about stores and
//! records call the engine and need no mount.

mod args;
mod commands;
mod config;
mod exit;
mod failure;
mod logging;
mod mount_words;
mod output;
mod progress;

pub use args::Cli;
pub use exit::ExitCode;
use failure::Outcome;

/// Sets up the log, does what the command line asks, and reports a failure in one line on standard error.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    finish(logging::start(cli).and_then(|()| commands::dispatch(cli)))
}

fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::Success,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::tell(message);
            }
            failure.exit_code()
        }
    }
}
