//! Writing over values that are far: what is fetched of them, and what happens if they are gone.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// That one range was read is what is said.
#![allow(clippy::single_range_in_vec_init)]

#[path = "common/far.rs"]
mod common_far;
#[path = "far/sessions.rs"]
mod sessions;
#[path = "far/staged.rs"]
mod staged;
#[path = "far/types.rs"]
mod types;

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use common_far::Far;
use storefs::backend::{Backend, Publish, PublishType, Reader, Staged, Value};
use storefs::engine::{Over, Storage, Store};
use storefs::model::{Error, Key, RecordType, StoreName};

/// A store of far values.
struct Room {
    far: Far,
    store: Store,
    backend: Arc<dyn Backend>,
}

impl Room {
    fn new() -> Self {
        let far = Far::default();
        let backend = far.backend();
        let storage = Storage::with_backend(Arc::new(backend.clone()), Some("INPUT".to_owned()));
        let store = storage.create_store(&StoreName::default_store()).unwrap();
        Self { far, store, backend: Arc::new(backend) }
    }

    /// Puts a value of a type, which need not be true, and opens it.
    fn put(&self, key: &Key, bytes: &[u8], record_type: RecordType) -> Arc<dyn Value> {
        let staged = self.store.stage().unwrap();
        staged.write_at(bytes, 0).unwrap();
        let decide = |_: &Staged, _: Option<&RecordType>| Ok(record_type.clone());
        let content_type = PublishType::Decided(&decide);
        let store = self.store.name();
        let publish = Publish { store, key, content_type, durable: false, over: Over::Anything };
        self.backend.publish(staged, &publish).unwrap();
        let value = self.store.open_value(key).unwrap();
        self.far.read();
        value
    }

    /// What goes on from a whole value.
    fn over(&self, value: &Arc<dyn Value>) -> Staged {
        let staged = self.store.stage().unwrap();
        staged.begin_with(value, value.attributes().unwrap().size).unwrap();
        staged
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn bytes_of(staged: &Staged) -> Vec<u8> {
    let mut bytes = Vec::new();
    Reader::new(staged).read_to_end(&mut bytes).unwrap();
    bytes
}

fn read(staged: &Staged, range: Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
    let count = staged.read_at(&mut bytes, range.start).unwrap();
    bytes.truncate(count);
    bytes
}

/// What reading a version fails with that others have replaced.
fn replaced() -> Error {
    Error::RecordReplaced { store: "default".to_owned(), key: "a".to_owned() }
}
