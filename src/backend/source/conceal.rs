//! What may be shown of a text that may hold a password.

use std::ffi::OsStr;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;

use super::{Kind, Source, SqlSource};

/// What stands where something is not shown.
const HIDDEN: &str = "***";

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for whom it is meant.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code))]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What to show in place of a text that may hold a password; `None` if it may be shown as it stands. The text may be any
/// that somebody meant for a source, however odd.
#[must_use]
pub fn concealed(text: &OsStr) -> Option<String> {
    match Source::parse(text) {
        Ok(Source(Kind::Path(path))) if is_plain(&path) => None,
        Ok(Source(Kind::Sql(SqlSource::Postgres(database)))) if database.holds_secret() => {
            Some(database.shown())
        }
        Ok(Source(Kind::Sql(_) | Kind::Bucket(_))) => None,
        Ok(Source(Kind::Path(_))) | Err(_) => Some(blank(&text.to_string_lossy())),
    }
}

/// A path as it may be shown.
pub(super) fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if is_plain(path) { text.into_owned() } else { blank(&text) }
}

/// Whether it is certainly a path. One that is not absolute may be a URL with a slip in it, which has a double slash and a
/// sign that parts a login or a query from the rest, or two such signs.
fn is_plain(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let double_slashes = text.windows(2).filter(|pair| *pair == b"//").count();
    let signs = text.iter().filter(|byte| b":@?".contains(byte)).count();
    path.is_absolute() || signs == 0 || double_slashes + signs < 2
}

/// A text of which nothing is shown but what stands before its first colon or double slash, or before a driver.
fn blank(text: &str) -> String {
    let end = [text.find([':', '+']), text.find("//")].into_iter().flatten().min();
    match end.and_then(|end| text.get(..end)) {
        Some(begin) => format!("{begin}:{HIDDEN}"),
        None => HIDDEN.to_owned(),
    }
}
