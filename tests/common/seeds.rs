//! Runs that can be repeated.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says how to repeat what failed.
#[derive(Debug)]
pub(crate) struct Report {
    variable: &'static str,
    seed: u64,
    pub(crate) round: u64,
}

impl Report {
    /// `variable` is the one by which the seed is given.
    pub(crate) fn new(variable: &'static str, seed: u64) -> Self {
        Self { variable, seed, round: 0 }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { variable, seed, round } = self;
            eprintln!("failed in round {round} of {variable}={seed}");
        }
    }
}

/// A number that is given by an environment variable.
pub(crate) fn given(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text:?}: {error}")))
}

/// A seed of which nobody knows before.
pub(crate) fn some_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into()
}
