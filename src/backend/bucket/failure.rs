//! What a server, or the way to it, says to a request, and what that means.

use std::error::Error as _;

use http::{HeaderMap, StatusCode};
use object_store::client::{HttpError, HttpErrorKind};
use serde::Deserialize;

use crate::model::{BackendErrorKind, Error};

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The way to the server.
    Transport(HttpError),
    /// The server says no.
    Refused(Refusal),
    /// The deadline has passed.
    Late,
    /// The server's answer cannot be read.
    Unreadable(String),
    /// Something else than the server, in words of its own.
    Own(Error),
}

/// A server's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// S3's word for it (`NoSuchBucket`); empty where it says none.
    pub(super) code: String,
    message: String,
    /// Where the bucket is, if it is in another region.
    region: Option<String>,
}

/// The body of an answer that says no.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorBody {
    code: String,
    message: String,
    region: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::Transport(error)
    }
}

impl Refusal {
    /// Takes an answer apart that is no success.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let said: ErrorBody = quick_xml::de::from_reader(body).unwrap_or_default();
        let header = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        let region = said.region.or_else(|| header.map(str::to_owned));
        Self { status, code: said.code, message: said.message, region }
    }

    /// Whether the same may succeed in a moment.
    fn is_passing(&self) -> bool {
        let by_code = matches!(
            self.code.as_str(),
            "SlowDown" | "RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted"
        );
        by_code || matches!(self.status.as_u16(), 429 | 500 | 502 | 503 | 504)
    }

    /// Whether other keys, or newer ones, may help.
    pub(super) fn is_about_keys(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" | "InvalidAccessKeyId"
        )
    }

    fn kind(&self) -> BackendErrorKind {
        match (self.code.as_str(), self.status.as_u16()) {
            ("NoSuchBucket" | "PermanentRedirect", _) => BackendErrorKind::Unreachable,
            ("EntityTooLarge", _) | (_, 413) => BackendErrorKind::TooLarge,
            ("QuotaExceeded" | "InsufficientStorage", _) | (_, 507) => BackendErrorKind::Full,
            ("SlowDown" | "ConditionalRequestConflict" | "OperationAborted", _)
            | (_, 429 | 503) => BackendErrorKind::Busy,
            ("RequestTimeout", _) | (_, 504) => BackendErrorKind::TimedOut,
            (code, _) if self.is_about_keys() || code == "AuthorizationHeaderMalformed" => {
                BackendErrorKind::Denied
            }
            (_, 401 | 403) => BackendErrorKind::Denied,
            ("NotImplemented", _) | (_, 405 | 501) => BackendErrorKind::Unsupported,
            (_, 500 | 502) => BackendErrorKind::Unreachable,
            _ => BackendErrorKind::Other,
        }
    }

    /// The server's words, or ours where those of S3 do not help.
    fn said(&self) -> String {
        if let Some(region) = &self.region
            && matches!(self.code.as_str(), "PermanentRedirect" | "AuthorizationHeaderMalformed")
        {
            return format!("the bucket is in region {region}: set AWS_REGION={region}");
        }
        let status = self.status;
        match (self.code.as_str(), self.message.as_str()) {
            ("NoSuchBucket", _) => "there is no such bucket".to_owned(),
            ("RequestTimeTooSkewed", _) => {
                "the clocks of this machine and of the server differ by more than the server allows \
                 (RequestTimeTooSkewed)"
                    .to_owned()
            }
            ("SignatureDoesNotMatch", _) => {
                "the secret key is wrong (SignatureDoesNotMatch)".to_owned()
            }
            ("", _) if self.kind() == BackendErrorKind::Denied => {
                format!("the keys in use may not do that ({status})")
            }
            ("", _) => format!("the server answers {status}"),
            (code, "") => code.to_owned(),
            (code, message) => format!("{} ({code})", message.trim_end_matches('.')),
        }
    }
}

impl Failure {
    /// The server's no, if it is one.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Transport(error) => !is_about_tls(error),
            Self::Refused(refusal) => refusal.is_passing(),
            Self::Unreadable(_) => true,
            Self::Late | Self::Own(_) => false,
        }
    }

    /// Whether the request may have been done all the same.
    pub(super) fn is_uncertain(&self) -> bool {
        match self {
            Self::Transport(error) => error.kind() != HttpErrorKind::Connect,
            // It may have come to its end behind the one that says so.
            Self::Refused(refusal) => {
                refusal.status.is_server_error() && refusal.code != "SlowDown"
            }
            Self::Late | Self::Unreadable(_) => true,
            Self::Own(_) => false,
        }
    }

    /// The error that a caller is given. `action` completes "cannot ...".
    pub(super) fn into_error(self, action: String) -> Error {
        let (kind, said) = match self {
            Self::Own(error) => return error,
            Self::Late => {
                (BackendErrorKind::TimedOut, "the server has not answered in time".to_owned())
            }
            Self::Unreadable(reason) => {
                (BackendErrorKind::Damaged, format!("the server's answer cannot be read: {reason}"))
            }
            Self::Refused(refusal) => (refusal.kind(), refusal.said()),
            Self::Transport(error) => {
                let kind = match error.kind() {
                    HttpErrorKind::Timeout => BackendErrorKind::TimedOut,
                    _ => BackendErrorKind::Unreachable,
                };
                (kind, chain(&error))
            }
        };
        Error::backend(kind, action, said)
    }
}

/// A certificate that does not hold today will not hold in a moment.
fn is_about_tls(error: &HttpError) -> bool {
    chain(error).contains("certificate")
}

/// An error with what it was caused by, each word once.
fn chain(error: &HttpError) -> String {
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts.dedup();
    // What is outermost says only that something was wrong inside.
    let skipped = usize::from(texts.len() > 1);
    texts.into_iter().skip(skipped).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_no_is_told_by_its_code_or_its_status() {
        let body =
            |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        for (status, code, kind, passes) in [
            (403, "AccessDenied", BackendErrorKind::Denied, false),
            (404, "NoSuchBucket", BackendErrorKind::Unreachable, false),
            (503, "SlowDown", BackendErrorKind::Busy, true),
            (429, "", BackendErrorKind::Busy, true),
            (500, "InternalError", BackendErrorKind::Unreachable, true),
            (400, "RequestTimeout", BackendErrorKind::TimedOut, true),
            (400, "ExpiredToken", BackendErrorKind::Denied, false),
            (400, "EntityTooLarge", BackendErrorKind::TooLarge, false),
            (409, "ConditionalRequestConflict", BackendErrorKind::Busy, true),
            (501, "NotImplemented", BackendErrorKind::Unsupported, false),
        ] {
            let refusal = refusal(status, &body(code));
            assert_eq!((refusal.kind(), refusal.is_passing()), (kind, passes), "{code}");
        }
        assert_eq!(refusal(502, "<html>oops").said(), "the server answers 502 Bad Gateway");
    }

    #[test]
    fn another_region_is_named() {
        let body =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        assert!(refusal(400, body).said().contains("AWS_REGION=eu-west-1"));
    }
}
