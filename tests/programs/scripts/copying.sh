# Copies and moves.

### cp-file
echo x > a; cp a b; cat b; echo y > a; cp a b; cat b; cp -v a c; cp a b c .. 2> /dev/null; ls; rm -f ../a ../b ../c

### cp-preserve
echo x > a; chmod 640 a; touch -d 2001-02-03 a; cp -p a b; stat -c '%a %y' b; cp -a a c; stat -c '%a %y' c; cp --preserve=mode a d; stat -c %a d

### cp-out-and-in
echo x > "$OUT/f"; chmod 600 "$OUT/f"; touch -d 2001-02-03 "$OUT/f"; cp -a "$OUT/f" .; stat -c '%a %y' f; cp -p f "$OUT/g"; stat -c '%a %y' "$OUT/g"

### cp-over-itself
echo x > a; cp a a; echo $?; cp a ./a; cat a

### cp-reflink-auto
head -c 200000 /dev/zero | tr '\0' a > a; cp --reflink=auto a b; cmp a b && echo same

### cp-sparse
truncate -s 1M a; echo end >> a; cp --sparse=always a b; cmp a b && echo same; cp --sparse=never a c; cmp a c && echo same; stat -c %s b c; cp --sparse=auto a "$OUT/d"; cmp a "$OUT/d" && echo same

### cp-no-clobber
echo a > a; echo b > b; cp -n a b; cat b; cp -u a b; cat b; touch -d 2001-01-01 b; cp -u a b; cat b

### cp-backup
echo a > a; echo b > b; cp -b a b; ls; cp --backup=numbered a b; ls; cat b~

### cp-force-over-read-only
echo a > a; echo b > b; chmod 444 b; cp -f a b; cat b; stat -c %a b

### cp-remove-destination
echo a > a; echo b > b; cp --remove-destination a b; cat b; ls

### cp-to-second
echo a > a; echo b > b; cp a b "$SECOND"; ls "$SECOND"; cat "$SECOND/b"; cp -t . "$SECOND"/a; cp "$SECOND"/[ab] .; ls

### cp-many
for n in $(seq 100); do echo "$n" > "$OUT/r$n"; done; cp "$OUT"/r* .; ls | wc -l; cat r* | md5sum

### cp-large
seq 500000 | head -c 3000000 > "$OUT/f"; cp "$OUT/f" .; cmp f "$OUT/f" && echo same; cp f g; cmp f g && echo same; stat -c %s g

### cp-attributes-only
echo text > a; chmod 600 a; touch -d 2001-01-01 a; cp --attributes-only --preserve=all a b; stat -c '%s %a %y' b

### cp-from-pipe-and-device
cp /dev/null empty; stat -c %s empty; cat /proc/self/comm > comm; cp /proc/sys/kernel/ostype os; cat os; echo hi | cp /dev/stdin in; cat in

### cp-dangling-name
cp missing f; echo $?; cp f; ls; cp missing1 missing2 .; echo $?

### cp-into-directory-dot
echo a > "$OUT/a"; cp "$OUT/a" ./; cp -r "$OUT/." . 2> /dev/null; cat a

### mv-rename
echo x > a; mv a b; ls; cat b; mv -v b c; mv missing d; echo $?; ls

### mv-over
echo a > a; echo b > b; mv a b; ls; cat b; echo c > c; mv -n c b; echo; cat b; ls

### mv-interactive
echo a > a; echo b > b; echo n | mv -i a b; echo; ls; echo y | mv -i a b; echo; ls; cat b

### mv-backup
echo a > a; echo b > b; mv -b a b; ls; cat b b~; echo c > c; mv --backup=t c b; ls

### mv-update
echo a > a; touch -d 2001-01-01 b; mv -u b a; ls; cat a

### mv-to-itself
echo a > a; mv a a; echo $?; mv a ./a; echo $?; cat a

### mv-out-and-in
echo x > a; chmod 640 a; touch -d 2001-02-03 a; mv a "$OUT"; ls; mv "$OUT/a" b; stat -c '%a %y' b; cat b

### mv-to-second
echo x > a; touch -d 2001-02-03 a; chmod 640 a; mv a "$SECOND"; ls . "$SECOND" | sed "s|.*/||"; stat -c '%a %y' "$SECOND/a"; mv "$SECOND/a" b; cat b

### mv-to-second-over
echo x > a; echo y > "$SECOND/a"; mv -f a "$SECOND/a"; cat "$SECOND/a"; ls

### mv-exchange-by-three
echo a > a; echo b > b; mv a t; mv b a; mv t b; cat a b

### inode-changed-by-replacing
echo a > a; echo b > b; i=$(stat -c %i b); mv b a; [ "$(stat -c %i a)" = "$i" ] && echo 'the new one'; [ "$(stat -c %i a)" != 1 ] && echo sane

### inodes-differ
touch a b c; stat -c %i a b c | sort -u | wc -l; ls -i | awk '{print $1}' | sort -u | wc -l; [ "$(ls -i a | awk '{print $1}')" = "$(stat -c %i a)" ] && echo same

### rsync-into: rsync
mkdir "$OUT/s"; for n in 1 2 3; do echo $n > "$OUT/s/f$n"; done; touch -d 2001-01-01 "$OUT/s/f1"; rsync -a "$OUT/s/" .; ls; stat -c '%y' f1; rsync -ai "$OUT/s/" . | grep -v ' \./$'; cat f*

### rsync-update: rsync
mkdir "$OUT/s"; echo a > "$OUT/s/f"; rsync -a "$OUT/s/" .; echo bb > "$OUT/s/f"; touch -d 2001-01-01 "$OUT/s/f"; rsync -a "$OUT/s/" .; cat f; rsync -a --checksum "$OUT/s/f" g; cat g

### rsync-in-place: rsync
seq 1000 > f; seq 900 > "$OUT/f"; rsync --inplace --no-whole-file "$OUT/f" f; cmp f "$OUT/f" && echo same; seq 1100 > "$OUT/f"; rsync --append "$OUT/f" f; cmp f "$OUT/f" && echo same

### rsync-delete: rsync
mkdir "$OUT/s"; touch "$OUT/s/keep"; touch gone keep; rsync -r --delete --exclude=__metadata__.json "$OUT/s/" .; ls

### rsync-backup: rsync
mkdir "$OUT/s"; echo new > "$OUT/s/f"; echo old > f; rsync -b --suffix=.old "$OUT/s/f" .; ls; cat f.old

### rsync-out: rsync
echo a > a; chmod 640 a; touch -d 2001-01-01 a; rsync -a --exclude=__metadata__.json ./ "$OUT/d/"; stat -c '%n %a %y' "$OUT"/d/a | sed 's|.*/||'; rsync -a --remove-source-files a "$OUT/e/"; ls

### rsync-delayed: rsync
mkdir "$OUT/s"; echo a > "$OUT/s/a"; echo b > "$OUT/s/b"; rsync -a --partial "$OUT/s/" .; rsync -a --temp-dir="$OUT" "$OUT/s/a" c; cat c; ls

### rsync-sparse: rsync
truncate -s 300K "$OUT/f"; echo x >> "$OUT/f"; rsync -S "$OUT/f" .; cmp f "$OUT/f" && echo same

### rsync-to-second: rsync
echo a > a; echo b > b; touch -d 2001-01-01 a; rsync -a --exclude=__metadata__.json ./ "$SECOND/"; ls "$SECOND"; stat -c %y "$SECOND/a"; rsync -ain --exclude=__metadata__.json ./ "$SECOND/" | grep -v '^\.d'

### busybox-copies: busybox
echo x > a; busybox cp a b; busybox cp -p a c; busybox mv c d; busybox cat b d; busybox touch e; busybox ls; busybox rm e; busybox stat -c %s a; busybox dd if=a of=f 2> /dev/null; cat f

### busybox-text: busybox
seq 5 > f; busybox sed -i s/3/three/ f; busybox grep -n three f; busybox awk '{print > "g"}' f; cat g; busybox sort -r f -o h; cat h; busybox vi --help > /dev/null 2>&1; busybox tar cf t.tar f g; busybox tar tf t.tar; busybox gzip h; ls; busybox wc f; rm h.gz t.tar

### logrotate-like-move
exec 3>> log; echo one >&3; mv log log.1; echo two >&3; exec 3>> log; echo three >&3; exec 3>&-; cat log.1; echo --; cat log

### logrotate-like-copytruncate
exec 3>> log; echo one >&3; cp log log.1; : > log; echo two >&3; exec 3>&-; cat log.1; echo --; cat log

### logrotate-like-chain
for n in 1 2 3 4 5; do rm -f log.3; [ -e log.2 ] && mv log.2 log.3; [ -e log.1 ] && mv log.1 log.2; [ -e log ] && mv log log.1; echo "run $n" > log; done; head log*

### save-by-rename
echo old > f; echo new > .f.tmp; mv -f .f.tmp f; cat f; ls -A

### save-by-backup-rename
echo old > f; mv f f~; echo new > f; cat f f~; rm f~; ls

### save-by-copy-back
echo old > f; cp f f.bak; echo new > f; cmp f f.bak || cp f.bak f; cat f; ls
