//! Locks of flock(2) and fcntl(2): they are the record's, whoever has opened it how and in whichever version (P6).
//!
//! The kernel keeps locks by inode, and readers and writers of a record have different ones. So it is told that they are
//! kept here.
//!
//! | file | owns |
//! | --- | --- |
//! | `table` | which locks there are, and who waits for one |
//! | `ranges` | the locks of one file |

mod ranges;
mod table;

pub use ranges::{Lock, LockKind};
pub(in crate::fs) use table::{Done, Locks, On};
