//! Requests that wait for a storage across a network, and whose outcome may be dropped: their callers can be interrupted.

use std::sync::Arc;

use fuser::Errno;
use parking_lot::Mutex;

use super::answer::run;
use super::interrupts::Interrupts;
use super::reply::Reply;
use super::waiting::Waiting;
use crate::fs::{Asked, Caller, FileSystem, FsResult};

/// A reply that is given once, by whoever is first. A leaf lock.
pub(super) struct Shared<R>(Arc<Mutex<Option<R>>>);

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Shared<R> {
    pub(super) fn new(reply: R) -> Self {
        Self(Arc::new(Mutex::new(Some(reply))))
    }

    /// The reply, unless it was given.
    fn take(&self) -> Option<R> {
        self.0.lock().take()
    }

    /// Puts something into the reply, unless it was given.
    pub(super) fn with<T>(&self, fill: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.0.lock().as_mut().map(fill)
    }
}

/// Makes one call that may wait for a network, and replies with what it came to; with EINTR if the caller is sent a
/// signal before. Then the call goes on, and what it comes to is dropped.
pub(super) fn serve_droppable<T, R: Reply<T>>(
    (fs, waiting, interrupts): (&Arc<FileSystem>, &Arc<Waiting>, &Arc<Interrupts>),
    caller: Caller,
    asked: Asked,
    reply: Shared<R>,
    call: impl FnOnce(&FileSystem) -> FsResult<T> + Send + 'static,
) {
    let (fs, interrupts) = (Arc::clone(fs), Arc::clone(interrupts));
    waiting.serve(move || {
        let _watched = {
            let (fs, reply) = (Arc::clone(&fs), reply.clone());
            interrupts.watch(caller, move || {
                if let Some(reply) = reply.take() {
                    reply.answer(&fs, Err(Errno::EINTR));
                }
            })
        };
        let outcome = run(&fs, asked, || call(&fs));
        match (reply.take(), outcome) {
            (Some(reply), outcome) => reply.answer(&fs, outcome),
            (None, Ok(outcome)) => R::drop_outcome(&fs, outcome),
            (None, Err(_)) => {}
        }
    });
}
