//! Sidecars that are written by their names: taken as what they are, in no listing, and read back by their names.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, can_mount, mime_type, names, sh, try_sh, wait_until};
use crate::help::{close, errno, make_store, put, sidecar_of, storage_of, write};

fn sidecar(key: &str, content_type: &str, size: usize) -> String {
    let fields = json!({"key": key, "content_type": content_type, "size": size});
    serde_json::to_string_pretty(&fields).unwrap()
}

fn name(file: &str) -> String {
    format!("{file}.{METADATA}")
}

#[test]
fn a_sidecar_that_nobody_has_brought_is_not_there() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for file in ["k", "new"] {
        let path = store.join(name(file));
        assert_eq!(errno(fs::metadata(&path)), Errno::NOENT);
        assert_eq!(errno(fs::read(&path)), Errno::NOENT);
        assert_eq!(errno(fs::remove_file(&path)), Errno::NOENT);
        assert_eq!(errno(fs::rename(&path, store.join("x"))), Errno::NOENT);
    }
    mount.unmount();
    assert_eq!(storage.files(), before);
}

#[test]
fn p10_a_sidecar_is_its_records_type_whichever_comes_first() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for (first, file) in [("value", "one"), ("sidecar", "two")] {
        let text = sidecar(file, "application/x-own", 5);
        let both = [(file.to_owned(), "value"), (name(file), text.as_str())];
        let order = if first == "value" { [0, 1] } else { [1, 0] };
        for at in order {
            write(&store.join(&both[at].0), both[at].1).unwrap();
        }
        assert_eq!(mime_type(&store.join(file)), "application/x-own", "{first} first");
        // To the letter, as any other SDK would have left it.
        let on_disk = fs::read_to_string(storage.store("default").join(name(file))).unwrap();
        assert_eq!(on_disk, text, "{first} first");
        assert_eq!(fs::read_to_string(store.join(name(file))).unwrap(), text, "{first} first");
    }
    assert_eq!(names(&store), ["one", "two", METADATA].map(String::from).into());
}

#[test]
fn p9_a_sidecar_without_a_value_reaches_no_sdk() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = names(&storage.store("default"));
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let text = sidecar("orphan", "a/b", 3);
    write(&store.join(name("orphan")), &text).unwrap();
    write(&store.join(name(METADATA)), &text).unwrap();
    assert_eq!(fs::read_to_string(store.join(name("orphan"))).unwrap(), text);
    assert_eq!(names(&storage.store("default")), before);
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());
    assert_eq!(errno(fs::read(store.join("orphan"))), Errno::NOENT);
    // A store that holds no more than that is empty.
    sh(
        "mkdir made; echo '{\"key\": \"x\", \"contentType\": \"a/b\"}' > made/x.__metadata__.json; rmdir made",
        &mount.stores(),
    );
    // Nor is anything left of it.
    sh("mkdir made; ! cat made/x.__metadata__.json 2> /dev/null; rmdir made", &mount.stores());
    mount.unmount();
    assert_eq!(names(&storage.store("default")), before);
}

#[test]
fn a_sidecar_is_a_file_for_every_program() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let path = store.join(name("k"));
    let text = sidecar("k", "text/x-one", 1);
    // In the mount from its creation, as it grows.
    let mut open = File::create_new(&path).unwrap();
    assert_eq!(errno(File::create_new(&path)), Errno::EXIST);
    open.write_all(&text.as_bytes()[..10]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), &text.as_bytes()[..10]);
    assert_eq!((open.metadata().unwrap().len(), fs::metadata(&path).unwrap().len()), (10, 10));
    assert_eq!(mime_type(&store.join("k")), "text/plain", "not before it is closed");
    open.write_all(&text.as_bytes()[10..]).unwrap();
    open.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    close(open).unwrap();
    assert_eq!(mime_type(&store.join("k")), "text/x-one");

    sh(
        "touch -d '2024-05-06 07:08:09.5' k.__metadata__.json; chmod 604 k.__metadata__.json",
        &store,
    );
    let on_disk = storage.store("default").join(name("k"));
    for path in [&path, &on_disk] {
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.mode() & 0o777, found.len()), (0o604, text.len() as u64));
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_714_979_289, 500_000_000));
    }

    sh("sed -i s/x-one/x-two/ k.__metadata__.json", &store);
    assert_eq!(mime_type(&store.join("k")), "text/x-two");
    sh(
        "jq '.content_type = \"text/x-three\"' k.__metadata__.json > tmp; mv tmp k.__metadata__.json",
        &store,
    );
    assert_eq!(mime_type(&store.join("k")), "text/x-three");
    sh("vim -Nu NONE -es -c '%s/x-three/x-four/' -c 'wq' k.__metadata__.json", &store);
    assert_eq!(mime_type(&store.join("k")), "text/x-four");
    sh(
        "cp --remove-destination k.__metadata__.json /tmp/$$; sed -i s/x-four/x-five/ /tmp/$$; cp --remove-destination /tmp/$$ k.__metadata__.json; rm /tmp/$$",
        &store,
    );
    assert_eq!(mime_type(&store.join("k")), "text/x-five");
    sh(
        "printf '{\"key\": \"k\", \"contentType\": \"text/x-six\", \"size\": 1}' | dd of=k.__metadata__.json status=none",
        &store,
    );
    assert_eq!(mime_type(&store.join("k")), "text/x-six");
    let all = ["k", METADATA].map(String::from);
    assert_eq!(names(&store), all.clone().into());
    assert_eq!(names(&storage.store("default")), all.into_iter().chain([name("k")]).collect());
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "k");
}

#[test]
fn a_removed_sidecar_can_be_made_again_and_the_record_keeps_its_type() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let path = store.join(name("k"));
    write(&path, sidecar("k", "text/x-one", 1)).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(errno(fs::metadata(&path)), Errno::NOENT);
    assert_eq!(mime_type(&store.join("k")), "text/x-one");
    assert_eq!(sidecar_of(&storage, "default", "k")["content_type"], "text/x-one");
    let mut made = File::create_new(&path).unwrap();
    made.write_all(sidecar("k", "text/x-two", 1).as_bytes()).unwrap();
    close(made).unwrap();
    assert_eq!(mime_type(&store.join("k")), "text/x-two");
    // What is open when it is removed is kept nowhere.
    let mut open = File::options().append(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    open.write_all(b"no json").unwrap();
    close(open).unwrap();
    assert_eq!(mime_type(&store.join("k")), "text/x-two");
}

/// It is what was brought only as long as nobody has changed it.
#[test]
fn p2_a_sidecar_is_found_by_its_name_until_its_record_is_another() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::with_options(&storage, &["--ttl", "0"]);
    let store = mount.store("default");
    let path = store.join(name("k"));
    let bring = || write(&path, sidecar("k", "text/x-own", 1)).unwrap();
    let is_gone = || assert_eq!(errno(fs::metadata(&path)), Errno::NOENT);

    bring();
    // The same type of a value of the same length: nothing has to be written.
    write(&store.join("k"), "l").unwrap();
    assert!(path.exists());
    write(&store.join("k"), "longer").unwrap();
    is_gone();
    assert_eq!(mime_type(&store.join("k")), "text/x-own");

    write(&store.join("k"), "k").unwrap();
    bring();
    put(&storage, "default", "k", "m");
    is_gone();
    assert_eq!(mime_type(&store.join("k")), "text/plain", "an SDK has set another");

    bring();
    sh("mv k l", &store);
    is_gone();
    assert_eq!(mime_type(&store.join("l")), "text/x-own");
}

/// As by `rsync -X` of a storage whose files have no attributes.
#[test]
fn p10_a_type_that_a_sidecar_has_brought_stays_when_the_attribute_is_removed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    write(&store.join(name("k")), sidecar("k", "text/x-own", 1)).unwrap();
    sh("setfattr -x user.mime_type k", &store);
    assert_eq!(mime_type(&store.join("k")), "text/x-own");
    sh("setfattr -n user.mime_type -v text/x-hand k; setfattr -x user.mime_type k", &store);
    assert_eq!(mime_type(&store.join("k")), "text/plain; charset=utf-8");
}

#[test]
fn p19_a_damaged_sidecar_is_held_but_replaces_no_good_one() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k", "l"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for text in ["", "{no", "[]", "null", "{}", "{\"key\": \"k\"}"] {
        write(&store.join(name("k")), text).unwrap();
        assert_eq!(fs::read_to_string(store.join(name("k"))).unwrap(), text);
        assert_eq!(mime_type(&store.join("k")), "text/plain", "{text}");
        assert_eq!(sidecar_of(&storage, "default", "k")["content_type"], "text/plain");
    }
    let good = sidecar("l", "text/x-own", 1);
    write(&store.join(name("l")), &good).unwrap();
    for text in ["{no", "[]", "{\"key\": \"l\"}"] {
        assert_eq!(errno(write(&store.join(name("l")), text)), Errno::INVAL, "{text}");
        assert_eq!(fs::read_to_string(store.join(name("l"))).unwrap(), good);
        assert_eq!(mime_type(&store.join("l")), "text/x-own");
    }
    let too_long = vec![b' '; 64 * 1024 + 1];
    assert_eq!(errno(write(&store.join(name("l")), too_long)), Errno::FBIG);
    assert_eq!(mime_type(&store.join("l")), "text/x-own");
}

/// Where it says what is not so, its type counts and no SDK is told the rest.
#[test]
fn p10_a_sidecar_that_is_wrong_about_its_value_gives_its_type_alone() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for (at, text) in [
        json!({"key": "k", "contentType": "text/x-0", "size": 5}),
        json!({"key": "other", "contentType": "text/x-1", "size": 1}),
        json!({"key": "k", "contentType": "text/x-2", "content_type": "text/y", "size": 1}),
        json!({"key": "k", "contentType": "text/x-3"}),
    ]
    .into_iter()
    .enumerate()
    {
        write(&store.join(name("k")), text.to_string()).unwrap();
        let expected = json!({"key": "k", "contentType": format!("text/x-{at}"), "size": 1});
        assert_eq!(sidecar_of(&storage, "default", "k"), expected);
        assert_eq!(fs::read_to_string(store.join(name("k"))).unwrap(), text.to_string());
    }
    // It was for a value that came later.
    let text = sidecar("k", "application/x-own", 8);
    write(&store.join(name("k")), &text).unwrap();
    write(&store.join("k"), "in place").unwrap();
    let on_disk = storage.store("default").join(name("k"));
    assert_eq!(fs::read_to_string(on_disk).unwrap(), text);
}

#[test]
fn a_sidecar_tells_which_key_a_file_of_a_storage_has() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for (file, key) in [("with%20space", "with space"), ("%C3%BC", "\u{fc}"), ("%2541", "%41")] {
        // The value first, under the key that the name has here.
        write(&store.join(file), "value").unwrap();
        write(&store.join(name(file)), sidecar(key, "text/x-own", 5)).unwrap();
        assert!(names(&store).contains(key) && !names(&store).contains(file));
        assert_eq!(sidecar_of(&storage, "default", file)["key"], key);
        // Its name still leads to it: whoever copies sets its times afterwards.
        sh(&format!("touch -d '2024-05-06 07:08:09' '{file}'; chmod 600 '{file}'"), &store);
        let found = fs::metadata(storage.store("default").join(file)).unwrap();
        assert_eq!((found.mtime(), found.mode() & 0o777), (1_714_979_289, 0o600));
        fs::remove_file(store.join(key)).unwrap();
        assert_eq!(errno(fs::metadata(store.join(file))), Errno::NOENT);
    }
    // Said by hand, of a record whose key is this name.
    write(&store.join("a%20b"), "value").unwrap();
    write(&store.join(name("a%20b")), sidecar("a%20b", "text/x-own", 5)).unwrap();
    assert!(names(&store).contains("a%20b"));
    assert_eq!(sidecar_of(&storage, "default", "a%2520b")["key"], "a%20b");
}

/// The metadata that `mkdir` makes is in nobody's way who copies a directory.
#[test]
fn the_metadata_of_mkdir_gives_way_to_the_one_that_is_copied() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "other");
    let mount = TempMount::new(&storage);
    let text = fs::read_to_string(storage.store("default").join(METADATA)).unwrap();
    let id = |store: &str| -> Value {
        let text = fs::read(storage.store(store).join(METADATA)).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["id"].clone()
    };
    let make = |store: &str| {
        let path = mount.store(store).join(METADATA);
        let mut file = File::create_new(path)?;
        file.write_all(text.as_bytes())?;
        close(file)
    };
    fs::create_dir(mount.store("made")).unwrap();
    make("made").unwrap();
    assert_eq!(id("made"), "HvTUFIxMPIib09NEi");
    assert_eq!(errno(make("made")), Errno::EXIST, "that is no longer ours");
    assert_eq!(errno(make("other")), Errno::EXIST);

    // It is there for all others, and for its maker who lists the store.
    fs::create_dir(mount.store("seen")).unwrap();
    assert_eq!(names(&mount.store("seen")), [METADATA.to_owned()].into());
    assert_eq!(sh("jq -r .name seen/__metadata__.json", &mount.stores()), "seen\n");
    assert!(mount.store("seen").join(METADATA).exists());
    // Cut off in the middle, it is what it was.
    fs::create_dir(mount.store("half")).unwrap();
    let own = id("half");
    let mut file = File::create_new(mount.store("half").join(METADATA)).unwrap();
    file.write_all(b"{").unwrap();
    assert_eq!(errno(close(file)), Errno::INVAL);
    wait_until("it is let go of", || {
        id("half") == own && mount.store("half").join(METADATA).exists()
    });
}

#[test]
fn the_metadata_can_be_removed_and_made_again() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let text = fs::read_to_string(store.join(METADATA)).unwrap();
    fs::remove_file(store.join(METADATA)).unwrap();
    let mut made = File::create_new(store.join(METADATA)).unwrap();
    assert_eq!(made.metadata().unwrap().len(), 0);
    made.write_all(text.as_bytes()).unwrap();
    assert_eq!(fs::metadata(store.join(METADATA)).unwrap().len(), text.len() as u64);
    assert!(names(&store).contains(METADATA));
    close(made).unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join(METADATA)).unwrap(), text);
    for script in [
        "cp -p __metadata__.json $TMP; cp --remove-destination -p $TMP __metadata__.json",
        "tar cf $TMP __metadata__.json; tar xf $TMP",
        "rsync -a __metadata__.json $TMP; touch -d 2020-01-01 $TMP; rsync -a $TMP __metadata__.json",
        "vim -Nu NONE -es -c '%s/null/null/' -c 'wq' __metadata__.json",
        "chmod 640 __metadata__.json; test $(stat -c %a __metadata__.json) = 640",
    ] {
        let script = format!("TMP=$(mktemp -u)\n{script}\nrm -f $TMP");
        let output = try_sh(&script, &store);
        assert!(output.status.success() && output.stderr.is_empty(), "{script}: {output:?}");
        let id = |path: &Path| -> Value {
            serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()["id"].clone()
        };
        assert_eq!(id(&storage.store("default").join(METADATA)), "HvTUFIxMPIib09NEi", "{script}");
        assert_eq!(names(&store), ["k", METADATA].map(String::from).into(), "{script}");
    }
}
