//! Directories that are set-group-id: what is made in them is of their group, as on any disk (P6b).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::{METADATA, STORES, TempMount, TempStorage, can_mount, sh, storefs};
use crate::help::{is_root, make_store, put, write};

const GROUP: u32 = 1234;

/// Each path under a directory that is of another group, and each directory that is not set-group-id.
fn others(dir: &Path) -> String {
    sh(
        &format!(
            "find . '(' -not -gid {GROUP} -o -type d -not -perm -2000 ')' -printf '%P %g %m\\n'"
        ),
        dir,
    )
}

#[test]
fn p6b_what_is_made_in_a_set_group_id_directory_is_of_its_group() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    put(&storage, "default", "INPUT", "{}");
    put(&storage, "default", "old", "x");
    fs::create_dir_all(storage.path().join("datasets/default")).unwrap();
    sh(
        &format!("chgrp -R {GROUP} storage; find storage -type d -exec chmod g+s {{}} +"),
        storage.beside(),
    );
    let mount = TempMount::new(&storage);
    sh(
        "echo new > made; echo again > made; cp made copied; mv copied moved; sed -i s/x/y/ old; : > empty
         setfattr -n user.mime_type -v text/html made; touch touched; printf '{}' > old.json; ln -s no link || true
         mkdir ../made; echo x > ../made/k; echo '{}' > ../../datasets/default/1.json; mkdir ../../datasets/other
         mkdir ../gone; mv ../gone ../renamed; cat made > /dev/null",
        &mount.store("default"),
    );
    let mut set = storefs();
    let output = set
        .args(["set", "default", "by-command", "/dev/null", "--source"])
        .arg(storage.path())
        .output();
    assert!(output.unwrap().status.success());
    // As the times are written.
    mount.unmount();
    for dir in [STORES, "datasets"] {
        assert_eq!(others(&storage.path().join(dir)), "");
    }
    let mount = TempMount::new(&storage);
    write(&mount.store("default").join("@purge"), "1").unwrap();
    mount.unmount();
    assert_eq!(others(&storage.path().join(STORES)), "");
    assert_eq!(fs::metadata(storage.store("made").join(METADATA)).unwrap().gid(), GROUP);
}

#[test]
fn p6b_elsewhere_it_is_of_the_callers_group() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    sh(&format!("chgrp -R {GROUP} storage; chmod -R a+rwX storage"), storage.beside());
    let mount = TempMount::with_options(&storage, &["--allow-other"]);
    crate::help::open_the_way_to(&mount.path());
    let output = crate::help::as_nobody("umask 027; echo x > \"$DIR/k\"", &mount.store("default"));
    assert!(output.status.success(), "{output:?}");
    let made = fs::metadata(storage.store("default").join("k")).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o7777),
        (crate::help::NOBODY, crate::help::NOBODY, 0o640)
    );
    sh(&format!("chmod g+s {}", storage.store("default").display()), storage.beside());
    let output = crate::help::as_nobody("echo x > \"$DIR/l\"", &mount.store("default"));
    assert!(output.status.success(), "{output:?}");
    let made = fs::metadata(storage.store("default").join("l")).unwrap();
    assert_eq!((made.uid(), made.gid()), (crate::help::NOBODY, GROUP));
}
