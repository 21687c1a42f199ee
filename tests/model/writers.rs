//! Readers and writers that stay open over several steps.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{OFlags, XattrFlags};
use rustix::io::Errno;

use crate::expected::{Closed, Place};
use crate::run::{HAND_SET, Reader, Run, Writer, close, shown};

/// So many readers, and so many writers, are open at most.
const OPEN: usize = 6;

impl Run {
    pub(crate) fn open_reader(&mut self, place: &Place) {
        if self.readers.len() >= OPEN {
            return self.close_reader();
        }
        self.note(format!("open {place:?} for reading"));
        if self.model.is_made_twice(place) {
            return self.check(place);
        }
        let opened = File::open(self.path(place));
        match self.model.shown(place) {
            None => {
                let errno = opened.as_ref().err().and_then(Errno::from_io_error);
                assert_eq!(errno, Some(Errno::NOENT), "{opened:?}");
            }
            Some(bytes) => {
                let reader = Reader { file: opened.unwrap(), bytes: bytes.to_vec() };
                // Who reads what was never published sees it grow, and keeps no version.
                if self.model.new_record(place).is_none() {
                    self.readers.push(reader);
                } else {
                    reader.check();
                }
            }
        }
    }

    pub(crate) fn close_reader(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let which = self.draw.below(self.readers.len());
        let reader = self.readers.swap_remove(which);
        self.note(format!("read and close a reader of {}", shown(&reader.bytes)));
        reader.check();
        close(reader.file).unwrap();
    }

    pub(crate) fn open_writer(&mut self, place: &Place) {
        if self.writers.len() >= OPEN {
            return self.close_writer();
        }
        let (appends, truncates) = (self.draw.once_in(3), self.draw.once_in(3));
        let is_apart = self.model.is_apart(place);
        let known = self.model.stores.contains_key(&place.0);
        if !known || is_apart && (appends || !truncates) {
            return;
        }
        let how = if appends {
            "to append"
        } else if truncates {
            "truncating"
        } else {
            "for writing"
        };
        self.note(format!("open {place:?} {how}"));
        let mut flags = OFlags::RDWR | OFlags::CREATE;
        flags.set(OFlags::APPEND, appends);
        flags.set(OFlags::TRUNC, truncates && !appends);
        let path = self.path(place);
        let theirs = self.opener.open(&path, flags).unwrap();
        let (session, mut share) = self.model.open(place);
        if truncates && !appends {
            self.model.empty_at_open(session, &mut share);
        }
        self.writers.push(Writer { theirs, session, share, appends });
        self.check(place);
    }

    /// Writes, sets the length, or publishes by fsync.
    pub(crate) fn use_writer(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let which = self.draw.below(self.writers.len());
        let session = self.writers[which].session;
        let state = &self.model.sessions[&session];
        if state.failed {
            return;
        }
        let (place, len) = (state.place.clone(), state.bytes().len());
        match self.draw.below(9) {
            0 => {
                let data_only = self.draw.once_in(2);
                self.note(format!("fsync a writer of {place:?}"));
                let file = &self.writers[which].theirs.file;
                let synced = if data_only { file.sync_data() } else { file.sync_all() };
                let published = self.model.publish(session);
                self.must_be(expected(published), synced);
            }
            1 => {
                let len = self.draw.below(len + 20);
                self.note(format!("set the length for a writer of {place:?} to {len}"));
                let writer = &mut self.writers[which];
                writer.theirs.file.set_len(len as u64).unwrap();
                self.model.set_len(session, len, &mut writer.share);
            }
            2 => {
                self.note(format!("close a copy of a writer of {place:?}"));
                let writer = &self.writers[which];
                let closed = close(writer.theirs.file.try_clone().unwrap());
                let published = self.model.close_copy(session, writer.share);
                self.must_be(expected(published), closed);
            }
            3 => self.set_type_of_writer(which, place.as_ref()),
            _ => {
                let (at, bytes) = (self.draw.below(len + 20), self.draw.value());
                let writer = &self.writers[which];
                let at = (!writer.appends).then_some(at);
                self.note(format!("write for a writer of {place:?} at {at:?} {}", shown(&bytes)));
                let writer = &mut self.writers[which];
                writer.theirs.file.write_all_at(&bytes, at.unwrap_or(0) as u64).unwrap();
                self.model.write(session, &bytes, at, &mut writer.share);
            }
        }
        self.check_writer(which);
        if let Some(place) = place {
            self.check(&place);
        }
    }

    /// Sets the type of a record that is there or being made, as `cp -a` does.
    fn set_type_of_writer(&mut self, which: usize, place: Option<&Place>) {
        let Some(place) = place else { return };
        if self.model.sessions[&self.writers[which].session].lost.is_some() {
            return;
        }
        if self.model.shown(place).is_none() {
            return;
        }
        let content_type = self.draw.one_of(&HAND_SET);
        self.note(format!("set the type for a writer of {place:?} to {content_type}"));
        let (file, flags) = (&self.writers[which].theirs.file, XattrFlags::empty());
        rustix::fs::fsetxattr(file, "user.mime_type", content_type.as_bytes(), flags).unwrap();
        self.model.set_type(place, content_type);
    }

    pub(crate) fn close_writer(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let which = self.draw.below(self.writers.len());
        let writer = self.writers.swap_remove(which);
        let place = self.model.sessions[&writer.session].place.clone();
        self.note(format!("close a writer of {place:?}"));
        let before = place.as_ref().and_then(|place| self.disk_inode(place));
        let closed = self.opener.close(writer.theirs);
        let published = self.model.close(writer.session, writer.share);
        self.must_be(expected(published), closed.map_err(std::io::Error::from));
        let Some(place) = place else { return };
        self.closed(&place, before, |_| published);
        self.check(&place);
    }

    pub(crate) fn close_all(&mut self) {
        while !self.readers.is_empty() {
            self.close_reader();
        }
        while !self.writers.is_empty() {
            self.close_writer();
        }
    }

    /// One reader and one writer see what they must.
    pub(crate) fn check_open_files(&mut self) {
        if !self.readers.is_empty() {
            let which = self.draw.below(self.readers.len());
            self.readers[which].check();
        }
        if !self.writers.is_empty() {
            let which = self.draw.below(self.writers.len());
            self.check_writer(which);
        }
    }

    fn check_writer(&self, which: usize) {
        let writer = &self.writers[which];
        let expected = self.model.sessions[&writer.session].bytes();
        let seen = whole(&writer.theirs.file);
        assert!(seen == expected, "a writer sees {}, not {}", shown(&seen), shown(expected));
    }
}

/// What fsync or close says of a publish.
fn expected(published: Closed) -> Result<(), Errno> {
    if published == Closed::Refused { Err(Errno::STALE) } else { Ok(()) }
}

impl Reader {
    fn check(&self) {
        let seen = whole(&self.file);
        assert!(seen == self.bytes, "a reader sees {}, not {}", shown(&seen), shown(&self.bytes));
        let middle = self.bytes.len() / 2;
        let mut rest = vec![0; self.bytes.len() - middle];
        let count = read_at(&self.file, &mut rest, middle);
        assert!(rest[..count] == self.bytes[middle..], "a reader sees another second half");
    }
}

/// All that a file holds, which must be as long as it says.
#[track_caller]
pub(crate) fn whole(file: &File) -> Vec<u8> {
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut seen = vec![0; len + 1];
    let count = read_at(file, &mut seen, 0);
    assert_eq!(count, len, "the length that fstat tells");
    seen.truncate(count);
    seen
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], from: usize) -> usize {
    let mut count = 0;
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], (from + count) as u64).unwrap() {
            0 => break,
            more => count += more,
        }
    }
    count
}
