//! The state of a mount in Prometheus' text format, made of what `@status` says.

use std::fmt::Write;

use serde_json::Value;

/// What the text is, for HTTP.
pub const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The buckets that are told, in nanoseconds. Each is a bound of those in `@status`, of which there are too many.
const BOUNDS: [u64; 14] = [
    1 << 11,
    1 << 13,
    1 << 15,
    1 << 17,
    1 << 19,
    1 << 21,
    1 << 23,
    1 << 25,
    1 << 27,
    1 << 29,
    1 << 31,
    1 << 33,
    1 << 35,
    1 << 37,
];

/// What is told of one number: its name, type and meaning, and where in `@status` it is.
const NUMBERS: [(&str, &str, &str, &str); 19] = [
    ("storefs_uptime_seconds", "gauge", "Time since the mount was made.", "/uptime_seconds"),
    ("storefs_restarts_total", "counter", "Processes that served it before.", "/restarts"),
    ("storefs_inodes", "gauge", "Inodes that the kernel knows.", "/inodes"),
    ("storefs_handles", "gauge", "Open files and directories.", "/handles"),
    ("storefs_write_sessions", "gauge", "Records that are open for writing.", "/write_sessions"),
    ("storefs_staged_bytes", "gauge", "Bytes written and not published.", "/staged_bytes"),
    ("storefs_purges_running", "gauge", "Purges that are still removing.", "/purges_running"),
    ("storefs_late_failures_total", "counter", "Publishes that failed unseen.", "/late_failures"),
    ("storefs_pinned_versions", "gauge", "Versions kept open without opens.", "/pinned"),
    ("storefs_trusted_names", "gauge", "Names that the kernel trusts.", "/cache/trusted_names"),
    ("storefs_memory_bytes", "gauge", "Values kept in memory.", "/cache/memory_bytes"),
    ("storefs_spool_bytes", "gauge", "Values kept in local files.", "/cache/spool_bytes"),
    ("storefs_read_bytes_total", "counter", "Bytes read through the daemon.", "/bytes/read"),
    ("storefs_written_bytes_total", "counter", "Bytes written.", "/bytes/written"),
    ("storefs_watches", "gauge", "Directories that are watched.", "/watch/watches"),
    ("storefs_watch_overflows_total", "counter", "Times the watch missed.", "/watch/overflows"),
    ("storefs_log_readers", "gauge", "Readers of @log.", "/log/readers"),
    ("storefs_backend_failures_total", "counter", "Calls that failed.", "/backend/failures"),
    ("storefs_backend_retries_total", "counter", "Calls tried again.", "/backend/retries"),
];

/// The text of a state.
#[must_use]
pub fn prometheus_text(status: &Value) -> String {
    let mut text = Text::default();
    text.head("storefs_info", "gauge", "What is mounted, and by what.");
    let labels = [
        ("version", word(status, "/version")),
        ("backend", word(status, "/storage/kind")),
        ("read_only", status.pointer("/read_only").map(Value::to_string).unwrap_or_default()),
    ];
    text.line("storefs_info", &labels, "1");
    text.head("storefs_watching", "gauge", "Whether changes by others are told.");
    let watching = status.pointer("/watching").and_then(Value::as_bool).unwrap_or_default();
    text.line("storefs_watching", &[], if watching { "1" } else { "0" });
    for (name, kind, help, at) in NUMBERS {
        if let Some(number) = status.pointer(at).filter(|value| value.is_number()) {
            text.head(name, kind, help);
            text.line(name, &[], &number.to_string());
        }
    }
    if let Some(requests) = status.pointer("/requests").and_then(Value::as_object) {
        let name = "storefs_request_errors_total";
        text.head(name, "counter", "Requests of the kernel that failed, by operation and error.");
        for (operation, one) in requests {
            for (error, count) in
                one.pointer("/errors").and_then(Value::as_object).into_iter().flatten()
            {
                let labels = [("operation", operation.clone()), ("error", error.clone())];
                text.line(name, &labels, &count.to_string());
            }
        }
        let name = "storefs_request_duration_seconds";
        text.head(name, "histogram", "Requests of the kernel, by operation.");
        for (operation, one) in requests {
            text.histogram(name, &[("operation", operation.clone())], one);
        }
    }
    if let Some(backend) = status.pointer("/backend").filter(|backend| backend.is_object()) {
        let name = "storefs_backend_duration_seconds";
        text.head(name, "histogram", "Calls of the database.");
        text.histogram(name, &[], backend);
    }
    text.0
}

fn word(status: &Value, at: &str) -> String {
    status.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[derive(Default)]
struct Text(String);

// Nothing fails that writes to a text.
impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, String)], value: &str) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// The times of one kind of thing.
    fn histogram(&mut self, name: &str, labels: &[(&str, String)], times: &Value) {
        let number = |at: &str| times.pointer(at).map(Value::to_string).unwrap_or_default();
        let (bucket, sum, count) =
            (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
        let buckets = buckets_of(times);
        let with = |bound: String| {
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            labels
        };
        for bound in BOUNDS {
            let below = buckets.iter().filter(|(most, _)| *most <= bound);
            let below: u64 = below.map(|(_, count)| count).sum();
            let seconds = std::time::Duration::from_nanos(bound).as_secs_f64();
            self.line(&bucket, &with(seconds.to_string()), &below.to_string());
        }
        self.line(&bucket, &with("+Inf".to_owned()), &number("/count"));
        self.line(&sum, labels, &number("/seconds"));
        self.line(&count, labels, &number("/count"));
    }
}

/// The buckets of times in `@status`: what the times in each are at most, in nanoseconds, and how many they are.
#[must_use]
pub fn buckets_of(times: &Value) -> Vec<(u64, u64)> {
    let buckets = times.pointer("/buckets").and_then(Value::as_array).into_iter().flatten();
    let pair = |bucket: &Value| {
        let seconds = bucket.get(0)?.as_f64()?;
        let most = std::time::Duration::try_from_secs_f64(seconds).ok()?;
        Some((u64::try_from(most.as_nanos()).ok()?, bucket.get(1)?.as_u64()?))
    };
    buckets.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_escaped() {
        let times = json!({ "count": 3, "seconds": 0.5, "buckets": [[2.048e-6, 1], [0.4, 2]],
                            "errors": { "ENOENT": 2 } });
        let status = json!({ "version": "a\"b\\c\nd", "watching": true, "inodes": 3,
                             "pinned": null, "requests": { "lookup": times } });
        let text = prometheus_text(&status);
        for line in [
            "storefs_info{version=\"a\\\"b\\\\c\\nd\",backend=\"\",read_only=\"\"} 1",
            "storefs_inodes 3",
            "storefs_watching 1",
            "storefs_request_errors_total{operation=\"lookup\",error=\"ENOENT\"} 2",
            "storefs_request_duration_seconds_bucket{operation=\"lookup\",le=\"0.000002048\"} 1",
            "storefs_request_duration_seconds_bucket{operation=\"lookup\",le=\"0.536870912\"} 3",
            "storefs_request_duration_seconds_bucket{operation=\"lookup\",le=\"+Inf\"} 3",
            "storefs_request_duration_seconds_sum{operation=\"lookup\"} 0.5",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(!text.contains("pinned"), "{text}");
    }
}
