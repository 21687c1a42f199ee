//! `--no-delete`.

use crate::common::{TempMount, can_mount, names, sh};
use crate::{refused, storage};

#[test]
fn nothing_is_deleted() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["--no-delete"]);
    let store = mount.store("s");
    let before = storage.files();
    for script in [
        "rm a",
        "rm -rf ./*",
        "rm -r ../s",
        "mkdir ../new && rmdir ../new",
        "find . -name a -delete",
        "mv a /dev/shm/storefs-test-never",
        "echo 1 > @purge",
        "python3 -c 'import os; os.unlink(\"b\")'",
        "rm __metadata__.json",
        "rsync -a --delete ../new/ ./",
    ] {
        refused(script, &store);
    }
    let _ = std::fs::remove_file("/dev/shm/storefs-test-never");
    let now = storage.files();
    for (file, value) in before {
        // Of a store, times move.
        let is_of_store = file.ends_with("s/__metadata__.json");
        assert!(is_of_store || now[&file] == value, "{}", file.display());
    }
    assert_eq!(mount.status()["no_delete"], true);
}

#[test]
fn what_deletes_nothing_goes_on() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["-o", "no_delete"]);
    let store = mount.store("s");
    sh(
        "echo new > new; echo more > new2; echo more >> a; : > empty; mv b c; sed -i s/first/FIRST/ a; cp new copied
         mkdir ../other; mv c ../other/; vim -es -u NONE --cmd 'set noswapfile nowritebackup' -c 's/more/mended/' -c wq new2
         mkdir /dev/shm/storefs-test-v.$$
         echo synced > /dev/shm/storefs-test-v.$$/synced; rsync -a /dev/shm/storefs-test-v.$$/ ./
         rm -r /dev/shm/storefs-test-v.$$",
        &store,
    );
    assert_eq!(
        sh("cat a synced copied new2 ../other/c", &store),
        "FIRSTmore\nsynced\nnew\nmended\nsecond"
    );
    let expected = ["__metadata__.json", "a", "copied", "empty", "new", "new2", "synced"];
    assert_eq!(names(&store).into_iter().collect::<Vec<_>>(), expected);
}
