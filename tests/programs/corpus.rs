//! The scripts, read from `tests/programs/scripts/*.sh`.
//!
//! A script begins with a line `### NAME`, behind which the programs can stand that not every system has:
//! `### NAME: git sqlite3`. It is run by bash with what stands there up to the next such line. Before the first script
//! of a file there are comments alone.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use crate::common::skipped;

/// The folder of scripts, and what is put before each of them.
const SCRIPTS: &str = "tests/programs/scripts";
const PRELUDE: &str = "tests/programs/prelude.sh";

/// Directories in which programs are looked up, by the scripts as well.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Themes that take most of the time, and do little with a file that the others do not do.
const HEAVY: [&str; 4] = ["archives", "editors", "media", "text"];

/// A part of the scripts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// Themes that are run for each caller.
    Light,
    /// Themes that are run for one only.
    Heavy,
}

/// One script.
pub(crate) struct Script {
    /// Its name, unique, and fit for a directory.
    pub(crate) name: String,
    /// The file that it is in.
    theme: String,
    /// Programs that not every system has.
    needed: Vec<String>,
    /// What bash gets.
    pub(crate) text: String,
}

impl Script {
    /// Whether it is to be run with a part. Where a program is missing it is not, and that is said; where `CI` is set,
    /// that is a failure.
    #[track_caller]
    pub(crate) fn is_wanted(&self, part: Part) -> bool {
        let wanted = env::var("STOREFS_PROGRAMS").unwrap_or_default();
        let is_heavy = HEAVY.contains(&self.theme.as_str());
        if is_heavy != (part == Part::Heavy)
            || !(self.name.contains(&wanted) || self.theme == wanted)
        {
            return false;
        }
        let missing: Vec<_> = self.needed.iter().filter(|program| !has(program)).collect();
        if !missing.is_empty() {
            let name = &self.name;
            skipped(&format!("{name}: missing: {missing:?}; run scripts/install-test-deps"));
        }
        missing.is_empty()
    }
}

/// All scripts.
pub(crate) fn scripts() -> Vec<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let prelude = fs::read_to_string(root.join(PRELUDE)).unwrap();
    let mut files: Vec<_> =
        fs::read_dir(root.join(SCRIPTS)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut names = BTreeSet::new();
    let mut scripts = Vec::new();
    for file in files {
        let theme = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        for part in text.split("\n### ").skip(1) {
            let (heading, body) = part.split_once('\n').unwrap();
            let (name, needed) = heading.split_once(": ").unwrap_or((heading, ""));
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            let fit = |c: char| c.is_ascii_alphanumeric() || c == '-';
            assert!(name.chars().all(fit), "{name:?} is no name for a script");
            scripts.push(Script {
                name: name.to_owned(),
                theme: theme.clone(),
                needed: needed.split_whitespace().map(str::to_owned).collect(),
                text: format!("{prelude}\n{body}"),
            });
        }
    }
    scripts
}

fn has(program: &str) -> bool {
    PATH.split(':').any(|dir| Path::new(dir).join(program).exists())
}
