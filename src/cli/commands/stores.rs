//! `stores` and `info`: what is there.

use serde_json::{Value, json};

use crate::backend::is_input_key;
use crate::cli::args::FormatArgs;
use crate::cli::cell::Cell;
use crate::cli::failure::Outcome;
use crate::cli::output::{Listing, print_facts};
use crate::cli::progress::Progress;
use crate::engine::{Listed, Source, Storage, Store};
use crate::model::{Error, KeptPurge, Key, Result, StoreMetadata};

/// What is shown where something is not known.
const UNKNOWN: &str = "-";

/// What is in a store.
#[derive(Debug, Default)]
struct Contents {
    records: u64,
    /// Bytes of all values together.
    bytes: u64,
    input: Vec<Key>,
}

/// `stores`.
pub(super) fn list(storage: &Storage, format: FormatArgs) -> Outcome {
    let headings = &["STORE", "ID", "RECORDS", "BYTES", "MODIFIED"];
    let mut listing = Listing::new(format, headings);
    let mut progress = Progress::of_records("counting");
    for name in storage.stores()? {
        let store = storage.store(&name);
        let contents = match contents(&store, &mut progress) {
            // Dropped by somebody meanwhile.
            Err(Error::NoSuchStore { .. }) => continue,
            contents => contents?,
        };
        match store.get_metadata() {
            Ok(metadata) => {
                let id = metadata.id.as_deref().unwrap_or(UNKNOWN);
                let modified = Cell::Time(metadata.times.modified_at);
                listing.row(
                    cells(&store, id, &contents, modified),
                    &facts(&store, &metadata, &contents),
                )?;
            }
            Err(Error::NoSuchStore { .. }) => {}
            // One damaged store hides no other.
            Err(error) => {
                log::warn!("{error}");
                let value = json!({
                    "store": store.name().as_str(),
                    "records": contents.records,
                    "bytes": contents.bytes,
                    "error": error.to_string(),
                });
                listing.row(cells(&store, UNKNOWN, &contents, UNKNOWN.into()), &value)?;
            }
        }
    }
    drop(progress);
    listing.finish()
}

/// `info STORE`.
pub(super) fn info(storage: &Storage, store: &str, format: FormatArgs) -> Outcome {
    let store = super::find(storage, store)?;
    let metadata = store.get_metadata()?;
    let contents = contents(&store, &mut Progress::of_records("counting"))?;
    let mut facts = facts(&store, &metadata, &contents);
    if let Value::Object(fields) = &mut facts {
        let input: Vec<String> = contents.input.iter().map(ToString::to_string).collect();
        fields.insert("input".to_owned(), json!(input));
        let kept = store.kept_purges()?;
        let until = kept.last().map(|kept| kept.until.to_string());
        fields.insert("purges_kept".to_owned(), json!(kept.len()));
        fields.insert("bytes_kept".to_owned(), json!(bytes_kept(&kept)));
        fields.insert("undoable_until".to_owned(), json!(until));
    }
    print_facts(format, &facts)
}

/// `info`, of the storage as a whole.
pub(super) fn info_of_storage(storage: &Storage, source: &Source, format: FormatArgs) -> Outcome {
    let mut progress = Progress::of_records("counting");
    let (mut stores, mut records, mut bytes) = (0_u64, 0, 0);
    for name in storage.stores()? {
        match contents(&storage.store(&name), &mut progress) {
            Err(Error::NoSuchStore { .. }) => {}
            contents => {
                let contents = contents?;
                stores += 1;
                records += contents.records;
                bytes += contents.bytes;
            }
        }
    }
    drop(progress);
    let space = storage.space()?;
    let kept = storage.kept_purges()?;
    let kind = storage.describe();
    // For people the kind is enough; what it keeps and cannot is for programs, and in the documentation.
    let kind = if format.json { kind } else { kind.get("kind").cloned().unwrap_or_default() };
    print_facts(
        format,
        &json!({
            "source": source.absolute().shown(),
            "storage": kind,
            "input_key": storage.input_key(),
            "stores": stores,
            "records": records,
            "bytes": bytes,
            "purges_kept": kept.len(),
            "bytes_kept": bytes_kept(&kept),
            "bytes_available": space.blocks_available.saturating_mul(space.block_size),
        }),
    )
}

/// The bytes of values that are kept of purges, as far as they are counted.
fn bytes_kept(kept: &[KeptPurge]) -> u64 {
    kept.iter().filter_map(|kept| kept.counted).map(|counted| counted.bytes).sum()
}

fn contents(store: &Store, progress: &mut Progress) -> Result<Contents> {
    let input_key = store.storage().input_key();
    let mut contents = Contents::default();
    for listed in store.scan()? {
        let Listed { key, attributes, .. } = listed?;
        match attributes.map_or_else(|| store.record(&key), Ok) {
            // Deleted by somebody since the scan.
            Err(Error::NoSuchRecord { .. }) => continue,
            record => contents.bytes += record?.size,
        }
        contents.records += 1;
        progress.advance(1);
        if is_input_key(&key, input_key) {
            contents.input.push(key);
        }
    }
    contents.input.sort_unstable();
    Ok(contents)
}

fn cells(store: &Store, id: &str, contents: &Contents, modified: Cell) -> Vec<Cell> {
    vec![
        store.name().as_str().into(),
        id.into(),
        Cell::Count(contents.records),
        Cell::Bytes(contents.bytes),
        modified,
    ]
}

fn facts(store: &Store, metadata: &StoreMetadata, contents: &Contents) -> Value {
    json!({
        "store": store.name().as_str(),
        "id": metadata.id,
        "name": metadata.name,
        "created_at": metadata.times.created_at.to_string(),
        "accessed_at": metadata.times.accessed_at.to_string(),
        "modified_at": metadata.times.modified_at.to_string(),
        "records": contents.records,
        "bytes": contents.bytes,
    })
}
