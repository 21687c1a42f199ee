//! The program `storefs`: parses its arguments, does what they say, gives back an exit status.

use std::process::ExitCode;

use clap::Parser;
use storefs::cli::{self, Cli};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli::run(&cli).into(),
        // A request for help or version ends here, too, with the status of success.
        Err(error) => {
            let code =
                if error.use_stderr() { cli::ExitCode::Usage } else { cli::ExitCode::Success };
            // Nowhere is left to complain if the output is closed.
            let _ = error.print();
            code.into()
        }
    }
}
