//! `mount -o remount`.

use crate::NOBODY;
use crate::namespace::Place;

#[test]
fn a_mount_is_made_read_only_and_back() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "HERE/storage  HERE/m1  storefs  ttl=5,noexec  0 0\n",
        r"mount -a; cd m1/key_value_stores/default
          flags() { grep m1 /proc/mounts | cut -d' ' -f4 | cut -d, -f1-4; }
          flags; mount -o remount,ro ../..; flags
          (echo no > new) 2>&1 | grep -o 'Read-only file system' || true; cat hello
          mount -o remount,rw ../..; flags; echo yes > new; cat new
          # Of the table's words, those stay that the kernel does not know; others are as they were.
          storefs mount -o remount,exec x ../.. && flags
          # What is being written would have nowhere to go.
          exec 5> open
          mount -o remount,ro ../.. 2>&1 | grep -o 'open for writing' || true
          exec 5>&-; cd ../..; cd ..; umount m1",
    );
    let expected = "rw,nosuid,nodev,noexec\nro,nosuid,nodev,noexec\nRead-only file system\nworld\n\
                    rw,nosuid,nodev,noexec\nyes\nrw,nosuid,nodev,noatime\nopen for writing\n";
    assert_eq!(printed, expected);
}

#[test]
fn what_a_remount_cannot_do_is_said() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "",
        &format!(
            r"mount -t storefs -o ro,allow_other storage m1
              say() {{ echo $({{ $@ || true; }} 2>&1 | grep -o ': [^;]*' | head -1); }}
              say mount -o remount,rw m1
              say storefs mount -o remount,ro storage m2
              say setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups storefs mount -o remount,ro x m1
              umount m1"
        ),
    );
    let here = place.path().display();
    let expected = format!(
        ": '{here}/m1' was mounted for reading only, which no remount changes\n\
         : no storage is mounted at 'm2': nothing to remount\n\
         : only root remounts: 'm1' is as it was\n"
    );
    assert_eq!(printed, expected);
}
