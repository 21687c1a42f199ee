//! From each kind of storage to each other.

use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::common::sdk_python;

#[test]
fn to_sqlite_and_back_is_the_same_storage() {
    for fixture in ["python/values", "python/odd-keys"] {
        let storage = TempStorage::of_fixture(fixture);
        // No database keeps such a key.
        let _ = fs::remove_file(storage.store("odd").join("nul%00"));
        let _ = fs::remove_file(storage.store("odd").join("nul%00.__metadata__.json"));
        let (_dir, database) = database();
        let back = TempStorage::empty();
        there_and_back(&text(&storage.path()), &database, &text(&back.path()));
    }
}

#[cfg(feature = "postgres")]
#[test]
fn to_postgresql_and_back_is_the_same_storage() {
    let Some(server) = postgres::shared() else { return };
    for database in [server.database(), server.icu_database(), server.old_database()] {
        let storage = TempStorage::of_fixture("python/values");
        let back = TempStorage::empty();
        there_and_back(&text(&storage.path()), &server.url(&database), &text(&back.path()));
    }
}

#[cfg(feature = "postgres")]
#[test]
fn from_sqlite_to_postgresql_and_back() {
    let Some(server) = postgres::shared() else { return };
    let storage = TempStorage::of_fixture("python/values");
    let ((_one, first), (_other, back)) = (database(), database());
    copied(&text(&storage.path()), &first, &[]);
    there_and_back(&first, &server.url(&server.database()), &back);
}

/// Nothing of the first is changed by it, and all of the three are the same.
#[track_caller]
fn there_and_back(from: &str, there: &str, back: &str) {
    let before = held(from);
    let all: usize = before.values().map(|(_, records)| records.len()).sum();
    assert_eq!(copied(from, there, &[]), [all as u64, 0, 0, 0]);
    assert_eq!(copied(there, back, &[]), [all as u64, 0, 0, 0]);
    for storage in [from, there, back] {
        assert_eq!(held(storage), before, "{storage}");
    }
}

#[test]
fn a_directory_that_is_copied_is_not_written_to() {
    let storage = TempStorage::of_fixture("python/values");
    let before = (
        common::tree(&storage.path()),
        fs::metadata(storage.store("kinds")).unwrap().modified().unwrap(),
    );
    let (_dir, database) = database();
    copied(&text(&storage.path()), &database, &[]);
    copied(&text(&storage.path()), &database, &[]);
    let after = (
        common::tree(&storage.path()),
        fs::metadata(storage.store("kinds")).unwrap().modified().unwrap(),
    );
    assert_eq!(after, before);
    // Nor is a database, by its own account of when it was read.
    let target = TempStorage::empty();
    let before = held(&database);
    copied(&database, &text(&target.path()), &[]);
    assert_eq!(held(&database), before);
}

#[test]
fn types_are_copied_as_they_are_kept() {
    let storage = TempStorage::empty();
    let source = text(&storage.path());
    fill(&source, "s", &[("none", b"", "application/x-none"), ("odd", b"{", "application/json")]);
    fs::write(storage.store("s").join("bare.html"), "<p>").unwrap();
    // A guess, beside the type that the record was given.
    let (name, guess) = (
        "guess.__metadata__.json",
        "{\n  \"key\": \"guess\",\n  \"contentType\": \"text/plain; charset=utf-8\",\n  \"size\": 1,\n  \"givenContentType\": \"image/png\"\n}",
    );
    fs::write(storage.store("s").join("guess"), "x").unwrap();
    fs::write(storage.store("s").join(name), guess).unwrap();
    let (target, (_dir, database)) = (TempStorage::empty(), database());
    copied(&source, &text(&target.path()), &[]);
    let kept = fs::read_to_string(target.store("s").join(name)).unwrap();
    assert!(kept.contains("\"givenContentType\": \"image/png\""), "{kept}");
    copied(&source, &database, &[]);
    for target in [text(&target.path()), database] {
        let held = held(&target);
        let types: Vec<_> =
            held["s"].1.iter().map(|(key, (_, kept))| (key.as_str(), kept.as_str())).collect();
        let expected = [
            ("bare.html", "text/html"),
            ("guess", "text/plain; charset=utf-8"),
            ("none", "application/x-none"),
            ("odd", "application/json"),
        ];
        assert_eq!(
            types
                .iter()
                .map(|(key, kept)| (*key, kept.split(';').next().unwrap()))
                .collect::<Vec<_>>(),
            expected
                .iter()
                .map(|(key, kept)| (*key, kept.split(';').next().unwrap()))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_store_of_crawlee_js_3_gives_its_keys_and_gets_its_own() {
    let (_source, source) = database();
    let plain = ("plain", b"x".as_slice(), "text/plain; charset=utf-8");
    fill(&source, "s", &[plain, ("page", b"<p>", "text/html")]);
    let (dir, js3) = (temp_dir(), "--dialect=js3");
    let target = text(dir.path());
    assert_eq!(copied(&source, &target, &[js3]), [2, 0, 0, 0]);
    let files: Vec<String> =
        common::names(&dir.path().join("key_value_stores/s")).into_iter().collect();
    assert_eq!(files, ["page.html", "plain.txt"]);
    assert_eq!(copied(&source, &target, &[js3, "--purge"])[1..], [2, 0, 0]);
    let (_dir, database) = database();
    assert_eq!(copied(&target, &database, &[js3]), [2, 0, 0, 0]);
    assert_eq!(keys(&database, "s"), ["page.html", "plain.txt"]);
}

/// A Python that has the client with its driver; `None`, said aloud, where there is none.
fn python() -> Option<PathBuf> {
    let python =
        std::env::var_os("STOREFS_TEST_SQL_PYTHON").map(PathBuf::from).or_else(sdk_python)?;
    let has_driver = Command::new(&python)
        .args(["-c", "import crawlee, aiosqlite, sqlalchemy"])
        .stderr(std::process::Stdio::null())
        .status();
    if !has_driver.is_ok_and(|status| status.success()) {
        common::skipped("test with Crawlee's SQL client: crawlee[sql-sqlite] is not installed");
        return None;
    }
    Some(python)
}

#[test]
fn crawlees_own_client_reads_what_was_copied() {
    let Some(python) = python() else { return };
    let storage = TempStorage::empty();
    let source = text(&storage.path());
    let json = ("json", b"{\"n\": 1}".as_slice(), "application/json; charset=utf-8");
    fill(
        &source,
        "s",
        &[json, ("none", b"", "application/x-none"), ("text", b"42", "text/plain; charset=utf-8")],
    );
    let (_dir, database) = database();
    copied(&source, &database, &[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/sql_client.py");
    let url = format!("sqlite+aiosqlite:///{database}");
    let output = Command::new(python).arg(script).args([&url, "read"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = serde_json::json!([
        ["json", "application/json; charset=utf-8", 8, "{'n': 1}"],
        ["none", "application/x-none", 0, "None"],
        ["text", "text/plain; charset=utf-8", 2, "'42'"],
    ]);
    assert_eq!(Value::from(lines[..3].to_vec()), expected);
    let metadata = &held(&source)["s"].0;
    assert_eq!(lines[3][0].as_str(), metadata.id.as_deref());
}
