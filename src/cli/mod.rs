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
mod suggest;
mod told;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use args::Cli;
pub use exit::ExitCode;
use failure::{Failure, Outcome};

/// The whole program: parses the arguments of this process, sets up the log, does what was asked, and reports a
/// failure in one line on standard error.
#[must_use]
pub fn main() -> ExitCode {
    crate::mount::survive_limits();
    match Cli::try_parse() {
        Ok(cli) => finish(logging::start(&cli).and_then(|()| commands::dispatch(&cli))),
        // A request for help or version ends here, too, with the status of success.
        Err(error) => {
            if let Some(failure) = unknown_command(&error) {
                return finish(Err(failure));
            }
            // Nowhere is left to complain if the output is closed.
            let _ = error.print();
            if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success }
        }
    }
}

/// What to say instead of the parser, if the command line's first word is no command.
fn unknown_command(error: &clap::Error) -> Option<Failure> {
    let ErrorKind::InvalidSubcommand = error.kind() else { return None };
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let command = Cli::command();
    let names = command
        .get_subcommands()
        .flat_map(|known| std::iter::once(known.get_name()).chain(known.get_visible_aliases()));
    Some(Failure::Usage(suggest::unknown_command(word, names)))
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
