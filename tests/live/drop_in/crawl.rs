//! A real crawl with each SDK's own crawler.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::site::{PAGES, Site};
use super::{
    OF_CRAWLEE, assert_alike, assert_shows_what_is_on_disk, mount, run_in, script, snapshot,
};
use crate::common::{STORES, TempStorage};
use crate::sdk::{Js, Python};

/// Crawls the site in a storage directory.
#[track_caller]
fn crawl(mut command: Command, storage_dir: &Path, site: &Site) {
    command.arg(site.url());
    let seen: Value = run_in(command, OF_CRAWLEE, storage_dir);
    assert_eq!(seen["finished"], PAGES, "{seen}");
    assert_eq!(seen["failed"], 0, "{seen}");
}

#[track_caller]
fn crawl_both(command: impl Fn() -> Command, suffix: &str) {
    let site = Site::start();
    let plain = TempStorage::empty();
    crawl(command(), &plain.path(), &site);
    let expected = snapshot(&plain.path());
    let count = |start: &str| expected.keys().filter(|path| path.starts_with(start)).count();
    assert!(count("datasets/default/item ") == PAGES, "{}", count("datasets/"));
    assert!(count("request_queues/default/") >= PAGES, "{}", count("request_queues/"));
    for number in 1..=PAGES {
        let path = format!("{STORES}/pages/page-{number}{suffix}");
        assert!(expected.contains_key(&path), "{path}");
    }

    let storage = TempStorage::empty();
    let mount = mount(&storage);
    // The second run begins with the purge of what the first has left.
    for _ in 0..2 {
        crawl(command(), &mount.path(), &site);
        assert_shows_what_is_on_disk(&mount, &storage);
        assert_alike(&expected, &snapshot(&mount.path()));
    }
    mount.unmount();
    assert_alike(&expected, &snapshot(&storage.path()));
}

#[test]
fn crawlee_python_crawls_a_site_with_its_storage_in_the_mount() {
    let Some(python) = Python::find() else { return };
    crawl_both(
        || {
            let mut command = python.interpreter();
            command.arg(script("python_crawl.py"));
            command
        },
        "",
    );
}

#[test]
fn crawlee_js3_crawls_a_site_with_its_storage_in_the_mount() {
    let Some(js) = Js::find() else { return };
    crawl_both(
        || {
            let mut command = js.interpreter();
            command.arg(script("js_crawl.cjs"));
            command
        },
        ".html",
    );
}
