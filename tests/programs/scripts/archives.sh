# Archives and compression.

### tar-round: tar
echo a > a; echo b > b; chmod 600 a; touch -d 2001-01-01 a b; tar cf "$OUT/t.tar" a b; rm a b; tar xf "$OUT/t.tar"; ls; stat -c '%n %a %y' a b; cat a b

### tar-idle-directory: tar
echo a > a; echo b > b; cat a b > /dev/null; tar cf "$OUT/t.tar" .; echo $?; tar tf "$OUT/t.tar" | sort

### tar-here: tar
echo a > a; echo b > b; touch -d 2001-01-01 a b; tar czf t.tgz a b; tar tzf t.tgz; rm a b; tar xzf t.tgz; cat a b; tar cJf t.txz a; tar tf t.txz; tar --zstd -cf t.tzst b; tar tf t.tzst; tar cjf t.tbz a; tar xjOf t.tbz
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### tar-append-update: tar
echo a > a; echo b > b; tar cf t.tar a; tar rf t.tar b; tar tf t.tar; echo a2 > a; touch -d 2030-01-01 a; tar uf t.tar a; tar tf t.tar; tar --delete -f t.tar b; tar tf t.tar; tar df t.tar a; echo $?
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### tar-overwrite: tar
echo new > f; tar cf "$OUT/t.tar" f; echo old > f; tar xf "$OUT/t.tar"; cat f; echo kept > f; tar xkf "$OUT/t.tar" 2> err; echo $?; cat f; tar x --overwrite -f "$OUT/t.tar"; cat f; tar x --keep-newer-files -f "$OUT/t.tar" 2> err; rm err

### tar-stream: tar
seq 1000 > f; touch -d 2001-01-01 f; tar c f | tar xO | cmp - f && echo same; tar c f | (cd "$SECOND" && tar x); cmp f "$SECOND/f" && echo same; tar cf - f | gzip > f.tgz; tar xzOf f.tgz | wc -l
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### tar-remove-files: tar
echo a > a; echo b > b; tar cf t.tar --remove-files a b; ls; tar xf t.tar; ls; tar xf t.tar --to-stdout b
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### tar-incremental: tar
echo a > a; tar cf "$OUT/0.tar" -g "$OUT/snar" . ; echo b > b; tar cf "$OUT/1.tar" -g "$OUT/snar" .; tar tf "$OUT/1.tar" | grep -v metadata | sort

### tar-many-files: tar
mkdir "$OUT/s"; for n in $(seq 150); do echo "$n" > "$OUT/s/f$n"; done; tar c -C "$OUT/s" . | tar x 2> /dev/null; ls | wc -l; cat f* | md5sum

### zip-round: zip unzip
echo a > a; seq 500 > b; zip -q z.zip a b; unzip -l z.zip | awk '{print $1, $4}'; rm a; unzip -q -o z.zip; cat a; unzip -p z.zip b | tail -n 1; unzip -tq z.zip
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### zip-update: zip unzip
echo a > a; zip -q z.zip a; echo b > b; zip -q z.zip b; zip -qd z.zip a; unzip -l z.zip | awk '{print $4}'; echo b2 > b; touch -d 2030-01-01 b; zip -qf z.zip b; unzip -p z.zip b; zip -qm z.zip b; ls
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### zip-stream: zip unzip
echo a | zip -q z.zip -; unzip -p z.zip; zip -q - z.zip > y.zip; unzip -l y.zip | tail -n 1 | awk '{print $2}'; ls
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### unzip-over: zip unzip
echo new > f; zip -q "$OUT/z.zip" f; echo old > f; unzip -q -n "$OUT/z.zip"; cat f; unzip -q -o "$OUT/z.zip"; cat f; unzip -q -o "$OUT/z.zip" -d "$SECOND"; cat "$SECOND/f"
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### gzip-in-place: gzip
seq 100 > f; gzip f; ls; gzip -l f.gz | awk 'NR==2{print $2}'; gunzip f.gz; ls; gzip -k f; gzip -c f > g.gz; zcat f.gz | cmp - f && echo same; zgrep -c 7 g.gz; gzip -t f.gz && echo whole
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### gzip-keeps-time: gzip
seq 10 > f; touch -d 2001-01-01 f; chmod 640 f; gzip f; stat -c '%a %y' f.gz; gunzip f.gz; stat -c '%a %y' f
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### gzip-append: gzip
echo a | gzip -n > f.gz; echo b | gzip -n >> f.gz; zcat f.gz; gzip f.gz; echo $?; gzip -nf < f.gz > g; zcat g | zcat
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### bzip2-in-place: bzip2
seq 100 > f; bzip2 f; ls; bzip2 -t f.bz2; bunzip2 -k f.bz2; ls; bzcat f.bz2 | cmp - f && echo same; bzip2 -f f; ls
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### xz-in-place: xz
seq 100 > f; touch -d 2001-01-01 f; xz f; ls; stat -c %y f.xz; unxz f.xz; stat -c %y f; xz -k f; xz -t f.xz && echo whole; xz -f f; ls; xzcat f.xz | tail -n 1
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### zstd-in-place: zstd
seq 100 > f; zstd -q f; ls; zstd -q --rm f -o g.zst; ls; zstd -qd f.zst; cat f | md5sum; zstd -q -f f; zstd -qt f.zst && echo whole; unzstd -q -c g.zst | tail -n 1; zstd -q --patch-from=f f -o p.zst 2> /dev/null; ls
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### lz4-and-brotli: lz4 brotli
seq 100 > f; lz4 -q f f.lz4; lz4 -qd f.lz4 g; cmp f g && echo same; brotli f; brotli -d f.br -o h; cmp f h && echo same; brotli --rm f; ls

### pigz-in-place: pigz
seq 50000 > f; pigz f; ls; pigz -d f.gz; md5sum f; pigz -k -p 2 f; pigz -l f.gz | awk 'NR==2{print $2}'
rm -f *.tar *.zip *.gz *.tgz *.tbz *.txz *.tzst *.zst

### cpio-round: cpio
echo a > a; echo b > b; ls a b | cpio -o > c.cpio 2> /dev/null; rm a b; cpio -i < c.cpio 2> /dev/null; cat a b; ls a b | cpio -pd "$SECOND" 2> /dev/null; cat "$SECOND/a"; cpio -it < c.cpio 2> /dev/null; rm c.cpio

### ar-archive: ar
echo a > a; echo b > b; ar rc l.a a b; ar t l.a; ar d l.a a; ar t l.a; ar p l.a b; ar r l.a a 2> /dev/null; ar t l.a; ar x l.a; ls

### openssl-files: openssl
echo text > f; openssl dgst -sha256 f; openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in f -out f.enc; openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x -in f.enc -out g; cmp f g && echo same; rm f.enc; openssl base64 -in f -out f.b64; cat f.b64

### openssl-keys: openssl
openssl genpkey -algorithm ed25519 -out key.pem && stat -c '%a' key.pem; openssl pkey -in key.pem -pubout -out pub.pem; head -n 1 pub.pem; openssl req -new -x509 -key key.pem -subj /CN=x -days 1 -out cert.pem; openssl x509 -in cert.pem -noout -subject; rm *.pem; ls

### split-and-join-archive: tar
seq 2000 > f; tar cz f | split -b 1000 - part.; cat part.* | tar xzO | cmp - f && echo same; rm part.*; ls
