//! `completions` and `man`: made from the grammar, so that they never lag behind it.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::args::{Cli, CompletionsArgs, ManArgs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::print;

/// `completions`.
pub(super) fn completions(args: CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "storefs", &mut script);
    print(&script)
}

/// `man`.
pub(super) fn man(args: &ManArgs) -> Outcome {
    let mut command = Cli::command();
    // Gives each command its full name, and the options that all have.
    command.build();
    let command = match &args.command {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::Usage(format!("there is no command '{name}'; see 'storefs help'"))
        })?,
    };
    let mut page = Vec::new();
    Man::new(command)
        .manual("storefs")
        .source(concat!("storefs ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .map_err(Failure::output)?;
    print(&page)
}
