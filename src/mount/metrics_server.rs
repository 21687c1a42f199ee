//! The state of a mount over HTTP, for Prometheus: `--metrics-addr`.
//!
//! One thread, one caller at a time, one short answer each: some lines over the standard library. A crate would bring a
//! pool of threads and a parser for what nobody asks; tiny_http, the smallest, has had no release since 2022.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::MountError;
use super::prometheus::{PROMETHEUS_TYPE, prometheus_text};
use crate::fs::FileSystem;

/// How long a caller may take to ask, and to take the answer.
const CALLER_DEADLINE: Duration = Duration::from_secs(2);

/// The longest request that is listened to, in bytes.
const MOST_REQUEST: usize = 8 * 1024;

/// An address that is listened at.
#[derive(Debug)]
pub(super) struct MetricsAddress {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl MetricsAddress {
    /// Takes the address.
    ///
    /// # Errors
    /// [`MountError::Refused`] if it cannot be had.
    pub(super) fn bind(address: SocketAddr) -> Result<Self, MountError> {
        let bound = TcpListener::bind(address);
        bound.and_then(|listener| Ok(Self { address: listener.local_addr()?, listener })).map_err(
            |error| {
                MountError::refused(format!(
                    "metrics cannot be served at {address}: {error}; choose another address with --metrics-addr"
                ))
            },
        )
    }

    /// Serves there until the server is dropped.
    ///
    /// # Errors
    /// [`MountError::Io`] if the system makes no thread.
    pub(super) fn serve(self, fs: &Arc<FileSystem>) -> Result<MetricsServer, MountError> {
        let Self { listener, address } = self;
        fs.note_metrics_at(address.to_string());
        log::info!("metrics are served at http://{address}/metrics");
        let (fs, ends) = (Arc::clone(fs), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&ends);
        let serve = move || {
            for caller in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                match caller.and_then(|caller| answer(caller, &fs)) {
                    Ok(()) => {}
                    Err(error) => {
                        log::debug!("metrics: {error}");
                        // Such as too many open files: not asked again at once.
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("storefs-metrics".to_owned())
            .spawn(serve)
            .map_err(|error| MountError::io("start the thread that serves metrics", error))?;
        Ok(MetricsServer { address, ends, thread: Some(thread) })
    }
}

/// The thread that serves; ends with this.
#[derive(Debug)]
pub(super) struct MetricsServer {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // It waits for a caller, and this is one.
        let mut own = self.address;
        if own.ip().is_unspecified() {
            own.set_ip(match own {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let woken = TcpStream::connect_timeout(&own, CALLER_DEADLINE).is_ok();
        // Else it ends with the process.
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn answer(mut caller: TcpStream, fs: &FileSystem) -> io::Result<()> {
    caller.set_write_timeout(Some(CALLER_DEADLINE))?;
    let request = read_request(&mut caller)?;
    let mut words = request.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", PROMETHEUS_TYPE, prometheus_text(&fs.status())),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", "see /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    caller.write_all(head.as_bytes())?;
    if method != "HEAD" {
        caller.write_all(body.as_bytes())?;
    }
    caller.flush()
}

/// A request's head.
fn read_request(caller: &mut TcpStream) -> io::Result<String> {
    let end = Instant::now() + CALLER_DEADLINE;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        caller.set_read_timeout(Some(left))?;
        let count = caller.read(&mut part)?;
        request.extend_from_slice(part.get(..count).unwrap_or_default());
        let is_whole = request.windows(4).any(|end| end == b"\r\n\r\n");
        if count == 0 || is_whole || request.len() > MOST_REQUEST {
            return Ok(String::from_utf8_lossy(&request).into_owned());
        }
    }
}
