//! What a connection text, the environment and a service file say about a server, as libpq reads them.
//!
//! Settings have libpq's own names (`host`, `sslmode`, ...). What the text says goes before the service file, that before
//! the environment, and that before libpq's defaults. Texts are accepted as they stand in a crawler's code, so what
//! SQLAlchemy and its drivers add for themselves is dropped. No error repeats a value, since it could be a password.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

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

/// Schemes that name a PostgreSQL server. A driver's name may stand behind a `+`.
const SCHEMES: [&str; 2] = ["postgresql", "postgres"];

/// Drivers that people name in their crawler's code.
const DRIVERS: [&str; 5] = ["asyncpg", "psycopg", "psycopg2", "psycopg_async", "psycopgbinary"];

/// Settings that are understood, beside `dbname` and its like that have a place of their own in a text.
const KNOWN: [&str; 27] = [
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
    "keepalives_retries",
    "fallback_application_name",
];

/// Settings of other clients, or of libpq where they ask for what is the case anyway: nothing is lost without them.
const WITHOUT_EFFECT: [&str; 13] = [
    "client_encoding",
    "command_timeout",
    "gssencmode",
    "krbsrvname",
    "max_cached_statement_lifetime",
    "max_cacheable_statement_size",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "server_settings",
    "sslcompression",
    "sslsni",
    "statement_cache_size",
    "timeout",
];

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

/// All that is said about a server: by `text`, its service, and the environment.
pub(super) fn settings(text: &str, environment: Environment<'_>) -> Result<Settings> {
    let mut settings = of_text(text)?;
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

/// The settings in a text `postgresql://user:password@host:port/dbname?name=value`.
fn of_text(text: &str) -> Result<Settings> {
    let rest = without_scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
    // A password may hold an unescaped `@`; a host never does.
    let (who, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match who.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (who, None),
    };
    let mut settings = Settings::new();
    let mut set = |name: &str, value: String| {
        if !value.is_empty() {
            settings.insert(name.to_owned(), value);
        }
    };
    set("user", decoded(user)?);
    set("password", decoded(password.unwrap_or_default())?);
    set("dbname", decoded(dbname)?);
    let (names, ports) = split_hosts(hosts)?;
    set("host", names);
    set("port", ports);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| malformed("a parameter behind the '?' is not written as name=value"))?;
        add_parameter(&mut settings, &decoded(name)?, decoded(value)?)?;
    }
    Ok(settings)
}

fn without_scheme(text: &str) -> Result<&str> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| malformed("it does not begin with 'postgresql://'"))?;
    let (scheme, driver) = match scheme.split_once('+') {
        Some((scheme, driver)) => (scheme, Some(driver)),
        None => (scheme, None),
    };
    if !SCHEMES.contains(&scheme) {
        return Err(malformed("it does not begin with 'postgresql://'"));
    }
    match driver {
        Some(driver) if !DRIVERS.contains(&driver) => {
            Err(malformed(format!("the driver '{driver}' is unknown; leave it out")))
        }
        _ => Ok(rest),
    }
}

/// The hosts and the ports of `host:port,[v6]:port`, each as libpq lists them.
fn split_hosts(hosts: &str) -> Result<(String, String)> {
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or_default()),
            None => host.rsplit_once(':').unwrap_or((host, "")),
        };
        names.push(decoded(name)?);
        ports.push(port.to_owned());
    }
    let list = |texts: Vec<String>| {
        if texts.iter().all(String::is_empty) { String::new() } else { texts.join(",") }
    };
    Ok((list(names), list(ports)))
}

/// Adds what a parameter of a text says.
fn add_parameter(settings: &mut Settings, name: &str, value: String) -> Result<()> {
    match name {
        // asyncpg's name, with libpq's words, or a truth value.
        "ssl" => {
            let mode = match value.as_str() {
                "true" | "True" | "1" | "on" => "require".to_owned(),
                "false" | "False" | "0" | "off" => "disable".to_owned(),
                _ => value,
            };
            settings.insert("sslmode".to_owned(), mode);
        }
        "database" => {
            settings.insert("dbname".to_owned(), value);
        }
        // SQLAlchemy's way to say several: `host=a:5432&host=b:5433`.
        "host" if !value.starts_with('/') && value.contains(':') && !value.contains("::") => {
            let (names, ports) = split_hosts(&value)?;
            append(settings, "host", &names);
            append(settings, "port", &ports);
        }
        "host" => append(settings, "host", &value),
        _ if WITHOUT_EFFECT.contains(&name) => {}
        _ => {
            check_name(name)?;
            settings.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn append(settings: &mut Settings, name: &str, value: &str) {
    let entry = settings.entry(name.to_owned()).or_default();
    if !entry.is_empty() {
        entry.push(',');
    }
    entry.push_str(value);
}

fn check_name(name: &str) -> Result<()> {
    if KNOWN.contains(&name) || WITHOUT_EFFECT.contains(&name) {
        return Ok(());
    }
    Err(malformed(format!("the parameter '{name}' is unknown")))
}

fn decoded(text: &str) -> Result<String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| malformed("a part of it is not UTF-8 once it is percent-decoded"))
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
