//! What tools write through the mount is what crawlee-python reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{
    METADATA, TempMount, TempStorage, disk_name, file_name, mime_type, names, sh, storefs,
    temp_dir, wait_until,
};
use crate::sdk::{
    Expected, Python, STORE, assert_no_litter, bytes, media_type, object, sidecars, text,
};

/// Makes a store with the Python SDK, lets a script write to it through the mount, and asserts that the SDK
/// finds exactly the expected records.
///
/// `seed` is what the SDK sets first, as commands of `python_sdk.py serve`. The script runs in an empty
/// directory outside the mount; `$S` is the store in the mount.
#[track_caller]
fn round_trip(seed: &[Value], script: &str, expected: &[Expected]) {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    for command in seed {
        client.ask(command);
    }
    drop(client);

    let mount = TempMount::new(&storage);
    let scratch = temp_dir();
    let mounted = mount.store(STORE);
    sh(&format!("S='{}'\n{script}", mounted.display()), scratch.path());

    // Everything is published by now: the SDK reads while the storage is still mounted. The exception is a value
    // that was only emptied, where it cannot be seen whether its close was a shell's that is going to write
    // (DESIGN 6): it is published when the kernel lets go of the file, which is after the last close has returned.
    for expected in expected.iter().filter(|expected| expected.is_empty()) {
        wait_until("the empty value is published", || {
            is_empty_record(&storage.store(STORE), expected.key)
        });
    }
    let records = python.dump(&storage, STORE);
    let keys: BTreeSet<_> = expected.iter().map(|expected| expected.key).collect();
    assert_eq!(records.keys().map(String::as_str).collect::<BTreeSet<_>>(), keys);
    for expected in expected {
        let (record, path) = (&records[expected.key], mounted.join(file_name(expected.key)));
        expected.check(record);
        assert_eq!(mime_type(&path), record["content_type"]);
    }
    let mut shown = names(&mounted);
    shown.remove(METADATA);
    assert_eq!(shown, keys.into_iter().map(file_name).collect());
    mount.unmount();
    assert_no_litter(&storage.store(STORE));
}

/// Whether value and sidecar on disk both say that the record is empty.
fn is_empty_record(store: &Path, key: &str) -> bool {
    let sidecar =
        fs::read(store.join(format!("{}.{METADATA}", disk_name(key)))).unwrap_or_default();
    let size =
        serde_json::from_slice::<Value>(&sidecar).ok().and_then(|sidecar| sidecar["size"].as_u64());
    size == Some(0) && fs::read(store.join(disk_name(key))).is_ok_and(|value| value.is_empty())
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

#[test]
fn p10_redirection_makes_records_of_the_right_type() {
    round_trip(
        &[],
        r#"
        echo '{"a": 1}' > "$S/data.json"
        echo '{"b": 2}' > "$S/no-extension"
        echo '[1, 2]' > "$S/list"
        echo 'plain words' > "$S/note"
        echo '<p>x</p>' > "$S/page.html"
        echo '"a string"' > "$S/json-string"
        printf '\377\376\000' > "$S/raw"
        : > "$S/empty"
        "#,
        &[
            object("data.json", json!({"a": 1})),
            object("no-extension", json!({"b": 2})),
            object("list", json!([1, 2])),
            text("note", "text/plain", "plain words\n"),
            text("page.html", "text/html", "<p>x</p>\n"),
            text("json-string", "text/plain", "\"a string\"\n"),
            bytes("raw", "application/octet-stream", b"\xff\xfe\0"),
            text("empty", "text/plain", ""),
        ],
    );
}

#[test]
fn p10_appending_keeps_what_was_there() {
    round_trip(
        &[json!({"set": "old", "value": "zero\n"})],
        r#"
        echo one >> "$S/log"
        echo two >> "$S/log"
        echo one >> "$S/old"
        "#,
        &[text("log", "text/plain", "one\ntwo\n"), text("old", "text/plain", "zero\none\n")],
    );
}

#[test]
fn p10_cp_makes_records_of_the_right_type() {
    round_trip(
        &[json!({"set": "replaced", "value": {"old": true}})],
        r#"
        printf '\x89PNG\r\n\x1a\n' > shot.png
        printf '{"new": true}' > new.json
        cp shot.png "$S/"
        cp -p new.json "$S/kept-times.json"
        cp new.json "$S/replaced"
        cp "$S/shot.png" "$S/copy"
        "#,
        &[
            bytes("shot.png", "image/png", PNG),
            object("kept-times.json", json!({"new": true})),
            object("replaced", json!({"new": true})),
            bytes("copy", "image/png", PNG),
        ],
    );
}

#[test]
fn p10_tee_and_dd_make_records_of_the_right_type() {
    round_trip(
        &[json!({"set": "patched", "value": "abcdef"})],
        r#"
        echo '{"t": 1}' | tee "$S/t.json" > seen
        grep -q '"t"' seen
        echo more | tee -a "$S/lines" > seen
        echo lines | tee -a "$S/lines" > seen
        head -c 300000 /dev/zero | tr '\0' '\377' > blob
        dd if=blob of="$S/blob" bs=4k conv=fsync status=none
        printf XY | dd of="$S/patched" bs=1 seek=2 conv=notrunc status=none
        "#,
        &[
            object("t.json", json!({"t": 1})),
            text("lines", "text/plain", "more\nlines\n"),
            bytes("blob", "application/octet-stream", &[0xff; 300_000]),
            text("patched", "text/plain", "abXYef"),
        ],
    );
}

#[test]
fn p10_sed_in_place_keeps_the_type() {
    round_trip(
        &[
            json!({"set": "config", "value": {"n": 1}}),
            json!({"set": "page", "value": "<p>old</p>", "content_type": "text/html"}),
        ],
        r#"
        sed -i 's/1/2/' "$S/config"
        sed -i 's/old/new/' "$S/page"
        "#,
        &[object("config", json!({"n": 2})), text("page", "text/html", "<p>new</p>")],
    );
}

#[test]
fn p10_vim_leaves_one_record() {
    round_trip(
        &[
            json!({"set": "page.html", "value": "<p>old</p>", "content_type": "text/html"}),
            json!({"set": "config", "value": {"n": "old"}}),
        ],
        r#"
        vim -es -u NONE -i NONE -c '%s/old/new/' -c wq "$S/page.html"
        vim -es -u NONE -i NONE --cmd 'set backupcopy=yes' -c '%s/old/new/' -c wq "$S/config"
        vim -es -u NONE -i NONE -c 'normal ifresh' -c wq "$S/fresh.txt"
        "#,
        &[
            text("page.html", "text/html", "<p>new</p>\n"),
            object("config", json!({"n": "new"})),
            text("fresh.txt", "text/plain", "fresh\n"),
        ],
    );
}

#[test]
fn p10_rsync_makes_records_of_the_right_type() {
    round_trip(
        &[
            json!({"set": "page", "value": "<p>old</p>", "content_type": "text/html"}),
            json!({"set": "gone", "value": "deleted by rsync"}),
        ],
        r#"
        mkdir from
        printf '{"r": 1}' > from/data.json
        printf '\x89PNG\r\n\x1a\n' > from/shot.png
        printf '<p>all new</p>' > from/page
        rsync -a --delete --exclude=__metadata__.json from/ "$S/"
        "#,
        &[
            object("data.json", json!({"r": 1})),
            bytes("shot.png", "image/png", PNG),
            text("page", "text/html", "<p>all new</p>"),
        ],
    );
}

#[test]
fn p10_tar_makes_records_of_the_right_type() {
    round_trip(
        &[],
        r#"
        mkdir from
        printf '{"r": 1}' > from/data.json
        printf 'a,b\n' > from/table.csv
        chmod 600 from/table.csv
        tar -C from -cf all.tar data.json table.csv
        tar -C "$S" -xf all.tar
        "#,
        &[object("data.json", json!({"r": 1})), text("table.csv", "text/csv", "a,b\n")],
    );
}

#[test]
fn p10_mv_takes_the_type_along() {
    round_trip(
        &[
            json!({"set": "typed", "value": "<p>x</p>", "content_type": "text/html"}),
            json!({"set": "object", "value": {"a": 1}}),
        ],
        r#"
        printf '{"m": 1}' > outside.json
        mv outside.json "$S/inside.json"
        mv "$S/typed" "$S/renamed"
        mv "$S/object" "$S/target"
        "#,
        &[
            object("inside.json", json!({"m": 1})),
            text("renamed", "text/html", "<p>x</p>"),
            object("target", json!({"a": 1})),
        ],
    );
}

#[test]
fn p10_truncate_leaves_a_type_that_fits() {
    round_trip(
        &[
            json!({"set": "object", "value": {"a": 1}}),
            json!({"set": "shorter", "value": "abcdef"}),
            json!({"set": "longer", "value": {"hex": "ff"}}),
        ],
        r#"
        truncate -s 0 "$S/object"
        truncate -s 3 "$S/shorter"
        truncate -s 3 "$S/longer"
        "#,
        &[
            text("object", "text/plain", ""),
            text("shorter", "text/plain", "abc"),
            bytes("longer", "application/octet-stream", b"\xff\0\0"),
        ],
    );
}

#[test]
fn p10_python_open_makes_records_of_the_right_type() {
    round_trip(
        &[json!({"set": "edited", "value": "abcdef"})],
        r#"
        cat > write.py <<'PY'
import json, os, sys
store = sys.argv[1]
with open(f'{store}/made.json', 'w') as file:
    json.dump({'p': [1, 2]}, file)
with open(f'{store}/raw', 'wb') as file:
    file.write(b'\x00\xff')
with open(f'{store}/edited', 'r+') as file:
    file.seek(2)
    file.write('XY')
with open(f'{store}/replaced.txt.part', 'w') as file:
    file.write('whole')
os.replace(f'{store}/replaced.txt.part', f'{store}/replaced.txt')
PY
        python3 write.py "$S"
        "#,
        &[
            object("made.json", json!({"p": [1, 2]})),
            bytes("raw", "application/octet-stream", b"\0\xff"),
            text("edited", "text/plain", "abXYef"),
            text("replaced.txt", "text/plain", "whole"),
        ],
    );
}

#[test]
fn p10_bytes_that_do_not_fit_their_type_get_another() {
    round_trip(
        &[
            json!({"set": "object", "value": {"a": 1}}),
            json!({"set": "nothing", "value": null}),
            json!({"set": "words", "value": "text"}),
        ],
        r#"
        echo 'not json' > "$S/object"
        echo 'not json' > "$S/broken.json"
        echo 'not nothing' > "$S/nothing"
        printf '\377' > "$S/words"
        "#,
        &[
            text("object", "text/plain", "not json\n"),
            text("broken.json", "text/plain", "not json\n"),
            text("nothing", "text/plain", "not nothing\n"),
            bytes("words", "application/octet-stream", b"\xff"),
        ],
    );
}

#[test]
fn p10_type_set_by_hand_stays() {
    round_trip(
        &[],
        r#"
        echo '{"l": 1}' > "$S/linked"
        setfattr -n user.mime_type -v application/ld+json "$S/linked"
        echo '{"l": 2}' > "$S/linked"
        echo 'a;b' > "$S/table"
        setfattr -n user.mime_type -v text/csv "$S/table"
        echo 'c;d' >> "$S/table"
        "#,
        &[
            bytes("linked", "application/ld+json", b"{\"l\": 2}\n"),
            text("table", "text/csv", "a;b\nc;d\n"),
        ],
    );
}

#[test]
fn odd_keys_written_through_the_mount_are_the_keys_of_the_sdk() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    drop(python.serve(&storage, STORE));
    let long = "k".repeat(200);
    let keys = [
        "with space",
        "\u{fc}",
        "u\u{308}",
        "\u{1f600}",
        "a/b",
        "/abs",
        "../up",
        "%41",
        "100%",
        "100%.json",
        "f%20o",
        "a%2Fb",
        "@purge",
        "@handle.json",
        "a@b",
        ".hidden",
        "it's",
        "\"quoted\"",
        "*?",
        "$HOME",
        "-dash",
        "back\\slash",
        "line\nfeed",
        "tab\t",
        "nul\0",
        "~tilde",
        "trailing.",
        "x.lock",
        "foo.tmp",
        ".tmp.abcdefghijkl",
        &long,
    ];

    let mount = TempMount::new(&storage);
    for key in keys {
        fs::write(mount.store(STORE).join(file_name(key)), json!({ "key": key }).to_string())
            .unwrap();
    }
    let mut shown = names(&mount.store(STORE));
    shown.remove(METADATA);
    assert_eq!(shown, keys.iter().map(|key| file_name(key)).collect());
    mount.unmount();

    let records = python.dump(&storage, STORE);
    assert_eq!(records.len(), keys.len());
    for key in keys {
        assert_eq!(records[key]["value"], json!({ "key": key }), "{key:?}");
        assert_eq!(records[key]["type"], "dict", "{key:?}");
    }
    let on_disk: BTreeSet<_> = sidecars(&storage.store(STORE)).into_keys().collect();
    assert_eq!(on_disk, keys.iter().map(|key| disk_name(key)).collect());
    assert_no_litter(&storage.store(STORE));
}

#[test]
fn p11_adopt_makes_bare_files_records_of_the_sdk() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    drop(python.serve(&storage, STORE));
    fs::write(storage.store(STORE).join("dropped.json"), b"{\"d\": 1}").unwrap();
    fs::write(storage.store(STORE).join("touched"), b"words").unwrap();
    assert!(python.dump(&storage, STORE).is_empty());

    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    assert_eq!(media_type(&mime_type(&mounted.join("dropped.json"))), "application/json");
    sh("setfattr -n user.mime_type -v text/html touched", &mounted);
    assert_eq!(python.dump(&storage, STORE)["touched"]["content_type"], "text/html");
    mount.unmount();

    let adopted =
        storefs().args(["adopt", "--source"]).arg(storage.path()).arg(STORE).output().unwrap();
    assert!(adopted.status.success(), "{adopted:?}");
    let records = python.dump(&storage, STORE);
    assert_eq!(records.len(), 2);
    object("dropped.json", json!({"d": 1})).check(&records["dropped.json"]);
    text("touched", "text/html", "words").check(&records["touched"]);
}

#[test]
fn stores_made_in_the_mount_are_stores_of_the_sdk() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    sh(
        r#"
        mkdir -p key_value_stores/default key_value_stores/first
        echo '{"a": 1}' > key_value_stores/first/moved.json
        mv key_value_stores/first/moved.json key_value_stores/default/
        echo x > key_value_stores/first/note
        mv key_value_stores/first key_value_stores/second
        "#,
        &mount.path(),
    );
    object("moved.json", json!({"a": 1})).check(&python.dump(&storage, "default")["moved.json"]);
    text("note", "text/plain", "x\n").check(&python.dump(&storage, "second")["note"]);
    mount.unmount();
    let name = |store: &str| {
        let metadata = fs::read(storage.store(store).join(METADATA)).unwrap();
        serde_json::from_slice::<Value>(&metadata).unwrap()["name"].take()
    };
    assert_eq!(name("default"), Value::Null);
    assert_eq!(name("second"), "second");
}
