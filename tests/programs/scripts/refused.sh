# What a store refuses, or does otherwise than a disk: most of these are in meant.txt.

### refused-hard-link
echo x > f; ln f g; echo $?; ls; cp -l f h; echo $?; ls

### refused-symbolic-link
echo x > f; ln -s f g; echo $?; ls; readlink g; cp -s f h; echo $?; ls

### refused-directory
mkdir d; echo $?; mkdir -p a/b; echo $?; ls; rmdir d a/b a 2> /dev/null; ls

### refused-pipe-and-socket
mkfifo p; echo $?; mknod n p; echo $?; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s")' 2>&1 | tail -n 1; ls; rm -f p n s

### refused-device
mknod c c 1 3; echo $?; ls; rm -f c

### refused-sidecar-names
echo x > f.__metadata__.json; echo $?; ls; cat f.__metadata__.json > /dev/null 2>&1 || echo none; rm -f f.__metadata__.json; ls

### refused-control-names
echo x > @purge; echo $?; echo x > @status; echo $?; ls

### refused-rename-exchange
echo a > a; echo b > b; python3 - <<'PY'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flags in (1, 2):
    print(flags, libc.renameat2(-100, b"a", -100, b"b", flags), os.strerror(ctypes.get_errno())); ctypes.set_errno(0)
PY
cat a b

### refused-punch-hole
head -c 20000 /dev/zero | tr '\0' x > f; fallocate -p -o 0 -l 4096 f; echo $?; fallocate -z -o 0 -l 100 f; echo $?; fallocate -c -o 0 -l 4096 f; echo $?; fallocate -d f; echo $?; md5sum f

### refused-git-init: git
git init -q . 2> /dev/null; echo $?; ls -A; rm -rf .git

### refused-cp-directory
mkdir "$OUT/d"; echo x > "$OUT/d/f"; cp -r "$OUT/d" .; echo $?; ls; rm -rf d; cp -r "$OUT/d/." .; cat f

### refused-tar-with-directory: tar
mkdir "$OUT/d"; echo x > "$OUT/d/f"; tar c -C "$OUT" d | tar x 2> /dev/null; echo $?; ls; tar c -C "$OUT" d | tar x --strip-components=1 2> /dev/null; cat f; rm -rf d

### refused-rename-directory-in
mkdir "$OUT/d"; mv "$OUT/d" . 2> /dev/null; echo $?; ls; rmdir d 2> /dev/null; rm -f d

### refused-loop-mount-and-swap
truncate -s 40K f; mkswap -q f 2> /dev/null; swapon f 2> /dev/null; echo $?; swapoff f 2> /dev/null; stat -c %s f; rm f
