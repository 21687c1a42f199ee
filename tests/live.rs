//! Official SDKs at work in a storage directory while programs use the same storage through mounts.
//!
//! `tests/interop.rs` takes turns; here both sides go on at the same time, and what one does must be seen by the
//! other as a whole or not at all. The SDKs are the released packages, driven by the scripts in `tests/interop`.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Shared with tests/interop.rs, and used in part here.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;

#[path = "live/drop_in/mod.rs"]
mod drop_in;
#[path = "live/emptied.rs"]
mod emptied;
#[path = "live/hammer.rs"]
mod hammer;
#[path = "live/input.rs"]
mod input;
#[path = "live/listing.rs"]
mod listing;
#[path = "live/mounts.rs"]
mod mounts;
#[path = "live/publishing.rs"]
mod publishing;
#[path = "live/temporaries.rs"]
mod temporaries;
#[path = "live/types.rs"]
mod types;
#[path = "live/work.rs"]
mod work;
#[path = "live/write_back.rs"]
mod write_back;
