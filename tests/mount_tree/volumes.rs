//! Volumes mounted in a storage, as containers have them: what was said to be written is there, wherever it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, clean_environment, mime_type, names,
    sdk_python, sh, staged, try_sh, wait_until,
};
use crate::help::{SmallDisk, errno, is_root, make_store, put, write};

/// A storage with two stores and a data set.
fn storage() -> TempStorage {
    let storage = TempStorage::empty();
    for store in ["default", "other"] {
        make_store(&storage, store);
        put(&storage, store, "INPUT", "{}");
    }
    fs::create_dir_all(storage.path().join("datasets/default")).unwrap();
    storage
}

/// Mounts in a storage; unmounted when dropped.
struct Mounts<'a> {
    storage: &'a TempStorage,
    places: Vec<&'static str>,
}

impl<'a> Mounts<'a> {
    /// `None`, and said so, where this user mounts nothing.
    fn of(storage: &'a TempStorage) -> Option<Self> {
        is_root().then_some(Self { storage, places: Vec::new() })
    }

    /// Runs a script that mounts something at `place` in the storage; what was there is in `$OLD`, and to be copied.
    fn add(&mut self, place: &'static str, mount: &str) {
        let script = format!(
            "OLD=$(mktemp -d --tmpdir=. old.XXXX); cp -a storage/{place}/. $OLD; {mount}; cp -a $OLD/. storage/{place}; rm -r $OLD"
        );
        sh(&script.replace("PLACE", &format!("storage/{place}")), self.storage.beside());
        self.places.push(place);
    }

    fn remove(&mut self) {
        for place in self.places.drain(..).rev() {
            sh(&format!("umount -l storage/{place}"), self.storage.beside());
        }
    }
}

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        for place in self.places.drain(..).rev() {
            let _ = try_sh(&format!("umount -l storage/{place}"), self.storage.beside());
        }
    }
}

/// Writes records in each way of the shell, of Python and of our own, and looks for them on both sides.
#[track_caller]
fn everything_arrives(storage: &TempStorage, mount: &TempMount, store: &str) {
    let (shown, on_disk) = (mount.store(store), storage.store(store));
    let script = "
        echo one > echoed; echo two >> echoed; cp echoed copied; mv copied moved; : > empty; touch touched
        echo x > sub.tmp; mv sub.tmp echoed2; sed -i s/one/ONE/ echoed; truncate -s 3 moved
        python3 -c 'import os; open(\"t\", \"w\").write(\"{}\"); os.replace(\"t\", \"replaced.json\")'
        setfattr -n user.mime_type -v a/b moved; rm touched";
    sh(script, &shown);
    let read = |name: &str| fs::read_to_string(on_disk.join(name)).unwrap();
    assert_eq!(read("echoed"), "ONE\ntwo\n");
    assert_eq!((read("moved").as_str(), read("empty").as_str()), ("one", ""));
    assert_eq!(read("replaced.json"), "{}");
    assert_eq!(mime_type(&shown.join("moved")), "a/b");
    assert!(!on_disk.join("touched").exists());
    assert_eq!(staged(&storage.path()).len() + staged(&storage.path().join(STORES)).len(), 0);
    write(&shown.join("@purge"), "1").unwrap();
    assert_eq!(names(&shown), ["INPUT", METADATA].map(String::from).into(), "{}", mount.log());
}

#[test]
fn p7_a_volume_at_the_stores_takes_what_is_written() {
    if !can_mount() {
        return;
    }
    for volume in [
        "mount -t tmpfs -o size=8M tmpfs PLACE",
        // One file system, and yet another mount, which no rename crosses.
        "mkdir bound; mount --bind bound PLACE",
    ] {
        let storage = storage();
        let Some(mut mounts) = Mounts::of(&storage) else { return };
        mounts.add(STORES, volume);
        let mount = TempMount::new(&storage);
        for store in ["default", "other"] {
            everything_arrives(&storage, &mount, store);
        }
        // Stores come, get another name and go there too; ours is none of them.
        sh(
            "mkdir made; echo x > made/k; mv made renamed; cat renamed/k; rm -r renamed",
            &mount.stores(),
        );
        let stores = ["default", "other"].map(String::from);
        assert_eq!(names(&mount.stores()), stores.clone().into());
        assert_eq!(errno(fs::metadata(mount.store(".storefs"))), Errno::NOENT);
        // A copy of the whole storage comes to its end, where nothing is under way.
        let stores_dir = storage.path().join(STORES);
        wait_until("what was purged is gone", || staged(&stores_dir).is_empty());
        let copied = TempStorage::empty();
        let into = TempMount::new(&copied);
        sh(&format!("cp -r storage/. {}", into.path().display()), storage.beside());
        assert_eq!(names(&into.stores()), stores.clone().into());
        assert!(!copied.path().join(STORES).join(".storefs").exists());
        sh("rm -r .storefs", &into.stores());
        drop(into);
        assert_eq!(errno(fs::rename(mount.store("other"), mount.store(".storefs"))), Errno::INVAL);
        // The rest of the storage is where it was.
        write(&mount.path().join("datasets/default/1.json"), "{}").unwrap();
        mount.unmount();
        assert_eq!(names(&storage.path().join(STORES).join(".storefs")), [].into());
        assert_eq!(
            fs::read_to_string(storage.path().join("datasets/default/1.json")).unwrap(),
            "{}"
        );
    }
}

#[test]
fn p9_no_sdk_takes_the_staging_directory_beside_its_stores_for_one() {
    let Some(python) = sdk_python().filter(|_| can_mount()) else { return };
    let storage = storage();
    let Some(mut mounts) = Mounts::of(&storage) else { return };
    mounts.add(STORES, "mount -t tmpfs -o size=8M tmpfs PLACE");
    let mount = TempMount::new(&storage);
    write(&mount.store("other").join("k"), "x").unwrap();
    assert!(storage.path().join(STORES).join(".storefs").is_dir());
    // By id, the SDK walks through all stores.
    let script = "
import asyncio, json, os, sys
from crawlee.storages import KeyValueStore
from crawlee.storage_clients import FileSystemStorageClient
from crawlee.configuration import Configuration
async def main():
    of = json.load(open(sys.argv[1] + '/key_value_stores/other/__metadata__.json'))['id']
    store = await KeyValueStore.open(id=of, configuration=Configuration(storage_dir=sys.argv[1], purge_on_start=False),
                                     storage_client=FileSystemStorageClient())
    print(await store.get_value('k'))
asyncio.run(main())";
    let mut command = Command::new(python);
    clean_environment(&mut command);
    let output = command.arg("-c").arg(script).arg(storage.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "x");
}

#[test]
fn p7_a_store_that_is_a_volume_by_itself_refuses_before_a_byte_is_taken() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let Some(mut mounts) = Mounts::of(&storage) else { return };
    mounts.add("key_value_stores/default", "mount -t tmpfs -o size=8M tmpfs PLACE");
    let mount = TempMount::new(&storage);
    assert!(mount.log().contains("store 'default' can only be read"), "{}", mount.log());
    let store = mount.store("default");
    for script in [
        "echo x > rec",
        "echo x >> INPUT",
        ": > INPUT",
        "cp INPUT copy",
        "echo x | cat > rec",
        "mv ../other/INPUT rec",
        "setfattr -n user.mime_type -v a/b INPUT",
        "echo 1 > @purge; false",
    ] {
        let output = try_sh(script, &store);
        assert!(!output.status.success(), "{script}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("Read-only file system"),
            "{script}: {output:?}"
        );
    }
    assert_eq!(names(&store), ["INPUT", METADATA].map(String::from).into());
    assert_eq!(fs::read_to_string(store.join("INPUT")).unwrap(), "{}");
    everything_arrives(&storage, &mount, "other");
    // Nothing of ours is in the volume (P9).
    assert!(!storage.store("default").join(".storefs").exists());
}

#[test]
fn p7_a_file_that_is_mounted_over_a_record_is_not_replaced() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let Some(mut mounts) = Mounts::of(&storage) else { return };
    sh(
        "echo mounted > file; mount --bind file storage/key_value_stores/default/INPUT",
        storage.beside(),
    );
    mounts.places.push("key_value_stores/default/INPUT");
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for script in ["echo x > INPUT", "echo x >> INPUT", ": > INPUT", "echo y > z; mv z INPUT"] {
        let output = try_sh(script, &store);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("busy"), "{script}: {output:?}");
    }
    assert_eq!(fs::read_to_string(store.join("INPUT")).unwrap(), "mounted\n");
    write(&store.join("k"), "x").unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "x");
}

#[test]
fn p7_volumes_that_come_and_go_lose_nothing_that_was_acknowledged() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let Some(mut mounts) = Mounts::of(&storage) else { return };
    let mount = TempMount::new(&storage);
    let shown = mount.store("default");
    write(&shown.join("before"), "x").unwrap();
    // Open while the volume comes: what is staged is on another file system by then.
    let mut open = fs::File::create(shown.join("open")).unwrap();
    std::io::Write::write_all(&mut open, b"written").unwrap();
    mounts.add(STORES, "mount -t tmpfs -o size=8M tmpfs PLACE");
    crate::help::close(open).unwrap();
    assert_eq!(fs::read_to_string(storage.store("default").join("open")).unwrap(), "written");
    everything_arrives(&storage, &mount, "default");
    mounts.remove();
    wait_until("the store below is seen", || names(&shown).contains("before"));
    everything_arrives(&storage, &mount, "default");
}

#[test]
fn p2_a_volume_that_is_mounted_over_a_watched_store_is_seen_at_once() {
    if !can_mount() {
        return;
    }
    for place in ["key_value_stores/default", STORES] {
        let storage = storage();
        let Some(mut mounts) = Mounts::of(&storage) else { return };
        let mount = TempMount::with_options(&storage, &["--ttl", "3600"]);
        let record = mount.store("default").join("INPUT");
        let is =
            |text: &str| fs::metadata(&record).is_ok_and(|found| found.len() == text.len() as u64);
        assert!(is("{}"));
        // By then the kernel asks no more.
        for _ in 0..3 {
            fs::metadata(&record).unwrap();
        }
        mounts.add(place, "mount -t tmpfs -o size=8M tmpfs PLACE; echo more > $OLD/INPUT; cp $OLD/INPUT $OLD/default/ 2> /dev/null || true");
        wait_until("what is in the volume is seen", || is("more\n"));
        mounts.remove();
        wait_until("what is below it is seen", || is("{}"));
    }
}

#[test]
fn p9_the_staging_directory_of_a_volume_is_not_in_the_tree_as_it_is_on_disk() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    let Some(mut mounts) = Mounts::of(&storage) else { return };
    for volume in [STORES, "datasets"] {
        mounts.add(volume, "mount -t tmpfs -o size=8M tmpfs PLACE");
    }
    let mount = TempMount::with_options(&storage, &["--show-sidecars"]);
    sh("echo x > key_value_stores/default/k; echo '{}' > datasets/default/1.json", &mount.path());
    for volume in [STORES, "datasets"] {
        assert!(storage.path().join(volume).join(".storefs").is_dir());
        let shown = mount.path().join(volume);
        assert!(!names(&shown).contains(".storefs"));
        assert!(fs::metadata(shown.join(".storefs")).is_err());
        assert!(write(&shown.join(".storefs"), "x").is_err());
        assert!(fs::create_dir(shown.join(".storefs")).is_err());
        assert!(fs::rename(shown.join("default"), shown.join(".storefs")).is_err());
    }
    assert_eq!(fs::read_to_string(storage.path().join("datasets/default/1.json")).unwrap(), "{}\n");
}

#[test]
fn p7_a_subvolume_is_another_file_system() {
    if !can_mount() {
        return;
    }
    let script = "
        truncate -s 128M image; mkfs.btrfs -q image; mount -o loop image disk; mkdir disk/storage
        btrfs -q subvolume create disk/storage/key_value_stores";
    let Some(disk) = SmallDisk::made_by(script) else { return };
    let mount = TempMount::configured(&disk.storage(), |_| {});
    sh("mkdir default; echo x > default/k; echo y >> default/k", &mount.stores());
    let on_disk = disk.storage().join(STORES).join("default");
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "x\ny\n");
    write(&mount.store("default").join("@purge"), "1").unwrap();
    assert_eq!(names(&on_disk), [METADATA.to_owned()].into());
}

/// Mounts as root without the right to write where the mode says no.
fn mount_as_anybody(storage: &Path) -> TempMount {
    let mut command = Command::new("setpriv");
    command
        .arg("--bounding-set=-dac_override,-dac_read_search,-fowner")
        .arg(env!("CARGO_BIN_EXE_storefs"))
        .stdin(Stdio::null());
    clean_environment(&mut command);
    TempMount::by(command, storage, |_| {})
}

#[test]
fn p7_who_can_stage_nothing_is_told_at_the_mount_and_at_each_open() {
    if !can_mount() {
        return;
    }
    let storage = storage();
    if !is_root() {
        return;
    }
    // One store is this user's, and nothing else.
    sh("chown -R 1:1 storage; chown -R 0:0 storage/key_value_stores/default", storage.beside());
    let mount = mount_as_anybody(&storage.path());
    assert!(
        mount
            .log()
            .contains("store 'default' can only be read: nothing can be staged in '.storefs'"),
        "{}",
        mount.log()
    );
    let store = mount.store("default");
    let output = try_sh("cat INPUT; echo x > rec", &store);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Permission denied"), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{}");
    // What needs no staging is done.
    sh("rm INPUT", &store);
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
    // As the message says.
    sh("mkdir -m 1777 storage/.storefs; chown 1:1 storage/.storefs", storage.beside());
    sh("echo x > rec; cat rec", &store);
    assert_eq!(fs::read_to_string(storage.store("default").join("rec")).unwrap(), "x\n");
}

/// A storage whose stores, with sub-directories and inputs, are in the lower layer of an overlay, as in an image.
const IN_AN_IMAGE: &str = "
    for store in default other renamed; do
        mkdir -p lower/storage/key_value_stores/$store/sub
        cd lower/storage/key_value_stores/$store
        echo '{}' > INPUT.json; echo a > sub/file; for n in 1 2 3; do echo $n > r$n.txt; done
        echo '{\"key\": \"r1.txt\", \"contentType\": \"a/b\", \"size\": 2}' > r1.txt.__metadata__.json
        echo \"{\\\"id\\\": \\\"HvTUFIxMPIib09NEi\\\", \\\"name\\\": \\\"$store\\\",
            \\\"accessedAt\\\": \\\"2024-01-15T10:30:00.000001Z\\\", \\\"createdAt\\\": \\\"2024-01-15T10:30:00.000001Z\\\",
            \\\"modifiedAt\\\": \\\"2024-01-15T10:30:00.000001Z\\\"}\" > __metadata__.json
        cd - > /dev/null
    done
    mkdir lower/storage/key_value_stores/empty
    mkdir below/upper below/work; mount -t overlay -o lowerdir=lower,upperdir=below/upper,workdir=below/work overlay disk";

#[test]
fn p13_stores_of_an_image_are_purged_renamed_and_removed() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(IN_AN_IMAGE) else { return };
    let stores = disk.storage().join(STORES);
    let mount = TempMount::configured(&disk.storage(), |_| {});
    let all = ["INPUT.json", "r1.txt", "r2.txt", "r3.txt", METADATA].map(String::from);
    assert_eq!(names(&mount.store("default")), all.clone().into());
    sh("echo new > r1.txt; mv r2.txt moved.txt; rm r3.txt; cat r1.txt", &mount.store("default"));

    write(&mount.store("default").join("@purge"), "1").unwrap();
    let left = ["INPUT.json", METADATA].map(String::from);
    assert_eq!(names(&mount.store("default")), left.clone().into());
    assert_eq!(fs::read_to_string(stores.join("default/sub/file")).unwrap(), "a\n");
    let metadata = |store: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(stores.join(store).join(METADATA)).unwrap()).unwrap()
    };
    assert_eq!(metadata("default")["id"], "HvTUFIxMPIib09NEi");

    fs::rename(mount.store("renamed"), mount.store("with-new-name")).unwrap();
    assert_eq!(names(&mount.store("with-new-name")), all.into());
    assert_eq!(mime_type(&mount.store("with-new-name").join("r1.txt")), "a/b");
    assert_eq!(metadata("with-new-name")["name"], "with-new-name");
    assert_eq!(metadata("with-new-name")["id"], "HvTUFIxMPIib09NEi");
    assert_eq!(fs::read_to_string(stores.join("with-new-name/sub/file")).unwrap(), "a\n");
    // As every name is free again, so is this one.
    fs::rename(mount.store("with-new-name"), mount.store("renamed")).unwrap();
    assert_eq!(errno(fs::rename(mount.store("other"), mount.store("renamed"))), Errno::EXIST);

    sh("rm -r other; rmdir empty", &mount.stores());
    let mut command = crate::common::storefs();
    let output =
        command.args(["drop", "renamed", "--source"]).arg(disk.storage()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    wait_until("one store is left", || names(&mount.stores()) == ["default".to_owned()].into());
    assert_eq!(names(&stores), ["default".to_owned()].into());
    sh("mkdir other; echo x > other/k; mv other again; rm -r again", &mount.stores());
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
}
