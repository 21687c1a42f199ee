//! `status`: live mounts and what they do.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};

use crate::cli::args::{FormatArgs, StatusArgs};
use crate::cli::cell::{Cell, Tone};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listing, bytes_text, print, printable};
use crate::mount::{self, MountAnswer, MountStatus, prometheus_text};

/// How long a mount may take to tell its state.
const DEADLINE: Duration = Duration::from_secs(2);

/// So many records that are being written are shown of one mount.
const MOST_WRITING: usize = 10;

/// `status`.
pub(super) fn status(args: &StatusArgs) -> Outcome {
    let Some(mountpoint) = &args.mountpoint else { return list(args.format) };
    let (status, live) = live_status(mountpoint)?;
    if args.metrics {
        return print(prometheus_text(&live).as_bytes());
    }
    if args.format.json {
        return print(format!("{live:#}\n").as_bytes());
    }
    print(facts(&status, &live).as_bytes())?;
    operations(&live)
}

/// What a live mount says.
///
/// # Errors
/// [`Failure::Failed`] if it says nothing.
pub(super) fn live_status(mountpoint: &Path) -> Outcome<(MountStatus, Value)> {
    let status = mount::status_of(mountpoint, DEADLINE)?;
    let shown = mountpoint.display();
    let failed = |why: String| Err(Failure::Failed(format!("'{shown}' {why}")));
    match &status.answer {
        MountAnswer::Live(live) => {
            let live = live.clone();
            Ok((status, live))
        }
        MountAnswer::Dead => {
            failed("has lost its daemon; unmount it with 'storefs unmount'".to_owned())
        }
        MountAnswer::Hanging => {
            failed(format!("does not answer within {} s; its log may say why", DEADLINE.as_secs()))
        }
        MountAnswer::Unknown(why) => failed(format!("cannot be asked: {why}")),
    }
}

fn list(format: FormatArgs) -> Outcome {
    let headings = &["MOUNTPOINT", "SOURCE", "STATE", "PID", "UPTIME", "BACKEND", "WRITING"];
    let mut listing = Listing::new(format, headings);
    for status in mount::all_statuses(DEADLINE)? {
        let mountpoint = bytes_text(status.mount.mountpoint.as_os_str().as_bytes());
        let source = bytes_text(status.mount.source.as_bytes());
        let (state, tone, live, why) = match &status.answer {
            MountAnswer::Live(live) => ("live", Tone::Good, Some(live), None),
            MountAnswer::Dead => ("dead", Tone::Bad, None, None),
            MountAnswer::Hanging => ("hanging", Tone::Bad, None, None),
            MountAnswer::Unknown(why) => ("unknown", Tone::Doubtful, None, Some(why)),
        };
        let field = |at: &str| live.and_then(|live| live.pointer(at)).cloned();
        let text = |at: &str| field(at).map_or_else(|| "-".to_owned(), |value| plain(&value));
        let json = json!({
            "mountpoint": mountpoint,
            "source": source,
            "state": state,
            "reason": why,
            "pid": field("/pid"),
            "uptime_seconds": field("/uptime_seconds"),
            "backend": field("/storage/kind"),
            "writing": field("/writing"),
            "staged_bytes": field("/staged_bytes"),
        });
        let uptime = field("/uptime_seconds").and_then(|seconds| seconds.as_u64());
        let uptime = uptime.map_or_else(|| "-".to_owned(), short_time);
        let writing = live.map_or_else(|| "-".to_owned(), writing_text);
        let pid = text("/pid");
        let backend = text("/storage/kind");
        listing.row(
            vec![
                mountpoint.into(),
                source.into(),
                Cell::State(state, tone),
                pid.into(),
                uptime.into(),
                backend.into(),
                writing.into(),
            ],
            &json,
        )?;
    }
    listing.finish()
}

/// How much is being written.
fn writing_text(live: &Value) -> String {
    let number = |at: &str| live.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    match number("/write_sessions") {
        0 => "nothing".to_owned(),
        1 => format!("1 record, {}", HumanBytes(number("/staged_bytes"))),
        records => format!("{records} records, {}", HumanBytes(number("/staged_bytes"))),
    }
}

/// Days, hours, minutes, seconds: the two largest that are not 0.
fn short_time(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts = parts.iter().skip_while(|(count, unit)| *count == 0 && *unit != "s").take(2);
    parts.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

fn facts(status: &MountStatus, live: &Value) -> String {
    let text = |at: &str| live.pointer(at).map(plain).unwrap_or_default();
    let number = |at: &str| live.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    let uptime = HumanDuration(Duration::from_secs(number("/uptime_seconds")));
    let mut facts = vec![
        ("mountpoint", bytes_text(status.mount.mountpoint.as_os_str().as_bytes())),
        ("source", bytes_text(status.mount.source.as_bytes())),
        ("backend", text("/storage/kind")),
        ("daemon", format!("process {}, storefs {}, up {uptime}", text("/pid"), text("/version"))),
        ("read only", yes_no(live, "/read_only")),
        ("watched", yes_no(live, "/watching")),
        ("known", format!("{} inodes, {} open", number("/inodes"), number("/handles"))),
        ("bytes", {
            let (read, written) = (number("/bytes/read"), number("/bytes/written"));
            format!("{} read, {} written", HumanBytes(read), HumanBytes(written))
        }),
        ("purges running", text("/purges_running")),
        ("failed unseen", text("/late_failures")),
        ("writing", writing_text(live)),
    ];
    if live.pointer("/backend").is_some_and(Value::is_object) {
        let (calls, failed, again) =
            (text("/backend/count"), text("/backend/failures"), text("/backend/retries"));
        facts.push(("calls", format!("{calls}, {failed} failed, {again} tried again")));
    }
    if let Some(at) = live.pointer("/metrics_at").and_then(Value::as_str) {
        facts.push(("metrics", format!("http://{at}/metrics")));
    }
    let facts = facts.iter().map(|(name, text)| format!("{name}: {}\n", printable(text)));
    let mut text: String = facts.collect();
    let writing = live.pointer("/writing").and_then(Value::as_array).into_iter().flatten();
    for record in writing.take(MOST_WRITING) {
        let field = |name: &str| record.get(name).map(plain).unwrap_or_default();
        let bytes = record.get("bytes").and_then(Value::as_u64).unwrap_or_default();
        let name = format!("{}/{}", field("store"), field("key"));
        text.push_str(&format!("  {} {}\n", printable(&name), HumanBytes(bytes)));
    }
    text
}

/// The operations that were asked for, the most frequent first.
fn operations(live: &Value) -> Outcome {
    let headings = &["OPERATION", "COUNT", "ERRORS", "P50", "P90", "P99", "MAX"];
    let mut listing = Listing::new(FormatArgs { json: false }, headings);
    let requests = live.pointer("/requests").and_then(Value::as_object);
    let mut requests: Vec<_> = requests.into_iter().flatten().collect();
    requests.sort_by_key(|(_, one)| {
        std::cmp::Reverse(one.get("count").and_then(Value::as_u64).unwrap_or_default())
    });
    for (operation, one) in requests {
        let errors = one.get("errors").and_then(Value::as_object).into_iter().flatten();
        let errors: Vec<_> = errors.map(|(error, count)| format!("{count} {error}")).collect();
        let errors = if errors.is_empty() { "-".to_owned() } else { errors.join(" ") };
        let time = |name: &str| one.get(name).and_then(Value::as_f64).map_or_else(dash, time_text);
        let count = one.get("count").map(plain).unwrap_or_default();
        let times = ["p50", "p90", "p99", "max"].map(time);
        let cells = [operation.clone(), count, errors].into_iter().chain(times);
        listing.row(cells.map(Cell::from).collect(), one)?;
    }
    listing.finish()
}

fn dash() -> String {
    "-".to_owned()
}

/// A time for people, from seconds.
pub(super) fn time_text(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

fn yes_no(live: &Value, at: &str) -> String {
    let is_so = live.pointer(at).and_then(Value::as_bool).unwrap_or_default();
    if is_so { "yes".to_owned() } else { "no".to_owned() }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "0s"), (61, "1m 1s"), (3600, "1h 0m"), (200_000, "2d 7h")] {
            assert_eq!(short_time(seconds), text);
        }
        assert_eq!(time_text(0.000_012), "12 us");
        assert_eq!(time_text(0.0123), "12.3 ms");
        assert_eq!(time_text(2.0), "2.0 s");
    }
}
