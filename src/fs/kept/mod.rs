//! What is kept of a mount when the process that serves it dies: a file in memory that its supervisor holds.
//!
//! Kept is what the kernel goes on to name by numbers: the numbers of stores, what each file that is open for reading is, and
//! which requests have come again. What is being written is not kept here: it is in the storage's own staging.
//!
//! | file | owns |
//! | --- | --- |
//! | `entry` | one entry, and how it is written down |
//! | `slots` | the file: its header, and where each entry is |

mod entry;
mod slots;

pub use entry::LeftBacking;
pub(in crate::fs) use entry::{Entry, Reader};
pub use slots::Kept;
