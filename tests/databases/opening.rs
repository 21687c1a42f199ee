//! What is mounted, and what is not: databases of other versions, of other programs, and those that can only be read.

use std::fs;
use std::process::Output;
use std::time::Duration;

use rustix::io::Errno;

use crate::common::{METADATA, is_mounted, names, sh, storefs, temp_dir};
use crate::database::{Database, STORE, mount, within};

/// Tries to mount what cannot be mounted: one line, and nothing is mounted or made.
#[track_caller]
pub(crate) fn refused(source: &str) -> String {
    let dir = temp_dir();
    let output: Output = within(Duration::from_secs(40), || {
        storefs().args(["mount", source]).arg(dir.path()).output().unwrap()
    });
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!is_mounted(dir.path()));
    said
}

pub(crate) fn what_is_no_database_of_crawlee_is_refused(db: &Database) {
    db.sql("DROP TABLE key_value_store_records");
    assert!(refused(&db.url()).contains("Crawlee"), "{}", refused(&db.url()));
    db.sql("DROP TABLE key_value_stores; CREATE TABLE own (a integer)");
    refused(&db.url());
    let absent =
        db.url().replace("crawlee.db", "absent.db") + if db.is_sqlite() { "" } else { "_absent" };
    refused(&absent);
    assert!(!db.beside().parent().unwrap().join("absent.db").exists());
    assert_eq!(db.sql("SELECT count(*) FROM own"), "0");
}

pub(crate) fn a_database_of_an_older_client_works(db: &Database) {
    db.sql(
        "DROP TABLE key_value_store_metadata_buffer; \
         ALTER TABLE key_value_stores DROP COLUMN buffer_locked_until",
    );
    let before = db.schema();
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join("k");
    fs::write(&path, "x").unwrap();
    let modified = || db.sql("SELECT modified_at FROM key_value_stores");
    let first = modified();
    std::thread::sleep(Duration::from_millis(20));
    fs::rename(&path, path.with_file_name("l")).unwrap();
    assert_ne!(modified(), first);
    fs::read(path.with_file_name("l")).unwrap();
    fs::write(mount.store(STORE).join("@purge"), "1").unwrap();
    assert_eq!(names(&mount.store(STORE)), [METADATA.to_owned()].into());
    fs::remove_dir_all(mount.store(STORE)).unwrap();
    mount.unmount();
    assert_eq!(db.number("SELECT count(*) FROM key_value_stores"), 0);
    assert_eq!(db.schema(), before);
}

pub(crate) fn a_database_of_a_newer_client_works(db: &Database) {
    db.sql("ALTER TABLE key_value_store_records ADD COLUMN note VARCHAR(20) DEFAULT 'n'");
    db.sql("ALTER TABLE key_value_stores ADD COLUMN owner VARCHAR(20)");
    db.sql("CREATE TABLE something_else (a integer)");
    let before = db.schema();
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join("k");
    fs::write(&path, "x").unwrap();
    db.sql("UPDATE key_value_store_records SET note = 'kept'");
    fs::write(&path, "y").unwrap();
    fs::rename(&path, path.with_file_name("l")).unwrap();
    assert_eq!(db.sql("SELECT key, note FROM key_value_store_records"), "l|kept");
    mount.unmount();
    assert_eq!(db.schema(), before);
}

/// Nothing can be changed through a mount, and each who tries is told so.
#[track_caller]
pub(crate) fn only_reads(db: &Database, source: &str, options: &[&str]) {
    let mount = mount(db, source, options);
    let store = mount.store(STORE);
    let metadata = fs::read(store.join(METADATA)).unwrap();
    assert_eq!(fs::read(store.join("k")).unwrap(), b"value");
    assert_eq!(names(&store), ["k", METADATA].map(str::to_owned).into());
    let flags = rustix::fs::XattrFlags::empty();
    let refusals = [
        ("write", fs::write(store.join("k"), "x")),
        ("make", fs::write(store.join("new"), "x")),
        ("append", fs::OpenOptions::new().append(true).open(store.join("k")).map(drop)),
        ("remove", fs::remove_file(store.join("k"))),
        ("move", fs::rename(store.join("k"), store.join("l"))),
        ("purge", fs::write(store.join("@purge"), "1")),
        ("make a store", fs::create_dir(mount.store("next"))),
        ("remove a store", fs::remove_dir(&store)),
        ("move a store", fs::rename(&store, mount.store("moved"))),
        (
            "type",
            rustix::fs::setxattr(store.join("k"), "user.mime_type", b"text/x-own", flags)
                .map_err(Into::into),
        ),
        (
            "edit metadata",
            fs::File::create(store.join(METADATA)).and_then(|mut file| {
                std::io::Write::write_all(&mut file, &metadata)?;
                file.sync_all()
            }),
        ),
    ];
    let answers: Vec<_> = refusals
        .into_iter()
        .map(|(what, done)| (what, done.err().and_then(|it| it.raw_os_error())))
        .collect();
    let wrong: Vec<_> =
        answers.iter().filter(|(_, errno)| *errno != Some(Errno::ROFS.raw_os_error())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    sh("cat k > /dev/null; ls -la > /dev/null", &store);
    mount.unmount();
}

pub(crate) fn a_database_that_can_only_be_read_is_read(db: &Database) {
    drop(db.mount_with_store());
    let value = db.beside().join("value");
    fs::write(&value, "value").unwrap();
    db.run(&["set", STORE, "k", value.to_str().unwrap()]);
    only_reads(db, &db.url(), &["--read-only"]);
    #[cfg(feature = "postgres")]
    if !db.is_sqlite() {
        let name = db.url().rsplit('/').next().unwrap().to_owned();
        db.sql(&format!("CREATE ROLE reader_of_{name} LOGIN"));
        db.sql(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_{name}"));
        only_reads(db, &db.url().replace("//postgres@", &format!("//reader_of_{name}@")), &[]);
        db.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
        only_reads(db, &db.url(), &[]);
        return;
    }
    let url =
        |path: &std::path::Path| format!("sqlite:///file:{}?mode=ro&uri=true", path.display());
    only_reads(db, &url(&db.file()), &[]);
    // On a disk that can only be read, in either mode of the journal.
    if !rustix::process::getuid().is_root() {
        return;
    }
    for mode in ["DELETE", "WAL"] {
        db.sql(&format!("PRAGMA journal_mode = {mode}"));
        let disk = temp_dir();
        let at = disk.path().display();
        sh(
            &format!(
                "mount -t tmpfs none {at}; cp {}* {at}/; mount -o remount,ro {at}",
                db.file().display()
            ),
            disk.path(),
        );
        let unmount = Unmount(disk.path().to_owned());
        only_reads(db, disk.path().join("crawlee.db").to_str().unwrap(), &[]);
        drop(unmount);
    }
}

/// Unmounts a disk at the end, whatever the end is.
struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}
