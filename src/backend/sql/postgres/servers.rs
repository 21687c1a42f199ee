//! Where to connect to, and as whom: the settings as configurations of single servers.
//!
//! A text may name several hosts; each has its own line in a password file, so each is a configuration of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};

use super::passfile::{self, Login};
use super::settings::{Environment, Settings, home, malformed};
use crate::model::Result;

/// libpq's own.
const DEFAULT_PORT: u16 = 5432;
/// Where sockets of a server are, as Debian and as others build it.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// Names the mount in the server's views and log.
const APPLICATION_NAME: &str = "storefs";

/// A server to try.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// One host, one port, who and what; nothing about TLS. Its Debug output hides the password.
    pub(super) config: Config,
    /// There is no TLS over a socket.
    pub(super) is_socket: bool,
}

/// What the session must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Any,
    ReadWrite,
    ReadOnly,
    /// One that only reads, if any of the servers is that.
    PreferReadOnly,
}

/// The servers that the settings name, in the order in which they are tried.
pub(super) fn servers(
    settings: &Settings,
    connect_timeout: Duration,
    environment: Environment<'_>,
) -> Result<Vec<Server>> {
    let get = |name: &str| settings.get(name).map(String::as_str);
    let user = get("user")
        .map(str::to_owned)
        .or_else(|| environment("USER"))
        .or_else(|| environment("LOGNAME"));
    let mut base = Config::new();
    base.application_name(
        get("application_name").or(get("fallback_application_name")).unwrap_or(APPLICATION_NAME),
    );
    if let Some(user) = &user {
        base.user(user);
    }
    if let Some(dbname) = get("dbname") {
        base.dbname(dbname);
    }
    if let Some(options) = get("options") {
        base.options(options);
    }
    base.connect_timeout(connect_timeout);
    add_channel(&mut base, settings)?;

    let addresses = listed(get("hostaddr"));
    let mut hosts = listed(get("host"));
    if hosts.is_empty() {
        hosts = if addresses.is_empty() { vec![""] } else { addresses.clone() };
    }
    let ports = listed(get("port"));
    if (ports.len() > 1 && ports.len() != hosts.len())
        || (!addresses.is_empty() && addresses.len() != hosts.len())
    {
        return Err(malformed("it has not as many ports or addresses as hosts"));
    }
    let mut servers = Vec::with_capacity(hosts.len());
    for (at, host) in hosts.iter().enumerate() {
        let port = match ports.get(at).or_else(|| ports.first()) {
            None | Some(&"") => DEFAULT_PORT,
            Some(port) => port.parse().map_err(|_| malformed("a port is no number"))?,
        };
        let host = if host.is_empty() { default_host(port) } else { (*host).to_owned() };
        let mut config = base.clone();
        config.host(&host).port(port);
        if let Some(address) = addresses.get(at).filter(|address| !address.is_empty()) {
            config.hostaddr(address.parse().map_err(|_| malformed("'hostaddr' is no address"))?);
        }
        let is_socket = host.starts_with('/');
        let login = Login {
            host: if is_default_directory(&host) { "localhost" } else { &host },
            port,
            database: get("dbname").or(user.as_deref()).unwrap_or_default(),
            user: user.as_deref().unwrap_or_default(),
        };
        let password = get("password")
            .map(str::to_owned)
            .or_else(|| passfile::password(&pass_file(settings, environment)?, login));
        if let Some(password) = password {
            config.password(password);
        }
        servers.push(Server { config, is_socket });
    }
    Ok(servers)
}

/// How long one host has to answer, where the settings say so.
pub(super) fn connect_timeout(settings: &Settings) -> Result<Option<Duration>> {
    match settings.get("connect_timeout") {
        None => Ok(None),
        Some(text) => {
            let seconds: i64 =
                text.parse().map_err(|_| malformed("'connect_timeout' is no number of seconds"))?;
            Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
        }
    }
}

/// What the session must be.
pub(super) fn target(settings: &Settings) -> Result<Target> {
    match settings.get("target_session_attrs").map(String::as_str) {
        None | Some("any") => Ok(Target::Any),
        Some("read-write" | "primary") => Ok(Target::ReadWrite),
        Some("read-only" | "standby") => Ok(Target::ReadOnly),
        Some("prefer-standby") => Ok(Target::PreferReadOnly),
        Some(_) => Err(malformed("'target_session_attrs' is none of libpq's words")),
    }
}

impl Target {
    /// What the server's session is asked for, in turn.
    pub(super) fn attempts(self) -> &'static [TargetSessionAttrs] {
        match self {
            Self::Any => &[TargetSessionAttrs::Any],
            Self::ReadWrite => &[TargetSessionAttrs::ReadWrite],
            Self::ReadOnly => &[TargetSessionAttrs::ReadOnly],
            Self::PreferReadOnly => &[TargetSessionAttrs::ReadOnly, TargetSessionAttrs::Any],
        }
    }
}

/// Adds what is said of the channel: keepalives and the like.
fn add_channel(config: &mut Config, settings: &Settings) -> Result<()> {
    let number = |name: &str| -> Result<Option<u32>> {
        match settings.get(name).map(|text| text.parse()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(malformed(format!("'{name}' is no number"))),
        }
    };
    let word = |name: &str| settings.get(name).map(String::as_str);
    let unknown = |name: &str| malformed(format!("'{name}' is none of libpq's words"));
    config.keepalives(number("keepalives")?.is_none_or(|on| on != 0));
    if let Some(seconds) = number("keepalives_idle")?.filter(|seconds| *seconds > 0) {
        config.keepalives_idle(Duration::from_secs(seconds.into()));
    }
    if let Some(seconds) = number("keepalives_interval")?.filter(|seconds| *seconds > 0) {
        config.keepalives_interval(Duration::from_secs(seconds.into()));
    }
    let retries = number("keepalives_count")?;
    if let Some(retries) = retries.filter(|retries| *retries > 0) {
        config.keepalives_retries(retries);
    }
    if let Some(milliseconds) = number("tcp_user_timeout")?.filter(|number| *number > 0) {
        config.tcp_user_timeout(Duration::from_millis(milliseconds.into()));
    }
    match word("channel_binding") {
        None | Some("prefer") => {}
        Some("disable") => _ = config.channel_binding(ChannelBinding::Disable),
        Some("require") => _ = config.channel_binding(ChannelBinding::Require),
        Some(_) => return Err(unknown("channel_binding")),
    }
    match word("load_balance_hosts") {
        None | Some("disable") => {}
        Some("random") => _ = config.load_balance_hosts(LoadBalanceHosts::Random),
        Some(_) => return Err(unknown("load_balance_hosts")),
    }
    match word("sslnegotiation") {
        None | Some("postgres") => {}
        Some("direct") => _ = config.ssl_negotiation(SslNegotiation::Direct),
        Some(_) => return Err(unknown("sslnegotiation")),
    }
    Ok(())
}

fn listed(text: Option<&str>) -> Vec<&str> {
    text.map(|text| text.split(',').collect()).unwrap_or_default()
}

/// The socket of this machine's own server, or its own address where there is none.
fn default_host(port: u16) -> String {
    SOCKET_DIRECTORIES
        .into_iter()
        .find(|directory| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists())
        .unwrap_or("localhost")
        .to_owned()
}

fn is_default_directory(host: &str) -> bool {
    SOCKET_DIRECTORIES.contains(&host.trim_end_matches('/'))
}

fn pass_file(settings: &Settings, environment: Environment<'_>) -> Option<PathBuf> {
    match settings.get("passfile") {
        Some(file) => Some(PathBuf::from(file)),
        None => Some(home(environment)?.join(".pgpass")),
    }
}
