//! What changes attributes by name: times, permissions, types.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use crate::expected::Place;
use crate::run::{HAND_SET, Run};

impl Run {
    pub(crate) fn touch(&mut self, place: &Place) {
        if self.model.is_made_twice(place) {
            return;
        }
        let seconds = self.draw.below(2_000_000_000) as i64;
        self.note(format!("set the times of {place:?} to {seconds}"));
        let time = Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };
        let path = self.path(place);
        let outcome = rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty());
        self.must_be(self.found(place), outcome.map_err(io::Error::from));
        let by_sdk = self.model.record(place).is_some_and(|record| record.by_sdk);
        if self.found(place).is_ok() && !by_sdk {
            let stat = rustix::fs::stat(&path).unwrap();
            assert_eq!((stat.st_mtime, stat.st_mtime_nsec as u64), (seconds, 123_456_789));
        }
        self.check(place);
    }

    pub(crate) fn chmod(&mut self, place: &Place) {
        if self.model.is_made_twice(place) {
            return;
        }
        let mode = [0o600, 0o640, 0o644][self.draw.below(3)];
        self.note(format!("chmod {place:?} {mode:o}"));
        let permissions = fs::Permissions::from_mode(mode);
        let outcome = fs::set_permissions(self.path(place), permissions);
        self.must_be(self.found(place), outcome);
        if self.found(place).is_ok() {
            self.model.chmod(place, mode);
        }
        self.check(place);
    }

    pub(crate) fn set_type(&mut self, place: &Place) {
        if self.model.is_made_twice(place) {
            return;
        }
        let content_type = self.draw.one_of(&HAND_SET);
        self.note(format!("set the type of {place:?} to {content_type}"));
        let name = "user.mime_type";
        let path = self.path(place);
        let flags = XattrFlags::empty();
        let outcome = rustix::fs::setxattr(path, name, content_type.as_bytes(), flags);
        self.must_be(self.found(place), outcome.map_err(io::Error::from));
        if self.found(place).is_ok() {
            self.model.set_type(place, content_type);
        }
        self.check(place);
    }

    pub(crate) fn remove_type(&mut self, place: &Place) {
        if self.model.is_made_twice(place) {
            return;
        }
        self.note(format!("remove the type of {place:?}"));
        let outcome = rustix::fs::removexattr(self.path(place), "user.mime_type");
        self.must_be(self.found(place), outcome.map_err(io::Error::from));
        if self.found(place).is_ok() {
            self.model.remove_type(place);
        }
        self.check(place);
    }
}
