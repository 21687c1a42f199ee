//! A record's sidecar: any bytes are read or refused, and a type that was read can be written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storefs::backend::directory::fuzzing::{parse_sidecar, sidecar_text};
use storefs::model::Key;

fuzz_target!(|text: &[u8]| {
    let Ok(content_type) = parse_sidecar(text) else { return };
    assert!(!content_type.as_str().is_empty());

    // Any key and size do; these come from the input, too.
    let key = Key::from_bytes(text).unwrap();
    let written = sidecar_text(&key, &content_type, text.len() as u64);
    assert_eq!(parse_sidecar(&written), Ok(content_type));

    let fields: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(fields["key"], key.to_string());
    assert_eq!(fields["size"], text.len());
});
