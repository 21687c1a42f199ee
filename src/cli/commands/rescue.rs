//! `rescue`: what writers had not published when their mount ended.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::records::{key, write_out};
use crate::backend::Reader;
use crate::cli::args::RescueArgs;
use crate::cli::cell::Cell;
use crate::cli::failure::{Failure, Outcome, code_of};
use crate::cli::output::{Listing, key_fields, key_text, tell};
use crate::engine::Storage;
use crate::model::{Error, Timestamp, Unpublished};

/// What stands for standard output.
const STANDARD_OUTPUT: &str = "-";

const HEADINGS: &[&str] = &["ID", "STORE", "KEY", "SIZE", "WRITTEN", "STATE"];

/// `rescue`.
pub(super) fn rescue(storage: &Storage, args: &RescueArgs) -> Outcome {
    // What nobody has put aside yet is listed all the same, and can be read where nothing can be written.
    if let Err(error) = storage.heal() {
        log::debug!("what a dead process may have left is not healed: {error}");
    }
    let kept = chosen(storage, args.id.as_deref())?;
    if let (Some(output), Some(kept)) = (&args.output, kept.first()) {
        return write_to(storage, kept, output);
    }
    let mut listing = Listing::new(args.format, HEADINGS);
    let mut failed = false;
    for kept in kept {
        match dispose(storage, args, &kept) {
            Ok(state) => listing.row(cells(&kept, state), &facts(&kept, state))?,
            Err(failure) => {
                failure.message().map(tell).unwrap_or_default();
                failed = true;
            }
        }
    }
    listing.finish()?;
    super::end(failed)
}

/// All that is kept, or what has this id.
fn chosen(storage: &Storage, id: Option<&str>) -> Outcome<Vec<Unpublished>> {
    let mut kept = storage.unpublished()?;
    if let Some(id) = id {
        kept.retain(|kept| kept.id == id);
        if kept.is_empty() {
            return Err(Error::NoSuchUnpublished { id: id.to_owned() }.into());
        }
    }
    Ok(kept)
}

/// Does with it what is asked, and says in a word what became of it.
fn dispose(storage: &Storage, args: &RescueArgs, kept: &Unpublished) -> Outcome<&'static str> {
    if args.drop {
        storage.forget_unpublished(&kept.id)?;
        return Ok("dropped");
    }
    if args.id.is_none() && !args.all {
        return Ok("kept");
    }
    let given = match (&args.store, &args.key) {
        (Some(store), Some(text)) => Some((super::find(storage, store)?, key(text)?)),
        _ => None,
    };
    let to = given.as_ref().map(|(store, key)| (store, key));
    storage.rescue(kept, to, args.replace).map_err(|error| failure(error, kept))?;
    Ok("published")
}

/// Why it was not given back, and how it can be.
fn failure(error: Error, kept: &Unpublished) -> Failure {
    let id = &kept.id;
    let hint = match &error {
        Error::RecordChanged { .. } | Error::RecordReplaced { .. } | Error::RecordExists { .. } => {
            format!(
                "; 'storefs rescue --replace {id}' puts them over it, 'storefs rescue {id} STORE KEY' elsewhere"
            )
        }
        Error::NoSuchStore { store } => {
            format!(
                "; 'storefs create {store}' makes it, 'storefs rescue {id} STORE KEY' puts them into another"
            )
        }
        _ => String::new(),
    };
    Failure::Kind(code_of(&error), format!("{error}{hint}"))
}

fn write_to(storage: &Storage, kept: &Unpublished, output: &Path) -> Outcome {
    let value = storage.open_unpublished(&kept.id)?;
    if output == Path::new(STANDARD_OUTPUT) {
        return write_out(&value, &format!("what is kept as '{}'", kept.id));
    }
    let failed =
        |error: io::Error| Failure::file(&format!("write file '{}'", output.display()), &error);
    let mut file = File::create(output).map_err(failed)?;
    io::copy(&mut Reader::new(value), &mut file).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn cells(kept: &Unpublished, state: &str) -> Vec<Cell> {
    vec![
        kept.id.as_str().into(),
        kept.store.as_str().into(),
        key_text(&kept.key).into(),
        Cell::Bytes(kept.size),
        Cell::Time(Timestamp::try_from(kept.written).unwrap_or_default()),
        state.into(),
    ]
}

fn facts(kept: &Unpublished, state: &str) -> Value {
    let mut fields = serde_json::Map::new();
    fields.insert("id".to_owned(), json!(kept.id));
    fields.insert("store".to_owned(), json!(kept.store.as_str()));
    fields.extend(key_fields(&kept.key));
    fields.insert("size".to_owned(), json!(kept.size));
    let time = |time| Timestamp::try_from(time).ok().map(|time| time.to_string());
    fields.insert("written_at".to_owned(), json!(time(kept.written)));
    fields.insert("kept_until".to_owned(), json!(kept.kept_until.and_then(time)));
    fields.insert("state".to_owned(), json!(state));
    Value::Object(fields)
}
