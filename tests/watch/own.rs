//! What a mount itself changes is seen through it at once (P3), and costs no telling.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::common::{METADATA, names};
use crate::{counter, make_trusted, replace, size, storage_of, wait_for_size, watched};

/// Does one thing of each kind and looks at once.
fn round(store: &Path, other: &Path, number: usize) {
    let (a, b) = (store.join("a"), store.join("b"));
    assert_eq!(size(&a), None);
    fs::write(&a, "x".repeat(number + 1)).unwrap();
    assert_eq!(size(&a), Some(number as u64 + 1), "created");
    fs::write(&a, "yy").unwrap();
    assert_eq!(size(&a), Some(2), "overwritten");
    OpenOptions::new().append(true).open(&a).unwrap().write_all(b"zzz").unwrap();
    assert_eq!(size(&a), Some(5), "appended to");
    OpenOptions::new().write(true).open(&a).unwrap().set_len(1).unwrap();
    assert_eq!(size(&a), Some(1), "cut");
    let time = Timespec { tv_sec: 5, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, &a, &times, AtFlags::empty()).unwrap();
    assert_eq!(fs::metadata(&a).unwrap().mtime(), 5, "dated");
    fs::rename(&a, &b).unwrap();
    assert_eq!((size(&a), size(&b)), (None, Some(1)), "renamed");
    fs::write(&a, "over").unwrap();
    fs::rename(&a, &b).unwrap();
    assert_eq!((size(&a), size(&b)), (None, Some(4)), "renamed over another");
    fs::rename(&b, other.join("b")).unwrap();
    assert_eq!((size(&b), size(&other.join("b"))), (None, Some(4)), "moved to another store");
    fs::remove_file(other.join("b")).unwrap();
    assert_eq!(size(&other.join("b")), None, "removed");
}

fn stores(stores: &Path) {
    let (one, two) = (stores.join("one"), stores.join("two"));
    fs::create_dir(&one).unwrap();
    fs::write(one.join("k"), "k").unwrap();
    assert_eq!(size(&one.join("k")), Some(1));
    fs::rename(&one, &two).unwrap();
    assert_eq!((size(&one.join("k")), size(&two.join("k"))), (None, Some(1)));
    fs::write(two.join("k"), "kk").unwrap();
    assert_eq!(size(&two.join("k")), Some(2));
    fs::write(two.join("@purge"), "1").unwrap();
    assert_eq!(size(&two.join("k")), None);
    assert_eq!(names(&two), [METADATA.to_owned()].into());
    fs::write(two.join("k"), "kkk").unwrap();
    assert_eq!(size(&two.join("k")), Some(3));
    fs::remove_file(two.join("k")).unwrap();
    fs::remove_dir(&two).unwrap();
    assert!(!two.exists() && !one.exists());
}

#[test]
fn p3_own_changes_are_seen_at_once() {
    let storage = storage_of(&[]);
    let Some(mount) = watched(&storage) else { return };
    let (store, other) = (mount.store("default"), mount.store("other"));
    fs::create_dir(&other).unwrap();
    for number in 0..20 {
        round(&store, &other, number);
        stores(&mount.stores());
    }
}

/// Somebody else looks all the time, so that the kernel is given each name at every moment of a change.
#[test]
fn p3_own_changes_are_seen_at_once_while_others_look() {
    let storage = storage_of(&[]);
    let Some(mount) = watched(&storage) else { return };
    let (store, other) = (mount.store("default"), mount.store("other"));
    fs::create_dir(&other).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for path in [store.join("a"), store.join("b"), other.join("b")] {
                        let _ = fs::metadata(path);
                    }
                    let _ = fs::metadata(mount.stores().join("two/k"));
                }
            });
        }
        let work = || {
            for number in 0..20 {
                round(&store, &other, number);
                stores(&mount.stores());
            }
        };
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        worked.unwrap();
    });
}

#[test]
fn own_publishes_cost_no_epoch() {
    let storage = storage_of(&["mark"]);
    let Some(mount) = watched(&storage) else { return };
    let store = mount.store("default");
    make_trusted(&store.join("mark"));
    let before = counter(&mount, "epochs");
    for number in 0..100 {
        let record = store.join(format!("r{}", number % 5));
        fs::write(&record, "x".repeat(number)).unwrap();
        make_trusted(&record);
        let (new, newer) =
            (store.join(format!("new{number}")), store.join(format!("newer{number}")));
        fs::write(&new, "new").unwrap();
        make_trusted(&new);
        fs::rename(&new, &newer).unwrap();
        make_trusted(&newer);
        fs::remove_file(&newer).unwrap();
    }
    // Events come in their order: when this one was told, all were.
    replace(&storage, &storage.store("default").join("mark"), "another");
    wait_for_size(&store.join("mark"), Some(7));
    assert_eq!(counter(&mount, "epochs"), before + 1);
}

#[test]
fn a_record_moved_after_an_sdk_replaced_it_keeps_no_old_bytes() {
    let storage = storage_of(&[]);
    let Some(mount) = watched(&storage) else { return };
    let store = mount.store("default");
    for number in 0..20 {
        let (from, to) = (store.join(format!("from{number}")), store.join(format!("to{number}")));
        let disk = storage.store("default").join(format!("from{number}"));
        fs::write(&disk, "old").unwrap();
        assert_eq!(fs::read(&from).unwrap(), b"old");
        make_trusted(&from);
        replace(&storage, &disk, "the new one");
        fs::rename(&from, &to).unwrap();
        assert_eq!(size(&to), Some(11));
        assert_eq!(fs::read(&to).unwrap(), b"the new one");
    }
}
