//! A network between: a proxy that passes on, stalls, or cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What the proxy does, changed by the test while it runs.
#[derive(Debug)]
struct State {
    target: AtomicU16,
    is_stalled: AtomicBool,
    /// Bytes of answers that are still passed on before a connection is cut, once; negative for no cut.
    answers_left: AtomicI64,
    /// How often something was asked that came not right behind another question.
    asked: AtomicU64,
    was_answer: AtomicBool,
    /// Bytes of answers that each connection passes on before it waits; negative for all.
    most_answered: AtomicI64,
    is_over: AtomicBool,
}

/// A proxy before a port of this machine.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
}

// The file is included by integration tests too, which use a part of it.
#[allow(dead_code)]
impl Proxy {
    pub(super) fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            target: AtomicU16::new(target),
            is_stalled: AtomicBool::new(false),
            answers_left: AtomicI64::new(-1),
            asked: AtomicU64::new(0),
            was_answer: AtomicBool::new(true),
            most_answered: AtomicI64::new(-1),
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if serving.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let target = serving.target.load(Ordering::Relaxed);
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target)))
                else {
                    continue;
                };
                for (from, to, is_answer) in [(&client, &server, false), (&server, &client, true)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&serving);
                    thread::spawn(move || pass(from, to, is_answer, &state));
                }
            }
        });
        Self { port, state }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Leads new connections to another port.
    pub(super) fn lead_to(&self, target: u16) {
        self.state.target.store(target, Ordering::Relaxed);
    }

    /// Passes nothing on, or goes on.
    pub(super) fn stall(&self, is_stalled: bool) {
        self.state.is_stalled.store(is_stalled, Ordering::Relaxed);
    }

    /// Cuts a connection once so many more bytes of answers have been passed on.
    pub(super) fn cut_after(&self, bytes: i64) {
        self.state.answers_left.store(bytes, Ordering::Relaxed);
    }

    /// How many round trips have begun, as long as there is one at a time.
    pub(super) fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// Has each connection wait once so many bytes of answers have been passed on by it, or passes all on.
    pub(super) fn hold_long_answers(&self, bytes: Option<i64>) {
        self.state.most_answered.store(bytes.unwrap_or(-1), Ordering::Relaxed);
    }

    /// Whether the cut is still to come.
    pub(super) fn is_about_to_cut(&self) -> bool {
        self.state.answers_left.load(Ordering::Relaxed) >= 0
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        self.state.is_stalled.store(false, Ordering::Relaxed);
        self.hold_long_answers(None);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_answer: bool, state: &State) {
    let mut buffer = vec![0; 16 << 10];
    let mut answered = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while state.is_stalled.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if state.was_answer.swap(is_answer, Ordering::SeqCst) && !is_answer {
            state.asked.fetch_add(1, Ordering::SeqCst);
        }
        if is_answer {
            answered += i64::try_from(count).unwrap();
            let is_held = |most| (0..answered).contains(&most);
            while is_held(state.most_answered.load(Ordering::Relaxed)) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let left = state.answers_left.load(Ordering::Relaxed);
        if is_answer && left >= 0 {
            let left = left - i64::try_from(count).unwrap();
            state.answers_left.store(left.max(-1), Ordering::Relaxed);
            if left < 0 {
                break;
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
