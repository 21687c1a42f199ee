//! What a script has come to: its exit status, what it printed, and what it left.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::ExitStatus;
use std::time::SystemTime;

use rustix::process::{getegid, geteuid};

use crate::common::METADATA;

/// The longest value that is shown as it is, in bytes.
const SHOWN: usize = 60;

/// How far a time that was just set may be behind the clock: archives and HTTP count in seconds.
const CLOCK_STEP: i128 = 1_100_000_000;

/// An outcome in lines that are compared.
#[derive(Default)]
pub(crate) struct Outcome(Vec<String>);

impl Outcome {
    pub(crate) fn exit(&mut self, status: ExitStatus) {
        self.0.push(match status.code() {
            Some(code) => format!("exit {code}"),
            None => status.to_string(),
        });
    }

    /// Adds what was printed to `stream`. `named` are paths that differ between the sides, and what stands for them.
    pub(crate) fn printed(&mut self, stream: &str, bytes: &[u8], named: &[(&Path, &str)]) {
        let mut text = printable(bytes);
        for (path, name) in named {
            text = text.replace(&printable(path.as_os_str().as_bytes()), name);
        }
        self.0.extend(text.lines().map(|line| format!("{stream} {line}")));
    }

    /// Adds what is left in a directory. Times are told from `began` on as `new`.
    pub(crate) fn left(&mut self, label: &str, dir: &Path, began: SystemTime) {
        match describe(dir, began) {
            Ok(facts) => self.0.push(format!("{label} . {facts}")),
            Err(error) => return self.0.push(format!("{label} . {error}")),
        }
        for (name, facts) in listed(dir, began) {
            self.0.push(format!("{label} {name} {facts}"));
        }
    }

    pub(crate) fn note(&mut self, line: String) {
        self.0.push(line);
    }

    /// The lines that only `plain` or only `self` has, marked as in a diff.
    pub(crate) fn against(&self, plain: &Self) -> Vec<String> {
        let mut difference: Vec<_> =
            without(&plain.0, &self.0).iter().map(|line| format!("- {line}")).collect();
        difference.extend(without(&self.0, &plain.0).iter().map(|line| format!("+ {line}")));
        if difference.is_empty() && self.0 != plain.0 {
            difference.push("! the same lines in another order".to_owned());
        }
        difference
    }
}

/// The lines of `these` that are not in `those`, each as often as it is there more.
fn without<'a>(these: &'a [String], those: &'a [String]) -> Vec<&'a str> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for line in those {
        *counts.entry(line).or_default() += 1;
    }
    let is_more = |line: &&'a String| match counts.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    these.iter().filter(is_more).map(String::as_str).collect()
}

/// What is in a directory and below it, by name. Of a store's metadata it says only that it is there: the plain side
/// has a copy, and times in it move.
pub(crate) fn listed(dir: &Path, began: SystemTime) -> BTreeMap<String, String> {
    fn walk(dir: &Path, inner: &str, began: SystemTime, found: &mut BTreeMap<String, String>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries {
            let Ok(entry) = entry else { return };
            let name = format!("{inner}{}", printable(entry.file_name().as_bytes()));
            if name == METADATA {
                found.insert(name, "is there".to_owned());
                continue;
            }
            let facts = describe(&entry.path(), began).unwrap_or_else(|error| error.to_string());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), &format!("{name}/"), began, found);
            }
            found.insert(name, facts);
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, "", began, &mut found);
    found
}

/// Kind, mode and owner; of files, number of names, modification time, size and bytes as well.
pub(crate) fn describe(path: &Path, began: SystemTime) -> std::io::Result<String> {
    let facts = fs::symlink_metadata(path)?;
    let kind = facts.file_type();
    let mode = facts.mode() & 0o7777;
    let mut text = format!("{mode:04o} {} {}", owner(&facts), time(&facts, began));
    if kind.is_file() {
        let value = match fs::read(path) {
            Ok(bytes) => shown(&bytes),
            Err(error) => error.to_string(),
        };
        text = format!("file {text} {} bytes, {} names: {value}", facts.size(), facts.nlink());
    } else if kind.is_dir() {
        text = format!("directory {mode:04o} {}", owner(&facts));
    } else if kind.is_symlink() {
        text = format!("link to {}", printable(fs::read_link(path)?.as_os_str().as_bytes()));
    } else {
        let other = if kind.is_fifo() {
            "pipe"
        } else if kind.is_socket() {
            "socket"
        } else {
            "device"
        };
        text = format!("{other} {text}");
    }
    Ok(text)
}

/// User and group, `own` if they are those of who runs the scripts.
fn owner(facts: &fs::Metadata) -> String {
    if (facts.uid(), facts.gid()) == (geteuid().as_raw(), getegid().as_raw()) {
        "own".to_owned()
    } else {
        format!("{}:{}", facts.uid(), facts.gid())
    }
}

/// A time of modification, if it was set to something before the script began; those of the script itself differ.
fn time(facts: &fs::Metadata, began: SystemTime) -> String {
    let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let modified = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
    let began = i128::try_from(began).unwrap() - CLOCK_STEP;
    // Nobody runs this for a day.
    if (began..began + 86_400_000_000_000).contains(&modified) {
        "new".to_owned()
    } else {
        format!("{}.{:09}", facts.mtime(), facts.mtime_nsec())
    }
}

fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN {
        return format!("{:?}", printable(bytes));
    }
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    format!("hash {:016x}", hash.finish())
}

/// Text as it is, and any other byte and control character but newlines and tabs escaped.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() && character != '\n' && character != '\t' {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A name as it is shown.
pub(crate) fn shown_name(name: &OsStr) -> String {
    printable(name.as_bytes())
}
