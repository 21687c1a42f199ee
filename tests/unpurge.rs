//! What a purge tells, what it would do, and how it is undone: through the command line, mounts and crashes.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "unpurge/commands.rs"]
mod commands;
#[path = "unpurge/crashes.rs"]
mod crashes;
#[path = "unpurge/help.rs"]
mod help;
#[path = "unpurge/mounts.rs"]
mod mounts;
#[path = "unpurge/room.rs"]
mod room;
