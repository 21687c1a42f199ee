//! `--file-mode`, `--dir-mode`.

use crate::common::{TempMount, can_mount, sh};
use crate::{refused, storage};

#[test]
fn modes_are_shown_as_they_are_given() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let options = ["--file-mode", "0664", "--dir-mode", "775", "--umask", "002"];
    let mount = TempMount::with_options(&storage, &options);
    let store = mount.store("s");
    let modes = "stat -c %a a @purge ../../@status __metadata__.json . .. ../..";
    assert_eq!(sh(modes, &store), "664\n664\n664\n664\n775\n775\n775\n");
    // A change has no effect, in the storage either.
    sh("chmod 600 a; (umask 077; echo x > new; mkdir ../made)", &store);
    assert_eq!(sh("stat -c %a a new ../made", &store), "664\n664\n775\n");
    assert_eq!(sh("stat -c %a a", &storage.store("s")), "644\n");
    mount.unmount();

    let mount = TempMount::with_options(&storage, &["-o", "file_mode=640,strict"]);
    refused("chmod 600 a", &mount.store("s"));
    // Of directories, nothing is overridden.
    sh("chmod 700 .", &mount.store("s"));
    assert_eq!(sh("stat -c %a a .", &mount.store("s")), "640\n700\n");
}
