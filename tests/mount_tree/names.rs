//! Keys, their file names in the mount and their names on disk.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use crate::common::{
    METADATA, TempMount, can_mount, disk_name, file_name, names, sh, staged, wait_until,
};
use crate::help::{errno, make_store, put, sidecar_of, storage_of, write};

/// Key, file name in the mount, name on disk.
const KEYS: [(&str, &str, &str); 23] = [
    ("OUTPUT", "OUTPUT", "OUTPUT"),
    ("a/b", "a%2Fb", "a%2Fb"),
    ("a%2Fb", "a%252Fb", "a%252Fb"),
    ("a%252Fb", "a%25252Fb", "a%25252Fb"),
    ("/abs/", "%2Fabs%2F", "%2Fabs%2F"),
    ("%41", "%41", "%2541"),
    ("%", "%", "%25"),
    ("a%2Eb", "a%2Eb", "a%252Eb"),
    ("%C3%BC", "%C3%BC", "%25C3%25BC"),
    ("100%", "100%", "100%25"),
    ("100%.txt", "100%.txt", "100%25.txt"),
    ("f%20o.html", "f%20o.html", "f%2520o.html"),
    ("@handle.json", "@handle.json", "%40handle.json"),
    ("@purge", "%40purge", "%40purge"),
    ("@items.json", "%40items.json", "%40items.json"),
    ("a@b", "a@b", "a%40b"),
    ("\u{fc}", "\u{fc}", "%C3%BC"),
    ("with space", "with space", "with%20space"),
    ("it's \"quoted\"", "it's \"quoted\"", "it%27s%20%22quoted%22"),
    ("two\nlines", "two\nlines", "two%0Alines"),
    ("nul\0", "nul%00", "nul%00"),
    ("nul%00", "nul%2500", "nul%2500"),
    ("...", "...", "..."),
];

#[test]
fn a_key_has_one_name_on_disk_and_one_in_the_mount_both_ways() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    make_store(&storage, "written");
    for (key, shown, on_disk) in KEYS {
        assert_eq!((file_name(key).as_str(), disk_name(key).as_str()), (shown, on_disk));
        put(&storage, "default", on_disk, key);
    }
    let mount = TempMount::new(&storage);

    let expected = KEYS.map(|(_, shown, _)| shown.to_owned()).into_iter();
    let expected = expected.chain([METADATA.to_owned()]).collect();
    assert_eq!(names(&mount.store("default")), expected);
    for (key, shown, on_disk) in KEYS {
        let read = fs::read_to_string(mount.store("default").join(shown)).unwrap();
        assert_eq!(read, key, "{shown:?}");
        write(&mount.store("written").join(shown), key).unwrap();
        let written = fs::read_to_string(storage.store("written").join(on_disk)).unwrap();
        assert_eq!(written, key, "{on_disk:?}");
        assert_eq!(sidecar_of(&storage, "written", on_disk)["key"], key);
    }
    assert_eq!(names(&mount.store("written")), expected);
    assert_eq!(fs::read_dir(storage.store("written")).unwrap().count(), 2 * KEYS.len() + 1);
    for (_, shown, _) in KEYS {
        fs::remove_file(mount.store("default").join(shown)).unwrap();
    }
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
}

#[test]
fn keys_that_no_file_can_hold_are_refused() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    // ".", "..", "__metadata__.json" and "x.__metadata__.json", as the mount would show them.
    for shown in ["%2E", "%2E.", "%5F_metadata__.json", "x%2E__metadata__.json"] {
        let path = store.join(shown);
        assert_eq!(errno(fs::metadata(&path)), Errno::NOENT, "{shown}");
        assert_eq!(errno(File::create(&path)), Errno::INVAL, "{shown}");
        assert_eq!(errno(fs::rename(store.join("k"), &path)), Errno::INVAL, "{shown}");
    }
    assert_eq!(staged(&storage.path()), [].into());
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());
}

#[test]
fn programs_use_names_with_percent_and_at_signs_as_they_are() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    sh(
        r#"
        touch '100%.txt' 'f%20o.html' '@handle.json' '%41'
        test "$(LC_ALL=C ls)" = "$(printf '%s\n' %41 100%.txt @handle.json __metadata__.json f%20o.html k)"
        for name in '100%.txt' 'f%20o.html' '@handle.json' '%41'; do
            echo "in $name" > "$name"
            test "$(cat "$name")" = "in $name"
        done
        mv 'f%20o.html' 'moved%.html'
        mv k '%%'
        rm '%41'
        "#,
        &store,
    );
    let expected = ["100%.txt", "@handle.json", "moved%.html", "%%", METADATA].map(String::from);
    assert_eq!(names(&store), expected.into());
    mount.unmount();
    for (key, text) in [
        ("100%.txt", "in 100%.txt\n"),
        ("@handle.json", "in @handle.json\n"),
        ("moved%.html", "in f%20o.html\n"),
        ("%%", "k"),
    ] {
        let on_disk = disk_name(key);
        assert_eq!(sidecar_of(&storage, "default", &on_disk)["key"], key);
        let value = fs::read_to_string(storage.store("default").join(&on_disk)).unwrap();
        assert_eq!(value, text, "{key}");
    }
    assert_eq!(fs::read_dir(storage.store("default")).unwrap().count(), 2 * 4 + 1);
}

#[test]
fn a_name_that_is_not_utf_8_is_refused() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let foreign = store.join(OsStr::from_bytes(b"a\xffb"));
    assert_eq!(errno(fs::metadata(&foreign)), Errno::NOENT);
    // The last is the same name in the spelling in which an existing file would be shown.
    for path in [foreign, store.join("a%xFFb")] {
        assert_eq!(errno(File::create(&path)), Errno::ILSEQ);
        assert_eq!(errno(fs::rename(store.join("k"), &path)), Errno::ILSEQ);
    }
    assert_eq!(staged(&storage.path()), [].into());
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());
}

#[test]
fn a_file_whose_name_is_not_utf_8_is_shown_escaped() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let foreign = storage.store("default").join(OsStr::from_bytes(b"a\xffb"));
    let long = storage.store("default").join(OsStr::from_bytes(&[0xff; 255]));
    fs::write(&foreign, "foreign").unwrap();
    fs::write(&long, "long").unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let long_shown = "%xFF".repeat(255);
    let expected = ["a%xFFb", "k", &long_shown, METADATA].map(String::from);
    assert_eq!(names(&store), expected.into());
    assert_eq!(fs::read_to_string(store.join("a%xFFb")).unwrap(), "foreign");
    assert_eq!(fs::read_to_string(store.join(&long_shown)).unwrap(), "long");

    fs::rename(store.join("a%xFFb"), store.join("now proper")).unwrap();
    assert!(!foreign.exists());
    assert_eq!(sidecar_of(&storage, "default", "now%20proper")["key"], "now proper");
    fs::remove_file(store.join(&long_shown)).unwrap();
    assert!(!long.exists());
    assert_eq!(names(&store), ["k", "now proper", METADATA].map(String::from).into());
}

#[test]
fn p11_a_bare_file_with_a_space_becomes_a_proper_record_when_it_is_written() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    for bare in ["my file.txt", "100%", "\u{fc}.md"] {
        fs::write(storage.store("default").join(bare), "by hand").unwrap();
    }
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let expected = ["k", "my file.txt", "100%", "\u{fc}.md", METADATA].map(String::from);
    assert_eq!(names(&store), expected.clone().into());
    for (shown, bare, on_disk) in [
        ("my file.txt", "my file.txt", "my%20file.txt"),
        ("100%", "100%", "100%25"),
        ("\u{fc}.md", "\u{fc}.md", "%C3%BC.md"),
    ] {
        assert_eq!(fs::read_to_string(store.join(shown)).unwrap(), "by hand");
        write(&store.join(shown), "through the mount").unwrap();
        assert!(!storage.store("default").join(bare).exists(), "{bare}");
        let value = fs::read_to_string(storage.store("default").join(on_disk)).unwrap();
        assert_eq!(value, "through the mount");
        assert_eq!(sidecar_of(&storage, "default", on_disk)["size"], 17);
    }
    assert_eq!(names(&store), expected.into());
}

#[test]
fn a_bare_file_is_hidden_by_the_record_that_has_its_key() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["my%20file"]);
    fs::write(storage.store("default").join("my file"), "by hand").unwrap();
    let mount = TempMount::new(&storage);
    assert_eq!(names(&mount.store("default")), ["my file", METADATA].map(String::from).into());
    let read = fs::read_to_string(mount.store("default").join("my file")).unwrap();
    assert_eq!(read, "my%20file");
}

/// A key of which each character takes six bytes on disk, filled up to this many.
fn key_of_disk_length(length: usize) -> String {
    "\u{fc}".repeat(length / 6) + &"a".repeat(length % 6)
}

#[test]
fn a_key_may_take_237_bytes_on_disk_and_no_more() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let (longest, too_long) = (key_of_disk_length(237), key_of_disk_length(238));
    assert_eq!((disk_name(&longest).len(), disk_name(&too_long).len()), (237, 238));
    let plain = "p".repeat(237);
    for key in [&longest, &plain] {
        write(&store.join(key), "fits").unwrap();
        assert_eq!(sidecar_of(&storage, "default", &disk_name(key))["key"], *key);
        assert_eq!(fs::read_to_string(store.join(key)).unwrap(), "fits");
    }

    wait_until("what was written is released", || staged(&storage.path()).is_empty());
    let before = storage.files();
    let plain_too_long = "p".repeat(238);
    for key in [&too_long, &plain_too_long] {
        assert_eq!(errno(File::create(store.join(key))), Errno::NAMETOOLONG);
        assert_eq!(errno(fs::rename(store.join("k"), store.join(key))), Errno::NAMETOOLONG);
        let made = rustix::fs::mknodat(
            CWD,
            store.join(key),
            FileType::RegularFile,
            Mode::from_raw_mode(0o644),
            0,
        );
        assert_eq!(errno(made), Errno::NAMETOOLONG);
        assert_eq!(errno(fs::metadata(store.join(key))), Errno::NOENT);
    }
    assert_eq!(storage.files(), before);
    assert_eq!(staged(&storage.path()), [].into());
}

#[test]
fn a_bare_file_whose_name_leaves_no_room_for_a_sidecar_is_shown_and_can_be_renamed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let long = "p".repeat(255);
    fs::write(storage.store("default").join(&long), "by hand").unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    assert_eq!(names(&store), ["k", &long, METADATA].map(String::from).into());
    assert_eq!(fs::read_to_string(store.join(&long)).unwrap(), "by hand");
    assert_eq!(errno(write(&store.join(&long), "changed")), Errno::NAMETOOLONG);
    assert_eq!(fs::read_to_string(storage.store("default").join(&long)).unwrap(), "by hand");
    fs::rename(store.join(&long), store.join("short")).unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("short")).unwrap(), "by hand");
    assert_eq!(sidecar_of(&storage, "default", "short")["key"], "short");
}

#[test]
fn links_devices_and_sockets_are_refused() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for dir in [&store, &mount.stores(), &mount.path()] {
        refuses_all_but_files_and_directories(dir, &store.join("k"));
    }
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());
    assert_eq!(fs::metadata(store.join("k")).unwrap().len(), 1);
}

#[track_caller]
fn refuses_all_but_files_and_directories(dir: &Path, record: &Path) {
    let new = dir.join("new");
    assert_eq!(errno(std::os::unix::fs::symlink(record, &new)), Errno::PERM);
    assert_eq!(errno(fs::hard_link(record, &new)), Errno::PERM);
    assert_eq!(errno(UnixListener::bind(&new)), Errno::PERM);
    for kind in [FileType::Fifo, FileType::CharacterDevice, FileType::BlockDevice, FileType::Socket]
    {
        let number = rustix::fs::makedev(1, 3);
        let made = rustix::fs::mknodat(CWD, &new, kind, Mode::from_raw_mode(0o644), number);
        assert_eq!(errno(made), Errno::PERM, "{kind:?}");
    }
}

#[test]
fn a_plain_file_can_be_made_without_opening_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mknod = |name: &str| {
        let mode = Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(CWD, store.join(name), FileType::RegularFile, mode, 0)
    };
    mknod("made").unwrap();
    assert_eq!(fs::metadata(store.join("made")).unwrap().len(), 0);
    assert_eq!(fs::read(storage.store("default").join("made")).unwrap(), b"");
    assert_eq!(sidecar_of(&storage, "default", "made")["size"], 0);
    assert_eq!(errno(mknod("made")), Errno::EXIST);
    assert_eq!(errno(mknod("k")), Errno::EXIST);
    sh("touch touched; : > redirected; test -e touched -a -e redirected", &store);
    assert_eq!(errno(File::create_new(store.join("k"))), Errno::EXIST);
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "k");
}
