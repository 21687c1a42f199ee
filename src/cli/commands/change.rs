//! `create`, `rename`, `drop` and `adopt`: changes of whole stores.

use serde_json::json;

use crate::cli::args::{RenameArgs, StoreArgs, StoreFormatArgs};
use crate::cli::cell::Cell;
use crate::cli::config;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listing, tell};
use crate::cli::progress::Progress;
use crate::engine::{Storage, Store};
use crate::model::{Error, Result};

/// `create`.
pub(super) fn create(storage: &Storage, args: &StoreArgs) -> Outcome {
    storage.create_store(&config::new_store_name(&args.store)?)?;
    Ok(())
}

/// `rename`.
pub(super) fn rename(storage: &Storage, args: &RenameArgs) -> Outcome {
    let to = config::new_store_name(&args.to)?;
    let store = super::find(storage, &args.store)?;
    storage.rename_store(store.name(), &to)?;
    Ok(())
}

/// `drop`.
pub(super) fn drop_store(storage: &Storage, args: &StoreArgs) -> Outcome {
    Ok(super::find(storage, &args.store)?.drop_store()?)
}

/// `adopt`. A record that cannot be adopted is reported and stops no other.
pub(super) fn adopt(storage: &Storage, args: &StoreFormatArgs) -> Outcome {
    let mut listing = Listing::new(args.format, &["STORE", "ADOPTED", "FAILED"]);
    let mut progress = Progress::of_records("adopting");
    let mut failures = 0;
    for store in super::find_some(storage, args.store.as_deref())? {
        let name = store.name().as_str();
        let (adopted, failed) = match adopt_all(&store, &mut progress) {
            // Dropped by somebody meanwhile.
            Err(Error::NoSuchStore { .. }) => continue,
            counts => counts?,
        };
        failures += failed;
        let value = json!({ "store": name, "adopted": adopted, "failed": failed });
        listing.row(vec![name.into(), Cell::Count(adopted), Cell::Count(failed)], &value)?;
    }
    drop(progress);
    listing.finish()?;
    super::end(failures > 0)
}

/// How many records got a type, and how many could not.
fn adopt_all(store: &Store, progress: &mut Progress) -> Result<(u64, u64)> {
    let (mut adopted, mut failed) = (0, 0);
    for listed in store.scan()? {
        match store.adopt(&listed?.key) {
            Ok(true) => adopted += 1,
            // Typed already, or deleted by somebody since the scan.
            Ok(false) | Err(Error::NoSuchRecord { .. }) => {}
            Err(error) => {
                report(error);
                failed += 1;
            }
        }
        progress.advance(1);
    }
    Ok((adopted, failed))
}

/// Tells of a failure that stops nothing.
pub(super) fn report(error: Error) {
    if let Some(message) = Failure::from(error).message() {
        tell(message);
    }
}
