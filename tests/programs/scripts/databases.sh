# Databases in files, and locks from the shell.

### flock-counter: flock
echo 0 > n; for w in 1 2 3 4; do ( for k in 1 2 3 4 5 6 7 8; do flock lock sh -c 'read -r x < n; echo $((x + 1)) > n'; done ) & done; wait; cat n

### flock-timeout: flock
exec 9> lock; flock 9; flock -w 0.1 lock echo no; echo $?; flock -n -E 7 lock true; echo $?; exec 9>&-; flock -w 5 lock echo got

### lock-by-exclusive-create
for w in 1 2 3; do ( for k in 1 2 3 4 5; do until ( set -C; : > lock ) 2> /dev/null; do :; done; read -r x 2> /dev/null < n || x=0; echo $((x + 1)) > n; rm lock; done ) & done; wait; cat n; ls

### pid-file
echo $$ > pid; kill -0 "$(cat pid)" && echo alive; rm pid; [ -e pid ] || echo gone

### queue-by-rename
for n in 1 2 3 4 5 6; do echo "$n" > "new-$n"; done; for w in 1 2; do ( for f in new-*; do mv "$f" "taken-$f-$w" 2> /dev/null && cat "taken-$f-$w" >> "$OUT/done"; done ) & done; wait; sort "$OUT/done"; ls | wc -l; rm taken-*
