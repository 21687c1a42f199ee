//! Holes stay holes, and are told of.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use crate::common::{METADATA, TempMount, can_mount, sh};
use crate::help::{SmallDisk, close, errno, storage_of};

const MIB: u64 = 1 << 20;

/// Bytes that a file takes on its medium.
fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// The extents of data of an open file, as its file system tells them.
fn extents(file: &File) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return found,
            data => {
                let data = data.unwrap();
                at = seek(file, SeekFrom::Hole(data)).unwrap();
                found.push((data, at));
            }
        }
    }
}

#[test]
fn holes_stay_holes_however_a_record_is_changed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let (store, on_disk) = (mount.store("default"), storage.store("default"));
    sh("truncate -s 1G big; stat -c %b big", &store);
    assert!(taken(&on_disk.join("big")) < MIB);
    sh(
        "echo x >> big; printf y | dd of=big bs=1 seek=536870912 conv=notrunc 2> /dev/null; chmod 600 big; touch big",
        &store,
    );
    sh("mv big moved; echo z >> moved; truncate -s 2G moved; echo end >> moved", &store);
    for path in [store.join("moved"), on_disk.join("moved")] {
        assert!(taken(&path) < MIB, "{} bytes in {}", taken(&path), path.display());
    }
    assert_eq!(fs::metadata(store.join("moved")).unwrap().len(), (2 << 30) + 4);
    let file = File::open(store.join("moved")).unwrap();
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 1 << 30).unwrap();
    assert_eq!(&bytes, b"x\nz\n");
    file.read_exact_at(&mut bytes[..1], 512 << 20).unwrap();
    assert_eq!(bytes[0], b'y');
    file.read_exact_at(&mut bytes, 2 << 30).unwrap();
    assert_eq!(&bytes, b"end\n");
}

#[test]
fn readers_and_writers_are_told_of_holes() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut writer = File::create(store.join("r")).unwrap();
    writer.write_all(&[1; 4096]).unwrap();
    writer.write_all_at(&[2; 4096], 8 * MIB).unwrap();
    writer.set_len(16 * MIB).unwrap();
    let expected = [(0, 4096), (8 * MIB, 8 * MIB + 4096)];
    let (reads_along, own) =
        (File::open(store.join("r")).unwrap(), File::open(store.join("r")).unwrap());
    assert_eq!(extents(&writer), expected, "of what is being written");
    assert_eq!(extents(&reads_along), expected, "of what is new");
    close(writer).unwrap();
    let reader = File::open(store.join("r")).unwrap();
    assert_eq!(extents(&reader), expected, "of what is published");
    assert_eq!(errno(seek(&reader, SeekFrom::Data(9 * MIB))), Errno::NXIO);
    assert_eq!(seek(&reader, SeekFrom::Hole(9 * MIB)), Ok(9 * MIB));
    assert_eq!(errno(seek(&reader, SeekFrom::Hole(16 * MIB))), Errno::NXIO);
    // Files that are none on the disk have no holes.
    let status = File::open(mount.path().join("@status")).unwrap();
    assert_eq!(seek(&status, SeekFrom::Data(3)), Ok(3));
    let metadata = File::open(store.join(METADATA)).unwrap();
    let len = metadata.metadata().unwrap().len();
    assert_eq!(seek(&metadata, SeekFrom::Hole(0)), Ok(len));
    drop((reader, status, metadata, reads_along, own));
    mount.unmount();
    let mount = TempMount::with_options(&storage, &["--read-only"]);
    let reader = File::open(mount.store("default").join("r")).unwrap();
    assert_eq!(extents(&reader), expected, "in a read-only mount");
}

#[test]
fn programs_that_know_holes_keep_them() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    sh(
        "truncate -s 256M r; printf x | dd of=r bs=1 seek=100000000 conv=notrunc 2> /dev/null
         cp --sparse=auto r copied; tar -S -cf tarred.tar r; mkdir -p ../other; tar -S -C ../other -xf tarred.tar
         rsync -S r synced",
        &store,
    );
    for copy in ["copied", "synced", "../other/r"] {
        sh(&format!("cmp r {copy}"), &store);
        assert!(taken(&store.join(copy)) < 2 * MIB, "{copy}: {}", taken(&store.join(copy)));
    }
    assert!(fs::metadata(store.join("tarred.tar")).unwrap().len() < 2 * MIB);
}

#[test]
fn holes_are_punched_and_ranges_are_made_zeros() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let (store, on_disk) = (mount.store("default"), storage.store("default"));
    fs::write(store.join("r"), vec![b'x'; 8 * MIB as usize]).unwrap();
    let writer = File::options().write(true).read(true).open(store.join("r")).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&writer, punch, MIB, 4 * MIB).unwrap();
    fallocate(&writer, FallocateFlags::ZERO_RANGE, 6 * MIB, MIB).unwrap();
    fallocate(&writer, FallocateFlags::ZERO_RANGE, 9 * MIB, MIB).unwrap();
    fallocate(&writer, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, 20 * MIB, MIB)
        .unwrap();
    assert_eq!(errno(fallocate(&writer, FallocateFlags::COLLAPSE_RANGE, 0, MIB)), Errno::OPNOTSUPP);
    assert_eq!(
        fs::metadata(on_disk.join("r")).unwrap().len(),
        8 * MIB,
        "nobody sees it before close"
    );
    close(writer).unwrap();
    let bytes = fs::read(on_disk.join("r")).unwrap();
    assert_eq!(bytes.len() as u64, 10 * MIB);
    for (at, byte) in bytes.iter().enumerate() {
        let mib = at as u64 / MIB;
        let is_zero = (1..5).contains(&mib) || mib == 6 || mib >= 8;
        assert_eq!(*byte, if is_zero { 0 } else { b'x' }, "at {at}");
    }
    assert!(taken(&on_disk.join("r")) <= 4 * MIB);
}

/// A file system that shares blocks between files.
const THAT_SHARES: &str =
    "truncate -s 512M image; mkfs.btrfs -q image; mount -o loop image disk; mkdir disk/storage";

/// Bytes of a file that are its own, and not shared with another: of btrfs, by its own program.
fn own_bytes(disk: &SmallDisk, path: &str) -> u64 {
    let listed = disk.run(&format!("sync -f disk; btrfs filesystem du --raw {path} | tail -n 1"));
    listed.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_append_costs_what_is_appended_where_blocks_are_shared() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(THAT_SHARES) else { return };
    let mount = TempMount::configured(&disk.storage(), |_| {});
    fs::create_dir(mount.store("default")).unwrap();
    let store = mount.store("default");
    sh("head -c 96M /dev/urandom > r; sync", &store);
    // Who has it open keeps its blocks, so what is shared can be told.
    let old = File::open(disk.storage().join("key_value_stores/default/r")).unwrap();
    disk.run("cp --reflink=always disk/storage/key_value_stores/default/r disk/old");
    sh(
        "echo 12 >> r; echo 34 >> r; printf 56 | dd of=r bs=1 seek=50000000 conv=notrunc 2> /dev/null",
        &store,
    );
    let own = own_bytes(&disk, "disk/storage/key_value_stores/default/r");
    assert!(own < 2 * MIB, "{own} bytes are written for a few");
    drop(old);
}
