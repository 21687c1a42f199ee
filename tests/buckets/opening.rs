//! What is mounted, and what is not; and what becomes of those who may not all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use rustix::io::Errno;
use serde_json::json;

use crate::common::buckets::{self, PART, Place, Who};
use crate::common::{TempMount, can_mount, is_mounted, names, storefs, temp_dir};
use crate::database::{Database, STORE, value_key, within};
use crate::proxy::{Fault, Proxy};

/// Tries to mount what cannot be mounted: one line, and nothing is mounted or made.
#[track_caller]
fn refused(place: &Place, source: &str, limit: Duration, options: &[&str]) -> String {
    let dir = temp_dir();
    let output = within(limit, || {
        let mut command = storefs();
        command.args(["mount", source]).arg(dir.path()).args(options).envs(place.variables());
        command.output().unwrap()
    });
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!is_mounted(dir.path()));
    for secret in [Who::All, Who::Impostor].map(|who| who.keys().1) {
        assert!(!said.contains(secret), "{said}");
    }
    said
}

/// What the others here take at most: the deadline, and some for a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn what_is_no_bucket_is_refused_in_one_line() {
    if !can_mount() {
        return;
    }
    let Some(server) = buckets::shared() else { return };
    let place = server.place();
    let missing = refused(&place, "s3://storefs-not-there/p", LIMIT, &[]);
    assert!(missing.contains("storefs-not-there"), "{missing}");
    for name in
        ["s3:", "s3://", "s3://x", "s3:///p", "s3://a..b", "s3://storefs/a//b", "s3://storefs/../x"]
    {
        refused(&place, name, LIMIT, &[]);
    }
    // A secret in the source is not one that is taken, nor repeated.
    let said = refused(&place, "s3://storefskey:storefssecret@storefs/p", LIMIT, &[]);
    assert!(said.contains("environment"), "{said}");
    // Nothing is made by all that.
    assert!(Database::at(place).objects().keys("").is_empty());
    let mut command = storefs();
    command.args(["stores", "--source", "s3://storefs-not-there"]);
    let output = command.envs(server.place().variables()).output().unwrap();
    assert!(!output.status.success(), "it was not made by looking");
}

#[test]
fn whoever_may_not_is_told() {
    if !can_mount() {
        return;
    }
    let Some(server) = buckets::shared() else { return };
    let place = server.place();
    let said = refused(&place.by(Who::Impostor), &place.url(), LIMIT, &[]);
    assert!(said.to_lowercase().contains("signature") || said.contains("denied"), "{said}");
    refused(&place.by(Who::Part), &place.url(), LIMIT, &[]);
    refused(&place.by(Who::Part), "s3://storefs", LIMIT, &[]);
    // Nobody at all, where the bucket is not everybody's.
    let dir = temp_dir();
    let mut command = storefs();
    command.args(["mount", &place.url()]).arg(dir.path());
    for (name, value) in place.variables() {
        if !name.contains("KEY") {
            command.env(name, value);
        }
    }
    let output = within(LIMIT, || command.output().unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap().trim_end().lines().count(), 1);
    assert!(!is_mounted(dir.path()));
}

#[test]
fn a_server_that_does_not_answer_is_told_within_the_deadline() {
    if !can_mount() {
        return;
    }
    let Some(server) = buckets::shared() else { return };
    let place = server.place();
    let quick = Duration::from_secs(15);
    // Nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    refused(&place.through(port), &place.url(), LIMIT, &[]);
    // Somebody listens, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    refused(&place.through(port), &place.url(), quick, &["--timeout", "3"]);
    // One that takes the question, and is slow with the answer.
    let proxy = Proxy::to(server.port());
    proxy.befall(usize::MAX / 2, |_| true, Fault::Held);
    refused(&place.through(proxy.port()), &place.url(), quick, &["--timeout", "3"]);
    // One that has too much to do, for longer than anybody waits.
    let proxy = Proxy::to(server.port());
    proxy.befall(usize::MAX / 2, |_| true, Fault::Answered(503, "SlowDown"));
    refused(&place.through(proxy.port()), &place.url(), quick, &["--timeout", "3"]);
    // One that speaks no S3.
    let proxy = Proxy::to(server.port());
    proxy.befall(usize::MAX / 2, |_| true, Fault::Answered(200, "OK"));
    refused(&place.through(proxy.port()), &place.url(), quick, &["--timeout", "3"]);
}

#[track_caller]
fn is_denied(what: &str, done: io::Result<()>) {
    let errno = done.expect_err(what).raw_os_error();
    let allowed = [Errno::ROFS, Errno::ACCESS].map(|errno| Some(errno.raw_os_error()));
    assert!(allowed.contains(&errno), "{what}: {errno:?}");
}

#[test]
fn p7_who_may_only_read_reads_and_writes_nothing() {
    let Some(db) = Database::fresh() else { return };
    db.run(&["create", STORE]);
    db.put("k", b"value", "text/x-own");
    let reader = db.as_seen_from(db.place.by(Who::Reader));
    let mount = reader.mount();
    let store = mount.store(STORE);
    assert_eq!(fs::read(store.join("k")).unwrap(), b"value");
    assert_eq!(crate::common::mime_type(&store.join("k")), "text/x-own");
    let before = db.objects().keys("");
    is_denied("make", File::create(store.join("new")).and_then(|file| file.sync_all()));
    is_denied("write", {
        let written = OpenOptions::new().write(true).truncate(true).open(store.join("k"));
        written.and_then(|mut file| {
            file.write_all(b"x")?;
            file.sync_all()
        })
    });
    is_denied("remove", fs::remove_file(store.join("k")));
    is_denied("move", fs::rename(store.join("k"), store.join("l")));
    is_denied("purge", fs::write(store.join("@purge"), "1"));
    is_denied("make a store", fs::create_dir(mount.store("next")));
    is_denied("drop", fs::remove_dir_all(&store));
    assert_eq!(fs::read(store.join("k")).unwrap(), b"value");
    assert_eq!(db.objects().keys(""), before);
    assert!(!reader.try_run(&["rm", STORE, "k"]).status.success());
    assert_eq!(reader.run(&["get", STORE, "k"]), "value");
}

/// Who may do all below a prefix, and nothing to the bucket as such, needs no more.
#[test]
fn who_may_all_below_a_prefix_needs_no_more() {
    if !can_mount() {
        return;
    }
    let Some(server) = buckets::shared() else { return };
    let place = server.place();
    let own = Database::at(place.at(&format!("{PART}/{}", place.prefix)));
    let part = own.as_seen_from(own.place.by(Who::Part));
    part.run(&["create", STORE]);
    let mount = part.mount();
    let store = mount.store(STORE);
    fs::write(store.join("k"), "value").unwrap();
    fs::write(store.join("large"), vec![b'x'; 20_000_000]).unwrap();
    fs::rename(store.join("k"), store.join("l")).unwrap();
    assert_eq!(fs::read(store.join("l")).unwrap(), b"value");
    assert_eq!(own.objects().head(&value_key(STORE, "large"))["size"], 20_000_000);
    fs::write(store.join("@purge"), "1").unwrap();
    assert_eq!(names(&store).len(), 1);
    fs::remove_dir_all(&store).unwrap();
    part.run(&["doctor"]);
    mount.unmount();
    assert!(own.objects().keys("").is_empty());
}

/// What `--read-only` says holds, and makes nothing: no probe of the bucket stays there, or is made.
#[test]
fn a_mount_that_only_reads_asks_for_nothing_else() {
    let Some(db) = Database::fresh() else { return };
    db.run(&["create", STORE]);
    db.put("k", b"value", "text/plain");
    let proxy = Proxy::to(db.place.port);
    let through = db.as_seen_from(db.place.through(proxy.port()));
    let mount = through.mount_with(&["--read-only"]);
    assert_eq!(fs::read(mount.store(STORE).join("k")).unwrap(), b"value");
    is_denied("make", File::create(mount.store(STORE).join("new")).map(drop));
    mount.unmount();
    let changing: Vec<_> = proxy
        .seen()
        .into_iter()
        .filter(|it| !matches!(it.kind(), "GET" | "HEAD" | "LIST"))
        .collect();
    assert!(changing.is_empty(), "{changing:?}");
}

/// Keys that a program gives, and that the server takes no more: the program is asked again, and nobody sees that.
#[test]
fn keys_that_have_expired_are_had_anew() {
    let Some(db) = Database::fresh() else { return };
    db.run(&["create", STORE]);
    db.put("k", b"value", "text/plain");
    let proxy = Proxy::to(db.place.port);
    let through = db.as_seen_from(db.place.through(proxy.port()));
    let (key, secret) = Who::All.keys();
    let beside = db.beside();
    let keys = json!({"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret});
    fs::write(beside.join("keys"), keys.to_string()).unwrap();
    let (asked, config) = (beside.join("asked"), beside.join("config"));
    let process = format!("sh -c 'cd {}; echo >> asked; cat keys'", beside.display());
    fs::write(&config, format!("[default]\ncredential_process = {process}\n")).unwrap();
    let mount = TempMount::configured(&through.url(), |command| {
        command.arg("--cache-dir").arg(through.spool()).envs(through.place.variables());
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_CONFIG_FILE", &config);
    });
    let times = || fs::read_to_string(&asked).unwrap().lines().count();
    assert_eq!(times(), 1);
    let path = mount.store(STORE).join("k");
    proxy.befall(
        1,
        |it| it.method == "GET" && it.is_for("/k"),
        Fault::Answered(400, "ExpiredToken"),
    );
    assert_eq!(fs::read(&path).unwrap(), b"value");
    assert_eq!((proxy.to_come(), times()), (0, 2));
    // So soon it would give the same keys: they are tried again, and the program is not asked for each no.
    proxy.befall(1, |it| it.method == "PUT", Fault::Answered(403, "InvalidAccessKeyId"));
    fs::write(mount.store(STORE).join("new"), "new").unwrap();
    assert_eq!((proxy.to_come(), times()), (0, 2));
    assert_eq!(db.record("new").unwrap().0, b"new");
}
