//! The mount and a running SDK process see each other's changes at once.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use serde_json::{Value, json};

use crate::common::{TempMount, TempStorage, mime_type, names, sh};
use crate::sdk::{Js, Python, STORE};

/// How often a test repeats what must hold every time.
const ROUNDS: usize = 25;

#[test]
fn p03_running_sdk_sees_at_once_what_the_mount_publishes() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    for round in 0..ROUNDS {
        fs::write(mounted.join("state"), json!({ "round": round }).to_string()).unwrap();
        assert_eq!(client.get("state")["value"], json!({ "round": round }));
        let words = "x".repeat(round + 1);
        fs::write(mounted.join("words"), &words).unwrap();
        assert_eq!(client.get("words")["value"], words);

        fs::write(mounted.join("come"), "and gone").unwrap();
        assert_eq!(client.keys(), BTreeSet::from(["come", "state", "words"].map(str::to_owned)));
        fs::rename(mounted.join("come"), mounted.join("moved")).unwrap();
        assert_eq!(client.get("come")["type"], Value::Null);
        assert_eq!(client.get("moved")["value"], "and gone");
        fs::remove_file(mounted.join("moved")).unwrap();
        assert_eq!(client.get("moved")["type"], Value::Null);
        assert_eq!(client.keys(), BTreeSet::from(["state", "words"].map(str::to_owned)));
    }
    fs::write(mounted.join("@purge"), "1").unwrap();
    assert!(client.keys().is_empty());
}

#[test]
fn p02_mount_sees_at_once_what_a_running_sdk_writes() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    for round in 0..ROUNDS {
        for value in ["short".to_owned(), "x".repeat(round * 1000), format!("r{round:04}")] {
            client.set("state", &json!(value));
            assert_eq!(fs::read(mounted.join("state")).unwrap(), value.as_bytes());
        }
        // What the kernel may have remembered as absent is found.
        let fresh = format!("fresh {round}");
        assert_eq!(fs::metadata(mounted.join(&fresh)).unwrap_err().kind(), ErrorKind::NotFound);
        client.set(&fresh, &json!({"fresh": round}));
        assert!(mounted.join(&fresh).exists());
        assert!(names(&mounted).contains(&fresh));
        assert!(mime_type(&mounted.join(&fresh)).starts_with("application/json"));

        client.ask(&json!({"delete": fresh}));
        assert!(!names(&mounted).contains(&fresh));
        assert_eq!(fs::File::open(mounted.join(&fresh)).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn p02_mount_sees_at_once_a_store_that_a_running_sdk_makes_and_drops() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    assert!(!mount.store(STORE).exists());
    let mut client = python.serve(&storage, STORE);
    client.set("first", &json!("value"));
    assert_eq!(fs::read(mount.store(STORE).join("first")).unwrap(), b"value");
    assert!(names(&mount.stores()).contains(STORE));
    client.ask(&json!({"drop": 1}));
    assert!(!names(&mount.stores()).contains(STORE));
    assert_eq!(
        fs::File::open(mount.store(STORE).join("first")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// An SDK that has the mountpoint as its storage directory finds no sidecars there.
#[test]
fn an_sdk_on_a_mount_without_sidecars_is_told_of_the_option_that_it_needs() {
    let (Some(python), Some(js)) = (Python::find(), Js::find()) else { return };
    let storage = TempStorage::empty();
    let named = |mount: &TempMount| mount.log().matches("--show-sidecars").count();
    let mount = TempMount::new(&storage);
    sh(
        "mkdir default; echo '{}' > default/a; echo x > default/.a.swp; mv default/a default/b",
        &mount.stores(),
    );
    assert_eq!(named(&mount), 0, "ordinary tools are no SDK: {}", mount.log());
    python.run(&["dump", mount.path().to_str().unwrap(), "default"]);
    assert_eq!(named(&mount), 1, "{}", mount.log());
    // JS 3 locks with directories, which it does not get here.
    let mut command = js.command(&["fill", mount.path().to_str().unwrap(), "other"]);
    let records = storage.beside().join("records");
    fs::write(&records, json!([{"key": "k", "value": {"a": 1}}]).to_string()).unwrap();
    command.stdin(fs::File::open(records).unwrap()).output().unwrap();
    assert_eq!(named(&mount), 2, "{}", mount.log());
    mount.unmount();
    let mount = TempMount::with_options(&storage, &["--show-sidecars"]);
    python.run(&["dump", mount.path().to_str().unwrap(), "default"]);
    assert_eq!(named(&mount), 0, "{}", mount.log());
}
