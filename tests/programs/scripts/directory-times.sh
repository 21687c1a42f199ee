# What moves a directory's time of modification, seen at once.

### dirtime-create
d() { [ "$(stat -c %Y .)" = 978307200 ] && echo "$1: as it was" || echo "$1: moved"; touch -d 2001-01-01T00:00Z .; }; touch -d 2001-01-01T00:00Z .; d none; touch f; d touch; : > g; d create; mv f h; d rename; rm h; d remove

### dirtime-reading
echo x > f; touch -d 2001-01-01T00:00Z .; cat f; ls; getfattr f > /dev/null; stat -c %Y .

### dirtime-find-newer-finds-nothing
echo x > f; touch -d 2001-01-01T00:00Z . f; cat f > /dev/null; find . -name f -newermt 2001-06-01; find . -maxdepth 0 -newermt 2001-06-01

### dirtime-replace
echo x > f; echo y > g; touch -d 2001-01-01T00:00Z .; mv g f; stat -c %Y . | grep -q 978307200 || echo moved
