//! Makes connections: which server of several, with TLS or without, and the settings of its session.
//!
//! The settings come with the connection, before any statement. A pooler such as PgBouncer refuses those that it cannot
//! keep for a client, and that is how it is known: one that lends a session for a transaction only would hand what is set
//! by statements, and prepared statements too, to the next client. So a pooler has to show that it keeps sessions apart
//! ([`Connector::connect_pooled`]), and is refused otherwise.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Connect;
use log::debug;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

use super::servers::{Server, Target};
use super::tls::Tls;

/// Makes connections to the first server that takes one.
pub(super) struct Connector {
    pub(super) servers: Vec<Server>,
    pub(super) target: Target,
    pub(super) tls: Tls,
    /// How long one server has to answer while others are left to try.
    pub(super) server_timeout: Duration,
    /// What a session begins with.
    pub(super) session: Session,
    /// Whether a pooler is known to keep sessions apart.
    pub(super) keeps_sessions: AtomicBool,
}

type Connected = (Client, JoinHandle<()>);
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<Connected, Error>> {
        Box::pin(self.connect_any())
    }
}

impl Connector {
    async fn connect_any(&self) -> Result<Connected, Error> {
        let mut refused = None;
        for attributes in self.target.attempts() {
            for server in &self.servers {
                let connecting = self.connect_one(server, *attributes);
                match tokio::time::timeout(self.server_timeout, connecting).await {
                    Ok(Ok(connected)) => return Ok(connected),
                    Ok(Err(error)) => refused = Some(error),
                    Err(_) => debug!("a server of PostgreSQL has not answered in time"),
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            // None of them has answered: who waits has a deadline, and says so.
            None => std::future::pending().await,
        }
    }

    async fn connect_one(
        &self,
        server: &Server,
        attributes: TargetSessionAttrs,
    ) -> Result<Connected, Error> {
        if server.is_socket {
            return self.connect_by(server, SslMode::Disable, attributes).await;
        }
        let mut refused = None;
        for mode in self.tls.attempts {
            match self.connect_by(server, *mode, attributes).await {
                Ok(connected) => return Ok(connected),
                // The first word is the one that was preferred.
                Err(error) if !depends_on_tls(&error) => return Err(refused.unwrap_or(error)),
                Err(error) => _ = refused.get_or_insert(error),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => std::future::pending().await,
        }
    }

    async fn connect_by(
        &self,
        server: &Server,
        mode: SslMode,
        attributes: TargetSessionAttrs,
    ) -> Result<Connected, Error> {
        let mut config = server.config.clone();
        config.ssl_mode(mode).target_session_attrs(attributes);
        let mut own = config.clone();
        own.options(self.session.options(config.get_options()));
        match self.open(&own).await {
            Ok((client, task)) => Ok((client, task.keep())),
            Err(error) if is_refused_by_pooler(&error) => self.connect_pooled(&config, error).await,
            Err(error) => Err(error),
        }
    }

    /// Connects to a pooler that takes no settings with a connection, if it keeps sessions apart; else fails with what it
    /// has `refused` them by.
    async fn connect_pooled(&self, config: &Config, refused: Error) -> Result<Connected, Error> {
        let (client, task) = self.open(config).await?;
        if !self.keeps_sessions.load(Ordering::Relaxed) {
            let (other, _task) = self.open(config).await?;
            let before = backend_of(&client).await?;
            // One that lends them for a statement refuses this.
            if other.batch_execute("BEGIN").await.is_err() {
                return Err(refused);
            }
            // One that keeps them apart has each client at a backend of its own, whether it does anything or not.
            if backend_of(&other).await? == before || backend_of(&client).await? != before {
                return Err(refused);
            }
            self.keeps_sessions.store(true, Ordering::Relaxed);
        }
        client.batch_execute(&self.session.statements()).await?;
        Ok((client, task.keep()))
    }

    async fn open(&self, config: &Config) -> Result<(Client, AbortOnDrop), Error> {
        let (client, connection) = config.connect(self.tls.connector.clone()).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection to PostgreSQL was lost: {error}");
            }
        });
        Ok((client, AbortOnDrop(Some(task))))
    }
}

/// Which of the server's processes serves a client now; asked without a statement that has to be prepared.
async fn backend_of(client: &Client) -> Result<Option<String>, Error> {
    let answers = client.simple_query("SELECT pg_backend_pid()").await?;
    Ok(answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// Whether a pooler has refused the settings of a session. A server knows all of them.
pub(super) fn is_refused_by_pooler(error: &Error) -> bool {
    error.as_db_error().is_some_and(|said| {
        *said.code() == SqlState::PROTOCOL_VIOLATION && said.message().contains("startup parameter")
    })
}

/// Ends the task of a connection that came to nothing.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl AbortOnDrop {
    fn keep(mut self) -> JoinHandle<()> {
        // Taken once, here, and never put back.
        self.0.take().unwrap_or_else(|| tokio::spawn(async {}))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Whether it may be different with TLS, or without: as libpq, for a handshake that failed and for a server that lets
/// in by the one only.
fn depends_on_tls(error: &Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => !error.to_string().starts_with("error connecting to server"),
    }
}

/// What a session is set to. All is about this session alone.
#[derive(Debug)]
pub(super) struct Session(Vec<(&'static str, String)>);

/// A setting of our own, by which a session shows that it was set. No server knows what it means.
const MARK: &str = "storefs.session";

impl Session {
    /// The server ends a statement, and a wait for another's lock, before the caller's deadline: what it says then is more
    /// than that it said nothing. A transaction of a client that is gone ends by itself, with its locks.
    /// No statement here is worth being compiled, whatever the planner takes it for.
    pub(super) fn new(timeout: Duration, read_only: bool) -> Self {
        let milliseconds = timeout.as_millis().clamp(100, 86_400_000);
        let mut settings = vec![
            ("statement_timeout", (milliseconds * 19 / 20).to_string()),
            ("lock_timeout", (milliseconds * 9 / 10).to_string()),
            ("idle_in_transaction_session_timeout", (milliseconds * 2).to_string()),
            ("default_transaction_isolation", "read committed".to_owned()),
            ("jit", "off".to_owned()),
            (MARK, "on".to_owned()),
        ];
        if read_only {
            settings.push(("default_transaction_read_only", "on".to_owned()));
        }
        Self(settings)
    }

    /// As options of a connection, behind those that the source has: the last word counts.
    fn options(&self, before: Option<&str>) -> String {
        let mut text = before.map(|before| format!("{before} ")).unwrap_or_default();
        for (name, value) in &self.0 {
            text.push_str(&format!("-c {name}={} ", value.replace(' ', "\\ ")));
        }
        text
    }

    fn statements(&self) -> String {
        self.0.iter().map(|(name, value)| format!("SET {name} = '{value}';")).collect()
    }
}
