//! A copy beside others, who use the source or the target at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::common::{TempMount, can_mount, wait_until};

/// Others write and remove records of the source meanwhile: no failure, and each copied value is one that was there.
#[test]
fn a_source_that_changes_is_copied_whole() {
    let storage = many(500);
    let source = text(&storage.path());
    let (_dir, database) = database();
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2_usize)
            .map(|writer| {
                let (source, has_ended) = (&source, &has_ended);
                scope.spawn(move || {
                    let store = open(source, false).store(&StoreName::new("many").unwrap());
                    for round in (0_usize..).take_while(|_| !has_ended.load(Ordering::Relaxed)) {
                        let key = Key::new(&format!("k{:05}", (round * 2 + writer) % 500)).unwrap();
                        let fill = u8::try_from(round % 256).unwrap();
                        let size = [2048, 700_000][round % 2];
                        let content_type = ContentType::new(&format!("x/{fill}"));
                        store.set_value(&key, vec![fill; size], Some(&content_type)).unwrap();
                        if round % 7 == 0 {
                            store.delete_value(&key).unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            let [.., failed] = copied(&source, &database, &[]);
            assert_eq!(failed, 0);
            let held = held(&database);
            for (key, (value, content_type)) in &held["many"].1 {
                let fill = value[0];
                let is_of_one = value.iter().all(|byte| *byte == fill);
                if content_type.starts_with("x/") {
                    assert!(is_of_one && *content_type == format!("x/{fill}"), "{key}");
                } else {
                    assert_eq!(*value, many_value(key[1..].parse().unwrap()));
                }
            }
        }
        has_ended.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
    });
    copied(&source, &database, &["--purge"]);
    assert_eq!(held(&database)["many"].1, held(&source)["many"].1);
}

#[test]
fn a_mount_of_the_target_sees_what_is_copied() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::of_fixture("python/values");
    let (dir, database) = database();
    let target = TempStorage::empty();
    for target in [target.path(), dir.path().join("crawlee.db")] {
        let mount = TempMount::configured(&target, |_| {});
        copied(&text(&storage.path()), &text(&target), &[]);
        wait_until("the store is there", || mount.store("kinds").is_dir());
        let expected = fs::read(storage.store("kinds").join("dict")).unwrap();
        assert_eq!(fs::read(mount.store("kinds").join("dict")).unwrap(), expected);
        drop(mount);
    }
    drop(database);
}
