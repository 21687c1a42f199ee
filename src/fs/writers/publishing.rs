//! When what a session holds is published, and over what.

use std::io;

use super::session::WriteSession;
use super::share::Share;
use super::state::{Change, Content, Place, State};
use crate::engine::{Over, PublishAs, Staged, Store};
use crate::fs::error::FsResult;
use crate::fs::options::FsOptions;
use crate::fs::permits::Access;
use crate::model::{ContentType, Error, Key, Result};
use crate::ranks::MutexGuard;

/// Where a session publishes to, and how.
pub(in crate::fs) struct Target<'a> {
    pub(in crate::fs) store: &'a Store,
    /// Tells the content type of what is staged, if it is not for the bytes to tell. Asked if something is published, and just
    /// before.
    pub(in crate::fs) content_type: &'a dyn Fn(&Staged) -> FsResult<Option<ContentType>>,
    /// How owner and mode are shown.
    pub(in crate::fs) options: &'a FsOptions,
}

impl WriteSession {
    /// Whether a close of this handle would publish anything, or has to be told of a failure. `None` if somebody is
    /// just doing something to the record.
    pub(in crate::fs) fn would_publish(&self, share: &Share) -> Option<bool> {
        let state = self.state.try_lock()?;
        Some(state.is_of(share) && (state.is_changed() || self.failure.has_happened()))
    }

    /// After a failure, no call succeeds any more.
    pub(in crate::fs) fn refuse_after_failure(&self) -> FsResult<()> {
        self.failure.refuse()
    }

    /// Whether a close of this handle might publish only a truncation or creation.
    pub(in crate::fs) fn is_merely_opened(&self, share: &Share) -> bool {
        let state = self.state.lock();
        let change = matches!(
            &state.content,
            Content::Staged { change: Change::Opened | Change::Closed, .. }
        );
        change && state.is_of(share)
    }

    /// A handle is being closed: publishes what it took part in. A truncation or creation alone is published if this is
    /// known to be its last descriptor; else it waits for the release. For who holds the record.
    pub(in crate::fs) fn close(
        &self,
        target: &Target<'_>,
        share: &Share,
        is_last: bool,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        if !state.is_of(share) {
            return Ok(());
        }
        self.failure.refuse()?;
        match &mut state.content {
            Content::Staged { change: change @ (Change::Opened | Change::Closed), .. }
                if !is_last =>
            {
                *change = Change::Closed;
                self.release.begin();
                Ok(())
            }
            Content::Staged {
                change: Change::Opened | Change::Closed | Change::Written, ..
            } => {
                self.publish_state(&mut state, target, false)?;
                share.close();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Publishes what is unpublished; with `durable`, so that it survives a power cut. For who holds the record.
    pub(in crate::fs) fn publish(&self, target: &Target<'_>, durable: bool) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        if state.is_changed() {
            return self.publish_state(&mut state, target, durable);
        }
        let Place::At(_, key) = &state.place else { return Ok(()) };
        if !durable {
            return Ok(());
        }
        let _long = self.begin_long(&state);
        match target.store.sync_record(key) {
            // Somebody has removed what this session had published.
            Err(Error::NoSuchRecord { .. }) => Ok(()),
            synced => Ok(synced?),
        }
    }

    /// Publishes a record that is all its session's, or what a close has left to its release, before its name goes
    /// elsewhere. For who holds the record.
    pub(in crate::fs) fn publish_closed(&self, target: &Target<'_>) -> FsResult<()> {
        let mut state = self.state.lock();
        let is_due = matches!(
            state.content,
            Content::Staged { base: None, .. } | Content::Staged { change: Change::Closed, .. }
        );
        if !is_due {
            return Ok(());
        }
        self.failure.refuse()?;
        self.publish_state(&mut state, target, false)
    }

    /// A handle is gone: publishes what it took part in and no close has. For who holds the record.
    pub(in crate::fs) fn release(&self, target: &Target<'_>, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        let is_due = state.is_of(share) && state.is_changed();
        let published = if is_due && !self.failure.has_happened() {
            self.publish_state(&mut state, target, false)
        } else {
            Ok(())
        };
        self.release.has_come();
        published
    }

    /// Refuses to replace what others have put in the record's place if any of those whose bytes these are may not write
    /// that.
    fn refuse_replacing(&self, state: &State, target: &Target<'_>, key: &Key) -> Result<()> {
        let there = target.store.record(key)?;
        let writers = self.users.lock().shares();
        let mut writers = writers.iter().filter(|share| state.is_of(share));
        let may = |opener| target.options.permit(opener, &there, Access::Write);
        if writers.all(|share| may(share.opener())) {
            return Ok(());
        }
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        Err(Error::io(format!("replace record '{key}', which is another's by now"), denied))
    }

    fn publish_state(
        &self,
        state: &mut MutexGuard<'_, State>,
        target: &Target<'_>,
        durable: bool,
    ) -> FsResult<()> {
        let Place::At(_, key) = state.place.clone() else {
            state.settle();
            return Ok(());
        };
        let _long = self.begin_long(state);
        let (staging, base, change) =
            match std::mem::replace(&mut state.content, Content::Ended(None)) {
                Content::Staged { staging, base, change } => (staging, base, change),
                content => {
                    state.content = content;
                    return Ok(());
                }
            };
        let decided = || -> FsResult<_> {
            // What was removed or replaced by others never comes back by those who had it open.
            let over = match base.as_ref().map(|base| base.attributes()).transpose()? {
                Some(base) => Over::Version(base.stamp),
                None if state.is_exclusive || target.options.no_overwrite => Over::Nothing,
                None => Over::Anything,
            };
            Ok((over, (target.content_type)(&staging)?))
        };
        let (over, content_type) = match decided() {
            Ok(decided) => decided,
            Err(error) => {
                state.content = Content::Staged { staging, base, change };
                return Err(error);
            }
        };
        let publish = PublishAs { content_type: content_type.as_ref(), durable, over };
        let _panicked = self.failure.on_panic();
        let published = match target.store.publish(&key, staging, &publish) {
            // Of two that have written a record anew, the last one wins.
            Err((Error::RecordReplaced { .. }, staging))
                if !state.holds_base && !target.options.no_overwrite =>
            {
                match self.refuse_replacing(state, target, &key) {
                    Ok(()) => {
                        let publish = PublishAs { over: Over::Anything, ..publish };
                        target.store.publish(&key, staging, &publish)
                    }
                    Err(error) => Err((error, staging)),
                }
            }
            published => published,
        };
        match published {
            Ok(value) => {
                self.goes_on_from(&*value);
                state.content = Content::Published(value);
                state.end_shares();
                self.release.has_come();
                Ok(())
            }
            Err((error, staging)) => {
                state.content = Content::Staged { staging, base, change };
                // To write what others have removed is no failure: it is written nowhere. What a storage that cannot be
                // reached has not taken is still staged, and for the next who publishes.
                if !matches!(error, Error::NoSuchRecord { .. }) && !error.is_passing() {
                    self.failure.note(&error);
                }
                Err(error.into())
            }
        }
    }
}
