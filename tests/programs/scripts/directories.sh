# The directory itself, and another beside it.

### directory-read-as-a-file
cat .; echo $?; cp . x; echo $?; wc -c < .; dd if=. of=y 2> /dev/null; echo $?; echo x > .; echo $?; ls

### directory-removed-or-moved-onto-itself
touch f; rm .; echo $?; rmdir .; echo $?; rmdir "$PWD" 2> /dev/null || echo 'not empty'; mv . x 2> /dev/null || echo refused; mkdir . 2> /dev/null || echo exists; mkdir -p . && echo fine; mkdir -p "$PWD" && echo fine

### directory-working-one-is-moved
cd "$SECOND"; mv "$SECOND" "$SECOND-moved"; echo x > f; cat f; ls; ls "$SECOND-moved"; mv "$SECOND-moved" "$SECOND"; cat f; touch g; ls

### directory-removed-with-open-file
exec 3> "$SECOND/f"; echo one >&3; rm -r "$SECOND"; echo two >&3; exec 3>&-; [ -e "$SECOND" ] || echo gone

### directory-made-again
rm -r "$SECOND"; mkdir "$SECOND"; made=$?; echo $made; [ $made != 0 ] || echo x > "$SECOND/f"; ls "$SECOND/f" | sed 's|.*/||'; mkdir "$SECOND"; echo $?; mkdir -p "$SECOND"; echo $?; mkdir -m 700 "$SECOND-b"; stat -c %a "$SECOND-b"; rm -r "$SECOND-b"

### directory-not-empty
echo x > "$SECOND/f"; rmdir "$SECOND" 2> /dev/null; echo $?; rm "$SECOND" 2> /dev/null; echo $?; ls "$SECOND/f" | sed 's|.*/||'; mv f "$SECOND" 2> /dev/null; echo $?; mv "$SECOND/f" .; ls

### directory-renamed
echo x > "$SECOND/f"; mv "$SECOND" "$SECOND-b"; cat "$SECOND-b/f"; ls "$SECOND" 2> /dev/null; echo $?; mv "$SECOND-b" "$SECOND"; cat "$SECOND/f"; mv -T "$SECOND" . 2> /dev/null; echo $?

### directory-with-open-file-renamed
exec 3> "$SECOND/f"; echo one >&3; mv "$SECOND" "$SECOND-b"; echo two >&3; cat "$SECOND-b/f"; exec 3>&-; cat "$SECOND-b/f"; mv "$SECOND-b" "$SECOND"; cat "$SECOND/f"

### directory-file-renamed-onto-directory
touch f; mv -T f "$SECOND" 2> /dev/null; echo $?; mv -T "$SECOND" f 2> /dev/null; echo $?; ls; [ -d "$SECOND" ] && echo there

### directory-link-count
[ "$(stat -c %h .)" -ge 1 ] && echo sane; find "$SECOND" -maxdepth 0 -empty; find . -type d | wc -l; find .. -maxdepth 1 -type d -name "${PWD##*/}" 2> /dev/null | wc -l

### directory-searched-upwards
ls -d ../"${PWD##*/}" | sed 's|.*/||'; cd ..; cd - > /dev/null; pwd | sed 's|.*/||'; realpath . | sed 's|.*/||'; [ . -ef "../${PWD##*/}" ] && echo same; cd "$SECOND/../${PWD##*/}" && ls
