//! Who waits for a storage across a network can be interrupted: `ls` of a server that is gone ends at Ctrl-C.
//!
//! It is looked for signals as long as any request has been waiting for long. The
//! caller is then told EINTR; the request itself goes on, and what comes of it is dropped. So only such requests are
//! watched whose outcome nobody misses: no change, and nothing that publishes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::fs::{Caller, look_for_signals};

/// How long a request has to be waiting until a signal ends it. Programs that are woken by timers of their own must not
/// be told of each in what usually takes milliseconds.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long the thread that looks stays when nobody waits.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// The requests that may be given up. A leaf lock.
#[derive(Default)]
pub(super) struct Interrupts {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    requests: HashMap<u64, Request>,
    last: u64,
    is_watched: bool,
}

struct Request {
    caller: Caller,
    since: Instant,
    give_up: Box<dyn FnOnce() + Send>,
}

/// That a request is under way. Dropped when it is done.
pub(super) struct Watched<'a> {
    interrupts: &'a Interrupts,
    number: u64,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.interrupts.table.lock().requests.remove(&self.number);
    }
}

impl Interrupts {
    /// Has `give_up` called if the caller is sent a signal while the request is under way for long.
    pub(super) fn watch(
        self: &Arc<Self>,
        caller: Caller,
        give_up: impl FnOnce() + Send + 'static,
    ) -> Watched<'_> {
        let mut table = self.table.lock();
        table.last += 1;
        let (number, since) = (table.last, Instant::now());
        table.requests.insert(number, Request { caller, since, give_up: Box::new(give_up) });
        let is_watched = std::mem::replace(&mut table.is_watched, true);
        drop(table);
        if !is_watched {
            let (interrupts, mut seen) = (Arc::clone(self), Instant::now());
            if !look_for_signals(move || interrupts.look_unless_idle(&mut seen)) {
                self.table.lock().is_watched = false;
            }
        }
        Watched { interrupts: self, number }
    }

    /// Looks for signals; gives back whether anybody has waited of late. `seen` is when somebody was seen waiting last.
    fn look_unless_idle(&self, seen: &mut Instant) -> bool {
        self.look();
        let mut table = self.table.lock();
        if !table.requests.is_empty() {
            *seen = Instant::now();
        }
        table.is_watched = seen.elapsed() <= IDLE_FOR;
        table.is_watched
    }

    /// Gives up what has been waiting for long and whose caller is sent a signal.
    fn look(&self) {
        let long = |(number, request): (&u64, &Request)| {
            (request.since.elapsed() >= PATIENCE).then_some((*number, request.caller))
        };
        let waiting: Vec<_> = self.table.lock().requests.iter().filter_map(long).collect();
        for (number, _) in waiting.into_iter().filter(|(_, caller)| caller.is_interrupted()) {
            let request = self.table.lock().requests.remove(&number);
            if let Some(request) = request {
                (request.give_up)();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn only_who_is_sent_a_signal_is_told_to_give_up() {
        let interrupts = Arc::new(Interrupts::default());
        let own = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let caller = |thread| Caller { uid: 0, gid: 0, thread };
        let (tell, told) = mpsc::channel();
        let give_up = |who| {
            let tell = tell.clone();
            move || tell.send(who).unwrap()
        };
        // No process has such a number, which is as good as one that was killed.
        let killed = 1 << 23;
        let _alive = interrupts.watch(caller(own), give_up("alive"));
        let _unseen = interrupts.watch(caller(0), give_up("unseen"));
        drop(interrupts.watch(caller(killed), give_up("done")));
        let _killed = interrupts.watch(caller(killed), give_up("killed"));
        assert_eq!(told.recv().unwrap(), "killed");
        assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
    }
}
