//! How many requests there were of each operation, how long they took, and how they failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::operation::Operation;
use crate::histogram::{Histogram, Times};

/// Numbers of errors on Linux are below this; what is not counts as 0.
const ERRORS: usize = 134;

/// What was asked so far.
#[derive(Debug)]
pub(in crate::fs) struct Requests {
    /// By the number of the operation.
    of: Vec<OfOne>,
    read: AtomicU64,
    written: AtomicU64,
}

/// The requests of one operation.
#[derive(Debug)]
struct OfOne {
    times: Histogram,
    /// Those that failed, by the number of the error.
    errors: [AtomicU64; ERRORS],
}

impl Default for Requests {
    fn default() -> Self {
        let one = |_: &Operation| OfOne {
            times: Histogram::default(),
            errors: [const { AtomicU64::new(0) }; ERRORS],
        };
        Self {
            of: Operation::ALL.iter().map(one).collect(),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }
}

impl Requests {
    /// A request was answered after so long; `error` is 0, or the number of the error.
    #[inline]
    pub(in crate::fs) fn add(&self, operation: Operation, time: Duration, error: i32) {
        let Some(one) = self.of.get(operation as usize) else { return };
        one.times.add(time);
        if error != 0 {
            let error = usize::try_from(error).ok().and_then(|error| one.errors.get(error));
            if let Some(count) = error.or(one.errors.first()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// So many bytes of records were read.
    #[inline]
    pub(in crate::fs) fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes of records were written.
    #[inline]
    pub(in crate::fs) fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What `@status` says of the operations that were asked for.
    pub(in crate::fs) fn status(&self) -> Value {
        let of = Operation::ALL.iter().zip(&self.of);
        let asked = of.filter_map(|(operation, one)| Some((operation.name(), one.status()?)));
        Value::Object(asked.map(|(name, status)| (name.to_owned(), status)).collect())
    }

    /// What `@status` says of bytes.
    pub(in crate::fs) fn bytes(&self) -> Value {
        json!({
            "read": self.read.load(Ordering::Relaxed),
            "written": self.written.load(Ordering::Relaxed),
        })
    }
}

impl OfOne {
    fn status(&self) -> Option<Value> {
        let times = self.times.times();
        if times.buckets.is_empty() {
            return None;
        }
        let counts = self.errors.iter().map(|count| count.load(Ordering::Relaxed));
        let errors = (0..).zip(counts).filter(|(_, count)| *count > 0);
        let name = |error| if error == 0 { "other".to_owned() } else { error_name(error) };
        let errors = errors.map(|(error, count)| (name(error), json!(count)));
        let mut status = times_status(&times);
        status.insert("errors".to_owned(), Value::Object(errors.collect()));
        Some(Value::Object(status))
    }
}

/// What `@status` says of times.
pub(in crate::fs) fn times_status(times: &Times) -> Map<String, Value> {
    let seconds = |share| times.quantile(share).map(|time| time.as_secs_f64());
    let buckets = times.buckets.iter();
    let buckets = buckets.map(|(most, count)| (Duration::from_nanos(*most).as_secs_f64(), count));
    let status = [
        ("count", json!(times.count())),
        ("seconds", json!(times.sum.as_secs_f64())),
        ("p50", json!(seconds(0.5))),
        ("p90", json!(seconds(0.9))),
        ("p99", json!(seconds(0.99))),
        ("max", json!(seconds(1.0))),
        ("buckets", buckets.map(|(most, count)| json!([most, count])).collect()),
    ];
    status.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What errno.h calls an error; `OK` if it is none.
pub(super) fn error_name(error: i32) -> String {
    match error {
        0 => "OK".to_owned(),
        error => match nix::errno::Errno::from_raw(error) {
            nix::errno::Errno::UnknownErrno => error.to_string(),
            known => format!("{known:?}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_operation_and_error() {
        let requests = Requests::default();
        let time = Duration::from_micros(3);
        for error in [0, libc::ENOENT, libc::ENOENT, libc::EDQUOT, 9999] {
            requests.add(Operation::Lookup, time, error);
        }
        requests.add(Operation::Lseek, time, 0);
        requests.add_read(7);
        let status = requests.status();
        let asked: Vec<&String> = status.as_object().unwrap().keys().collect();
        assert_eq!(asked, ["lookup", "lseek"]);
        assert_eq!(status["lookup"]["count"], 5);
        let errors = json!({ "other": 1, "ENOENT": 2, "EDQUOT": 1 });
        assert_eq!(status["lookup"]["errors"], errors);
        assert_eq!(status["lseek"]["errors"], json!({}));
        assert_eq!(requests.bytes(), json!({ "read": 7, "written": 0 }));
    }
}
