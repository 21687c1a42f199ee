//! Who has a write session open.

use std::time::{Duration, Instant};

use super::announcements::FOLLOWS_WITHIN;

/// The users of a session.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Handles that are open for writing.
    writing: usize,
    /// Handles of readers who read a new record as it grows.
    following: usize,
    /// Threads whose open a lookup has announced, and when.
    announced: Vec<(u32, Instant)>,
}

impl Users {
    /// Whether anybody writes or is about to.
    pub(super) fn are_writing(&self) -> bool {
        self.writing > 0 || self.are_announced(Instant::now())
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

    pub(super) fn add_writer(&mut self) {
        self.writing += 1;
    }

    pub(super) fn remove_writer(&mut self) {
        self.writing = self.writing.saturating_sub(1);
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
