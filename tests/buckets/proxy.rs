//! A network between: a proxy for HTTP that notes what is asked, passes it on, and makes trouble where a test wants it.
//!
//! A signature of S3 covers the host that was asked, which is the proxy's: heads are passed on as they are, so it holds.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// Something that was asked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its escapes, without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// With names in small letters.
    headers: Vec<(String, String)>,
}

impl Request {
    /// What it asks for, in one word: `LIST`, or its method.
    pub(crate) fn kind(&self) -> &str {
        let is_list = self.method == "GET" && self.query.contains("list-type=2");
        if is_list { "LIST" } else { &self.method }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it is for an object whose key ends so.
    pub(crate) fn is_for(&self, end: &str) -> bool {
        self.path.ends_with(end)
    }
}

/// As a log would have it.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}?{}", self.method, self.path, self.query)?;
        for name in ["range", "if-match", "if-none-match"] {
            if let Some(value) = self.header(name) {
                write!(f, " {name}: {value}")?;
            }
        }
        Ok(())
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The proxy answers it, by a status and a code of S3.
    Answered(u16, &'static str),
    /// The connection is reset before anything of it is passed on.
    Refused,
    /// The connection is reset once so many bytes of its body have been passed on.
    RequestCut(usize),
    /// It is passed on, and the connection reset before the answer is.
    AnswerLost,
    /// The connection is reset once so many bytes of the answer's body have been passed on.
    AnswerCut(usize),
    /// Nothing is passed on before [`Proxy::release`].
    Held,
}

/// Which requests something befalls, and how many of them.
struct Rule {
    left: usize,
    is_meant: Box<dyn Fn(&Request) -> bool + Send>,
    fault: Fault,
}

/// What the proxy does, changed by the test while it runs.
struct State {
    target: AtomicU16,
    is_stalled: AtomicBool,
    is_over: AtomicBool,
    /// Told by a number, so that what is held after a release is held.
    released: AtomicU64,
    /// Microseconds that everything takes on its way to the server, and back.
    ways: [AtomicU64; 2],
    /// Bytes of answers' bodies that have been passed on.
    answered: AtomicU64,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Request>>,
}

/// A proxy before a port of this machine.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    pub(crate) fn to(target: u16) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), target)
    }

    /// One that listens where it is told to.
    pub(crate) fn at(listener: TcpListener, target: u16) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            target: AtomicU16::new(target),
            is_stalled: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            released: AtomicU64::new(0),
            ways: [AtomicU64::new(0), AtomicU64::new(0)],
            answered: AtomicU64::new(0),
            rules: Mutex::new(Vec::new()),
            seen: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), state) = (client, Arc::clone(&serving)) else { continue };
                // Heads and bodies are passed on by several writes, of which none is to wait for the others' receipts.
                let _ = client.set_nodelay(true);
                // Whatever ends a connection is told to both by its end.
                thread::spawn(move || drop(serve(&client, &state)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Leads what is asked from now on to another port.
    pub(crate) fn lead_to(&self, target: u16) {
        self.state.target.store(target, Ordering::SeqCst);
    }

    /// Passes nothing on, or goes on.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.state.is_stalled.store(is_stalled, Ordering::SeqCst);
    }

    /// Has everything take some time on its way to the server, and back.
    pub(crate) fn delay(&self, to: Duration, back: Duration) {
        for (way, time) in self.state.ways.iter().zip([to, back]) {
            way.store(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
        }
    }

    /// Has something befall the next requests of a kind, so many of them.
    pub(crate) fn befall(
        &self,
        times: usize,
        is_meant: impl Fn(&Request) -> bool + Send + 'static,
        fault: Fault,
    ) {
        let rule = Rule { left: times, is_meant: Box::new(is_meant), fault };
        self.state.rules.lock().push(rule);
    }

    /// How many requests are still to be befallen.
    pub(crate) fn to_come(&self) -> usize {
        self.state.rules.lock().iter().map(|rule| rule.left).sum()
    }

    /// Nothing befalls anything any more, and what is held goes on.
    pub(crate) fn release(&self) {
        self.state.rules.lock().clear();
        self.state.released.fetch_add(1, Ordering::SeqCst);
    }

    /// All that was asked, in the order in which it came.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.state.seen.lock().clone()
    }

    /// How many bytes the bodies of answers have had so far.
    pub(crate) fn answered(&self) -> u64 {
        self.state.answered.load(Ordering::SeqCst)
    }

    /// What is asked while something is done.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Request>) {
        let before = self.state.seen.lock().len();
        let done = work();
        (done, self.seen().split_off(before))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.stall(false);
        self.release();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// How many requests of each kind there are, as `GET 100, LIST 1`.
pub(crate) fn counted(requests: &[Request]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for request in requests {
        *counts.entry(request.kind()).or_insert(0) += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    counts.join(", ")
}

/// A connection to the server, and where it leads.
struct Upstream {
    target: u16,
    stream: BufReader<TcpStream>,
}

/// Serves one connection until either side ends it.
fn serve(client: &TcpStream, state: &State) -> io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut upstream: Option<Upstream> = None;
    let ended = loop {
        match exchange(client, &mut from_client, &mut upstream, state) {
            Ok(true) => {}
            ended => break ended,
        }
    };
    if let Err(error) = &ended
        && error.kind() == io::ErrorKind::ConnectionReset
    {
        // Not the orderly end that a close is.
        let _ = rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO));
    } else {
        let _ = client.shutdown(Shutdown::Both);
    }
    ended.map(drop)
}

/// One request and its answer; whether there may be another.
fn exchange(
    mut client: &TcpStream,
    from_client: &mut BufReader<TcpStream>,
    upstream: &mut Option<Upstream>,
    state: &State,
) -> io::Result<bool> {
    let Some((head, request)) = request(from_client)? else { return Ok(false) };
    let fault = state.note(&request);
    let released = state.released.load(Ordering::SeqCst);
    let mut passed = Body::of_request(&request);
    if request.header("expect").is_some() {
        // Of what is signed, it is no part; the client waits for it before it sends more.
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    match fault {
        Some(Fault::Answered(status, code)) => {
            passed.pass(from_client, &mut io::sink(), None, state)?;
            client.write_all(answer(status, code, &request.method).as_bytes())?;
            return Ok(true);
        }
        Some(Fault::Refused) => return Err(reset()),
        Some(Fault::Held) => {
            while state.released.load(Ordering::SeqCst) == released {
                thread::sleep(Duration::from_millis(5));
            }
        }
        _ => {}
    }
    let target = state.target.load(Ordering::SeqCst);
    if upstream.as_ref().is_none_or(|upstream| upstream.target != target) {
        let stream = TcpStream::connect(("127.0.0.1", target))?;
        stream.set_nodelay(true)?;
        let stream = BufReader::new(stream);
        *upstream = Some(Upstream { target, stream });
    }
    let Some(Upstream { stream, .. }) = upstream else { return Ok(false) };
    state.way(0);
    stream.get_ref().write_all(&head)?;
    let most = if let Some(Fault::RequestCut(most)) = fault { Some(most) } else { None };
    let mut to_server = stream.get_ref().try_clone()?;
    passed.pass(from_client, &mut to_server, most, state)?;

    let (head, status) = loop {
        let (head, status) = answer_head(stream)?;
        if status != 100 {
            break (head, status);
        }
    };
    if fault == Some(Fault::AnswerLost) {
        return Err(reset());
    }
    state.way(1);
    client.write_all(&head)?;
    let lines = String::from_utf8_lossy(&head).to_lowercase();
    let mut passed = Body::of_answer(&lines, status, &request.method);
    let most = if let Some(Fault::AnswerCut(most)) = fault { Some(most) } else { None };
    let mut to_client = Counted { to: client, count: &state.answered };
    passed.pass(stream, &mut to_client, most, state)?;
    Ok(passed != Body::ToTheEnd && !lines.contains("\nconnection: close"))
}

/// Counts what is written.
struct Counted<'a> {
    to: &'a TcpStream,
    count: &'a AtomicU64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.count.fetch_add(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl State {
    /// Notes what is asked, and gives back what is to befall it.
    fn note(&self, request: &Request) -> Option<Fault> {
        self.seen.lock().push(request.clone());
        let mut rules = self.rules.lock();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && (rule.is_meant)(request))?;
        rule.left -= 1;
        Some(rule.fault)
    }

    /// Waits as long as a way takes.
    fn way(&self, which: usize) {
        self.wait();
        let time = self.ways[which].load(Ordering::SeqCst);
        if time > 0 {
            thread::sleep(Duration::from_micros(time));
        }
    }

    /// Waits while nothing is passed on.
    fn wait(&self) {
        while self.is_stalled.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How far a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Sized(u64),
    Chunked,
    ToTheEnd,
}

impl Body {
    fn of_request(request: &Request) -> Self {
        let is_chunked =
            request.header("transfer-encoding").is_some_and(|it| it.contains("chunked"));
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        if is_chunked { Self::Chunked } else { Self::Sized(length.unwrap_or(0)) }
    }

    /// `head` in small letters.
    fn of_answer(head: &str, status: u16, method: &str) -> Self {
        let value = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
        };
        if method == "HEAD" || matches!(status, 204 | 304) {
            Self::Sized(0)
        } else if value("transfer-encoding:").is_some_and(|it| it.contains("chunked")) {
            Self::Chunked
        } else if let Some(length) = value("content-length:") {
            Self::Sized(length.parse().unwrap())
        } else {
            Self::ToTheEnd
        }
    }

    /// Passes a body on as it comes; fails as a reset does once `most` bytes of it have been.
    fn pass(
        &mut self,
        from: &mut impl BufRead,
        to: &mut impl Write,
        most: Option<usize>,
        state: &State,
    ) -> io::Result<()> {
        let mut left = most.map_or(u64::MAX, |most| most as u64);
        let mut copy = |from: &mut dyn Read, to: &mut dyn Write, length: u64| -> io::Result<u64> {
            let mut done = 0;
            let mut buffer = vec![0; 16 << 10];
            while done < length {
                let wanted = usize::try_from((length - done).min(buffer.len() as u64).min(left));
                let wanted = wanted.unwrap_or(buffer.len());
                if wanted == 0 {
                    return Err(reset());
                }
                let count = from.read(&mut buffer[..wanted])?;
                if count == 0 {
                    return Ok(done);
                }
                state.wait();
                to.write_all(&buffer[..count])?;
                done += count as u64;
                left -= count as u64;
            }
            Ok(done)
        };
        match *self {
            Self::Sized(length) if most.is_some_and(|most| most as u64 >= length) => {
                // Shorter than what was to be cut: it is cut at its end.
                copy(from, to, length)?;
                Err(reset())
            }
            Self::Sized(length) if copy(from, to, length)? < length => Err(reset()),
            Self::Sized(_) => Ok(()),
            Self::ToTheEnd => copy(from, to, u64::MAX).map(drop),
            Self::Chunked => loop {
                let mut line = Vec::new();
                from.read_until(b'\n', &mut line)?;
                to.write_all(&line)?;
                let text = String::from_utf8_lossy(&line);
                let digits = text.split([';', '\r']).next().unwrap_or_default();
                let length = u64::from_str_radix(digits.trim(), 16).map_err(|_| reset())?;
                if length > 0 {
                    copy(from, to, length + 2)?;
                    continue;
                }
                // Trailers, and the empty line after them.
                while line != b"\r\n" {
                    line.clear();
                    if from.read_until(b'\n', &mut line)? == 0 {
                        return Err(reset());
                    }
                    to.write_all(&line)?;
                }
                return Ok(());
            },
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// The lines of a head, with the empty one; empty at the end of the connection.
fn head(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if from.read_until(b'\n', &mut head)? == 0 {
            return if head.is_empty() { Ok(head) } else { Err(reset()) };
        }
    }
    Ok(head)
}

/// The next request: its head as it is passed on, and what it says.
fn request(from: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, Request)>> {
    let bytes = head(from)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers =
        headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
    };
    let mut passed = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if !line.to_ascii_lowercase().starts_with(b"expect:") {
            passed.extend_from_slice(line);
        }
    }
    Ok(Some((passed, request)))
}

/// The head of the next answer, and its status.
fn answer_head(from: &mut impl BufRead) -> io::Result<(Vec<u8>, u16)> {
    let bytes = head(from)?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.map(|status| (bytes.clone(), status)).ok_or_else(reset)
}

/// What a server of S3 answers when something is wrong.
fn answer(status: u16, code: &str, method: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>The test wants it so.</Message><RequestId>test</RequestId></Error>"
    );
    let shown = if method == "HEAD" { "" } else { &body };
    format!(
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{shown}",
        body.len()
    )
}
