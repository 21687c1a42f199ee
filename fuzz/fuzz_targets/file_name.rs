//! Keys and the names under which they are shown in the mount.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storefs::fs::FsError;
use storefs::fs::fuzzing::{file_name, parse_name};
use storefs::model::{Key, StoreName};

/// The names of the mount's control file and of later ones.
const CONTROL_FILES: [&[u8]; 5] =
    [b"@status", b"@log", b"@items.jsonl", b"@items.json", b"@items.csv"];

fuzz_target!(|bytes: &[u8]| {
    // As a name that a program asks for.
    match parse_name(bytes) {
        Ok(Some(key)) => assert_eq!(file_name(&key), bytes),
        Ok(None) => assert!(
            bytes == b"@purge"
                || bytes == b"__metadata__.json"
                || bytes.ends_with(b".__metadata__.json")
                || is_sidecar_to_be(bytes)
        ),
        Err(FsError::Reserved) => {
            assert!(CONTROL_FILES.contains(&bytes) || bytes == b".__metadata__.json");
        }
        Err(FsError::NotUnicode) => assert!(std::str::from_utf8(bytes).is_err()),
        Err(FsError::Invalid) => assert!(is_no_component(bytes)),
        Err(error) => panic!("{error:?}"),
    }

    // As a key, Unicode or not: it has one name, which is one component of a path and leads back to it.
    if let Ok(key) = Key::from_bytes(bytes) {
        let name = file_name(&key);
        assert!(!is_no_component(&name), "{name:?}");
        let is_record = !is_sidecar_to_be(&name);
        assert_eq!(parse_name(&name).unwrap(), is_record.then_some(key));
    }

    if let Ok(text) = std::str::from_utf8(bytes) {
        let is_store = StoreName::new(text).is_ok();
        assert_eq!(is_store, !is_no_component(bytes) && bytes.len() <= 255);
    }
});

/// Whether it is a name under which rsync writes a sidecar, and too long for a record.
fn is_sidecar_to_be(name: &[u8]) -> bool {
    let own = name.len().checked_sub(7).and_then(|end| name.get(1..end)).unwrap_or_default();
    name.len() > 237 && name.starts_with(b".") && own.ends_with(b".__metadata__.json")
}

/// Whether it is more, or less, than one name in a directory.
fn is_no_component(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0)
}
