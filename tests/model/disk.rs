//! What others do to the files on disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::expected::Place;
use crate::record::{BYTES, JSON, TEXT};
use crate::run::{KEYS, Run, shown};

impl Run {
    /// Sets a value as crawlee-python does.
    pub(crate) fn sdk_sets(&mut self, place: &Place) {
        if !self.has_store(place) || self.model.type_waits(place) {
            return;
        }
        let bytes = self.draw.value();
        let content_type = match std::str::from_utf8(&bytes) {
            Err(_) => BYTES,
            Ok(text) if text.starts_with('{') => JSON,
            Ok(_) if self.draw.once_in(3) => "text/x-sdk",
            Ok(_) => TEXT,
        };
        self.note(format!("the SDK sets {place:?} {content_type} {}", shown(&bytes)));
        let sidecar = serde_json::json!({
            "key": place.1, "contentType": content_type, "size": bytes.len(),
        });
        self.put_on_disk(&self.value_path(place), &bytes);
        let sidecar = serde_json::to_string_pretty(&sidecar).unwrap();
        self.put_on_disk(&self.sidecar_path(place), sidecar.as_bytes());
        self.model.sdk_sets(place, bytes, Some(content_type));
        self.check(place);
    }

    fn put_on_disk(&self, path: &Path, bytes: &[u8]) {
        let temporary = PathBuf::from(format!("{}.a1b2c3d4.tmp", path.display()));
        fs::write(&temporary, bytes).unwrap();
        fs::rename(&temporary, path).unwrap();
    }

    pub(crate) fn sdk_deletes(&mut self, place: &Place) {
        if self.model.record(place).is_none() {
            return;
        }
        self.note(format!("the SDK deletes {place:?}"));
        fs::remove_file(self.value_path(place)).unwrap();
        if self.sidecar_path(place).exists() {
            fs::remove_file(self.sidecar_path(place)).unwrap();
        }
        self.model.sdk_deletes(place);
        self.deleted_on_disk.extend(KEYS.into_iter().find(|key| *key == place.1));
        self.check(place);
        if self.model.is_open_idle(place) {
            // Whoever opens the name next ends that, also if it is only tried. So it is done at once.
            self.overwrite(place);
        }
    }

    /// Puts a file without a sidecar into the store.
    pub(crate) fn drop_in(&mut self, place: &Place) {
        let replaced = self.model.record(place);
        let has_sidecar = replaced.is_some_and(|record| !record.bare);
        if !self.has_store(place) || has_sidecar || self.model.type_waits(place) {
            return;
        }
        let bytes = self.draw.value();
        self.note(format!("drop in {place:?} {}", shown(&bytes)));
        self.put_on_disk(&self.value_path(place), &bytes);
        self.model.sdk_sets(place, bytes, None);
        self.check(place);
    }
}
