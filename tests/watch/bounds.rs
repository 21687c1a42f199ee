//! Watching is bounded, and where it cannot be done the mount says so (P2).

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::common::{Stopped, TempMount, can_mount, sh, skipped, wait_until};
use crate::{counter, make_store, make_trusted, replace, size, status, storage_of};
use crate::{wait_for_size, watched};

#[test]
fn p2_more_changes_than_can_be_told_make_everything_be_looked_at_anew() {
    let storage = storage_of(&["known", "later"]);
    make_store(&storage.store("other"), &["known"]);
    let Some(mount) = watched(&storage) else { return };
    let known = [mount.store("default").join("known"), mount.store("other").join("known")];
    known.iter().for_each(|known| make_trusted(known));
    make_trusted(&mount.store("default").join("later"));
    // Whoever is open stays in the kernel's cache.
    let _open = known.each_ref().map(|known| fs::File::open(known).unwrap());
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let stopped = Stopped::new(&mount);
    // Three events each: made, written, closed.
    for number in 0..limit / 3 + 100 {
        fs::write(storage.store("default").join(format!("k{number}")), "x").unwrap();
    }
    for store in ["default", "other"] {
        replace(&storage, &storage.store(store).join("known"), "the event of this is lost");
    }
    drop(stopped);
    for known in &known {
        wait_for_size(known, Some(25));
    }
    wait_until("the overflow is told", || counter(&mount, "overflows") == 1);
    // And it goes on.
    make_trusted(&mount.store("default").join("later"));
    replace(&storage, &storage.store("default").join("later"), "as before");
    wait_for_size(&mount.store("default").join("later"), Some(9));
}

#[test]
fn p2_watches_grow_with_stores_and_not_with_records() {
    let storage = storage_of(&[]);
    let names: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for store in ["a", "b", "c"] {
        make_store(&storage.store(store), &names);
    }
    let Some(mount) = watched(&storage) else { return };
    assert_eq!(counter(&mount, "watches"), 2, "of the source and its stores");
    for store in ["a", "b", "c"] {
        sh("ls -l; cat k*", &mount.store(store));
    }
    assert_eq!(counter(&mount, "watches"), 5);
    fs::remove_dir_all(storage.store("a")).unwrap();
    wait_until("the watch of a store ends with it", || counter(&mount, "watches") == 4);
}

/// The limit is lowered in a user namespace, where it holds for nobody else.
#[test]
fn p2_a_store_beyond_the_limit_of_watches_is_served_with_the_short_time_to_live() {
    let storage = storage_of(&["k"]);
    // What cannot be watched here at all is no other way served.
    let Some(_) = watched(&storage) else { return };
    make_store(&storage.store("other"), &["k"]);
    let mount = storage.beside().join("mnt");
    fs::create_dir(&mount).unwrap();
    let script = r#"
        echo 3 > /proc/sys/user/max_inotify_watches || exit 99
        "$STOREFS" mount --foreground --ttl 3600 "$SOURCE" "$MOUNT" 2> "$MOUNT.log" &
        daemon=$!
        trap 'kill $daemon 2> /dev/null || true; wait' EXIT
        until grep -q watching "$MOUNT/@status" 2> /dev/null; do
            kill -0 $daemon || { cat "$MOUNT.log"; exit 98; }
            sleep 0.05
        done
        stores=$MOUNT/key_value_stores
        for i in 1 2 3; do stat "$stores/default/k" "$stores/other/k" > /dev/null; done
        grep '"watches": 3' "$MOUNT/@status"
        grep '"watching": true' "$MOUNT/@status"
        for store in default other; do
            echo another value > "$SOURCE/staged"
            mv "$SOURCE/staged" "$SOURCE/key_value_stores/$store/k"
            tries=0
            until [ "$(stat -c %s "$stores/$store/k")" = 14 ]; do
                tries=$((tries + 1))
                [ $tries -lt 600 ]
                sleep 0.1
            done
        done
        grep 'fs.inotify.max_user_watches' "$MOUNT.log"
        umount "$MOUNT"
        wait $daemon
    "#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "bash", "-euc", script])
        .env("STOREFS", env!("CARGO_BIN_EXE_storefs"))
        .env("SOURCE", storage.path())
        .env("MOUNT", &mount)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare failed") || output.status.code() == Some(99) {
        skipped(&format!("no user namespace: {said}"));
        return;
    }
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn p2_a_source_on_fuse_falls_back_to_the_time_to_live_and_says_so() {
    let storage = storage_of(&["k"]);
    if watched(&storage).is_none() {
        return;
    }
    let below = storage.beside().join("below");
    fs::create_dir(&below).unwrap();
    sh("bindfs storage below", storage.beside());
    let mount = TempMount::configured(&below, |command| {
        command.args(["--read-only", "-v"]);
    });
    let shown = status(&mount);
    assert_eq!(shown["watching"], false);
    assert!(shown["watch"]["reason"].as_str().unwrap().contains("FUSE"), "{shown}");
    assert!(mount.log().contains("not watched, since FUSE"), "{}", mount.log());
    let record = mount.store("default").join("k");
    make_trusted(&record);
    replace(&storage, &storage.store("default").join("k"), "another");
    wait_for_size(&record, Some(7));
    mount.unmount();
    sh("umount below", storage.beside());
}

/// Only a virtual machine has such a source (`scripts/test-kernels`), in which the host's file system shines through.
#[test]
fn p2_a_source_on_9p_falls_back_to_the_time_to_live_and_says_so() {
    let Some(source) = std::env::var_os("STOREFS_TEST_9P") else { return };
    let storage = storage_of(&["k"]);
    let Some(_) = watched(&storage) else { return };
    let mount = TempMount::configured(&source, |command| {
        command.args(["--read-only", "-v"]);
    });
    let shown = status(&mount);
    assert_eq!(shown["watching"], false);
    assert!(shown["watch"]["reason"].as_str().unwrap().contains("9P"), "{shown}");
}

#[test]
fn a_mount_that_trusts_nothing_watches_nothing() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::with_options(&storage, &["--ttl", "0"]);
    let record = mount.store("default").join("k");
    for value in ["a", "bb", "ccc"] {
        replace(&storage, &storage.store("default").join("k"), value);
        assert_eq!(size(&record), Some(value.len() as u64));
    }
    let shown = status(&mount);
    assert_eq!((&shown["watching"], &shown["watch"]["watches"]), (&false.into(), &0.into()));
}

#[test]
fn p2_a_record_that_changes_again_and_again_costs_few_epochs() {
    let storage = storage_of(&["state"]);
    let Some(mount) = watched(&storage) else { return };
    let record = mount.store("default").join("state");
    let before = counter(&mount, "epochs");
    for length in 1..=200 {
        replace(&storage, &storage.store("default").join("state"), &"x".repeat(length));
        wait_for_size(&record, Some(length as u64));
    }
    let epochs = counter(&mount, "epochs") - before;
    assert!((1..100).contains(&epochs), "{epochs} epochs for 200 versions");
}

/// What the thread of the watch has done so far: how often it was put to sleep and taken off its core.
fn switches(mount: &TempMount) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", mount.serving_pid())).unwrap();
    let watch = tasks.map(|task| task.unwrap().path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "storefs-watch")
    });
    let state = fs::read_to_string(watch.unwrap().join("status")).unwrap();
    let counts = state.lines().filter(|line| line.contains("ctxt_switches"));
    counts.map(str::to_owned).collect()
}

#[test]
fn a_watch_sleeps_while_nothing_happens_and_ends_with_the_mount() {
    let storage = storage_of(&["k"]);
    let Some(mount) = watched(&storage) else { return };
    make_trusted(&mount.store("default").join("k"));
    replace(&storage, &storage.store("default").join("k"), "another");
    wait_for_size(&mount.store("default").join("k"), Some(7));
    // What was just read is noted in the metadata once, by another thread.
    let mut before = switches(&mount);
    wait_until("the watch has come to rest", || {
        std::thread::sleep(Duration::from_secs(2));
        let now = switches(&mount);
        std::mem::replace(&mut before, now.clone()) == now
    });
    // This asserts that the daemon ends.
    mount.unmount();
}
