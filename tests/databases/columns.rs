//! What the columns of a database have room for.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;

use rustix::io::Errno;

use crate::common::{mime_type, sh};
use crate::database::{Database, STORE};

const BYTES: &str = "application/octet-stream";

pub(crate) fn p7_limits_are_told_before_anything_is_sent(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let count = || db.number("SELECT count(*) FROM key_value_store_records");
    let longest = "k".repeat(255);
    fs::write(store.join(&longest), "x").unwrap();
    for long in ["k".repeat(256), "\u{e9}".repeat(256), "k".repeat(300)] {
        let error = File::create(store.join(&long)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()), "{long}");
        let error = fs::rename(store.join(&longest), store.join(&long)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()), "{long}");
    }
    assert_eq!(count(), 1);
    let path = store.join("k");
    fs::write(&path, "old").unwrap();
    let set = |text: &str| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&path, "user.mime_type", text.as_bytes(), flags)
    };
    let long = format!("application/{}", "x".repeat(300));
    assert_eq!(set(&long).unwrap_err(), Errno::INVAL);
    let parameters = "; and=more-of-it".repeat(20);
    set(&format!("application/vnd.example+xml{parameters}")).unwrap();
    assert_eq!(mime_type(&path), "application/vnd.example+xml");

    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let error = file.set_len(2 << 30).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
    let error = std::os::unix::fs::FileExt::write_at(&file, b"x", 2 << 30).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

/// The types of office documents are longer than the 50 characters of the column, which PostgreSQL counts and SQLite does
/// not.
pub(crate) fn p10_a_type_that_does_not_fit_the_column_keeps_no_record_out(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let document = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let kept_as = |own: &'static str| if db.is_sqlite() { own } else { BYTES };
    let typed = |name: &str| {
        let (_, content_type) = db.record(name).unwrap();
        assert_eq!(mime_type(&store.join(name)), content_type, "{name}");
        content_type
    };
    fs::write(db.beside().join("t.xlsx"), b"PK\x03\x04 no sheet\xff").unwrap();
    sh(&format!("cp '{}' .", db.beside().join("t.xlsx").display()), &store);
    assert_eq!(typed("t.xlsx"), kept_as(sheet));
    fs::write(store.join("t.bin"), b"\xff\xfe").unwrap();
    fs::rename(store.join("t.bin"), store.join("t.docx")).unwrap();
    assert_eq!(typed("t.docx"), kept_as(document));
    fs::rename(store.join("t.xlsx"), store.join("t.docx")).unwrap();
    assert_eq!(typed("t.docx"), kept_as(document));
    db.run(&["set", STORE, "set.xlsx", db.beside().join("t.xlsx").to_str().unwrap()]);
    assert_eq!(typed("set.xlsx"), kept_as(sheet));
    // What is set by hand is not exchanged for something else.
    let flags = rustix::fs::XattrFlags::empty();
    let set = rustix::fs::setxattr(store.join("t.docx"), "user.mime_type", sheet.as_bytes(), flags);
    assert_eq!(set.err(), if db.is_sqlite() { None } else { Some(Errno::INVAL) });
    let by_hand = ["set", STORE, "hand", "/dev/null", "--content-type", sheet];
    assert_eq!(db.try_run(&by_hand).status.success(), db.is_sqlite());
    rustix::fs::removexattr(store.join("t.docx"), "user.mime_type").unwrap();
    assert_eq!(typed("t.docx"), kept_as(document));
}
