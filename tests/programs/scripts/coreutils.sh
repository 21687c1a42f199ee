# The programs that every system has.

### touch-new
touch a b; ls; stat -c '%n %s %F' a b

### touch-date
touch -d '2020-02-03 04:05:06.789' f; stat -c '%y' f; touch -d '1999-12-31 UTC' g; date -r g +%F; [ f -nt g ] && echo newer

### touch-reference
touch -d '2001-01-01' old; echo x > f; touch -r old f; stat -c %y f; cat f

### touch-access-only
touch -d '2001-01-01' f; touch -a -d '2010-01-01' f; stat -c '%y' f; stat -c %x f; touch -m -d '2011-01-01' f; stat -c '%x %y' f

### touch-no-create
touch -c missing; echo $?; ls; touch -c -h missing; ls

### touch-before-epoch
touch -d '1960-01-01' f; stat -c '%Y' f; touch -d '2100-01-01' g; stat -c %Y g

### touch-then-append
touch log; echo a >> log; echo b >> log; cat log

### truncate-grow
echo abc > f; truncate -s 10 f; od -c f; truncate -s 2 f; od -c f; truncate -s +3 f; stat -c %s f; truncate -s -1 f; stat -c %s f

### truncate-new
truncate -s 5 f; od -c f; truncate -s 0 f; stat -c %s f; truncate -c -s 4 missing; ls

### truncate-reference
echo abcdef > a; truncate -r a b; stat -c '%n %s' a b; truncate -s '<3' a; truncate -s '%4' b; stat -c '%n %s' a b

### fallocate-new
fallocate -l 8192 f; stat -c %s f; echo x >> f; stat -c %s f; cmp -n 8192 f /dev/zero && echo zeros

### fallocate-keep-size
echo abc > f; fallocate -n -l 65536 f; stat -c %s f; cat f; echo d >> f; cat f

### fallocate-extend
echo abc > f; fallocate -o 2 -l 10 f; stat -c %s f; od -c f

### dd-plain
dd if=/dev/zero of=f bs=1000 count=3 2> /dev/null; stat -c %s f; dd if=f bs=500 count=1 2> /dev/null | wc -c

### dd-notrunc
printf 'abcdefgh' > f; printf 'XY' | dd of=f bs=1 seek=2 conv=notrunc 2> /dev/null; cat f; echo

### dd-append
printf 'abc' > f; printf 'def' | dd of=f oflag=append conv=notrunc 2> /dev/null; cat f; echo

### dd-seek-past-end
printf 'x' | dd of=f bs=1 seek=5 2> /dev/null; od -c f

### dd-sync
printf 'abc' | dd of=f oflag=sync 2> /dev/null; printf def | dd of=g oflag=dsync 2> /dev/null; cat f g; echo

### dd-fsync
printf 'abc' | dd of=f conv=fsync 2> /dev/null; printf d | dd of=f conv=fdatasync,notrunc seek=1 bs=1 2> /dev/null; cat f; echo

### dd-excl
printf a | dd of=f conv=excl 2> /dev/null; printf b | dd of=f conv=excl 2> /dev/null; echo $?; cat f; echo

### dd-nocreat
printf a | dd of=f conv=nocreat 2> err; echo $?; sed 's/^dd: //' err; ls

### dd-sparse
{ printf a; head -c 100000 /dev/zero; printf b; } | dd of=f bs=4k conv=sparse 2> /dev/null; stat -c %s f; md5sum f

### dd-direct
head -c 8192 /dev/zero > f; dd if=f bs=4096 iflag=direct 2> /dev/null | wc -c; head -c 4096 /dev/zero | dd of=g bs=4096 oflag=direct 2> /dev/null; stat -c %s g

### dd-skip-itself
seq 100 > f; dd if=f of=f bs=1 skip=10 seek=0 count=20 conv=notrunc 2> /dev/null; md5sum f

### sync-file
echo x > f; sync f; echo $?; sync -d f; sync .; echo $?

### split-lines
seq 25 > f; split -l 10 f part-; wc -l part-*; cat part-* | cmp - f && echo same

### split-bytes
seq 100 > f; split -b 100 -d -a 3 --additional-suffix=.bin f p; ls; cat p*.bin | cmp - f && echo same

### split-chunks
seq 100 > f; split -n l/3 f c; ls; cat c* | cmp - f && echo same; split -n r/2 f r; head -n 2 ra rb

### split-filter
seq 20 > f; split -l 10 --filter='gzip > $FILE.gz' f z; ls; zcat zaa.gz | tail -n 1

### csplit-sections
printf 'a\n==\nb\n==\nc\n' > f; csplit -s f '/==/' '{*}'; ls; cat xx01

### sort-in-place
printf 'c\na\nb\n' > f; sort -o f f; cat f; sort -r f -o f; cat f

### sort-temporaries-here
seq 20000 | shuf --random-source=<(yes) > f; sort -n -T . -S 64K -o g f; ls; md5sum g; sort -n -c g && echo sorted

### sort-unique-merge
printf '1\n3\n' > a; printf '2\n3\n' > b; sort -m -u a b > c; cat c; comm -12 a b; join a b

### shuf-in-place
seq 10 > f; shuf -o f f; wc -l f; sort -n -o f f; md5sum f; shuf -n 3 f | wc -l

### uniq-output
printf 'a\na\nb\n' > f; uniq -c f g; cat g; uniq -d f

### head-tail
seq 1000 > f; head -n 3 f; tail -n 2 f; tail -c 9 f; head -c -3880 f; tail -n +998 f; tac f | head -n 1

### cut-paste-tr
printf 'a:b\nc:d\n' > f; cut -d: -f2 f > g; tr a-z A-Z < g > h; paste f h > i; cat i; rev i; nl i; fold -w 2 f; expand i; fmt f; column -t -s: f

### checksums
echo data > f; md5sum f > sums; sha256sum f >> sums; cat sums; md5sum f | md5sum -c; cksum f; sum f; b2sum f | cut -c1-16

### checksum-check
seq 10 > a; seq 20 > b; sha1sum a b > list; sha1sum -c list; echo >> a; sha1sum -c list; echo $?

### base64-od-xxd: xxd
head -c 40 /dev/zero | tr '\0' 'q' > f; base64 f > g; base64 -d g | cmp - f && echo same; od -An -tx1 f | head -n 1; xxd f > h; xxd -r h | cmp - f && echo same; base32 f | head -c 8

### xxd-patch: xxd
printf 'abcdef' > f; echo '2: 5858' | xxd -r - f; cat f; echo

### wc-many
seq 10 > a; seq 100 > b; wc a b; wc -l < a; du -b a b; cat a b | wc -w

### stat-formats
echo hello > f; stat -c '%n %s %f %F %a %A %h %u %g %B' f; stat --printf '%s\n' f; test -s f && echo filled; [ -f f ] && [ -r f ] && [ -w f ] && echo usable; [ -x f ] || echo plain

### stat-blocks
head -c 100000 /dev/zero | tr '\0' x > f; [ "$(stat -c %b f)" -ge 196 ] && echo filled; du -k --apparent-size f; stat -c %o f

### stat-file-system
stat -f -c %T . > /dev/null && df . > /dev/null && echo answered; df -k --output=avail . | tail -n 1 | grep -q '[1-9]' && echo room

### ls-shapes
touch b a c; ls -1; ls -r; ls -m; ls -Q; ls -x; ls -F; ls -A | wc -l; ls --group-directories-first; ls missing; echo $?

### ls-sorted-by-time
touch -d 2001-01-01 old; touch -d 2010-01-01 mid; touch -d 2020-01-01 new; ls -t old mid new; ls -tr *; ls -l --time-style=long-iso old | awk '{print $6, $7}'

### ls-sorted-by-size
printf a > s; printf aaa > l; printf aa > m; ls -S s l m; ls -s1 s > /dev/null; ls -lS s l m | awk '{print $5}'; ls --size --block-size=1 m > /dev/null

### ls-by-extension
touch a.txt b.c c.txt; ls -X a.txt b.c c.txt; ls *.txt; ls -d ./*; ls [ab]*

### rm-shapes
touch a b c d; rm a; rm -v b; rm -f missing; rm missing; echo $?; yes | rm -i c; echo; rm -- d; ls

### rm-read-only-file
touch f; chmod 000 f; rm -f f; echo $?; ls

### rm-many
touch f{1..200}; ls | wc -l; rm f*; ls

### unlink
echo x > f; unlink f; echo $?; unlink f; echo $?; ls

### shred
echo secret > f; shred -u -n 1 f; echo $?; ls; echo secret > g; shred -n 1 -z g; head -c 3 g | od -c

### mktemp-here
f=$(mktemp -p .); [ -f "$f" ] && stat -c '%a %s' "$f"; echo x > "$f"; cat "$f"; mv "$f" final; ls; g=$(mktemp ./tmp.XXXXXXXX.txt); rm "$g"; ls

### mktemp-dry
f=$(mktemp -u -p .); [ -e "$f" ] || echo none; TMPDIR=. mktemp > "$OUT/name"; rm "$(cat "$OUT/name")"; ls

### tmpdir-here
export TMPDIR=$PWD; sort -n -S 32K <(seq 5000 -1 1) | head -n 1; f=$(mktemp); rm "$f"; cat <<< here; ls

### test-operators
echo a > a; touch -d 2001-01-01 b; [ a -nt b ] && echo nt; [ b -ot a ] && echo ot; [ a -ef ./a ] && echo same; [ -e c ] || echo none; [ -s b ] || echo empty; [ -O a ] && [ -G a ] && echo mine; [ -d . ] && echo dir; [ -h a ] || echo 'no link'

### seq-printf-loop
for n in $(seq -w 1 30); do printf '{"n": %d}\n' "$((10#$n))" > "r$n.json"; done; ls | wc -l; cat r*.json | md5sum; cat r07.json

### numfmt-and-factor
seq 1000 1003 > f; numfmt --to=iec < f; factor < f | tail -n 1; tsort <<< 'a b b c' > t; cat t; ptx f | wc -l

### pr-and-others
seq 6 > f; pr -t -2 f; basename ./f .x; realpath --relative-to=.. f; readlink -f f | sed 's|.*/||'; pathchk f && echo good; dirname f

### timeout-and-nice
nice timeout 5 sh -c 'echo x > f; cat f'; nohup sh -c 'echo y >> f' 2> /dev/null; stdbuf -oL cat f; env -i /bin/sh -c 'echo z >> f'; cat f

### tee-no-input
tee f < /dev/null; stat -c %s f; echo a | tee f | tee g > h; cat f g h

### yes-head
yes | head -n 1000 > f; wc f; yes abc | head -c 100001 > g; stat -c %s g; md5sum g

### chained-pipes
seq 100 | tee all | grep 7 | tee sevens | wc -l > count; wc -l all sevens; cat count

### du-and-df
head -c 5000 /dev/zero > a; du -b a | cut -f1; du -ab . | tail -n 1 > /dev/null; du -c --apparent-size -k a | tail -n 1

### pipe-status
cat missing | tee f | wc -c; echo "${PIPESTATUS[*]}"; ls

### install-file
echo x > f; install -m 755 f g; stat -c '%a %s' g; install -m 600 -p f h; stat -c %a h; install -b f g; ls; install -C -v f g | wc -l; install -D f ./i; cat i

### cat-itself
echo x > f; cat f >> f; echo $?; cat f; cat f > f; echo $?; stat -c %s f

### cmp-and-diff
seq 5 > a; seq 6 > b; cmp a b; diff a b; diff -q a b; diff -u --label a --label b a b; sdiff -s a b; diff3 a b a; diff -s a a; echo $?

### patch-in-place: patch
printf '1\n2\n3\n' > f; printf '1\ntwo\n3\n' > g; diff -u --label f --label g f g > d; patch f d; cat f; patch -R f d; cat f; ls

### patch-backup: patch
printf '1\n2\n3\n' > f; printf '1\ntwo\n3\n' > g; diff -u --label f --label g f g > d; patch -b f d; ls; cat f.orig; printf 'x\n' > f; patch -N f d; echo $?; ls

### patch-new-file: patch
printf -- '--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n' > d; patch -p1 < d; cat new.txt; patch -R -p1 < d; ls

### ed-script: ed
printf 'one\ntwo\n' > f; printf '2s/two/TWO/\na\nthree\n.\nw\nq\n' | ed -s f; cat f; ed -s f <<< $'1d\nw g\nq'; cat g

### ed-new-file: ed
printf 'a\nnew\n.\nw\nq\n' | ed -s f 2>&1; cat f; printf 'r f\nw\nq\n' | ed f 2>&1; cat f

### find-by-facts
echo x > small; head -c 3000 /dev/zero > large; touch empty; find . -type f -size -2 | sort; find . -empty; find . -type f -size +2k; find . -name 's*' -printf '%f %s %m\n'

### find-newer
touch -d 2001-01-01 old; touch -d 2010-01-01 ref; echo x > new; find . -name '[on]*' -newer ref; find . -mtime +100 | sort; find . -mmin -5 -name new; find . -newermt 2009-01-01 ! -newermt 2011-01-01 -type f

### find-delete
touch a.tmp b.tmp keep; find . -name '*.tmp' -delete; ls; find . -type f -name keep -exec sh -c 'echo x >> "$1"' _ {} \; ; cat keep

### find-exec-many
seq 3 | while read -r n; do echo "$n" > "f$n"; done; find . -name 'f*' -exec cat {} + | sort; find . -name 'f*' -print0 | sort -z | xargs -0 wc -l; find . -perm 644 -name 'f*' | wc -l

### find-links-and-types
touch f; find . -links 1 -type f -name f; find . -maxdepth 1 -type d; find . -user "$(id -u)" -name f; find . -readable -name f; find . -type l

### xargs-shapes
seq 10 | xargs -n 3 echo > f; cat f; ls f | xargs -I{} cp {} copy-{}; ls; seq 4 | xargs -P 4 -I{} sh -c 'echo {} > p{}'; cat p*

### xargs-append
seq 40 | xargs -P 4 -I{} sh -c 'echo {} >> log'; sort -n -o log log; md5sum log; wc -l < log

### grep-shapes
printf 'alpha\nbeta\n' > a; printf 'beta\n' > b; grep -n beta a; grep -l alpha *; grep -L alpha a b; grep -c . a b; grep -r alpha . ; grep -v alpha a > c; cat c; grep -f b a; grep -q none a; echo $?; grep -h beta a b

### grep-binary
printf 'a\0b\n' > f; grep a f; grep -a b f | od -c; printf 'x' > g; grep x g

### strings-and-file
printf 'abcdef\0\1\2ghijkl' > f; grep -ao '[a-z]*' f; tr -d '\0' < f | wc -c

### look-at-time-order
echo a > a; echo b > b; [ b -ot a ] && echo 'wrong order'; touch -r a c; [ c -nt a ] || [ c -ot a ] || echo equal

### rename-many
touch img{1..5}.jpeg; for f in *.jpeg; do mv "$f" "${f%.jpeg}.jpg"; done; ls

### date-set-in-name
f=log-$(date +%Y).txt; echo x > "$f"; [ -f "$f" ] && rm "$f"; ls

### getopt-like-names
touch -- -f --help; ls -1 | cat; rm -- -f; rm ./--help; ls

### bc-script: bc
echo 'scale=2; 10/4' > f.bc; bc -q f.bc < /dev/null > out; cat out
