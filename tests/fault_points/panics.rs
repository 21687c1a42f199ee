//! A panic in one request: that one is answered EIO, and nothing else notices.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use rustix::io::Errno;

use crate::common::{METADATA, TempMount, names, staged, wait_until};
use crate::help::{close, errno, write};
use crate::{Faulty, in_time};

/// Uses all of a store, and the mount around it: whoever holds a lock for ever would be met.
fn use_it_all(store: &Path) {
    let stores = store.parent().unwrap().to_owned();
    let store = store.to_owned();
    in_time("reading", {
        let store = store.clone();
        move || {
            assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "old");
            assert!(names(&store).contains("other"));
            drop(fs::read(store.join("@purge")).unwrap());
            drop(fs::read(stores.join("../@status")).unwrap());
        }
    });
    in_time("writing the same record", {
        let store = store.clone();
        move || {
            write(&store.join("k"), "new").unwrap();
            assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "new");
            let mut record = File::options().append(true).open(store.join("k")).unwrap();
            record.write_all(b"er").unwrap();
            record.sync_all().unwrap();
            close(record).unwrap();
            assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "newer");
        }
    });
    in_time("writing others", {
        let store = store.clone();
        move || {
            // More than there are key locks, so each is met.
            for number in 0..300 {
                write(&store.join(format!("n{number}")), "x").unwrap();
            }
            fs::rename(store.join("n0"), store.join("m0")).unwrap();
            fs::remove_file(store.join("n1")).unwrap();
        }
    });
    in_time("purging", move || {
        write(&store.join("@purge"), "1").unwrap();
        assert_eq!(names(&store), ["INPUT.json", METADATA].map(String::from).into());
        // Every gate: there are fewer than these.
        for number in 0..64 {
            let made = store.with_file_name(format!("made{number}"));
            fs::create_dir(&made).unwrap();
            fs::remove_dir(&made).unwrap();
        }
        fs::rename(&store, store.with_file_name("moved")).unwrap();
        fs::rename(store.with_file_name("moved"), &store).unwrap();
    });
}

/// Unmounts; then nothing must be left of what a panic left in staging once it is mounted again.
fn end(faulty: Faulty) {
    let Faulty { mount, storage } = faulty;
    assert!(mount.log().contains("a bug in storefs made it panic"), "{}", mount.log());
    in_time("unmounting", move || mount.unmount());
    let mount = TempMount::new(&storage);
    wait_until("nothing is left in staging", || staged(&storage.path()).is_empty());
    mount.unmount();
}

/// Panics at a step of an operation on a store, which must be answered EIO.
#[track_caller]
fn panic_at(step: &str, act: impl FnOnce(&Path) -> std::io::Result<()>) -> Option<Faulty> {
    let faulty = Faulty::new()?;
    faulty.make_store("default");
    faulty.arm(step, "panic");
    assert_eq!(errno(act(&faulty.mount.store("default"))), Errno::IO);
    faulty.was_hit(step);
    assert_eq!(fs::read_to_string(faulty.storage.store("default").join("k")).unwrap(), "old");
    Some(faulty)
}

#[test]
fn p19_a_panic_that_holds_a_session_and_a_record() {
    // In a close: the session, the store's gate and the record's lock are held.
    let panicked = panic_at("publish: staged", |store| write(&store.join("k"), "never seen"));
    let Some(faulty) = panicked else { return };
    faulty.is_well("after the panic");
    use_it_all(&faulty.mount.store("default"));
    end(faulty);
}

#[test]
fn p19_a_panic_while_a_session_begins_to_write() {
    // Emptied, but not written: that must not be published.
    let panicked = panic_at("stage: write", |store| write(&store.join("k"), "never seen"));
    let Some(faulty) = panicked else { return };
    faulty.is_well("after the panic");
    use_it_all(&faulty.mount.store("default"));
    end(faulty);
}

#[test]
fn p19_a_panic_that_holds_the_table_of_what_is_staged() {
    // The first write of a process: the lock that all who stage pass is held.
    let panicked = panic_at("session: make", |store| write(&store.join("k"), "never seen"));
    let Some(faulty) = panicked else { return };
    use_it_all(&faulty.mount.store("default"));
    end(faulty);
}

#[test]
fn p19_a_panic_that_has_closed_a_store() {
    let panicked = panic_at("purge: fresh directory filled", |store| {
        File::options().write(true).open(store.join("@purge"))?.write_all(b"1")
    });
    let Some(faulty) = panicked else { return };
    use_it_all(&faulty.mount.store("default"));
    end(faulty);
}

#[test]
fn p19_a_panic_in_the_middle_of_a_rename_holds_nobody_up() {
    let panicked = panic_at("rename: noted", |store| fs::rename(store.join("k"), store.join("m")));
    let Some(faulty) = panicked else { return };
    faulty.is_well("after the panic");
    use_it_all(&faulty.mount.store("default"));
    end(faulty);
}
