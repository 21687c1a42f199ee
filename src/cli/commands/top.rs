//! `top`: what a mount is busy with.
//!
//! Operations, errors and times are differences of two looks at `@status`; which stores are busy is read from `@log`
//! meanwhile, so that a mount that nobody watches counts nothing by store.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::status::{live_status, time_text};
use crate::cli::args::TopArgs;
use crate::cli::failure::Outcome;
use crate::cli::output::{print, printable};
use crate::mount::{LOG_FILE, buckets_of};

/// So many stores are shown.
const MOST_STORES: usize = 10;

/// Moves a terminal's cursor to its first place, and clears what is behind it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// `top`.
pub(super) fn top(args: &TopArgs) -> Outcome {
    let (status, mut before) = live_status(&args.mountpoint)?;
    let mountpoint = status.mount.mountpoint;
    let stores = Stores::follow(&mountpoint);
    let is_drawn = io::stdout().is_terminal() && !args.once && !args.format.json;
    let mut began = Instant::now();
    loop {
        thread::sleep(args.interval);
        let (_, now) = live_status(&mountpoint)?;
        let passed = began.elapsed();
        began = Instant::now();
        let interval = Interval::between(&before, &now, passed, &stores);
        before = now;
        let shown = match args.format.json {
            true => format!("{}\n", interval.json()),
            false => interval.table(&mountpoint, &stores),
        };
        print(format!("{}{shown}", if is_drawn { CLEAR } else { "" }).as_bytes())?;
        if args.once {
            return Ok(());
        }
        if !is_drawn && !args.format.json {
            print(b"\n")?;
        }
    }
}

/// What was asked in some time.
struct Interval {
    seconds: f64,
    operations: Vec<Asked>,
    /// The busiest first.
    stores: Vec<(String, u64)>,
    bytes: [u64; 2],
    lost: u64,
}

/// What was asked of one operation.
struct Asked {
    operation: String,
    count: u64,
    errors: Map<String, Value>,
    /// In seconds: a half, and 99 of 100, took no longer.
    p50: f64,
    p99: f64,
}

impl Interval {
    fn between(before: &Value, now: &Value, passed: Duration, stores: &Stores) -> Self {
        let none = Map::new();
        // Another process has taken over the mount, and counts from the beginning.
        let is_same = before.get("worker") == now.get("worker");
        let before = if is_same { before } else { &Value::Null };
        let requests = now.pointer("/requests").and_then(Value::as_object).unwrap_or(&none);
        let asked = requests.iter().filter_map(|(operation, now)| {
            let before = before.pointer("/requests").and_then(|before| before.get(operation));
            Asked::between(operation, before.unwrap_or(&Value::Null), now)
        });
        let mut operations: Vec<Asked> = asked.collect();
        operations.sort_by_key(|asked| std::cmp::Reverse(asked.count));
        let grown = |at| difference(before.pointer(at), now.pointer(at));
        let bytes = [grown("/bytes/read"), grown("/bytes/written")];
        let (stores, lost) = stores.take();
        Self { seconds: passed.as_secs_f64(), operations, stores, bytes, lost }
    }

    // Counts of requests are far below where a float is inexact.
    #[allow(clippy::cast_precision_loss)]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    fn json(&self) -> Value {
        let operations = self.operations.iter().map(|asked| {
            let Asked { operation, count, errors, p50, p99 } = asked;
            let one = json!({
                "count": count,
                "per_second": self.per_second(*count),
                "errors": errors,
                "p50": p50,
                "p99": p99,
            });
            (operation.clone(), one)
        });
        let stores = self.stores.iter();
        let stores = stores.map(|(store, count)| json!({ "store": store, "count": count }));
        let [read, written] = self.bytes;
        json!({
            "seconds": self.seconds,
            "operations": operations.collect::<Map<_, _>>(),
            "bytes": { "read": read, "written": written },
            "stores": stores.collect::<Vec<_>>(),
            "lost_lines": self.lost,
        })
    }

    fn table(&self, mountpoint: &Path, stores: &Stores) -> String {
        let mut text = String::new();
        let all = self.operations.iter().map(|asked| asked.count).sum();
        let [read, written] = self.bytes.map(indicatif::HumanBytes);
        // Nothing fails that writes to a text.
        let _ = writeln!(
            text,
            "{}: {:.0} requests a second; {read} read, {written} written in {:.1} s\n",
            printable(&mountpoint.display().to_string()),
            self.per_second(all),
            self.seconds
        );
        let _ = writeln!(text, "{:<14}{:>9}{:>10}{:>10}  ERRORS", "OPERATION", "/S", "P50", "P99");
        for asked in &self.operations {
            let errors = asked.errors.iter().map(|(error, count)| format!("{count} {error}"));
            let line = format!(
                "{:<14}{:>9.0}{:>10}{:>10}  {}",
                asked.operation,
                self.per_second(asked.count),
                time_text(asked.p50),
                time_text(asked.p99),
                errors.collect::<Vec<_>>().join(" ")
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if let Some(why) = &stores.unread {
            let _ = writeln!(text, "\nwhich stores are busy is not known: {}", printable(why));
        } else if !self.stores.is_empty() {
            let _ = writeln!(text, "\n{:>9}  STORE", "/S");
            for (store, count) in self.stores.iter().take(MOST_STORES) {
                let _ = writeln!(text, "{:>9.0}  {}", self.per_second(*count), printable(store));
            }
        }
        if self.lost > 0 {
            let _ = writeln!(text, "{} lines of @log came too fast and are not counted", self.lost);
        }
        text
    }
}

impl Asked {
    fn between(operation: &str, before: &Value, now: &Value) -> Option<Self> {
        let count = difference(before.get("count"), now.get("count"));
        if count == 0 {
            return None;
        }
        let known: HashMap<u64, u64> = buckets_of(before).into_iter().collect();
        let grown = buckets_of(now).into_iter().map(|(most, count)| {
            (most, count.saturating_sub(known.get(&most).copied().unwrap_or_default()))
        });
        let grown: Vec<(u64, u64)> = grown.collect();
        let none = Map::new();
        let errors = now.get("errors").and_then(Value::as_object).unwrap_or(&none);
        let errors = errors.iter().filter_map(|(error, now)| {
            let before = before.get("errors").and_then(|before| before.get(error));
            let grown = difference(before, Some(now));
            (grown > 0).then(|| (error.clone(), json!(grown)))
        });
        Some(Self {
            operation: operation.to_owned(),
            count,
            errors: errors.collect(),
            p50: quantile(&grown, 50),
            p99: quantile(&grown, 99),
        })
    }
}

fn difference(before: Option<&Value>, now: Option<&Value>) -> u64 {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
    number(now).saturating_sub(number(before))
}

/// What so many of a hundred do not exceed, in seconds.
fn quantile(buckets: &[(u64, u64)], of_hundred: u64) -> f64 {
    let count: u64 = buckets.iter().map(|(_, count)| count).sum();
    let wanted = (count * of_hundred).div_ceil(100);
    let mut seen = 0;
    let found = buckets.iter().find(|(_, count)| {
        seen += count;
        *count > 0 && seen >= wanted
    });
    Duration::from_nanos(found.map_or(0, |(most, _)| *most)).as_secs_f64()
}

/// The requests of each store, as `@log` tells them.
struct Stores {
    counts: Arc<Mutex<Counts>>,
    /// Why they are not known.
    unread: Option<String>,
}

#[derive(Default)]
struct Counts {
    of: HashMap<String, u64>,
    lost: u64,
}

impl Stores {
    /// Counts from now on, on a thread that ends with the process.
    fn follow(mountpoint: &Path) -> Self {
        let counts = Arc::<Mutex<Counts>>::default();
        let shared = Arc::clone(&counts);
        let follow = |log| {
            let thread = thread::Builder::new().name("storefs-top".to_owned());
            thread.spawn(move || count_lines(BufReader::new(log), &shared))
        };
        let followed = File::open(mountpoint.join(LOG_FILE)).and_then(follow);
        Self { counts, unread: followed.err().map(|error| error.to_string()) }
    }

    /// What was counted since this was asked last: the busiest first, and how many lines were lost.
    fn take(&self) -> (Vec<(String, u64)>, u64) {
        let Counts { of, lost } = std::mem::take(&mut *self.counts.lock());
        let mut stores: Vec<_> = of.into_iter().collect();
        stores.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        (stores, lost)
    }
}

fn count_lines(log: impl BufRead, counts: &Mutex<Counts>) {
    for line in log.lines().map_while(Result::ok) {
        if let Some(rest) = line.strip_prefix("# ") {
            let lost = rest.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            counts.lock().lost += lost.unwrap_or_default();
        } else if let Some(store) = store_of(&line) {
            let mut counts = counts.lock();
            match counts.of.get_mut(store) {
                Some(count) => *count += 1,
                None => drop(counts.of.insert(store.to_owned(), 1)),
            }
        }
    }
}

/// The store that a line of `@log` is about.
fn store_of(line: &str) -> Option<&str> {
    let mut components = line.split(' ').nth(4)?.split('/');
    let top = components.next()?;
    let store = components.next().filter(|store| !store.is_empty())?;
    // A rename tells both names.
    let store = store.split("=>").next()?;
    (top == "key_value_stores").then_some(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_store() {
        let log = "# time uid pid operation name result seconds\n\
            T uid=0 pid=1 lookup key_value_stores/default/a OK 0.1\n\
            T uid=0 pid=1 rename key_value_stores/one/a=>key_value_stores/two/b OK 0.1\n\
            T uid=0 pid=1 lookup key_value_stores OK 0.1\n\
            # 7 lines are lost: they were not read in time\n\
            T uid=0 pid=1 lookup key_value_stores/default ENOENT 0.1\n";
        let counts = Mutex::default();
        count_lines(log.as_bytes(), &counts);
        let stores = Stores { counts: Arc::new(counts), unread: None };
        let counted = [("default".to_owned(), 2), ("one".to_owned(), 1)];
        assert_eq!(stores.take(), (counted.to_vec(), 7));
        assert_eq!(stores.take(), (Vec::new(), 0));
    }

    #[test]
    fn an_interval_is_the_difference_of_two_states() {
        let state = |count, few, many, enoent| {
            let one = json!({ "count": count, "errors": { "ENOENT": enoent },
                              "buckets": [[0.001, few], [0.5, many]] });
            json!({ "requests": { "lookup": one, "read": { "count": 3, "buckets": [[1.0, 3]] } } })
        };
        let (before, now) = (state(10, 9, 1, 2), state(20, 10, 10, 3));
        let stores = Stores { counts: Arc::default(), unread: None };
        let interval = Interval::between(&before, &now, Duration::from_secs(2), &stores);
        let told = interval.json();
        assert_eq!(told["operations"]["read"], Value::Null, "nothing was read");
        let lookup = &told["operations"]["lookup"];
        assert_eq!((&lookup["count"], &lookup["per_second"]), (&json!(10), &json!(5.0)));
        assert_eq!((&lookup["p50"], &lookup["errors"]), (&json!(0.5), &json!({ "ENOENT": 1 })));

        let mut later = state(4, 3, 1, 0);
        later["worker"] = json!(7);
        let told = Interval::between(&before, &later, Duration::from_secs(2), &stores).json();
        assert_eq!(told["operations"]["lookup"]["count"], 4, "another process counts anew");
    }
}
