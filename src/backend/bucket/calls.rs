//! Requests to the server: signatures, deadlines, and what is tried again.
//!
//! Callers are threads; what waits for the server runs in a small runtime of its own. An operation has one deadline, for
//! all requests of it. A request that shows no progress for a third of the deadline is given up and tried again on
//! another connection, so that one stalled connection is no stalled operation.
//!
//! All requests of S3 may be made twice: they say what is to be, not what is to change. The one exception is a write with a
//! condition, which fails by its own success when it is made again. [`Answer::is_repeated`] tells its caller, who
//! looks whose the object is.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, response};
use log::debug;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponseBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout_at};

use super::aws::Access;
use super::failure::{Failure, Refusal};
use crate::backend::Calls as Counted;
use crate::backend::elsewhere::Pauses;
use crate::model::{BackendErrorKind, Error, Result};

/// Threads that serve all connections, and check and sign what goes over them.
const WORKERS: usize = 2;

/// So many connections are held open that nothing goes over.
const MOST_IDLE: usize = 64;

/// Least time in which a request must show progress.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Room in memory that is made for an answer before it comes, in bytes, whatever it says of its length.
const MOST_RESERVED: usize = 1024 * 1024;

/// Bytes a second that the slowest way takes up: who sends so many is given that time before it counts as no progress.
const SLOWEST: u64 = 128 * 1024;

/// What stands in a URL as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
pub(super) const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// A connection to a bucket. Cheap to clone.
#[derive(Clone)]
pub(super) struct Calls {
    shared: Arc<Shared>,
}

struct Shared {
    /// Absent only while it is being dropped.
    runtime: Option<Runtime>,
    client: HttpClient,
    access: Access,
    bucket: String,
    /// The bucket's URL, without a slash at its end.
    url: String,
    timeout: Duration,
    counted: Counted,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// The object's key; empty for the bucket.
    pub(super) key: &'a str,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Answers that are no failure, beside successes.
    pub(super) expected: &'static [u16],
}

/// What the server has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it says, if it is no success.
    pub(super) refusal: Option<Refusal>,
    /// Whether an earlier attempt of the same request may have been done.
    pub(super) is_repeated: bool,
}

/// What is asked, and takes what comes.
pub(super) trait Asking: Send {
    /// What is to be asked for now.
    fn ask(&self) -> Ask<'_>;

    /// Takes the body of an answer, of which each piece has to come within `patience`. Gives back what
    /// [`Answer::body`] is to be.
    fn take(
        &mut self,
        parts: &response::Parts,
        body: HttpResponseBody,
        patience: Duration,
    ) -> impl Future<Output = Result<Bytes, Failure>> + Send;
}

/// All of it.
impl Asking for &Ask<'_> {
    fn ask(&self) -> Ask<'_> {
        (*self).clone()
    }

    async fn take(
        &mut self,
        parts: &response::Parts,
        body: HttpResponseBody,
        patience: Duration,
    ) -> Result<Bytes, Failure> {
        whole(parts, body, patience).await
    }
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<'a> Ask<'a> {
    /// A request without query, headers and body.
    pub(super) fn new(method: Method, key: &'a str) -> Self {
        let (query, headers, body) = (Vec::new(), HeaderMap::new(), Bytes::new());
        Self { method, key, query, headers, body, expected: &[] }
    }

    /// The same with something asked for.
    pub(super) fn with_query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// The same with a header. What can be none is left out.
    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => drop(self.headers.insert(name, value)),
            Err(_) => debug!("a header '{name}' has a value that none can have"),
        }
        self
    }

    /// The same with a body.
    pub(super) fn with_body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same, and these answers are no failure.
    pub(super) fn expecting(self, expected: &'static [u16]) -> Self {
        Self { expected, ..self }
    }
}

impl Calls {
    /// Starts the runtime. Nothing is asked before the first call.
    pub(super) fn new(access: Access, bucket: &str, timeout: Duration) -> Result<Self> {
        let failed = |reason: String| {
            Error::backend(BackendErrorKind::Other, "prepare connections to the bucket", reason)
        };
        // Whoever came first has chosen one that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("storefs-s3")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let client = {
            let _entered = runtime.enter();
            let builder = access.client_builder()?;
            let builder = builder
                .connect_timeout(patience(timeout))
                .pool_max_idle_per_host(MOST_IDLE)
                .redirect(reqwest::redirect::Policy::none());
            HttpClient::new(builder.build().map_err(|error| failed(error.to_string()))?)
        };
        let url = url_of(&access, bucket);
        let (runtime, counted, bucket) = (Some(runtime), Counted::default(), bucket.to_owned());
        let shared = Shared { runtime, client, access, bucket, url, timeout, counted };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The bucket's name.
    pub(super) fn bucket(&self) -> &str {
        &self.shared.bucket
    }

    /// What was asked so far.
    pub(super) fn counted(&self) -> &Counted {
        &self.shared.counted
    }

    /// The deadline of an operation that begins now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.timeout
    }

    /// Waits for an operation. `action` completes "cannot ...". Its requests have deadlines of their own.
    pub(super) fn wait<T>(
        &self,
        action: impl FnOnce() -> String,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T> {
        let Some(runtime) = &self.shared.runtime else {
            return Err(Failure::Late.into_error(action()));
        };
        runtime.block_on(work).map_err(|failure| failure.into_error(action()))
    }

    /// Does something beside the caller.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<T>> {
        self.shared.runtime.as_ref().map(|runtime| runtime.spawn(work))
    }

    /// Makes a request until it is answered, or may not succeed any more.
    pub(super) async fn ask(&self, ask: &Ask<'_>, deadline: Instant) -> Result<Answer, Failure> {
        self.ask_for(&mut { ask }, deadline).await
    }

    /// The same for something that takes the answer's body in its own way. Each attempt asks for what it then wants.
    pub(super) async fn ask_for(
        &self,
        asking: &mut impl Asking,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let outcome = self.attempts(asking, deadline).await;
        self.shared.counted.note(began.elapsed(), outcome.is_err());
        outcome
    }

    async fn attempts(
        &self,
        asking: &mut impl Asking,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let (mut pauses, mut is_repeated, mut has_new_keys) = (Pauses::default(), false, false);
        loop {
            let failure = match timeout_at(deadline, self.attempt(asking)).await {
                Ok(Ok(answer)) => return Ok(Answer { is_repeated, ..answer }),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(Failure::Late),
            };
            is_repeated |= failure.is_uncertain();
            let waits = if failure.refusal().is_some_and(Refusal::is_about_keys) && !has_new_keys {
                has_new_keys = true;
                self.shared.access.refused();
                Duration::ZERO
            } else {
                pauses.next()
            };
            let may_repeat = has_new_keys && waits.is_zero() || failure.is_passing();
            if !may_repeat || Instant::now() + waits >= deadline {
                return Err(failure);
            }
            self.shared.counted.note_retry();
            debug!("the bucket is asked again: {failure:?}");
            sleep(waits).await;
        }
    }

    async fn attempt(&self, asking: &mut impl Asking) -> Result<Answer, Failure> {
        let ask = asking.ask();
        let request = self.signed(&ask).await?;
        let patience = patience(self.shared.timeout);
        let sending = Duration::from_secs(ask.body.len() as u64 / SLOWEST);
        let until = Instant::now() + patience + sending;
        let sent = timeout_at(until, self.shared.client.execute(request)).await;
        let (parts, body) = sent.map_err(|_| stalled())??.into_parts();
        let expected = ask.expected;
        let body = asking.take(&parts, body, patience).await?;
        let (status, headers) = (parts.status, parts.headers);
        let refusal = if status.is_success() {
            None
        } else {
            let refusal = Refusal::of(status, &headers, &body);
            if !expected.contains(&status.as_u16()) {
                return Err(Failure::Refused(refusal));
            }
            Some(refusal)
        };
        Ok(Answer { status, headers, body, refusal, is_repeated: false })
    }

    async fn signed(&self, ask: &Ask<'_>) -> Result<HttpRequest, Failure> {
        let failed = |error: &dyn std::error::Error| {
            let action = "prepare a request to the bucket";
            Failure::Own(Error::backend(BackendErrorKind::Other, action, error.to_string()))
        };
        let mut url = self.shared.url.clone();
        url.push('/');
        url.extend(utf8_percent_encode(ask.key, ESCAPED_IN_PATH));
        for (at, (name, value)) in ask.query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, ESCAPED));
        }
        let mut request = HttpRequest::new(HttpRequestBody::from(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = url.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
        *request.headers_mut() = ask.headers.clone();
        if matches!(ask.method, Method::PUT | Method::POST) {
            // Also of nothing, which is not said otherwise.
            request.headers_mut().insert("content-length", HeaderValue::from(ask.body.len()));
        }
        if let Some(credential) = self.shared.access.credential().await? {
            AwsAuthorizer::new(&credential, "s3", &self.shared.access.region)
                .try_authorize(&mut request, None)
                .map_err(|error| failed(&error))?;
        }
        Ok(request)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name that is being looked up would be waited for.
            runtime.shutdown_background();
        }
    }
}

/// The URL of a bucket: its own host at AWS, a path of the server elsewhere, and where its name would fit no certificate.
fn url_of(access: &Access, bucket: &str) -> String {
    match &access.endpoint {
        Some(endpoint) => format!("{endpoint}/{bucket}"),
        None if bucket.contains('.') => {
            format!("https://s3.{}.amazonaws.com/{bucket}", access.region)
        }
        None => format!("https://{bucket}.s3.{}.amazonaws.com", access.region),
    }
}

/// How long a request may show no progress.
fn patience(timeout: Duration) -> Duration {
    (timeout / 3).max(LEAST_PATIENCE)
}

/// The whole of an answer's body, of which each piece comes in time.
pub(super) async fn whole(
    parts: &response::Parts,
    body: HttpResponseBody,
    patience: Duration,
) -> Result<Bytes, Failure> {
    let mut pieces = body.bytes_stream();
    let length = parts.headers.get("content-length").and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0).min(MOST_RESERVED);
    let mut whole = BytesMut::with_capacity(length);
    loop {
        match timeout_at(Instant::now() + patience, pieces.next()).await {
            Ok(Some(piece)) => whole.extend_from_slice(&piece?),
            Ok(None) => return Ok(whole.freeze()),
            Err(_) => return Err(stalled()),
        }
    }
}

/// What is said of a connection over which nothing comes.
pub(super) fn stalled() -> Failure {
    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the connection has stalled");
    Failure::Transport(object_store::client::HttpError::new(
        object_store::client::HttpErrorKind::Timeout,
        error,
    ))
}
