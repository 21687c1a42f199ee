//! A web site on loopback for crawlers.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pages of the site: page `n` links to pages `2n` and `2n + 1`.
pub(super) const PAGES: usize = 200;

/// The running server; dropping it ends it.
pub(super) struct Site {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if is_ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(connection) = connection {
                    thread::spawn(|| drop(answer(connection)));
                }
            }
        });
        Self { address, ended, thread: Some(thread) }
    }

    /// The page from which all others are reached.
    pub(super) fn url(&self) -> String {
        format!("http://{}/page/1", self.address)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request and closes the connection.
fn answer(connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(&connection).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The rest of the head: closing with unread bytes would reset the connection under the answer.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let number = path.strip_prefix("/page/").and_then(|number| number.parse().ok());
    let (status, body) = match number.filter(|number| (1..=PAGES).contains(number)) {
        Some(number) => ("200 OK", page(number)),
        None => ("404 Not Found", String::new()),
    };
    write!(
        &connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn page(number: usize) -> String {
    let links: String = [2 * number, 2 * number + 1]
        .into_iter()
        .filter(|next| *next <= PAGES)
        .map(|next| format!("<a href=\"/page/{next}\">next</a>"))
        .collect();
    let filler = "words ".repeat(number);
    format!(
        "<html><head><title>Page {number}</title></head><body><p>{filler}</p>{links}</body></html>"
    )
}
