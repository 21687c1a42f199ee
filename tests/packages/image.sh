# The image: its layout is checked and unpacked, and its root is used as containers use it. Part of scripts/test-packages.

# Prints a word for each line: what follows a key in one of the examples, in the form "key: [a, b]".
words_of() {
    sed -n "s/^ *$2: \[\(.*\)\]$/\1/p" "dist/containers/$1" | head -n 1 | sed 's/, */\n/g'
}

test_image() {
    local image=$1 root=$work/image example key line
    mkdir -p "$work/layout" "$root"
    tar --extract --file "$image" --directory "$work/layout"
    export root

    check 'image: its index leads to a manifest, a config and a layer, each as its digest and size say' '
        python3 tests/packages/oci_check.py "$work/layout" "$root" > "$work/entrypoint"'
    check 'image: its entrypoint runs where nothing else is' '
        [ "$(chroot "$root" "$(cat "$work/entrypoint")" --version)" = "storefs '"$version"'" ]'

    # A directory that is shared between two containers, as an engine makes it.
    mkdir -p "$work/mounts" "$root/storage" "$root/mounts" "$work/storage"
    give_devices "$root"
    cp -r tests/fixtures/python/values/. "$work/storage"
    mount --bind "$work/mounts" "$work/mounts"
    mount --make-shared "$work/mounts"
    mkdir "$work/mounts/crawler"
    for line in compose.yaml/command kubernetes.yaml/args; do
        example=${line%/*} key=${line#*/}
        words_of "$example" "$key" > "$work/arguments"
        check "image: as a sidecar, as in dist/containers/$example, it mounts for another container" '
            mapfile -t arguments < "$work/arguments"
            [ "${arguments[0]}" = mount ]
            unshare --mount --propagation unchanged bash -euc "
                mount --rbind \"\$work/mounts\" \"\$root/mounts\"
                mount --bind \"\$work/storage\" \"\$root/storage\"
                exec chroot \"\$root\" \"\$(cat \"\$work/entrypoint\")\" ${arguments[*]@Q}" 2> "$work/log" &
            sidecar=$!
            in_sidecar() { nsenter --target $sidecar --mount chroot "$root" "$(cat "$work/entrypoint")" "$@"; }
            # As a probe does.
            for _ in $(seq 600); do
                ! in_sidecar status /mounts/crawler || break
                kill -0 $sidecar || { cat "$work/log"; exit 1; }
                sleep 0.1
            done
            unshare --mount --propagation slave bash -euxc "
                [ \"\$(findmnt -n -o FSTYPE \"\$work/mounts/crawler\")\" = fuse.storefs ]
                cmp \"\$work/mounts/crawler/key_value_stores/kinds/pic.png\" \"\$work/storage/key_value_stores/kinds/pic.png\"
                echo text > \"\$work/mounts/crawler/key_value_stores/default/$$\""
            [ -e "$work/storage/key_value_stores/default/$$.__metadata__.json" ]
            # As an engine ends it.
            kill -TERM $sidecar
            wait $sidecar
            not mountpoint "$work/mounts/crawler"'
    done
}

test_image target/package/*-oci.tar
