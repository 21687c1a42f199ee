# Files that are open while something happens to them, and files of a size.

### open-reader-keeps-version
echo old > f; exec 3< f; echo new > f.tmp; mv f.tmp f; cat <&3; cat f; exec 3<&-

### open-reader-of-removed
echo old > f; exec 3< f; rm f; cat <&3; ls; echo new > f; cat f; exec 3<&-

### open-reader-renamed
echo a > a; exec 3< a; mv a b; cat <&3; cat b; exec 3<&-

### open-reader-and-in-place-writer
printf 'aaaa\nbbbb\n' > f; exec 3< f; read -r x <&3; echo "$x"; printf 'cccc\ndddd\n' > f; cat <&3 > /dev/null; cat f; exec 3<&-

### open-writer-of-removed
exec 3> f; echo one >&3; rm f; ls; echo two >&3; ls; exec 3>&-; ls; [ -e f ] || echo gone

### open-appender-of-removed
echo one >> log; exec 3>> log; rm log; echo two >&3; ls; echo new >> log; cat log; exec 3>&-; cat log

### open-writer-of-replaced
echo old > f; exec 3>> f; echo more >&3; echo new > g; mv g f; echo lost >&3; exec 3>&-; cat f

### open-writer-renamed
exec 3> a; echo one >&3; mv a b; echo two >&3; exec 3>&-; ls; cat b

### open-writer-then-mv-twice
exec 3>> a; echo one >&3; mv a b; mv b c; echo two >&3; cat c; exec 3>&-; cat c; ls

### open-idle-writer-of-removed
echo deleted > f; exec 3>> f; rm f; exec 3>&-; ls; [ -e f ] || echo gone

### open-two-writers
exec 3> f; exec 4> f; echo long line >&3; echo s >&4; exec 3>&- 4>&-; cat f

### open-two-appenders
exec 3>> f; exec 4>> f; for n in 1 2 3; do echo "a$n" >&3; echo "b$n" >&4; done; cat f; exec 3>&- 4>&-; cat f

### open-writer-and-truncate-by-name
exec 3> f; echo hello >&3; truncate -s 2 f; cat f; echo; echo x >&3; exec 3>&-; od -c f

### open-appender-and-truncate-by-name
exec 3>> log; echo hello >&3; : > log; echo x >&3; exec 3>&-; cat log

### open-through-proc
echo hello > f; exec 3< f; cat /proc/self/fd/3; cat /dev/fd/3 > g 2>&1; cat g; rm f; cat < /proc/$$/fd/3; readlink /proc/$$/fd/3 | sed 's|.*/||'; exec 3<&-

### open-write-through-proc
exec 3> f; echo one > /proc/$$/fd/3; echo two >> /dev/fd/3; exec 3>&-; cat f

### open-many-at-once
for n in $(seq 100); do exec {fd}> "f$n"; echo "$n" >&"$fd"; fds+=("$fd"); done; cat f50; for fd in "${fds[@]}"; do exec {fd}>&-; done; cat f* | wc -l; rm f*; ls

### open-in-background-child
( exec 3> f; echo one >&3; until [ -e go ]; do sleep 0.01; done; echo two >&3 ) & until [ -s f ]; do sleep 0.01; done; cat f; touch go; wait; cat f

### open-daemon-log
sh -c 'echo start; until [ -e stop ]; do sleep 0.01; done; echo end' > log 2>&1 & until grep -qs start log; do sleep 0.01; done; cat log; wc -l < log; touch stop; wait; cat log

### open-read-while-appended
for n in 1 2 3 4 5; do echo "$n" >> log; wc -l < log; tail -n 1 log; done

### open-growing-in-python
python3 - <<'PY'
import os
w = open("log", "w"); w.write("one\n"); w.flush(); r = open("log"); print(r.read(), end=""); w.write("two\n"); w.flush(); print(os.fstat(r.fileno()).st_size, repr(r.read())); w.write("three\n"); w.close(); print(repr(r.read()))
PY

### open-growing-existing
python3 - <<'PY'
import os
open("log", "w").write("zero\n"); w = open("log", "a"); w.write("one\n"); w.flush(); print(open("log").read().split(), os.stat("log").st_size); w.close(); print(open("log").read().split())
PY

### open-cwd-of-its-own
( cd "$SECOND" && echo x > f && cat f; pwd | sed 's|.*/||' ); cat "$SECOND/f"; cd "$SECOND"; rm f; cd - > /dev/null; ls

### open-directory-and-list
exec 3< .; touch a b; ls -1 /proc/self/fd/3/; exec 3<&-

### open-with-mode-not-allowed
python3 - <<'PY'
import os
fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o400); os.write(fd, b"x"); os.close(fd); print(oct(os.stat("f").st_mode & 0o777), open("f").read())
fd = os.open("g", os.O_WRONLY | os.O_CREAT, 0); os.write(fd, b"x"); os.close(fd); os.chmod("g", 0o600); print(open("g").read())
PY

### large-append
head -c 20000000 /dev/zero > f; for n in 1 2 3; do echo end >> f; done; stat -c %s f; tail -c 4 f; truncate -s 5 f; stat -c %s f

### large-sparse
truncate -s 1G f; stat -c %s f; [ "$(stat -c %b f)" -lt 1000 ] && echo sparse; echo x >> f; stat -c %s f; [ "$(stat -c %b f)" -lt 1000 ] && echo sparse; tail -c 2 f; printf y | dd of=f bs=1 seek=500M conv=notrunc 2> /dev/null; [ "$(stat -c %b f)" -lt 1000 ] && echo sparse; rm f

### large-random-writes
python3 - <<'PY'
import os, random
random.seed(1); fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644); model = bytearray(1 << 20)
for _ in range(300):
    at, n = random.randrange(1 << 20), random.randrange(1, 5000); n = min(n, (1 << 20) - at); data = bytes([random.randrange(256)]) * n
    os.pwrite(fd, data, at); model[at:at + n] = data
    at = random.randrange(1 << 20); assert os.pread(fd, 100, at) == model[at:at + 100][:max(0, os.fstat(fd).st_size - at)]
os.ftruncate(fd, 1 << 20); os.close(fd); print(open("f", "rb").read() == model)
PY

### large-file-limit
( trap '' XFSZ; ulimit -f 100; head -c 1000000 /dev/zero > f; echo $? ) 2>&1; stat -c %s f; echo x > g; cat g

### large-file-limit-killed
( ( ulimit -f 100; head -c 1000000 /dev/zero > f ); echo $? ) 2> /dev/null; stat -c %s f; echo x > g; cat g

### limit-open-files
( ulimit -n 20; for n in 1 2 3 4 5; do echo x > f$n; done; cat f1; python3 -c '
import os
fds = []
try:
    while True: fds.append(os.open("f1", os.O_RDONLY))
except OSError as e: print(e.errno)' ); echo y > f6; ls

### limit-memory-and-stack
( ulimit -s 256; ulimit -v 400000; seq 1000 | sort -rn > f; head -n 1 f ); ulimit -c 0; cat f | wc -l

### write-to-full-device-like
dd if=/dev/full of=f count=1 2> /dev/null; stat -c %s f; cat f > /dev/full; echo $?; ls

### writes-across-pages
for s in 4095 4096 4097 8192 65536 131072 131073; do head -c $s /dev/zero | tr '\0' z > f$s; printf end >> f$s; stat -c %s f$s; tail -c 4 f$s; echo; done; md5sum f*; rm f*

### interrupted-writer
( trap 'echo caught >> log; exit 0' TERM; echo start > log; kill -TERM $BASHPID; sleep 5 ); cat log; timeout -s INT 0.2 sh -c 'while :; do echo x >> many; done'; [ -s many ] && sort -u many; rm many
