//! The command line's grammar and help text. Plain data comes out; `config` gives it meaning.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::command_line::SourceText;
use super::log_lines::LogFormat;
use super::mount_values::{
    parse_duration, parse_id, parse_keeping, parse_metrics_addr, parse_size, parse_timeout,
    parse_ttl, parse_umask,
};
use super::mount_words::MountWords;
use crate::model::ContentType;

/// Mount Apify and Crawlee storage: stores as directories, records as plain files.
///
/// The storage is a directory as the SDKs write it, a database of Crawlee's SQL client, or a bucket. Commands other than mount
/// take it from --source; without that from $STOREFS_SOURCE, $APIFY_LOCAL_STORAGE_DIR, $CRAWLEE_STORAGE_DIR, or ./storage.
#[derive(Debug, Parser)]
#[command(name = "storefs", version, max_term_width = 100)]
pub(super) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// The command.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct CommonArgs {
    /// The storage: a directory, an SQLite file, or a URL: sqlite:///FILE, postgresql://USER@HOST/DATABASE, s3://BUCKET/PREFIX
    /// [default: $STOREFS_SOURCE, $APIFY_LOCAL_STORAGE_DIR, $CRAWLEE_STORAGE_DIR, ./storage]
    #[arg(long, global = true, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath,
          value_parser = SourceText::parser())]
    pub(super) source: Option<SourceText>,
    /// How long an operation on a storage that is no directory may take, in seconds [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = parse_timeout)]
    pub(super) timeout: Option<Duration>,
    /// Where values are kept while they are written to a storage that is no directory
    /// [default: $XDG_CACHE_HOME/storefs, ~/.cache/storefs]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(super) cache_dir: Option<PathBuf>,
    /// So many bytes of a bucket's values are kept there at most to be read again: a number, or one such as 512M, 2G or 1T
    /// [default: 1G]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    pub(super) cache_size: Option<u64>,
    /// How records are kept on disk: with sidecars, as Crawlee JS 3 keeps them, or as each store is found to be
    #[arg(long, global = true, value_name = "DIALECT")]
    pub(super) dialect: Option<Dialect>,
    /// Key of the input record, which a purge spares
    /// [default: $ACTOR_INPUT_KEY, $APIFY_INPUT_KEY, $CRAWLEE_INPUT_KEY, INPUT]
    #[arg(long, global = true, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    pub(super) input_key: Option<String>,
    /// Log more: -v what happens, -vv each step, -vvv each request. $RUST_LOG, if set, decides instead
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

/// How records are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// As each store is found to be.
    Auto,
    /// A metadata sidecar beside every value: Python SDKs, Crawlee JS 4.
    Sidecars,
    /// The type is the file's extension: Crawlee JS 3.
    Js3,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Mount a storage; returns when the mount is usable
    Mount(Box<MountArgs>),
    /// List the live mounts and what they do, or show the state of one
    Status(StatusArgs),
    /// Show what a mount is busy with, again and again
    Top(TopArgs),
    /// Unmount, also after the daemon died
    #[command(visible_alias = "umount")]
    Unmount(UnmountArgs),
    /// Have this program serve a mount that another version of it has made
    Upgrade(UpgradeArgs),
    /// List the stores: name, id, records, bytes, modified
    Stores(FormatArgs),
    /// List the records of a store: key, content type, size
    #[command(visible_alias = "ls")]
    Keys(KeysArgs),
    /// Write a record's value to standard output
    #[command(visible_aliases = ["get-value", "cat"])]
    Get(GetArgs),
    /// Store a value, read from FILE or standard input
    #[command(visible_alias = "set-value")]
    Set(SetArgs),
    /// Delete records
    #[command(visible_alias = "delete-value")]
    Rm(RmArgs),
    /// Show metadata and counts of a store, or of the whole storage
    Info(StoreFormatArgs),
    /// Make an empty store
    Create(StoreArgs),
    /// Give a store another name
    Rename(RenameArgs),
    /// Remove a store with all its records
    Drop(StoreArgs),
    /// Remove the records of stores, sparing metadata and input
    Purge(PurgeArgs),
    /// Bring back what the last purge of a store removed, if it is kept
    Unpurge(StoreFormatOfOneArgs),
    /// Write the missing metadata sidecars of files that were put into a store by hand
    Adopt(StoreFormatArgs),
    /// Copy stores to another storage, of whatever kind; what is there already is not sent again
    Copy(CopyArgs),
    /// List what is wrong with a storage, or a store of it, and mend it; or what this machine lacks
    Doctor(DoctorArgs),
    /// Write what those who help need to know into a tar archive, without secrets
    DebugBundle(DebugBundleArgs),
    /// List what writers had not published when their mount ended, and give it back
    Rescue(RescueArgs),
    /// Print the completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page of storefs, or of one of its commands
    Man(ManArgs),
}

/// The types as which mount(8) knows a mount of storefs.
const FILE_SYSTEM_TYPES: [&str; 3] = ["storefs", "fuse.storefs", "fuse"];

/// Arguments of `mount`.
#[derive(Clone, Debug, Args)]
#[command(allow_missing_positional = true)]
pub(super) struct MountArgs {
    /// The storage; the same as --source
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath, value_parser = SourceText::parser())]
    pub(super) storage: Option<SourceText>,
    /// The directory to mount it at, or /dev/fd/N: an open /dev/fuse whose mount others have made
    #[arg(value_name = "MOUNTPOINT", value_hint = clap::ValueHint::DirPath)]
    pub(super) mountpoint: PathBuf,
    /// Stay in the foreground until unmounted or interrupted
    #[arg(long)]
    pub(super) foreground: bool,
    /// Have another process take over when the one that serves dies; so it is in the background, unless --read-only
    #[arg(long, overrides_with = "no_supervise")]
    pub(super) supervise: bool,
    /// Serve by one process: when it dies, the mount is dead
    #[arg(long, overrides_with = "supervise")]
    pub(super) no_supervise: bool,
    /// How often in a minute another process takes over at most [default: 20]
    #[arg(long, value_name = "N")]
    pub(super) most_restarts: Option<u32>,
    /// Let nothing be written
    #[arg(long)]
    pub(super) read_only: bool,
    /// Let other users in, too (where owner and mode allow it)
    #[arg(long)]
    pub(super) allow_other: bool,
    /// Show this user as the owner of everything
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(super) uid: Option<u32>,
    /// Show this group as the group of everything
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(super) gid: Option<u32>,
    /// Permissions that nobody gets, in octal
    #[arg(long, value_name = "OCTAL", value_parser = parse_umask)]
    pub(super) umask: Option<u32>,
    /// Permissions of every record, in octal, instead of its own
    #[arg(long, value_name = "OCTAL", value_parser = parse_umask)]
    pub(super) file_mode: Option<u32>,
    /// Permissions of every store and directory, in octal, instead of its own
    #[arg(long, value_name = "OCTAL", value_parser = parse_umask)]
    pub(super) dir_mode: Option<u32>,
    /// Show this store as the root of the mount: its directory's name, or id:ID
    #[arg(long, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) store: Option<String>,
    /// Delete nothing: no record, no store, no purge
    #[arg(long)]
    pub(super) no_delete: bool,
    /// Change neither value nor type of a record that is there
    #[arg(long)]
    pub(super) no_overwrite: bool,
    /// Keep what @purge removes from a store for so long, so that 'echo undo > @purge' or 'storefs unpurge' brings it back:
    /// seconds, or a time such as 12h or 7d. It goes before, if its room is needed [default: 0]
    #[arg(long, value_name = "DURATION", value_parser = parse_keeping)]
    pub(super) keep_purged: Option<Duration>,
    /// How long the kernel may trust names and attributes that it knows, in seconds [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = parse_ttl)]
    pub(super) ttl: Option<Duration>,
    /// Mount over a directory that is not empty
    #[arg(long)]
    pub(super) nonempty: bool,
    /// Refuse changes of owner, mode and times that the storage cannot keep, instead of ignoring them
    #[arg(long)]
    pub(super) strict: bool,
    /// Show the storage as it is on disk, with sidecars, temporaries, datasets and request queues, so that an
    /// unmodified SDK can have the mountpoint as its storage directory
    #[arg(long)]
    pub(super) show_sidecars: bool,
    /// Read large records through the daemon too, instead of letting the kernel read their files
    #[arg(long)]
    pub(super) no_passthrough: bool,
    /// Have no extended attributes
    #[arg(long)]
    pub(super) no_xattr: bool,
    /// Write the log to FILE
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) log_file: Option<PathBuf>,
    /// Write the log to the system's, by syslog
    #[arg(long, conflicts_with = "log_file")]
    pub(super) syslog: bool,
    /// Write each line of the log as text, or as a JSON object [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// Wait for a source that is not there yet, or a server that does not answer yet: so many seconds, or a time such as
    /// 5m [default: 0]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) retry: Option<Duration>,
    /// Check options and source, and mount nothing
    #[arg(long, short)]
    pub(super) fake: bool,
    /// Pass over words in -o that are not known
    #[arg(long, short)]
    pub(super) sloppy: bool,
    /// Whether mount(8) has called the program, as its helper
    #[arg(long = "by-mount8", hide = true)]
    pub(super) is_helper: bool,
    /// Nothing: mount(8) says so that /etc/mtab, which is no more, is left alone
    #[arg(short = 'n', hide = true)]
    pub(super) no_mtab: bool,
    /// The type that mount(8) was given
    #[arg(short = 't', value_name = "TYPE", hide = true, value_parser = FILE_SYSTEM_TYPES)]
    pub(super) file_system_type: Option<String>,
    /// Serve the mount's state for Prometheus at http://ADDRESS:PORT/metrics; a port alone is of 127.0.0.1
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = parse_metrics_addr)]
    pub(super) metrics_addr: Option<SocketAddr>,
    /// Options as mount(8) gives them, such as ro,allow_other,uid=1000
    #[arg(short = 'o', value_name = "WORD,...", value_parser = MountWords::parse)]
    pub(super) words: Vec<MountWords>,
}

/// Arguments of `upgrade`.
#[derive(Clone, Debug, Args)]
pub(super) struct UpgradeArgs {
    /// Where the storage is mounted
    #[arg(value_name = "MOUNTPOINT", value_hint = clap::ValueHint::DirPath)]
    pub(super) mountpoint: PathBuf,
    /// Also while files are being written, whose writers are then told that they failed
    #[arg(long)]
    pub(super) force: bool,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub(super) struct StatusArgs {
    /// Where the storage is mounted; without it, all mounts are listed
    #[arg(value_name = "MOUNTPOINT", value_hint = clap::ValueHint::DirPath)]
    pub(super) mountpoint: Option<PathBuf>,
    /// Print it as Prometheus reads it
    #[arg(long, requires = "mountpoint", conflicts_with = "json")]
    pub(super) metrics: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `top`.
#[derive(Clone, Debug, Args)]
pub(super) struct TopArgs {
    /// Where the storage is mounted
    #[arg(value_name = "MOUNTPOINT", value_hint = clap::ValueHint::DirPath)]
    pub(super) mountpoint: PathBuf,
    /// For so long requests are counted before they are shown, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_timeout)]
    pub(super) interval: Duration,
    /// Show one interval, and end
    #[arg(long)]
    pub(super) once: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `unmount`.
#[derive(Clone, Debug, Args)]
pub(super) struct UnmountArgs {
    /// Where the storage is mounted
    #[arg(value_name = "MOUNTPOINT", value_hint = clap::ValueHint::DirPath)]
    pub(super) mountpoint: PathBuf,
    /// If the mount is in use, detach it: it is gone for everybody else, and ends when its users are done
    #[arg(long, short = 'z')]
    pub(super) lazy: bool,
}

/// Arguments of commands that print.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct FormatArgs {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The help text of every STORE.
const STORE_HELP: &str = "Directory name of the store, or id:ID";

/// Arguments of commands that print something about a store or all of them.
#[derive(Clone, Debug, Args)]
pub(super) struct StoreFormatArgs {
    /// Directory name of the store, or id:ID; without it, all stores
    #[arg(value_name = "STORE")]
    pub(super) store: Option<String>,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `keys`.
#[derive(Clone, Debug, Args)]
pub(super) struct KeysArgs {
    #[arg(value_name = "STORE", default_value = "default", help = STORE_HELP)]
    pub(super) store: String,
    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT")]
    pub(super) prefix: Option<String>,
    /// At most so many keys
    #[arg(long, value_name = "NUMBER", value_parser = parse_limit, allow_negative_numbers = true)]
    pub(super) limit: Option<usize>,
    /// Only keys behind this one, in the order of their bytes
    #[arg(long, value_name = "KEY")]
    pub(super) exclusive_start_key: Option<OsString>,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `get`.
#[derive(Clone, Debug, Args)]
pub(super) struct GetArgs {
    #[arg(value_name = "STORE", help = STORE_HELP)]
    pub(super) store: String,
    /// The record's key; the input key finds the input in any of its spellings
    #[arg(value_name = "KEY")]
    pub(super) key: OsString,
    /// Print the content type instead of the value
    #[arg(long)]
    pub(super) only_content_type: bool,
    /// Print JSON on a terminal as it is stored, too
    #[arg(long, conflicts_with = "only_content_type")]
    pub(super) raw: bool,
}

/// Arguments of `set`.
#[derive(Clone, Debug, Args)]
pub(super) struct SetArgs {
    /// Directory name of the store, which is made if it is not there; or id:ID
    #[arg(value_name = "STORE")]
    pub(super) store: String,
    /// The record's key
    #[arg(value_name = "KEY")]
    pub(super) key: OsString,
    /// Where the value is read from; - is standard input
    #[arg(value_name = "FILE", default_value = "-", value_hint = clap::ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// The content type [default: the one that the record was given if the value fits it, else by extension, else by content]
    #[arg(long, value_name = "TYPE", value_parser = parse_content_type)]
    pub(super) content_type: Option<ContentType>,
    /// Store JSON, with its content type: VALUE, or what is read, which is refused if it is none
    #[arg(long, value_name = "VALUE", require_equals = true, conflicts_with_all = ["text", "content_type"])]
    pub(super) json: Option<Option<String>>,
    /// Store text, with its content type: VALUE, or what is read, which is refused if it is not UTF-8
    #[arg(long, value_name = "VALUE", require_equals = true, conflicts_with = "content_type")]
    pub(super) text: Option<Option<String>>,
}

/// Counts are whole and not negative.
fn parse_limit(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it takes a whole number, such as 10".to_owned())
}

/// What a user calls a content type must look like one.
fn parse_content_type(text: &str) -> Result<ContentType, String> {
    let content_type = ContentType::new(text);
    match content_type.is_well_formed() {
        true => Ok(content_type),
        false => Err("a content type is written as type/subtype, such as text/plain".to_owned()),
    }
}

/// Arguments of `rm`.
#[derive(Clone, Debug, Args)]
pub(super) struct RmArgs {
    #[arg(value_name = "STORE", help = STORE_HELP)]
    pub(super) store: String,
    /// Keys of the records
    #[arg(value_name = "KEY", required = true)]
    pub(super) keys: Vec<OsString>,
}

/// Arguments of commands about one store.
#[derive(Clone, Debug, Args)]
pub(super) struct StoreArgs {
    #[arg(value_name = "STORE", help = STORE_HELP)]
    pub(super) store: String,
}

/// Arguments of commands about one store that print.
#[derive(Clone, Debug, Args)]
pub(super) struct StoreFormatOfOneArgs {
    #[arg(value_name = "STORE", default_value = "default", help = STORE_HELP)]
    pub(super) store: String,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `rename`.
#[derive(Clone, Debug, Args)]
pub(super) struct RenameArgs {
    #[arg(value_name = "STORE", help = STORE_HELP)]
    pub(super) store: String,
    /// The new name
    #[arg(value_name = "NAME")]
    pub(super) to: String,
}

/// Arguments of `purge`.
#[derive(Clone, Debug, Args)]
pub(super) struct PurgeArgs {
    #[arg(value_name = "STORE", default_value = "default", help = STORE_HELP)]
    pub(super) stores: Vec<String>,
    /// List what would go and what would stay, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Keep what is removed for so long, so that 'storefs unpurge' brings it back: seconds, or a time such as 12h or 7d. It
    /// goes before, if its room is needed [default: 0]
    #[arg(long, value_name = "DURATION", value_parser = parse_keeping, conflicts_with = "dry_run")]
    pub(super) keep_purged: Option<Duration>,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `copy`.
#[derive(Clone, Debug, Args)]
pub(super) struct CopyArgs {
    /// The storage that gets the copy: a directory or a database that is there, as for --source
    #[arg(long, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath,
          value_parser = SourceText::parser())]
    pub(super) to: SourceText,
    /// Directory names of the stores, or id:ID; without any, all stores
    #[arg(value_name = "STORE")]
    pub(super) stores: Vec<String>,
    /// Say what would be sent and removed, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Remove from the stores that are copied to what the source does not have, the input too
    #[arg(long)]
    pub(super) purge: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub(super) struct DoctorArgs {
    /// Directory name of the store, or id:ID; without it, the whole storage
    #[arg(value_name = "STORE")]
    pub(super) store: Option<String>,
    /// Mend what has one right answer. Values, and files of unknown origin, are never changed or removed
    #[arg(long)]
    pub(super) repair: bool,
    /// Look at this machine instead: what mounts need and what would make them better
    #[arg(long, conflicts_with_all = ["store", "repair"])]
    pub(super) system: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `debug-bundle`.
#[derive(Clone, Debug, Args)]
pub(super) struct DebugBundleArgs {
    /// The archive, or - for standard output [default: storefs-debug-TIME.tar]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
}

/// Arguments of `rescue`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("which").args(["id", "all"]))]
pub(super) struct RescueArgs {
    /// What is given back; without it, all is listed
    #[arg(value_name = "ID")]
    pub(super) id: Option<String>,
    /// The store that gets it, if it is not to go where it was meant to; or id:ID
    #[arg(value_name = "STORE", requires = "key")]
    pub(super) store: Option<String>,
    /// The key that it gets there
    #[arg(value_name = "KEY")]
    pub(super) key: Option<OsString>,
    /// Give back all, each to the record that it was meant for
    #[arg(long)]
    pub(super) all: bool,
    /// Put it over a record that is there already, or that has changed since
    #[arg(long, requires = "which")]
    pub(super) replace: bool,
    /// Write it to FILE, or - for standard output, and keep it
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath,
          requires = "id", conflicts_with_all = ["store", "replace"])]
    pub(super) output: Option<PathBuf>,
    /// Remove it instead
    #[arg(long, requires = "which", conflicts_with_all = ["store", "replace", "output"])]
    pub(super) drop: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
}

/// Arguments of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub(super) struct ManArgs {
    /// The command whose page is wanted
    #[arg(value_name = "COMMAND")]
    pub(super) command: Option<String>,
}

impl Cli {
    /// Whether the command goes into the background.
    pub(super) fn daemon(&self) -> Option<&MountArgs> {
        match &self.command {
            Command::Mount(mount) => Some(mount),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
