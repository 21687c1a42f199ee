//! How a storage is opened, and what the environment says of it.

use std::env;

use crate::backend::directory::DirectoryOptions;
use crate::model::DEFAULT_INPUT_KEY;

/// Environment variables that name the input key, the first one set winning (FORMAT 8.1).
const INPUT_KEY_VARIABLES: [&str; 3] = ["ACTOR_INPUT_KEY", "APIFY_INPUT_KEY", "CRAWLEE_INPUT_KEY"];

/// How a storage is opened.
#[derive(Clone, Debug, Default)]
pub struct StorageOptions {
    /// The input key; `None` is `INPUT`.
    pub input_key: Option<String>,
    /// How a directory is read and written. The input key in it is not looked at: the one above holds.
    pub directory: DirectoryOptions,
}

impl StorageOptions {
    /// The defaults, with the input key that the environment names: `ACTOR_INPUT_KEY`, `APIFY_INPUT_KEY` or
    /// `CRAWLEE_INPUT_KEY`, the first of them that is set and not empty. Nothing else in this crate asks the
    /// environment for it.
    #[must_use]
    pub fn from_env() -> Self {
        let input_key = first_set(|variable| env::var(variable).ok());
        Self { input_key, ..Self::default() }
    }
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
