# Names of every kind that a file system takes.

### names-with-signs
for n in '100%.txt' 'f%20o.html' '@handle.json' 'a b' 'q?x=1&y=2' '#h' 'a+b' "it's" '"q"' '[x]' '{y}' '$z' 'a;b' 'a|b' 'a\b' '~t' '!x' 'x*' '(p)' '<l>' '^c' '`d`' 'a=b' 'a,b' 'a:b'; do echo "$n" > "$n" && cat "$n"; done; ls; rm -- [a-z]*; ls | wc -l

### names-percent
for n in '%' '%%' '%41' '%2f' '%zz' '50%25' '%E4' '%e4%bd%a0' 'a%' '%25' '100%'; do echo "$n" > "$n"; done; ls; for n in %*; do cat "$n"; done; mv %41 A; ls; [ -e %61 ] || echo none

### names-of-sites
for n in 'https:--example.com-' 'index.html?page=1' 'a%20b%2520c' 'x.tar.gz' 'file.JSON' 'caf%C3%A9' 'u@host' '1' '-' '--' '-rf' '...' '..x' '.hidden' 'a.' ' lead' 'trail ' ; do echo x > "./$n" && stat -c '%n %s' "./$n"; done; ls -A; rm -- ./[!_]*; ls -A

### names-at-signs
for n in @ @@ @handle @purger @statuses a@b @x.json; do echo "$n" > "$n"; done; ls; cat @*; mv @ at; rm @@; ls

### names-newline-and-control
printf x > $'a\nb'; printf y > $'t\tb'; printf z > $'e\033c'; printf w > $'\001'; ls -b; find . -name $'a\nb' -print0 | od -c | head -n 1; rm $'a\nb'; ls -b

### names-not-ascii
for n in 'naïve' '日本語.txt' 'ключ' '🦀' 'é' $'e\u0301' 'Ω' '‮rtl' 'ß' 'İ'; do echo "$n" > "$n" && cat "$n"; done; ls; [ 'é' -ef $'e\u0301' ] || echo 'not the same'; mv 日本語.txt 中文.txt; ls *.txt; rm ключ

### names-case
echo a > File; echo b > file; echo c > FILE; cat File file FILE; ls

### names-leading-dash
echo x > -n; cat ./-n; mv -- -n --version; cat -- --version; rm -- --version; ls

### names-dots
echo a > ...; echo b > .a; echo c > ..b; echo d > a..; ls -A; ls; cat ... .a; cat ./.; echo $?; : > .; echo $?; : > ..; echo $?

### names-200-bytes
n=$(printf 'n%.0s' $(seq 200)); echo x > "$n"; cat "$n"; mv "$n" "${n}m"; ls | tail -n 1 | wc -c; rm "${n}m"

### names-237-bytes
n=$(printf 'n%.0s' $(seq 237)); echo x > "$n" && cat "$n"; ls | tail -n 1 | wc -c

### names-255-bytes
n=$(printf 'n%.0s' $(seq 255)); (echo x > "$n") 2> /dev/null; echo $?; cat "$n" 2> /dev/null | wc -c; ls | wc -l; rm -f "$n"

### names-256-bytes
n=$(printf 'n%.0s' $(seq 256)); (echo x > "$n") 2> /dev/null; echo $?; cat "$n" 2>&1 | sed 's/.*: //'; [ -e "$n" ] || echo none; touch "$n" 2>&1 | sed 's/.*: //'; rm "$n" 2>&1 | sed 's/.*: //'; mv missing "$n" 2>&1 | sed 's/.*: //'; touch f; mv f "$n" 2>&1 | sed 's/.*: //'; ls

### names-long-not-ascii
n=$(printf '界%.0s' $(seq 20)); echo x > "$n"; cat "$n"; ls; n=$(printf '界%.0s' $(seq 85)); (echo x > "$n") 2> /dev/null; echo $?; rm -f "$n"

### names-not-utf-8
(printf x > $'\xff') 2> /dev/null; echo $?; (printf y > $'a\xe4b') 2> /dev/null; echo $?; ls | wc -l; rm -f $'\xff' $'a\xe4b'

### names-many-dots-and-slashes
echo x > a; cat .//a ././a ./../"${PWD##*/}"/a; cat a/; echo $?; cat a/b; echo $?; ls -d .//; stat -c %n ./a

### names-like-metadata
echo x > metadata; echo y > __metadata__; echo z > a.__metadata__; echo w > __metadata__.jsonx; echo v > x__metadata__.json; ls; cat __metadata__ x__metadata__.json; rm x__metadata__.json; ls

### names-like-temporaries
for n in f~ '#f#' .f.swp f.tmp f.bak .f.un~ f.lock tmpabc .DS_Store Thumbs.db .nfs0001 .git~ f.part f.crdownload '~$f.docx' .fuse_hidden0001; do echo x > "$n"; done; ls -A; rm -f -- *~ .*~ '#'*; ls -A

### names-like-input
echo '{}' > INPUT.json; cat INPUT.json; echo '{"a":1}' > INPUT.json; cat INPUT.json; echo t > OUTPUT; cat OUTPUT; mv INPUT.json in.json; ls; echo x > input; cat input

### names-with-extensions
for n in a.json a.txt a.html a.png a.jpg a.csv a.xml a.bin a.js a.md a.pdf a.gz a.webp a.svg a.mp4 a; do echo "$n" > "$n"; done; ls; cat a.*; cat a

### names-globbing
touch a1 a2 b1 '[a]' '*'; ls a?; ls -d '*'; ls [!a]*; shopt -s nullglob; echo c*; echo {a,b}1; shopt -s extglob; echo !(a*|__*)

### names-completion-and-find
touch one two three; compgen -f t | sort; find . -name 't*' | sort; find . -regex '.*/o.*'; find . -iname 'ONE'; locate -d /dev/null one 2> /dev/null; ls -1 | grep -c .

### names-spaces-in-loops
touch 'a b' 'c  d' ' e'; for f in *; do [ -e "$f" ] && echo "<$f>"; done; find . -name '* *' -print0 | xargs -0 -n1 | sort; ls -Q; rm *' '*; ls

### names-renamed-to-odd-ones
echo x > f; for n in '100%' '@a' 'a b' $'n\nl' '%2F' '%40purge' 'é' '.x'; do mv f "$n" && mv "$n" f || ls -b; done; cat f; ls -A

### names-percent-codes
for n in '%2F' 'a%2Fb' '%252F' '%00' '%2E' '%2E%2E' '%40purge' '%5F_metadata__.json'; do echo "$n" > "$n" 2> /dev/null; cat "$n"; done 2> /dev/null; ls
