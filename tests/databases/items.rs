//! `@items.jsonl`, `@items.json` and `@items.csv` of the datasets of a database.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{names, sh};
use crate::database::Database;

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

/// More than are asked for at once.
pub(crate) fn programs_read_a_dataset_as_one_file(db: &Database) {
    let mount = db.mount();
    let Some(mut client) = db.client("default") else { return };
    let items: Vec<_> = (0..250)
        .map(|n| json!({"n": n, "text": format!("gr\u{fc}\u{df}e, {n}\nand more")}))
        .collect();
    client.ask(&json!({"push": items, "dataset": "results"}));
    client.ask(&json!({"push": [{"n": 1000, "tags": ["x"]}], "dataset": "results"}));
    let dir = mount.path().join("datasets/results");
    let said = |script: &str| sh(script, &dir).trim().to_owned();
    assert_eq!(said("jq -s 'map(.n) | add' @items.jsonl"), "32125");
    assert_eq!(said("jq 'map(.n) | add' @items.json"), "32125");
    assert_eq!(said("grep -c 'e, ' @items.jsonl"), "250");
    assert_eq!(said("tail -n 1 @items.jsonl"), "{\"n\":1000,\"tags\":[\"x\"]}");
    let rows = "python3 -c 'import csv; rows = list(csv.DictReader(open(\"@items.csv\", newline=\"\"))); \
                print(len(rows), sum(int(row[\"n\"]) for row in rows), rows[-1][\"tags\"])'";
    assert_eq!(said(rows), "251 32125 [\"x\"]");
    for name in ["@items.jsonl", "@items.json", "@items.csv"] {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().len(), read(&dir, name).len() as u64);
        let copies = db.beside();
        sh(&format!("cp {name} '{0}/copy' && cmp {name} '{0}/copy'", copies.display()), &dir);
        assert!(fs::write(dir.join(name), "x").is_err());
    }
    assert!(!names(&dir).contains("@items.jsonl"));
    assert!(!mount.path().join("datasets/none/@items.jsonl").exists());
}

/// Each look tells of what was pushed before it, and who has one open goes on with what it was.
pub(crate) fn one_file_follows_the_client(db: &Database) {
    let mount = db.mount();
    let Some(mut client) = db.client("default") else { return };
    let dir = mount.path().join("datasets/results");
    let mut open = Vec::new();
    for count in 1..=20 {
        let text = "x".repeat(3000);
        client.ask(&json!({"push": [{"n": count, "text": text}], "dataset": "results"}));
        let size = fs::metadata(dir.join("@items.jsonl")).unwrap().len();
        let array: Vec<Value> = serde_json::from_str(&read(&dir, "@items.json")).unwrap();
        assert_eq!(array.len(), count);
        let file = File::open(dir.join("@items.jsonl")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
        open.push(file);
    }
    db.sql("DELETE FROM dataset_records");
    assert_eq!(read(&dir, "@items.jsonl"), "");
    assert_eq!(read(&dir, "@items.json"), "[]\n");
    client.ask(&json!({"push": [{"n": "after"}], "dataset": "results"}));
    assert_eq!(read(&dir, "@items.jsonl"), "{\"n\":\"after\"}\n");
    for (count, file) in open.iter_mut().enumerate() {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, file.metadata().unwrap().len());
        let read: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
            .collect();
        assert_eq!(read, (1..=count as u64 + 1).collect::<Vec<_>>());
    }
}
