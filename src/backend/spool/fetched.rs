//! A value that is fetched into a local file while it is read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

use crate::backend::elsewhere::Large;
use crate::model::{BackendErrorKind, Error, Result};
use crate::ranks::{Condvar, Mutex, TableEntry};

/// One version of a value: its bytes are in the file up to where they have come.
#[derive(Debug)]
pub(crate) struct Fetched {
    file: File,
    size: u64,
    progress: Mutex<TableEntry, Progress>,
    /// Signalled when more has come, or no more will.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    come: u64,
    /// Why no more comes.
    broken: Option<Broken>,
}

/// What is told to each who waits: an error can be told once only.
#[derive(Clone, Debug)]
struct Broken {
    kind: BackendErrorKind,
    reason: String,
}

impl Fetched {
    /// A value that is in the file as a whole.
    pub(crate) fn whole(file: File, size: u64) -> Self {
        let progress = Progress { come: size, broken: None };
        Self { file, size, progress: Mutex::new(progress), moved: Condvar::new() }
    }

    /// Begins to fetch a value, in a thread of its own; comes back when its first bytes are there, so that the version
    /// is held from then on. `fetch` is given what takes the parts, in order.
    ///
    /// It is broken off when nobody has the value any more.
    ///
    /// # Errors
    /// What `fetch` says before its first part.
    pub(crate) fn begin(
        file: File,
        size: u64,
        fetch: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> + Send + 'static,
    ) -> Result<Arc<Self>> {
        let progress = Mutex::new(Progress::default());
        let fetched = Arc::new(Self { file, size, progress, moved: Condvar::new() });
        let (tell, told) = std::sync::mpsc::channel();
        let ours = Arc::clone(&fetched);
        let work = move || {
            let mut has_begun = false;
            let outcome = fetch(&mut |part: &[u8]| {
                ours.take(part)?;
                if !has_begun {
                    has_begun = true;
                    let _ = tell.send(Ok(()));
                }
                match Arc::strong_count(&ours) {
                    1 => Err(not_wanted()),
                    _ => Ok(()),
                }
            });
            match outcome {
                Ok(()) => ours.end(),
                Err(error) if has_begun => ours.fail(&error),
                Err(error) => drop(tell.send(Err(error))),
            }
        };
        let thread = thread::Builder::new().name("storefs-fetch".to_owned());
        thread.spawn(work).map_err(|error| Error::io("fetch a value", error))?;
        // Without a word: there was no part, since the value is empty.
        told.recv().unwrap_or(Ok(())).map(|()| fetched)
    }

    fn take(&self, part: &[u8]) -> Result<()> {
        let come = self.progress.lock().come;
        let written = self.file.write_all_at(part, come);
        written.map_err(|error| Error::io("write a value to the spool", error))?;
        self.progress.lock().come = come + part.len() as u64;
        self.moved.notify_all();
        Ok(())
    }

    /// All parts have come.
    fn end(&self) {
        let mut progress = self.progress.lock();
        if progress.come < self.size {
            let reason = "it ends too early".to_owned();
            progress.broken = Some(Broken { kind: BackendErrorKind::Damaged, reason });
        }
        drop(progress);
        self.moved.notify_all();
    }

    fn fail(&self, error: &Error) {
        let kind = match error {
            Error::Backend { kind, .. } => *kind,
            _ => BackendErrorKind::Other,
        };
        self.progress.lock().broken = Some(Broken { kind, reason: error.to_string() });
        self.moved.notify_all();
    }
}

impl Large for Fetched {
    /// Length of the value in bytes.
    fn size(&self) -> u64 {
        self.size
    }

    /// Whether all of it has come or may still come.
    fn is_sound(&self) -> bool {
        self.progress.lock().broken.is_none()
    }

    /// Whether these bytes have come, or what is of them in the value.
    fn has(&self, offset: u64, len: u64) -> bool {
        self.progress.lock().come >= offset.saturating_add(len).min(self.size)
    }

    /// Reads at an offset, as soon as the bytes have come; fewer than asked for only at the end.
    ///
    /// # Errors
    /// Why they do not come.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64).min(self.size);
        {
            let mut progress = self.progress.lock();
            while progress.come < end {
                if let Some(broken) = &progress.broken {
                    let Broken { kind, reason } = broken.clone();
                    return Err(Error::backend(kind, "fetch a value", reason));
                }
                self.moved.wait(&mut progress);
            }
        }
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read a value from the spool", error)),
            }
        }
        Ok(read)
    }

    fn comes_by_parts(&self) -> bool {
        false
    }
}

fn not_wanted() -> Error {
    Error::backend(BackendErrorKind::Other, "fetch a value", "nobody wants it any more")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    #[test]
    fn a_reader_waits_for_the_bytes_that_it_wants_and_for_no_others() {
        let (send, receive) = mpsc::channel::<Option<&'static [u8]>>();
        send.send(Some(b"abc")).unwrap();
        let fetched = Fetched::begin(file(), 6, move |take| {
            while let Ok(Some(part)) = receive.recv() {
                take(part)?;
            }
            Ok(())
        });
        let fetched = fetched.unwrap();
        let mut buffer = [0; 2];
        assert_eq!(fetched.read_at(&mut buffer, 1).unwrap(), 2);
        assert_eq!(&buffer, b"bc");
        assert!(fetched.has(1, 2) && !fetched.has(1, 3));
        let waiting = Arc::clone(&fetched);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 8];
            let count = waiting.read_at(&mut buffer, 2).unwrap();
            (count, buffer)
        });
        send.send(Some(b"def")).unwrap();
        let (count, buffer) = reader.join().unwrap();
        assert_eq!((count, &buffer[..4]), (4, b"cdef".as_slice()));
        drop(send);
        assert_eq!(fetched.read_at(&mut [0; 4], 6).unwrap(), 0);
    }

    #[test]
    fn what_breaks_off_is_told_to_who_wants_more_than_has_come() {
        let broken = |take: &mut dyn FnMut(&[u8]) -> Result<()>| {
            take(b"abc")?;
            Err(Error::backend(BackendErrorKind::Unreachable, "reach the server", "it is gone"))
        };
        let fetched = Fetched::begin(file(), 6, broken).unwrap();
        assert_eq!(fetched.read_at(&mut [0; 3], 0).unwrap(), 3);
        let error = fetched.read_at(&mut [0; 4], 0).unwrap_err();
        let is_unreachable =
            matches!(error, Error::Backend { kind: BackendErrorKind::Unreachable, .. });
        assert!(is_unreachable, "{error}");
        assert!(!fetched.is_sound() && Fetched::whole(file(), 0).is_sound());
        let short = Fetched::begin(file(), 6, |take| take(b"abc")).unwrap();
        assert!(short.read_at(&mut [0; 4], 0).is_err());
        let refused = |_: &mut dyn FnMut(&[u8]) -> Result<()>| Err(Error::ReadOnly);
        assert!(matches!(Fetched::begin(file(), 6, refused), Err(Error::ReadOnly)));
    }

    #[test]
    fn nothing_more_is_fetched_for_nobody() {
        let (tell, told) = mpsc::channel();
        let fetched = Fetched::begin(file(), u64::MAX, move |take| {
            let outcome = loop {
                if let Err(error) = take(b"abc") {
                    break Err(error);
                }
            };
            tell.send(()).unwrap();
            outcome
        });
        drop(fetched.unwrap());
        told.recv().unwrap();
    }
}
