//! Looking for what is wrong in a storage, and mending what has one right answer.

use std::collections::HashMap;

use super::{Storage, Store, new_metadata};
use crate::backend::Findings;
use crate::model::{
    Error, Finding, FindingKind, FindingState, RecordType, Remedy, Result, StoreName,
};

impl Storage {
    /// Looks through the whole storage, store by store. With `repair`, whatever has one right answer is mended
    /// on the way; no value is ever changed or removed. What cannot be read is an error in its place, and the
    /// rest is looked at all the same.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read, or with `repair` not be written; [`Error::ReadOnly`].
    pub fn examine(&self, repair: bool) -> Result<Findings> {
        // All of it before anything is written: the first write of a process mends a part.
        let mut outside: Vec<_> = match self.backend().repair() {
            Some(repair) => repair.examine()?.collect(),
            None => Vec::new(),
        };
        outside.extend(self.unpublished_findings(None)?.into_iter().map(Ok));
        if repair {
            require_writable(self)?;
        }
        let outside = answer(self, Box::new(outside.into_iter()), repair);
        let storage = self.clone();
        let mut ids = HashMap::new();
        let stores = self.stores()?.into_iter().flat_map(move |name| {
            let twin = duplicate_id(&storage, &name, &mut ids);
            twin.map(Ok).into_iter().chain(examine_store(&storage, &name, repair))
        });
        Ok(Box::new(outside.chain(stores)))
    }
}

impl Store {
    /// Looks through the store, as [`Storage::examine`] does.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; with `repair`, [`Error::Io`] if it cannot be written, [`Error::ReadOnly`].
    pub fn examine(&self, repair: bool) -> Result<Findings> {
        self.attributes()?;
        let unpublished = self.storage().unpublished_findings(Some(self.name()))?;
        if repair {
            require_writable(self.storage())?;
        }
        let findings = examine_store(self.storage(), self.name(), repair);
        Ok(Box::new(unpublished.into_iter().map(Ok).chain(findings)))
    }
}

fn require_writable(storage: &Storage) -> Result<()> {
    storage.backend().stage(None).map(drop)
}

fn examine_store(storage: &Storage, name: &StoreName, repair: bool) -> Findings {
    let Some(examiner) = storage.backend().repair() else { return Box::new(std::iter::empty()) };
    match examiner.examine_store(name) {
        Ok(findings) => answer(storage, findings, repair),
        // Dropped by somebody meanwhile.
        Err(Error::NoSuchStore { .. }) => Box::new(std::iter::empty()),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

/// A store whose id another one has, which is in `ids` already.
fn duplicate_id(
    storage: &Storage,
    name: &StoreName,
    ids: &mut HashMap<String, StoreName>,
) -> Option<Finding> {
    let id = storage.backend().metadata(name).ok()?.id?;
    if let Some(other) = ids.get(&id) {
        let problem =
            format!("the id '{id}' is that of store '{other}' too: opened by id, it may be either");
        return Some(Finding::in_store(FindingKind::DuplicateId, name, problem));
    }
    ids.insert(id, name.clone());
    None
}

/// The findings, mended if that is wanted.
fn answer(storage: &Storage, findings: Findings, repair: bool) -> Findings {
    if !repair {
        return findings;
    }
    let storage = storage.clone();
    Box::new(findings.map(move |finding| finding.map(|finding| mend(&storage, finding))))
}

fn mend(storage: &Storage, finding: Finding) -> Finding {
    let Some(remedy) = &finding.remedy else { return finding };
    let state = match apply(storage, &finding, remedy) {
        // What was wrong with it has gone with it.
        Ok(()) | Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => {
            FindingState::Repaired
        }
        Err(error) => FindingState::Failed(error.to_string()),
    };
    Finding { state, ..finding }
}

fn apply(storage: &Storage, finding: &Finding, remedy: &Remedy) -> Result<()> {
    let backend = storage.backend();
    let Some(name) = &finding.store else { return storage.heal() };
    let store = storage.store(name);
    match remedy {
        Remedy::Adopt { key } => store.adopt(key).map(drop),
        Remedy::Rewrite { record_type: Some(record_type), .. } => {
            rewrite_or_remove(storage, finding, Some(record_type))
        }
        Remedy::Rewrite { key, record_type: None } => {
            let guessed = store.guess(key, &backend.open_value(name, key)?)?;
            rewrite_or_remove(storage, finding, Some(&guessed))
        }
        Remedy::Metadata => match backend.dialects() {
            Some(dialects) => dialects.complete_metadata(name, &new_metadata(name.metadata_name())),
            None => Ok(()),
        },
        Remedy::Remove => rewrite_or_remove(storage, finding, None),
        Remedy::Heal => storage.heal(),
    }
}

fn rewrite_or_remove(
    storage: &Storage,
    finding: &Finding,
    record_type: Option<&RecordType>,
) -> Result<()> {
    // Whoever finds something can mend it.
    storage.backend().repair().map_or(Ok(()), |repair| repair.mend(finding, record_type))
}
