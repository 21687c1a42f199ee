# The tarball, in a directory in which nothing else is. Part of scripts/test-packages.

test_tarball() {
    local root=$work/bare tarball=$1 here
    mkdir -p "$root/mnt"
    tar --extract --file "$tarball" --directory "$root"
    cp -r tests/fixtures/python/values "$root/storage"
    here=/$(basename "$tarball" .tar.gz)
    export root here

    check 'tarball: it unpacks into one directory, as root and with plain modes' '
        [ "$(tar -tf "'"$tarball"'" | cut -d/ -f1 | sort -u | wc -l)" = 1 ]
        [ "$(stat -c %u:%g:%a "$root$here/bin/storefs")" = 0:0:755 ]
        [ "$(find "$root$here" -perm /022 ! -type l | wc -l)" = 0 ]'
    check 'tarball: the program runs where nothing else is' '
        [ "$(chroot "$root" "$here/bin/storefs" --version)" = "storefs '"$version"'" ]
        chroot "$root" "$here/bin/storefs" ls kinds --source /storage > "$work/keys"
        grep "^pic.png" "$work/keys"
        [ "$(chroot "$root" "$here/bin/storefs" get default OUTPUT --source /storage)" = \
            "$(cat tests/fixtures/python/values/key_value_stores/default/OUTPUT)" ]'
    check 'tarball: links lead to its own program' '
        for helper in mount.storefs mount.fuse.storefs; do
            [ "$(readlink -e "$root$here/sbin/$helper")" = "$root$here/bin/storefs" ]
        done'
    give_devices "$root"
    check 'tarball: it mounts where nothing else is' '
        chroot "$root" "$here/bin/storefs" mount /storage /mnt --log-file /log
        cmp "$root/mnt/key_value_stores/kinds/pic.png" tests/fixtures/python/values/key_value_stores/kinds/pic.png
        echo text > "$root/mnt/key_value_stores/default/written"
        chroot "$root" "$here/bin/storefs" unmount /mnt
        [ "$(cat "$root/storage/key_value_stores/default/written")" = text ]'

    # As its note says, in the clean Debian.
    local debian=$work/debian note=$root$here/INSTALL.md
    if [ -d "$debian" ]; then
        cp -r "$root$here" "$debian/opt/storefs"
        sed -n '/^Below another/,/^## /s/^    //p' "$note" > "$debian/opt/install"
        sed -n '/^## To be rid/,$s/^    //p' "$note" | sed 's|PREFIX|/usr/local|g' > "$debian/opt/remove"
        check 'tarball: what its note says installs it below /usr/local, and removes it' chroot "$debian" '
            find /usr /etc -xdev ! -type d | sort > /opt/before
            cd /opt/storefs
            sh -exc "$(cat /opt/install)"
            storefs --version
            man -w storefs-mount
            systemd-analyze verify storefs@x.service
            mount -t storefs /srv/storage /mnt/b
            ls /mnt/b/key_value_stores/kinds
            umount /mnt/b
            sh -exc "$(cat /opt/remove)"
            rm /sbin/mount.storefs /sbin/mount.fuse.storefs
            find /usr /etc -xdev ! -type d | sort > /opt/after
            diff /opt/before /opt/after'
    fi
}

test_tarball target/package/*-linux.tar.gz
