//! What boto3 sees of what is published here, and what is seen here of what boto3 puts there.

use std::fs::{self, File};
use std::io::Write;

use rustix::fs::{XattrFlags, setxattr};
use serde_json::{Value, json};

use crate::common::{METADATA, STORES, file_name, mime_type, names, sh, wait_until};
use crate::database::{Database, STORE, bytes, content_type_of, sidecar_key, value_key};

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Bytes, type and sidecar at once, as soon as the close has been.
pub(crate) fn p3_p4_what_is_published_is_an_object_with_its_type_and_sidecar(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let mut objects = db.objects();
    let large = bytes(3, 20_000_000);
    for (key, value, content_type) in [
        ("a.json", b"{\"a\": 1}".as_slice(), JSON),
        ("text", b"text", TEXT),
        ("page.html", b"<p>x</p>", "text/html; charset=utf-8"),
        ("shot.png", b"\x89PNG\r\n\x1a\n0000", "image/png"),
        ("bytes", b"\xff\xfe\x00", "application/octet-stream"),
        ("empty", b"", TEXT),
        ("k ey/\u{e9}%", b"odd", TEXT),
        ("large", &large, TEXT),
    ] {
        let path = store.join(file_name(key));
        fs::write(&path, value).unwrap();
        let object = objects.get(&value_key(STORE, key)).unwrap();
        assert!(object.bytes == value, "{key}: {} bytes", object.bytes.len());
        let shown = mime_type(&path);
        assert_eq!(object.content_type, shown, "{key}");
        assert!(key == "empty" || shown == content_type, "{key}: {shown}");
        let sidecar = objects.sidecar(STORE, key);
        assert_eq!(
            (&sidecar["key"], content_type_of(&sidecar), &sidecar["size"]),
            (&json!(key), shown, &json!(value.len())),
        );
        let of_sidecar = objects.get(&sidecar_key(STORE, key)).unwrap().content_type;
        assert!(of_sidecar.starts_with("application/json"), "{of_sidecar}");
    }
    // Nothing is there before the close, and after a removal.
    let mut file = File::create(store.join("new")).unwrap();
    file.write_all(&bytes(4, 20_000_000)).unwrap();
    assert!(objects.get(&value_key(STORE, "new")).is_none());
    drop(file);
    assert_eq!(objects.head(&value_key(STORE, "new"))["size"], 20_000_000);
    fs::remove_file(store.join("new")).unwrap();
    assert!(objects.get(&value_key(STORE, "new")).is_none());
    assert!(objects.get(&sidecar_key(STORE, "new")).is_none());
    setxattr(store.join("text"), "user.mime_type", b"text/x-own", XattrFlags::empty()).unwrap();
    assert_eq!(db.record("text").unwrap(), (b"text".to_vec(), "text/x-own".to_owned()));
}

pub(crate) fn p10_types_that_others_give_are_shown(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let mut objects = db.objects();
    // By the sidecar and the object alike.
    db.put("both", b"<x/>", "application/xml");
    // By the object alone, which other tools put there.
    objects.put(&value_key(STORE, "object alone"), b"<x/>", "application/vnd.example+xml");
    wait_until("all are listed", || names(&store).len() >= 3);
    assert_eq!(mime_type(&store.join("both")), "application/xml");
    assert_eq!(mime_type(&store.join("object alone")), "application/vnd.example+xml");
    // By the sidecar alone: `aws s3 cp` of a file guesses the object's type by the name.
    objects.put(&value_key(STORE, "sidecar alone"), b"{}", "binary/octet-stream");
    let sidecar = json!({"key": "sidecar alone", "content_type": "text/x-own", "size": 2});
    let text = sidecar.to_string();
    objects.put(&sidecar_key(STORE, "sidecar alone"), text.as_bytes(), "application/json");
    wait_until("it is listed", || store.join("sidecar alone").exists());
    assert_eq!(mime_type(&store.join("sidecar alone")), "text/x-own");
    // And what is read is what was put, in each case.
    assert_eq!(sh("cat both 'object alone' 'sidecar alone'", &store), "<x/><x/>{}");
    // A version that is put with another type has that.
    db.put("both", b"now text", TEXT);
    wait_until("the new one is seen", || {
        fs::read(store.join("both")).unwrap() == b"now text"
            && mime_type(&store.join("both")) == TEXT
    });
}

pub(crate) fn p2_the_next_open_sees_what_others_put(db: &Database) {
    let mount = db.mount_with_store();
    let path = mount.store(STORE).join("state");
    let mut objects = db.objects();
    for number in 0..30_u32 {
        // Of one length, within one second: the time and the size do not tell them apart.
        let text = format!("{number:08}");
        objects.put(&value_key(STORE, "state"), text.as_bytes(), TEXT);
        assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
    }
    objects.delete(&value_key(STORE, "state"));
    assert_eq!(fs::read(&path).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

pub(crate) fn p9_user_metadata_and_encodings_of_others_do_no_harm(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let mut objects = db.objects();
    let packed = {
        let script = "printf 'packed text' | gzip -nc | od -An -v -tx1 | tr -d ' \\n'";
        sh(script, &db.beside())
    };
    objects.ask(&json!({
        "do": "put", "key": value_key(STORE, "packed"), "value": {"hex": packed},
        "type": "text/plain", "encoding": "gzip", "metadata": {"mtime": "1700000000.5", "own": "kept"},
    }));
    wait_until("it is listed", || names(&store).contains("packed"));
    // The bytes as they are stored: those have the length that is listed.
    let read = fs::read(store.join("packed")).unwrap();
    assert_eq!(crate::sdk::hex(&read), packed);
    assert_eq!(fs::metadata(store.join("packed")).unwrap().len(), read.len() as u64);
    fs::write(store.join("packed"), "plain text").unwrap();
    let object = objects.get(&value_key(STORE, "packed")).unwrap();
    assert_eq!(object.bytes, b"plain text", "and nobody unpacks it: {:?}", object.metadata);
}

/// Uploads in parts that somebody has begun are no records, and not ours to remove while they are fresh.
pub(crate) fn p3_parts_that_others_send_are_no_records(db: &Database) {
    let mount = db.mount_with_store();
    let mut objects = db.objects();
    let begin = json!({"do": "upload", "key": value_key(STORE, "begun"), "value": "x"});
    objects.ask(&begin);
    assert_eq!(names(&mount.store(STORE)), [METADATA.to_owned()].into());
    fs::write(mount.store(STORE).join("begun"), "ours").unwrap();
    // It may tell of it.
    assert!(db.try_run(&["doctor", "--repair"]).status.code().is_some_and(|code| code < 2));
    let left = objects.ask(&json!({"do": "uploads"}));
    assert_eq!(left, json!([value_key(STORE, "begun")]));
    assert_eq!(objects.get(&value_key(STORE, "begun")).unwrap().bytes, b"ours");
}

/// Keys that no client of Crawlee makes never break the listing of those that one does.
pub(crate) fn p19_odd_keys_of_others_break_no_listing(db: &Database) {
    db.run(&["create", STORE]);
    let mut objects = db.objects();
    let at = format!("{STORES}/{STORE}");
    db.put("good", b"value", TEXT);
    let odd = [
        format!("{at}//x"),
        format!("{at}/."),
        format!("{at}/.."),
        format!("{at}/a//b"),
        format!("{at}/a/../c"),
        format!("{at}/folder/"),
        format!("{at}/folder/inner.json"),
        format!("{at}/control\u{1}\u{1f}"),
        format!("{at}/line\nfeed"),
        format!("{at}/tab\tand\rreturn"),
        format!("{at}/not-utf-8-%FF%FE"),
        format!("{at}/%2e%2e"),
        format!("{at}/%"),
        format!("{at}/%zz"),
        format!("{at}/a&b<c>\"d\"'e'"),
        format!("{at}/\u{1f600}"),
        format!("{at}/@purge"),
        format!("{at}/k.{METADATA}"),
        format!("{STORES}/loose-object"),
        format!("{STORES}/.."),
        format!("{STORES}//store/x"),
        format!("{STORES}/empty-store/"),
        format!("{STORES}/control\u{1}store/k"),
        "//at-the-top".to_owned(),
        "at-the-top".to_owned(),
        "datasets/default/000000001.json".to_owned(),
        "request_queues/default/x.json".to_owned(),
        ".storefs/x".to_owned(),
    ];
    // What this server refuses is none that it could list.
    let put = odd.iter().filter(|key| objects.try_put(key, b"odd", "text/plain").is_ok()).count();
    assert!(put > odd.len() / 2, "{put} of {}", odd.len());
    let before = objects.keys("");
    let mount = db.mount();
    let store = mount.store(STORE);
    let listed = names(&store);
    assert!(listed.contains("good"), "{listed:?}");
    assert_eq!(fs::read(store.join("good")).unwrap(), b"value");
    for name in &listed {
        // Whatever is shown can be looked at, and answers.
        let _ = (fs::metadata(store.join(name)), fs::read(store.join(name)));
    }
    let _ =
        crate::common::try_sh("ls -laR . ; find . -type f -exec cat {} + ; du -s .", &mount.path());
    for command in [&["doctor"][..], &["stores", "--json"], &["keys", STORE, "--json"], &["info"]] {
        let code = db.try_run(command).status.code();
        assert!(matches!(code, Some(0 | 1)), "{command:?}: {code:?}");
    }
    assert_eq!(mount.status()["pid"], mount.pid());
    assert_eq!(objects.keys(""), before, "looking changes nothing");
    // And a store with all that can still be worked in.
    fs::write(store.join("new"), "x").unwrap();
    assert_eq!(db.record("new").unwrap().0, b"x");
    fs::write(store.join("@purge"), "1").unwrap();
    assert!(!names(&store).contains("good"));
}

pub(crate) fn p18_no_key_leads_out_of_its_store(db: &Database) {
    let outside = db.beside().join("outside");
    fs::write(&outside, "secret").unwrap();
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let mut client = db.client(STORE).unwrap();
    let absolute = outside.display().to_string();
    let keys = [
        "../outside",
        "../../outside",
        &absolute,
        "/etc/hostname",
        "a/../../b",
        "@status",
        ".storefs/x",
    ];
    for key in keys {
        client.set(key, &json!("value"));
    }
    let mut expected: Vec<_> = keys.iter().map(|key| file_name(key)).collect();
    expected.push(METADATA.to_owned());
    wait_until("all are listed", || names(&store) == expected.iter().cloned().collect());
    for key in keys {
        let path = store.join(file_name(key));
        assert_eq!(fs::read(&path).unwrap(), b"value", "{key}");
        fs::write(&path, "changed").unwrap();
        assert_eq!(client.get(key)["value"], "changed", "{key}");
        assert_eq!(db.run(&["get", STORE, key]), "changed");
    }
    let copied = db.beside().join("copied");
    sh(&format!("cp -r . '{}'", copied.display()), &store);
    assert_eq!(names(&copied).len(), keys.len() + 1);
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
    // All is below the store's own prefix, and nothing beside it.
    let at = format!("{STORES}/{STORE}/");
    let beside: Vec<Value> = db
        .objects()
        .keys("")
        .into_iter()
        .filter(|key| !key.starts_with(&at))
        .map(Value::from)
        .collect();
    assert_eq!(beside, Vec::<Value>::new());
}
