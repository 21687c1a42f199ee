//! Looking for what is wrong in a bucket, and mending it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use jiff::Timestamp;

use super::failure::Failure;
use super::listing::{AT_ONCE, ListedObject, Listing};
use super::looks::is_empty;
use super::mark::Told;
use super::metadata::damaged;
use super::records::{Found, id};
use super::shared::{Conditions, Shared, no_such_store};
use super::tree::{Place, sidecar_of};
use super::xml::Upload;
use crate::backend::Findings;
use crate::backend::directory::dialect::Dialect;
use crate::backend::directory::layout;
use crate::backend::directory::sidecar::{self, Sidecar};
use crate::backend::document::Document;
use crate::model::{Error, Finding, FindingKind, Key, RecordType, Remedy, Result, StoreName};

/// An upload that was begun longer ago than that is on its way no more.
const LONGEST_UPLOAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks at what is outside all stores.
pub(super) fn examine(shared: &Shared) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if shared.conditions == Conditions::Ignored {
        let problem = "the server ignores conditions: of two who make the same record, or replace the same version, the \
                       last one wins, and is told nothing";
        findings.push(Finding::in_storage(FindingKind::IgnoredConditions, b"", problem));
    }
    for intent in shared.intents()? {
        let problem = format!(
            "somebody has begun to {}, and not come to its end",
            intent.operation.in_words()
        );
        let finding = Finding::in_storage(FindingKind::Abandoned, intent.key.as_bytes(), problem);
        findings.push(finding.with_remedy(Some(Remedy::Heal)));
    }
    findings.extend(uploads(shared)?.iter().map(upload_finding));
    Ok(findings)
}

fn upload_finding(upload: &Upload) -> Finding {
    let begun = if upload.initiated.is_empty() { "?" } else { &upload.initiated };
    let problem = format!("an upload that was begun at {begun} is not completed, and takes room");
    let of = |kind, problem| Finding::in_storage(kind, upload.key.as_bytes(), problem);
    if is_stale(upload) {
        of(FindingKind::UnfinishedUpload, problem).with_remedy(Some(Remedy::Remove))
    } else {
        of(FindingKind::RecentUpload, format!("{problem}; it may be on its way"))
    }
}

/// Unfinished uploads, where the server tells of them.
fn uploads(shared: &Shared) -> Result<Vec<Upload>> {
    let action = || "look for unfinished uploads".to_owned();
    match shared.calls.wait(action, shared.calls.uploads(shared.tree.prefix())) {
        Err(Error::Backend { kind: crate::model::BackendErrorKind::Unsupported, .. }) => {
            Ok(Vec::new())
        }
        uploads => uploads,
    }
}

fn is_stale(upload: &Upload) -> bool {
    let begun = upload.initiated.parse::<Timestamp>().ok().map(SystemTime::try_from);
    let begun = begun.and_then(std::result::Result::ok);
    begun.and_then(|begun| begun.elapsed().ok()).is_some_and(|age| age > LONGEST_UPLOAD)
}

/// Looks through a store, page by page.
pub(super) fn examine_store(shared: &Arc<Shared>, store: &StoreName) -> Result<Findings> {
    let place = shared.place(store)?;
    let mut findings = metadata_findings(shared, store, place.dialect)?;
    let (shared, store) = (Arc::clone(shared), store.clone());
    // `None` before the first page, then where the next one begins; empty behind the last.
    let mut next = Some(None::<String>);
    let mut last_value = None;
    let pages = std::iter::from_fn(move || {
        let from = next.take()?;
        let list = shared.calls.list(
            Listing::of(&place.directory),
            from.as_deref(),
            shared.calls.deadline(),
        );
        let page = match shared.calls.wait(|| format!("list store '{store}'"), list) {
            Ok(page) if from.is_none() && is_empty(&page, &place.directory) => {
                return Some(vec![Err(no_such_store(&store))]);
            }
            Ok(page) => page,
            Err(error) => return Some(vec![Err(error)]),
        };
        next = page.next.clone().map(Some);
        let mut found: Vec<Result<Finding>> = page
            .prefixes
            .iter()
            .map(|prefix| Ok(directory_finding(&store, &place, prefix)))
            .collect();
        found.extend(sidecar_findings(&shared, &store, &place, &page.objects, &mut last_value));
        Some(found)
    });
    let findings = findings.drain(..).map(Ok).collect::<Vec<_>>();
    Ok(Box::new(findings.into_iter().chain(pages.flatten())))
}

fn metadata_findings(shared: &Shared, store: &StoreName, dialect: Dialect) -> Result<Vec<Finding>> {
    let of = |kind, problem: String| {
        Finding::in_store(kind, store, problem).of_file(layout::METADATA.as_bytes())
    };
    let Some((_, text)) = shared.metadata_object(store)? else {
        let problem = "the store has no metadata: each SDK that opens it gives it another id";
        let missing = of(FindingKind::MissingMetadata, problem.to_owned());
        let is_missing = dialect == Dialect::Sidecars;
        return Ok(is_missing
            .then(|| missing.with_remedy(Some(Remedy::Metadata)))
            .into_iter()
            .collect());
    };
    Ok(match Document::parse(&text) {
        Err(reason) => {
            let problem = damaged(store, reason).to_string();
            vec![of(FindingKind::DamagedMetadata, problem)]
        }
        Ok(_) => Vec::new(),
    })
}

fn directory_finding(store: &StoreName, place: &Place, prefix: &str) -> Finding {
    let name = prefix.strip_prefix(&place.directory).unwrap_or_default();
    let problem = "what lies in a directory within a store is no record";
    Finding::in_store(FindingKind::SubDirectory, store, problem).of_file(name.as_bytes())
}

/// What is wrong with the sidecars of a page. `last_value` is the last value of the page before, whose sidecar may be the
/// first of this one.
fn sidecar_findings(
    shared: &Shared,
    store: &StoreName,
    place: &Place,
    objects: &[ListedObject],
    last_value: &mut Option<ListedObject>,
) -> Vec<Result<Finding>> {
    if place.dialect != Dialect::Sidecars {
        return Vec::new();
    }
    let is_value = |object: &&ListedObject| place.record(&object.key).is_some();
    let values: Vec<&ListedObject> = objects.iter().filter(is_value).collect();
    let before = last_value.take();
    *last_value = values.last().map(|value| (*value).clone());
    let looked_at = before.iter().chain(values.iter().copied());
    let looks = looked_at.map(|value| look(shared, store, place, value));
    let looks = futures_util::stream::iter(looks).buffered(AT_ONCE).collect::<Vec<_>>();
    let found = shared
        .calls
        .wait(|| format!("look through store '{store}'"), async { Ok::<_, Failure>(looks.await) });
    let mut findings: Vec<Result<Finding>> = match found {
        Ok(found) => found
            .into_iter()
            .filter_map(|one| {
                let action = || format!("look through store '{store}'");
                one.map_err(|failure| failure.into_error(action())).transpose()
            })
            .collect(),
        Err(error) => vec![Err(error)],
    };
    let has_value = |value: &str| objects.iter().chain(&before).any(|object| object.key == value);
    findings.extend(objects.iter().filter_map(|object| {
        let value = object.key.strip_suffix(&format!(".{}", layout::METADATA))?;
        let name = value.strip_prefix(&place.directory).filter(|name| !name.is_empty())?;
        (!has_value(value)).then(|| {
            let problem = "the sidecar of a value that is not there";
            let file = format!("{name}.{}", layout::METADATA);
            let finding = Finding::in_store(FindingKind::DanglingSidecar, store, problem);
            Ok(finding.of_file(file.as_bytes()).with_remedy(Some(Remedy::Remove)))
        })
    }));
    findings
}

/// Looks at one value and its sidecar.
async fn look(
    shared: &Shared,
    store: &StoreName,
    place: &Place,
    value: &ListedObject,
) -> Result<Option<Finding>, Failure> {
    let Some(key) = place.record(&value.key) else { return Ok(None) };
    let name = value.key.strip_prefix(&place.directory).unwrap_or_default();
    let file = format!("{name}.{}", layout::METADATA);
    let of = |kind, problem: &str| Finding::in_store(kind, store, problem).of_file(file.as_bytes());
    let calls = &shared.calls;
    let sidecar_key = sidecar_of(&value.key);
    let text = calls.get_small(&sidecar_key, sidecar::MAX_BYTES, calls.deadline()).await?;
    let rewrite = |record_type| Some(Remedy::Rewrite { key: key.clone(), record_type });
    let Some((written, text)) = text else {
        let now = calls.head(&value.key, calls.deadline()).await?;
        return Ok(now.map(|now| {
            let problem = "a value without a sidecar: the file SDKs do not know it on a copy";
            let finding = Finding::in_store(FindingKind::BareFile, store, problem);
            let remedy = match now.told {
                Told::Marked(record_type) => rewrite(Some(record_type)),
                _ => Some(Remedy::Adopt { key: key.clone() }),
            };
            finding.of_file(name.as_bytes()).with_remedy(remedy)
        }));
    };
    let Ok(said) = Sidecar::parse(&text) else {
        let finding = of(FindingKind::CorruptSidecar, "SDKs cannot read the sidecar");
        return Ok(Some(finding.with_remedy(rewrite(None))));
    };
    if said.size.is_some_and(|size| size != value.size) {
        let finding =
            of(FindingKind::WrongSize, "the sidecar says another length than the value's");
        return Ok(Some(finding.with_remedy(rewrite(None))));
    }
    if !said.is_sound(&key, &shared.input_key, value.size) {
        let finding = of(FindingKind::MismatchedKey, "the sidecar says another key, or no length");
        return Ok(Some(finding.with_remedy(rewrite(Some(said.record_type)))));
    }
    if written.modified < value.modified {
        let now = calls.head(&value.key, calls.deadline()).await?;
        if let Some(Told::Marked(own)) = now.map(|now| now.told)
            && own != said.record_type
        {
            let problem = "the sidecar says another type than the value's object";
            let finding = of(FindingKind::WrongSize, problem);
            return Ok(Some(finding.with_remedy(rewrite(Some(own)))));
        }
    }
    Ok(None)
}

/// Mends a finding.
pub(super) fn mend(
    shared: &Shared,
    finding: &Finding,
    record_type: Option<&RecordType>,
) -> Result<()> {
    match (&finding.store, &finding.remedy) {
        (Some(store), Some(Remedy::Adopt { key } | Remedy::Rewrite { key, .. })) => {
            rewrite(shared, store, key, record_type)
        }
        (Some(store), Some(Remedy::Remove)) => {
            let file = finding.file.as_deref().and_then(|file| std::str::from_utf8(file).ok());
            let key = file.map(|file| format!("{}{file}", shared.tree.directory(store)));
            let Some(key) = key.filter(|key| layout::value_of_sidecar(key.as_bytes()).is_some())
            else {
                return Ok(());
            };
            let value = key.strip_suffix(&format!(".{}", layout::METADATA)).unwrap_or_default();
            let remove = async {
                // It may have got its value meanwhile.
                if shared.calls.head(value, shared.calls.deadline()).await?.is_none() {
                    shared.calls.delete(&key, shared.calls.deadline()).await?;
                }
                Ok::<_, Failure>(())
            };
            shared.calls.wait(|| format!("remove object '{key}'"), remove)
        }
        (None, Some(Remedy::Remove)) => {
            let file = finding.file.as_deref().unwrap_or_default();
            let is_it = |upload: &&Upload| upload.key.as_bytes() == file && is_stale(upload);
            for upload in uploads(shared)?.iter().filter(is_it) {
                let abort = shared.calls.abort(upload, shared.calls.deadline());
                shared.calls.wait(|| format!("end the upload of '{}'", upload.key), abort)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Writes a record's sidecar anew, with the type that its object says, else with the given one.
fn rewrite(
    shared: &Shared,
    store: &StoreName,
    key: &Key,
    record_type: Option<&RecordType>,
) -> Result<()> {
    let record = id(store, key);
    let found = shared.find(&record)?;
    let own = shared.type_of(&record, &found)?;
    let Some(record_type) = own.as_ref().or(record_type) else { return Ok(()) };
    let Found { place, key: value, object } = &found;
    if let Told::Marked(_) = object.told {
        shared.put_sidecar(&record, place, value, record_type, object.size);
        return Ok(());
    }
    // From now on the type travels with the value.
    shared.set_type(&record, record_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_of_the_last_day_are_notes_and_others_are_removed() {
        let begun = |initiated: String| upload_finding(&Upload { initiated, ..Upload::default() });
        let hours_ago =
            |hours: i64| (Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
        for recent in [hours_ago(1), hours_ago(23), hours_ago(-1), String::new()] {
            let finding = begun(recent);
            assert!(!finding.is_open() && finding.remedy.is_none(), "{finding:?}");
        }
        let finding = begun(hours_ago(25));
        assert_eq!(finding.kind, FindingKind::UnfinishedUpload);
        assert!(finding.is_open() && finding.remedy == Some(Remedy::Remove), "{finding:?}");
    }
}
