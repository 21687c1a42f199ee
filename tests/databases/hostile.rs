//! What may be in a database, by whomever: it leads nowhere, takes no mount down, and is left as it is. And who gets in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use rustix::io::Errno;

use crate::common::{METADATA, TempMount, file_name, names, sh, xattr};
use crate::database::{Database, STORE};

/// Who is none of those that the tests run as.
const NOBODY: u32 = 65534;

/// Puts a record in as it is; texts with quotes doubled.
fn put(db: &Database, key: &str, content_type: &str, size: i64) {
    let value = if db.is_sqlite() { "x'76616c7565'" } else { "decode('76616c7565', 'hex')" };
    db.sql(&format!(
        "INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
         SELECT key_value_store_id, '{key}', {value}, '{content_type}', {size} \
         FROM key_value_stores WHERE internal_name = '{STORE}'"
    ));
}

fn put_store(db: &Database, id: &str, internal_name: &str, name: &str) {
    let at = "'2026-01-01 00:00:00.000000'";
    db.sql(&format!(
        "INSERT INTO key_value_stores \
         (key_value_store_id, internal_name, name, accessed_at, created_at, modified_at) \
         VALUES ('{id}', '{internal_name}', {name}, {at}, {at}, {at})"
    ));
}

pub(crate) fn p18_no_key_or_name_leads_out_of_its_store(db: &Database) {
    let outside = db.beside().join("outside");
    fs::write(&outside, "secret").unwrap();
    db.run(&["create", STORE]);
    put_store(db, "../../../outside", "../../outside", "'../../outside'");
    put_store(db, "b", "..", "NULL");
    put_store(db, "c", "a/b", "'a/b'");
    let absolute = outside.display().to_string();
    let keys = [
        "../outside",
        "../../outside",
        &absolute,
        "/etc/hostname",
        "a/../../b",
        "../@purge",
        "@purge",
        "@status",
        ".storefs/x",
    ];
    for key in keys {
        put(db, key, "text/plain", 5);
    }
    let mount = db.mount();
    // Names that are none cannot be entered; the others are there.
    assert_eq!(names(&mount.stores()), [STORE.to_owned()].into());
    let store = mount.store(STORE);
    let mut expected: Vec<_> = keys.iter().map(|key| file_name(key)).collect();
    expected.push(METADATA.to_owned());
    assert_eq!(names(&store), expected.into_iter().collect());
    for key in keys {
        let path = store.join(file_name(key));
        assert_eq!(fs::read(&path).unwrap(), b"value", "{key}");
        fs::write(&path, "changed").unwrap();
        assert_eq!(db.record(key).unwrap().0, b"changed", "{key}");
        assert_eq!(db.run(&["get", STORE, key]), "changed");
    }
    let beside = mount.path().parent().unwrap().to_owned();
    let before = names(&beside);
    let copied = db.beside().join("copied");
    sh(
        &format!("cp -r . '{}'; rm -r -- ./%* ./..?* 2> /dev/null || true", copied.display()),
        &store,
    );
    fs::write(store.join("@purge"), "1").unwrap();
    assert_eq!(names(&beside), before);
    assert_eq!(names(&copied).len(), keys.len() + 1);
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
    assert_eq!(names(&db.beside()), ["outside", "copied"].map(str::to_owned).into());
    // What has no name in the tree is nobody's to remove.
    assert_eq!(db.number("SELECT count(*) FROM key_value_stores"), 4);
}

/// A directory of the same names as what a database holds is none of its.
pub(crate) fn p18_links_cannot_be_made_and_lead_nowhere(db: &Database) {
    let mount = db.mount_with_store();
    for (at, name) in [(mount.store(STORE), "l"), (mount.stores(), "l"), (mount.path(), "l")] {
        let made = std::os::unix::fs::symlink("/etc", at.join(name)).unwrap_err();
        assert!(
            [Errno::PERM, Errno::ROFS]
                .iter()
                .any(|it| Some(it.raw_os_error()) == made.raw_os_error()),
            "{}: {made}",
            at.display()
        );
    }
    fs::write(mount.store(STORE).join("k"), "x").unwrap();
    let linked = fs::hard_link(mount.store(STORE).join("k"), mount.store(STORE).join("l"));
    assert_eq!(linked.unwrap_err().raw_os_error(), Some(Errno::PERM.raw_os_error()));
    assert_eq!(db.number("SELECT count(*) FROM key_value_store_records"), 1);
}

/// What no client of Crawlee writes. Nothing of it is changed by being looked at.
pub(crate) fn p19_what_no_client_writes_is_shown_and_left_alone(db: &Database) {
    db.run(&["create", STORE]);
    put(db, "good", "text/plain", 5);
    put(db, "no type", "", 5);
    put(db, "odd type", "no/type/at all; x=\"\n", 5);
    put(db, "negative", "text/plain", -1);
    put(db, "too large", "application/json", 2_000_000_000);
    put(db, "", "text/plain", 5);
    put(db, "line\nend", "text/plain", 5);
    put(db, &"\u{1f600}".repeat(60), "text/plain", 5);
    if db.is_sqlite() {
        // Columns of SQLite take anything: other kinds of values, and more than they are declared for.
        put(db, &"k".repeat(300), "text/plain", 5);
        db.sql(
            "INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
             SELECT key_value_store_id, 'text for bytes', 'value', 'text/plain', 'five' \
             FROM key_value_stores; \
             INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
             SELECT key_value_store_id, x'ff00', x'76616c7565', x'ff', 5 FROM key_value_stores; \
             INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
             SELECT key_value_store_id, 'a number', 17, 'text/plain', 2 FROM key_value_stores",
        );
        db.sql("PRAGMA foreign_keys = OFF; \
             INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
             VALUES ('nobody', 'orphan', x'00', 'text/plain', 1)");
        db.sql(
            "INSERT INTO key_value_stores \
             (key_value_store_id, internal_name, name, accessed_at, created_at, modified_at) \
             VALUES ('t', 'times', 'times', 'yesterday', '', 17)",
        );
    } else {
        db.sql(
            "INSERT INTO key_value_stores \
             (key_value_store_id, internal_name, name, accessed_at, created_at, modified_at) \
             VALUES ('t', 'times', 'times', 'infinity', '-infinity', '294276-12-31')",
        );
    }
    db.sql(
        "INSERT INTO key_value_store_metadata_buffer (key_value_store_id, accessed_at) \
         VALUES ('nobody', '2026-01-01 00:00:00')",
    );
    let all = "SELECT count(*) FROM key_value_store_records";
    let before = (
        db.number(all),
        db.sql("SELECT count(*), sum(length(content_type)) FROM key_value_store_records"),
    );
    let mount = db.mount();
    let store = mount.store(STORE);
    let shown = names(&store);
    for name in ["good", "no type", "odd type", "negative", "too large", "line\nend"] {
        assert!(shown.contains(name), "{name}: {shown:?}");
        assert_eq!(fs::read(store.join(name)).unwrap(), b"value", "{name}");
        assert_eq!(fs::metadata(store.join(name)).unwrap().len(), 5, "{name}");
    }
    for name in &shown {
        let path = store.join(name);
        // Whatever is shown can be looked at, and answers.
        let _ = (fs::metadata(&path), fs::read(&path), xattr(&path, "user.mime_type"));
    }
    for name in names(&mount.stores()) {
        let _ = fs::read(mount.store(&name).join(METADATA));
        let _ = fs::read_dir(mount.store(&name)).map(Iterator::count);
    }
    let _ =
        crate::common::try_sh("ls -laR . ; find . -type f -exec cat {} + ; du -s .", &mount.path());
    for command in
        [&["doctor"][..], &["stores", "--json"], &["keys", STORE, "--json"], &["info", STORE]]
    {
        let code = db.try_run(command).status.code();
        assert!(matches!(code, Some(0 | 1)), "{command:?}: {code:?}");
    }
    let after = (
        db.number(all),
        db.sql("SELECT count(*), sum(length(content_type)) FROM key_value_store_records"),
    );
    assert_eq!(after, before);
    assert_eq!(mount.status()["pid"], mount.pid());
    // And a store with all that can still be worked in.
    fs::write(store.join("new"), "x").unwrap();
    fs::write(store.join("no type"), "{}").unwrap();
    fs::write(store.join("negative"), "longer").unwrap();
    assert_eq!(fs::metadata(store.join("negative")).unwrap().len(), 6);
    fs::write(store.join("@purge"), "1").unwrap();
    assert_eq!(names(&store), [METADATA.to_owned()].into());
}

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
