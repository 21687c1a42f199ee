//! What the mount tells of its own work: counts and times of requests (`@status`), and each of them as a line (`@log`).
//!
//! | file | owns |
//! | --- | --- |
//! | `operation` | what requests are called |
//! | `requests` | counts, errors and times, by operation |
//! | `access_log` | who reads `@log`, and what they have not read yet |
//! | `lines` | the lines that are kept for them |
//! | `asked` | all of them, and a request from when it is asked to when it is answered |

mod access_log;
mod asked;
mod lines;
mod operation;
mod requests;

pub(in crate::fs) use access_log::{LogRead, LogReader};
pub use asked::Asked;
pub(in crate::fs) use asked::{Insight, push_name};
pub use operation::Operation;
pub(in crate::fs) use requests::times_status;
