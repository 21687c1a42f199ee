//! Long times to live that stay truthful: what the kernel may trust while the storage is watched, and telling it
//! when it no longer may.
//!
//! The kernel is told by raising its *epoch*: then it looks every name up again at its next use. That drops all
//! that it has cached, so it is done only if a change concerns a name that the kernel was told to trust since the
//! last time. A name that has just changed is not trusted for a while, so that a record which is rewritten again
//! and again costs one epoch and not one for each version.
//!
//! That a name is absent the kernel is never told to trust: an open by that name would fail without asking us, and
//! whoever opens what an SDK has just made must find it (P2).
//!
//! What is looked up while a change is being told is not trusted either: the look may have come before the change,
//! and the answer would reach the kernel after the telling.
//!
//! | file | owns |
//! | --- | --- |
//! | `kernel` | the watch, times to live, looks, and the way to the kernel |
//! | `trusted` | which names the kernel was told to trust |
//! | `removals` | which records this mount has removed of late |
//! | `own` | which changes are our own |
//! | `notify` | what the kernel can be told |

mod kernel;
mod notify;
mod own;
mod removals;
mod trusted;

pub(in crate::fs) use kernel::{ListedLooks, Moment, NameLook, Trust};
pub use notify::Invalidate;
pub(in crate::fs) use own::OwnChange;
pub(in crate::fs) use trusted::{hash_of_record, hash_of_store};
