//! The kernel's mount table, in which whoever may mount has put names of their own.

#![no_main]

use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use storefs::mount::MountTable;

fuzz_target!(|text: &[u8]| {
    let _ = MountTable::parse(text);

    // A name that the kernel has escaped is read as it was, whatever lines are around it.
    let name = text.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
    let mut line = b"\n36 35 98:1 / /at/".to_vec();
    line.extend(escaped(name));
    line.extend(b" rw,relatime shared:1 - fuse.storefs ");
    line.extend(escaped(name));
    line.extend(b" rw\n");
    let table = MountTable::parse(&[text, &line, text].concat());
    let ours = table.of_device("98:1").any(|mount| {
        let at = mount.mountpoint.as_os_str().as_bytes();
        at.strip_prefix(b"/at/") == Some(name) && mount.source.as_bytes() == name && mount.is_ours()
    });
    assert!(ours, "{table:?}");
});

/// As `seq_path` in the kernel does it.
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in name {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend(format!("\\{byte:03o}").into_bytes()),
            _ => text.push(*byte),
        }
    }
    text
}
