//! The differences that are meant, read from `tests/programs/meant.txt`.
//!
//! An entry begins with `NAME: why the two differ`, in as many lines as it takes, each further one indented by four
//! blanks. Below it is the difference, indented by two, as the test prints it: `- ` what is on the disk only, `+ ` what
//! is in the mount only. `NAME (CALLER, CALLER)` is an entry for some kinds of callers; it goes before the one for all.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use crate::caller::Caller;

/// The list's file.
const LIST: &str = "tests/programs/meant.txt";

/// The list, and which of its entries were met.
pub(crate) struct Meant {
    entries: BTreeMap<String, Vec<String>>,
    /// Scripts that must be among those that are run.
    needed: Vec<String>,
}

impl Meant {
    /// The entries for a caller.
    pub(crate) fn read(caller: Caller) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
        let text = fs::read_to_string(path).unwrap();
        let mut read: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            if let Some(difference) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))
            {
                read.last_mut().expect("the list begins with an entry").1.push(difference.into());
            } else if !line.starts_with(' ') {
                let (name, reason) = line.split_once(": ").expect("an entry has a reason");
                assert!(!reason.trim().is_empty(), "{name} has no reason");
                read.push((name.to_owned(), Vec::new()));
            }
        }
        let (general, special): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|(name, _)| !name.contains(' '));
        let special = special.into_iter().filter_map(|(name, difference)| {
            let (name, callers) = name.strip_suffix(')')?.split_once(" (")?;
            let is_own = callers.split(", ").any(|name| name == caller.name());
            is_own.then(|| (name.to_owned(), difference))
        });
        let special: Vec<_> = special.collect();
        // One caller runs all scripts.
        let needed = if caller == Caller::Same { &general } else { &special };
        let needed = needed.iter().map(|(name, _)| name.clone()).collect();
        Self { entries: general.into_iter().chain(special).collect(), needed }
    }

    /// Says what is wrong with a difference, which is empty where there is none.
    pub(crate) fn judge(&mut self, name: &str, difference: &[String]) -> Option<String> {
        let meant = self.entries.remove(name).unwrap_or_default();
        if meant == difference {
            return None;
        }
        let mut fault = format!("\n{name}: differs");
        for line in difference {
            fault.push_str("\n  ");
            fault.push_str(line);
        }
        if !meant.is_empty() {
            fault.push_str("\n    which is not what meant.txt says");
        }
        Some(fault)
    }

    /// Entries of scripts that were not run. A run of some scripts says nothing about them.
    pub(crate) fn unused(&self) -> Vec<String> {
        if env::var_os("STOREFS_PROGRAMS").is_some() {
            return Vec::new();
        }
        let unused = self.needed.iter().filter(|name| self.entries.contains_key(*name));
        unused.map(|name| format!("{name}: in meant.txt, and no script")).collect()
    }
}
