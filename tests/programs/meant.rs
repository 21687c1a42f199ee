//! The differences that are meant, read from `tests/programs/meant.txt`.
//!
//! An entry begins with `NAME: why the two differ`, in as many lines as it takes, each further one indented by four
//! blanks. Below it is the difference, indented by two, as the test prints it: `- ` what is on the disk only, `+ ` what
//! is in the mount only. `NAME (CALLER, CALLER)` is an entry for some kinds of callers; it goes before the one for all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::caller::Caller;
use crate::corpus::Script;

/// The list's file.
const LIST: &str = "tests/programs/meant.txt";

/// The differences, by script.
pub(crate) struct Meant(BTreeMap<String, Vec<String>>);

impl Meant {
    /// The entries for a caller. Each entry is of one of the scripts.
    #[track_caller]
    pub(crate) fn read(caller: Caller, scripts: &[Script]) -> Self {
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
        let mut general = BTreeMap::new();
        let mut special = BTreeMap::new();
        for (heading, difference) in read {
            let (name, callers) = heading.split_once(" (").unwrap_or((&heading, ""));
            assert!(scripts.iter().any(|script| script.name == name), "{name} is no script");
            if callers.is_empty() {
                general.insert(name.to_owned(), difference);
            } else if callers.trim_end_matches(')').split(", ").any(|of| of == caller.name()) {
                special.insert(name.to_owned(), difference);
            }
        }
        general.extend(special);
        Self(general)
    }

    /// Says what is wrong with a difference, which is empty where there is none.
    pub(crate) fn judge(&self, name: &str, difference: &[String]) -> Option<String> {
        let meant = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
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
}
