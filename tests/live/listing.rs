//! Listings through the mount while the SDK makes thousands of records.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::{METADATA, TempMount, TempStorage, names, sh};
use crate::sdk::{Python, STORE};
use crate::work::{Flag, while_working};

/// Records that are there before.
const OLD: usize = 500;

/// Records that the SDK makes meanwhile.
const NEW: usize = 10_000;

/// The records that the mount shows, by one of several tools; panics if any is shown twice.
#[track_caller]
fn listed_by(tool: &str, store: &Path) -> BTreeSet<String> {
    let mut shown = match tool {
        "readdir" => names(store),
        command => {
            let printed = sh(command, store);
            let lines: Vec<_> =
                printed.lines().map(|line| line.trim_start_matches("./").to_owned()).collect();
            let shown: BTreeSet<_> = lines.iter().cloned().collect();
            assert_eq!(shown.len(), lines.len(), "{command} shows a name twice");
            shown
        }
    };
    assert!(shown.remove(METADATA));
    shown
}

#[test]
fn p02_listings_are_consistent_while_the_sdk_makes_ten_thousand_records() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    client.ask(&json!({"fill": "old", "numbers": [0, OLD]}));
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);

    let old: BTreeSet<_> = (0..OLD).map(|number| format!("old{number}")).collect();
    let new: BTreeSet<_> = (0..NEW).map(|number| format!("new{number}")).collect();
    let mut seen = old.clone();
    let done = Flag::default();
    let mut listings = 0;
    thread::scope(|scope| {
        let filler = scope.spawn(|| {
            let _done = done.set_on_drop();
            client.ask(&json!({"fill": "new", "numbers": [0, NEW]}));
        });
        while !done.is_set() {
            for tool in ["readdir", "find . -type f", "ls -A", "ls -fA"] {
                let shown = listed_by(tool, &mounted);
                let lost: Vec<_> = seen.difference(&shown).take(5).collect();
                assert!(lost.is_empty(), "{tool} does not show {lost:?} and perhaps more");
                let foreign: Vec<_> = shown
                    .iter()
                    .filter(|name| !old.contains(*name) && !new.contains(*name))
                    .collect();
                assert!(foreign.is_empty(), "{tool} shows {foreign:?}");
                seen = shown;
                listings += 1;
                // Listings alone would leave the SDK no processor.
                thread::sleep(Duration::from_millis(100));
            }
        }
        filler.join().unwrap();
    });
    assert!(listings > 4, "the SDK was too fast for the test");
    let all: BTreeSet<_> = old.union(&new).cloned().collect();
    for tool in ["readdir", "find . -type f"] {
        assert!(listed_by(tool, &mounted) == all, "{tool} does not show all in the end");
    }
}

#[test]
fn p02_a_listing_that_was_begun_before_shows_each_record_that_stays_once() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let kept: BTreeSet<_> = (0..3000).map(|number| format!("kept{number}")).collect();
    client.ask(&json!({"fill": "kept", "numbers": [0, kept.len()]}));
    client.ask(&json!({"fill": "gone", "numbers": [0, 300]}));
    let mount = TempMount::new(&storage);

    // Far more names than one request gives; the rest is asked for while records come and go.
    let mut listing = fs::read_dir(mount.store(STORE)).unwrap();
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut shown: Vec<_> = listing.by_ref().take(10).map(name).collect();
    let mut number = 0;
    while_working(
        || {
            client.ask(&json!({"fill": "come", "numbers": [number, number + 20]}));
            client.ask(&json!({"delete": format!("gone{}", number / 20)}));
            number += 20;
        },
        || {
            for entry in listing.by_ref() {
                shown.push(name(entry));
                if shown.len() % 100 == 0 {
                    // Gives the SDK the processor; the listing is right however little it does meanwhile.
                    thread::sleep(Duration::from_millis(20));
                }
            }
        },
    );
    let once: BTreeSet<_> = shown.iter().cloned().collect();
    assert_eq!(once.len(), shown.len(), "a name is listed twice");
    let lost: Vec<_> = kept.difference(&once).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
