//! The program `storefs`: does what its arguments say, and gives back an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    storefs::cli::main().into()
}
