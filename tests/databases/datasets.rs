//! Datasets of a database are files that can be read.

use std::fs;
use std::io::ErrorKind;

use rustix::io::Errno;
use serde_json::json;

use crate::common::{names, sh, wait_until};
use crate::database::Database;

pub(crate) fn items_are_files_for_programs(db: &Database) {
    let mount = db.mount_with(&["--ttl", "0"]);
    let Some(mut client) = db.client("default") else { return };
    let items: Vec<_> =
        (0..25).map(|n| json!({"n": n, "text": format!("gr\u{fc}\u{df}e {n}")})).collect();
    client.ask(&json!({"push": items, "dataset": "results"}));
    client.ask(&json!({"push": [{"n": 1}], "dataset": "alias:by alias"}));
    client.ask(&json!({"push": [{"n": 2}], "dataset": "default"}));
    let datasets = mount.path().join("datasets");
    wait_until("they are listed", || names(&datasets).len() == 3);
    assert_eq!(names(&datasets), ["by alias", "default", "results"].map(str::to_owned).into());
    let results = datasets.join("results");
    assert_eq!(names(&results).len(), 25);
    assert_eq!(sh("jq -s 'map(.n) | add' *.json", &results), "300\n");
    assert_eq!(sh("grep -l 'e 7\"' *", &results), "000000008.json\n");
    assert_eq!(
        sh("cat 000000001.json | jq -c .", &results),
        "{\"n\":0,\"text\":\"gr\u{fc}\u{df}e 0\"}\n"
    );
    assert_eq!(sh("wc -c < 000000001.json", &results), sh("cat 000000001.json | wc -c", &results));
    client.ask(&json!({"push": [{"n": 1000}], "dataset": "results"}));
    wait_until("an item that comes is there", || names(&results).len() == 26);
    assert_eq!(sh("jq .n 000000026.json", &results), "1000\n");
    let copy =
        format!("cp -r results '{0}/' && diff -r results '{0}/results'", db.beside().display());
    sh(&copy, &datasets);
}

/// More than are asked for at once, and in the database in another order than that in which they were put in.
pub(crate) fn many_items_are_in_their_order(db: &Database) {
    let mount = db.mount_with(&["--ttl", "0"]);
    let Some(mut client) = db.client("default") else { return };
    for from in [0, 150, 300] {
        let items: Vec<_> = (from..from + 150).map(|n| json!({"n": n})).collect();
        client.ask(&json!({"push": items, "dataset": "many"}));
        client.ask(&json!({"push": items, "dataset": "another"}));
    }
    // PostgreSQL puts what is changed behind all others.
    db.sql("UPDATE dataset_records SET data = data WHERE item_id % 3 = 0");
    let many = mount.path().join("datasets/many");
    wait_until("they are listed", || names(&many).len() == 450);
    let expected: std::collections::BTreeSet<_> =
        (1..=450).map(|number| format!("{number:09}.json")).collect();
    assert_eq!(names(&many), expected);
    let read = sh("cat *.json | jq .n", &many);
    let read: Vec<u32> = read.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(read, (0..450).collect::<Vec<_>>());
    // Each by its number alone, and with the length that the listing tells.
    for number in [1, 99, 100, 101, 200, 201, 450] {
        let path = many.join(format!("{number:09}.json"));
        let text = fs::read_to_string(&path).unwrap();
        let item: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(item["n"], number - 1);
        assert_eq!(fs::metadata(&path).unwrap().len(), text.len() as u64);
    }
    assert!(!many.join("000000451.json").exists());
}

pub(crate) fn items_cannot_be_changed(db: &Database) {
    let mount = db.mount();
    let Some(mut client) = db.client("default") else { return };
    client.ask(&json!({"push": [{"n": 1}, {"n": 2}], "dataset": "results"}));
    let results = mount.path().join("datasets/results");
    wait_until("it is there", || results.join("000000002.json").exists());
    let item = results.join("000000001.json");
    let refusals = [
        ("write", fs::write(&item, "x")),
        ("make", fs::write(results.join("000000003.json"), "{}")),
        ("remove", fs::remove_file(&item)),
        ("move", fs::rename(&item, results.join("x.json"))),
        ("move out", fs::rename(&results, mount.path().join("datasets/other"))),
        ("remove all", fs::remove_dir_all(&results)),
        ("make one", fs::create_dir(mount.path().join("datasets/new"))),
        ("append", fs::OpenOptions::new().append(true).open(&item).map(drop)),
    ];
    for (what, refused) in refusals {
        let errno = refused.expect_err(what).raw_os_error();
        let allowed =
            [Errno::ROFS, Errno::PERM, Errno::ACCESS].map(|errno| Some(errno.raw_os_error()));
        assert!(allowed.contains(&errno), "{what}: {errno:?}");
    }
    assert_eq!(names(&results).len(), 2);
    assert_eq!(
        fs::File::open(results.join("000000009.json")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(db.number("SELECT count(*) FROM dataset_records"), 2);
}
