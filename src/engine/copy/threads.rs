//! Several records at a time.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Copied;
use crate::backend::{Listed, Scan};
use crate::model::Result;
use crate::ranks::{Listing, Mutex};

/// Works through a listing by so many threads, each of which takes the next record when it is done with one. The first error
/// ends all, each behind the record that it is at.
///
/// # Errors
/// The listing's, and those of `act`.
pub(super) fn each(
    scan: Scan,
    threads: usize,
    act: &(dyn Fn(Listed) -> Result<Copied> + Sync),
) -> Result<Copied> {
    let (scan, has_failed) = (Mutex::<Listing, _>::new(scan), AtomicBool::new(false));
    let work = || {
        let mut copied = Copied::default();
        while !has_failed.load(Ordering::Relaxed) {
            // Released before the record is looked at.
            let next = scan.lock().next();
            let Some(listed) = next else { break };
            match listed.and_then(act) {
                Ok(more) => copied.add(more),
                Err(error) => {
                    has_failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(copied)
    };
    if threads <= 1 {
        return work();
    }
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            let other = other.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
            all = all.and_then(|mut all| {
                all.add(other?);
                Ok(all)
            });
        }
        all
    })
}
