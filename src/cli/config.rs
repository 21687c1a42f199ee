//! What the arguments mean: defaults, the environment, and which of two sayings holds.

use std::env;
use std::ffi::OsString;
use std::path::{self, PathBuf};

use super::args::{CommonArgs, Dialect, MountArgs};
use super::command_line::SourceText;
use super::exit::ExitCode;
use super::failure::{Failure, Outcome};
use super::log_lines::LogFormat;
use super::mount_words::MountWords;
use crate::engine::{DialectChoice, DirectoryOptions, OpenStore, Source, StorageOptions};
use crate::fs::FsOptions;
use crate::model::{DEFAULT_STORE, StoreName};
use crate::mount::{MOST_RESTARTS, MountConfig, Remount};

/// Environment variables that name the storage, the first one set winning: our own, then the SDKs' (FORMAT 2).
const SOURCE_VARIABLES: [&str; 3] =
    ["STOREFS_SOURCE", "APIFY_LOCAL_STORAGE_DIR", "CRAWLEE_STORAGE_DIR"];

/// The storage where nothing says otherwise.
const DEFAULT_SOURCE: &str = "./storage";

/// Begins a STORE that is an id.
const ID_PREFIX: &str = "id:";

/// The storage that a command works on.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) source: Source,
    /// The option by which another one is named.
    pub(super) option: &'static str,
    pub(super) options: StorageOptions,
}

impl Target {
    /// What the common options and the environment say.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the source can be none.
    pub(super) fn new(common: &CommonArgs) -> Outcome<Self> {
        let source = source(common.source.as_ref())?;
        let options = storage_options(common, &MountWords::default());
        Ok(Self { source, option: "--source", options })
    }

    /// The storage that is named by `--to`, opened by the same options.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the source can be none.
    pub(super) fn other(&self, text: &SourceText) -> Outcome<Self> {
        let source = source(Some(text))?;
        Ok(Self { source, option: "--to", options: self.options.clone() })
    }

    /// The same, of which nothing is changed.
    pub(super) fn reading(self) -> Self {
        Self { options: StorageOptions { read_only: true, ..self.options }, ..self }
    }
}

/// The configuration of a mount. An option of its own wins over the same word in `-o`.
///
/// # Errors
/// [`Failure::Usage`] if the source is given twice; [`Failure::Failed`] if it can be none.
pub(super) fn mount_config(args: &MountArgs, common: &CommonArgs) -> Outcome<MountConfig> {
    if args.storage.is_some() && common.source.is_some() {
        return Err(Failure::Usage("give the source once: as SOURCE or as --source".to_owned()));
    }
    refuse_source_as_mountpoint(args)?;
    let words = words(args);
    refuse_unknown(args, &words)?;
    let defaults = FsOptions::default();
    let fs = FsOptions {
        uid: args.uid.or(words.uid),
        gid: args.gid.or(words.gid),
        umask: args.umask.or(words.umask),
        ttl: args.ttl.or(words.ttl).unwrap_or(defaults.ttl),
        strict: args.strict || words.strict,
        read_only: args.read_only || words.read_only.unwrap_or(false),
        xattr: !(args.no_xattr || words.no_xattr),
        passthrough: !(args.no_passthrough || words.no_passthrough),
        plain: args.show_sidecars || words.show_sidecars,
        store: None,
        file_mode: args.file_mode.or(words.file_mode),
        dir_mode: args.dir_mode.or(words.dir_mode),
        no_delete: args.no_delete || words.no_delete,
        no_overwrite: args.no_overwrite || words.no_overwrite,
        keep_purged: args.keep_purged.or(words.keep_purged).filter(|keep| !keep.is_zero()),
    };
    let store = args.store.as_ref().or(words.store.as_ref());
    Ok(MountConfig {
        source: source(args.storage.as_ref().or(common.source.as_ref()))?,
        mountpoint: args.mountpoint.clone(),
        storage: storage_options(common, &words),
        fs,
        no_exec: words.no_exec.unwrap_or(false),
        allow_other: args.allow_other || words.allow_other,
        metrics: args.metrics_addr.or(words.metrics_addr),
        nonempty: args.nonempty || words.nonempty,
        store: store.map(|store| store_selector(store)),
        retry: args.retry.or(words.retry).unwrap_or_default(),
    })
}

/// What a remount is to change, if `-o remount` asks for one. Of the words, mount(8) gives also those of the mount as it is.
pub(super) fn remount(args: &MountArgs) -> Option<Remount> {
    let words = words(args);
    words.remount.then(|| Remount {
        read_only: args.read_only.then_some(true).or(words.read_only),
        no_exec: words.no_exec,
    })
}

/// Whether the mount is to be supervised, if it is said. An option of its own wins over its word.
pub(super) fn supervise(args: &MountArgs) -> Option<bool> {
    let given = args.supervise.then_some(true).or(args.no_supervise.then_some(false));
    given.or_else(|| words(args).supervise)
}

/// How often in a minute another process may take over.
pub(super) fn most_restarts(args: &MountArgs) -> u32 {
    args.most_restarts.or_else(|| words(args).most_restarts).unwrap_or(MOST_RESTARTS)
}

fn refuse_unknown(args: &MountArgs, words: &MountWords) -> Outcome {
    match words.unknown.first() {
        Some(word) if !args.sloppy => Err(Failure::Usage(format!(
            "unknown mount option '{word}'; 'storefs help mount' lists what there is, --sloppy passes over the others"
        ))),
        _ => Ok(()),
    }
}

/// One word is the mountpoint. Where it can only be a source, the other one was forgotten.
fn refuse_source_as_mountpoint(args: &MountArgs) -> Outcome {
    let is_source = |text| Source::parse(text).is_ok_and(|source| source.directory().is_none());
    if args.storage.is_none() && is_source(args.mountpoint.as_os_str()) {
        return Err(Failure::Usage(
            "the mountpoint is missing: storefs mount SOURCE MOUNTPOINT".to_owned(),
        ));
    }
    Ok(())
}

/// The file that a mount's log goes to, if one is given; absolute, since the daemon leaves the directory.
pub(super) fn log_file(args: &MountArgs) -> Option<PathBuf> {
    Some(absolute(args.log_file.clone().or_else(|| words(args).log_file)?))
}

/// How a mount's log is written.
pub(super) fn log_format(args: &MountArgs) -> LogFormat {
    args.log_format.or_else(|| words(args).log_format).unwrap_or_default()
}

/// Whether a mount's log is to go to the system's.
pub(super) fn logs_to_system(args: &MountArgs) -> bool {
    args.syslog || words(args).syslog
}

fn absolute(path: PathBuf) -> PathBuf {
    path::absolute(&path).unwrap_or(path)
}

/// Which store a STORE means: `default` is the unnamed one, `id:...` an id, anything else a name or alias.
pub(super) fn store_selector(store: &str) -> OpenStore {
    if let Some(id) = store.strip_prefix(ID_PREFIX) {
        OpenStore { id: Some(id.to_owned()), ..OpenStore::default() }
    } else if store == DEFAULT_STORE {
        OpenStore::default()
    } else {
        OpenStore { name: Some(store.to_owned()), ..OpenStore::default() }
    }
}

/// The name of a store that is to be made.
///
/// # Errors
/// [`Failure::Failed`] if no store can have it.
pub(super) fn new_store_name(store: &str) -> Outcome<StoreName> {
    if store.starts_with(ID_PREFIX) {
        return Err(Failure::Kind(
            ExitCode::Invalid,
            format!("'{store}': a store's id cannot be chosen; give a name"),
        ));
    }
    Ok(StoreName::new(store)?)
}

fn words(args: &MountArgs) -> MountWords {
    args.words.iter().cloned().fold(MountWords::default(), MountWords::followed_by)
}

/// The storage that was given, or that the environment names.
fn source(given: Option<&SourceText>) -> Outcome<Source> {
    let source = match given {
        Some(given) => Source::parse(given.as_os_str()),
        None => Source::parse(&source_of_environment(|variable| env::var_os(variable))),
    };
    source.map_err(|error| Failure::from(error).of_no_kind())
}

fn source_of_environment(variable: impl Fn(&str) -> Option<OsString>) -> OsString {
    SOURCE_VARIABLES
        .iter()
        .filter_map(|name| variable(name))
        .find(|value| !value.is_empty())
        .unwrap_or_else(|| OsString::from(DEFAULT_SOURCE))
}

/// How the storage is opened: an option of its own wins over its word, and that over the environment.
fn storage_options(common: &CommonArgs, words: &MountWords) -> StorageOptions {
    let dialect = match common.dialect.or(words.dialect) {
        None | Some(Dialect::Auto) => DialectChoice::Auto,
        Some(Dialect::Sidecars) => DialectChoice::Sidecars,
        Some(Dialect::Js3) => DialectChoice::Js3,
    };
    let of_environment = StorageOptions::from_env();
    let input_key = common.input_key.clone().or_else(|| words.input_key.clone());
    // The daemon leaves the directory.
    let cache_dir = common.cache_dir.clone().or_else(|| words.cache_dir.clone()).map(absolute);
    StorageOptions {
        input_key: input_key.or(of_environment.input_key),
        timeout: common.timeout.or(words.timeout).unwrap_or(of_environment.timeout),
        cache_dir: cache_dir.or(of_environment.cache_dir),
        // No other storage has such a bound.
        #[cfg(feature = "s3")]
        cache_bytes: common.cache_size.or(words.cache_size).unwrap_or(of_environment.cache_bytes),
        directory: DirectoryOptions { dialect, ..of_environment.directory },
        ..of_environment
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::Cli;
    use super::*;

    fn config(words: &[&str]) -> Outcome<MountConfig> {
        let line = ["storefs", "mount"].iter().chain(words);
        let cli = Cli::try_parse_from(line).unwrap();
        mount_config(cli.daemon().unwrap(), &cli.common)
    }

    #[test]
    fn the_first_variable_that_is_not_empty_names_the_source() {
        let source_of = |own: Option<&str>, apify: Option<&str>, crawlee: Option<&str>| {
            source_of_environment(|name| {
                let value = match name.split_once('_') {
                    Some(("STOREFS", _)) => own,
                    Some(("APIFY", _)) => apify,
                    _ => crawlee,
                };
                value.map(OsString::from)
            })
        };
        let source = |apify, crawlee| source_of(None, apify, crawlee);
        assert_eq!(source_of(Some("o"), Some("a"), Some("c")), "o");
        assert_eq!(source_of(Some(""), Some("a"), Some("c")), "a");
        assert_eq!(source(Some("a"), Some("c")), "a");
        assert_eq!(source(Some(""), Some("c")), "c");
        assert_eq!(source(None, Some("")), "./storage");
    }

    #[test]
    fn an_option_wins_over_its_word() {
        let words = "uid=1,gid=2,rw,input_key=A,timeout=5,cache_dir=/c,cache_size=5M";
        let config =
            config(&["s", "m", "-o", words, "--uid", "3", "--read-only", "--timeout", "7"])
                .unwrap();
        assert_eq!((config.fs.uid, config.fs.gid), (Some(3), Some(2)));
        assert!(config.fs.read_only);
        assert!(config.fs.xattr);
        assert_eq!(config.storage.input_key.as_deref(), Some("A"));
        assert_eq!(config.storage.timeout.as_secs(), 7);
        assert_eq!(config.storage.cache_dir, Some("/c".into()));
        #[cfg(feature = "s3")]
        {
            assert_eq!(config.storage.cache_bytes, 5 << 20);
            let config = self::config(&["s", "m", "-o", words, "--cache-size", "2G"]).unwrap();
            assert_eq!(config.storage.cache_bytes, 2 << 30);
            let default = self::config(&["s", "m"]).unwrap().storage.cache_bytes;
            assert_eq!(default, crate::backend::DEFAULT_CACHE_BYTES);
        }
        assert_eq!(config.source, PathBuf::from("s").into());
    }

    #[test]
    fn the_source_is_given_once() {
        assert!(matches!(config(&["s", "m", "--source", "t"]), Err(Failure::Usage(_))));
        assert_eq!(config(&["m", "--source", "t"]).unwrap().source, PathBuf::from("t").into());
        assert!(matches!(config(&["mysql://h/d", "m"]), Err(Failure::Failed(_))));
    }

    #[test]
    fn a_store_is_a_name_an_id_or_the_default() {
        assert_eq!(store_selector("default"), OpenStore::default());
        assert_eq!(store_selector("id:x").id.as_deref(), Some("x"));
        assert_eq!(store_selector("x").name.as_deref(), Some("x"));
        assert!(new_store_name("id:x").is_err());
        assert!(new_store_name("a/b").is_err());
    }
}
