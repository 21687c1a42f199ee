//! Content types: whatever bytes a record has, an SDK can decode it under the type that it gets.

#![no_main]

use std::io::Read;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{Storage, Store};
use storefs::model::{ContentType, Error, Key, StoreName};

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), Some("INPUT".to_owned()));
    storage.create_store(&StoreName::default_store()).unwrap()
});

// A line with the record's name, then its bytes.
fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let name = parts.next().unwrap_or_default();
    let bytes = parts.next().unwrap_or_default();
    for content_type in [ContentType::json(), ContentType::text(), ContentType::bytes()] {
        let fits = content_type.fits(&mut &*bytes).unwrap();
        // However the bytes come in.
        let step = name.len() + 1;
        assert_eq!(content_type.fits(&mut Crumbs { bytes, step }).unwrap(), fits, "{content_type}");
        check(&content_type, fits, bytes);
    }

    let Ok(key) = Key::new(&String::from_utf8_lossy(name)) else { return };
    let set = || STORE.set_value(&key, bytes, None);
    match set() {
        // The input of another run, of which there is but one.
        Err(Error::SecondInput { other, .. }) => {
            STORE.delete(&Key::new(&other).unwrap()).unwrap();
            set().unwrap();
        }
        set => set.unwrap(),
    }
    let found = STORE.content_type(&key).unwrap();
    assert!(found.fits(&mut &*bytes).unwrap(), "{found}");
    if key.as_str() != Some("INPUT") {
        STORE.delete(&key).unwrap();
    }
});

/// What an SDK would say.
fn check(content_type: &ContentType, fits: bool, bytes: &[u8]) {
    if content_type.is_text() {
        assert_eq!(fits, std::str::from_utf8(bytes).is_ok());
    } else if content_type.is_json() {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(_) => assert!(fits),
            // Deeper than this parser goes, and halves of characters, which the SDKs' parsers take.
            Err(error) => {
                let error = error.to_string();
                let narrow = ["recursion limit", "surrogate", "hex escape"];
                assert!(!fits || narrow.iter().any(|why| error.contains(why)), "{error}");
            }
        }
    } else {
        assert!(fits);
    }
}

/// Gives a few bytes at a time.
struct Crumbs<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Crumbs<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(self.bytes.len()).min(buffer.len());
        let (now, later) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}
