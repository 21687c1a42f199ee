# Modes, owners, times and extended attributes.

### chmod-numbers
touch f; for m in 600 644 755 444 000 777 640; do chmod $m f; stat -c %a f; done; chmod 644 f

### chmod-letters
touch f; chmod u+x f; stat -c %A f; chmod go-r f; stat -c %A f; chmod a=rw f; stat -c %A f; chmod -v o-w f; touch g; chmod --reference=f g; stat -c %a g

### chmod-set-id
touch f; chmod 4755 f; stat -c %a f; chmod 2755 f; stat -c %a f; chmod 6711 f; stat -c %A f; chmod u-s f; stat -c %a f; chmod 1644 f; stat -c %a f

### chmod-set-id-cleared-by-chown
touch f; chmod 6755 f; chown "$(id -u):$(id -g)" f; stat -c %a f; chmod 2644 f; chown :"$(id -g)" f; stat -c %a f

### chmod-kept-by-rewrite
echo x > f; chmod 755 f; echo y > f; stat -c %a f; echo z >> f; stat -c %a f; cp "$OUT/../stdout" f 2> /dev/null; stat -c %a f; chmod 600 f; printf new | tee f > /dev/null; stat -c %a f

### chmod-while-open
exec 3> f; chmod 600 f; echo x >&3; exec 3>&-; stat -c %a f; exec 3>> f; echo y >&3; chmod 640 f; stat -c %a f; exec 3>&-; stat -c %a f; cat f

### chmod-then-touch-while-open
exec 3> f; echo x >&3; touch -d 2001-01-01 f; stat -c %y f; exec 3>&-; stat -c %y f

### chmod-missing
chmod 600 missing; echo $?; chmod 999 f; echo $?; chown 0 missing; echo $?

### umask-shapes
for m in 022 077 002 000 177; do ( umask $m; echo x > f$m; touch g$m; cp f$m h$m; stat -c '%n %a' f$m g$m h$m ); done

### mode-of-directory
stat -c '%A %F' .; chmod 700 .; stat -c %a .; touch f; ls; chmod 755 .; stat -c %a .

### directory-set-group-id
chmod 2775 .; stat -c %a .; touch f; echo x > g; stat -c %a f g; [ "$(stat -c %g f)" = "$(stat -c %g .)" ] && echo inherited; chmod g-s .; stat -c %a .

### directory-sticky
chmod 1777 .; stat -c %A .; touch f; rm f; chmod 755 .

### chown-to-oneself
echo x > f; chown "$(id -u):$(id -g)" f; echo $?; chown -v "$(id -u)" f | wc -l; chgrp "$(id -g)" f; stat -c '%u %g' f; chown --reference=. f; stat -c %u f

### chown-to-others
echo x > f; chown 1234:2345 f; echo $?; stat -c '%u %g' f; cat f; chown 0:0 f 2> /dev/null; stat -c '%u %g' f

### chown-then-rewrite
echo x > f; chown 1234:2345 f 2> /dev/null; echo y > f; stat -c '%u %g' f; echo z >> f; stat -c '%u %g' f; sed -i s/y/q/ f; stat -c '%u %g' f; touch f; cat f

### chown-while-open
exec 3> f; echo x >&3; chown 1234:2345 f 2> /dev/null; exec 3>&-; stat -c '%u %g' f; cat f

### chown-keeps-mode
touch f; chmod 640 f; chown 1:1 f 2> /dev/null; stat -c %a f; chmod 755 f 2> /dev/null; stat -c '%a' f

### chown-directory
chown "$(id -u):$(id -g)" .; echo $?; stat -c '%u' .; touch f; stat -c %u f

### times-of-a-rewrite
touch -d 2001-01-01 f; echo x >> f; [ "$(stat -c %Y f)" -gt 1000000000 ] && echo moved; touch -d 2001-01-01 f; cat f > /dev/null; stat -c %y f; chmod 600 f; stat -c %y f; mv f g; stat -c %y g; : >> g; stat -c %y g

### times-change-time
touch -d 2001-01-01 f; [ "$(stat -c %Z f)" -gt 1000000000 ] && echo now; c=$(stat -c %z f); sleep 0.02; chmod 600 f; [ "$(stat -c %z f)" != "$c" ] && echo moved; c=$(stat -c %z f); sleep 0.02; echo x > f; [ "$(stat -c %z f)" != "$c" ] && echo moved

### times-empty-write
echo abc > f; touch -d 2001-01-01 f; exec 3<> f; exec 3>&-; stat -c %y f; exec 3>> f; exec 3>&-; stat -c %y f; printf '' >> f; stat -c %y f; true > f; [ "$(stat -c %Y f)" -gt 1000000000 ] && echo moved

### times-nanoseconds
touch -d '2001-01-01 00:00:00.123456789' f; stat -c %y f; cp -p f g; stat -c %y g; [ f -nt g ] || [ g -nt f ] || echo same; touch -d @1.5 f; stat -c %.9Y f

### times-in-order
for n in 1 2 3 4 5; do echo x > f$n; sleep 0.02; done; ls -t f*; ls -tr f* | head -n 1; find . -newer f3 -name 'f*' | sort

### access-time-set
echo x > f; touch -a -d 2001-01-01 f; stat -c %x f; touch -a -d 2011-01-01 f; stat -c %x f

### getfattr-none
echo x > f; getfattr f; getfattr -n user.missing f; echo $?; setfattr -x user.missing f; echo $?

### setfattr-mime-type: setfattr
echo x > f; setfattr -n user.mime_type -v text/x-test f; getfattr --only-values -n user.mime_type f; echo; cp -a f g; getfattr --only-values -n user.mime_type g; echo; mv g h; getfattr --only-values -n user.mime_type h; echo; sed -i s/x/y/ h; cat h; setfattr -n user.mime_type -v text/plain h; getfattr --only-values -n user.mime_type h; echo

### setfattr-kinds: setfattr
echo x > f; setfattr -n trusted.x -v 1 f 2> /dev/null; getfattr -n user.none f 2>&1 | sed 's/.*: //'; setfattr -n nonsense -v 1 f; echo $?; setfattr -n system.x -v 1 f; echo $?

### acl-commands: getfacl
touch f; getfacl -c f; setfacl -m u:1234:r f 2> /dev/null; chmod 640 f; stat -c %a f

### ls-long
echo hello > f; chmod 640 f; touch -d 2001-02-03 f; ls -ln --time-style=+%F f | awk '{print $1, $2, $5, $6, $7}'; ls -l f | cut -c1-10; ls -ld . | cut -c1-10; ls -s --block-size=1 f | awk '{print ($1 > 0)}'

### access-by-mode
echo x > f; chmod 400 f; [ -w f ]; cat f; (echo y > f) 2> /dev/null; chmod 600 f; cat f; chmod 200 f; cat f 2> /dev/null; chmod 600 f

### read-only-file-and-writers
echo x > f; exec 3>> f; chmod 444 f; echo y >&3; exec 3>&-; cat f; stat -c %a f; mv f g; rm -f g; ls

### lsattr-and-chattr: lsattr
touch f; lsattr f > /dev/null 2>&1; chattr +i f 2> /dev/null; chattr -i f 2> /dev/null; rm f; ls

### statx-birth
touch f; stat -c %W f > /dev/null && echo answered; stat -c '%d' f > /dev/null && [ "$(stat -c %d f)" = "$(stat -c %d .)" ] && echo 'one device'; [ "$(stat -c %m f)" = "$(stat -c %m .)" ] && echo 'one mount'

### set-id-cleared-while-open
exec 3> f; chmod 6755 f; echo x >&3; stat -c %a f; exec 3>&-; stat -c %a f; python3 -c '
import mmap, os
f = open("f", "r+b"); os.chmod("f", 0o6755); os.pwrite(f.fileno(), b"y", 0); print(oct(os.stat("f").st_mode & 0o7777)); os.chmod("f", 0o6755); os.ftruncate(f.fileno(), 1); print(oct(os.stat("f").st_mode & 0o7777)); f.close()'; stat -c %a f

### set-id-copied
echo x > f; chmod 6755 f; cp f g; cp -p f h; stat -c '%n %a' g h; install -m 4755 f i; stat -c %a i; mv i j; stat -c %a j

### set-id-of-program
cp /usr/bin/id prog; chmod 755 prog; ./prog -u; chmod 4755 prog; ./prog -u; stat -c %a prog; rm prog

### mode-x-and-scripts
printf '#!/bin/sh\necho ran\n' > s; ./s; echo $?; chmod 700 s; ./s; chmod 100 s; ./s > /dev/null 2>&1; chmod 644 s; sh ./s; [ -x s ] || echo 'not executable'
