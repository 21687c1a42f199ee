//! Which locks there are, and who waits for one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ranges::{Lock, Ranges};
use crate::fs::error::{FsError, FsResult};
use crate::fs::handle::Handle;
use crate::fs::ino::Ino;
use crate::fs::processes::is_interrupted;
use crate::fs::signals::look_for_signals;
use crate::fs::store_node::RecordId;
use crate::ranks::{Mutex, MutexGuard, Table};

/// What a handle locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::fs) enum On {
    /// A record, by its name.
    Record(RecordId),
    /// Anything else.
    Inode(Ino),
}

/// What is called when a lock is taken, or the waiting for it has ended.
pub(in crate::fs) type Done = Box<dyn FnOnce(FsResult<()>) + Send>;

/// All locks of the mount.
#[derive(Debug, Default)]
pub(in crate::fs) struct Locks {
    inner: Mutex<Table, Inner>,
    /// The handles that have locked anything. Read without the lock: most mounts have none.
    handles: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    /// The files by what they are named, as long as that stands for them.
    named: HashMap<On, FileId>,
    /// The file of each handle that has locked anything.
    by_handle: HashMap<Handle, FileId>,
    files: HashMap<FileId, Ranges>,
    /// Who waits, in the order in which they came.
    waiting: Vec<Waiter>,
    /// Whether somebody looks for signals of those who wait.
    is_watched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileId(u64);

struct Waiter {
    file: FileId,
    lock: Lock,
    thread: u32,
    done: Done,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl Locks {
    /// The lock that keeps this one from being taken.
    pub(in crate::fs) fn find(&self, on: On, lock: &Lock) -> Option<Lock> {
        let inner = self.inner.lock();
        let file = inner.by_handle.get(&lock.handle).or_else(|| inner.named.get(&on))?;
        inner.files.get(file)?.excluding(lock).next().copied()
    }

    /// Takes a lock if it is free.
    pub(in crate::fs) fn take(&self, on: On, lock: Lock) -> FsResult<()> {
        let mut inner = self.inner.lock();
        let file = self.file(&mut inner, on, lock.handle);
        let ranges = inner.files.entry(file).or_default();
        if ranges.excluding(&lock).next().is_some() {
            return Err(FsError::Locked);
        }
        ranges.insert(lock);
        // Somebody may wait for what this one took the place of.
        grant(inner, Vec::new());
        Ok(())
    }

    /// Takes a lock as soon as it is free, for a thread that waits for it.
    pub(in crate::fs) fn wait_for(self: &Arc<Self>, on: On, lock: Lock, thread: u32, done: Done) {
        let mut inner = self.inner.lock();
        let file = self.file(&mut inner, on, lock.handle);
        if inner.would_wait_for_itself(file, &lock) {
            drop(inner);
            return done(Err(FsError::Deadlock));
        }
        inner.waiting.push(Waiter { file, lock, thread, done });
        grant(inner, Vec::new());
        let mut inner = self.inner.lock();
        let is_watched = inner.waiting.is_empty() || std::mem::replace(&mut inner.is_watched, true);
        drop(inner);
        if !is_watched {
            let weak = Arc::downgrade(self);
            let look = move || weak.upgrade().is_some_and(|locks| locks.interrupt());
            if !look_for_signals(look) {
                self.inner.lock().is_watched = false;
            }
        }
    }

    /// Gives back what an owner has of some bytes of the file that the handle has open.
    pub(in crate::fs) fn give_back(
        &self,
        on: &On,
        handle: Handle,
        owner: u64,
        first: u64,
        last: u64,
    ) {
        let mut inner = self.inner.lock();
        let file = inner.by_handle.get(&handle).or_else(|| inner.named.get(on)).copied();
        if let Some(ranges) = file.and_then(|file| inner.files.get_mut(&file)) {
            ranges.remove(owner, first, last);
            grant(inner, Vec::new());
        }
    }

    /// The last descriptor of a handle is closed.
    pub(in crate::fs) fn release(&self, handle: Handle) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        let Some(file) = inner.by_handle.remove(&handle) else { return };
        self.handles.fetch_sub(1, Ordering::Relaxed);
        if let Some(ranges) = inner.files.get_mut(&file) {
            ranges.remove_handle(handle);
        }
        let is_used = inner.by_handle.values().any(|used| *used == file);
        if !is_used {
            inner.files.remove(&file);
            inner.named.retain(|_, named| *named != file);
        }
        grant(inner, Vec::new());
    }

    /// Whether anybody has locked this.
    pub(in crate::fs) fn are_on(&self, on: &On) -> bool {
        !self.is_empty() && self.inner.lock().named.contains_key(on)
    }

    /// Names are gone: whoever has open what they stood for keeps its locks.
    pub(in crate::fs) fn forget_names(&self, is_gone: impl Fn(&On) -> bool) {
        if !self.is_empty() {
            self.inner.lock().named.retain(|on, _| !is_gone(on));
        }
    }

    /// A file has another name.
    pub(in crate::fs) fn rename(&self, from: &On, to: On) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        inner.named.remove(&to);
        if let Some(file) = inner.named.remove(from) {
            inner.named.insert(to, file);
        }
    }

    /// Ends the waiting of those who are sent a signal. Gives back false if nobody waits any more.
    fn interrupt(&self) -> bool {
        let threads: Vec<u32> = self.inner.lock().waiting.iter().map(|it| it.thread).collect();
        let over: Vec<u32> = threads.into_iter().filter(|it| is_interrupted(*it)).collect();
        let mut inner = self.inner.lock();
        let is_over = |waiter: &mut Waiter| over.contains(&waiter.thread);
        let interrupted: Vec<Waiter> = inner.waiting.extract_if(.., is_over).collect();
        let goes_on = !inner.waiting.is_empty();
        inner.is_watched = goes_on;
        let ended = interrupted.into_iter().map(|it| (it.done, Err(FsError::Interrupted)));
        grant(inner, ended.collect());
        goes_on
    }

    /// Whether nobody has locked anything. Does not wait.
    pub(in crate::fs) fn is_empty(&self) -> bool {
        self.handles.load(Ordering::Relaxed) == 0
    }

    /// The file that a handle locks.
    fn file(&self, inner: &mut Inner, on: On, handle: Handle) -> FileId {
        if let Some(file) = inner.by_handle.get(&handle) {
            return *file;
        }
        inner.last += 1;
        let new = FileId(inner.last);
        let file = *inner.named.entry(on).or_insert(new);
        inner.by_handle.insert(handle, file);
        self.handles.fetch_add(1, Ordering::Relaxed);
        file
    }
}

/// Gives locks that have become free to those who wait, and tells them and others, with nothing held.
fn grant(mut inner: MutexGuard<'_, Inner>, mut told: Vec<(Done, FsResult<()>)>) {
    let mut at = 0;
    while let Some(waiter) = inner.waiting.get(at) {
        let (file, lock) = (waiter.file, waiter.lock);
        let ranges = inner.files.entry(file).or_default();
        if ranges.excluding(&lock).next().is_some() {
            at += 1;
            continue;
        }
        ranges.insert(lock);
        told.push((inner.waiting.remove(at).done, Ok(())));
    }
    drop(inner);
    for (done, outcome) in told {
        done(outcome);
    }
}

impl Inner {
    /// Whether any of those who keep a lock from being taken waits, in the end, for its owner.
    fn would_wait_for_itself(&self, file: FileId, lock: &Lock) -> bool {
        let mut seen = Vec::new();
        let mut next: Vec<(FileId, Lock)> = vec![(file, *lock)];
        while let Some((file, wanted)) = next.pop() {
            let Some(ranges) = self.files.get(&file) else { continue };
            for held in ranges.excluding(&wanted) {
                if held.owner == lock.owner {
                    return true;
                }
                if !seen.contains(&held.owner) {
                    seen.push(held.owner);
                    let theirs = self.waiting.iter().filter(|it| it.lock.owner == held.owner);
                    next.extend(theirs.map(|waiter| (waiter.file, waiter.lock)));
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::fs::locks::LockKind;

    fn on() -> On {
        On::Inode(Ino(7))
    }

    fn lock(owner: u64, first: u64) -> Lock {
        let (handle, kind) = (Handle(owner), LockKind::Exclusive);
        Lock { owner, handle, process: 0, kind, first, last: first }
    }

    /// Asks for a lock; what comes of it, as soon as it is known.
    fn ask(locks: &Arc<Locks>, lock: Lock, waits: bool) -> mpsc::Receiver<FsResult<()>> {
        let (tell, told) = mpsc::channel();
        let thread = u32::try_from(lock.owner).unwrap();
        let done = move |outcome| drop(tell.send(outcome));
        match waits {
            true => locks.wait_for(on(), lock, thread, Box::new(done)),
            false => done(locks.take(on(), lock)),
        }
        told
    }

    #[test]
    fn p06_who_waits_gets_the_lock_when_it_is_given_back_or_its_handle_is_gone() {
        let locks = Arc::new(Locks::default());
        assert_eq!(ask(&locks, lock(1, 0), false).recv().unwrap(), Ok(()));
        assert_eq!(ask(&locks, lock(2, 0), false).recv().unwrap(), Err(FsError::Locked));
        let second = ask(&locks, lock(2, 0), true);
        let third = ask(&locks, lock(3, 0), true);
        assert!(second.try_recv().is_err());
        locks.give_back(&on(), Handle(1), 1, 0, 0);
        assert_eq!(second.recv().unwrap(), Ok(()));
        assert!(third.try_recv().is_err());
        locks.release(Handle(2));
        assert_eq!(third.recv().unwrap(), Ok(()));
        locks.give_back(&on(), Handle(9), 3, 0, u64::MAX);
        assert!(locks.find(on(), &lock(4, 0)).is_none());
        locks.release(Handle(1));
        locks.release(Handle(3));
        assert!(locks.is_empty() && locks.inner.lock().files.is_empty());
    }

    #[test]
    fn p06_two_that_would_wait_for_each_other_are_told() {
        let locks = Arc::new(Locks::default());
        for (owner, first) in [(1, 1), (2, 2), (3, 3)] {
            ask(&locks, lock(owner, first), false).recv().unwrap().unwrap();
        }
        let first = ask(&locks, lock(1, 2), true);
        let second = ask(&locks, lock(2, 3), true);
        assert_eq!(ask(&locks, lock(3, 1), true).recv().unwrap(), Err(FsError::Deadlock));
        locks.give_back(&on(), Handle(3), 3, 0, 9);
        assert_eq!(second.recv().unwrap(), Ok(()));
        locks.give_back(&on(), Handle(2), 2, 0, 9);
        assert_eq!(first.recv().unwrap(), Ok(()));
    }

    #[test]
    fn p06_who_is_interrupted_waits_no_longer() {
        let locks = Arc::new(Locks::default());
        ask(&locks, lock(1, 0), false).recv().unwrap().unwrap();
        // No process has such a number, so the thread that looks for signals finds it ended too.
        let waiting = ask(&locks, lock(1 << 23, 0), true);
        assert_eq!(waiting.recv().unwrap(), Err(FsError::Interrupted));
    }

    #[test]
    fn p06_locks_follow_a_file_to_its_new_name() {
        let locks = Arc::new(Locks::default());
        ask(&locks, lock(1, 0), false).recv().unwrap().unwrap();
        let renamed = On::Inode(Ino(8));
        locks.rename(&on(), renamed.clone());
        assert!(locks.find(on(), &lock(2, 0)).is_none());
        assert!(locks.find(renamed.clone(), &lock(2, 0)).is_some());
        locks.forget_names(|on| *on == renamed);
        assert!(locks.find(renamed, &lock(2, 0)).is_none());
        assert!(locks.find(on(), &Lock { handle: Handle(1), process: 5, ..lock(2, 0) }).is_some());
    }
}
