//! Records in memory maps, and room reserved in advance.

use std::fs;

use super::Mounted;
use crate::common::sh;

#[test]
fn p3_mapped_writes_are_published_at_the_latest_with_the_last_map() {
    let Some(mounted) = Mounted::new() else { return };
    let script = r#"python3 - <<'P'
import mmap
f = open('mapped', 'w+b')
f.truncate(8192)
m = mmap.mmap(f.fileno(), 8192)
m[0:5] = b'hello'
f.close()
m[4096:4101] = b'later'
m.close()
v = open('mapped', 'rb').read()
assert v[:5] == b'hello' and v[4096:4101] == b'later' and len(v) == 8192, v[:8]
P"#;
    sh(script, &mounted.mount.store("default"));
    crate::common::wait_until("what was mapped is published", || {
        fs::read(mounted.on_disk("mapped"))
            .is_ok_and(|value| value.get(4096..4101) == Some(b"later"))
    });
}

#[test]
fn p1_mapped_reader_keeps_its_version() {
    let Some(mounted) = Mounted::new() else { return };
    let script = r#"python3 - <<'P'
import mmap
open('r', 'wb').write(b'a' * 200000)
f = open('r', 'rb')
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
assert m[0:1] == b'a'
open('r', 'wb').write(b'b' * 300000)
open('/proc/sys/vm/drop_caches', 'w').write('1')
assert len(m) == 200000 and m[:] == b'a' * 200000
assert open('r', 'rb').read() == b'b' * 300000
P"#;
    sh(script, &mounted.mount.store("default"));
}

#[test]
fn reserved_room_keeps_or_extends_the_size() {
    let Some(mounted) = Mounted::new() else { return };
    sh(
        "exec 3>r; fallocate -l 5000 r2; printf abc >&3; exec 3>&-; fallocate -n -l 100000 r",
        &mounted.mount.store("default"),
    );
    assert_eq!(fs::read(mounted.record("r")).unwrap(), b"abc");
    assert_eq!(fs::read(mounted.record("r2")).unwrap(), vec![0; 5000]);
}
