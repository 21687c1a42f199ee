//! Keys and the names of their value files, in both layouts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storefs::backend::directory::fuzzing::{
    Layout, check_value_name, looks_temporary, sidecar_of, value_of_sidecar,
};
use storefs::model::Key;

/// Longest name of a file in bytes.
const NAME_MAX: usize = 255;

fuzz_target!(|bytes: &[u8]| {
    looks_temporary(bytes);
    if let Some(value) = value_of_sidecar(bytes) {
        assert_eq!(sidecar_of(value), bytes);
    }
    let Ok(key) = Key::from_bytes(bytes) else { return };
    for layout in Layout::ALL {
        // As a key: the name that is made for it leads back to it, and to nowhere else on the disk.
        if key.as_str().is_some() {
            let name = layout.value_name(&key);
            assert_eq!(layout.key(&name).unwrap(), key, "{layout:?}");
            if check_value_name(&name, &key).is_ok() {
                assert!(!name.contains(&b'/') && !name.contains(&0));
                assert!(!matches!(name.as_slice(), b"" | b"." | b".." | b"__metadata__.json"));
                assert!(value_of_sidecar(&name).is_none());
                assert!(sidecar_of(&name).len() <= NAME_MAX);
            }
        }
        // As a name that lies in a store: either it is the one that is made for its key, or it is its own key.
        let stands_for = layout.key(bytes).unwrap();
        assert!(
            layout.value_name(&stands_for) == bytes || stands_for.as_bytes() == bytes,
            "{layout:?}: {stands_for:?}",
        );
    }
});
