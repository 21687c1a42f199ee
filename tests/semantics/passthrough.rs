//! Large records, which the kernel reads by itself where it can, and the same without that.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;

use super::Mounted;
use crate::common::{Stopped, has_passthrough, sh};

/// Above the size from which the kernel is given the file of a version.
const LARGE: usize = 3 << 20;

fn value(byte: u8) -> Vec<u8> {
    vec![byte; LARGE]
}

#[test]
fn a_large_record_is_read_without_the_daemon() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root may hand files to the kernel");
        return;
    }
    let Some(mounted) = Mounted::new() else { return };
    if !has_passthrough(&mounted.mount) {
        return;
    }
    fs::write(mounted.record("large"), value(b'a')).unwrap();
    let mut reader = File::open(mounted.record("large")).unwrap();
    let mut read = Vec::new();
    {
        let _stopped = Stopped::new(&mounted.mount);
        reader.read_to_end(&mut read).unwrap();
    }
    assert!(read == value(b'a'));
}

/// Readers of two versions and a writer, all open at once, in both ways.
#[test]
fn p1_each_reader_of_a_large_record_keeps_its_version() {
    for options in [[].as_slice(), &["--no-passthrough"]] {
        let Some(mounted) = Mounted::with_options(options) else { return };
        let record = mounted.record("large");
        let mut readers = Vec::new();
        for byte in b'a'..b'f' {
            fs::write(&record, value(byte)).unwrap();
            // Two of each version: they share what the kernel was given.
            for _ in 0..2 {
                readers.push((byte, File::open(&record).unwrap()));
            }
        }
        let writer = File::options().append(true).open(&record).unwrap();
        fs::remove_file(mounted.on_disk("large")).unwrap();
        let mut first = vec![0; 100];
        for (byte, reader) in readers.iter().rev() {
            reader.read_exact_at(&mut first, LARGE as u64 - 100).unwrap();
            assert!(first.iter().all(|read| read == byte), "{options:?}");
        }
        drop(readers.split_off(5));
        for (byte, mut reader) in readers {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == value(byte), "{options:?}");
        }
        drop(writer);
    }
}

#[test]
fn p3_a_large_record_grows_under_its_readers() {
    for options in [[].as_slice(), &["--no-passthrough"]] {
        let Some(mounted) = Mounted::with_options(options) else { return };
        sh(
            "head -c 3000000 /dev/zero > large; exec 3< large; for i in 1 2 3; do echo $i >> large; \
             [ $(stat -c %s large) = $((3000000 + 2 * i)) ]; cmp large <(head -c 3000000 /dev/zero; seq $i); done; \
             [ $(wc -c <&3) = 3000000 ]",
            &mounted.mount.store("default"),
        );
    }
}
