//! What a session has staged when its mount ends.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::session::WriteSession;
use super::state::{Content, Place};
use crate::model::{Error, Result, Unpublished};

/// How often it is looked whether others are done with a session.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What has become of what a session had staged.
#[derive(Debug)]
pub(in crate::fs) enum KeptAside {
    /// Nothing was written that is not published.
    Nothing,
    /// It is kept aside.
    Kept(Unpublished),
    /// Somebody is still at it.
    Busy,
}

impl WriteSession {
    /// Keeps aside what is written and not published, unless somebody is at it until then. Nothing is written or published
    /// by this session afterwards.
    pub(in crate::fs) fn keep_aside(&self, until: Instant) -> Result<KeptAside> {
        let mut state = loop {
            match self.state.try_lock() {
                Some(state) => break state,
                None if Instant::now() >= until => return Ok(KeptAside::Busy),
                None => thread::sleep(LOOK_EVERY),
            }
        };
        let is_named = matches!(state.place, Place::At(..));
        let Content::Staged { staging, .. } = &mut state.content else {
            return Ok(KeptAside::Nothing);
        };
        let kept = if is_named { staging.keep_aside()? } else { None };
        let Some(kept) = kept else { return Ok(KeptAside::Nothing) };
        // As the caller is told of each request once the mount is gone.
        let gone = io::Error::from_raw_os_error(libc::ENOTCONN);
        self.failure.note(&Error::io("write into a mount that has ended", gone));
        Ok(KeptAside::Kept(kept))
    }
}
