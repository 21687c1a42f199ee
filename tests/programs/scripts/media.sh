# The network, pictures and films.

### curl-download: curl
mkdir "$OUT/www"; seq 1000 > "$OUT/www/f"; serve "$OUT/www"; curl -s "$URL/f" -o f; cmp f "$OUT/www/f" && echo same; curl -sO "$URL/f"; curl -s "$URL/f" > g; cmp f g && echo same; curl -sf "$URL/missing" -o h; echo $?; ls

### curl-resume-and-time: curl
mkdir "$OUT/www"; seq 1000 > "$OUT/www/f"; touch -d 2001-01-01 "$OUT/www/f"; serve "$OUT/www"; curl -sR "$URL/f" -o f; stat -c %y f; curl -s -z f "$URL/f" -o g -w '%{http_code}\n'; curl -s --remove-on-error --fail "$URL/x" -o x; ls; curl -s -D head "$URL/f" -o /dev/null; head -n 1 head; rm head; curl -s --create-dirs --output-dir . -o i "$URL/f"; cmp f i && echo same

### curl-cookies-and-config: curl
mkdir "$OUT/www"; echo x > "$OUT/www/f"; serve "$OUT/www"; curl -s -c jar "$URL/f"; wc -l < jar; echo "url = $URL/f" > conf; curl -s -K conf; curl -s -T conf "$URL/f" -o /dev/null -w '%{http_code}\n'; rm conf

### wget-download: wget
mkdir "$OUT/www"; seq 1000 > "$OUT/www/f"; touch -d 2001-01-01 "$OUT/www/f"; serve "$OUT/www"; wget -q "$URL/f"; stat -c '%y %s' f; wget -q "$URL/f"; ls; wget -q -N "$URL/f"; ls; wget -q -O o "$URL/f"; cmp f o && echo same; wget -q -c "$URL/f"; wget -q -nd -P . "$URL/missing"; echo $?

### wget-names: wget
mkdir "$OUT/www"; echo a > "$OUT/www/a b.html"; echo c > "$OUT/www/100%.txt"; echo d > "$OUT/www/@x.json"; serve "$OUT/www"; wget -q "$URL/a%20b.html" "$URL/100%25.txt" "$URL/@x.json" "$URL/@x.json?q=1&r=2"; ls; cat 100%.txt

### wget-recursive-flat: wget
mkdir "$OUT/www"; echo '<a href="b.html">b</a>' > "$OUT/www/index.html"; echo '<a href="c.txt">c</a>' > "$OUT/www/b.html"; echo c > "$OUT/www/c.txt"; serve "$OUT/www"; wget -q -r -nd -e robots=off "$URL/"; ls; cat c.txt; wget -q -i - -O all <<< "$URL/c.txt
$URL/b.html"; cat all

### python-download
mkdir "$OUT/www"; seq 500 > "$OUT/www/f"; serve "$OUT/www"; python3 -c '
import sys, urllib.request, shutil
urllib.request.urlretrieve(sys.argv[1] + "/f", "f")
with urllib.request.urlopen(sys.argv[1] + "/f") as r, open("g", "wb") as o: shutil.copyfileobj(r, o)' "$URL"; cmp f g && wc -l g

### serve-from-here: curl
echo hello > f.html; touch -d 2001-01-01 f.html; serve .; curl -s "$URL/f.html"; curl -sI "$URL/f.html" | grep -i 'content-\|last' | tr -d '\r'; echo changed > f.html; curl -s "$URL/f.html"

### ffmpeg-picture-and-sound: ffmpeg
ffmpeg -v error -y -threads 1 -f lavfi -i testsrc=size=64x48:rate=5:duration=1 t.png 2> /dev/null < /dev/null; ffmpeg -v error -y -threads 1 -f lavfi -i sine=duration=0.3 t.wav < /dev/null; ffprobe -v error -show_entries format=format_name,duration -of csv=p=0 t.wav; ffmpeg -v error -i t.wav t.flac < /dev/null; ffprobe -v error -show_entries format=format_name -of csv=p=0 t.flac; ls; rm t.png t.wav t.flac

### ffmpeg-mp4-faststart: ffmpeg
ffmpeg -v error -f lavfi -i testsrc=size=64x48:rate=5:duration=1 -c:v mpeg4 -movflags +faststart v.mp4 < /dev/null; ffprobe -v error -show_entries format=format_name,duration -of csv=p=0 v.mp4; ffmpeg -v error -i v.mp4 -c copy w.mkv < /dev/null; ffprobe -v error -show_entries stream=codec_name -of csv=p=0 w.mkv; ls; rm v.mp4 w.mkv

### ffmpeg-segments: ffmpeg
ffmpeg -v error -f lavfi -i testsrc=size=64x48:rate=5:duration=3 -c:v mpeg4 -g 5 -f segment -segment_time 1 -segment_list list.csv s%d.ts < /dev/null; ls; wc -l list.csv; ffmpeg -v error -f lavfi -i testsrc=size=32x32:rate=2:duration=2 frame-%02d.jpg < /dev/null; ls *.jpg; rm *.ts *.jpg list.csv

### ffmpeg-hls: ffmpeg
ffmpeg -v error -f lavfi -i testsrc=size=64x48:rate=5:duration=3 -c:v mpeg4 -g 5 -f hls -hls_time 1 -hls_list_size 0 out.m3u8 < /dev/null; ls; grep -c EXTINF out.m3u8; rm out*

### imagemagick-convert: convert
convert -size 20x10 xc:red a.png; identify a.png | awk '{print $1, $2, $3}'; convert a.png b.jpg; convert a.png -resize 50% a.png; identify -format '%wx%h\n' a.png; mogrify -flip b.jpg; identify -format '%m\n' b.jpg; compare a.png a.png null: ; ls; rm *.png *.jpg

### exiftool-in-place: exiftool convert
convert -size 20x10 xc:red a.jpg; exiftool -q -Artist=Me a.jpg; ls; exiftool -q -P -overwrite_original_in_place -Title=T a.jpg; exiftool -s3 -Title -Artist a.jpg; ls; rm a.jpg*

### rclone-copy: rclone
mkdir "$OUT/s"; echo a > "$OUT/s/a"; touch -d 2001-01-01 "$OUT/s/a"; export RCLONE_CONFIG=/dev/null; rclone copy "$OUT/s" . 2> /dev/null; cat a; stat -c %y a; echo b > b; rclone copyto b c 2> /dev/null; cat c; rclone moveto c d 2> /dev/null; rclone lsf . | sort; rclone sync --exclude __metadata__.json . "$OUT/t" 2> /dev/null; ls "$OUT/t"; rclone check --exclude __metadata__.json . "$OUT/t" 2> /dev/null; echo $?

### git-clone-not-here: git
git init -q "$OUT/repo"; cd "$OUT/repo"; echo a > a; git add a; git -c user.name=n -c user.email=e@x commit -qm one; cd - > /dev/null; git --git-dir="$OUT/repo/.git" --work-tree=. checkout -f -q master -- a 2> /dev/null || git --git-dir="$OUT/repo/.git" --work-tree=. checkout -f -q HEAD -- a; cat a
