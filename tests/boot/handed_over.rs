//! A mount that somebody else has made: `/dev/fd/N` in the mountpoint's place.

use crate::NOBODY;
use crate::namespace::Place;

/// Mounts as whoever starts a container does, and starts a command with the open device as descriptor 9, by a user without
/// any capability, and without `/dev/fuse`.
const HAND_OVER: &str = r#"
import ctypes, os, sys
target, options, command = sys.argv[1], sys.argv[2], sys.argv[3:]
device = os.open('/dev/fuse', os.O_RDWR)
os.dup2(device, 9)
os.close(device)
libc = ctypes.CDLL(None, use_errno=True)
data = f'fd=9,rootmode=40000,user_id=65534,group_id=65534,default_permissions,allow_other,subtype=storefs{options}'
if libc.mount(b'handed', target.encode(), b'fuse', 6, data.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(command[0], command)
"#;

fn prologue(place: &Place) -> String {
    std::fs::write(place.at("hand_over.py"), HAND_OVER).unwrap();
    format!(
        r"chown -R {NOBODY} storage; echo hello > hello; mkdir log; chown {NOBODY} log
          as='setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --bounding-set=-all --no-new-privs'
          hand() {{ python3 hand_over.py $PWD/m1 '' $as $@; }}
          served() {{ until [ -e m1/@status ]; do sleep 0.05; done; }}
          "
    )
}

#[test]
fn a_descriptor_is_served_by_a_user_without_rights() {
    let Some(place) = Place::new() else { return };
    let script = prologue(&place)
        + r"hand storefs mount --log-file log/log storage /dev/fd/9; served
            cat m1/key_value_stores/default/hello; $as cp hello m1/key_value_stores/default/new
            cat storage/key_value_stores/default/new
            stat -c %u storage/key_value_stores/default/new
            # The mount is not the daemon's to take away.
            kill $(pgrep -x storefs); until ! pgrep -x storefs > /dev/null; do sleep 0.05; done
            grep -c 'left to whoever has mounted it' log/log
            umount m1";
    assert_eq!(place.run("", &script), format!("world\nhello\n{NOBODY}\n1\n"));
}

#[test]
fn it_is_not_supervised_and_says_so_to_who_asks() {
    let Some(place) = Place::new() else { return };
    let script = prologue(&place)
        + r#"hand storefs mount --log-file log/log --supervise storage /dev/fd/9 2> said; served
            cat said; grep -o '"worker": *[a-z0-9]*' m1/@status | tr -d ' '
            umount m1"#;
    let said = "storefs: the mount is not supervised: others have made it, and hold its connection to the kernel\n";
    assert_eq!(place.run("", &script), format!("{said}\"worker\":null\n"));
}

#[test]
fn it_ends_when_whoever_has_mounted_unmounts() {
    let Some(place) = Place::new() else { return };
    let script = prologue(&place)
        + r"hand storefs mount --foreground --read-only storage /dev/fd/9 & serving=$!; served
            # Of a device that is not there, it takes no more than it has been given.
            cat m1/key_value_stores/default/hello
            umount m1; wait $serving; echo $?";
    assert_eq!(place.run("", &script), "world\n0\n");
}

#[test]
fn libfuse_hands_a_descriptor_over_after_dropping_its_rights() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "",
        r"command -v mount.fuse3 > /dev/null || { echo none; exit; }
          mount.fuse3 mount.storefs#$PWD/storage $PWD/m1 -o drop_privileges,allow_other,default_permissions
          cat m1/key_value_stores/default/hello
          grep CapEff /proc/$(pgrep -x mount.storefs)/status
          umount m1",
    );
    assert_eq!(printed, "world\nCapEff:\t0000000000000000\n");
}

#[test]
fn what_is_no_open_device_is_named() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "",
        r"for fd in 7 8; do
              storefs mount storage /dev/fd/$fd 8< /dev/null 2>&1 | grep -oE 'descriptor . is [a-z ]*' || true
          done",
    );
    assert_eq!(printed, "descriptor 7 is not open\ndescriptor 8 is something else\n");
}
