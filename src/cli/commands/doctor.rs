//! `doctor`: what is wrong with a storage, and mending it.

use serde_json::{Map, Value, json};

use crate::cli::args::DoctorArgs;
use crate::cli::cell::{Cell, Tone};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listing, bytes_text, tell};
use crate::engine::Storage;
use crate::model::{Finding, FindingState};

/// Rows after which a table is written as far as it is.
const PAGE: u64 = 100;

/// What stands where a finding is about no store or no file.
const NONE: &str = "-";

/// What was found and is still wrong.
#[derive(Debug, Default)]
struct Open {
    /// In all.
    findings: u64,
    /// Those that `--repair` would mend.
    repairable: u64,
    /// Parts of the storage that could not be looked at.
    errors: u64,
}

/// `doctor`.
pub(super) fn doctor(storage: &Storage, args: &DoctorArgs) -> Outcome {
    let findings = match &args.store {
        Some(store) => super::find(storage, store)?.examine(args.repair)?,
        None => storage.examine(args.repair)?,
    };
    let mut listing = Listing::new(args.format, &["STORE", "FILE", "KIND", "STATE", "PROBLEM"]);
    let mut open = Open::default();
    for (row, finding) in (1_u64..).zip(findings) {
        match finding {
            Ok(finding) => {
                open.count(&finding);
                listing.row(cells(&finding), &facts(&finding))?;
            }
            Err(error) => {
                open.errors += 1;
                Failure::from(error).message().map(tell).unwrap_or_default();
            }
        }
        if row % PAGE == 0 {
            listing.end_page()?;
        }
    }
    listing.finish()?;
    open.end()
}

impl Open {
    fn count(&mut self, finding: &Finding) {
        if finding.is_open() {
            self.findings += 1;
            let is_repairable = finding.state == FindingState::Found && finding.remedy.is_some();
            self.repairable += u64::from(is_repairable);
        }
    }

    fn end(self) -> Outcome {
        match (self.findings, self.repairable) {
            (0, _) => super::end(self.errors > 0),
            (found, 0) => Err(Failure::Failed(format!("{found} left to be put right by hand"))),
            (found, repairable) => Err(Failure::Failed(format!(
                "{found} found; 'storefs doctor --repair' mends {repairable} of them"
            ))),
        }
    }
}

/// What has become of a finding, in a word.
fn state(finding: &Finding) -> &'static str {
    toned_state(finding).0
}

fn toned_state(finding: &Finding) -> (&'static str, Tone) {
    match finding.state {
        FindingState::Repaired => ("repaired", Tone::Good),
        FindingState::Failed(_) => ("failed", Tone::Bad),
        FindingState::Found if finding.kind.is_note() => ("note", Tone::Neutral),
        FindingState::Found if finding.remedy.is_some() => ("repairable", Tone::Doubtful),
        FindingState::Found => ("left", Tone::Bad),
    }
}

fn cells(finding: &Finding) -> Vec<Cell> {
    let (state, tone) = toned_state(finding);
    let problem = match &finding.state {
        FindingState::Failed(reason) => format!("{}; {reason}", finding.problem),
        _ => finding.problem.clone(),
    };
    vec![
        finding.store.as_ref().map_or(NONE, |store| store.as_str()).into(),
        finding.file.as_deref().map_or_else(|| NONE.to_owned(), bytes_text).into(),
        finding.kind.as_str().into(),
        Cell::State(state, tone),
        problem.into(),
    ]
}

/// A finding as JSON.
pub(super) fn facts(finding: &Finding) -> Value {
    let mut fields = Map::new();
    let mut field = |name: &str, value| fields.insert(name.to_owned(), value);
    let file = finding.file.as_deref();
    field("store", json!(finding.store.as_ref().map(|store| store.as_str())));
    field("file", json!(file.map(String::from_utf8_lossy)));
    if file.is_some_and(|file| std::str::from_utf8(file).is_err()) {
        field("foreign", json!(true));
    }
    field("kind", json!(finding.kind.as_str()));
    field("state", json!(state(finding)));
    field("problem", json!(finding.problem));
    if let FindingState::Failed(reason) = &finding.state {
        field("error", json!(reason));
    }
    Value::Object(fields)
}
