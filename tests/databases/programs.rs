//! Ordinary programs, and the commands of storefs.

use std::fs;

use serde_json::Value;

use crate::common::{METADATA, names, sh, tree};
use crate::database::{Database, STORE, bytes};

pub(crate) fn ordinary_programs_find_a_file_system(db: &Database) {
    let before = db.schema();
    let mount = db.mount_with_store();
    let beside = db.beside();
    fs::create_dir(beside.join("from")).unwrap();
    for n in 0..20 {
        fs::write(beside.join(format!("from/file {n}.txt")), format!("text {n}\n")).unwrap();
    }
    fs::write(beside.join("from/large"), bytes(3, 5_000_000)).unwrap();
    let store = mount.store(STORE);
    let script = format!(
        "cd '{store}'
        from='{from}/from'
        cp -r \"$from\"/* . ; diff -r \"$from\" . | grep -v {METADATA} && false
        rsync -a \"$from\"/ . ; rsync -ac --out-format=%n \"$from\"/ . > '{from}/sent'
        tar cf - -C \"$from\" . | tar xf - 2> '{from}/tar'
        sed -i 's/text/TEXT/' 'file 1.txt'; grep -q 'TEXT 1' 'file 1.txt'
        vim -es -u NONE -c '%s/text/vim/' -c wq 'file 2.txt' < /dev/null; grep -q 'vim 2' 'file 2.txt'
        printf '1a\\nadded\\n.\\nw\\nq\\n' | ed -s 'file 3.txt'; grep -q added 'file 3.txt'
        mv 'file 4.txt' moved; cp -a moved copied; cmp moved copied
        ln moved linked 2> /dev/null && false
        dd if=large of=dd bs=64K conv=fsync status=none; cmp large dd
        dd if=/dev/zero of=dd bs=1 seek=4000000 count=10 conv=notrunc status=none
        cmp large dd > /dev/null && false
        truncate -s 10 dd; test $(stat -c %s dd) = 10
        tac large | tac | cmp - large; tail -c 16 large > /dev/null; sort -o sorted 'file 5.txt'
        gzip -k large; gzip -dc large.gz | cmp - large
        touch new; chmod 600 new; touch -d 2020-01-01 new
        test -z \"$(find . -name '*.swp')\"
        df . > /dev/null; du -s . > /dev/null; stat -f . > /dev/null",
        store = store.display(),
        from = beside.display(),
    );
    sh(&script, &beside);
    let python = "import os, tempfile\n\
         with tempfile.NamedTemporaryFile('w', dir='.', delete=False) as file:\n\
         \x20   file.write('{\"a\": 1}'); file.flush(); os.fsync(file.fileno())\n\
         os.replace(file.name, 'state.json')\n\
         with open('state.json', 'r+') as file:\n\
         \x20   file.seek(0, 2); file.write('\\n')\n\
         with tempfile.TemporaryFile(dir='.') as file:\n\
         \x20   file.write(b'x' * 100000); file.seek(0); assert len(file.read()) == 100000\n";
    fs::write(beside.join("work.py"), python).unwrap();
    sh(&format!("python3 '{}'", beside.join("work.py").display()), &store);
    assert_eq!(db.record("state.json").unwrap().0, b"{\"a\": 1}\n");
    let all = |store: &std::path::Path| {
        let mut files = tree(store);
        files.retain(|name, _| name.to_str() != Some(METADATA));
        files
    };
    let seen = all(&store);
    drop(mount);
    // All of it is there for the next mount, to the byte.
    let mount = db.mount();
    assert!(all(&mount.store(STORE)) == seen);
    sh(
        "cp -r work other; diff -r -x __metadata__.json work other; rm -r other work",
        &mount.stores(),
    );
    assert_eq!(names(&mount.stores()).len(), 0);
    assert_eq!(db.schema(), before);
}

pub(crate) fn git_and_sqlite_keep_their_files_in_a_store(db: &Database) {
    let mount = db.mount_with_store();
    sh(
        "sqlite3 inner.db 'create table t (a); insert into t values (1), (2);'
        test $(sqlite3 inner.db 'select sum(a) from t') = 3
        sqlite3 inner.db 'begin; insert into t values (3); rollback; vacuum; pragma integrity_check' | grep -q ok
        ! git init -q . 2> /dev/null",
        &mount.store(STORE),
    );
}

pub(crate) fn all_commands_take_it_as_a_source(db: &Database) {
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&db.run(arguments)).unwrap() };
    let source = db.beside().join("value.json");
    fs::write(&source, "{\"a\": 1}").unwrap();
    db.run(&["create", "one"]);
    db.run(&["set", "one", "k", source.to_str().unwrap()]);
    db.run(&["set", "one", "typed", source.to_str().unwrap(), "--content-type", "text/x-own"]);
    assert_eq!(db.run(&["get", "one", "k"]), "{\"a\": 1}");
    let keys = db.run(&["keys", "one"]);
    assert!(keys.contains("application/json") && keys.contains("text/x-own"), "{keys}");
    assert_eq!(json(&["stores", "--json"])[0]["name"], "one");
    let info = json(&["info", "--json"]);
    assert!(info["storage"].to_string().contains(db.kind()), "{info}");
    db.run(&["info", "one"]);
    db.run(&["doctor"]);
    db.run(&["adopt", "one"]);
    db.run(&["rescue"]);
    db.run(&["rename", "one", "two"]);
    assert!(!db.try_run(&["get", "one", "k"]).status.success());
    db.run(&["set", "two", "INPUT", source.to_str().unwrap()]);
    db.run(&["purge", "two"]);
    assert_eq!(db.run(&["get", "two", "INPUT"]), "{\"a\": 1}");
    assert!(!db.try_run(&["get", "two", "k"]).status.success());
    db.run(&["rm", "two", "INPUT"]);
    assert!(!db.try_run(&["rm", "two", "INPUT"]).status.success());
    db.run(&["drop", "two"]);
    assert!(!db.try_run(&["drop", "two"]).status.success());
    assert!(db.is_empty());
}

pub(crate) fn a_record_has_any_key(db: &Database) {
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let Some(mut client) = db.client(STORE) else { return };
    let keys = [
        "a/b",
        "%41",
        "100%",
        "@purge",
        ".hidden",
        "x.lock",
        "it's",
        "*?",
        "back\\slash",
        "line\nfeed",
        "k ey",
        "\u{e9}",
        ".",
        "..",
    ];
    let keys: Vec<&str> = keys.into_iter().filter(|key| db.keeps(key)).collect();
    for key in &keys {
        client.set(key, &serde_json::json!({"key": key}));
    }
    crate::common::wait_until("all are listed", || names(&store).len() == keys.len() + 1);
    let found: std::collections::BTreeSet<_> = names(&store)
        .into_iter()
        .filter(|name| name != METADATA)
        .map(|name| {
            let value: Value =
                serde_json::from_slice(&fs::read(store.join(&name)).unwrap()).unwrap();
            value["key"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(found, keys.iter().map(|key| (*key).to_owned()).collect());
    for name in names(&store).iter().filter(|name| *name != METADATA) {
        fs::write(store.join(name), "changed").unwrap();
    }
    for key in &keys {
        assert_eq!(client.get(key)["value"], "changed", "{key}");
    }
}
