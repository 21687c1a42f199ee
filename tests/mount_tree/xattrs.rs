//! Extended attributes: a record's content type, a store's facts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::common::{METADATA, TempMount, can_mount, mime_type, sh, try_sh, xattr};
use crate::help::{close, errno, make_store, put, sidecar_of, storage_of, write};

const MIME_TYPE: &str = "user.mime_type";

fn set(path: &Path, name: &str, value: &str, flags: XattrFlags) -> io::Result<()> {
    Ok(rustix::fs::setxattr(path, name, value.as_bytes(), flags)?)
}

fn remove(path: &Path, name: &str) -> io::Result<()> {
    Ok(rustix::fs::removexattr(path, name)?)
}

/// The names of all attributes of a file.
fn list(path: &Path) -> Vec<String> {
    let mut buffer = vec![0; 4096];
    let length = rustix::fs::listxattr(path, &mut buffer).unwrap();
    let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
}

#[test]
fn the_content_type_is_an_attribute_that_can_be_read_and_set() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    assert_eq!(mime_type(&record), "text/plain");
    assert_eq!(list(&record), [MIME_TYPE]);
    set(&record, MIME_TYPE, "text/markdown", XattrFlags::empty()).unwrap();
    assert_eq!(mime_type(&record), "text/markdown");
    let sidecar = sidecar_of(&storage, "default", "k");
    assert_eq!(sidecar["contentType"], "text/markdown");
    assert_eq!((&sidecar["key"], &sidecar["size"]), (&"k".into(), &1.into()));
    assert_eq!(fs::read_to_string(&record).unwrap(), "k");

    set(&record, MIME_TYPE, "text/csv", XattrFlags::REPLACE).unwrap();
    assert_eq!(errno(set(&record, MIME_TYPE, "text/x", XattrFlags::CREATE)), Errno::EXIST);
    assert_eq!(mime_type(&record), "text/csv");
    let shell =
        "setfattr -n user.mime_type -v image/x-own k; getfattr -n user.mime_type --only-values k";
    assert_eq!(sh(shell, &mount.store("default")), "image/x-own");
}

#[test]
fn namespaces_that_no_file_has_are_told_from_attributes_that_a_file_lacks() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let (store, record) = (mount.store("default"), mount.store("default").join("k"));
    let get = |path: &Path, name: &str| -> io::Result<usize> {
        Ok(rustix::fs::getxattr(path, name, &mut [0; 64][..])?)
    };
    for path in [&store, &record] {
        for name in ["system.posix_acl_access", "security.selinux", "trusted.x"] {
            assert_eq!(errno(get(path, name)), Errno::OPNOTSUPP, "{name}");
            let refused = errno(set(path, name, "x", XattrFlags::empty()));
            // The kernel looks into ACLs itself.
            assert!(matches!(refused, Errno::OPNOTSUPP | Errno::INVAL), "{name}: {refused}");
            assert_eq!(errno(remove(path, name)), Errno::OPNOTSUPP, "{name}");
        }
        assert_eq!(errno(get(path, "user.other")), Errno::NODATA);
        assert_eq!(errno(remove(path, "user.other")), Errno::NODATA);
    }
    // So that one question for all files is enough, which ls keeps to.
    let asked = "strace -f -e trace=getxattr,lgetxattr ls -l . 2>&1 | grep -c 'getxattr(' || true";
    for _ in 0..50 {
        File::create(store.join(format!("more-{}", store.read_dir().unwrap().count()))).unwrap();
    }
    let count: usize = sh(asked, &store).trim().parse().unwrap();
    assert!((1..10).contains(&count), "{count} questions for 51 files");
}

/// Its sidecar would be larger than those that are read.
#[test]
fn p10_a_type_that_could_not_be_read_back_is_refused() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    let too_long = format!("text/{}", "x".repeat(65_500 - 5));
    let made = File::create(mount.store("default").join("made")).unwrap();
    for longest in [too_long.as_str(), &too_long[..8193]] {
        let refused = set(&record, MIME_TYPE, longest, XattrFlags::empty());
        assert_eq!(errno(refused), Errno::INVAL);
        let refused =
            rustix::fs::fsetxattr(&made, MIME_TYPE, longest.as_bytes(), XattrFlags::empty());
        assert_eq!(refused, Err(Errno::INVAL), "nor for a record that is not published yet");
    }
    assert_eq!(mime_type(&record), "text/plain");
    // The longest, of characters that JSON makes the most of.
    let longest = format!("text/{}", "\u{7f}\\\"".repeat(2_729));
    assert_eq!(longest.len(), 8192);
    let sidecar = ["--content-type", &longest];
    let mut command = crate::common::storefs();
    command.args(["set", "default", "l"]).args(sidecar).arg("--source").arg(storage.path());
    assert!(command.stdin(std::process::Stdio::null()).status().unwrap().success());
    assert_eq!(mime_type(&mount.store("default").join("l")), longest);
}

#[test]
fn a_type_that_was_set_by_hand_stays_over_later_writes() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    set(&record, MIME_TYPE, "application/json", XattrFlags::empty()).unwrap();
    write(&record, "{no json").unwrap();
    assert_eq!(sidecar_of(&storage, "default", "k")["contentType"], "application/json");
    assert_eq!(fs::read_to_string(&record).unwrap(), "{no json");
    assert!(mount.log().contains("set by hand"), "{}", mount.log());
}

#[test]
fn p2_a_type_that_an_sdk_gives_later_is_shown() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    set(&record, MIME_TYPE, "text/x-own", XattrFlags::empty()).unwrap();
    put(&storage, "default", "k", "by an SDK");
    assert_eq!(fs::read_to_string(&record).unwrap(), "by an SDK");
    assert_eq!(mime_type(&record), "text/plain");
    assert_eq!(sidecar_of(&storage, "default", "k")["content_type"], "text/plain");
}

#[test]
fn a_type_set_by_hand_goes_with_its_record() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["unlinked", "purged", "deleted"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for record in ["unlinked", "purged", "deleted"] {
        set(&store.join(record), MIME_TYPE, "text/x-own", XattrFlags::empty()).unwrap();
    }
    fs::remove_file(store.join("unlinked")).unwrap();
    // As an SDK deletes: value, then sidecar.
    fs::remove_file(storage.store("default").join("deleted")).unwrap();
    fs::remove_file(storage.store("default").join("deleted.__metadata__.json")).unwrap();
    sh("echo 1 > @purge", &store);
    for record in ["unlinked", "purged", "deleted"] {
        write(&store.join(record), "{}").unwrap();
        assert_eq!(mime_type(&store.join(record)), "application/json; charset=utf-8", "{record}");
    }
}

#[test]
fn a_type_can_be_set_before_the_record_is_published() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let mount = TempMount::new(&storage);
    let path = mount.store("default").join("made");
    let mut file = File::create(&path).unwrap();
    rustix::fs::fsetxattr(&file, MIME_TYPE, b"image/x-own", XattrFlags::empty()).unwrap();
    file.write_all(b"bytes").unwrap();
    close(file).unwrap();
    assert_eq!(mime_type(&path), "image/x-own");
    assert_eq!(sidecar_of(&storage, "default", "made")["contentType"], "image/x-own");
}

#[test]
fn removing_the_type_infers_it_anew() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["page.html"]);
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("page.html");
    set(&record, MIME_TYPE, "application/x-own", XattrFlags::empty()).unwrap();
    remove(&record, MIME_TYPE).unwrap();
    assert_eq!(mime_type(&record), "text/html; charset=utf-8");
    let sidecar = sidecar_of(&storage, "default", "page.html");
    assert_eq!(sidecar["contentType"], "text/html; charset=utf-8");
    // And what was set by hand holds no more.
    write(&record, [0xff]).unwrap();
    assert_eq!(mime_type(&record), "application/octet-stream");
}

#[test]
fn p11_a_bare_file_gets_its_sidecar_when_it_is_typed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    fs::write(storage.store("default").join("my page"), "<p>").unwrap();
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("my page");
    assert_eq!(mime_type(&record), "text/plain; charset=utf-8");
    assert!(storage.store("default").join("my page").exists(), "looking changes nothing");
    set(&record, MIME_TYPE, "text/html", XattrFlags::empty()).unwrap();
    assert!(!storage.store("default").join("my page").exists());
    assert_eq!(fs::read_to_string(storage.store("default").join("my%20page")).unwrap(), "<p>");
    let sidecar = sidecar_of(&storage, "default", "my%20page");
    assert_eq!(
        (&sidecar["key"], &sidecar["contentType"]),
        (&"my page".into(), &"text/html".into())
    );
    assert_eq!(fs::read_to_string(&record).unwrap(), "<p>");
}

#[test]
fn what_is_no_type_is_refused() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    for value in ["", "two\nlines", "a/\u{1b}b", "png", "text/", "image/png image/gif"] {
        let refused = set(&record, MIME_TYPE, value, XattrFlags::empty());
        assert_eq!(errno(refused), Errno::INVAL, "{value:?}");
    }
    let bytes = rustix::fs::setxattr(&record, MIME_TYPE, b"\xff", XattrFlags::empty());
    assert_eq!(errno(bytes), Errno::INVAL);
    mount.unmount();
    assert_eq!(storage.files().len(), before.len());
    assert_eq!(sidecar_of(&storage, "default", "k")["content_type"], "text/plain");
}

#[test]
fn store_facts_can_be_read_and_set_to_what_they_are() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "named");
    let mount = TempMount::new(&storage);
    let store = mount.store("named");
    let fact = |name: &str| xattr(&store, &format!("user.storefs.{name}"));
    assert_eq!(fact("id").unwrap(), "HvTUFIxMPIib09NEi");
    assert_eq!(fact("name").unwrap(), "named");
    assert_eq!(fact("created_at").unwrap(), "2024-01-15T10:30:00.000001Z");
    assert_eq!(fact("modified_at").unwrap(), "2024-01-15T10:30:00.000001Z");
    assert!(fact("accessed_at").unwrap().ends_with('Z'));
    // What copies attributes copies none of these.
    assert_eq!(list(&store), [""; 0]);

    write(&store.join("new"), "value").unwrap();
    assert!(fact("modified_at").unwrap().as_str() > "2024-01-16");

    // The default store is unnamed.
    let default = mount.store("default");
    assert_eq!(errno(xattr(&default, "user.storefs.name")), Errno::NODATA);

    for name in ["id", "name", "created_at"] {
        let name = format!("user.storefs.{name}");
        let value = xattr(&store, &name).unwrap();
        set(&store, &name, &value, XattrFlags::empty()).unwrap();
        set(&store, &name, &value, XattrFlags::REPLACE).unwrap();
        assert_eq!(errno(set(&store, &name, &value, XattrFlags::CREATE)), Errno::EXIST);
    }
    for name in ["user.storefs.id", "user.storefs.name", "user.storefs.other"] {
        let refused = errno(set(&store, name, "x", XattrFlags::empty()));
        assert!(matches!(refused, Errno::OPNOTSUPP | Errno::PERM), "{name}: {refused}");
        let refused = errno(remove(&store, name));
        assert!(matches!(refused, Errno::OPNOTSUPP | Errno::PERM | Errno::NODATA), "{refused}");
    }
    assert_eq!(fact("id").unwrap(), "HvTUFIxMPIib09NEi");
    assert_eq!(fact("name").unwrap(), "named");
}

#[test]
fn other_attributes_are_not_kept() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let purge = store.join("@purge");
    let paths = [store.join("k"), store.join(METADATA), purge, store, mount.stores(), mount.path()];
    for path in &paths {
        for name in ["user.other", "user.storefs.other"] {
            assert_eq!(errno(xattr(path, name)), Errno::NODATA, "{} {name}", path.display());
        }
        let refused = set(path, "user.other", "x", XattrFlags::empty());
        assert_eq!(errno(refused), Errno::OPNOTSUPP, "{}", path.display());
        assert_eq!(errno(remove(path, "user.other")), Errno::NODATA, "{}", path.display());
    }
    for path in &paths[1..] {
        assert_eq!(errno(xattr(path, MIME_TYPE)), Errno::NODATA, "{}", path.display());
        assert!(!list(path).contains(&MIME_TYPE.to_owned()), "{}", path.display());
    }
    assert_eq!(list(&mount.path()), [""; 0]);
}

#[test]
fn no_xattr_has_none_at_all() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::with_options(&storage, &["--no-xattr"]);
    let record = mount.store("default").join("k");
    // ENOTSUP is the same number on Linux.
    assert_eq!(errno(xattr(&record, MIME_TYPE)), Errno::OPNOTSUPP);
    assert_eq!(errno(set(&record, MIME_TYPE, "a/b", XattrFlags::empty())), Errno::OPNOTSUPP);
    assert_eq!(errno(remove(&record, MIME_TYPE)), Errno::OPNOTSUPP);
    assert_eq!(errno(xattr(&mount.store("default"), "user.storefs.id")), Errno::OPNOTSUPP);
    let script = "ls -l; cp -a k copy";
    let listed = try_sh(script, &mount.store("default"));
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(fs::read_to_string(mount.store("default").join("copy")).unwrap(), "k");
    assert_eq!(sidecar_of(&storage, "default", "k")["content_type"], "text/plain");
}
