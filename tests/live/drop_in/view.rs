//! What the mount shows of a storage, and how it is written to, where everything is shown.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::{assert_shows_what_is_on_disk, mount};
use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, mime_type, names, sh, tree, wait_until,
};
use crate::sdk::Python;

/// The directories of a storage beside that of the stores.
const OTHERS: [&str; 2] = ["datasets", "request_queues"];

/// All directories below one, but for storefs's own.
fn directories(dir: &Path) -> BTreeSet<String> {
    let found = sh("find . -mindepth 1 -name .storefs -prune -o -type d -print", dir);
    found.lines().map(str::to_owned).collect()
}

#[test]
fn p19_everything_is_shown_as_it_is_on_disk() {
    if !can_mount() {
        return;
    }
    for fixture in ["python/values", "python/states", "js-v3/plain", "mixed/python-then-js"] {
        let storage = TempStorage::of_fixture(fixture);
        let store = names(&storage.path().join(STORES)).into_iter().next().unwrap();
        for litter in
            ["x.ab12_cd3.tmp", ".tmp.abcdefghijkl", "orphan.__metadata__.json", "INPUT.json~"]
        {
            fs::write(storage.store(&store).join(litter), litter).unwrap();
        }
        fs::create_dir_all(storage.store(&store).join("x.json.lock")).unwrap();
        fs::create_dir_all(storage.store("__CRAWLEE_TEMPORARY_0__")).unwrap();
        for other in OTHERS {
            fs::create_dir_all(storage.path().join(other).join("empty")).unwrap();
        }
        let mount = mount(&storage);
        assert_shows_what_is_on_disk(&mount, &storage);
        assert_eq!(directories(&mount.path()), directories(&storage.path()), "{fixture}");
        sh("grep -r . . >/dev/null", &mount.path());
    }
}

#[test]
fn p03_nothing_is_added_and_what_is_written_is_published_at_close() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let mount = mount(&storage);
    let (mounted, on_disk) = (mount.store("default"), storage.store("default"));
    fs::create_dir_all(&mounted).unwrap();
    assert!(names(&on_disk).is_empty() && names(&mounted).is_empty(), "mkdir adds something");

    let mut file = File::create(mounted.join("value.tmp")).unwrap();
    file.write_all(b"{\"half\": ").unwrap();
    assert!(names(&on_disk).is_empty(), "seen before it is published");
    file.write_all(b"1}").unwrap();
    drop(file);
    assert_eq!(tree(&on_disk), [("value.tmp".into(), b"{\"half\": 1}".to_vec())].into());
    fs::rename(mounted.join("value.tmp"), mounted.join("value")).unwrap();
    assert_eq!(names(&on_disk), ["value".to_owned()].into());

    fs::create_dir(mounted.join("value.lock")).unwrap();
    assert_eq!(
        fs::create_dir(mounted.join("value.lock")).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert!(on_disk.join("value.lock").is_dir());
    fs::remove_dir(mounted.join("value.lock")).unwrap();
    fs::rename(mount.store("default"), mount.store("__OLD_DEFAULT_0__")).unwrap();
    assert_eq!(names(&storage.path().join(STORES)), ["__OLD_DEFAULT_0__".to_owned()].into());
    fs::remove_dir_all(mount.store("__OLD_DEFAULT_0__")).unwrap();
    assert!(names(&storage.path().join(STORES)).is_empty());
}

#[test]
fn p10_a_sidecar_that_is_written_is_the_type_for_another_mount() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let (raw, ordinary) = (mount(&storage), TempMount::new(&storage));
    let store = raw.store("default");
    fs::create_dir_all(&store).unwrap();
    let metadata = json!({
        "id": "writtenByHand0001", "name": null, "created_at": "2026-01-01 00:00:00+00:00",
        "accessed_at": "2026-01-01 00:00:00+00:00", "modified_at": "2026-01-01 00:00:00+00:00",
    });
    fs::write(store.join(METADATA), metadata.to_string()).unwrap();
    fs::write(store.join("page"), "<p>").unwrap();
    for content_type in ["text/html", "text/x-own"] {
        let sidecar = json!({"key": "page", "contentType": content_type, "size": 3}).to_string();
        let temporary = store.join(format!("page.{METADATA}.abcd1234.json.tmp"));
        fs::write(&temporary, &sidecar).unwrap();
        fs::rename(&temporary, store.join(format!("page.{METADATA}"))).unwrap();
        wait_until("the other mount tells the type", || {
            mime_type(&ordinary.store("default").join("page")) == content_type
        });
        assert_eq!(names(&ordinary.store("default")), ["page", METADATA].map(str::to_owned).into());
        assert_eq!(python.dump(&storage, "default")["page"]["content_type"], content_type);
    }
    assert_eq!(names(&storage.store("default")).len(), 3);
    let facts = crate::common::xattr(&ordinary.store("default"), "user.storefs.id").unwrap();
    assert_eq!(facts, "writtenByHand0001");
}

#[test]
fn p13_p15_purge_works_where_everything_is_shown() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, "default");
    client.set("a", &json!({"a": 1}));
    let mount = mount(&storage);
    let mounted = mount.store("default");
    fs::write(mounted.join("INPUT.json"), "{\"kept\": 1}").unwrap();
    fs::write(mounted.join("left.ab12_cd3.tmp"), "x").unwrap();
    assert!(!names(&mounted).contains("@purge"));
    assert!(fs::write(mounted.join("@purge"), "2").is_err());
    assert!(names(&mounted).contains("a"));
    fs::write(mounted.join("@purge"), "1").unwrap();
    let kept = |name: &String| name == METADATA || name.starts_with("INPUT.json");
    assert!(names(&mounted).iter().all(kept), "{:?}", names(&mounted));
    assert_eq!(fs::read(mounted.join("INPUT.json")).unwrap(), b"{\"kept\": 1}");
    assert_eq!(names(&mounted), names(&storage.store("default")));
    assert_eq!(client.get("a")["type"], Value::Null);
}

/// Reads and writes the directories that are no stores, by programs.
#[track_caller]
fn datasets_pass_through(mount: &TempMount, storage: &TempStorage) {
    for other in OTHERS {
        let (mounted, on_disk) = (mount.path().join(other), storage.path().join(other));
        assert_eq!(tree(&mounted), tree(&on_disk), "{other}");
        sh(
            "mkdir -p made/inner; echo '{\"n\": 1}' > made/000000001.json; cp made/*.json made/inner/x; \
             mv made/inner/x made/y; sed -i 's/1/2/' made/y; rmdir made/inner; mv made moved; mkdir empty",
            &mounted,
        );
        let expected: Vec<u8> = b"{\"n\": 2}\n".into();
        assert_eq!(fs::read(on_disk.join("moved/y")).unwrap(), expected);
        assert_eq!(fs::read(mounted.join("moved/y")).unwrap(), expected);
        assert_eq!(tree(&mounted), tree(&on_disk), "{other}");
        assert_eq!(directories(&mounted), directories(&on_disk));
        // And the other way round.
        fs::write(on_disk.join("moved/on-disk.json"), "[]").unwrap();
        assert_eq!(fs::read(mounted.join("moved/on-disk.json")).unwrap(), b"[]");
        assert!(names(&mounted.join("moved")).contains("on-disk.json"));
        sh("rm -r moved empty", &mounted);
        assert!(!on_disk.join("moved").exists() && !on_disk.join("empty").exists());
    }
}

#[test]
fn datasets_and_request_queues_are_plain_directories_of_every_mount() {
    if !can_mount() {
        return;
    }
    for options in [[].as_slice(), &["--show-sidecars"]] {
        let storage = TempStorage::of_fixture("python/values");
        let mount = TempMount::with_options(&storage, options);
        for dir in OTHERS.into_iter().chain([STORES]) {
            assert!(names(&mount.path()).contains(dir), "{dir}");
        }
        for other in OTHERS {
            fs::create_dir_all(storage.path().join(other)).unwrap();
        }
        datasets_pass_through(&mount, &storage);
    }
}

#[test]
fn the_python_sdk_has_its_datasets_and_queues_in_reach_of_an_ordinary_mount() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    let mut command = python.interpreter();
    command.arg(super::script("python_storage.py")).arg("crawlee");
    super::run_in(command, super::OF_CRAWLEE, &storage.path());
    for other in OTHERS {
        let shown = tree(&mount.path().join(other));
        assert!(!shown.is_empty());
        assert!(shown == tree(&storage.path().join(other)), "{other}");
    }
}
