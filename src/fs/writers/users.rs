//! Who has a write session open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::announcements::FOLLOWS_WITHIN;
use super::share::Share;
use crate::fs::entry::Caller;

/// The users of a session.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Handles that are open for writing.
    writing: Vec<Arc<Share>>,
    /// Handles of readers who read a new record as it grows.
    following: usize,
    /// Threads whose open a lookup has announced, and when.
    announced: Vec<(u32, Instant)>,
}

impl Users {
    /// Whether anybody writes or is about to.
    pub(super) fn are_writing(&self) -> bool {
        !self.writing.is_empty() || self.are_announced(Instant::now())
    }

    /// Whether anybody reads along.
    pub(super) fn are_following(&self) -> bool {
        self.following > 0
    }

    pub(super) fn announce(&mut self, thread: u32) {
        self.withdraw(thread);
        self.announced.push((thread, Instant::now()));
    }

    /// What this thread has announced is done, with an open or without.
    pub(super) fn withdraw(&mut self, thread: u32) {
        self.announced.retain(|(announced, _)| *announced != thread);
    }

    pub(super) fn add_writer(&mut self, share: &Arc<Share>) {
        self.writing.push(Arc::clone(share));
    }

    pub(super) fn remove_writer(&mut self, share: &Arc<Share>) {
        self.writing.retain(|writing| !Arc::ptr_eq(writing, share));
    }

    /// Who has it open for writing.
    pub(super) fn openers(&self) -> Vec<Caller> {
        self.writing.iter().map(|share| *share.opener()).collect()
    }

    /// What each handle has done that writes to it.
    pub(super) fn shares(&self) -> Vec<Arc<Share>> {
        self.writing.clone()
    }

    /// The threads that have opened it for writing, but for handles of which nothing but the release may be left. Those without a
    /// number are among them, as 0.
    pub(super) fn busy_threads(&self) -> Vec<u32> {
        let open = self.writing.iter().filter(|share| !share.is_closed());
        open.map(|share| share.opener().thread).collect()
    }

    pub(super) fn add_follower(&mut self) {
        self.following += 1;
    }

    /// Gives back whether nobody is left.
    pub(super) fn remove_follower(&mut self) -> bool {
        self.following = self.following.saturating_sub(1);
        self.following == 0 && !self.are_writing()
    }

    /// Whether the thread's open was announced so long ago that the record may have changed since.
    pub(super) fn is_late(&self, thread: u32, after: Duration) -> bool {
        let now = Instant::now();
        let own = self.announced.iter().find(|(announced, _)| *announced == thread);
        own.is_none_or(|(_, at)| now.duration_since(*at) > after)
    }

    /// As if so much time had passed since each open was announced.
    #[cfg(test)]
    pub(super) fn let_time_pass(&mut self, time: Duration) {
        for (_, at) in &mut self.announced {
            *at = at.checked_sub(time).unwrap_or(*at);
        }
    }

    fn are_announced(&self, now: Instant) -> bool {
        self.announced.iter().any(|(_, at)| now.duration_since(*at) < FOLLOWS_WITHIN)
    }
}
