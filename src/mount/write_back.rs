//! The thread that writes the stores' times into their metadata, at most once a second (P17).

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::MountError;
use crate::engine::Storage;

/// The least time between two write-backs: whatever happens within it costs one rewrite per store.
const INTERVAL: Duration = Duration::from_secs(1);

/// The running thread.
#[derive(Debug)]
pub(super) struct WriteBack {
    storage: Storage,
    /// Dropped to end the thread's pause.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteBack {
    /// Starts the thread.
    pub(super) fn start(storage: Storage) -> Result<Self, MountError> {
        let (running, stopped) = mpsc::channel();
        let own = storage.clone();
        let thread = thread::Builder::new()
            .name("storefs-times".to_owned())
            .spawn(move || {
                let mut last_error = None;
                while own.wait_for_activity() {
                    let pause = stopped.recv_timeout(INTERVAL);
                    let error = own.write_back().err().map(|error| error.to_string());
                    // A store that cannot be written is tried every second; it is reported once.
                    if let Some(error) = error.as_ref().filter(|_| error != last_error) {
                        log::warn!("times of a store are not written yet: {error}");
                    }
                    last_error = error;
                    if pause != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            })
            .map_err(|error| MountError::io("start the thread that writes times", error))?;
        Ok(Self { storage, running: Some(running), thread: Some(thread) })
    }

    /// Ends the thread, closes the storage and writes what is left.
    pub(super) fn finish(mut self) -> Result<(), MountError> {
        self.stop();
        Ok(self.storage.write_back()?)
    }

    fn stop(&mut self) {
        self.running = None;
        self.storage.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for WriteBack {
    fn drop(&mut self) {
        self.stop();
    }
}
