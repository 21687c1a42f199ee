//! Who gets into a mount.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{METADATA, TempMount, names};
use crate::database::{Database, STORE};

/// Who is none of those that the tests run as.
const NOBODY: u32 = 65534;

/// A mount to which everybody finds the way, so that it alone says who gets in.
fn reachable(db: &Database, options: &[&str]) -> Option<TempMount> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    db.run(&["create", STORE]);
    let mount = db.mount_with(options);
    let mut at = mount.path().parent().unwrap().to_owned();
    while at != Path::new("/tmp") && at != Path::new("/") {
        let mode = fs::metadata(&at).unwrap().mode();
        fs::set_permissions(&at, fs::Permissions::from_mode(mode | 0o755)).unwrap();
        at = at.parent().unwrap().to_owned();
    }
    fs::write(mount.store(STORE).join("k"), "value").unwrap();
    Some(mount)
}

fn as_nobody(script: &str, directory: &Path) -> Output {
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    command.args([&user, &group, "--clear-groups"]).args(["sh", "-c", script]);
    command.env("DIR", directory).current_dir("/").output().unwrap()
}

#[track_caller]
fn is_refused(script: &str, directory: &Path) {
    let output = as_nobody(script, directory);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_denied = said.contains("denied") || said.contains("not permitted");
    assert!(!output.status.success() && is_denied, "{script}: {output:?}");
}

pub(crate) fn p20_without_allow_other_nobody_else_gets_in(db: &Database) {
    let Some(mount) = reachable(db, &[]) else { return };
    for script in [
        "ls \"$DIR\"",
        "stat \"$DIR/key_value_stores\"",
        "cat \"$DIR/@status\"",
        "cat \"$DIR/key_value_stores/work/k\"",
        "echo 1 > \"$DIR/key_value_stores/work/@purge\"",
        "echo x > \"$DIR/key_value_stores/work/new\"",
    ] {
        is_refused(script, &mount.path());
    }
    assert_eq!(names(&mount.store(STORE)), ["k", METADATA].map(str::to_owned).into());
}

pub(crate) fn p20_with_allow_other_owner_and_mode_decide(db: &Database) {
    let Some(mount) = reachable(db, &["--allow-other"]) else { return };
    let store = mount.store(STORE);
    // All is the mounting user's, 0644 and 0755: others read.
    let read = as_nobody("ls \"$DIR\" > /dev/null; cat \"$DIR/k\"", &store);
    assert_eq!(read.stdout, b"value", "{read:?}");
    for script in [
        "echo x > \"$DIR/k\"",
        "echo x >> \"$DIR/k\"",
        "echo x > \"$DIR/new\"",
        "rm -f \"$DIR/k\"",
        "mv \"$DIR/k\" \"$DIR/l\"",
        "echo 1 > \"$DIR/@purge\"",
        "chmod 777 \"$DIR/k\"",
        "mkdir \"$DIR/../new\"",
        "mv \"$DIR\" \"$DIR-moved\"",
        "setfattr -n user.mime_type -v text/x-own \"$DIR/k\"",
        "echo '{}' > \"$DIR/__metadata__.json\"",
    ] {
        is_refused(script, &store);
    }
    assert_eq!(db.record("k").unwrap().0, b"value");
    drop(mount);
    // Others' are theirs, and what is masked is nobody else's.
    let own = format!("--uid={NOBODY}");
    let mount = db.mount_with(&["--allow-other", "--umask=077", &own]);
    fs::set_permissions(mount.path().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = mount.store(STORE);
    let wrote = as_nobody("echo theirs > \"$DIR/k\"; cat \"$DIR/k\"", &store);
    assert_eq!(wrote.stdout, b"theirs\n", "{wrote:?}");
    let found = fs::metadata(store.join("k")).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (NOBODY, 0o600));
    assert_eq!(db.record("k").unwrap().0, b"theirs\n");
}
