//! `debug-bundle`: what those who help need to know, in a tar archive.
//!
//! No value of a record is in it, and no password: sources are shown as everywhere, of variables only those are told that
//! hold none, and each text is looked through for what looks like one. Names of stores and records are in it.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{doctor, system};
use crate::cli::args::{Cli, DebugBundleArgs};
use crate::cli::config::Target;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::tell;
use crate::cli::scrub::Scrubber;
use crate::engine::concealed;
use crate::mount::{self, MountAnswer, MountTable};

/// The directory in the archive.
const ROOT: &str = "storefs-debug";

/// Of each log at most so many bytes, the last.
const MOST_OF_LOG: u64 = 256 * 1024;

/// At most so many findings of `doctor`.
const MOST_FINDINGS: usize = 1000;

/// How long a mount may take to tell its state.
const DEADLINE: Duration = Duration::from_secs(2);

/// Variables that are told as they are.
const TOLD: [&str; 9] = [
    "ACTOR_INPUT_KEY",
    "APIFY_INPUT_KEY",
    "CRAWLEE_INPUT_KEY",
    "LANG",
    "NO_COLOR",
    "PATH",
    "RUST_LOG",
    "TERM",
    "XDG_STATE_HOME",
];

/// Variables that name a storage.
const SOURCES: [&str; 3] = ["STOREFS_SOURCE", "APIFY_LOCAL_STORAGE_DIR", "CRAWLEE_STORAGE_DIR"];

/// Variables of which only is told whether they are set.
const SECRET: [&str; 7] = [
    "APIFY_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSFILE",
    "PGPASSWORD",
];

/// What stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// The archive while it is made.
struct Bundle<W: Write> {
    archive: tar::Builder<W>,
    scrubber: Scrubber,
    now: Timestamp,
}

/// `debug-bundle`.
pub(super) fn debug_bundle(cli: &Cli, args: &DebugBundleArgs) -> Outcome {
    let now = Timestamp::now();
    let name = || PathBuf::from(now.strftime("storefs-debug-%Y%m%dT%H%M%SZ.tar").to_string());
    let path = args.output.clone().unwrap_or_else(name);
    if path == Path::new(STANDARD_OUTPUT) {
        if io::stdout().is_terminal() {
            return Err(Failure::Usage(
                "a terminal shows no archive; name a file with -o".to_owned(),
            ));
        }
        return write(cli, now, io::stdout().lock()).map_err(Failure::output);
    }
    let failed =
        |error: io::Error| Failure::file(&format!("write file '{}'", path.display()), &error);
    // What is there stays, unless it is named.
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if args.output.is_some() {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let file = options.open(&path).map_err(failed)?;
    write(cli, now, &file).map_err(failed)?;
    tell(&format!(
        "'{}' is written; it names stores and records, and holds neither values nor passwords: look into it before you \
         pass it on",
        path.display()
    ));
    Ok(())
}

fn write(cli: &Cli, now: Timestamp, to: impl Write) -> io::Result<()> {
    let scrubber = Scrubber::of_environment();
    let mut bundle = Bundle { archive: tar::Builder::new(to), scrubber, now };
    bundle.add("versions.txt", &versions())?;
    bundle.add("environment.txt", &environment())?;
    bundle.add("system.json", &format!("{:#}\n", system::facts()))?;
    bundle.add("mounts.txt", &mounts())?;
    bundle.add("status.json", &format!("{:#}\n", statuses()))?;
    bundle.add("doctor.jsonl", &findings(cli))?;
    for (name, text) in logs() {
        bundle.add(&format!("log/{name}"), &text)?;
    }
    bundle.archive.into_inner()?.flush()
}

impl<W: Write> Bundle<W> {
    fn add(&mut self, name: &str, text: &str) -> io::Result<()> {
        let text = self.scrubber.scrubbed(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.now.as_second()).unwrap_or_default());
        self.archive.append_data(&mut header, format!("{ROOT}/{name}"), text.as_bytes())
    }
}

fn versions() -> String {
    let read =
        |path: &str| fs::read_to_string(path).unwrap_or_else(|error| format!("{path}: {error}\n"));
    let helper = Command::new("fusermount3").arg("--version").output();
    let helper = match helper {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => format!("fusermount3: {error}\n"),
    };
    let built_in: Vec<&str> =
        [("sqlite", cfg!(feature = "sqlite")), ("postgres", cfg!(feature = "postgres"))]
            .iter()
            .filter_map(|(name, is_built_in)| is_built_in.then_some(*name))
            .collect();
    format!(
        "storefs {} ({}), {}\n{}{}{}",
        env!("CARGO_PKG_VERSION"),
        built_in.join(" "),
        env::consts::ARCH,
        read("/proc/version"),
        helper,
        read("/etc/os-release")
    )
}

fn environment() -> String {
    let mut text = String::new();
    for name in TOLD {
        if let Some(value) = env::var_os(name) {
            text += &format!("{name}={}\n", value.to_string_lossy());
        }
    }
    for name in SOURCES {
        if let Some(value) = env::var_os(name) {
            text += &format!("{name}={}\n", shown(&value));
        }
    }
    for name in SECRET {
        let state = if env::var_os(name).is_some() { "set" } else { "not set" };
        text += &format!("{name} is {state}\n");
    }
    text
}

/// A source as it may be shown.
fn shown(source: &OsStr) -> String {
    concealed(source).unwrap_or_else(|| source.to_string_lossy().into_owned())
}

/// Mounts of ours with their sources; of others, whose sources and options may be anybody's secret, where they are.
fn mounts() -> String {
    let table = match MountTable::read() {
        Ok(table) => table,
        Err(error) => return format!("cannot read the mount table: {error}\n"),
    };
    let line = |mount: &mount::Mount| {
        let source = if mount.is_ours() { shown(&mount.source) } else { "-".to_owned() };
        format!(
            "{} {} {} {source}\n",
            mount.device,
            mount.mountpoint.display(),
            mount.file_system_type
        )
    };
    table.below(Path::new("/")).map(line).collect()
}

fn statuses() -> Value {
    let all = match mount::all_statuses(DEADLINE) {
        Ok(all) => all,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let one = |status: &mount::MountStatus| {
        let (state, live) = match &status.answer {
            MountAnswer::Live(live) => ("live".to_owned(), live.clone()),
            MountAnswer::Dead => ("dead".to_owned(), Value::Null),
            MountAnswer::Hanging => ("hanging".to_owned(), Value::Null),
            MountAnswer::Unknown(why) => (format!("unknown: {why}"), Value::Null),
        };
        json!({ "mountpoint": status.mount.mountpoint.to_string_lossy(), "state": state, "status": live })
    };
    all.iter().map(one).collect()
}

/// What is wrong with the storage that the command line means, a line for each finding.
fn findings(cli: &Cli) -> String {
    let found = || -> Outcome<String> {
        let target = Target::new(&cli.common)?.reading();
        let storage = super::open(&target)?;
        let mut text = format!(
            "{}\n",
            json!({ "source": target.source.shown(), "storage": storage.describe() })
        );
        for finding in storage.examine(false)?.take(MOST_FINDINGS) {
            let line = match finding {
                Ok(finding) => doctor::facts(&finding),
                Err(error) => json!({ "error": error.to_string() }),
            };
            text += &format!("{line}\n");
        }
        Ok(text)
    };
    found().unwrap_or_else(|failure| {
        format!("{}\n", json!({ "error": failure.message().unwrap_or_default() }))
    })
}

/// The ends of the logs of mounts that were told no other place for it.
fn logs() -> Vec<(String, String)> {
    let Some(entries) = mount::log_directory().and_then(|path| fs::read_dir(path).ok()) else {
        return Vec::new();
    };
    let mut logs: Vec<(String, String)> = entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = end_of(&entry.path()).unwrap_or_else(|error| format!("{error}\n"));
            (name, text)
        })
        .collect();
    logs.sort();
    logs
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(MOST_OF_LOG);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(MOST_OF_LOG).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
