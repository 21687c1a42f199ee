//! URLs of PostgreSQL, as libpq and SQLAlchemy read them.
//!
//! The two do not read the same texts alike where a password holds `@`, `/` or `?` as it is. Such a text is refused, and
//! not repeated: whoever guesses shows half of a password as the name of a host.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter, Write as _};
use std::net::Ipv6Addr;
use std::path::{self, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::conceal::Secret;
use crate::model::{Error, Result};

/// What stands in a URL as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parameters of libpq beside those that have a field.
const OF_LIBPQ: [&str; 36] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Parameters of libpq that are paths of files.
const PATHS: [&str; 7] =
    ["passfile", "servicefile", "sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert"];

/// Parameters that say which storage it is, or how it is reached, and no secret.
const SHOWN: [&str; 5] = ["hostaddr", "service", "sslmode", "sslrootcert", "target_session_attrs"];

/// Parameters of asyncpg and of SQLAlchemy that say how those work.
const OF_DRIVERS: [&str; 10] = [
    "async_fallback",
    "command_timeout",
    "direct_tls",
    "max_cacheable_statement_size",
    "max_cached_statement_lifetime",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "server_settings",
    "statement_cache_size",
    "timeout",
];

/// How a URL of PostgreSQL is written.
const FORM: &str = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @, /, : and ? in a name or password as %40, %2F, \
                    %3A and %3F";

/// A PostgreSQL database: what its URL says, and nothing of what libpq's environment would add.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct PostgresSource {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    /// Where it may be, in the order in which to try; empty if the URL does not say.
    pub(crate) hosts: Vec<Host>,
    pub(crate) database: Option<String>,
    /// Other parameters of libpq, by libpq's names, the last of a name alone. A value may be a secret (`sslpassword`).
    pub(crate) parameters: Vec<(String, String)>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name, an address, or the directory of a socket if it begins with a slash. Empty if the URL does not say.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl PostgresSource {
    /// Takes apart what follows the scheme's colon.
    pub(super) fn parse(rest: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(rest).ok().and_then(|text| text.strip_prefix("//"));
        Self::of_url(text.ok_or_else(malformed)?)
    }

    fn of_url(text: &str) -> Result<Self> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (authority, database) = match place.split_once('/') {
            Some((authority, database)) => (authority, Some(database)),
            None => (place, None),
        };
        let (login, hosts) = match authority.split_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let is_clear = |text: &str| !text.contains(['@', '/', ':']);
        if hosts.contains('@') || !database.is_none_or(is_clear) || query.contains(['@', '?']) {
            return Err(malformed());
        }
        let mut source = Self::default();
        if let Some(login) = login {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            source.user = not_empty(decoded(user)?);
            source.password =
                password.map(decoded).transpose()?.and_then(not_empty).map(Secret::new);
        }
        if !hosts.is_empty() {
            source.hosts = hosts.split(',').map(Host::parse).collect::<Result<_>>()?;
        }
        source.database = database.map(decoded).transpose()?.and_then(not_empty);
        source.take_parameters(query)?;
        Ok(source)
    }

    /// What the query says wins over what stands before it, as libpq has it.
    fn take_parameters(&mut self, query: &str) -> Result<()> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for parameter in query.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or_else(unknown_parameter)?;
            let value = decoded(&value.replace('+', " "))?;
            match name {
                "user" => self.user = not_empty(value),
                "password" => self.password = not_empty(value).map(Secret::new),
                // asyncpg has the second name, too.
                "dbname" | "database" => self.database = not_empty(value),
                "host" => {
                    for host in value.split(',') {
                        hosts.push(Host::parse_decoded(host)?);
                    }
                }
                "port" => {
                    for port in value.split(',') {
                        ports.push(parse_port(port)?);
                    }
                }
                // asyncpg's name, with libpq's words, or a truth value.
                "ssl" => {
                    let mode = match value.as_str() {
                        "true" | "True" | "1" | "on" => "require".to_owned(),
                        "false" | "False" | "0" | "off" => "disable".to_owned(),
                        _ => value,
                    };
                    self.set("sslmode", mode);
                }
                _ if OF_LIBPQ.contains(&name) => self.set(name, value),
                _ if OF_DRIVERS.contains(&name) => {}
                _ => return Err(unknown_parameter()),
            }
        }
        if !hosts.is_empty() {
            self.hosts = hosts;
        }
        self.take_ports(&ports)
    }

    /// One port for each host, or one for all.
    fn take_ports(&mut self, ports: &[Option<u16>]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        if self.hosts.is_empty() {
            self.hosts.push(Host::default());
        }
        if ports.len() != 1 && ports.len() != self.hosts.len() {
            return Err(Error::invalid_source("postgresql:", "has not as many ports as hosts"));
        }
        for (host, port) in self.hosts.iter_mut().zip(ports.iter().cycle()) {
            host.port = *port;
        }
        Ok(())
    }

    /// What it says by libpq's names (`host`, `sslmode`, ...), several hosts and ports as libpq lists them.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code))]
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings: BTreeMap<String, String> = self.parameters.iter().cloned().collect();
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        let port = |host: &Host| host.port.map(|port| port.to_string()).unwrap_or_default();
        let ports: Vec<String> = self.hosts.iter().map(port).collect();
        let listed =
            |texts: &[&str]| texts.iter().any(|text| !text.is_empty()).then(|| texts.join(","));
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        let said = [
            ("user", self.user.clone()),
            ("password", self.password.as_ref().map(|password| password.reveal().to_owned())),
            ("dbname", self.database.clone()),
            ("host", listed(&names)),
            ("port", listed(&ports)),
        ];
        let said = said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        settings.extend(said);
        settings
    }

    fn set(&mut self, name: &str, value: String) {
        self.parameters.retain(|(known, _)| known != name);
        self.parameters.push((name.to_owned(), value));
    }

    /// Without the driver, without what only the drivers look at, and without any secret.
    pub(super) fn shown(&self) -> String {
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut shown = "postgresql://".to_owned();
        if let Some(user) = &self.user {
            shown += &escaped(user);
            shown.push('@');
        }
        let hosts: Vec<String> = self.hosts.iter().map(Host::shown).collect();
        shown += &hosts.join(",");
        if let Some(database) = &self.database {
            shown.push('/');
            shown += &escaped(database);
        }
        let parameters = self.parameters.iter();
        let told = parameters.filter(|(name, _)| SHOWN.contains(&name.as_str()));
        for (at, (name, value)) in told.enumerate() {
            let before = if at == 0 { '?' } else { '&' };
            // Writing to a text cannot fail.
            let _ = write!(shown, "{before}{name}={}", escaped(value));
        }
        shown
    }

    /// Whether there is something that is not shown because it may be a secret.
    pub(super) fn holds_secret(&self) -> bool {
        let is_hidden = |(name, _): &(String, String)| !SHOWN.contains(&name.as_str());
        self.password.is_some() || self.parameters.iter().any(is_hidden)
    }

    /// The same with absolute paths of files.
    pub(super) fn absolute(&self) -> Self {
        let mut source = self.clone();
        for (name, value) in &mut source.parameters {
            if PATHS.contains(&name.as_str())
                && !value.is_empty()
                && let Ok(absolute) = path::absolute(Path::new(value))
                && let Some(absolute) = absolute.to_str()
            {
                absolute.clone_into(value);
            }
        }
        source
    }
}

impl Debug for PostgresSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresSource").field(&self.shown()).finish()
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self> {
        let (name, port) = split_port(text);
        Ok(Self { name: decoded(name)?, port: port.map_or(Ok(None), parse_port)? })
    }

    fn parse_decoded(text: &str) -> Result<Self> {
        if text.starts_with('/') {
            return Ok(Self { name: text.to_owned(), port: None });
        }
        let (name, port) = split_port(text);
        Ok(Self { name: name.to_owned(), port: port.map_or(Ok(None), parse_port)? })
    }

    fn shown(&self) -> String {
        let name = match self.name.parse::<Ipv6Addr>().is_ok() {
            true => format!("[{}]", self.name),
            false => utf8_percent_encode(&self.name, ESCAPED).to_string(),
        };
        match self.port {
            Some(port) => format!("{name}:{port}"),
            None => name,
        }
    }
}

/// A host and what follows its colon; an address of IPv6 stands in brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    }
}

fn parse_port(text: &str) -> Result<Option<u16>> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port != 0);
    port.map(Some).ok_or_else(malformed)
}

fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| malformed())?;
    if decoded.contains('\0') { Err(malformed()) } else { Ok(decoded.into_owned()) }
}

fn not_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn malformed() -> Error {
    Error::invalid_source("postgresql:", format!("cannot be read: write {FORM}"))
}

fn unknown_parameter() -> Error {
    let reason = "has a parameter that neither libpq nor Python's drivers know; if it is a part of the password, write ? \
                  as %3F and & as %26";
    Error::invalid_source("postgresql:", reason)
}
