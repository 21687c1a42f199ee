//! `completions` and `man`: made from the grammar, so that they never lag behind it.

use crate::cli::args::{CompletionsArgs, ManArgs};
use crate::cli::failure::Outcome;
use crate::cli::output::print;
use crate::cli::{complete, manual};

/// `completions`.
pub(super) fn completions(args: CompletionsArgs) -> Outcome {
    print(&complete::script(args.shell)?)
}

/// `man`.
pub(super) fn man(args: &ManArgs) -> Outcome {
    print(&manual::page(args.command.as_deref())?)
}
