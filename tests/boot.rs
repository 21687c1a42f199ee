//! Mounts as a system makes them: by mount(8), from a table such as /etc/fstab, before the source is there, and through a
//! descriptor that somebody else hands over.
//!
//! Everything happens in namespaces of its own (`namespace`), so that the machine keeps nothing of it: no helper in
//! `/sbin`, no line in `/etc/fstab`, no mount and no process.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "boot/fstab.rs"]
mod fstab;
#[path = "boot/handed_over.rs"]
mod handed_over;
#[path = "boot/namespace.rs"]
mod namespace;
#[path = "boot/remount.rs"]
mod remount;
#[path = "boot/retry.rs"]
mod retry;

/// A user without any right of its own.
const NOBODY: u32 = 65534;
