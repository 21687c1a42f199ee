//! Schemes: which there are, which of them are built in, and what is said of the others.

use crate::model::{Error, Result};

/// What a URL begins with, of those that can be built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    File,
    Sqlite,
    Postgres,
    Bucket,
}

/// What is known of a scheme by name.
enum Known {
    One(Scheme),
    /// What it is, and why or when it cannot be opened.
    Not(&'static str),
}

const MYSQL: &str =
    "is a MySQL or MariaDB database, where keys that differ in case alone are one record";

/// The schemes that are known, without the driver that SQLAlchemy lets follow behind a `+`.
const KNOWN: [(&str, Known); 9] = [
    ("file", Known::One(Scheme::File)),
    ("sqlite", Known::One(Scheme::Sqlite)),
    ("postgresql", Known::One(Scheme::Postgres)),
    ("postgres", Known::One(Scheme::Postgres)),
    ("mysql", Known::Not(MYSQL)),
    ("mariadb", Known::Not(MYSQL)),
    ("redis", Known::Not("is a Redis database, which is not built in")),
    ("s3", Known::One(Scheme::Bucket)),
    ("apify", Known::Not("is on the Apify platform, which is not built in")),
];

/// Drivers that a connection string may name; all mean the same here.
const DRIVERS: [(Scheme, &[&str]); 2] = [
    (Scheme::Sqlite, &["aiosqlite", "pysqlite"]),
    (Scheme::Postgres, &["asyncpg", "psycopg", "psycopg2", "psycopg_async"]),
];

/// The scheme of a text, and what follows its colon. `None` for a path: what has no scheme, or has a colon only behind a
/// slash. Of a scheme that is known, the slashes may be missing.
pub(super) fn of(text: &[u8]) -> Result<Option<(Scheme, &[u8])>> {
    let Some(at) = text.iter().position(|byte| matches!(byte, b':' | b'/')) else {
        return Ok(None);
    };
    let Some((before, [b':', rest @ ..])) = text.split_at_checked(at) else { return Ok(None) };
    let is_url = rest.starts_with(b"//");
    let Some(name) = well_formed(before) else {
        return if is_url { Err(malformed()) } else { Ok(None) };
    };
    let (base, driver) = match name.split_once('+') {
        Some((base, driver)) => (base, Some(driver)),
        None => (name.as_str(), None),
    };
    let known = KNOWN.iter().find(|(known, _)| *known == base).map(|(_, known)| known);
    match known {
        Some(Known::One(scheme)) => match driver {
            Some(driver) if !drivers(*scheme).contains(&driver) => {
                Err(unknown_driver(base, *scheme))
            }
            _ => Ok(Some((*scheme, rest))),
        },
        Some(Known::Not(what)) => Err(refused(base, what)),
        None if is_url => Err(refused(base, "has a scheme that is not known")),
        None => Ok(None),
    }
}

/// A scheme's name in lower case.
fn well_formed(name: &[u8]) -> Option<String> {
    let (first, others) = name.split_first()?;
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    let is_name = first.is_ascii_alphabetic() && others.iter().all(is_inner);
    let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
    Some(name.to_ascii_lowercase())
}

fn drivers(scheme: Scheme) -> &'static [&'static str] {
    DRIVERS.iter().find(|(with, _)| *with == scheme).map_or(&[], |(_, drivers)| drivers)
}

/// Says so of a scheme whose feature this program was built without.
pub(super) fn refuse_unless_built_in(scheme: Scheme) -> Result<()> {
    let (is_built_in, name, what, feature) = match scheme {
        Scheme::File => return Ok(()),
        Scheme::Sqlite => (cfg!(feature = "sqlite"), "sqlite", "an SQLite database", "sqlite"),
        Scheme::Postgres => {
            (cfg!(feature = "postgres"), "postgresql", "a PostgreSQL database", "postgres")
        }
        Scheme::Bucket => (cfg!(feature = "s3"), "s3", "a bucket", "s3"),
    };
    if is_built_in {
        return Ok(());
    }
    let what = format!("is {what}, and this program was built without the feature '{feature}'");
    Err(refused(name, &what))
}

fn refused(name: &str, what: &str) -> Error {
    Error::invalid_source(format!("{name}:"), format!("{what}; {}", there_is()))
}

fn malformed() -> Error {
    Error::invalid_source("...://", format!("has no scheme that can be read; {}", there_is()))
}

fn unknown_driver(name: &str, scheme: Scheme) -> Error {
    let known = match drivers(scheme) {
        [] => format!("write {name}:"),
        drivers => format!("known are {name}+{}", drivers.join(", +")),
    };
    Error::invalid_source(
        format!("{name}+...:"),
        format!("names a driver that is not known; {known}"),
    )
}

/// What can be a source of this program.
fn there_is() -> String {
    let mut kinds = vec!["a storage directory"];
    if cfg!(feature = "sqlite") {
        kinds.push("sqlite:///FILE");
    }
    if cfg!(feature = "postgres") {
        kinds.push("postgresql://USER@HOST/DATABASE");
    }
    if cfg!(feature = "s3") {
        kinds.push("s3://BUCKET/PREFIX");
    }
    format!("there is {}", kinds.join(", "))
}
