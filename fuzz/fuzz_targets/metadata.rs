//! A store's metadata: any bytes are read or refused; what was read keeps every field that is not its to change,
//! and can be read again.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use storefs::backend::directory::fuzzing::MetadataText;

const TIMES: [&str; 4] = ["accessedAt", "accessed_at", "modifiedAt", "modified_at"];

fuzz_target!(|text: &[u8]| {
    let Ok(found) = MetadataText::parse(text) else { return };
    let before: Map<String, Value> = serde_json::from_slice(text).unwrap();
    let read = found.metadata().clone();
    assert_eq!(read.id.as_deref(), before["id"].as_str());

    let later = Timestamp::from_second(2_000_000_000).unwrap();
    let touched = found.touched(later).unwrap();
    unchanged_but(&TIMES, &before, &fields(&touched));
    let now = touched.metadata();
    assert_eq!((&now.id, &now.name), (&read.id, &read.name));
    assert_eq!(now.times.created_at, read.times.created_at);
    assert!(now.times.accessed_at >= read.times.accessed_at);
    assert!(now.times.modified_at >= read.times.modified_at);

    // A purge sets the times, also back.
    let purged = touched.purged(later).unwrap();
    unchanged_but(&TIMES, &before, &fields(&purged));
    assert_eq!(purged.metadata().times.modified_at, later);

    let renamed = purged.renamed("renamed").unwrap();
    let mut changed = TIMES.to_vec();
    changed.push("name");
    unchanged_but(&changed, &before, &fields(&renamed));
    assert_eq!(renamed.metadata().name.as_deref(), Some("renamed"));
});

/// The fields as they are written. Numbers are compared digit by digit.
fn fields(text: &MetadataText) -> Map<String, Value> {
    serde_json::from_slice(&text.to_bytes()).unwrap()
}

/// Every field is there as before and in its place, but for the values of some; only a name may be new.
fn unchanged_but(changed: &[&str], before: &Map<String, Value>, after: &Map<String, Value>) {
    let mut rest = after.iter();
    for (field, value) in before {
        let (name, new) = rest.next().unwrap();
        assert_eq!(name, field);
        assert!(changed.contains(&field.as_str()) || new == value, "{field}: {value} -> {new}");
    }
    assert!(rest.all(|(field, _)| field == "name" && changed.contains(&"name")));
}
