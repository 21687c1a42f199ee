//! The thread that tells the kernel to drop what it has cached.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use fuser::{INodeNo, Notifier};

use crate::fs::{FileSystem, Ino, Invalidate};

/// Names to drop, and whom to tell when they are.
type Batch = (Vec<(Ino, Vec<u8>)>, SyncSender<()>);

/// Hands names to the notifying thread.
#[derive(Debug)]
struct NotifyThread {
    batches: Sender<Batch>,
}

impl Invalidate for NotifyThread {
    fn entries(&self, names: Vec<(Ino, Vec<u8>)>, wait: Duration) {
        let (done, dropped) = sync_channel(1);
        if self.batches.send((names, done)).is_ok() && dropped.recv_timeout(wait).is_err() {
            log::debug!("the kernel is still dropping names");
        }
    }
}

/// Lets a mounted file system tell the kernel what has changed. The thread ends with the file system.
pub fn attach_notifier(fs: &Arc<FileSystem>, notifier: Notifier) {
    let (batches, work) = channel::<Batch>();
    let thread = std::thread::Builder::new().name("storefs-notify".to_owned()).spawn(move || {
        for (names, done) in work {
            for (parent, name) in names {
                if let Err(error) = notifier.inval_entry(INodeNo(parent), OsStr::from_bytes(&name))
                {
                    log::debug!("the kernel did not drop a name: {error}");
                }
            }
            // Whoever asked may have stopped waiting.
            let _ = done.try_send(());
        }
    });
    match thread {
        Ok(_) => fs.set_notifier(Box::new(NotifyThread { batches })),
        Err(error) => {
            log::warn!("names that a purge removes may be seen for their time to live: {error}")
        }
    }
}
