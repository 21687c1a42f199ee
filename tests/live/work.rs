//! What the tests share: work that goes on until told otherwise, and reads that say what they saw.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Runs `work` again and again on a thread of its own while `meanwhile` is done, and `meanwhile` until work was
/// done twice, however slow the machine: so each was at it while the other was. A panic of either is a panic here,
/// and ends the other.
#[track_caller]
pub(crate) fn while_working(mut work: impl FnMut() + Send, mut meanwhile: impl FnMut()) {
    let done = Flag::default();
    let rounds = AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            while !done.is_set() {
                work();
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        {
            // Also set when `meanwhile` panics: otherwise the scope would wait for the worker for ever.
            let _done = done.set_on_drop();
            meanwhile();
            while rounds.load(Ordering::Relaxed) < 2 && !worker.is_finished() {
                meanwhile();
            }
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Something that becomes true once.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_on_drop(&self) -> impl Drop + '_ {
        struct Setter<'a>(&'a AtomicBool);
        impl Drop for Setter<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        Setter(&self.0)
    }
}

/// A record as one descriptor shows it.
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    /// Its type, asked before and after the bytes were read; `None` if the record was gone by then.
    pub(crate) content_types: [Option<String>; 2],
}

impl Seen {
    /// Opens a record in the mount and reads all of it.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let before = content_type(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self { bytes, content_types: [before, content_type(&file)?] })
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.bytes[..self.bytes.len().min(32)];
        let length = self.bytes.len();
        write!(f, "{length} bytes \"{}\"... of {:?}", start.escape_ascii(), self.content_types)
    }
}

/// The type of an open record; `None` if it has none, since it was deleted.
pub(crate) fn content_type(file: &File) -> io::Result<Option<String>> {
    let mut buffer = [0; 256];
    match rustix::fs::fgetxattr(file, "user.mime_type", &mut buffer) {
        Ok(length) => Ok(Some(String::from_utf8(buffer[..length].to_vec()).unwrap())),
        Err(rustix::io::Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What has become of something that others remove and make again at any moment: `None` if it was gone just then.
#[track_caller]
pub(crate) fn unless_gone<T>(what: &str, result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{what}: {error}"),
    }
}
