# What shells do with files.

### redirect-create
echo one > f; cat f; echo two > f; cat f

### redirect-append
for n in 1 2 3 4 5; do echo "line $n" >> log; done; cat log

### redirect-empty
: > a; > b; true > c; cp /dev/null d; printf '' > e; ls -l --time-style=+ | awk '{print $1, $5, $NF}'; wc -c a b c d e

### redirect-truncate-existing
echo long text > f; : > f; stat -c %s f; echo x >> f; cat f

### redirect-clobber
set -C; echo one > f; echo two > f; echo "status $?"; echo three >| f; cat f

### redirect-noclobber-new
set -o noclobber; echo one > new && cat new; : > empty && echo made; : > empty || echo refused

### redirect-read-write
printf 'hello world\n' > f; exec 3<> f; printf 'HELLO' >&3; exec 3>&-; cat f

### redirect-read-write-new
exec 3<> f; echo text >&3; exec 3>&-; cat f; ls

### redirect-read-write-read-back
echo abc > f; exec 3<> f; read -r line <&3; echo "$line"; echo def >&3; cat f; exec 3>&-; cat f

### redirect-read-what-is-being-written
exec 3> f; echo one >&3; cat f; echo two >&3; cat f; stat -c %s f; exec 3>&-; cat f

### redirect-read-what-is-being-rewritten
echo old > f; exec 3> f; echo new >&3; cat f; stat -c %s f; exec 3>&-; cat f

### redirect-child-sees-it
( echo one; cat f; echo two; wc -l < f ) > f; cat f

### redirect-two-descriptors
exec 3> f 4>> f; echo one >&3; echo two >&4; exec 3>&- 4>&-; cat f

### redirect-dup
exec 3> f; exec 4>&3; echo one >&3; exec 3>&-; echo two >&4; cat f; exec 4>&-; cat f

### redirect-same-in-and-out
printf 'b\na\n' > f; sort < f > g; cat g; cat < g > f; cat f

### redirect-group-append
{ echo a; echo b >&2; } >> all 2>&1; { echo c; echo d >&2; } &>> all; cat all

### redirect-here-document
cat > f <<TEXT
one $((1 + 1))
TEXT
cat >> f <<'TEXT'
$literal
TEXT
cat f; cat <<< "word" > g; cat g

### redirect-tee
echo one | tee a b > c; echo two | tee -a a b >> c; cat a b c; cmp a b && cmp b c

### redirect-process-substitution
diff <(printf '1\n2\n') <(printf '1\n3\n') > d; cat d; printf 'x\n' > >(tr x y > z; echo done > finished)
until [ -s finished ]; do sleep 0.01; done; cat z finished

### redirect-background
( for n in 1 2 3; do echo $n; done ) > f & wait; cat f

### redirect-many-appenders
for w in 1 2 3 4; do ( for n in $(seq 50); do echo "$w $n"; done ) >> log & done; wait; wc -l < log; sort -o log -u log; wc -l < log

### redirect-many-appending-commands
for w in 1 2 3; do ( for n in $(seq 20); do echo "$w $n" >> log; done ) & done; wait; wc -l < log; sort -o log -u log; wc -l < log

### redirect-errors-too
ls missing > out 2> err; echo $?; cat out err

### redirect-close-in-the-middle
exec 3> f; echo one >&3; ( echo child >&3 ); echo two >&3; exec 3>&-; cat f

### redirect-exec-log
exec 5>> log; for n in 1 2 3; do echo "$n" >&5; tail -n 1 log; done; exec 5>&-; wc -l log

### redirect-mapfile
printf '%s\n' a b c > f; mapfile -t lines < f; echo "${#lines[@]} ${lines[2]}"; while read -r x; do echo "<$x>"; done < f

### redirect-read-from-two
seq 3 > a; seq 4 6 > b; while read -r x <&3 && read -r y <&4; do echo "$x $y"; done 3< a 4< b > sums; cat sums; paste a b

### redirect-in-function
say() { echo "$1"; } >> said; say a; say b; cat said

### redirect-dash-dd
echo hello | dd of=f bs=1 2> err; sed -i 's/,.*//' err; cat err f

### redirect-to-missing-directory
echo x > missing/f; echo $?; ls -A

### redirect-over-read-only
echo x > f; chmod 444 f; stat -c '%a' f; cat f; rm -f f; ls

### redirect-killed-writer
( ( exec 3> f; echo one >&3; kill -9 $BASHPID ); : ) 2> /dev/null; cat f; echo two >> f; cat f

### redirect-tail-follow
echo start > log; ( tail -s 0.1 -n +1 -F log > "$OUT/seen" 2> /dev/null & echo $! > "$OUT/pid" )
until grep -qs start "$OUT/seen"; do sleep 0.01; done
echo more >> log; for n in $(seq 200); do grep -q more "$OUT/seen" && break; sleep 0.02; done
kill "$(cat "$OUT/pid")"; sort -u "$OUT/seen"

### redirect-timeout-tail
seq 5 > f; timeout 0.3 tail -f f; echo $?
