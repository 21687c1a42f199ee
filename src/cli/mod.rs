//! The command line: arguments, output, exit status.
//!
//! `args` is the grammar, `config` gives the arguments their meaning, `commands` has a short function for each
//! command, `output` prints; `helper` is what mount(8) calls. Standard output carries data, standard error talk. The
//! commands about stores and records call the engine and need no mount.

mod args;
mod cell;
mod command_line;
mod commands;
mod complete;
mod config;
mod examples;
mod exit;
mod failure;
mod helper;
mod log_lines;
mod log_output;
mod logging;
mod manual;
mod mount_values;
mod mount_words;
mod output;
mod pretty;
mod progress;
mod scrub;
mod suggest;
mod told;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use args::Cli;
use command_line::Secrets;
pub use exit::ExitCode;
use failure::{Failure, Outcome};

/// The whole program: parses the arguments of this process, sets up the log, does what was asked, and reports a
/// failure in one line on standard error.
#[must_use]
pub fn main() -> ExitCode {
    crate::mount::survive_limits();
    let secrets = Secrets::of_command_line();
    let arguments: Vec<OsString> = env::args_os().collect();
    let is_helper = helper::is_helper(arguments.first().map(OsString::as_os_str));
    let code = run(helper::with_command(arguments), &secrets);
    if is_helper { helper::exit_code(code) } else { code }
}

fn run(arguments: Vec<OsString>, secrets: &Secrets) -> ExitCode {
    if complete::is_asked() {
        // Whoever completes a source with a password is no less seen.
        secrets.hide();
        return complete::answer(arguments);
    }
    let matches = command().try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    // Parsed by now, and nobody asks for it again.
    secrets.hide();
    let outcome = match parsed {
        Ok(cli) => logging::start(&cli).and_then(|()| commands::dispatch(&cli)),
        // A request for help or version ends here, too, with the status of success.
        Err(error) => match unknown_command(&error) {
            Some(said) => Err(Failure::Usage(said)),
            None => return print(&error, secrets),
        },
    };
    finish(outcome, secrets)
}

/// The grammar, with examples.
fn command() -> clap::Command {
    examples::with_examples(Cli::command())
}

/// Prints what the parser says, which repeats what it does not understand.
fn print(error: &clap::Error, secrets: &Secrets) -> ExitCode {
    let said = error.to_string();
    let hidden = secrets.hidden_in(&said);
    // Nowhere is left to complain if the output is closed.
    let _ = if hidden == said { error.print() } else { write!(io::stderr(), "{hidden}") };
    if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success }
}

/// What to say instead of the parser, if the command line's first word is no command.
fn unknown_command(error: &clap::Error) -> Option<String> {
    let ErrorKind::InvalidSubcommand = error.kind() else { return None };
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let command = command();
    let names = command
        .get_subcommands()
        .flat_map(|known| std::iter::once(known.get_name()).chain(known.get_visible_aliases()));
    Some(suggest::unknown_command(word, names))
}

fn finish(outcome: Outcome, secrets: &Secrets) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::Success,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::tell(&secrets.hidden_in(message));
            }
            failure.exit_code()
        }
    }
}
