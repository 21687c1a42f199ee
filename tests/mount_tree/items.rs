//! `@items.jsonl`, `@items.json` and `@items.csv` of a dataset in a directory.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{
    METADATA, TempMount, TempStorage, can_mount, names, sh, skipped, try_sh, wait_until,
};
use crate::help::{errno, storage_of, write};

const TEXTS: [&str; 3] = ["@items.jsonl", "@items.json", "@items.csv"];

/// A storage with an empty dataset, and the dataset's directory on disk.
fn dataset() -> (TempStorage, PathBuf) {
    let storage = storage_of(&[]);
    let dir = storage.path().join("datasets/default");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(METADATA), json!({"id": "HvTUFIxMPIib09NEi", "name": null}).to_string())
        .unwrap();
    (storage, dir)
}

/// Writes an item as the SDK for Python does: beside, and then in its place.
fn push(dir: &Path, number: usize, text: &str) {
    let beside = dir.join(format!(".{number}.tmp"));
    fs::write(&beside, text).unwrap();
    fs::rename(beside, dir.join(format!("{number:09}.json"))).unwrap();
}

fn push_json(dir: &Path, number: usize, item: &Value) {
    push(dir, number, &serde_json::to_string_pretty(item).unwrap());
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn items_are_read_as_one_file() {
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["--show-sidecars"], &["--read-only"]] {
        let (storage, disk) = dataset();
        push(&disk, 1, "{\n  \"url\": \"https://a/\",\n  \"price\": 1.50\n}");
        push(
            &disk,
            2,
            "{\n\t\"price\": 12345678901234567890.10,\n\t\"tags\": [\n\t\t\"x\"\n\t]\n}",
        );
        push(&disk, 3, "{\n  \"url\": \"two\\nlines, \\\"q\\\"\",\n  \"price\": NaN\n}");
        fs::write(disk.join("note.json"), "{\"no\": \"item\"}").unwrap();
        let mount = TempMount::with_options(&storage, options);
        let dir = mount.path().join("datasets/default");
        assert_eq!(
            read(&dir, "@items.jsonl"),
            "{\"url\":\"https://a/\",\"price\":1.50}\n\
             {\"price\":12345678901234567890.10,\"tags\":[\"x\"]}\n\
             {\"url\":\"two\\nlines, \\\"q\\\"\",\"price\":null}\n"
        );
        let lines = read(&dir, "@items.jsonl");
        let array = format!("[\n{}\n]\n", lines.trim_end().replace("}\n{", "},\n{"));
        assert_eq!(read(&dir, "@items.json"), array);
        assert_eq!(
            read(&dir, "@items.csv"),
            "url,price,tags\nhttps://a/,1.50,\n,12345678901234567890.10,\"[\"\"x\"\"]\"\n\
             \"two\nlines, \"\"q\"\"\",,\n"
        );
        for name in TEXTS {
            let looked = fs::metadata(dir.join(name)).unwrap();
            assert_eq!(looked.len(), read(&dir, name).len() as u64, "{name}");
            assert_eq!(looked.mode() & 0o7777, 0o444);
        }
        assert!(names(&dir).iter().all(|name| !name.starts_with('@')));
        assert!(!mount.path().join("datasets/@items.jsonl").exists());
        assert!(!mount.path().join("datasets/none/@items.jsonl").exists());
    }
}

#[test]
fn programs_read_them() {
    if !can_mount() {
        return;
    }
    let (storage, disk) = dataset();
    for number in 1..=1200 {
        let item = json!({"n": number, "text": format!("gr\u{fc}\u{df}e, \"{number}\"\nand more")});
        push_json(&disk, number, &item);
    }
    let mount = TempMount::new(&storage);
    let dir = mount.path().join("datasets/default");
    let said = |script: &str| sh(script, &dir).trim().to_owned();
    assert_eq!(said("jq -s 'map(.n) | add' @items.jsonl"), "720600");
    assert_eq!(said("jq 'map(.n) | add' @items.json"), "720600");
    assert_eq!(said("grep -c 'e, ' @items.jsonl"), "1200");
    assert_eq!(said("wc -l < @items.jsonl"), "1200");
    assert_eq!(said("tail -n 1 @items.jsonl | jq .n"), "1200");
    assert_eq!(said("head -n 1 @items.csv"), "n,text");
    let rows = "python3 -c 'import csv; rows = list(csv.DictReader(open(\"@items.csv\", newline=\"\"))); \
                print(len(rows), sum(int(row[\"n\"]) for row in rows), rows[8][\"text\"].count(chr(10)))'";
    assert_eq!(said(rows), "1200 720600 1");
    let lines = "python3 -c 'import json; print(sum(json.loads(line)[\"n\"] for line in open(\"@items.jsonl\")))'";
    assert_eq!(said(lines), "720600");
    let copies = storage.beside().display();
    for name in TEXTS {
        sh(&format!("cp {name} '{copies}/copy' && cmp {name} '{copies}/copy'"), &dir);
        assert_eq!(said(&format!("wc -c < {name}")), said(&format!("cat {name} | wc -c")));
        assert_eq!(said(&format!("stat -c %s {name}")), said(&format!("cat {name} | wc -c")));
    }
}

/// Whoever looks meanwhile sees all items up to some moment, and none twice.
#[test]
fn they_follow_a_crawler_that_appends() {
    const ITEMS: usize = 600;
    if !can_mount() {
        return;
    }
    for (is_in_place, options) in [(false, &[][..]), (true, &["--read-only"])] {
        let (storage, disk) = dataset();
        let mount = TempMount::with_options(&storage, options);
        let dir = mount.path().join("datasets/default");
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=ITEMS {
                    let text = format!("{{\n  \"n\": {number}\n}}");
                    if is_in_place {
                        // As Crawlee JS 3 does.
                        fs::write(disk.join(format!("{number:09}.json")), text).unwrap();
                    } else {
                        push(&disk, number, &text);
                    }
                }
                is_done.store(true, Ordering::Release);
            });
            let mut before = 0;
            loop {
                let was_done = is_done.load(Ordering::Acquire);
                let mut file = File::open(dir.join("@items.jsonl")).unwrap();
                let size = file.metadata().unwrap().len();
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, size);
                let read: Vec<usize> =
                    text.lines().map(|line| line[5..line.len() - 1].parse().unwrap()).collect();
                assert_eq!(read, (1..=read.len()).collect::<Vec<_>>());
                assert!(read.len() >= before, "{} after {before}", read.len());
                before = read.len();
                let array: Vec<Value> = serde_json::from_str(&read_whole(&dir)).unwrap();
                assert!(array.len() >= before);
                if was_done {
                    break;
                }
            }
            assert_eq!(before, ITEMS);
        });
    }
}

fn read_whole(dir: &Path) -> String {
    read(dir, "@items.json")
}

#[test]
fn p01_who_has_one_open_reads_it_to_its_end() {
    if !can_mount() {
        return;
    }
    let (storage, disk) = dataset();
    let long = "x".repeat(2000);
    for number in 1..=500 {
        push_json(&disk, number, &json!({"n": number, "long": long}));
    }
    let mount = TempMount::new(&storage);
    let dir = mount.path().join("datasets/default");
    let mut open: Vec<(File, String)> =
        TEXTS.map(|name| (File::open(dir.join(name)).unwrap(), read(&dir, name))).into();
    for number in 1..=3 {
        push_json(&disk, number, &json!({"other": number}));
    }
    push_json(&disk, 501, &json!({"n": 501}));
    assert_eq!(read(&dir, "@items.jsonl").lines().count(), 501);
    assert!(read(&dir, "@items.csv").starts_with("other,n,long\n1,,\n2,,\n3,,\n,4,xx"));
    sh("echo 1 > @purge", &dir);
    assert_eq!(read(&dir, "@items.jsonl"), "");
    assert_eq!(read(&dir, "@items.json"), "[]\n");
    assert_eq!(read(&dir, "@items.csv"), "");
    push_json(&disk, 1, &json!({"n": "after"}));
    assert_eq!(read(&dir, "@items.jsonl"), "{\"n\":\"after\"}\n");
    for (file, text) in &mut open {
        assert_eq!(file.metadata().unwrap().len(), text.len() as u64);
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert!(read == *text, "{} bytes of {}", read.len(), text.len());
        file.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(file.read(&mut [0; 9]).unwrap(), 1);
    }
}

#[test]
fn an_item_that_is_no_json_is_told_unless_it_is_being_written() {
    if !can_mount() {
        return;
    }
    let (storage, disk) = dataset();
    push(&disk, 1, "[1, {\"a\": 2}]");
    push(&disk, 2, "\"text\"");
    push(&disk, 3, "{\"half\": ");
    push(&disk, 4, "");
    let mount = TempMount::new(&storage);
    let dir = mount.path().join("datasets/default");
    assert_eq!(read(&dir, "@items.jsonl"), "[1,{\"a\":2}]\n\"text\"\n");
    assert_eq!(read(&dir, "@items.csv"), "value\n\"[1,{\"\"a\"\":2}]\"\ntext\n");
    push(&disk, 4, "4");
    assert_eq!(errno(File::open(dir.join("@items.jsonl"))), Errno::IO);
    wait_until("the log names it", || mount.log().contains("item 3 of a dataset: it is no JSON"));
    push(&disk, 3, "{\"half\": 0.50}");
    assert_eq!(read(&dir, "@items.jsonl"), "[1,{\"a\":2}]\n\"text\"\n{\"half\":0.50}\n4\n");
}

#[test]
fn they_can_only_be_read() {
    if !can_mount() {
        return;
    }
    let (storage, disk) = dataset();
    push(&disk, 1, "{\"n\": 1}");
    let mount = TempMount::new(&storage);
    let dir = mount.path().join("datasets/default");
    for name in TEXTS {
        let before = read(&dir, name);
        assert!(write(&dir.join(name), "x").is_err());
        for script in [
            "rm -f NAME",
            "mv NAME other",
            "mv 000000001.json NAME",
            "mkdir NAME",
            "truncate -s 0 NAME",
        ] {
            assert!(!try_sh(&script.replace("NAME", name), &dir).status.success(), "{script}");
        }
        assert_eq!(read(&dir, name), before);
    }
    assert_eq!(names(&disk), [METADATA, "000000001.json"].map(String::from).into());
    // A copy of the dataset, and its removal, meet none of them.
    sh("cp -r default copy && rm -r copy", &mount.path().join("datasets"));
}

/// What reads the texts in the end, while items are added: each reads one state of the dataset, from the first item on.
#[test]
fn programs_that_read_tables_and_lines_read_them_while_a_crawler_appends() {
    const ITEMS: usize = 400;
    const PANDAS: &str = "import pandas
frame = pandas.read_json('@items.jsonl', lines=True)
assert list(frame['n']) == list(range(1, len(frame) + 1)), frame
assert list(pandas.read_csv('@items.csv')['n'])[:len(frame)] == list(frame['n'])
print(len(frame))";
    if !can_mount() {
        return;
    }
    for (program, look) in
        [("csvlook", "csvlook --version"), ("pandas", "/usr/bin/python3 -c 'import pandas'")]
    {
        if !try_sh(look, Path::new("/")).status.success() {
            return skipped(&format!("{program} is missing: run scripts/install-test-deps"));
        }
    }
    let (storage, disk) = dataset();
    let mount = TempMount::new(&storage);
    let dir = mount.path().join("datasets/default");
    push_json(&disk, 1, &json!({"n": 1, "text": "a, \"b\""}));
    thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for number in 2..=ITEMS {
                push_json(&disk, number, &json!({"n": number, "text": "a, \"b\""}));
            }
        });
        loop {
            let is_last = appending.is_finished();
            let script = format!(
                "set -o pipefail; csvlook --no-inference @items.csv | tail -n +3 | wc -l
                 grep -c text @items.jsonl; jq -s length @items.jsonl; jq length @items.json
                 /usr/bin/python3 -c \"{PANDAS}\""
            );
            let counts: Vec<usize> =
                sh(&script, &dir).lines().map(|line| line.trim().parse().unwrap()).collect();
            assert_eq!(counts.len(), 5);
            assert!(counts.is_sorted() && counts[0] > 0, "{counts:?}");
            if is_last {
                assert_eq!(counts, [ITEMS; 5]);
                break;
            }
        }
    });
}
