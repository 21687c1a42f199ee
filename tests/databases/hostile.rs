//! What may be in a database, by whomever: it leads nowhere, takes no mount down, and is left as it is.

use std::fs;

use rustix::io::Errno;

use crate::common::{METADATA, file_name, names, sh, xattr};
use crate::database::{Database, STORE};

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
