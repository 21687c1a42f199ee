//! What a server, or the way to it, says to a call, and what that means.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, Severity};

use super::connect::is_refused_by_pooler;
use crate::model::{BackendErrorKind, Error};

/// What is said of a pooler that lends sessions for less than a connection's life.
const POOLED: &str = "a pooler of connections is between, which shares sessions among its clients: name the server itself, \
     or have the pooler keep sessions (PgBouncer: pool_mode = session)";

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or the connection.
    Server(tokio_postgres::Error),
    /// The deadline has passed while the server was waited for.
    Late,
    /// All connections have been in use until the deadline.
    Exhausted,
    /// Others were faster, in a way that the same call cannot fail by twice for long.
    Outrun,
    /// Something else than the server, in words of its own.
    Own(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Failure {
    /// The server's condition code, if the server said it.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) => error.code().map(|code| code.code()),
            _ => None,
        }
    }

    /// Whether the server has refused a statement, so that nothing of its transaction was done.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Server(error) => error.as_db_error().is_some_and(|error| !is_fatal(error)),
            Self::Late | Self::Exhausted => false,
            Self::Outrun | Self::Own(_) => true,
        }
    }

    /// Whether the connection is as good as before, outside of a transaction.
    pub(super) fn leaves_connection(&self) -> bool {
        // What was prepared is not there any more, or not what it was; or this server only reads: another connection
        // may help.
        !matches!(self.code(), Some("26000" | "0A000" | "25006")) && self.is_refusal()
    }

    /// Whether the same may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Outrun => true,
            Self::Late | Self::Exhausted | Self::Own(_) => false,
            Self::Server(error) => match error.as_db_error() {
                None => {
                    !is_about_tls(error)
                        && kind_of_transport(error) == BackendErrorKind::Unreachable
                }
                Some(_) if is_refused_by_pooler(error) => false,
                Some(error) => {
                    matches!(
                        error.code().code(),
                        // Serialization, deadlock; a prepared statement that is gone; too many connections; shutting down,
                        // crashed, starting up.
                        "40001"
                            | "40P01"
                            | "26000"
                            | "0A000"
                            | "53300"
                            | "57P01"
                            | "57P02"
                            | "57P03"
                            | "57P05"
                    ) || error.code().code().starts_with("08")
                }
            },
        }
    }

    /// The error that a caller is given. `action` completes "cannot ..."; `is_uncertain` says that it may have been done.
    pub(super) fn into_error(self, action: String, is_uncertain: bool) -> Error {
        let (kind, mut said) = match self {
            Self::Own(error) => return error,
            Self::Late => {
                (BackendErrorKind::TimedOut, "the server has not answered in time".to_owned())
            }
            Self::Exhausted => (BackendErrorKind::Busy, "all connections are in use".to_owned()),
            Self::Outrun => (BackendErrorKind::Busy, "others were faster".to_owned()),
            Self::Server(error) => match error.as_db_error() {
                Some(_) if is_refused_by_pooler(&error) => {
                    (BackendErrorKind::Unsupported, POOLED.to_owned())
                }
                Some(said) => {
                    let code = said.code().code();
                    (kind_of_code(code), format!("{} (SQLSTATE {code})", said.message()))
                }
                None => (kind_of_transport(&error), chain(&error)),
            },
        };
        if is_uncertain {
            said.push_str("; whether it was done is not known");
        }
        Error::backend(kind, action, said)
    }
}

fn is_fatal(error: &DbError) -> bool {
    !matches!(error.parsed_severity(), Some(Severity::Error))
}

/// What kind of no a condition code is.
fn kind_of_code(code: &str) -> BackendErrorKind {
    match code {
        "25006" => BackendErrorKind::ReadOnly,
        "42501" => BackendErrorKind::Denied,
        "57014" => BackendErrorKind::TimedOut,
        "55P03" | "40001" | "40P01" | "53300" | "55006" => BackendErrorKind::Busy,
        "22001" => BackendErrorKind::TooLarge,
        "53100" => BackendErrorKind::Full,
        "3D000" | "3F000" => BackendErrorKind::Unreachable,
        _ => match code.get(..2) {
            Some("28") => BackendErrorKind::Denied,
            Some("08" | "57") => BackendErrorKind::Unreachable,
            Some("54") => BackendErrorKind::TooLarge,
            Some("53") => BackendErrorKind::Full,
            Some("0A" | "42") => BackendErrorKind::Unsupported,
            Some("XX") => BackendErrorKind::Damaged,
            _ => BackendErrorKind::Other,
        },
    }
}

/// What kind of no it is that no server has said. The crate keeps its own kinds to itself, but for their words.
fn kind_of_transport(error: &tokio_postgres::Error) -> BackendErrorKind {
    let said = error.to_string();
    if said.starts_with("authentication error") || chain(error).ends_with("password missing") {
        return BackendErrorKind::Denied;
    }
    if said.starts_with("invalid") {
        return BackendErrorKind::Unsupported;
    }
    if said.contains("serializing") || said.contains("returned an unexpected") {
        return BackendErrorKind::Damaged;
    }
    let refused = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match refused.map(io::Error::kind) {
        // Of a session that is not what `target_session_attrs` asks for.
        Some(io::ErrorKind::PermissionDenied) => BackendErrorKind::ReadOnly,
        Some(io::ErrorKind::TimedOut) => BackendErrorKind::TimedOut,
        _ => BackendErrorKind::Unreachable,
    }
}

fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS")
}

/// An error with what it was caused by.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
