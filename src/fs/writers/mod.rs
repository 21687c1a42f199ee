//! Writers: who is writing which record, and who may change a record at all.
//!
//! | file | owns |
//! | --- | --- |
//! | `table` | which record has which session |
//! | `session`, `publishing` | the writers of one record, and when what they share is published |
//! | `state` | what they share |
//! | `kept_aside` | what becomes of it if its mount ends |
//! | `users`, `share` | who has a session open, and what of it each one did |
//! | `failure` | the first failure of a session |
//! | `record_locks` | holding the records that an operation changes |
//! | `announcements` | how an open for writing comes by the writers' inode |
//! | `by_hand` | content types that were set by hand |
//! | `duplicates`, `awaited_release` | which close is the last one, and the release that follows it |

mod announcements;
mod awaited_release;
mod by_hand;
mod duplicates;
mod failure;
mod kept_aside;
mod publishing;
mod record_locks;
mod session;
mod share;
mod state;
mod table;
mod users;

pub(in crate::fs) use announcements::{Absence, Announced, FOLLOWS_WITHIN, Found, Led, Purpose};
pub(in crate::fs) use duplicates::is_last;
pub(in crate::fs) use kept_aside::KeptAside;
pub(in crate::fs) use publishing::Target;
pub(in crate::fs) use session::{Left, WriteSession};
pub(in crate::fs) use share::Share;
pub(in crate::fs) use state::StagedRecord;
pub(in crate::fs) use table::{Join, Writers};
