//! One run: an operation is drawn, done to the mount, done to the model, and both are compared.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

use rustix::io::Errno;

use crate::common::opener::{Opener, Theirs};
use crate::common::{METADATA, TempMount, TempStorage, disk_name, file_name};
use crate::draw::Draw;
use crate::expected::{Closed, Place, Share, Storage};

/// Names that stores may have.
pub(crate) const STORES: [&str; 3] = ["default", "other", "with space"];

/// Keys that records may have: plain, escaped on disk, escaped in the mount too, with an extension, and the input.
pub(crate) const KEYS: [&str; 7] =
    ["alpha", "beta gamma", "100%2F", "\u{fc}ber", "page.html", "INPUT", "INPUT.yaml"];

/// Types that are set by hand. The SDK sets others.
pub(crate) const HAND_SET: [&str; 3] = ["application/x-own", "text/x-own", "application/json"];

/// How many of the last operations a failed run prints.
const SHOWN: usize = 60;

/// A reader, and the version that it must keep.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: File,
    pub(crate) bytes: Vec<u8>,
}

/// A writer that stays open over several steps.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) theirs: Theirs,
    pub(crate) session: u64,
    pub(crate) share: Share,
    pub(crate) appends: bool,
}

#[derive(Debug)]
pub(crate) struct Run {
    seed: u64,
    log: Vec<String>,
    pub(crate) draw: Draw,
    pub(crate) model: Storage,
    // Dropped in this order: what is open, the mount, and what it shows.
    pub(crate) readers: Vec<Reader>,
    pub(crate) writers: Vec<Writer>,
    /// Opens what the writers write to, so that who checks what everybody sees is none of them.
    pub(crate) opener: Opener,
    mount: Option<TempMount>,
    pub(crate) storage: TempStorage,
    /// How the storage is mounted.
    ttl: &'static str,
    /// Keys of records that were deleted on disk: the kernel may take them for present (P2).
    pub(crate) deleted_on_disk: BTreeSet<&'static str>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("seed {} (--ttl {}), last operations:", self.seed, self.ttl);
            let first = self.log.len().saturating_sub(SHOWN);
            for (at, operation) in self.log.iter().enumerate().skip(first) {
                eprintln!("{at:5} {operation}");
            }
        }
    }
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        let ttl = ["1", "0", "3600"][usize::try_from(seed % 3).unwrap()];
        let storage = TempStorage::empty();
        let mount = TempMount::with_options(&storage, &["--ttl", ttl]);
        Self {
            seed,
            log: Vec::new(),
            draw: Draw::new(seed),
            model: Storage::default(),
            readers: Vec::new(),
            writers: Vec::new(),
            opener: Opener::start(),
            mount: Some(mount),
            storage,
            ttl,
            deleted_on_disk: BTreeSet::new(),
        }
    }

    pub(crate) fn go(mut self, steps: usize) {
        self.make_store("default");
        for step in 0..steps {
            self.step();
            if step % 50 == 49 {
                self.check_all();
            }
        }
        self.note("the end");
        self.close_all();
        self.check_all();
        self.mount.take().unwrap().unmount();
        self.check_disk();
    }

    pub(crate) fn note(&mut self, operation: impl Into<String>) {
        self.log.push(operation.into());
    }

    pub(crate) fn mount(&self) -> &TempMount {
        self.mount.as_ref().unwrap()
    }

    /// A record's path in the mount.
    pub(crate) fn path(&self, place: &Place) -> PathBuf {
        self.mount().store(&place.0).join(file_name(&place.1))
    }

    /// The path of its value on disk.
    pub(crate) fn value_path(&self, place: &Place) -> PathBuf {
        self.storage.store(&place.0).join(disk_name(&place.1))
    }

    /// The path of its sidecar on disk.
    pub(crate) fn sidecar_path(&self, place: &Place) -> PathBuf {
        self.storage.store(&place.0).join(format!("{}.{METADATA}", disk_name(&place.1)))
    }

    pub(crate) fn has_store(&self, place: &Place) -> bool {
        self.model.stores.contains_key(&place.0)
    }

    pub(crate) fn draw_place(&mut self) -> Place {
        let known: Vec<String> = self.model.stores.keys().cloned().collect();
        let store = if known.is_empty() || self.draw.once_in(25) {
            self.draw.one_of(&STORES).to_owned()
        } else {
            known[self.draw.below(known.len())].clone()
        };
        (store, self.draw.one_of(&KEYS).to_owned())
    }

    fn step(&mut self) {
        let place = self.draw_place();
        match self.draw.below(100) {
            0..=13 => self.overwrite(&place),
            14..=19 => self.append(&place),
            20..=25 => self.write_within(&place),
            26..=28 => self.truncate(&place),
            29..=32 => self.unlink(&place),
            33..=41 => self.rename(&place),
            42..=43 => self.create_new(&place),
            44..=48 => self.open_reader(&place),
            49..=51 => self.close_reader(),
            52..=58 => self.open_writer(&place),
            59..=70 => self.use_writer(),
            71..=75 => self.close_writer(),
            76..=80 => self.sdk_sets(&place),
            81..=82 => self.sdk_deletes(&place),
            83 => self.drop_in(&place),
            84..=85 => self.touch(&place),
            86..=87 => self.chmod(&place),
            88..=90 => self.set_type(&place),
            91 => self.remove_type(&place),
            92 => self.purge(&place.0),
            93..=94 => self.make_store(&place.0),
            95 => self.remove_store(&place.0),
            96 => self.rename_store(&place.0),
            97 if self.draw.once_in(3) => self.remount(),
            98 if self.draw.once_in(3) => self.kill(),
            _ => self.open_reader(&place),
        }
        self.check_open_files();
        self.check_stores();
    }

    /// Compares what came of an operation with what should have.
    #[track_caller]
    pub(crate) fn must_be<T: Debug>(&self, expected: Result<(), Errno>, outcome: io::Result<T>) {
        match (expected, outcome) {
            (Ok(()), Ok(_)) => {}
            (Ok(()), Err(error)) => panic!("it should have succeeded: {error}"),
            (Err(expected), outcome) => {
                let errno = outcome.as_ref().err().and_then(Errno::from_io_error);
                assert_eq!(errno, Some(expected), "{outcome:?}");
            }
        }
    }

    /// Whether the mount has such a record.
    pub(crate) fn found(&self, place: &Place) -> Result<(), Errno> {
        self.model.shown(place).map(|_| ()).ok_or(Errno::NOENT)
    }

    // Short writes

    pub(crate) fn overwrite(&mut self, place: &Place) {
        let bytes = self.draw.value();
        self.note(format!("write {place:?} {}", shown(&bytes)));
        let before = self.disk_inode(place);
        let path = self.path(place);
        let outcome = File::create(path).and_then(|mut file| {
            file.write_all(&bytes)?;
            close(file)
        });
        if !self.has_store(place) {
            return self.must_be(Err(Errno::NOENT), outcome);
        }
        self.must_be(Ok(()), outcome);
        let (id, mut share) = self.model.open(place);
        self.model.empty_at_open(id, &mut share);
        self.model.write(id, &bytes, None, &mut share);
        self.closed(place, before, |model| model.close(id, share));
        self.check(place);
    }

    fn append(&mut self, place: &Place) {
        if self.model.is_apart(place) {
            return;
        }
        let bytes = self.draw.value();
        self.note(format!("append {place:?} {}", shown(&bytes)));
        let before = self.disk_inode(place);
        let outcome = OpenOptions::new().append(true).create(true).open(self.path(place)).and_then(
            |mut file| {
                file.write_all(&bytes)?;
                close(file)
            },
        );
        if !self.has_store(place) {
            return self.must_be(Err(Errno::NOENT), outcome);
        }
        self.must_be(Ok(()), outcome);
        let (id, mut share) = self.model.open(place);
        self.model.write(id, &bytes, None, &mut share);
        self.closed(place, before, |model| model.close(id, share));
        self.check(place);
    }

    /// Sets the length by the path, without an open file.
    fn truncate(&mut self, place: &Place) {
        if self.model.is_apart(place) {
            return;
        }
        let len = self.model.shown(place).map_or(0, <[u8]>::len);
        let at = self.draw.below(len + 20);
        self.note(format!("truncate {place:?} to {at}"));
        let outcome = nix::unistd::truncate(&self.path(place), at as i64);
        self.must_be(self.found(place), outcome.map_err(io::Error::from));
        if self.found(place).is_ok() {
            let (id, mut share) = self.model.open(place);
            self.model.set_len(id, at, &mut share);
            self.closed(place, None, |model| model.close(id, share));
        }
        self.check(place);
    }

    /// Writes a part, or sets the length, of a record that is there.
    fn write_within(&mut self, place: &Place) {
        if self.model.is_apart(place) {
            return;
        }
        let len = self.model.shown(place).map_or(0, <[u8]>::len);
        let (at, bytes) = (self.draw.below(len + 20), self.draw.value());
        let sets_len = self.draw.once_in(3);
        let what = if sets_len { "set the length of" } else { "write within" };
        self.note(format!("{what} {place:?} at {at} {}", shown(&bytes)));
        let outcome = OpenOptions::new().write(true).open(self.path(place)).and_then(|file| {
            if sets_len {
                file.set_len(at as u64)?;
            } else {
                file.write_all_at(&bytes, at as u64)?;
            }
            close(file)
        });
        self.must_be(self.found(place), outcome);
        if self.found(place).is_ok() {
            let (id, mut share) = self.model.open(place);
            if sets_len {
                self.model.set_len(id, at, &mut share);
            } else {
                self.model.write(id, &bytes, Some(at), &mut share);
            }
            self.closed(place, None, |model| model.close(id, share));
        }
        self.check(place);
    }

    fn create_new(&mut self, place: &Place) {
        if self.model.is_apart(place) || self.may_seem_present(place) {
            return;
        }
        let bytes = self.draw.value();
        self.note(format!("create new {place:?} {}", shown(&bytes)));
        let path = self.path(place);
        let outcome =
            OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
                file.write_all(&bytes)?;
                close(file)
            });
        let expected = match (self.has_store(place), self.found(place)) {
            (false, _) => Err(Errno::NOENT),
            (true, Ok(())) => Err(Errno::EXIST),
            (true, Err(_)) => Ok(()),
        };
        self.must_be(expected, outcome);
        if expected.is_ok() {
            let (id, mut share) = self.model.open(place);
            self.model.write(id, &bytes, None, &mut share);
            self.closed(place, None, |model| model.close(id, share));
        }
        self.check(place);
    }

    /// Whether the kernel may refuse an exclusive name since it knows it from before a delete on disk.
    pub(crate) fn may_seem_present(&self, place: &Place) -> bool {
        self.found(place).is_err() && self.deleted_on_disk.contains(place.1.as_str())
    }

    // The mount's life

    fn remount(&mut self) {
        self.note("unmount and mount again");
        self.close_all();
        self.mount.take().unwrap().unmount();
        self.check_disk();
        self.mount = Some(TempMount::with_options(&self.storage, &["--ttl", self.ttl]));
        self.model.remounted();
        self.check_all();
    }

    fn kill(&mut self) {
        self.note("kill the daemon and mount again");
        self.mount.as_mut().unwrap().kill();
        self.readers.clear();
        self.writers.clear();
        self.opener = Opener::start();
        self.mount.as_mut().unwrap().start();
        self.model.remounted();
        self.await_healing();
        self.check_all();
    }

    /// Does a close to the model, and waits for what the daemon publishes only after close(2).
    pub(crate) fn closed(
        &mut self,
        place: &Place,
        before: Option<u64>,
        close: impl FnOnce(&mut Storage) -> Closed,
    ) {
        if close(&mut self.model) == Closed::AtRelease {
            self.await_publish(place, before);
        }
    }
}

/// Closes a file, and gives back what that came to.
pub(crate) fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
}

/// A value in a few words.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let begin: String = String::from_utf8_lossy(bytes).chars().take(24).collect();
    format!("{} bytes {begin:?}", bytes.len())
}
