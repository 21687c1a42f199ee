//! What an open descriptor gives no right to (P6b, P20).

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use crate::common::{TempMount, can_mount, mime_type, try_sh};
use crate::help::{as_nobody, command_as_nobody, is_root, open_the_way_to, storage_of};

/// Opens a record, waits, and tries all that a descriptor may be good for.
const SCRIPT: &str = r#"exec python3 -c '
import os, sys
empties = bool(os.environ["EMPTIES"])
f = os.open(sys.argv[1], os.O_RDWR | (os.O_TRUNC if empties else 0))
if empties: os.write(f, b"mine")
print("open", flush=True)
sys.stdin.readline()
said = []
for act in (lambda: os.fchmod(f, 0o666), lambda: os.setxattr(f, "user.mime_type", b"text/x-own"),
            lambda: os.write(f, b"mine"), lambda: said.append(os.pread(f, 100, 0)), lambda: os.fsync(f),
            lambda: os.close(f)):
    try: act()
    except OSError as error: said.append(error.errno)
print(said, flush=True)
' "$DIR/r""#;

/// As an SDK does.
fn replace(on_disk: &Path, text: &str, mode: u32) {
    let temporary = on_disk.with_extension("tmp.by.sdk");
    fs::write(&temporary, text).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&temporary, on_disk).unwrap();
}

/// A user has a record open that everybody may write, and root puts one in its place that only root may.
#[test]
fn p20_an_old_descriptor_gives_no_right_to_what_a_record_has_become() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["r"]);
    let mount = TempMount::with_options(&storage, &["--allow-other"]);
    open_the_way_to(&mount.path());
    let (store, on_disk) = (mount.store("default"), storage.store("default").join("r"));
    let record = store.join("r");
    for empties in ["", "1"] {
        for by_sdk in [true, false] {
            fs::write(&record, "for everybody").unwrap();
            fs::set_permissions(&record, fs::Permissions::from_mode(0o666)).unwrap();
            let mut user = command_as_nobody(SCRIPT, &store)
                .env("EMPTIES", empties)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(user.stdout.take().unwrap()).lines();
            assert_eq!(said.next().unwrap().unwrap(), "open");
            if by_sdk {
                replace(&on_disk, "secret", 0o600);
            } else {
                fs::set_permissions(&record, fs::Permissions::from_mode(0o600)).unwrap();
                fs::write(&record, "secret").unwrap();
            }
            drop(user.stdin.take());
            let said = said.next().unwrap().unwrap();
            user.wait().unwrap();
            assert!(!said.contains("secret"), "{said}");
            let case = format!("empties: {empties:?}, by an SDK: {by_sdk}: {said}");
            assert_eq!(fs::read_to_string(&on_disk).unwrap(), "secret", "{case}");
            let left = fs::metadata(&on_disk).unwrap();
            assert_eq!((left.mode() & 0o7777, left.uid()), (0o600, 0), "{case}");
            assert_ne!(mime_type(&record), "text/x-own", "{case}");
            fs::remove_file(&record).unwrap();
        }
    }
}

#[test]
fn p06b_set_id_bits_are_cleared_when_others_write() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["r"]);
    let mount = TempMount::with_options(&storage, &["--allow-other"]);
    open_the_way_to(&mount.path());
    let store = mount.store("default");
    let record = store.join("r");
    let mode = || fs::metadata(&record).unwrap().mode() & 0o7777;
    for script in ["echo x >> \"$DIR/r\"", "echo x > \"$DIR/r\"", "truncate -s 1 \"$DIR/r\""] {
        fs::write(&record, "old").unwrap();
        fs::set_permissions(&record, fs::Permissions::from_mode(0o6777)).unwrap();
        assert_eq!(mode(), 0o6777);
        let output = as_nobody(script, &store);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mode(), 0o777, "{script}");
        // Who is privileged clears nothing.
        fs::set_permissions(&record, fs::Permissions::from_mode(0o6777)).unwrap();
        let output = try_sh("echo x >> r", &store);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mode(), 0o6777, "{script}");
    }
}
