//! What a handle has done of what a session has not published, and whose handle it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::fs::entry::Caller;
use crate::fs::processes::Process;

/// What a handle has done that is not published: the session's generation at the time, or 0.
///
/// Closing a handle publishes only what it took part in. The kernel releases a handle some time after close() has
/// returned; by then the next writer may be in the middle of a new version of the same session.
#[derive(Debug)]
pub(in crate::fs) struct Share {
    generation: AtomicU64,
    opener: Caller,
    /// Whether it reads too, as a memory map that writes must.
    is_mappable: bool,
    /// The thread that has written through it last; 0 if that is not known.
    written_by: AtomicU32,
    /// Whether a descriptor of the handle was closed and nothing was done through the handle since. It may be the last
    /// one, whose release is still to come.
    is_closed: AtomicBool,
}

impl Share {
    pub(in crate::fs) fn of(opener: &Caller, is_mappable: bool) -> Arc<Self> {
        Arc::new(Self {
            generation: AtomicU64::new(0),
            opener: *opener,
            is_mappable,
            written_by: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
        })
    }

    pub(super) fn is_mappable(&self) -> bool {
        self.is_mappable
    }

    /// Who has opened it.
    pub(in crate::fs) fn opener(&self) -> &Caller {
        &self.opener
    }

    pub(super) fn take_part(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.is_closed.store(false, Ordering::Relaxed);
    }

    pub(super) fn note_writer(&self, thread: u32) {
        self.written_by.store(thread, Ordering::Relaxed);
    }

    /// Whether a descriptor of it that the thread closes was only inherited: by a process that was started in the middle
    /// of what another one writes, and lets go of what it has no use for. Its close is none of the writer's.
    pub(in crate::fs) fn is_inherited_by(&self, thread: u32) -> bool {
        let written_by = self.written_by.load(Ordering::Relaxed);
        if thread == self.opener.thread || thread == written_by {
            return false;
        }
        let Some(opener) = Process::of(self.opener.thread) else { return false };
        let Some(process) = Process::of(thread).filter(|process| process.id != opener.id) else {
            return false;
        };
        Process::of(written_by).is_none_or(|writer| writer.id != process.id)
    }

    pub(super) fn has_part_in(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Relaxed) == generation
    }

    /// A descriptor was closed that left nothing to publish.
    pub(in crate::fs) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}
