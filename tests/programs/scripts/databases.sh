# Databases in files, and locks from the shell.

### sqlite-create-and-query: sqlite3
sqlite3 s.db 'create table t (a, b); insert into t values (1, "x"), (2, "y");'; sqlite3 s.db 'select * from t; insert into t values (3, "z");'; sqlite3 -json s.db 'select count(*) as n from t'; ls

### sqlite-transactions: sqlite3
sqlite3 s.db 'create table t (a); begin; insert into t values (1); rollback; begin; insert into t values (2); savepoint s; insert into t values (3); rollback to s; commit; select * from t; pragma integrity_check;'; ls

### sqlite-journal-modes: sqlite3
for mode in delete truncate persist memory off; do rm -f s.db*; sqlite3 s.db "pragma journal_mode=$mode; create table t (a); insert into t values (1); insert into t values (2); select sum(a) from t;"; ls; done; rm -f s.db-journal

### sqlite-wal: sqlite3
sqlite3 s.db 'pragma journal_mode=wal; create table t (a); insert into t values (1); select * from t; pragma wal_checkpoint(truncate);'; sqlite3 s.db 'insert into t values (2); select count(*) from t'; ls

### sqlite-backup-and-vacuum: sqlite3
sqlite3 s.db 'create table t (a); with recursive n(x) as (select 1 union all select x+1 from n where x < 2000) insert into t select x from n; delete from t where a % 2; vacuum; select count(*), sum(a) from t'; sqlite3 s.db '.backup b.db'; sqlite3 b.db 'select sum(a) from t'; sqlite3 s.db "vacuum into 'v.db'"; sqlite3 v.db 'pragma integrity_check'; ls

### sqlite-dump-import: sqlite3
printf '1,a\n2,b\n' > f.csv; sqlite3 s.db '.mode csv' 'create table t (a, b)' '.import f.csv t' '.output out.csv' 'select b from t'; cat out.csv; sqlite3 s.db .dump > dump.sql; sqlite3 t.db < dump.sql; sqlite3 t.db 'select * from t'

### sqlite-busy: sqlite3
sqlite3 s.db 'create table t (a)'; (printf 'begin exclusive; insert into t values (1);\n.print begun\n'; until [ -e "$OUT/go" ]; do sleep 0.01; done; printf 'commit;\n.quit\n') | sqlite3 s.db > "$OUT/said" 2>&1 &
until [ -s "$OUT/said" ]; do sleep 0.01; done; cat "$OUT/said"; sqlite3 s.db 'insert into t values (9)' 2>&1 | grep -o locked; touch "$OUT/go"; wait; sqlite3 s.db 'delete from t where a = 9; insert into t values (2); select * from t'

### sqlite-parallel-writers: sqlite3
sqlite3 s.db 'create table t (a)'; for w in 1 2 3; do ( for n in 1 2 3 4 5; do sqlite3 -cmd '.timeout 30000' s.db "insert into t values ($w$n)"; done ) & done; wait; sqlite3 s.db 'select count(*), sum(a) from t; pragma integrity_check;'; rm s.db

### sqlite-temporaries: sqlite3
SQLITE_TMPDIR=$PWD sqlite3 s.db 'pragma temp_store=1; create table t (a); with recursive n(x) as (select 1 union all select x+1 from n where x < 5000) insert into t select hex(x*7919) from n; create index i on t (a); select count(*) from (select a from t order by a desc);'; ls

### sqlite-attach: sqlite3
sqlite3 a.db "attach 'b.db' as b; create table t (x); create table b.u (x); begin; insert into t values (1); insert into u values (2); commit;"; sqlite3 a.db 'select * from t'; sqlite3 b.db 'select * from u'; ls

### flock-command: flock
flock lock echo one; flock -n lock echo two; ( flock 9; echo three; flock -n lock echo no || echo busy ) 9> lock; flock -s lock flock -s -n lock echo shared; flock -x lock flock -n -s lock echo no || echo busy; ls

### flock-counter: flock
echo 0 > n; for w in 1 2 3 4; do ( for k in 1 2 3 4 5 6 7 8; do flock lock sh -c 'read -r x < n; echo $((x + 1)) > n'; done ) & done; wait; cat n

### flock-on-the-file-itself: flock
echo 0 > n; for w in 1 2 3; do ( for k in 1 2 3 4 5 6 7 8; do ( flock 9; read -r x < n; echo $((x + 1)) > n ) 9< n; done ) & done; wait; cat n

### flock-across-rewrite: flock
echo a > f; exec 9< f; flock -x 9; echo b > f; flock -n f echo no || echo busy; exec 9>&-; flock -n f echo free

### flock-held-by-child: flock
exec 9> lock; flock 9; sleep 5 9>&9 & p=$!; exec 9>&-; flock -n lock echo no || echo 'the child has it'; kill $p; wait $p 2> /dev/null; flock -n lock echo free

### flock-timeout: flock
exec 9> lock; flock 9; flock -w 0.1 lock echo no; echo $?; flock -n -E 7 lock true; echo $?; exec 9>&-; flock -w 5 lock echo got

### lock-by-exclusive-create
for w in 1 2 3; do ( for k in 1 2 3 4 5; do until ( set -C; : > lock ) 2> /dev/null; do :; done; read -r x 2> /dev/null < n || x=0; echo $((x + 1)) > n; rm lock; done ) & done; wait; cat n; ls

### pid-file
echo $$ > pid; kill -0 "$(cat pid)" && echo alive; rm pid; [ -e pid ] || echo gone

### queue-by-rename
for n in 1 2 3 4 5 6; do echo "$n" > "new-$n"; done; for w in 1 2; do ( for f in new-*; do mv "$f" "taken-$f-$w" 2> /dev/null && cat "taken-$f-$w" >> "$OUT/done"; done ) & done; wait; sort "$OUT/done"; ls | wc -l; rm taken-*
