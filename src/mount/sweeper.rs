//! The thread that ends what callers who were killed in the middle of an open have left behind.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::MountError;
use crate::fs::FileSystem;

/// The running thread; ends with this.
#[derive(Debug)]
pub(super) struct Sweeper {
    fs: Arc<FileSystem>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts the thread.
    pub(super) fn start(fs: &Arc<FileSystem>) -> Result<Self, MountError> {
        let (fs, own) = (Arc::clone(fs), Arc::clone(fs));
        let thread = thread::Builder::new()
            .name("storefs-sweeper".to_owned())
            .spawn(move || own.sweep_until_stopped())
            .map_err(|error| MountError::io("start the thread that sweeps", error))?;
        Ok(Self { fs, thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.fs.stop_sweeping();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
