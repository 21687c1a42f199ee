//! mount(8) and its table.

use crate::NOBODY;
use crate::common::sqlite;
use crate::namespace::Place;

#[test]
fn each_kind_of_source_is_mounted_by_a_line_of_fstab() {
    let Some(place) = Place::new() else { return };
    sqlite::make(&place.at("crawlee.db"));
    let fstab = "
        HERE/storage                 HERE/m1  storefs       defaults,nofail,_netdev,x-systemd.automount,comment=c  0 0
        HERE/crawlee.db              HERE/m2  fuse.storefs  rw,sync,relatime,suid,dev                              0 0
        sqlite+aiosqlite:///HERE/crawlee.db  HERE/m3  storefs  noexec,auto                                        0 0
        HERE/storage                 HERE/m4  storefs       noauto                                                 0 0
    ";
    let printed = place.run(
        fstab,
        "mount -a
         grep -c ' fuse.storefs ' /proc/mounts
         cat m1/key_value_stores/default/hello
         for m in m2 m3; do mkdir m2/key_value_stores/$m; echo $m > m3/key_value_stores/$m/k; done
         cat m2/key_value_stores/*/k
         # Once more, also where the kernel knows the source by other words than the table.
         mount -a
         grep -c ' fuse.storefs ' /proc/mounts
         grep ' HERE/m3 ' /proc/mounts | grep -c noexec || true
         grep $PWD/m3 /proc/mounts | grep -c noexec
         mount m4; cat m4/key_value_stores/default/hello
         umount m1 m2 m3 m4; grep -c ' fuse.storefs ' /proc/mounts || true",
    );
    assert_eq!(printed, "3\nworld\nm2\nm3\n3\n0\n1\nworld\n0\n");
}

#[cfg(feature = "postgres")]
#[test]
fn a_server_is_mounted_by_a_line_of_fstab_and_its_password_is_seen_nowhere() {
    use crate::common::postgres;

    let (Some(place), Some(server)) = (Place::new(), postgres::shared()) else { return };
    let url = server.url(&server.database());
    let printed = place.run(
        &format!("{url}?passfile=HERE/pgpass  HERE/m1  storefs  timeout=20,_netdev  0 0\n"),
        r"echo '*:*:*:*:hunter2' > pgpass; chmod 600 pgpass
          mount -a; mkdir m1/key_value_stores/made; echo v > m1/key_value_stores/made/k
          mount -a; cat m1/key_value_stores/made/k
          seen() { cat /proc/mounts /proc/[0-9]*/cmdline /run/mount/* | grep -ac hunte[r]2 || true; }
          seen; umount m1",
    );
    assert_eq!(printed, "v\n0\n");
    // What is in the table itself, mount(8) writes where it likes, and who has written it there is told so.
    let printed = place.run(
        &format!(
            "{}  HERE/m1  storefs  defaults  0 0\n",
            url.replace("postgres@", "postgres:hunter2@")
        ),
        r"mount -a 2>&1 | grep -o 'seen by everybody'; ls m1
          cat /proc/mounts /proc/[0-9]*/cmdline | grep -ac hunte[r]2 || true; umount m1",
    );
    assert_eq!(printed, "seen by everybody\ndatasets\nkey_value_stores\n0\n");
}

#[test]
fn what_mount_asks_of_a_helper_is_understood() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "",
        r#"says() { local want=$1 code=0; shift; said=$( ($@) 2>&1 ) || code=$?; echo $code; grep -q "$want" <<<"$said"; }
          is() { grep -c m1 /proc/mounts || true; }
          # A word that nobody knows is wrong usage, unless -s is given; what is wrong with a known one is not passed over.
          says 'unknown.mount.option..foo' mount -t storefs -o ro,foo storage m1; is
          says '' mount -s -t storefs -o ro,foo,bar=1 storage m1; is; umount m1
          says 'octal' mount -s -t storefs -o umask=9 storage m1; is
          # Nothing is mounted, and what is wrong is said.
          says '' mount -f -t storefs storage m1; is
          says 'does.not.exist' mount -f -t storefs missing m1; is
          says '' mount -n -v -t fuse.storefs storage m1; is; umount m1
          # That of a failed mount.
          says 'does.not.exist' mount -t storefs missing m1; is
          says 'does.not.exist' mount.storefs missing m1 -o ro
          says '' mount.fuse.storefs storage m1 -n -s -o rw,foo; is; umount m1
          says 'number.of.a.user' mount.storefs storage m1 -o uid=x
          says 'unknown.mount.option' storefs mount storage m1 -o foo; is"#,
    );
    let lines: Vec<&str> = printed.lines().collect();
    let expected = [
        "1", "0", "0", "1", "1", "0", "0", "0", "32", "0", "0", "1", "32", "0", "32", "0", "1",
        "1", "2", "0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_ordinary_user_mounts_and_unmounts_what_the_table_lets_him() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "HERE/storage  HERE/m1  storefs  user,noauto  0 0\nHERE/storage  HERE/m2  storefs  noauto  0 0\n",
        &format!(
            r#"chown -R {NOBODY} storage m1
               as() {{ setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=-all "$@"; }}
               as mount $PWD/m1
               as cat m1/key_value_stores/default/hello
               as bash -c 'echo mine > m1/key_value_stores/default/new'
               cat storage/key_value_stores/default/new
               grep $PWD/m1 /proc/mounts | grep -c 'noexec.*user_id={NOBODY}'
               as mount $PWD/m2 2> said || echo refused; grep -c m2 said
               as umount $PWD/m1; grep -c ' fuse.storefs ' /proc/mounts || true"#
        ),
    );
    assert_eq!(printed, "world\nmine\n1\nrefused\n1\n0\n");
}
