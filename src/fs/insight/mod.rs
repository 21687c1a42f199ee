//! What the mount tells of its own work: counts and times of requests (`@status`), and each of them as a line (`@log`).
//!
//! | file | owns |
//! | --- | --- |
//! | `operation` | what requests are called |
//! | `requests` | counts, errors and times, by operation |
//! | `access_log` | who reads `@log`, and what they have not read yet |
//! | `lines` | the lines that are kept for them |
//! | `asked` | a request from when it is asked to when it is answered |

mod access_log;
mod asked;
mod lines;
mod operation;
mod requests;

use std::sync::{Arc, OnceLock};

pub(in crate::fs) use access_log::{AccessLog, LogRead, LogReader};
pub use asked::Asked;
pub(in crate::fs) use asked::push_name;
pub use operation::Operation;
pub(in crate::fs) use requests::{Requests, times_status};

/// What is known of the mount's work.
#[derive(Debug, Default)]
pub(in crate::fs) struct Insight {
    pub(in crate::fs) requests: Requests,
    pub(in crate::fs) log: Arc<AccessLog>,
    /// Where the same is served for Prometheus, if it is.
    pub(in crate::fs) metrics_at: OnceLock<String>,
}
