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
fn p06_what_is_written_by_a_map_after_close_is_published_with_the_map_while_others_write() {
    let Some(mounted) = Mounted::new() else { return };
    let script = r#"python3 - "$DISK" <<'P'
import mmap, os, sys, time
other = open('r', 'w+b')
other.write(b'-' * 8192); other.flush(); os.fsync(other.fileno())
f = open('r', 'r+b')
m = mmap.mmap(f.fileno(), 8192)
f.close()
m[4096:4101] = b'later'
m.close()
for i in range(2000):
    if open(sys.argv[1], 'rb').read()[4096:4101] == b'later': break
    time.sleep(0.005)
else: raise SystemExit('it is not published')
other.write(b'end'); other.close()
v = open('r', 'rb').read()
assert v[4096:4101] == b'later' and v[8192:] == b'end', v
P"#;
    let script = script.replace("$DISK", mounted.on_disk("r").to_str().unwrap());
    sh(&script, &mounted.mount.store("default"));
}

#[test]
fn p06_a_map_and_other_writers_of_a_page_lose_no_byte_of_each_other() {
    let Some(mounted) = Mounted::new() else { return };
    let script = r#"python3 - <<'P'
import mmap, os
size, rounds = 4096, 40
open('r', 'wb').write(b'.' * size)
f = os.open('r', os.O_RDWR)
m = mmap.mmap(f, size)
child = os.fork()
if child == 0:
    # One by pwrite, and one that can only write.
    g, h = os.open('r', os.O_RDWR), os.open('r', os.O_WRONLY)
    for at in range(1, size, 4): os.pwrite(g, b'p', at); os.pwrite(h, b'w', at + 1)
    os._exit(0)
for at in range(0, size, 4): m[at:at + 1] = b'm'; m[at + 3:at + 4] = b'm'
assert os.waitpid(child, 0)[1] == 0
m.flush()
v = os.pread(f, size, 0)
assert v == b'mpwm' * (size // 4), v
m.close(); os.close(f)
assert open('r', 'rb').read() == v
P"#;
    for _ in 0..10 {
        sh(script, &mounted.mount.store("default"));
    }
}

#[test]
fn p06_a_map_of_the_last_page_puts_no_zeros_over_what_is_appended() {
    let Some(mounted) = Mounted::new() else { return };
    let script = r#"python3 - <<'P'
import mmap, os
open('r', 'wb').write(b'.' * 100)
f = os.open('r', os.O_RDWR)
m = mmap.mmap(f, 100)
child = os.fork()
if child == 0:
    g = os.open('r', os.O_WRONLY | os.O_APPEND)
    for i in range(300): os.write(g, b'line %d\n' % i)
    os._exit(0)
while True:
    for at in range(100): m[at:at + 1] = b'm'
    m.flush()
    if os.waitpid(child, os.WNOHANG)[0]: break
m.close(); os.close(f)
v = open('r', 'rb').read()
assert v == b'm' * 100 + b''.join(b'line %d\n' % i for i in range(300)), v
P"#;
    for _ in 0..5 {
        sh(script, &mounted.mount.store("default"));
    }
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
