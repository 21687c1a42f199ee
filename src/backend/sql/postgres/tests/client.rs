//! Crawlee's own client on the other side.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

/// A Python that has the client with its driver; `None`, said aloud, where there is none.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("scripts/install-test-deps");
    let place = Command::new(script).args(["--where", "python"]).output().unwrap().stdout;
    let place = PathBuf::from(String::from_utf8(place).unwrap().trim_end());
    let python = std::env::var_os("STOREFS_TEST_SQL_PYTHON").map_or(place, PathBuf::from);
    let has_driver = Command::new(&python)
        .args(["-c", "import crawlee, asyncpg"])
        .stderr(Stdio::null())
        .status();
    if has_driver.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let why = "test with Crawlee's SQL client: crawlee[sql-postgres] is not installed";
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    None
}

fn client(python: &Path, server: &Server, name: &str, arguments: &[&str]) -> Child {
    let url = server.url(name).replace("postgresql:", "postgresql+asyncpg:");
    Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/sql_client.py"))
        .arg(url)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn said(client: Child) -> Vec<serde_json::Value> {
    let output = client.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("Error occurred"), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_the_client_writes_is_read_as_it_is() {
    let (Some(server), Some(python)) = (server::shared(), python()) else { return };
    let name = server.empty_database();
    said(client(&python, server, &name, &["write"]));
    let database = opened(server, &name);
    let mut stores: Vec<_> = database
        .stores()
        .unwrap()
        .into_iter()
        .map(|store| (store.internal_name, store.name))
        .collect();
    stores.sort();
    let named = ("s".to_owned(), Some("s".to_owned()));
    assert_eq!(stores, [("aliased".to_owned(), None), ("default".to_owned(), None), named]);
    let of = |key: &str| {
        let opened = opened_record(&database, key);
        (opened.row.content_type, String::from_utf8_lossy(&opened.bytes.unwrap()).into_owned())
    };
    let is = |content_type: &str, text: &str| (content_type.to_owned(), text.to_owned());
    let json = "{\"url\": \"https://example.com\", \"\u{17e}\": 1}";
    assert_eq!(of("json"), is("application/json; charset=utf-8", json));
    assert_eq!(of("text"), is("text/plain; charset=utf-8", "42"));
    assert_eq!(of("bytes"), is("application/octet-stream", "\0\u{1}\u{fffd}"));
    assert_eq!(of("none"), is("application/x-none", ""));
    assert_eq!(of("k ey/\u{c9}"), is("text/html", "x"));
    assert_eq!(database.datasets().unwrap(), [("d".to_owned(), 3)]);
    let items = database.dataset_items("d", 1, 9).unwrap().unwrap();
    assert_eq!(items, ["{\"n\": 1}", "{\"n\": 2}"]);
}

#[test]
fn the_client_reads_what_is_written_and_folds_it() {
    let Some(python) = python() else { return };
    let Some((server, name, database)) = with_store() else { return };
    done(put(&database, "k", b"one", PutOver::Anything).unwrap());
    let large = vec![b'x'; 3 << 20];
    done(put(&database, "large", &large, PutOver::Anything).unwrap());
    done(database.set_type("s", "large", "application/octet-stream").unwrap());
    let set = database.store("s").unwrap().unwrap().modified_at;
    let lines = said(client(&python, server, &name, &["read"]));
    assert_eq!(lines[0].to_string(), r#"["k","text/plain",3,"'one'"]"#);
    assert_eq!(lines[1][2], 3 << 20);
    assert_eq!(lines[2][0], "saaaaaaaaaaaaaaaa");
    assert!((lines[2][1].as_f64().unwrap() - set.as_second() as f64).abs() < 2.0);
    assert_eq!(database.store("s").unwrap().unwrap().modified_at, set);
}

#[test]
fn both_sides_hammer_one_store_while_its_buffer_is_folded() {
    let Some(python) = python() else { return };
    let Some((server, name, database)) = with_store() else { return };
    let clients: Vec<_> =
        (0..2).map(|_| client(&python, server, &name, &["hammer", "60"])).collect();
    let is_over = AtomicBool::new(false);
    let lines = thread::scope(|scope| {
        for thread in 0..3 {
            let (database, is_over) = (&database, &is_over);
            scope.spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    let value = format!("text {thread} {number}");
                    done(put(database, "shared", value.as_bytes(), PutOver::Anything).unwrap());
                    if number % 9 == 0 {
                        database.delete("s", "shared").unwrap();
                    }
                    if number % 40 == 0 {
                        let at = Timestamp::now();
                        database.purge("s", at, &|key| key == "shared").unwrap().unwrap();
                    }
                    let Lookup::Found(opened) = database.open("s", "shared", 99, None).unwrap()
                    else {
                        continue;
                    };
                    let text = String::from_utf8(opened.bytes.unwrap()).unwrap();
                    let is_json = opened.row.content_type.starts_with("application/json");
                    assert_eq!(
                        is_json,
                        text.starts_with('{'),
                        "{} {text}",
                        opened.row.content_type
                    );
                }
            });
        }
        let lines: Vec<_> = clients.into_iter().map(said).collect();
        is_over.store(true, Ordering::Relaxed);
        lines
    });
    assert_eq!(lines.len(), 2);
    // The client takes the newest of the buffered times, whatever it has had before.
    done(put_at(&database, "last", b"text", PutOver::Anything, Timestamp::now()).unwrap());
    let told = database.store("s").unwrap().unwrap().modified_at;
    let read = said(client(&python, server, &name, &["read"]));
    let folded = read.last().unwrap()[1].as_f64().unwrap();
    assert!((folded - told.as_millisecond() as f64 / 1000.0).abs() < 0.01, "{folded} {told}");
}
