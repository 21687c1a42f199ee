//! storefs and the official SDKs on the same storage, at the same time.
//!
//! The SDKs are the released packages, driven by the scripts in `tests/interop`; `scripts/install-test-deps`
//! installs them. The storages under `tests/fixtures` were made by them too.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "interop/backup.rs"]
mod backup;
#[path = "interop/input.rs"]
mod input;
#[path = "interop/js3.rs"]
mod js3;
#[path = "interop/live.rs"]
mod live;
#[path = "interop/purge.rs"]
mod purge;
#[path = "interop/reading.rs"]
mod reading;
// Shared with other test programs, and used in part here.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;
#[path = "interop/types.rs"]
mod types;
#[path = "interop/writing.rs"]
mod writing;
