//! What a source, the environment and a service file say about a server, as libpq reads them.
//!
//! Settings have libpq's own names (`host`, `sslmode`, ...). What the source says goes before the service file, that before
//! the environment, and that before libpq's defaults. No error repeats a value, since it could be a password.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use super::service_file;
use crate::model::{BackendErrorKind, Error, Result};

/// Settings by libpq's names.
pub(super) type Settings = BTreeMap<String, String>;

/// Where a variable of the environment comes from; a test's own in tests.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub(super) fn of_process(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Settings that are understood.
const KNOWN: [&str; 26] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "options",
    "passfile",
    "password",
    "port",
    "service",
    "servicefile",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
    "keepalives_count",
    "fallback_application_name",
];

/// Settings of libpq that ask for what is the case anyway: nothing is lost without them.
const WITHOUT_EFFECT: [&str; 5] =
    ["client_encoding", "gssencmode", "krbsrvname", "sslcompression", "sslsni"];

/// Variables of the environment, and the settings that they stand for.
const VARIABLES: [(&str, &str); 17] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGSERVICE", "service"),
    ("PGSERVICEFILE", "servicefile"),
    ("PGOPTIONS", "options"),
    ("PGAPPNAME", "application_name"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// All that is said about a server: by its source, its service, and the environment.
pub(super) fn settings(of_source: Settings, environment: Environment<'_>) -> Result<Settings> {
    of_source.keys().try_for_each(|name| check_name(name))?;
    let mut settings = of_source;
    let from_environment: Settings = VARIABLES
        .iter()
        .filter_map(|(variable, name)| Some(((*name).to_owned(), environment(variable)?)))
        .collect();
    let service = settings.get("service").or_else(|| from_environment.get("service")).cloned();
    if let Some(service) = service {
        let own = settings.get("servicefile").or_else(|| from_environment.get("servicefile"));
        let of_service = service_file::settings(&service, own.map(Path::new), environment)?;
        for (name, value) in of_service {
            check_name(&name)?;
            settings.entry(name).or_insert(value);
        }
    }
    for (name, value) in from_environment {
        settings.entry(name).or_insert(value);
    }
    Ok(settings)
}

fn check_name(name: &str) -> Result<()> {
    if KNOWN.contains(&name) || WITHOUT_EFFECT.contains(&name) {
        return Ok(());
    }
    Err(malformed(format!("the parameter '{name}' is unknown")))
}

/// The home directory, where libpq's files are.
pub(super) fn home(environment: Environment<'_>) -> Option<PathBuf> {
    environment("HOME").map(PathBuf::from)
}

/// The error of a text, or of a setting, that cannot be understood.
pub(super) fn malformed(reason: impl Into<String>) -> Error {
    Error::backend(
        BackendErrorKind::Unsupported,
        "understand the address of the PostgreSQL server",
        reason.into(),
    )
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
