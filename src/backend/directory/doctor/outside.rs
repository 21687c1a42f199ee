//! What is wrong with store metadata, and with what is in the place of stores.

use std::io;

use rustix::fs::{FileType, FlockOperation};
use rustix::io::Errno;

use super::record::{cannot_be_read, is_anything};
use crate::backend::Findings;
use crate::backend::directory::kept_box::PURGED;
use crate::backend::directory::layout;
use crate::backend::directory::places::private_directories;
use crate::backend::directory::process_locks;
use crate::backend::directory::rescued::RESCUED;
use crate::backend::directory::state::DirectoryBackend;
use crate::backend::directory::tree::{self, Directory, StoreDir};
use crate::backend::document::Document;
use crate::model::{Error, Finding, FindingKind, Remedy, Result, StoreName};

/// Directories that Crawlee JS 3 makes while it purges, by how their names begin (FORMAT 5.5).
const PURGE_LEFTOVERS: [&str; 3] =
    ["__CRAWLEE_MIGRATING_KEY_VALUE_STORE__", "__CRAWLEE_TEMPORARY", "__OLD_DEFAULT"];

/// Whether a directory is what Crawlee JS 3 left of a purge.
pub(super) fn is_purge_leftover(name: &str) -> bool {
    name.ends_with("__") && PURGE_LEFTOVERS.iter().any(|beginning| name.starts_with(beginning))
}

/// A store with sidecars needs metadata.
pub(super) fn missing_metadata(dir: &StoreDir) -> Option<Finding> {
    let is_missing = matches!(is_anything(dir, layout::METADATA.as_bytes()), Ok(false));
    let problem = "the store has no metadata: each SDK that opens it gives it another id";
    let finding = metadata_finding(FindingKind::MissingMetadata, dir, problem);
    is_missing.then(|| finding.with_remedy(Some(Remedy::Metadata)))
}

fn metadata_finding(kind: FindingKind, dir: &StoreDir, problem: impl Into<String>) -> Finding {
    Finding::in_store(kind, &dir.name, problem).of_file(layout::METADATA.as_bytes())
}

/// What is in `.storefs` besides the directories of processes.
const OF_NO_PROCESS: [&str; 3] = [RESCUED, PURGED, process_locks::NAME];

impl DirectoryBackend {
    /// Looks at a store's metadata (FORMAT 4.3). It is never mended: which id and times it had, nobody knows.
    pub(super) fn metadata_findings(&self, dir: &StoreDir) -> Vec<Finding> {
        let damaged =
            |problem: String| metadata_finding(FindingKind::DamagedMetadata, dir, problem);
        match self.read_metadata_text(dir) {
            Ok(Some(text)) => match Document::parse(&text.bytes) {
                Ok(document) => document_findings(dir, &document),
                Err(reason) if std::str::from_utf8(&text.bytes).is_err() => {
                    log::debug!("metadata of store '{}': {reason}", dir.name);
                    vec![damaged("not UTF-8: no SDK opens any store by id".to_owned())]
                }
                Err(reason) => vec![damaged(format!("SDKs refuse the store: {reason}"))],
            },
            Ok(None) => match is_anything(dir, layout::METADATA.as_bytes()) {
                Ok(true) => vec![damaged("it is no plain file".to_owned())],
                _ => Vec::new(),
            },
            Err(Error::DamagedMetadata { reason, .. }) => vec![damaged(reason)],
            Err(Error::Io { source, .. }) => {
                let problem = cannot_be_read(&source);
                vec![metadata_finding(FindingKind::Unreadable, dir, problem)]
            }
            Err(error) => vec![damaged(error.to_string())],
        }
    }

    /// Looks at what is beside the stores, and at what processes left that died.
    pub(in crate::backend::directory) fn examine(&self) -> Result<Findings> {
        let failed = |error: Errno| Error::io(format!("list '{}'", layout::STORES), error);
        let mut findings = self.abandoned()?;
        if let Some(stores) = tree::open_stores(&self.root())? {
            for entry in tree::entries(&stores).map_err(failed)? {
                let (name, listed) = entry.map_err(failed)?;
                let kind = tree::kind(&stores, &name, listed);
                let path = [layout::STORES.as_bytes(), b"/", &name].concat();
                findings.extend(
                    foreign_store(&name, kind)
                        .map(|(kind, problem)| Finding::in_storage(kind, &path, problem)),
                );
            }
        }
        Ok(Box::new(findings.into_iter().map(Ok)))
    }

    /// The directories in a `.storefs` whose process is dead: nobody holds their lock.
    fn abandoned(&self) -> Result<Vec<Finding>> {
        let root = self.root();
        let places = match private_directories(&root) {
            Ok(places) => places,
            Err(error) => {
                let problem = format!("nothing can be written here: {}", io::Error::from(error));
                let file = layout::PRIVATE.as_bytes();
                return Ok(vec![Finding::in_storage(FindingKind::Unreadable, file, problem)]);
            }
        };
        let mut findings = Vec::new();
        for (path, private) in &places {
            abandoned_in(path, private, &mut findings)
                .map_err(|error| Error::io(format!("look into '{path}'"), error))?;
        }
        Ok(findings)
    }
}

fn abandoned_in(
    place: &str,
    private: &Directory,
    findings: &mut Vec<Finding>,
) -> rustix::io::Result<()> {
    for entry in tree::entries(private)? {
        let (name, listed) = entry?;
        if tree::kind(private, &name, listed) != FileType::Directory
            || OF_NO_PROCESS.iter().any(|other| name == other.as_bytes())
        {
            continue;
        }
        let session = std::str::from_utf8(&name).ok().map(|text| tree::open_dir(private, text));
        let Some(Ok(session)) = session else { continue };
        if rustix::fs::flock(&session, FlockOperation::NonBlockingLockShared).is_ok() {
            let path = [place.as_bytes(), b"/", &name].concat();
            let problem = "a process of storefs that died was at something here";
            let finding = Finding::in_storage(FindingKind::Abandoned, &path, problem);
            findings.push(finding.with_remedy(Some(Remedy::Heal)));
        }
    }
    Ok(())
}

fn document_findings(dir: &StoreDir, document: &Document) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(field) = document.time_in_both_spellings() {
        let problem = format!(
            "'{field}' is there in both spellings: Crawlee JS 4 refuses the store, in Python the time stands still"
        );
        findings.push(metadata_finding(FindingKind::BothSpellings, dir, problem));
    }
    if let Some(field) = document.time_without_zone() {
        let problem = format!("'{field}' has no time zone: Crawlee JS 4 refuses the store");
        findings.push(metadata_finding(FindingKind::DamagedMetadata, dir, problem));
    }
    if let Some(name) = &document.metadata().name
        && name != dir.name.as_str()
    {
        let problem =
            format!("the name in it is '{name}': Crawlee JS 3 writes to a directory of that name");
        findings.push(metadata_finding(FindingKind::MismatchedName, dir, problem));
    }
    findings
}

/// What is wrong with an entry in the place of a store, if anything is.
fn foreign_store(name: &[u8], kind: FileType) -> Option<(FindingKind, &'static str)> {
    match kind {
        FileType::Directory
            if std::str::from_utf8(name).map(StoreName::new).is_ok_and(|name| name.is_ok()) =>
        {
            None
        }
        FileType::Directory => {
            Some((FindingKind::ForeignStore, "a store whose name is not UTF-8: no SDK can open it"))
        }
        FileType::Symlink => Some((
            FindingKind::Link,
            "a symbolic link in the place of a store, which storefs follows nowhere",
        )),
        FileType::Unknown => None,
        _ => Some((FindingKind::ForeignStore, "in the place of a store, and no directory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_js3_leaves_of_a_purge_is_known() {
        for name in [
            "__CRAWLEE_MIGRATING_KEY_VALUE_STORE__",
            "__CRAWLEE_TEMPORARY_0__",
            "__OLD_DEFAULT_12__",
        ] {
            assert!(is_purge_leftover(name), "{name}");
        }
        for name in ["default", "__default__", "__OLD_DEFAULT", "my__CRAWLEE_TEMPORARY_0__"] {
            assert!(!is_purge_leftover(name), "{name}");
        }
    }
}
