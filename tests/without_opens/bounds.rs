//! The files that the daemon holds for the kernel are bounded, and given back.

use std::fs::{self, File};
use std::io::Read;

use rustix::io::Errno;

use crate::common::{sh, storefs, wait_until};
use crate::{drop_caches, mounted, mounted_with_few_files, open_records, put, storage_of};

/// How many files the daemon may have open.
const FILES: u64 = 256;

/// Far more records than that.
const RECORDS: usize = 5000;

#[test]
fn p01_more_records_than_files_can_be_read_while_some_are_held() {
    let storage = storage_of(&[]);
    let disk = storage.store("default");
    for number in 0..RECORDS {
        fs::write(disk.join(format!("r{number}")), format!("value {number}")).unwrap();
    }
    let Some(mount) = mounted_with_few_files(&storage, FILES) else { return };
    let store = mount.store("default");
    let mut held: Vec<_> =
        (0..100).map(|number| File::open(store.join(format!("r{number}"))).unwrap()).collect();
    for number in 0..RECORDS {
        let value = fs::read_to_string(store.join(format!("r{number}"))).unwrap();
        assert_eq!(value, format!("value {number}"));
    }
    sh("[ $(grep -r value . | wc -l) = 5000 ]", &store);
    assert!(open_records(&mount, &storage) <= 192, "{}", open_records(&mount, &storage));
    for number in 0..100 {
        put(&storage, &format!("r{number}"), b"another", "text/plain");
    }
    drop_caches(3);
    for (number, file) in held.iter_mut().enumerate() {
        let mut value = String::new();
        file.read_to_string(&mut value).unwrap();
        assert_eq!(value, format!("value {number}"));
    }
}

#[test]
fn p01_when_all_are_in_use_the_next_open_fails_and_none_reads_what_it_has_not_opened() {
    let storage = storage_of(&[]);
    let disk = storage.store("default");
    for number in 0..FILES {
        fs::write(disk.join(format!("r{number}")), format!("value {number}")).unwrap();
    }
    let Some(mount) = mounted_with_few_files(&storage, FILES) else { return };
    let store = mount.store("default");
    let mut held = Vec::new();
    let error = loop {
        match File::open(store.join(format!("r{}", held.len()))) {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(Errno::NFILE.raw_os_error()));
    assert_eq!(held.len(), 192);
    // The others are served meanwhile, and all that is held is what it was.
    for (number, file) in held.iter_mut().enumerate() {
        put(&storage, &format!("r{number}"), b"another", "text/plain");
        let mut value = String::new();
        file.read_to_string(&mut value).unwrap();
        assert_eq!(value, format!("value {number}"));
    }
    held.truncate(100);
    let value = fs::read_to_string(store.join(format!("r{}", FILES - 1))).unwrap();
    assert_eq!(value, format!("value {}", FILES - 1));
    assert!(
        storefs()
            .arg("keys")
            .arg("--source")
            .arg(storage.path())
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn what_the_kernel_has_forgotten_is_closed() {
    let storage = storage_of(&[]);
    let disk = storage.store("default");
    for number in 0..RECORDS {
        fs::write(disk.join(format!("r{number}")), "value").unwrap();
    }
    let Some(mount) = mounted(&storage) else { return };
    // Again if another test has just emptied the caches of the machine.
    wait_until("all are held", || {
        sh("[ $(grep -r value . | wc -l) = 5000 ]", &mount.store("default"));
        open_records(&mount, &storage) == RECORDS
    });
    drop_caches(2);
    wait_until("all are closed", || open_records(&mount, &storage) == 0);
}
