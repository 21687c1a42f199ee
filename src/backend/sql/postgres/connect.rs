//! Makes connections: which server of several, with TLS or without, and the settings of its session.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::Connect;
use log::debug;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error};

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
    pub(super) session: String,
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
        let (client, connection) = config.connect(self.tls.connector.clone()).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection to PostgreSQL was lost: {error}");
            }
        });
        let task = AbortOnDrop(Some(task));
        client.batch_execute(&self.session).await?;
        Ok((client, task.keep()))
    }
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

/// The statements that a session begins with. All are about this session alone.
///
/// The server ends a statement, and a wait for another's lock, before the caller's deadline: what it says then is more
/// than that it said nothing. A transaction of a client that is gone ends by itself, with its locks.
/// No statement here is worth being compiled, whatever the planner takes it for.
pub(super) fn session(timeout: Duration, read_only: bool) -> String {
    let milliseconds = timeout.as_millis().clamp(100, 86_400_000);
    let lock = milliseconds * 9 / 10;
    let statement = milliseconds * 19 / 20;
    let idle = milliseconds * 2;
    let mut text = format!(
        "SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
         SET idle_in_transaction_session_timeout = {idle}; \
         SET default_transaction_isolation = 'read committed'; SET jit = off"
    );
    if read_only {
        text.push_str("; SET default_transaction_read_only = on");
    }
    text
}
