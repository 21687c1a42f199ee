//! The mount as the storage directory of unmodified SDKs: what they do there is what they do in a plain directory.
//!
//! Each test lets an SDK work in a plain directory and in a mount with `--show-sidecars`, and compares what it saw
//! and what it left.

mod crawl;
mod exercise;
mod site;
mod view;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{METADATA, TempMount, TempStorage, tree};
use crate::sdk::answer_of;

/// A storage directory for an SDK to work in, through a mount.
fn mount(storage: &TempStorage) -> TempMount {
    TempMount::with_options(storage, &["--show-sidecars"])
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/drop_in").join(name)
}

/// The variable that names the storage directory to Crawlee, and that of the Apify SDK.
const OF_CRAWLEE: &str = "CRAWLEE_STORAGE_DIR";
const OF_APIFY: &str = "APIFY_LOCAL_STORAGE_DIR";

/// What a script says that works in a storage directory which this variable names.
#[track_caller]
fn run_in(mut command: Command, variable: &str, storage_dir: &Path) -> Value {
    command.env(variable, storage_dir);
    answer_of(command, &Value::Null)
}

/// All files of a storage directory by their paths, with what can be compared between two runs of the same work:
/// ids in names are left out, and so are contents with ids and times. Dataset items are numbered in the order of
/// their contents, since the order in which pages arrive is not that of the work.
fn snapshot(storage_dir: &Path) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    let mut items: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, content) in tree(storage_dir) {
        let path = path.into_os_string().into_string().unwrap();
        if path.starts_with(".storefs/") {
            continue;
        }
        let (dir, name) = path.rsplit_once('/').unwrap();
        let content = content.escape_ascii().to_string();
        if path.starts_with("datasets/") && name != METADATA {
            items.entry(dir.to_owned()).or_default().push(content);
        } else if let Some(rest) = name.strip_prefix("__RQ_STATE_") {
            let end = rest.find('.').map_or("", |at| &rest[at..]);
            found.insert(format!("{dir}/__RQ_STATE_*{end}"), None);
        } else {
            let varies = name == METADATA
                || name.starts_with("SDK_")
                || name.starts_with("__CRAWLER_STATISTICS_")
                || path.starts_with("request_queues/");
            found.insert(path.clone(), (!varies).then_some(content));
        }
    }
    for (dir, mut contents) in items {
        contents.sort();
        for (number, content) in contents.into_iter().enumerate() {
            found.insert(format!("{dir}/item {number}"), Some(content));
        }
    }
    found
}

/// Asserts that two snapshots are alike, and says where they are not.
#[track_caller]
fn assert_alike(
    plain: &BTreeMap<String, Option<String>>,
    mounted: &BTreeMap<String, Option<String>>,
) {
    let only = |one: &BTreeMap<String, Option<String>>,
                other: &BTreeMap<String, Option<String>>| {
        one.keys().filter(|path| !other.contains_key(*path)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(only(plain, mounted), Vec::<String>::new(), "not in the mount");
    assert_eq!(only(mounted, plain), Vec::<String>::new(), "not in the plain directory");
    for (path, content) in plain {
        assert_eq!(&mounted[path], content, "{path}");
    }
}

/// Asserts that the mount shows the storage as it is on disk.
#[track_caller]
fn assert_shows_what_is_on_disk(mount: &TempMount, storage: &TempStorage) {
    let of = |dir: &Path| {
        let mut files = tree(dir);
        files.retain(|path, _| !path.starts_with(".storefs"));
        files
    };
    let (shown, on_disk) = (of(&mount.path()), of(&storage.path()));
    assert_eq!(shown.keys().collect::<Vec<_>>(), on_disk.keys().collect::<Vec<_>>());
    for (path, content) in &on_disk {
        assert!(shown[path] == *content, "{}", path.display());
    }
}

/// Panics with what a program printed unless it succeeded.
#[track_caller]
fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
