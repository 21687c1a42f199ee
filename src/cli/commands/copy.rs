//! `copy`: stores from one storage to another.

use std::fs;
use std::os::unix::fs::MetadataExt;

use parking_lot::Mutex;
use serde_json::json;

use crate::cli::args::{Cli, CopyArgs};
use crate::cli::cell::Cell;
use crate::cli::config::Target;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listing, key_text, tell};
use crate::cli::progress::Progress;
use crate::engine::{CopyNews, CopyOptions, Source, Storage, Store, ends_copy};
use crate::model::{Error, Result, StoreName};

/// Directories of a storage that are not copied, and what is in them.
const NOT_COPIED: [(&str, &str); 2] =
    [("datasets", "datasets"), ("request_queues", "request queues")];

/// `copy`. All stores must be there before the first one is copied.
pub(super) fn copy(cli: &Cli, args: &CopyArgs) -> Outcome {
    let source = Target::new(&cli.common)?.reading();
    let target = Target::new(&cli.common)?.other(&args.to)?;
    // Before either is opened.
    super::check(&source)?;
    super::check(&target)?;
    refuse_same(&source.source, &target.source)?;
    let (from, to) = (super::open_checked(&source)?, super::open_checked(&target)?);
    let stores = stores(&from, args)?;
    tell_what_is_not_copied(&from);
    copy_all(&stores, &to, args)
}

fn stores(from: &Storage, args: &CopyArgs) -> Outcome<Vec<Store>> {
    if args.stores.is_empty() {
        return super::find_some(from, None);
    }
    args.stores.iter().map(|store| super::find(from, store)).collect()
}

fn copy_all(stores: &[Store], to: &Storage, args: &CopyArgs) -> Outcome {
    let options = CopyOptions { dry_run: args.dry_run, purge: args.purge };
    let headings = &["STORE", "SENT", "BYTES", "SAME", "REMOVED", "FAILED"];
    let mut listing = Listing::new(args.format, headings);
    let progress = Mutex::new(progress(stores));
    let mut failed = false;
    for store in stores {
        let name = store.name();
        match store.copy_to(to, options, &|news| report(name, &news, &progress)) {
            // Dropped by somebody meanwhile.
            Ok(None) => {}
            Ok(Some(copied)) => {
                failed |= copied.failed > 0;
                let cells = vec![
                    name.as_str().into(),
                    Cell::Count(copied.sent),
                    Cell::Bytes(copied.bytes),
                    Cell::Count(copied.same),
                    Cell::Count(copied.removed),
                    Cell::Count(copied.failed),
                ];
                let value = json!({
                    "store": name.as_str(),
                    "sent": copied.sent,
                    "bytes": copied.bytes,
                    "same": copied.same,
                    "removed": copied.removed,
                    "failed": copied.failed,
                });
                listing.row(cells, &value)?;
            }
            Err(error) => {
                failed = true;
                let ends = ends_copy(&error);
                progress.lock().aside(|| tell(&format!("store '{name}' is not copied: {error}")));
                if ends {
                    break;
                }
            }
        }
    }
    drop(progress);
    listing.finish()?;
    super::end(failed)
}

/// Progress of all records, which are counted before only if anybody sees it.
fn progress(stores: &[Store]) -> Progress {
    let count = |store: &Store| store.scan().map_or(0, Iterator::count) as u64;
    let total = if Progress::is_seen() { stores.iter().map(count).sum() } else { 0 };
    Progress::of_known_records("copying", total)
}

fn report(store: &StoreName, news: &CopyNews<'_>, progress: &Mutex<Progress>) {
    match news {
        CopyNews::Looked => progress.lock().advance(1),
        CopyNews::RecordFailed(key, error) => {
            let key = key_text(key);
            let said = format!("record '{key}' of store '{store}' is not copied: {error}");
            progress.lock().aside(|| tell(&said));
        }
        CopyNews::StoreFailed(said) => progress.lock().aside(|| tell(said)),
    }
}

/// Refuses to copy a storage onto itself, as far as the two names tell: that would read what it writes.
fn refuse_same(source: &Source, target: &Source) -> Outcome {
    let (from, to) = (source.found()?, target.found()?);
    let file = |source: &Source| {
        let metadata = fs::metadata(source.path()?).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let is_same = from.shown() == to.shown() || (file(&from).is_some() && file(&from) == file(&to));
    if is_same {
        let (source, target) = (source.shown(), target.shown());
        return Err(Failure::Failed(format!(
            "'{source}' and '{target}' are the same storage: name another one with --to"
        )));
    }
    Ok(())
}

/// Says so in one line if the source has more than stores.
fn tell_what_is_not_copied(from: &Storage) {
    let has_any = |directory: &str| -> Result<bool> {
        let directory = StoreName::plain_root().child(directory)?;
        match from.directories(&directory) {
            Err(Error::NoSuchStore { .. }) => Ok(false),
            names => Ok(!names?.is_empty()),
        }
    };
    let found: Vec<&str> = NOT_COPIED
        .iter()
        .filter(|(directory, _)| has_any(directory).unwrap_or_default())
        .map(|(_, what)| *what)
        .collect();
    if !found.is_empty() {
        tell(&format!(
            "the source has {}, which are not copied: only key-value stores are",
            found.join(" and ")
        ));
    }
}
