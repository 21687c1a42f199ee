//! How a storage is opened, and what the environment says of it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "sql")]
use crate::backend::SqlOptions;
use crate::backend::directory::DirectoryOptions;
#[cfg(feature = "s3")]
use crate::backend::{AwsOptions, BucketOptions, DEFAULT_CACHE_BYTES};
use crate::model::DEFAULT_INPUT_KEY;

/// Environment variables that name the input key, the first one set winning (FORMAT 8.1).
const INPUT_KEY_VARIABLES: [&str; 3] = ["ACTOR_INPUT_KEY", "APIFY_INPUT_KEY", "CRAWLEE_INPUT_KEY"];

/// How long a whole operation on a storage that is no directory may take, unless it is told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections to one database. A request that waits for its answer holds up those behind the last of them alone; servers
/// are mostly set to a hundred for all that use them.
#[cfg(feature = "sql")]
const CONNECTIONS: usize = 8;

/// How a storage is opened.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// The input key; `None` is `INPUT`.
    pub input_key: Option<String>,
    /// Whether nothing at all is written.
    pub read_only: bool,
    /// How long a whole operation may take where the storage is no directory.
    pub timeout: Duration,
    /// Where values are kept while they are written to a storage that is no directory; it is made if it is not there.
    /// `None` is a private directory in the system's for temporary files.
    pub cache_dir: Option<PathBuf>,
    /// So many bytes of values of a bucket are kept there at most, beside what is being written.
    #[cfg(feature = "s3")]
    pub cache_bytes: u64,
    /// Where a bucket is, and by whose keys it is opened.
    #[cfg(feature = "s3")]
    pub aws: AwsOptions,
    /// How a directory is read and written. The input key in it is not looked at: the one above holds.
    pub directory: DirectoryOptions,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            input_key: None,
            read_only: false,
            timeout: DEFAULT_TIMEOUT,
            cache_dir: None,
            #[cfg(feature = "s3")]
            cache_bytes: DEFAULT_CACHE_BYTES,
            #[cfg(feature = "s3")]
            aws: AwsOptions::default(),
            directory: DirectoryOptions::default(),
        }
    }
}

impl StorageOptions {
    /// The defaults, with what the environment names: the input key by `ACTOR_INPUT_KEY`, `APIFY_INPUT_KEY` or
    /// `CRAWLEE_INPUT_KEY`, the first of them that is set and not empty; the cache directory as `storefs` in
    /// `XDG_CACHE_HOME`, or in `.cache` of `HOME`; where buckets are and whose keys open them, as the tools of AWS have it
    /// (`AwsOptions::from_env`). Nothing else in this crate asks the environment for them.
    #[must_use]
    pub fn from_env() -> Self {
        let input_key = first_set(|variable| env::var(variable).ok());
        let cache_dir = cache_dir(|variable| env::var_os(variable));
        Self {
            input_key,
            cache_dir,
            #[cfg(feature = "s3")]
            aws: AwsOptions::from_env(),
            ..Self::default()
        }
    }

    /// What a bucket is told of it.
    #[cfg(feature = "s3")]
    pub(super) fn for_bucket(&self) -> BucketOptions {
        BucketOptions {
            read_only: self.read_only || self.directory.read_only,
            timeout: self.timeout,
            cache_dir: self.cache_dir.clone(),
            cache_bytes: self.cache_bytes,
            input_key: input_key(self.input_key.clone()),
            dialect: self.directory.dialect,
            aws: self.aws.clone(),
        }
    }

    /// What a database is told of it.
    #[cfg(feature = "sql")]
    pub(super) fn for_database(&self) -> SqlOptions {
        SqlOptions {
            read_only: self.read_only || self.directory.read_only,
            timeout: self.timeout,
            cache_dir: self.cache_dir.clone(),
            connections: CONNECTIONS,
        }
    }
}

/// A relative path counts as none, as the XDG specification demands.
fn cache_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| Some(PathBuf::from(variable(name)?)).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(cache?.join("storefs"))
}

/// The input key in force.
pub(super) fn input_key(given: Option<String>) -> String {
    // Any key that begins with a dot would belong to an empty one.
    given.filter(|key| !key.is_empty()).unwrap_or_else(|| DEFAULT_INPUT_KEY.to_owned())
}

fn first_set(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    INPUT_KEY_VARIABLES.iter().filter_map(|name| variable(name)).find(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_environment_says() {
        let said = |cache: Option<&str>, home: Option<&str>| {
            cache_dir(|name| (if name == "HOME" { home } else { cache }).map(OsString::from))
        };
        assert_eq!(said(Some("/c"), Some("/h")), Some("/c/storefs".into()));
        assert_eq!(said(Some("c"), Some("/h")), Some("/h/.cache/storefs".into()));
        assert_eq!(said(None, Some("")), None);
        assert_eq!(said(None, None), None);
    }

    #[test]
    fn p16_the_first_variable_that_is_not_empty_names_the_input_key() {
        let key = |actor: Option<&str>, apify: Option<&str>, crawlee: Option<&str>| {
            first_set(|name| {
                let value = match name.split('_').next() {
                    Some("ACTOR") => actor,
                    Some("APIFY") => apify,
                    _ => crawlee,
                };
                value.map(str::to_owned)
            })
        };
        assert_eq!(key(Some("a"), Some("b"), Some("c")).as_deref(), Some("a"));
        assert_eq!(key(Some(""), Some("b"), Some("c")).as_deref(), Some("b"));
        assert_eq!(key(None, None, Some("c")).as_deref(), Some("c"));
        assert_eq!(key(None, Some(""), None), None);
        assert_eq!(
            (input_key(None), input_key(Some(String::new()))),
            ("INPUT".into(), "INPUT".into())
        );
    }
}
