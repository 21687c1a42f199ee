//! The commands, each a short function.

mod bundle;
mod change;
mod copy;
mod doctor;
mod generate;
mod mount;
mod purge;
mod records;
mod rescue;
mod status;
mod stores;
mod system;
mod top;

use std::io;

use super::args::{Cli, Command};
use super::config::{self, Target};
use super::exit::ExitCode;
use super::failure::{Failure, Outcome};
use super::output::printable;
use super::suggest;
use crate::engine::{Source, Storage, Store};
use crate::model::{Error, StoreName};

/// Does what the command line asks.
pub(super) fn dispatch(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Mount(args) => mount::mount(cli, args),
        Command::Unmount(args) => mount::unmount(args),
        Command::Upgrade(args) => mount::upgrade(args),
        Command::Status(args) => status::status(args),
        Command::Top(args) => top::top(args),
        Command::Completions(args) => generate::completions(*args),
        Command::Man(args) => generate::man(args),
        Command::Copy(args) => copy::copy(cli, args),
        Command::DebugBundle(args) => bundle::debug_bundle(cli, args),
        Command::Doctor(args) if args.system => system::doctor(args.format),
        _ => with_storage(cli),
    }
}

/// Opens the storage, does the command, and writes the times that moved (P17), also if the command failed.
fn with_storage(cli: &Cli) -> Outcome {
    let target = Target::new(&cli.common)?;
    let storage = open(&target)?;
    let outcome = on_storage(cli, &target, &storage);
    if let Err(error) = storage.write_back() {
        // A reader without the right to write moves no times, and need not be told each time.
        let level = if is_denied(&error) { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "times of a store are not written: {error}");
    }
    outcome
}

/// Opens a storage.
///
/// # Errors
/// [`Failure`] if it is none, or cannot be opened.
pub(super) fn open(target: &Target) -> Outcome<Storage> {
    check(target)?;
    open_checked(target)
}

/// Refuses what is no storage by what is at its path. Of several storages all are checked before one is opened.
fn check(target: &Target) -> Outcome {
    crate::mount::refuse_other_than_storage(&target.source)?;
    check_file(&target.source).map_err(|error| not_opened(target, error))
}

fn open_checked(target: &Target) -> Outcome<Storage> {
    let opened = Storage::open(&target.source, target.options.clone());
    opened.map_err(|error| not_opened(target, error))
}

fn not_opened(target: &Target, error: Error) -> Failure {
    if error.is_not_found() {
        let source = target.source.shown();
        Failure::Failed(format!(
            "there is no storage '{source}'; name another one with {}, or make the directory",
            target.option
        ))
    } else if error.is_passing() {
        error.into()
    } else {
        // Whatever else keeps a storage from being opened is one kind of failure.
        Failure::from(error).of_no_kind()
    }
}

/// Refuses a file that is no database by its first bytes. Commands open no database before this, as they must not.
fn check_file(source: &Source) -> Result<(), Error> {
    source.found()?.check_header()
}

fn on_storage(cli: &Cli, target: &Target, storage: &Storage) -> Outcome {
    match &cli.command {
        Command::Stores(format) => stores::list(storage, *format),
        Command::Info(args) => match &args.store {
            Some(store) => stores::info(storage, store, args.format),
            None => stores::info_of_storage(storage, &target.source, args.format),
        },
        Command::Keys(args) => records::keys(storage, args),
        Command::Get(args) => records::get(storage, args),
        Command::Set(args) => records::set(storage, args),
        Command::Rm(args) => records::rm(storage, args),
        Command::Create(args) => change::create(storage, args),
        Command::Rename(args) => change::rename(storage, args),
        Command::Drop(args) => change::drop_store(storage, args),
        Command::Purge(args) => purge::purge(storage, args),
        Command::Unpurge(args) => purge::unpurge(storage, args),
        Command::Adopt(args) => change::adopt(storage, args),
        Command::Doctor(args) => doctor::doctor(storage, args),
        Command::Rescue(args) => rescue::rescue(storage, args),
        // These need none, or two.
        Command::Mount(_)
        | Command::Unmount(_)
        | Command::Upgrade(_)
        | Command::Status(_)
        | Command::Top(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::DebugBundle(_)
        | Command::Copy(_) => Ok(()),
    }
}

/// The store that a STORE means; it must be there.
fn find(storage: &Storage, store: &str) -> Outcome<Store> {
    storage.find_store(&config::store_selector(store)).map_err(|error| match error {
        Error::NoSuchStore { .. } => no_store(storage, store),
        error => error.into(),
    })
}

fn no_store(storage: &Storage, store: &str) -> Failure {
    let stores = storage.stores().unwrap_or_default();
    let meant = suggest::closest(store, stores.iter().map(StoreName::as_str));
    let hint = suggest::did_you_mean(meant.map(printable), "'storefs stores' lists what is there");
    Failure::Kind(ExitCode::NotFound, format!("there is no key-value store '{store}'{hint}"))
}

/// All stores, or the one that is given.
fn find_some(storage: &Storage, store: Option<&str>) -> Outcome<Vec<Store>> {
    match store {
        Some(store) => Ok(vec![find(storage, store)?]),
        None => Ok(storage.stores()?.iter().map(|name| storage.store(name)).collect()),
    }
}

fn is_denied(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The end of a command that goes on after a part of it has failed and been reported.
fn end(failed: bool) -> Outcome {
    if failed { Err(Failure::Reported) } else { Ok(()) }
}
