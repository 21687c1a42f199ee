//! `purge` and `unpurge`.

use serde_json::json;

use super::change::report;
use crate::backend::WouldPurge;
use crate::cli::args::{PurgeArgs, StoreFormatOfOneArgs};
use crate::cli::cell::{Cell, Tone};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listing, key_fields, key_text};
use crate::engine::{PurgeOptions, Storage, Store};

/// `purge`. All stores must be there before the first one is purged.
pub(super) fn purge(storage: &Storage, args: &PurgeArgs) -> Outcome {
    let stores: Vec<Store> =
        args.stores.iter().map(|store| super::find(storage, store)).collect::<Outcome<_>>()?;
    if args.dry_run {
        return would_purge(&stores, args);
    }
    let mut listing = Listing::new(args.format, &["STORE", "REMOVED", "SPARED"]);
    let mut failed = false;
    let options = PurgeOptions { keep: args.keep_purged, ..PurgeOptions::default() };
    for store in stores {
        let name = store.name().as_str();
        match store.purge_with(&options) {
            Ok(purging) => {
                let purged = purging.wait();
                let spared: Vec<String> = purged.spared.iter().map(key_text).collect();
                let kept = store.kept_purge().ok().flatten().filter(|_| args.keeps());
                let value = json!({
                    "store": name,
                    "removed": purged.removed,
                    "bytes": purged.bytes,
                    "spared": spared,
                    "undoable_until": kept.map(|kept| kept.until.to_string()),
                });
                let removed = Cell::Count(purged.removed);
                let cells = vec![name.into(), removed, spared.join(" ").into()];
                listing.row(cells, &value)?;
            }
            Err(error) => {
                report(error);
                failed = true;
            }
        }
    }
    listing.finish()?;
    super::end(failed)
}

/// `purge --dry-run`.
fn would_purge(stores: &[Store], args: &PurgeArgs) -> Outcome {
    let mut listing = Listing::new(args.format, &["STORE", "KEY", "FATE", "BYTES"]);
    for store in stores {
        let name = store.name().as_str();
        let mut told: Outcome = Ok(());
        let looked = store.would_purge(&mut |would| {
            if told.is_ok() {
                told = row(&mut listing, name, &would);
            }
            Ok(())
        });
        told?;
        looked?;
    }
    listing.finish()
}

fn row(listing: &mut Listing, store: &str, would: &WouldPurge) -> Outcome {
    let (fate, tone) = if would.goes { ("removed", Tone::Bad) } else { ("spared", Tone::Good) };
    let mut fields = serde_json::Map::new();
    fields.insert("store".to_owned(), json!(store));
    fields.extend(key_fields(&would.key));
    fields.insert("fate".to_owned(), json!(fate));
    fields.insert("litter".to_owned(), json!(would.is_litter));
    fields.insert("size".to_owned(), json!(would.size));
    let cells = vec![
        store.into(),
        key_text(&would.key).into(),
        Cell::State(fate, tone),
        Cell::Bytes(would.size),
    ];
    listing.row(cells, &fields.into())
}

/// `unpurge`.
pub(super) fn unpurge(storage: &Storage, args: &StoreFormatOfOneArgs) -> Outcome {
    let store = super::find(storage, &args.store)?;
    let unpurged = store.unpurge().map_err(Failure::from)?;
    let left: Vec<String> = unpurged.left.iter().map(key_text).collect();
    let value = json!({
        "store": store.name().as_str(),
        "purged_at": unpurged.purged_at.to_string(),
        "restored": unpurged.restored,
        "left": left,
    });
    let mut listing = Listing::new(args.format, &["STORE", "PURGED", "RESTORED", "NOT RESTORED"]);
    let cells = vec![
        store.name().as_str().into(),
        Cell::Time(unpurged.purged_at),
        Cell::Count(unpurged.restored),
        left.join(" ").into(),
    ];
    listing.row(cells, &value)?;
    listing.finish()
}

impl PurgeArgs {
    /// Whether what is removed is kept.
    fn keeps(&self) -> bool {
        self.keep_purged.is_some_and(|keep| !keep.is_zero())
    }
}
