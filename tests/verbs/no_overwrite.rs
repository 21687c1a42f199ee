//! `--no-overwrite`.

use std::fs;
use std::io::Write;

use crate::common::{TempMount, can_mount, mime_type, sh, storefs};
use crate::{refused, storage};

#[test]
fn nothing_that_is_there_is_changed() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["--no-overwrite"]);
    let store = mount.store("s");
    for script in [
        "echo x > a",
        "echo x >> a",
        ": > a",
        "truncate -s 3 a",
        "dd if=/dev/zero of=a bs=1 count=1 conv=notrunc",
        "cp b a",
        "mv b a",
        "mv -f empty a",
        "sed -i s/first/x/ a",
        "python3 -c 'open(\"a\", \"r+\")'",
        "python3 -c 'import os; os.truncate(\"a\", 0)'",
        "echo new > new; rsync -I --inplace /etc/hostname ./a",
        "cp /etc/hostname t; rsync -I /etc/hostname ./a",
        "setfattr -n user.mime_type -v application/json a",
        "setfattr -x user.mime_type a",
        "echo '{}' > __metadata__.json",
        "cp a m; mv m __metadata__.json",
        "mkdir ../d; cp b ../d/a; mv ../d/a a",
    ] {
        refused(script, &store);
    }
    assert_eq!(sh("cat a b", &store), "firstsecond");
    assert!(mime_type(&store.join("a")).starts_with("text/plain"));
    assert_eq!(mount.status()["no_overwrite"], true);
}

#[test]
fn what_is_new_is_written_and_what_is_there_renamed_and_removed() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["-o", "no_overwrite"]);
    let store = mount.store("s");
    sh(
        "echo new > new; touch touched; echo filled > touched; echo filled >> empty; cp -a new kept
         mv a c; echo again > a; rm b; mv c b; chmod 600 b; touch -d 2001-01-01 b
         file=$(mktemp -p .); echo made > $file; mv $file made
         { echo 1; echo 2; } > several
         mkdir ../other; cp -r . ../copy; tar -cf - -C ../copy . | tar -xf - -C ../other",
        &store,
    );
    assert_eq!(
        sh("cat new touched empty kept a b made several", &store),
        "new\nfilled\nfilled\nnew\nagain\nfirstmade\n1\n2\n"
    );
    assert_eq!(sh("cat ../copy/several ../other/several", &store), "1\n2\n1\n2\n");
    sh("echo 1 > @purge", &store);
    assert!(!store.join("a").exists());
}

#[test]
fn who_has_made_a_record_goes_on_writing_it() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["--no-overwrite"]);
    let path = mount.store("s").join("log");
    let mut log = fs::File::create(&path).unwrap();
    for line in 0..3 {
        writeln!(log, "{line}").unwrap();
        log.sync_all().unwrap();
    }
    refused("echo other >> log", &mount.store("s"));
    writeln!(log, "end").unwrap();
    drop(log);
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\nend\n");
}

#[test]
fn what_others_have_made_meanwhile_is_not_replaced() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let mount = TempMount::with_options(&storage, &["--no-overwrite", "--ttl", "0"]);
    let store = mount.store("s");
    let set = |key: &str| {
        let value = storage.beside().join("theirs");
        fs::write(&value, "theirs").unwrap();
        let mut command = storefs();
        command.arg("--source").arg(storage.path()).args(["set", "s", key]).arg(value);
        assert!(command.status().unwrap().success());
    };
    for (key, is_new) in [("made", true), ("empty", false)] {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).truncate(true).create(is_new).open(store.join(key)).unwrap();
        file.write_all(b"ours").unwrap();
        set(key);
        let closed = rustix::fs::fsync(&file);
        assert!(closed.is_err(), "{key}");
        drop(file);
        assert_eq!(fs::read_to_string(store.join(key)).unwrap(), "theirs", "{key}");
    }
}
