//! What a mount tells of its own work: `@status` and its schema, `@log`, `storefs status` and `top`, metrics.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "insight/help.rs"]
mod help;
#[path = "insight/list.rs"]
mod list;
#[path = "insight/log.rs"]
mod log;
#[path = "insight/metrics.rs"]
mod metrics;
#[path = "insight/status.rs"]
mod status;
#[path = "insight/top.rs"]
mod top;
