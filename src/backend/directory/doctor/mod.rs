//! Finding what is wrong in a storage directory, and mending what has one right answer.
//!
//! | file | owns |
//! | --- | --- |
//! | here | the pass through a store's directory |
//! | `record` | value files and their sidecars |
//! | `sidecar` | the text of a sidecar |
//! | `outside` | store metadata, and what is in the place of stores |
//! | `mend` | the changes |
//!
//! A look takes no lock and changes nothing. Each change takes another look first, with the store's gate passed
//! and the record held, and no value is ever changed or removed.

mod mend;
mod outside;
mod record;
mod sidecar;

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::dialect::Dialect;
use super::layout;
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::{Findings, is_input_key};
use crate::model::{Error, Finding, FindingKind, Key, Remedy, Result, StoreName};

/// A temporary or lock that has not been touched for so long is nobody's any more. Writing a value takes an SDK
/// milliseconds, and Crawlee JS 3 itself takes a lock over after ten seconds.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A value that changed this recently may have its sidecar still to come: an SDK writes one after the other.
const FRESH: Duration = Duration::from_secs(1);

/// So long is waited, once in a pass, before what may be somebody's write or removal is looked at again.
const SETTLING: Duration = Duration::from_millis(100);

/// So often at most is a record looked at that somebody writes over and over.
const LOOKS: usize = 5;

/// So many names of input files are told.
const TOLD_INPUTS: usize = 5;

/// What the name of a lock of Crawlee JS 3 has behind that of its file.
const LOCK_SUFFIX: &[u8] = b".lock";

/// Entries of a directory: name, and kind as far as it is listed.
type Entries = Box<dyn Iterator<Item = rustix::io::Result<(Vec<u8>, FileType)>> + Send>;

impl DirectoryBackend {
    /// Looks through a store's directory.
    pub(super) fn examine_store(&self, name: &StoreName) -> Result<Findings> {
        // Not held in its place: a purge meanwhile makes the rest of the pass find nothing.
        let dir = self.unguarded_store_dir(name)?;
        if outside::is_purge_leftover(name.as_str()) {
            let problem =
                "Crawlee JS 3 died in a purge: it removes this directory at its next start";
            let finding = Finding::in_store(FindingKind::PurgeLeftover, name, problem);
            return Ok(Box::new(std::iter::once(Ok(finding))));
        }
        let entries = tree::entries(&dir.fd).map_err(|error| list_failed(name, error))?;
        let waiting = self.metadata_findings(&dir).into();
        let pass = Pass {
            dialect: self.dialect(&dir)?,
            backend: self.clone(),
            dir,
            stage: Stage::All(Box::new(entries)),
            suspects: Vec::new(),
            inputs: Inputs::default(),
            has_sidecar: false,
            waiting,
        };
        Ok(Box::new(pass))
    }

    fn is_input(&self, name: &[u8]) -> bool {
        let input_key = &self.shared.options.input_key;
        Key::from_bytes(name).is_ok_and(|key| is_input_key(&key, input_key))
    }
}

/// One pass through a store's directory, entry by entry.
struct Pass {
    backend: DirectoryBackend,
    dir: StoreDir,
    dialect: Dialect,
    stage: Stage,
    /// Values and sidecars that seemed wrong and may just be written or removed by somebody.
    suspects: Vec<Vec<u8>>,
    inputs: Inputs,
    has_sidecar: bool,
    /// What was found and not given yet.
    waiting: VecDeque<Finding>,
}

/// How far a pass has come: what is still to be looked at.
enum Stage {
    All(Entries),
    /// The suspects, which have had time to settle since then.
    Suspects(std::vec::IntoIter<Vec<u8>>, SystemTime),
    Done,
}

/// What the Apify SDK takes for input files (FORMAT 8.2).
#[derive(Default)]
struct Inputs {
    count: usize,
    /// The first of them.
    names: Vec<String>,
}

impl Iterator for Pass {
    type Item = Result<Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(finding) = self.waiting.pop_front() {
                return Some(Ok(finding));
            }
            let looked = match &mut self.stage {
                Stage::All(entries) => match entries.next() {
                    Some(Ok((name, listed))) => self.look_at(&name, listed),
                    Some(Err(error)) => {
                        self.stage = Stage::Done;
                        Err(list_failed(&self.dir.name, error))
                    }
                    None => {
                        self.look_at_whole();
                        Ok(())
                    }
                },
                Stage::Suspects(suspects, since) => match (suspects.next(), *since) {
                    (Some(name), since) => self.look_again(&name, since),
                    (None, _) => {
                        self.stage = Stage::Done;
                        Ok(())
                    }
                },
                Stage::Done => return None,
            };
            if let Err(error) = looked {
                return Some(Err(error));
            }
        }
    }
}

impl Pass {
    fn look_at(&mut self, name: &[u8], listed: FileType) -> Result<()> {
        match tree::kind(&self.dir.fd, name, listed) {
            FileType::RegularFile if name == layout::METADATA.as_bytes() => {}
            FileType::RegularFile if layout::value_of_sidecar(name).is_some() => {
                self.has_sidecar = true;
                if self.dialect == Dialect::Sidecars
                    && record::look_at_sidecar(&self.dir, name)?.is_some()
                {
                    self.suspects.push(name.to_vec());
                }
            }
            FileType::RegularFile => self.look_at_value(name)?,
            FileType::Directory => self.look_at_directory(name),
            FileType::Symlink => {
                self.note_input(name);
                let problem = "a symbolic link, which storefs follows nowhere";
                self.found(FindingKind::Link, name, problem);
            }
            // Gone since it was listed.
            FileType::Unknown => {}
            _ => {
                self.note_input(name);
                let problem = "a pipe, socket or device, which can be no record";
                self.found(FindingKind::SpecialFile, name, problem);
            }
        }
        Ok(())
    }

    fn look_at_value(&mut self, name: &[u8]) -> Result<()> {
        let stat = match tree::stat_file(&self.dir.fd, name) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat.map_err(|error| list_failed(&self.dir.name, error))?,
        };
        if !self.backend.is_record(&self.dir, name)? {
            if is_abandoned(&stat) {
                let problem = "a temporary file of an SDK that died while it wrote";
                let finding = self.finding(FindingKind::Temporary, name, problem);
                self.waiting.push_back(finding.with_remedy(Some(Remedy::Remove)));
            }
            return Ok(());
        }
        self.note_input(name);
        if stat.st_nlink > 1 {
            let others = stat.st_nlink - 1;
            let problem =
                format!("the file has {others} more names, here or elsewhere on the disk");
            self.found(FindingKind::HardLink, name, problem);
        }
        let findings = self.value_findings(name, &stat)?;
        if !findings.is_empty() && is_younger(&stat, FRESH) {
            self.suspects.push(name.to_vec());
        } else {
            self.waiting.extend(findings);
        }
        Ok(())
    }

    fn value_findings(&self, name: &[u8], stat: &Stat) -> Result<Vec<Finding>> {
        record::look_at_value(&self.backend, &self.dir, self.dialect, name, stat)
    }

    /// Looks at a suspect again; still again if it was written meanwhile.
    fn look_again(&mut self, name: &[u8], since: SystemTime) -> Result<()> {
        if layout::value_of_sidecar(name).is_some() {
            self.waiting.extend(record::look_at_sidecar(&self.dir, name)?);
            return Ok(());
        }
        let mut findings = Vec::new();
        for _ in 0..LOOKS {
            let stat = match tree::stat_file(&self.dir.fd, name) {
                Err(Errno::NOENT) => return Ok(()),
                stat => stat.map_err(|error| list_failed(&self.dir.name, error))?,
            };
            findings = self.value_findings(name, &stat)?;
            if findings.is_empty() || tree::attributes(&stat).modified < since {
                break;
            }
            thread::sleep(SETTLING / 4);
        }
        self.waiting.extend(findings);
        Ok(())
    }

    fn look_at_directory(&mut self, name: &[u8]) {
        if name.ends_with(LOCK_SUFFIX)
            && let Some(stat) = empty_directory(&self.dir, name)
        {
            // A young one is Crawlee JS 3 at work.
            if is_abandoned(&stat) {
                let problem = "a lock of Crawlee JS 3 that its owner left";
                let finding = self.finding(FindingKind::Lock, name, problem);
                self.waiting.push_back(finding.with_remedy(Some(Remedy::Remove)));
            }
            return;
        }
        self.note_input(name);
        if self.backend.is_input(name) {
            let problem = "a directory in the place of the input: the Apify SDK refuses the store";
            self.found(FindingKind::BrokenInput, name, problem);
        } else {
            let problem = "a directory within a store: the purge of crawlee-python fails on it";
            self.found(FindingKind::SubDirectory, name, problem);
        }
    }

    /// What can be said only when all names have been seen. Then the suspects are next.
    fn look_at_whole(&mut self) {
        let suspects = std::mem::take(&mut self.suspects);
        let since = SystemTime::now();
        if !suspects.is_empty() {
            thread::sleep(SETTLING);
        }
        self.stage = Stage::Suspects(suspects.into_iter(), since);
        if self.inputs.count > 1 {
            let more = if self.inputs.count > self.inputs.names.len() { ", ..." } else { "" };
            let problem = format!(
                "{} input files: the Apify SDK refuses the store until one is left: {}{more}",
                self.inputs.count,
                self.inputs.names.join(", ")
            );
            let finding = Finding::in_store(FindingKind::SeveralInputs, &self.dir.name, problem);
            self.waiting.push_back(finding);
        }
        if self.has_sidecar && self.dialect == Dialect::Sidecars {
            self.waiting.extend(outside::missing_metadata(&self.dir));
        }
    }

    fn note_input(&mut self, name: &[u8]) {
        if self.backend.is_input(name) && !name.ends_with(layout::METADATA.as_bytes()) {
            self.inputs.count += 1;
            if self.inputs.names.len() < TOLD_INPUTS {
                self.inputs.names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }

    fn found(&mut self, kind: FindingKind, name: &[u8], problem: impl Into<String>) {
        self.waiting.push_back(self.finding(kind, name, problem));
    }

    fn finding(&self, kind: FindingKind, name: &[u8], problem: impl Into<String>) -> Finding {
        Finding::in_store(kind, &self.dir.name, problem).of_file(name)
    }
}

/// Whether nobody has touched a temporary or lock for so long that its owner must be dead.
fn is_abandoned(stat: &Stat) -> bool {
    !is_younger(stat, ABANDONED_AFTER)
}

/// Whether a file was written less than so long ago; also if the clock says that it will be.
fn is_younger(stat: &Stat, age: Duration) -> bool {
    let since = SystemTime::now().duration_since(tree::attributes(stat).modified);
    since.map_or(true, |since| since <= age)
}

/// What the system says of a directory, if nothing is in it.
fn empty_directory(dir: &StoreDir, name: &[u8]) -> Option<Stat> {
    let inner = tree::open_dir(&dir.fd, std::str::from_utf8(name).ok()?).ok()?;
    let is_empty = tree::entries(&inner).ok()?.next().is_none();
    if is_empty { rustix::fs::fstat(&inner).ok() } else { None }
}

fn list_failed(store: &StoreName, error: Errno) -> Error {
    Error::io(format!("list store '{store}'"), error)
}
