//! Locks are the record's, whoever has opened it how and in whichever version (P6). Each script is run on the file system
//! of the temporary directory too, and must do the same there.

use std::process::Output;

use super::Mounted;
use crate::common::{temp_dir, try_sh};

#[track_caller]
fn does_as_on_a_disk(script: &str) {
    let Some(mounted) = Mounted::new() else { return };
    let disk = temp_dir();
    let said = |output: Output| {
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let expected = said(try_sh(script, disk.path()));
    assert_eq!(said(try_sh(script, &mounted.mount.store("default"))), expected);
    assert!(!expected.0.is_empty(), "{expected:?}");
}

#[test]
fn p06_a_reader_and_a_writer_lock_the_same_file() {
    does_as_on_a_disk(
        r#"echo x > f; python3 - <<'P'
import fcntl
def tries(*steps):
    said = []
    for lock, file, how in steps:
        try: lock(file, how | fcntl.LOCK_NB); said.append('taken')
        except OSError as error: said.append(error.errno)
    print(said)
r, w, a = open('f'), open('f', 'r+'), open('f', 'a')
f, l = fcntl.flock, fcntl.lockf
tries((f, w, fcntl.LOCK_EX), (f, r, fcntl.LOCK_SH), (f, a, fcntl.LOCK_EX), (f, w, fcntl.LOCK_UN), (f, r, fcntl.LOCK_SH),
      (f, a, fcntl.LOCK_SH), (f, w, fcntl.LOCK_EX), (f, w, fcntl.LOCK_SH), (f, r, fcntl.LOCK_EX))
a.close()
r.close(); tries((f, w, fcntl.LOCK_EX))
w.write('a new version'); w.flush(); import os; os.fsync(w.fileno())
r = open('f'); tries((f, r, fcntl.LOCK_SH))
w.close(); tries((f, r, fcntl.LOCK_SH))
P"#,
    );
}

#[test]
fn p06_locks_of_processes_exclude_each_other_by_ranges_and_end_with_them() {
    does_as_on_a_disk(
        r#"echo 0123456789 > f; python3 - <<'P'
import fcntl, os, struct
def child(*ranges):
    r, w = os.pipe()
    if os.fork() == 0:
        said = []
        g = open('f', 'r+')
        for how, length, start in ranges:
            try: fcntl.lockf(g, how | fcntl.LOCK_NB, length, start); said.append('taken')
            except OSError as error: said.append(error.errno)
        os.write(w, repr(said).encode()); os._exit(0)
    os.wait(); print(os.read(r, 1000).decode())
f = open('f', 'r+')
fcntl.lockf(f, fcntl.LOCK_EX, 4, 2)
ranges = [(fcntl.LOCK_EX, 2, 0), (fcntl.LOCK_EX, 2, 1), (fcntl.LOCK_SH, 1, 5), (fcntl.LOCK_EX, 1, 6)]
child(*ranges)
fcntl.lockf(f, fcntl.LOCK_UN, 1, 3)
child(*ranges, (fcntl.LOCK_EX, 1, 3))
fcntl.lockf(f, fcntl.LOCK_SH, 4, 2)
child(*ranges)
# What was taken through one descriptor is given back through another.
h = open('f', 'r+'); fcntl.lockf(h, fcntl.LOCK_UN, 1, 4)
child(*ranges, (fcntl.LOCK_EX, 1, 4))
# Whoever closes any descriptor of the file gives all back.
g = open('f'); g.close()
child(*ranges)
# Of an open file, not of a process.
set_, get = fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK
def lock(kind, start, length): return struct.pack('hhqqi4x', kind, 0, start, length, 0)
fcntl.fcntl(f, set_, lock(fcntl.F_WRLCK, 0, 5))
g = open('f', 'r+')
found = struct.unpack('hhqqi4x', fcntl.fcntl(g, get, lock(fcntl.F_WRLCK, 0, 0)))
print(found[:4])
g.close()
child((fcntl.LOCK_EX, 1, 0), (fcntl.LOCK_EX, 1, 7))
P"#,
    );
}

#[test]
fn p06_who_waits_for_a_lock_gets_it_or_is_interrupted() {
    does_as_on_a_disk(
        r#"echo x > f
        flock -n f true && echo free
        flock f sh -c 'flock -n f true || echo taken; flock -w 0.2 f true || echo "waited in vain"'
        for i in 1 2 3 4 5 6; do (for j in 1 2 3 4 5; do flock n sh -c 'echo $(( $(cat n) + 1 )) > n'; done) & done
        wait; cat n
        exec 3<f; flock -s 3; flock -n f true || echo shared; flock -u 3; flock -n f true && echo free
        flock -x 3
        sh -c 'timeout -s KILL 0.3 flock f true' 2> /dev/null; echo "killed with $?"
        exec 3<&-
        flock -n f true && echo "free again"
        python3 - <<'P'
import fcntl, signal, os, time
f = open('f', 'r+'); fcntl.flock(f, fcntl.LOCK_EX)
class Alarm(Exception): pass
def ring(*_): raise Alarm
signal.signal(signal.SIGALRM, ring); signal.setitimer(signal.ITIMER_REAL, 0.1)
try: fcntl.flock(open('f'), fcntl.LOCK_EX); print('taken')
except Alarm: print('rung')
# Two that would wait for each other.
g = open('g', 'w+'); g.write('xx'); g.flush()
fcntl.lockf(g, fcntl.LOCK_EX, 1, 0)
r, w = os.pipe()
if os.fork() == 0:
    h = open('g', 'r+'); fcntl.lockf(h, fcntl.LOCK_EX, 1, 1); os.write(w, b'.')
    try: fcntl.lockf(h, fcntl.LOCK_EX, 1, 0); os._exit(0)
    except OSError: os._exit(1)
os.read(r, 1); time.sleep(0.3)
try: fcntl.lockf(g, fcntl.LOCK_EX, 1, 1); print('taken')
except OSError as error: print(error.errno)
fcntl.lockf(g, fcntl.LOCK_UN, 1, 0); print(os.wait()[1])
P"#,
    );
}

#[test]
fn p06_locks_follow_a_record_to_its_new_name_and_do_not_come_back_with_the_old_one() {
    does_as_on_a_disk(
        r#"echo x > f; exec 3<f; flock -x 3; mv f g
        flock -n g true || echo "g is locked"
        echo y > f; flock -n f true && echo "f is not"
        rm g; echo z > g; flock -n g true && echo "nor is the new g"
        exec 3<&-; flock -n f true && flock -n g true && echo free"#,
    );
}
