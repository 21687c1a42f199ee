//! Backup and restore: a storage that is copied into a mount, however it is copied, is the same storage afterwards
//! (section 4 of the contract).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, copy_tree, fixture, mime_type, names, sh,
    skipped, temp_dir, tree, try_sh,
};
use crate::help::{NOBODY, is_root, open_the_way_to};

/// A way to copy the directory `$FROM` to `$TO`, which is there if `$FROM` is a storage and not if it is a store. `$TMP`
/// is a directory for what it takes in between.
struct Way {
    name: &'static str,
    script: &'static str,
    /// Whether it takes extended attributes along, and so the types of a mount.
    carries_types: bool,
}

const WAYS: [Way; 7] = [
    Way {
        name: "cp -r",
        script: r#"mkdir -p "$TO"; cp -r "$FROM/." "$TO/""#,
        carries_types: false,
    },
    Way { name: "cp -a", script: r#"mkdir -p "$TO"; cp -a "$FROM/." "$TO/""#, carries_types: true },
    Way { name: "rsync -a", script: r#"rsync -a "$FROM/" "$TO/""#, carries_types: false },
    Way { name: "rsync -aX", script: r#"rsync -aX "$FROM/" "$TO/""#, carries_types: true },
    Way {
        name: "tar",
        script: r#"mkdir -p "$TO"; tar -cf "$TMP/a.tar" -C "$FROM" .; tar -xf "$TMP/a.tar" -C "$TO""#,
        carries_types: false,
    },
    Way {
        name: "tar --xattrs",
        script: r#"mkdir -p "$TO"; tar --xattrs -cf "$TMP/x.tar" -C "$FROM" .; tar --xattrs -xf "$TMP/x.tar" -C "$TO""#,
        carries_types: true,
    },
    Way {
        name: "zip",
        // Without `-^`, unzip leaves control characters out of names.
        script: r#"(cd "$FROM"; zip -qr "$TMP/a.zip" .); unzip -q '-^' "$TMP/a.zip" -d "$TO""#,
        carries_types: false,
    },
];

impl Way {
    /// Goes the way, and asserts that nothing is said.
    #[track_caller]
    fn go(&self, from: &Path, to: &Path) {
        let tmp = temp_dir();
        let variables = format!(
            "FROM='{}' TO='{}' TMP='{}'\n",
            from.display(),
            to.display(),
            tmp.path().display()
        );
        let output = try_sh(&(variables + self.script), Path::new("/"));
        let is_silent = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(output.status.success() && is_silent, "{}: {output:?}", self.name);
    }
}

/// A storage that crawlee-python and the engine of Crawlee JS 4 have made, with stores, datasets and queues, and every
/// kind of key that there is. All of it is old.
fn raw_storage() -> TempStorage {
    let storage = TempStorage::of_fixture("python/values");
    copy_tree(&fixture("python/odd-keys"), &storage.path());
    let v4 = fixture("crawlee-storage-v4/values").join(STORES);
    copy_tree(&v4.join("kinds"), &storage.store("v4"));
    // Without what a killed SDK has left.
    fs::remove_file(storage.store("kinds").join("bytearray.3do3a9zh.tmp")).unwrap();
    // One that was dropped in, and one of more letters than can be written with escapes for escapes.
    let long = "%C3%BC".repeat(30);
    fs::write(storage.store("odd").join(&long), "{}").unwrap();
    let sidecar = format!(
        "{{\n  \"key\": \"{}\",\n  \"content_type\": \"application/x-own\",\n  \"size\": 2\n}}",
        "\u{fc}".repeat(30)
    );
    fs::write(storage.store("odd").join(format!("{long}.{METADATA}")), sidecar).unwrap();
    sh("find . -exec touch -d '2024-05-06 07:08:09.123' {} +", &storage.path());
    storage
}

/// What an SDK is told of a storage on disk: for each store id, name and time of creation; for each record its key, type,
/// size and bytes.
#[derive(Debug, PartialEq)]
struct Told {
    stores: BTreeMap<String, [Value; 3]>,
    records: BTreeMap<(String, String), [Value; 3]>,
    bytes: BTreeMap<(String, String), Vec<u8>>,
}

impl Told {
    fn of(storage: &Path) -> Self {
        let mut told =
            Self { stores: BTreeMap::new(), records: BTreeMap::new(), bytes: BTreeMap::new() };
        for store in names(&storage.join(STORES)) {
            told.add_store(&storage.join(STORES).join(&store), &store);
        }
        told
    }

    fn add_store(&mut self, dir: &Path, store: &str) {
        let json = |path: PathBuf| -> Value {
            let text =
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_json::from_slice(&text).unwrap()
        };
        let either = |value: &Value, [one, other]: [&str; 2]| {
            value.get(one).or(value.get(other)).cloned().unwrap()
        };
        for name in names(dir) {
            if name == METADATA {
                let metadata = json(dir.join(name));
                let created = either(&metadata, ["created_at", "createdAt"]);
                let facts = [metadata["id"].clone(), metadata["name"].clone(), created];
                self.stores.insert(store.to_owned(), facts);
            } else if let Some(value) = name.strip_suffix(&format!(".{METADATA}")) {
                let sidecar = json(dir.join(&name));
                let content_type = either(&sidecar, ["content_type", "contentType"]);
                let facts = [sidecar["key"].clone(), content_type, sidecar["size"].clone()];
                self.records.insert((store.to_owned(), value.to_owned()), facts);
            } else {
                let bytes = fs::read(dir.join(&name)).unwrap();
                self.bytes.insert((store.to_owned(), name), bytes);
            }
        }
    }

    fn without_types(mut self) -> Self {
        self.records.values_mut().for_each(|[_, content_type, _]| *content_type = Value::Null);
        self
    }
}

#[track_caller]
fn assert_same(way: &Way, told: Told, expected: Told, has_types: bool) {
    let (told, expected) = match has_types {
        true => (told, expected),
        false => (told.without_types(), expected.without_types()),
    };
    assert_eq!(told.stores, expected.stores, "{}", way.name);
    for (record, facts) in &expected.records {
        assert_eq!(told.records.get(record), Some(facts), "{}: {record:?}", way.name);
    }
    assert_eq!(told.records.len(), expected.records.len(), "{}", way.name);
    assert_eq!(told.bytes, expected.bytes, "{}", way.name);
}

/// Asserts that two storages have the same files, to the letter.
#[track_caller]
fn assert_same_files(way: &str, storage: &Path, expected: &Path) {
    let (files, expected) = (files(storage), files(expected));
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    for (path, bytes) in &expected {
        let found = files.get(path).map(text);
        assert_eq!(found, Some(text(bytes)), "{way}: {}", path.display());
    }
    let more: Vec<_> = files.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{way}: {more:?}");
}

/// The files of a storage but the stores' metadata, in which times move.
fn files(storage: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(storage);
    files.retain(|path, _| {
        let is_of_store = path.starts_with(STORES) && path.file_name().unwrap() == METADATA;
        !is_of_store && !path.starts_with(".storefs")
    });
    files
}

#[test]
fn a_raw_storage_copied_into_a_mount_is_the_same_to_the_letter() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    for way in &WAYS {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        way.go(&raw.path(), &mount.path());
        // An SDK's temporaries are in it, which are told of for another reason.
        let log = mount.log();
        let log: String = log.lines().filter(|line| !line.contains("--show-sidecars")).collect();
        mount.unmount();
        assert_same(way, Told::of(&storage.path()), Told::of(&raw.path()), true);
        assert_same_files(way.name, &storage.path(), &raw.path());
        assert!(!log.contains("ERROR") && !log.contains("sidecar"), "{}: {log}", way.name);
    }
}

#[test]
fn a_mount_copied_into_a_mount_is_the_same_storage() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    let before = files(&raw.path());
    let source = TempMount::new(&raw);
    for way in &WAYS {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        way.go(&source.path(), &mount.path());
        mount.unmount();
        let expected = Told::of(&raw.path());
        assert_same(way, Told::of(&storage.path()), expected, way.carries_types);
    }
    source.unmount();
    assert_eq!(files(&raw.path()), before, "a copy changes nothing");
}

#[test]
fn a_store_copied_beside_itself_is_the_same_store() {
    if !can_mount() {
        return;
    }
    for way in &WAYS {
        let storage = raw_storage();
        let mount = TempMount::new(&storage);
        for store in ["odd", "v4"] {
            way.go(&mount.store(store), &mount.store("copy"));
            let [mut told, mut expected] = [0; 2].map(|_| Told {
                stores: BTreeMap::new(),
                records: BTreeMap::new(),
                bytes: BTreeMap::new(),
            });
            told.add_store(&storage.store("copy"), "same");
            expected.add_store(&storage.store(store), "same");
            assert_same(way, told, expected, way.carries_types);
            sh("rm -r copy", &mount.stores());
        }
    }
}

/// Each kind of SDK's tree, also over what is there already.
#[test]
fn a_restore_over_a_storage_makes_it_what_was_saved() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    for way in &WAYS {
        // unzip asks before it replaces anything.
        let over = Way { script: way.script.replace("unzip -q", "unzip -qo").leak(), ..*way };
        let storage = raw_storage();
        sh("for k in kinds/str odd/UPPER v4/obj; do
                echo changed > $k; echo '{\"key\": \"k\", \"contentType\": \"x/changed\", \"size\": 8}' > $k.__metadata__.json
            done
            sed -i 's/\"id\": \"[^\"]*\"/\"id\": \"anotherIdOfStore1\"/' kinds/__metadata__.json",
            &storage.path().join(STORES));
        let mount = TempMount::new(&storage);
        over.go(&raw.path(), &mount.path());
        over.go(&raw.path(), &mount.path());
        mount.unmount();
        assert_same(way, Told::of(&storage.path()), Told::of(&raw.path()), true);
        assert_same_files(way.name, &storage.path(), &raw.path());
    }
}

/// Copies values and sidecars one after the other, as programs that go by inode numbers may in any order.
const IN_EITHER_ORDER: [Way; 2] = [
    Way {
        name: "sidecars first",
        script: r#"cd "$FROM"; find . -type f -name '*.__metadata__.json' -exec cp --parents {} "$TO/" \;
            find . -type f ! -name '*__metadata__.json' -exec cp --parents {} "$TO/" \;
            find . -type f -name __metadata__.json -exec cp --parents {} "$TO/" \;"#,
        carries_types: false,
    },
    Way {
        name: "values first",
        script: r#"cd "$FROM"; find . -type f ! -name '*__metadata__.json' -exec cp --parents {} "$TO/" \;
            find . -type f -name '*__metadata__.json' -exec cp --parents {} "$TO/" \;"#,
        carries_types: false,
    },
];

#[test]
fn p10_a_restore_over_a_storage_is_exact_whether_value_or_sidecar_comes_first() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    for way in &IN_EITHER_ORDER {
        let storage = raw_storage();
        let mount = TempMount::new(&storage);
        way.go(&raw.path(), &mount.path());
        way.go(&raw.path(), &mount.path());
        mount.unmount();
        assert_same(way, Told::of(&storage.path()), Told::of(&raw.path()), true);
        assert_same_files(way.name, &storage.path(), &raw.path());
    }
}

#[test]
fn p10_a_sidecar_that_was_brought_says_nothing_of_what_is_written_after_its_value() {
    if !can_mount() {
        return;
    }
    let (json, text) = ("application/json; charset=utf-8", "text/plain; charset=utf-8");
    let storage = raw_storage();
    let mount = TempMount::new(&storage);
    let record = mount.store("kinds").join("dict");
    let value = fs::read(&record).unwrap();
    let sidecar = fs::read(storage.store("kinds").join(format!("dict.{METADATA}"))).unwrap();
    fs::write(mount.store("kinds").join(format!("dict.{METADATA}")), sidecar).unwrap();
    fs::write(&record, &value).unwrap();
    assert_eq!(mime_type(&record), json);
    // As long as the value, and none that an SDK could read as JSON.
    fs::write(&record, vec![b'x'; value.len()]).unwrap();
    assert_eq!(mime_type(&record), text);
    fs::write(&record, &value).unwrap();
    assert_eq!(mime_type(&record), json);
}

#[test]
fn a_second_rsync_transfers_nothing() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    let source = TempMount::new(&raw);
    for (from, options) in
        [(raw.path(), "-a"), (raw.path(), "-aX"), (source.path(), "-a"), (source.path(), "-aX")]
    {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        let rsync =
            format!("rsync {options} -i '{}/' '{}/'", from.display(), mount.path().display());
        sh(&rsync, Path::new("/"));
        // The times that the first has moved are written.
        sh(&format!("sync -f '{}'/*", mount.stores().display()), Path::new("/"));
        let listed = sh(&rsync, Path::new("/"));
        let transferred: Vec<&str> = listed.lines().filter(|line| !line.starts_with('.')).collect();
        assert!(transferred.is_empty(), "{options}: {transferred:?}");
        mount.unmount();
        assert_eq!(Told::of(&storage.path()).bytes, Told::of(&raw.path()).bytes);
    }
}

#[test]
fn rsync_with_delete_keeps_a_copy_the_same() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    let rsync =
        format!("rsync -a --delete '{}/' '{}/'", raw.path().display(), mount.path().display());
    let copy = || {
        assert_eq!(sh(&rsync, Path::new("/")), "");
        assert_eq!(Told::of(&storage.path()), Told::of(&raw.path()));
        assert_same_files("rsync", &storage.path(), &raw.path());
    };
    copy();
    copy();
    let odd = raw.store("odd");
    for gone in ["UPPER", "with%20space", "a%2Fb"] {
        fs::remove_file(odd.join(gone)).unwrap();
        fs::remove_file(odd.join(format!("{gone}.{METADATA}"))).unwrap();
    }
    fs::write(odd.join("A"), "another value").unwrap();
    sh(
        "sed -i 's/\"size\": [0-9]*/\"size\": 13/; s#\"content_type\": \"[^\"]*\"#\"content_type\": \"x/new\"#' A.__metadata__.json",
        &odd,
    );
    fs::remove_dir_all(raw.store("v4")).unwrap();
    copy();
    // By hand, beside the copy.
    sh("echo extra > extra; rm -- -dash; echo changed > '~tilde'", &mount.store("odd"));
    copy();
    mount.unmount();
}

#[test]
fn p19_a_store_of_damaged_records_is_copied_to_its_end() {
    if !can_mount() {
        return;
    }
    // Directories in stores are refused.
    let raw = TempStorage::of_fixture("python/states");
    sh("rm -r */states/subdir; find . -name 'meta-*' -prune -exec rm -r {} +", &raw.path());
    let values = |dir: &Path| {
        let mut values = tree(dir);
        values.retain(|path, _| !path.to_str().unwrap().ends_with(METADATA));
        values
    };
    for way in &WAYS {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        way.go(&raw.path(), &mount.path());
        assert_eq!(values(&mount.stores()), values(&raw.path().join(STORES)), "{}", way.name);
        for name in ["sidecar-array", "sidecar-notjson", "sidecar-string", "wrong-size"] {
            let name = format!("{name}.{METADATA}");
            let Ok(expected) = fs::read(raw.store("states").join(&name)) else { continue };
            let read = fs::read(mount.store("states").join(&name)).unwrap();
            assert_eq!(read, expected, "{}: {name}", way.name);
        }
        mount.unmount();
        // What an SDK reads is sound: each record has a sidecar, and each sidecar a record.
        let told = Told::of(&storage.path());
        let records: Vec<_> = told.records.keys().collect();
        assert_eq!(records, told.bytes.keys().collect::<Vec<_>>(), "{}", way.name);
    }
}

/// storefs has a directory of its own in a storage, which means nothing anywhere else.
#[test]
fn p9_a_storage_that_is_mounted_is_copied_without_what_is_ours() {
    if !can_mount() {
        return;
    }
    let raw = raw_storage();
    let source = TempMount::new(&raw);
    sh("echo value > new", &source.store("default"));
    fs::create_dir(raw.path().join(".storefs/left-by-another")).unwrap();
    for way in &WAYS {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        way.go(&raw.path(), &mount.path());
        assert!(!names(&mount.path()).contains(".storefs"));
        assert!(!storage.path().join(".storefs/left-by-another").exists());
        let script = "test -d .storefs/left-by-another; ! mkdir .storefs 2> /dev/null; ! touch .storefs/file 2> /dev/null; rm -r .storefs; test ! -e .storefs";
        sh(script, &mount.path());
        mount.unmount();
        assert_same(way, Told::of(&storage.path()), Told::of(&raw.path()), true);
        assert_same_files(way.name, &storage.path(), &raw.path());
    }
    fs::remove_dir(raw.path().join(".storefs/left-by-another")).unwrap();
}

/// Without an SDK that would tell, what is copied is told by its store and the stores beside it (P12).
#[test]
fn p12_stores_of_js_3_stay_so_in_a_storage_of_js_3() {
    if !can_mount() {
        return;
    }
    let raw = TempStorage::of_fixture("js-v3/plain");
    for way in &WAYS {
        let storage = TempStorage::empty();
        let mount = TempMount::with_options(&storage, &["--dialect", "js3"]);
        way.go(&raw.path(), &mount.path());
        mount.unmount();
        assert_same_files(way.name, &storage.path(), &raw.path());
    }
}

/// Runs a script in bash as a user who may mount, as anybody may who can open /dev/fuse. `None`, and said so, where that
/// cannot be done.
#[track_caller]
fn as_ordinary_user(script: &str, dir: &Path) -> Option<Output> {
    let prologue = format!(
        "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && touch /dev/fuse &&
         mount --bind /mnt/fuse /dev/fuse || exit 77
         exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups bash -c \"$SCRIPT\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", &prologue]);
    command.env("SCRIPT", script).env("LC_ALL", "C.UTF-8").current_dir(dir).stdin(Stdio::null());
    let output = command.output().unwrap();
    if output.status.code() == Some(77) {
        skipped(&format!("no device for an ordinary user can be made here: {output:?}"));
        return None;
    }
    Some(output)
}

#[test]
fn an_ordinary_user_restores_as_root_does() {
    if !can_mount() || !is_root() {
        return;
    }
    let raw = raw_storage();
    open_the_way_to(&raw.path());
    for way in &WAYS {
        let place: TempDir = temp_dir();
        let dir = place.path();
        chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
        let storefs = env!("CARGO_BIN_EXE_storefs");
        let (from, here) = (raw.path(), dir.display());
        let script = format!(
            "mkdir storage mnt tmp; {storefs} mount storage mnt || exit 3
             FROM='{}' TO='{here}/mnt' TMP='{here}/tmp'
             (set -e; {}); code=$?
             {storefs} unmount mnt && exit $code",
            from.display(),
            way.script,
        );
        let Some(output) = as_ordinary_user(&script, dir) else { return };
        let is_silent = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(output.status.success() && is_silent, "{}: {output:?}", way.name);
        let storage = dir.join("storage");
        assert_same(way, Told::of(&storage), Told::of(&raw.path()), true);
        assert_same_files(way.name, &storage, &raw.path());
    }
}
