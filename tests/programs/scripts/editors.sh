# Editors, and the ways in which editors save.

### vim-edit: vim
printf 'one\ntwo\n' > f; vim -es -u NONE -c '%s/one/ONE/' -c 'wq' f; cat f; ls -A

### vim-new-file: vim
vim -es -u NONE -c 'normal ihello' -c wq f; cat f; vim -es -u NONE -c 'normal Gonext' -c 'w' -c 'normal Golast' -c 'wq' f; cat f; ls -A

### vim-backup: vim
echo old > f; vim -es -u NONE -c 'set backup backupdir=.' -c '%s/old/new/' -c wq f; cat f f~; ls -A

### vim-backupcopy: vim
for way in yes no auto; do echo old > f-$way; chmod 640 f-$way; vim -es -u NONE -c "set backupcopy=$way" -c '%s/old/new/' -c wq f-$way; cat f-$way; stat -c %a f-$way; done; ls -A

### vim-swap-file: vim
echo a > f; vim -es -u NONE -n -c 'set swapfile directory=.' -c 'edit f' -c '%s/a/b/' -c 'preserve' -c '!ls -A > names' -c wq; cat names; cat f; ls -A

### vim-swap-warns: vim
echo a > f
vim -es -u NONE -c 'set directory=.' -c 'edit f' -c 'call setline(1, "edited")' -c 'preserve' -c '!ls -A' -c '!vim -es -u NONE -c "set directory=." -c "redir! > seen" -c "autocmd SwapExists * let v:swapchoice = \"q\" | call writefile([v:swapname], \"swaps\")" -c "silent edit f" -c "qa!" < /dev/null' -c 'qa!' < /dev/null
cat swaps; rm -f seen; ls -A

### vim-undo-file: vim
echo a > f; vim -es -u NONE -c 'set undofile undodir=.' -c '%s/a/b/' -c wq f; ls -A; vim -es -u NONE -c 'set undofile undodir=.' -c 'edit f' -c undo -c wq; cat f; rm -f .f.un~

### vim-write-part: vim
seq 5 > f; vim -es -u NONE -c '2,3w! part' -c '4w >> part' -c 'saveas other' -c 'q!' f; cat part; cmp f other && echo same; vim -es -u NONE -c 'r !echo in' -c wq f; cat f

### vim-many-files: vim
for n in 1 2 3; do echo x > f$n; done; vim -es -u NONE -c 'argdo %s/x/y/ | update' -c qa f1 f2 f3; cat f1 f2 f3; ls -A

### vim-read-only: vim
echo a > f; chmod 444 f; vim -es -u NONE -c '%s/a/b/' -c 'wq!' f; cat f; stat -c %a f

### vim-grows: vim
seq 3000 > f; vim -es -u NONE -c 'normal Gyggp' -c wq f; wc -l f; vim -es -u NONE -c '10,$d' -c wq f; wc -l f; cat f | tail -n 1

### emacs-edit: emacs
printf 'one\n' > f; emacs -Q --batch f --eval '(progn (goto-char (point-max)) (insert "two\n") (save-buffer))' 2> /dev/null; cat f; ls -A; emacs -Q --batch --eval '(write-region "x" nil "g")' 2> /dev/null; cat g

### emacs-backups: emacs
echo a > f; emacs -Q --batch f --eval '(progn (setq version-control t backup-by-copying nil) (insert "b\n") (save-buffer) (insert "c\n") (save-buffer))' 2> /dev/null; ls -A; cat f; emacs -Q --batch f --eval '(progn (setq backup-by-copying t) (insert "z") (basic-save-buffer))' 2> /dev/null; ls -A

### emacs-precious: emacs
echo a > f; emacs -Q --batch f --eval '(progn (setq file-precious-flag t) (insert "b") (save-buffer))' 2> /dev/null; cat f; ls -A; emacs -Q --batch f --eval '(progn (insert "q") (do-auto-save))' 2> /dev/null; ls -A

### emacs-files: emacs
echo a > f; emacs -Q --batch --eval '(progn (copy-file "f" "g") (rename-file "g" "h") (append-to-file "more\n" nil "h") (delete-file "f") (message "%s" (file-attribute-size (file-attributes "h"))) (with-temp-file "t" (insert "tmp")) (set-file-modes "t" #o600))' 2>&1; ls; cat h; stat -c %a t

### nano-edit: nano
printf 'one\n' > f; type_keys 'hello \017\r\030' 'Read 1 line' nano -I f; echo $?; cat f; ls -A

### nano-backup: nano
printf 'one\n' > f; type_keys 'new \017\r\030' 'Read 1 line' nano -I -B f; echo $?; cat f f~; ls -A

### ed-global: ed
seq 5 > f; printf 'g/[24]/d\n,n\nw\nq\n' | ed -s f; cat f; printf '1i\nzero\n.\nw\n1d\nwq\n' | ed -s f; cat f

### ex-script: vim
seq 5 > f; ex -s -u NONE f <<< $'2d\n$a\nlast\n.\nwq'; cat f

### save-like-vscode: node
echo old > f; node -e 'const fs = require("fs"); const d = fs.openSync("f", "r+"); fs.ftruncateSync(d, 0); fs.writeSync(d, "new\n", 0); fs.fdatasyncSync(d); fs.closeSync(d); process.stdout.write(fs.readFileSync("f"))'; ls -A

### save-like-gedit
echo old > f; python3 - <<'PY'
import os, tempfile
st = os.stat("f")
fd, name = tempfile.mkstemp(prefix=".goutputstream-", dir=".")
os.fchmod(fd, st.st_mode & 0o7777); os.fchown(fd, st.st_uid, st.st_gid)
os.write(fd, b"new\n"); os.fsync(fd); os.close(fd); os.rename(name, "f")
print(open("f").read(), end="")
PY
ls -A

### save-like-kate
echo old > f; python3 - <<'PY'
import os
fd = os.open("f.part", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
os.write(fd, b"new\n"); os.fchmod(fd, 0o644); os.fsync(fd)
os.rename("f.part", "f"); os.write(fd, b"after\n"); os.close(fd)
PY
cat f; ls -A; stat -c %a f

### save-like-sublime
echo old > f; python3 - <<'PY'
import os
st = os.stat("f")
open(".sublime-tmp", "w").write("new\n"); os.chmod(".sublime-tmp", st.st_mode & 0o7777); os.replace(".sublime-tmp", "f")
PY
cat f; ls -A

### save-with-lock-file
set -C; : > f.lock && echo locked; : > f.lock || echo busy; echo x > f; mv f.lock f.done; : > f.lock && echo again; rm f.lock f.done; ls -A

### save-with-directory-fsync
python3 - <<'PY'
import os
for n in range(3):
    with open("f.tmp", "w") as f:
        f.write(f"{n}\n"); f.flush(); os.fsync(f.fileno())
    os.replace("f.tmp", "f")
    d = os.open(".", os.O_RDONLY | os.O_DIRECTORY); os.fsync(d); os.close(d)
    print(open("f").read(), end="")
PY
ls -A
