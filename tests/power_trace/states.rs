//! States of a disk as directories, in which storefs heals what it finds.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use storefs::engine::{Storage, StorageOptions};

use crate::disk::{Disk, Inode, ROOT, State, note_parts};

/// Makes the files of a state under `root`, which is empty.
pub(crate) fn materialise(disk: &Disk, state: &State, root: &Path) {
    let mut made: HashMap<Inode, PathBuf> = HashMap::from([(ROOT, root.to_owned())]);
    let mut notes = Vec::new();
    let mut open = vec![ROOT];
    while let Some(dir) = open.pop() {
        let entries = state.names.range((dir, Vec::new())..(dir + 1, Vec::new()));
        for ((_, name), inode) in entries {
            if note_parts(name).is_some_and(|(_, number, ..)| number.starts_with('#')) {
                notes.push((dir, name, *inode));
                continue;
            }
            let path = made[&dir].join(OsStr::from_bytes(name));
            if disk.is_directory(*inode) {
                // Under two names, if a rename was done by half.
                if made.contains_key(inode) {
                    continue;
                }
                fs::create_dir(&path).unwrap();
                open.push(*inode);
                made.insert(*inode, path);
            } else {
                make_file(state, *inode, &path, &mut made);
            }
        }
    }
    for (dir, name, inode) in notes {
        let (head, number, since, tail) = note_parts(name).unwrap();
        let subject: Inode = number.trim_start_matches('#').parse().unwrap();
        // The number of a file that is not there is no file's.
        let (number, since) = made.get(&subject).map_or((0, since), |path| {
            let stat = fs::metadata(path).unwrap();
            // The file system of the test may not know it.
            let born = stat.created().or(stat.modified()).unwrap();
            let nanoseconds = born.duration_since(UNIX_EPOCH).unwrap().as_nanos();
            (stat.ino(), format!("{nanoseconds:x}"))
        });
        let object = format!("{number}-{since}");
        let name = [head.as_bytes(), object.as_bytes(), tail].concat();
        let path = made[&dir].join(OsStr::from_bytes(&name));
        make_file(state, inode, &path, &mut made);
    }
}

fn make_file(state: &State, inode: Inode, path: &Path, made: &mut HashMap<Inode, PathBuf>) {
    if let Some(there) = made.get(&inode) {
        fs::hard_link(there, path).unwrap();
    } else {
        fs::write(path, &state.files[&inode]).unwrap();
        made.insert(inode, path.to_owned());
    }
}

/// Opens the storage and heals it, and waits until what is to be removed is gone.
pub(crate) fn heal(root: &Path) {
    let storage = Storage::open_directory(root, StorageOptions::default()).unwrap();
    storage.heal().unwrap();
    drop(storage);
}
