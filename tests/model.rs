//! Random operations, done to a mounted storage and to a model of it in memory, which must agree after each.
//!
//! A run follows from its seed. One that fails prints the seed and what it did last; it is repeated by
//! `STOREFS_MODEL_SEED=... STOREFS_MODEL_STEPS=... cargo test --test model -- --nocapture`.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "model/attributes.rs"]
mod attributes;
#[path = "model/check.rs"]
mod check;
#[path = "model/disk.rs"]
mod disk;
#[path = "model/draw.rs"]
mod draw;
#[path = "model/expected.rs"]
mod expected;
#[path = "model/names.rs"]
mod names;
#[path = "model/record.rs"]
mod record;
#[path = "model/run.rs"]
mod run;
#[path = "model/writers.rs"]
mod writers;

use std::env;
use std::str::FromStr;

use run::Run;

/// Seeds of a run that is given none.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

/// Operations for each seed.
const STEPS: usize = 400;

/// One test and not one for each seed: a program that another thread starts would close, and so publish, what
/// this one has open for writing.
#[test]
fn p3_random_operations_match_the_model() {
    if !common::can_mount() {
        return;
    }
    let steps = variable("STOREFS_MODEL_STEPS").unwrap_or(STEPS);
    let seeds = match variable("STOREFS_MODEL_SEED") {
        Some(seed) => seed..=seed,
        None => SEEDS,
    };
    for seed in seeds {
        Run::new(seed).go(steps);
    }
}

/// A number from the environment.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}
