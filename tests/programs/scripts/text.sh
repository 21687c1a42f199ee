# Tools that rewrite text, and languages' own ways to files.

### sed-in-place: sed
printf 'a\nb\n' > f; sed -i s/a/A/ f; cat f; sed -i.bak s/b/B/ f; ls; cat f f.bak; sed -i -e '$a end' f; tail -n 1 f

### sed-in-place-many: sed
for n in 1 2 3; do echo "x$n" > f$n; done; sed -i 's/x/y/' f1 f2 f3; cat f*; sed -i '/y2/d' f2; stat -c %s f2; ls

### sed-keeps-mode: sed
echo x > f; chmod 751 f; sed -i s/x/y/ f; stat -c %a f; touch -d 2001-01-01 f; sed -i s/z/q/ f; [ "$(stat -c %Y f)" -gt 1000000000 ] && echo moved

### sed-write-file: sed
printf 'a\nb\na\n' > f; sed -n '/a/w out' f; cat out; sed 'r out' f > g; wc -l g; sed -s -n '$p' f g; sed -c -i s/a/c/ f 2> /dev/null; sed -E 's/(a)/<\1>/' out

### awk-print-to-files: awk
printf 'a 1\nb 2\na 3\n' > f; awk '{print $2 > $1 ".txt"}' f; cat a.txt b.txt; awk '{print >> "all"}' f f; wc -l all

### awk-read-back: awk
awk 'BEGIN { print "one" > "f"; close("f"); while ((getline line < "f") > 0) print "read " line; print "two" >> "f"; close("f"); while ((getline line < "f") > 0) print line }'; cat f

### awk-read-back-unclosed: gawk
gawk 'BEGIN { print "one" > "f"; fflush("f"); while ((getline line < "f") > 0) print "read " line; system("cat f"); print "two" > "f" }'; cat f

### gawk-in-place: gawk
printf 'a\nb\n' > f; gawk -i inplace '{ print NR, $0 }' f; cat f; gawk -i inplace -v inplace::suffix=.bak '{ print toupper($0) }' f; cat f f.bak

### gawk-append-pipe: gawk
seq 5 | gawk '{ print $1 * 2 > "even"; print $1 | "sort -r > down" } END { close("sort -r > down"); system("cat down") }'; cat even

### perl-in-place: perl
printf 'a\nb\n' > f; perl -pi -e 's/a/A/' f; cat f; perl -i.bak -ne 'print unless /b/' f; cat f; ls; perl -0777 -pi -e 's/A\n/Z/' f; cat f; echo

### perl-files: perl
perl -e 'open(F, ">", "f"); print F "one\n"; close F; open(F, ">>", "f"); print F "two\n"; close F; open(F, "+<", "f"); seek(F, 4, 0); print F "TWO"; close F; print -s "f", "\n"; rename("f", "g"); print join(" ", grep { !/^(\.|__)/ } sort glob("*")), "\n"; unlink "g"; print -e "g" ? "there" : "gone", "\n"'

### perl-unbuffered-read-back: perl
perl -e 'use IO::Handle; open(F, "+>", "f"); F->autoflush(1); print F "abc\n"; print -s F, " ", -s "f", "\n"; open(G, "<", "f"); print <G>; seek(F, 0, 0); print <F>; truncate(F, 1); print -s "f", "\n"'; cat f; echo

### perl-flock: perl
perl -e 'use Fcntl ":flock"; open(F, ">>", "f"); print flock(F, LOCK_EX|LOCK_NB) ? "got\n" : "no\n"; open(G, ">>", "f"); print flock(G, LOCK_EX|LOCK_NB) ? "got\n" : "no\n"; close F; print flock(G, LOCK_EX|LOCK_NB) ? "got\n" : "no\n"'

### perl-temp: perl
perl -MFile::Temp=tempfile -e '($h, $n) = tempfile(DIR => "."); print $h "x"; close $h; print -s $n, "\n"; rename $n, "f"'; cat f; echo; perl -MFile::Copy -e 'copy("f", "g"); move("g", "h")'; ls

### perl-dbm: perl
perl -e 'use SDBM_File; use Fcntl; tie(%h, "SDBM_File", "db", O_RDWR|O_CREAT, 0644) or die "$!"; $h{a} = 1; $h{b} = 2; print "$h{a}\n"; untie %h; tie(%h, "SDBM_File", "db", O_RDWR, 0644) or die; print join(",", map { "$_$h{$_}" } sort keys %h), "\n"'; ls

### perl-storable: perl
perl -MStorable=store,retrieve,lock_store,lock_retrieve -e 'store({a => 1}, "s"); print retrieve("s")->{a}, "\n"; lock_store([1,2], "l"); print scalar @{lock_retrieve("l")}, "\n"'; ls

### jq-in-place-idiom: jq
echo '{"a": 1}' > f.json; jq .a f.json; jq '.a = 2' f.json > tmp && mv tmp f.json; cat f.json; jq -c . f.json > g.json; jq -s 'length' f.json g.json; jq . < missing; echo $?

### jq-sponge: jq sponge
echo '{"a": 1}' > f.json; jq -c '.b = 2' f.json | sponge f.json; cat f.json; seq 3 | sponge -a f.json; cat f.json; sort -r f.json | sponge f.json; head -n 1 f.json

### jq-lines: jq
for n in 1 2 3; do echo "{\"n\":$n}"; done > l.jsonl; jq -c 'select(.n > 1)' l.jsonl > m.jsonl; cat m.jsonl; jq -s . l.jsonl > all.json; jq length all.json; jq -r '.[] | "f\(.n).txt"' all.json | xargs touch; ls

### json-built-by-appending: jq
echo '[' > list.json; echo '1,' >> list.json; echo '2' >> list.json; echo ']' >> list.json; jq -c . list.json

### miller-in-place: mlr
printf 'a,b\n1,2\n' > f.csv; mlr --icsv --ojson cat f.csv; mlr -I --csv put '$c = $a + $b' f.csv; cat f.csv; mlr --csv tee g.csv f.csv > h.csv; cmp g.csv h.csv && echo same; mlr --csv split -g a f.csv; ls

### ruby-files: ruby
ruby -e 'File.write("f", "one\n"); File.open("f", "a") { |f| f.puts "two" }; puts File.read("f"); File.open("f", "r+") { |f| f.seek(0); f.write("ONE"); f.flush; puts File.size("f"); puts File.read("f") }; File.rename("f", "g"); puts Dir.children(".").sort.reject { |n| n.start_with?("__") }'

### ruby-tempfile-pstore: ruby
ruby -rtempfile -rpstore -rfileutils -e 't = Tempfile.new("x", "."); t.write("abc"); t.flush; puts File.size(t.path); t.close; FileUtils.mv(t.path, "f"); s = PStore.new("p"); s.transaction { s[:a] = 1 }; s.transaction(true) { puts s[:a] }; File.open("f", File::RDWR) { |f| puts f.flock(File::LOCK_EX | File::LOCK_NB) }'; cat f; echo; ls

### ruby-atomic-and-csv: ruby
ruby -rcsv -rjson -e 'CSV.open("f.csv", "w") { |c| c << [1, 2]; c << ["a", "b,c"] }; p CSV.read("f.csv"); File.write("j", JSON.dump({a: 1})); p JSON.parse(File.read("j")); IO.copy_stream("j", "k"); p File.identical?("j", "j"), File.identical?("j", "k")'

### lua-files: lua5.4
lua5.4 -e 'local f = assert(io.open("f", "w")); f:write("one\n"); f:flush(); for l in io.lines("f") do print(l) end; f:close(); f = io.open("f", "a+"); f:write("two\n"); f:seek("set"); print(f:read("a")); f:close(); os.rename("f", "g"); print(os.remove("f")); print(io.open("g"):read("l"))'; ls

### php-files: php
php -r 'file_put_contents("f", "one\n"); file_put_contents("f", "two\n", FILE_APPEND | LOCK_EX); echo file_get_contents("f"); $h = fopen("g", "x"); fwrite($h, "abc"); fflush($h); clearstatcache(); echo filesize("g"), "\n"; echo @fopen("g", "x") ? "again" : "refused", "\n"; fclose($h); rename("g", "h"); $t = tempnam(".", "t"); rename($t, "i"); copy("h", "j"); touch("k", 1000000000); echo filemtime("k"), "\n"; unlink("k");'; ls

### php-sqlite: php
php -r '$d = new SQLite3("s.db"); $d->exec("create table t (a); insert into t values (1), (2)"); echo $d->querySingle("select sum(a) from t"), "\n"; $d->close();'; ls

### tcl-files: tclsh
tclsh <<'TCL'
set f [open f w+]; puts $f one; flush $f; puts [file size f]; seek $f 0; puts [read $f]; close $f
set f [open f a]; puts $f two; close $f; file rename f g; file copy g h; puts [lsort [glob {[fgh]}]]; file delete h; puts [file exists h]
TCL
cat g

### gcc-and-make: gcc make
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' > hello.c
printf 'hello: hello.o\n\tcc -o $@ $<\nhello.o: hello.c\n\tcc -c -o $@ $<\nclean:\n\trm -f hello hello.o\n' > Makefile
make; ./hello; make; touch -d 2001-01-01 hello hello.o; make -q; echo $?; make clean; ls

### gcc-temporaries: gcc
printf 'int f(void) { return 3; }\n' > a.c; gcc -save-temps -c a.c; ls; gcc -shared -fPIC -o a.so a.c; ar rc liba.a a.o; nm liba.a | grep -c ' T f'; strip a.so; objcopy a.o b.o; ls; rm -f *.o *.so *.a *.i *.s

### make-rules: make
printf 'all: a b\na:\n\techo a > $@\nb: a\n\tcp a b\n.DELETE_ON_ERROR:\nbad:\n\techo half > $@; false\n' > Makefile; make -s all; cat b; make -s bad 2> /dev/null; echo $?; ls; make -s -B -j4 all; make -n all

### run-a-script
printf '#!/bin/sh\necho "ran $1"\n' > run; chmod +x run; ./run it; sh run it; mv run run2; ./run2 it; printf '#!/bin/sh\necho other\n' > run2; ./run2; chmod -x run2; ./run2; echo $?

### run-a-program-copied-in
cp /bin/echo e; ./e hello; cp e f; ./f hello; stat -c %a e; rm e; ./f again

### script-that-rewrites-itself
printf 'echo first\nprintf "echo second\\n" > other\n. ./other\necho third >> s.log\n' > s; . ./s; bash s; cat s.log

### m4-and-bc: bc
printf 'define(a)\n2^100\n' | tail -n 1 > f; bc f < /dev/null > g; cat g; echo 'x=3; x*2' | bc >> g; cat g

### dialog-with-coprocess
coproc CAT { cat > f; }; echo hello >&"${CAT[1]}"; exec {CAT[1]}>&-; wait "$CAT_PID" 2> /dev/null; cat f

### iconv-and-dos
printf 'gr\xfc\xdf\r\n' > f; iconv -f latin1 -t utf8 f -o g; cat g; sed -i 's/\r$//' g; od -c g | head -n 1; iconv -f utf8 -t utf16 g > h; stat -c %s h

### envsubst-like
cat > t <<'T'
Hello $NAME
T
NAME=World; eval "echo \"$(cat t)\"" > o; cat o; printf '%s\n' "${NAME@Q}" >> o; cat o
