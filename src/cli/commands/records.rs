//! `keys`, `get`, `set` and `rm`: records of one store.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::backend::Reader;
use crate::cli::args::{GetArgs, KeysArgs, RmArgs, SetArgs};
use crate::cli::cell::Cell;
use crate::cli::config;
use crate::cli::exit::ExitCode;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listing, key_fields, key_text, print, printable, tell};
use crate::cli::pretty::pretty_json;
use crate::cli::progress::{Counted, Progress};
use crate::cli::suggest;
use crate::engine::{IterateKeys, Storage, Store, Value as RecordValue};
use crate::model::{ContentType, Key};

/// Rows that wait for each other to be aligned: few, so that something is seen soon.
const PAGE: usize = 1000;

/// Bytes that are copied at a time.
const CHUNK: usize = 256 * 1024;

/// JSON of at most so many bytes is laid out for people.
const MOST_LAID_OUT: u64 = 16 << 20;

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// So many keys of a store are looked at for the one that was meant.
const LOOKED_AT: usize = 10_000;

/// `keys`.
pub(super) fn keys(storage: &Storage, args: &KeysArgs) -> Outcome {
    let store = super::find(storage, &args.store)?;
    let mut listing = Listing::new(args.format, &["KEY", "CONTENT TYPE", "SIZE"]);
    let query = IterateKeys {
        prefix: args.prefix.clone(),
        exclusive_start_key: args.exclusive_start_key.as_deref().map(key).transpose()?,
        limit: args.limit,
    };
    for (count, record) in store.keys(&query).enumerate() {
        if count > 0 && count % PAGE == 0 {
            listing.end_page()?;
        }
        let record = record?;
        let mut fields = key_fields(&record.key);
        fields.insert("content_type".to_owned(), json!(record.content_type.as_str()));
        fields.insert("size".to_owned(), json!(record.size));
        let content_type = record.content_type.as_str().into();
        let cells = vec![key_text(&record.key).into(), content_type, Cell::Bytes(record.size)];
        listing.row(cells, &Value::Object(fields))?;
    }
    listing.finish()
}

/// `get`.
pub(super) fn get(storage: &Storage, args: &GetArgs) -> Outcome {
    let store = super::find(storage, &args.store)?;
    let key = key(&args.key)?;
    let Some(record) = store.get_value(&key)? else {
        return Err(no_record(&store, &key));
    };
    if args.only_content_type {
        return print(format!("{}\n", record.content_type).as_bytes());
    }
    let what = format!("record '{key}'");
    let size = record.value.attributes().map_or(u64::MAX, |attributes| attributes.size);
    let is_for_people = !args.raw && io::stdout().is_terminal();
    if is_for_people && record.content_type.is_json() && size <= MOST_LAID_OUT {
        let mut value = Vec::new();
        copy_out(&record.value, &mut value, None, &what)?;
        return match pretty_json(&value) {
            Some(pretty) => print(pretty.as_bytes()),
            None => print(&value),
        };
    }
    write_out(&record.value, &what)
}

/// Writes a value to standard output. `what` it is, for a message.
pub(super) fn write_out(value: &Arc<dyn RecordValue>, what: &str) -> Outcome {
    let stdout = io::stdout();
    let size = value.attributes().ok().map(|attributes| attributes.size);
    // On a terminal the value itself shows how far it is.
    let progress = (!stdout.is_terminal()).then(|| Progress::of_bytes("reading", size));
    // Past the line buffer of std, which would look for the last newline of every chunk.
    let out = stdout.as_fd().try_clone_to_owned().map_err(Failure::output)?;
    copy_out(value, &mut File::from(out), progress, what)
}

fn copy_out(
    value: &Arc<dyn RecordValue>,
    out: &mut dyn Write,
    mut progress: Option<Progress>,
    what: &str,
) -> Outcome {
    let mut value = Reader::new(Arc::clone(value));
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match value.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::Failed(format!("cannot read {what}: {error}")));
            }
        };
        out.write_all(buffer.get(..count).unwrap_or_default()).map_err(Failure::output)?;
        if let Some(progress) = &mut progress {
            progress.advance(count as u64);
        }
    }
}

/// `set`.
pub(super) fn set(storage: &Storage, args: &SetArgs) -> Outcome {
    let key = key(&args.key)?;
    // Before the store is made: a file that is not there, or is not what it should be, leaves nothing behind.
    let typed = typed_value(args)?;
    let (content_type, input, size): (_, Box<dyn Read>, _) = match typed {
        Some((content_type, value)) => {
            let size = value.len() as u64;
            (Some(content_type), Box::new(Cursor::new(value)), Some(size))
        }
        None => {
            let (input, size) = open_input(&args.file)?;
            (args.content_type.clone(), input, size)
        }
    };
    let store = storage.open_store(&config::store_selector(&args.store))?;
    let mut value = Counted::new(input, Progress::of_bytes("storing", size));
    Ok(store.set_value_from(&key, &mut value, content_type.as_ref())?)
}

/// What `--json` or `--text` stores, which is held in memory as a whole; `None` if neither is given.
fn typed_value(args: &SetArgs) -> Outcome<Option<(ContentType, Vec<u8>)>> {
    let (given, is_json) = match (&args.json, &args.text) {
        (Some(given), _) => (given, true),
        (None, Some(given)) => (given, false),
        (None, None) => return Ok(None),
    };
    let option = if is_json { "--json" } else { "--text" };
    let value = match given {
        Some(_) if args.file != Path::new(STANDARD_INPUT) => {
            return Err(Failure::Usage(format!(
                "give the value once: as {option}=VALUE or as FILE"
            )));
        }
        Some(value) => value.clone().into_bytes(),
        None => {
            let mut value = Vec::new();
            let (mut input, _) = open_input(&args.file).map_err(|failure| {
                let hint = format!("; a value on the command line is written as {option}=VALUE");
                failure.with_hint(&hint)
            })?;
            input.read_to_end(&mut value).map_err(|error| {
                Failure::file(&format!("read '{}'", args.file.display()), &error)
            })?;
            value
        }
    };
    let wrong = |reason: String| {
        let key = args.key.to_string_lossy();
        Failure::Kind(
            ExitCode::Invalid,
            format!("the value for '{key}' is no {reason}; nothing is stored"),
        )
    };
    if is_json {
        serde_json::from_slice::<IgnoredAny>(&value)
            .map_err(|error| wrong(format!("JSON: {error}")))?;
        Ok(Some((ContentType::json(), value)))
    } else {
        std::str::from_utf8(&value).map_err(|error| wrong(format!("UTF-8 text: {error}")))?;
        Ok(Some((ContentType::text(), value)))
    }
}

/// The stream that a FILE means, and its length where that is known.
fn open_input(file: &Path) -> Outcome<(Box<dyn Read>, Option<u64>)> {
    if file == Path::new(STANDARD_INPUT) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let failed = |error| Failure::file(&format!("read file '{}'", file.display()), &error);
    let input = File::open(file).map_err(failed)?;
    let metadata = input.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(input), size))
}

/// `rm`. Goes on after a record that cannot be deleted, as rm(1) does.
pub(super) fn rm(storage: &Storage, args: &RmArgs) -> Outcome {
    let store = super::find(storage, &args.store)?;
    let mut failed = false;
    for text in &args.keys {
        let deleted = key(text).and_then(|key| match store.delete_value(&key)? {
            true => Ok(()),
            false => Err(no_record(&store, &key)),
        });
        if let Err(failure) = deleted {
            failure.message().map(tell).unwrap_or_default();
            failed = true;
        }
    }
    super::end(failed)
}

fn no_record(store: &Store, key: &Key) -> Failure {
    let keys = store.scan().into_iter().flatten().take(LOOKED_AT).flatten();
    let meant = suggest::closest(&key.to_string(), keys.map(|listed| listed.key.to_string()));
    let name = store.name();
    let helps = format!("'storefs keys {name}' lists what is there");
    let hint = suggest::did_you_mean(meant.as_deref().map(printable), &helps);
    Failure::Kind(ExitCode::NotFound, format!("there is no record '{key}' in store '{name}'{hint}"))
}

pub(super) fn key(text: &OsStr) -> Outcome<Key> {
    Ok(Key::from_bytes(text.as_bytes())?)
}
