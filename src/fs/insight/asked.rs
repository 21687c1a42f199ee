//! A request, from when it is asked to when it is answered.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;

use super::access_log::AccessLog;
use super::operation::Operation;
use super::requests::{Requests, error_name};
use crate::fs::entry::Caller;
use crate::fs::ino::{Ino, LOG};

/// What is known of the mount's work.
#[derive(Debug, Default)]
pub(in crate::fs) struct Insight {
    pub(in crate::fs) requests: Requests,
    pub(in crate::fs) log: Arc<AccessLog>,
    /// Where the same is served for Prometheus, if it is.
    pub(in crate::fs) metrics_at: OnceLock<String>,
}

/// A request that is not answered yet.
#[derive(Debug)]
#[must_use]
pub struct Asked {
    /// What it asks for.
    pub operation: Operation,
    /// The inode that it is about, or the directory of the name that it is about.
    pub ino: Ino,
    since: Instant,
    /// The name, of those requests alone that change one: what others look up is not worth a copy.
    pub(in crate::fs) changed: Option<Box<[u8]>>,
    /// Only while somebody reads `@log`.
    logged: Option<Box<Logged>>,
}

/// What the log tells of a request besides.
#[derive(Debug)]
struct Logged {
    uid: u32,
    thread: u32,
    name: String,
}

impl Asked {
    /// The request is about this name too.
    pub(in crate::fs) fn add_name(&mut self, name: impl FnOnce() -> String) {
        if let Some(logged) = &mut self.logged {
            logged.name.push_str("=>");
            logged.name.push_str(&name());
        }
    }
}

impl Insight {
    /// A request is asked. `name` is called only if anybody reads the log.
    #[inline]
    pub(in crate::fs) fn asked(
        &self,
        caller: &Caller,
        operation: Operation,
        ino: Ino,
        name: impl FnOnce() -> String,
    ) -> Asked {
        // What the log itself takes is not told in it, or it would never end.
        let logged = (self.log.is_read() && ino != LOG)
            .then(|| Box::new(Logged { uid: caller.uid, thread: caller.thread, name: name() }));
        Asked { operation, ino, since: Instant::now(), changed: None, logged }
    }

    /// A request is answered; `error` is 0, or the number of the error.
    #[inline]
    pub(in crate::fs) fn answered(&self, asked: Asked, error: i32) {
        // A read of the log waits for hours.
        if asked.ino == LOG {
            return;
        }
        let time = asked.since.elapsed();
        self.requests.add(asked.operation, time, error);
        if let Some(logged) = asked.logged {
            let Logged { uid, thread, name } = *logged;
            let (at, result) = (Timestamp::now(), error_name(error));
            let (at, seconds) = (at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ"), time.as_secs_f64());
            let operation = asked.operation;
            self.log.push(format!(
                "{at} uid={uid} pid={thread} {operation} {name} {result} {seconds:.6}\n"
            ));
        }
    }
}

/// Adds a name to a line, so that it stays one word of it and no terminal obeys it.
pub(in crate::fs) fn push_name(line: &mut String, name: &[u8]) {
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let is_plain = !character.is_control()
                && !character.is_whitespace()
                && !matches!(character, '\\' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if is_plain {
                line.push(character);
            } else {
                let mut bytes = [0; 4];
                push_bytes(line, character.encode_utf8(&mut bytes).as_bytes());
            }
        }
        push_bytes(line, chunk.invalid());
    }
}

fn push_bytes(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Nothing fails that writes to a text.
        let _ = write!(line, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_its_line() {
        for (name, shown) in [
            (&b"plain-1.txt"[..], "plain-1.txt"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"a b\n\x1b[2J\\", "a\\x20b\\x0a\\x1b[2J\\x5c"),
            (b"x\xff", "x\\xff"),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb"),
        ] {
            let mut line = String::new();
            push_name(&mut line, name);
            assert_eq!(line, shown);
        }
    }
}
