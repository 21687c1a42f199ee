//! Calls of the server: connections, deadlines, and what is tried again.
//!
//! Callers are threads; what waits for the server runs in a small runtime of its own. A call has one deadline, for all
//! that it waits for: a free connection, a new one, the statements, and pauses between attempts. A call that streams
//! moves its deadline with each part.
//!
//! A connection goes back to the pool only after a call that has ended well, or that the server has refused by a plain
//! error outside of a transaction. Otherwise its state is unknown: it is closed, and a statement that may still be
//! running is cancelled.
//!
//! # Whose turn it is
//! A change may have to wait for a lock of others, and keeps its connection meanwhile. So changes have a share of the
//! connections only ([`Needs::ToChange`]): what only looks waits for no lock, and always finds one of the others.
//!
//! # What is tried again
//! What has passed by itself in a moment: no connection, a deadlock, a server that starts or stops. Whether the call has
//! been done meanwhile is *uncertain* if a connection was lost, or the server has died, after what could commit was sent.
//!
//! - A read is tried again in any case, and so is a stream, from where it has come to.
//! - A change that was not yet sent, or that the server has refused, is tried again.
//! - An uncertain change is tried again if doing it twice is as doing it once ([`Repeat::Always`]): a value put over
//!   anything, a type, a touch, the removal of a record, the creation of a store (its id tells whose it is). It is
//!   one call still, so what others do in between counts as having been before it. One more buffered row of the same
//!   time changes nothing, since their maximum is taken.
//! - An uncertain change with a condition is not ([`Repeat::IfCertain`]): having been done, it would be refused by
//!   itself. Neither are a rename, a purge, or the removal of a store, which others may have filled again. The caller is
//!   told that it is not known.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, TimeoutType, Timeouts,
};
use log::debug;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::Connector;
use super::failure::Failure;
use crate::backend::Calls as Counted;
use crate::backend::elsewhere::Pauses;
use crate::model::{BackendErrorKind, Error, Result};

/// Threads that serve all connections.
const WORKERS: usize = 1;
/// How long the server is asked to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do with a change that may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It may be done twice.
    Always,
    /// It is tried again only if it was certainly not done.
    IfCertain,
    /// Nothing is tried again: the first answer is the one that is wanted.
    Never,
}

/// What a call may wait for at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it looks.
    ToLook,
    /// Locks of others.
    ToChange,
}

/// Connections to a server.
pub(super) struct Calls {
    /// Absent only while it is being dropped.
    runtime: Option<Runtime>,
    pool: Pool,
    /// As many changes as may have a connection at once.
    turns: Semaphore,
    tls: MakeRustlsConnect,
    timeout: Duration,
    /// What was asked so far.
    pub(super) counted: Counted,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// One attempt of a call, with a connection.
pub(super) struct Attempt<'a> {
    connection: Held<'a>,
    deadline: &'a Cell<Instant>,
    timeout: Duration,
    /// Whether what could commit was sent.
    is_sent: Cell<bool>,
    /// Whether a transaction was begun by a statement.
    in_transaction: Cell<bool>,
    /// Whether an earlier attempt may have done it.
    is_repeated: bool,
}

impl Attempt<'_> {
    /// The connection.
    pub(super) fn client(&self) -> Result<&Object, Failure> {
        self.connection.client.as_ref().ok_or(Failure::Late)
    }

    /// Notes that what is sent now may commit.
    pub(super) fn sends(&self) {
        self.is_sent.set(true);
    }

    /// Notes that a transaction is begun by a statement, so that the connection is worth nothing after a failure.
    pub(super) fn begins(&self) {
        self.in_transaction.set(true);
    }

    /// Notes that the transaction has ended well.
    pub(super) fn ends(&self) {
        self.in_transaction.set(false);
    }

    /// Whether an earlier attempt may have done what this one is about to do.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// Waits for a part of a stream. The next part has the whole time again.
    pub(super) async fn part<T, E: Into<Failure>>(
        &self,
        part: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let done = timeout_at(self.deadline.get(), part).await.map_err(|_| Failure::Late)?;
        self.extend();
        done.map_err(Into::into)
    }

    /// Notes that the stream has come on, by the server or by who reads it.
    pub(super) fn extend(&self) {
        self.deadline.set(Instant::now() + self.timeout);
    }
}

/// A connection that is closed unless it is given back.
struct Held<'a> {
    client: Option<Object>,
    calls: &'a Calls,
}

impl Held<'_> {
    fn give_back(mut self) {
        self.client = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let token = client.cancel_token();
        let is_closed = client.is_closed();
        drop(Object::take(client));
        if is_closed {
            return;
        }
        if let Some(runtime) = &self.calls.runtime {
            let tls = self.calls.tls.clone();
            runtime.spawn(async move {
                if !matches!(timeout(CANCEL_TIMEOUT, token.cancel_query(tls)).await, Ok(Ok(()))) {
                    debug!("a statement could not be cancelled");
                }
            });
        }
    }
}

impl Calls {
    /// Starts the runtime. Nothing is connected to before the first call.
    pub(super) fn new(connector: Connector, connections: usize, timeout: Duration) -> Result<Self> {
        let failed = |reason: String| {
            Error::backend(BackendErrorKind::Other, "prepare connections to PostgreSQL", reason)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("storefs-postgres")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let tls = connector.tls.connector.clone();
        let manager = Manager::from_connect(
            tokio_postgres::Config::new(),
            connector,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(connections.max(1))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        // A quarter is left to those who look, one at least where there are several.
        let turns = Semaphore::new(connections.saturating_sub((connections / 4).max(1)).max(1));
        let counted = Counted::default();
        Ok(Self { runtime: Some(runtime), pool, turns, tls, timeout, counted })
    }

    /// Makes a call, under one deadline. `action` completes "cannot ...".
    pub(super) fn call<T>(
        &self,
        needs: Needs,
        action: impl FnOnce() -> String,
        repeat: Repeat,
        work: impl AsyncFn(&Attempt<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        let deadline = Cell::new(Instant::now() + self.timeout);
        let end = deadline.get();
        self.run(needs, action, repeat, &deadline, async |attempt: &Attempt<'_>| {
            timeout_at(end, work(attempt)).await.unwrap_or(Err(Failure::Late))
        })
    }

    /// Makes a call that waits for the server by [`Attempt::part`] alone: each part has the deadline.
    pub(super) fn stream<T>(
        &self,
        needs: Needs,
        action: impl FnOnce() -> String,
        repeat: Repeat,
        work: impl AsyncFn(&Attempt<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        let deadline = Cell::new(Instant::now() + self.timeout);
        self.run(needs, action, repeat, &deadline, work)
    }

    fn run<T>(
        &self,
        needs: Needs,
        action: impl FnOnce() -> String,
        repeat: Repeat,
        deadline: &Cell<Instant>,
        work: impl AsyncFn(&Attempt<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(Failure::Late.into_error(action(), false));
        };
        let called = self.counted.count(|| {
            let attempts = self.attempts(needs, repeat, deadline, work);
            let (done, is_uncertain) = runtime.block_on(attempts);
            done.map_err(|failure| (failure, is_uncertain))
        });
        called.map_err(|(failure, is_uncertain)| failure.into_error(action(), is_uncertain))
    }

    /// Tries until it is done, or may not be tried again. Tells whether it may have been done where it failed.
    async fn attempts<T>(
        &self,
        needs: Needs,
        repeat: Repeat,
        deadline: &Cell<Instant>,
        work: impl AsyncFn(&Attempt<'_>) -> Result<T, Failure>,
    ) -> (Result<T, Failure>, bool) {
        let mut is_uncertain = false;
        let mut pauses = Pauses::default();
        loop {
            let (failure, sent) = match self.attempt(needs, deadline, is_uncertain, &work).await {
                Ok(done) => return (Ok(done), false),
                Err(failed) => failed,
            };
            is_uncertain |= sent && !failure.is_refusal();
            let may_repeat = match repeat {
                Repeat::Always => true,
                Repeat::IfCertain => !is_uncertain,
                Repeat::Never => false,
            };
            let waits = pauses.next();
            if !may_repeat || !failure.is_passing() || Instant::now() + waits >= deadline.get() {
                return (Err(failure), is_uncertain);
            }
            self.counted.note_retry();
            debug!("PostgreSQL is asked again: {failure:?}");
            sleep(waits).await;
        }
    }

    /// Tries once. A failure comes with whether what could commit was sent.
    async fn attempt<T>(
        &self,
        needs: Needs,
        deadline: &Cell<Instant>,
        is_repeated: bool,
        work: &impl AsyncFn(&Attempt<'_>) -> Result<T, Failure>,
    ) -> Result<T, (Failure, bool)> {
        let _turn = match needs {
            Needs::ToLook => None,
            Needs::ToChange => match timeout_at(deadline.get(), self.turns.acquire()).await {
                Ok(turn) => turn.ok(),
                Err(_) => return Err((Failure::Exhausted, false)),
            },
        };
        let client = self.connection(deadline.get()).await.map_err(|failure| (failure, false))?;
        let attempt = Attempt {
            connection: Held { client: Some(client), calls: self },
            deadline,
            timeout: self.timeout,
            is_sent: Cell::new(false),
            in_transaction: Cell::new(false),
            is_repeated,
        };
        match work(&attempt).await {
            Ok(done) => {
                attempt.connection.give_back();
                Ok(done)
            }
            Err(failure) => {
                let is_sent = attempt.is_sent.get();
                if failure.leaves_connection() && !attempt.in_transaction.get() {
                    attempt.connection.give_back();
                }
                Err((failure, is_sent))
            }
        }
    }

    async fn connection(&self, deadline: Instant) -> Result<Object, Failure> {
        let left = Some(deadline.saturating_duration_since(Instant::now()));
        let timeouts = Timeouts { wait: left, create: left, recycle: left };
        let got = timeout_at(deadline, self.pool.timeout_get(&timeouts)).await;
        match got {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(PoolError::Backend(error))) => Err(Failure::Server(error)),
            Ok(Err(PoolError::Timeout(TimeoutType::Wait))) => Err(Failure::Exhausted),
            Ok(Err(_)) => Err(Failure::Late),
            // Which of the two it was, the pool knows.
            Err(_) if self.pool.status().available == 0 && self.pool.status().waiting > 0 => {
                Err(Failure::Exhausted)
            }
            Err(_) => Err(Failure::Late),
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.pool.close();
        if let Some(runtime) = self.runtime.take() {
            // A name that is being looked up would be waited for.
            runtime.shutdown_background();
        }
    }
}
