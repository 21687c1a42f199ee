//! What an SDK finds in a store's directory after, and while, storefs is at work there.

use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, mime_type, names, sh, staged,
};
use crate::help::{close, put, sidecar_of, storage_of, write};

/// Whether the SDKs know what a file of this name in a store's directory is.
fn is_known_to_sdks(name: &str) -> bool {
    let value = name.strip_suffix(METADATA).map_or(name, |value| value.trim_end_matches('.'));
    value.is_empty() || ["k", "made", "moved"].contains(&value)
}

#[test]
fn p9_staging_lies_outside_the_stores() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let mut changed = File::options().append(true).open(mount.store("default").join("k")).unwrap();
    let mut made = File::create(mount.store("default").join("made")).unwrap();
    changed.write_all(b" and more").unwrap();
    made.write_all(b"not yet").unwrap();
    let only_k = ["k", "k.__metadata__.json", METADATA].map(String::from);
    assert_eq!(names(&storage.store("default")), only_k.into());
    assert_eq!(names(&storage.path().join(STORES)), ["default".to_owned()].into());
    assert_eq!(names(&storage.path()), [STORES, ".storefs"].map(String::from).into());
    assert_eq!(staged(&storage.path()).len(), 2);
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "k");
    close(changed).unwrap();
    close(made).unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "k and more");
}

#[test]
fn p9_a_store_never_shows_an_sdk_anything_of_ours() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                for store in names(&storage.path().join(STORES)) {
                    assert!(["default", "other", "renamed"].contains(&store.as_str()), "{store}");
                    // The store may be dropped between the two looks.
                    let Ok(listed) = fs::read_dir(storage.store(&store)) else { continue };
                    for entry in listed {
                        let name = entry.unwrap().file_name().into_string().unwrap();
                        assert!(is_known_to_sdks(&name), "{name}");
                    }
                }
                looks += 1;
            }
            looks
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                sh(
                    "mkdir other; echo one > default/made; echo more >> default/made; mv default/made other/
                     setfattr -n user.mime_type -v text/x-own other/made; mv other/made other/moved
                     mv other renamed; echo 1 > renamed/@purge; echo 1 > default/@purge; rm -r renamed
                     echo k > default/k",
                    &mount.stores(),
                );
            }
        }));
        done.store(true, Ordering::Relaxed);
        let looks = watcher.join().unwrap();
        assert!(worked.is_ok(), "the work itself failed");
        looks
    });
    assert!(looks > 0);
}

#[test]
fn p11_a_bare_file_is_shown_with_an_inferred_type_and_left_as_it_is() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let store = storage.store("default");
    for (name, value) in [
        ("INPUT.json", "{\"a\": 1}"),
        ("page.html", "<p>"),
        ("broken.json", "{no json"),
        ("data", "[1, 2]"),
        ("notes", "some text"),
    ] {
        fs::write(store.join(name), value).unwrap();
    }
    fs::write(store.join("blob"), [0, 0xff]).unwrap();
    let before = names(&store);
    let mount = TempMount::new(&storage);
    for (name, expected) in [
        ("INPUT.json", "application/json; charset=utf-8"),
        ("page.html", "text/html; charset=utf-8"),
        ("broken.json", "text/plain; charset=utf-8"),
        ("data", "application/json; charset=utf-8"),
        ("notes", "text/plain; charset=utf-8"),
        ("blob", "application/octet-stream"),
    ] {
        assert_eq!(mime_type(&mount.store("default").join(name)), expected, "{name}");
        assert_eq!(
            fs::read(mount.store("default").join(name)).unwrap(),
            fs::read(store.join(name)).unwrap()
        );
    }
    sh("ls -l; stat *", &mount.store("default"));
    mount.unmount();
    assert_eq!(names(&store), before, "looking makes no sidecar");
}

#[test]
fn p11_a_bare_file_gets_its_sidecar_when_it_is_written() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    fs::write(storage.store("default").join("page.html"), "<p>").unwrap();
    let mount = TempMount::new(&storage);
    sh("echo '</p>' >> page.html", &mount.store("default"));
    let sidecar = sidecar_of(&storage, "default", "page.html");
    assert_eq!(sidecar["key"], "page.html");
    assert_eq!(sidecar["contentType"], "text/html; charset=utf-8");
    assert_eq!(sidecar["size"], 8);
    assert_eq!(fs::read(storage.store("default").join("page.html")).unwrap(), b"<p></p>\n");
}

#[test]
fn p12_sidecars_are_written_in_camel_case() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    assert_eq!(sidecar_of(&storage, "default", "k")["content_type"], "text/plain");
    let mount = TempMount::new(&storage);
    write(&mount.store("default").join("k"), "new").unwrap();
    let file = storage.store("default").join("k.__metadata__.json");
    let expected = "{\n  \"key\": \"k\",\n  \"contentType\": \"text/plain\",\n  \"size\": 3\n}";
    assert_eq!(fs::read_to_string(file).unwrap(), expected);
}

/// A store as Crawlee JS 3 leaves it: files without metadata and sidecars.
fn js3_storage() -> TempStorage {
    let storage = TempStorage::empty();
    fs::create_dir_all(storage.store("default")).unwrap();
    for (name, value) in [("INPUT.json", "{}"), ("obj.json", "{\"a\": 1}"), ("page.html", "<p>")] {
        fs::write(storage.store("default").join(name), value).unwrap();
    }
    storage
}

#[test]
fn p12_a_store_of_crawlee_js_3_stays_in_its_layout() {
    if !can_mount() {
        return;
    }
    let storage = js3_storage();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let shown = ["INPUT.json", "obj.json", "page.html"].map(String::from);
    assert_eq!(names(&store), shown.into());
    assert_eq!(mime_type(&store.join("page.html")), "text/html; charset=utf-8");
    write(&store.join("obj.json"), "[]").unwrap();
    write(&store.join("new.txt"), "text").unwrap();
    write(&store.join("shot.jpg"), "bytes").unwrap();
    write(&store.join("\u{fc} %.json"), "{}").unwrap();
    fs::rename(store.join("page.html"), store.join("moved.html")).unwrap();
    let shown = ["INPUT.json", "obj.json", "moved.html", "new.txt", "shot.jpg", "\u{fc} %.json"];
    assert_eq!(names(&store), shown.map(String::from).into());
    assert_eq!(mime_type(&store.join("shot.jpg")), "image/jpeg");
    mount.unmount();
    // JS 3 could not list a file of the name shot.jpg.
    let on_disk =
        ["INPUT.json", "obj.json", "moved.html", "new.txt", "shot.jpg.bin", "\u{fc} %.json"];
    assert_eq!(names(&storage.store("default")), on_disk.map(String::from).into());
    assert_eq!(fs::read(storage.store("default").join("obj.json")).unwrap(), b"[]");
}

/// Crawlee JS 3 purges a store by putting a new directory in its place, which holds at most an input.
#[test]
fn p12_a_store_that_js_3_has_replaced_stays_in_its_layout() {
    if !can_mount() {
        return;
    }
    let storage = js3_storage();
    let mount = TempMount::new(&storage);
    let (store, disk) = (mount.store("default"), storage.store("default"));
    assert!(names(&store).len() > 1);
    fs::rename(&disk, storage.beside().join("old")).unwrap();
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join("INPUT.json"), "{}").unwrap();
    fs::write(store.join("shot.jpg"), "x").unwrap();
    assert_eq!(names(&disk), ["INPUT.json", "shot.jpg.bin"].map(str::to_owned).into());
    // Made anew by hand, it is a store like any other.
    sh("rm -r default && mkdir default && echo '{}' > default/new.json", &mount.stores());
    let made = [METADATA, "new.json", "new.json.__metadata__.json"];
    assert_eq!(names(&disk), made.map(str::to_owned).into());
}

#[test]
fn p12_a_store_of_nothing_but_an_input_gets_sidecars_at_its_first_write() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    fs::create_dir_all(storage.store("default")).unwrap();
    fs::write(storage.store("default").join("INPUT.json"), "{}").unwrap();
    let mount = TempMount::new(&storage);
    write(&mount.store("default").join("OUTPUT"), "{}").unwrap();
    mount.unmount();
    let left = ["INPUT.json", "OUTPUT", "OUTPUT.__metadata__.json", METADATA].map(String::from);
    assert_eq!(names(&storage.store("default")), left.into());
}

#[test]
fn p12_the_layout_can_be_said_by_hand() {
    if !can_mount() {
        return;
    }
    let storage = js3_storage();
    let mount = TempMount::with_options(&storage, &["--dialect", "sidecars"]);
    write(&mount.store("default").join("shot.jpg"), "bytes").unwrap();
    mount.unmount();
    assert!(storage.store("default").join("shot.jpg").exists());
    assert_eq!(sidecar_of(&storage, "default", "shot.jpg")["contentType"], "image/jpeg");

    let storage = TempStorage::empty();
    let mount = TempMount::with_options(&storage, &["--dialect", "js3"]);
    fs::create_dir(mount.store("default")).unwrap();
    write(&mount.store("default").join("obj.json"), "{}").unwrap();
    write(&mount.store("default").join("notes.md"), "# notes").unwrap();
    assert_eq!(mime_type(&mount.store("default").join("notes.md")), "text/markdown; charset=utf-8");
    mount.unmount();
    let left = ["obj.json", "notes.md.bin"].map(String::from);
    assert_eq!(names(&storage.store("default")), left.into());
}

#[test]
fn a_record_that_looks_like_a_temporary_is_shown_if_it_has_a_sidecar() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["foo.abcd_123.tmp"]);
    let store = storage.store("default");
    fs::write(store.join("bar.abcd_123.tmp"), "half").unwrap();
    fs::write(store.join(".tmp.AbCdEf012345"), "half").unwrap();
    let mount = TempMount::new(&storage);
    let shown = ["foo.abcd_123.tmp", METADATA].map(String::from);
    assert_eq!(names(&mount.store("default")), shown.into());
    put(&storage, "default", ".tmp.AbCdEf012345", "a record by now");
    let shown = ["foo.abcd_123.tmp", ".tmp.AbCdEf012345", METADATA].map(String::from);
    assert_eq!(names(&mount.store("default")), shown.into());
}
