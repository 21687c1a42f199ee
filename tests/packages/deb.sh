# The .deb in a clean Debian: installed, used, removed. Part of scripts/test-packages.

suite=bookworm
# What the package depends on, and what tells whether its parts are right.
programs=fuse3,man-db,procps,systemd
cached=${STOREFS_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/storefs-test}/root-$suite-${programs//,/-}.tar

# Makes the clean Debian, once. The archive is that of this machine, if it has one of Debian.
make_root() {
    local mirror fresh
    [ ! -e "$cached" ] || return 0
    command -v debootstrap >/dev/null || return 1
    mirror=$(apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(COMPONENT) $(REPO_URI)' |
        sed -n 's/^Packages Debian main //p' | head -n 1)
    mkdir -p "${cached%/*}"
    fresh=$(mktemp -d "${cached%/*}/.partial-XXXXXX")
    if debootstrap --variant=minbase --include="$programs" "$suite" "$fresh/root" ${mirror:+"$mirror"} \
        > "$fresh/log" 2>&1; then
        rm -rf "$fresh"/root/var/cache/apt/archives/*.deb "$fresh"/root/var/lib/apt/lists/*
        tar --create --file "$fresh/root.tar" --one-file-system --directory "$fresh/root" .
        mv "$fresh/root.tar" "$cached"
    else
        tail -n 3 "$fresh/log"
    fi
    umount -R "$fresh/root/proc" "$fresh/root/sys" 2>/dev/null || true
    rm -rf --one-file-system "$fresh"
    [ -e "$cached" ]
}

test_deb() {
    local deb=$1 root=$work/debian
    mkdir "$root"
    tar --extract --file "$cached" --directory "$root"
    give_devices "$root"
    cp "$deb" "$root/storefs.deb"
    cp -r tests/fixtures/python/values "$root/srv/storage"
    mkdir "$root/mnt/a" "$root/mnt/b"
    local here=(chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)

    # What users have, and what programs keep of what was there.
    local list='find / -xdev ! -path "/root/*" ! -path "/srv/*" ! -path "/mnt/*" ! -path "/tmp/*" \
        ! -path "/home*" ! -path "/run/*" ! -path "/var/log/*" ! -path "/var/cache/*" ! -path "/var/lib/dpkg/*" \
        ! -path "/var/lib/systemd/*" ! -path "/var/lib/apt/*" | sort'
    "${here[@]}" bash -c "$list" > "$work/before"

    check 'deb: it installs with what a minimal Debian and fuse3 have' "${here[@]}" '
        apt-get install --quiet --yes /storefs.deb
        [ "$(dpkg-query -W -f "\${Status} \${Version}" storefs)" = "install ok installed '"$version"'-1" ]'
    check 'deb: the program runs and tells its version' "${here[@]}" '
        [ "$(storefs --version)" = "storefs '"$version"'" ]'
    check 'deb: each command and each helper has a manual page' "${here[@]}" '
        man -w storefs mount.storefs mount.fuse.storefs
        commands=$(storefs --help | sed -n "/^Commands:/,/^\$/s/^  \([a-z-]*\)  .*/\1/p" | grep -vx help)
        [ "$(wc -w <<< "$commands")" -gt 15 ]
        for command in $commands; do man -w "storefs-$command"; done
        MANWIDTH=80 man storefs | grep -q "EXIT STATUS"
        MANWIDTH=80 man mount.storefs | grep -q -- --allow-other'
    check 'deb: bash completes commands' "${here[@]}" '
        . /usr/share/bash-completion/completions/storefs
        COMP_WORDS=(storefs pur) COMP_CWORD=1 COMP_TYPE=9
        _clap_complete_storefs storefs pur storefs
        [ "${COMPREPLY[*]}" = purge ]'
    check 'deb: systemd finds nothing wrong with the units' "${here[@]}" '
        mkdir -p /run/user/0
        systemd-analyze verify --man=yes storefs@x.service 2>&1 | tee /tmp/told
        XDG_RUNTIME_DIR=/run/user/0 systemd-analyze --user verify --man=yes storefs@x.service 2>&1 | tee -a /tmp/told
        not grep storefs /tmp/told
        rm /tmp/told'
    check 'deb: licences and documents are there' "${here[@]}" '
        cd /usr/share/doc/storefs
        grep -q "Permission is hereby granted" copyright
        zgrep -q "^  rusqlite [0-9.]*: MIT" crates.txt.gz
        zgrep -q "P22" docs/SEMANTICS.md.gz
        head -1 README.md | grep -qx "# storefs"'

    check 'deb: mount -a mounts a line of fstab; records are read and written' "${here[@]}" '
        echo "/srv/storage /mnt/a storefs allow_other 0 0" > /etc/fstab
        mount -a
        [ "$(findmnt -n -o FSTYPE /mnt/a)" = fuse.storefs ]
        cmp /mnt/a/key_value_stores/kinds/pic.png /srv/storage/key_value_stores/kinds/pic.png
        echo "{\"by\": \"deb\"}" > /mnt/a/key_value_stores/default/written
        grep -q application/json /srv/storage/key_value_stores/default/written.__metadata__.json
        umount /mnt/a
        not findmnt /mnt/a
        [ "$(storefs get --source /srv/storage default written)" = "{\"by\": \"deb\"}" ]'
    check 'deb: mount -t knows both types' "${here[@]}" '
        for type in storefs fuse.storefs; do
            mount -t $type /srv/storage /mnt/b -o ro
            grep -q deb /mnt/b/key_value_stores/default/written
            not touch /mnt/b/key_value_stores/default/other
            umount /mnt/b
        done'
    check 'deb: a user other than root mounts by fusermount3' "${here[@]}" '
        useradd --create-home crawler
        chmod 666 /dev/fuse
        cd /home/crawler
        cp -r /srv/storage storage
        mkdir mnt
        chown -R crawler: .
        runuser -u crawler -- sh -exc "
            storefs mount storage mnt
            grep -q deb mnt/key_value_stores/default/written
            storefs unmount mnt"
        cd /
        userdel --remove crawler'
    check 'deb: it is removed, and purged, and nothing is left of it' "${here[@]}" '
        dpkg -r storefs
        dpkg --purge storefs
        not dpkg -s storefs
        rm -f /etc/subuid- /etc/subgid- /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
        '"$list"' > /tmp/after
        grep -vE "^/etc/(subuid|subgid|passwd|shadow|group|gshadow)-\$" > /tmp/before
        diff /tmp/before /tmp/after' < "$work/before"
}

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
if make_root; then
    test_deb target/package/*.deb
else
    printf 'SKIPPED: the .deb in a clean Debian, which cannot be had here (debootstrap %s)\n' "$suite"
fi
