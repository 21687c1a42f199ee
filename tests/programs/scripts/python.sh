# Python's library: temporaries, replacing, maps, databases, locks.

### py-write-read
python3 - <<'PY'
open("f", "w").write("one\n"); open("f", "a").write("two\n")
with open("f", "r+") as f:
    f.seek(4); f.write("TWO"); f.flush(); print(open("f").read(), end="")
with open("f", "x" ) if False else open("g", "x") as g: g.write("x")
try: open("g", "x")
except FileExistsError as e: print(e.errno)
import os; print(os.path.getsize("f"), sorted(os.listdir("."))[1:])
PY

### py-w-plus
python3 - <<'PY'
with open("f", "w+") as f:
    f.write("hello"); f.seek(0); print(f.read()); f.truncate(2); f.seek(0); print(f.read())
    f.seek(10); f.write("x"); f.flush(); print(repr(open("f", "rb").read()))
print(open("f", "rb").read())
PY

### py-named-temporary
python3 - <<'PY'
import os, tempfile
with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as t:
    t.write("value\n"); t.flush(); os.fsync(t.fileno()); print(os.stat(t.name).st_size)
os.replace(t.name, "f"); print(open("f").read(), end="")
with tempfile.NamedTemporaryFile("w", dir=".") as t:
    t.write("x"); t.flush(); print(open(t.name).read(), os.path.exists(t.name))
print(os.path.exists(t.name))
PY
ls

### py-replace-while-open
python3 - <<'PY'
import os, tempfile
open("f", "w").write("old\n")
t = tempfile.NamedTemporaryFile("w", dir=".", delete=False)
t.write("new\n"); t.flush(); os.chmod(t.name, 0o640); os.replace(t.name, "f")
print(open("f").read(), end=""); t.write("more\n"); t.close(); print(open("f").read(), end="")
PY
stat -c '%a' f; ls

### py-temporary-file-here
python3 - <<'PY'
import tempfile, os
with tempfile.TemporaryFile(dir=".") as t:
    t.write(b"abc"); t.seek(0); print(t.read(), os.fstat(t.fileno()).st_nlink, sorted(os.listdir("."))[1:])
with tempfile.SpooledTemporaryFile(max_size=2, dir=".") as t:
    t.write(b"abcdef"); t.seek(0); print(t.read())
fd, name = tempfile.mkstemp(dir=".", suffix=".x"); os.write(fd, b"q"); os.close(fd); print(os.stat(name).st_mode & 0o777); os.remove(name)
PY
ls

### py-unlink-open
python3 - <<'PY'
import os
f = open("f", "w+"); f.write("abc"); f.flush(); os.unlink("f"); print(os.path.exists("f"), os.fstat(f.fileno()).st_size, os.fstat(f.fileno()).st_nlink)
f.seek(0); print(f.read()); f.write("def"); f.flush(); print(os.fstat(f.fileno()).st_size)
open("f", "w").write("other"); f.close(); print(open("f").read())
PY
ls

### py-rename-open
python3 - <<'PY'
import os
f = open("a", "w"); f.write("one\n"); f.flush(); os.rename("a", "b"); f.write("two\n"); f.flush(); print(open("b").read(), end=""); f.close(); print(open("b").read(), end="")
print(os.path.exists("a"))
PY
ls

### py-fchmod
python3 - <<'PY'
import os
f = open("f", "w"); os.fchmod(f.fileno(), 0o600); f.write("x"); f.flush(); print(oct(os.fstat(f.fileno()).st_mode & 0o777)); os.utime(f.fileno(), (1e9, 1e9)); f.close()
print(oct(os.stat("f").st_mode & 0o777), os.stat("f").st_mtime)
f = open("f", "a"); os.chmod("f", 0o640); f.write("y"); f.close(); print(oct(os.stat("f").st_mode & 0o777))
os.truncate("f", 1); print(os.stat("f").st_size)
PY
stat -c '%a %s' f

### py-fchmod-replaced
python3 - <<'PY'
import os
f = open("f", "w"); f.write("old"); f.flush(); open("g", "w").write("new"); os.chmod("g", 0o600); os.replace("g", "f")
os.fchmod(f.fileno(), 0o666); os.utime(f.fileno(), (1e9, 1e9)); f.write("more"); f.close()
print(open("f").read(), oct(os.stat("f").st_mode & 0o777), os.stat("f").st_mtime > 1.5e9)
PY

### py-mmap-write
python3 - <<'PY'
import mmap
with open("f", "w+b") as f:
    f.truncate(8192); m = mmap.mmap(f.fileno(), 0); m[0:5] = b"hello"; m[8187:] = b"world"; m.flush(); print(open("f", "rb").read(5)); m.close()
data = open("f", "rb").read(); print(len(data), data[:5], data[-5:])
PY

### py-mmap-read
python3 - <<'PY'
import mmap
open("f", "w").write("hello world\n" * 1000)
with open("f", "r+b") as f:
    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); print(m.find(b"world"), len(m), m[-6:]); m.close()
    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); m[0:1] = b"J"; print(m[:5], open("f").read(5))
PY

### py-mmap-after-close
python3 - <<'PY'
import mmap
f = open("f", "w+b"); f.write(b"x" * 4096); f.flush(); m = mmap.mmap(f.fileno(), 0); f.close(); m[0:3] = b"abc"; m.flush(); m.close()
print(open("f", "rb").read(5))
PY

### py-mmap-resize-and-share
python3 - <<'PY'
import mmap, os
f = open("f", "w+b"); f.write(b"a" * 4096); f.flush(); m = mmap.mmap(f.fileno(), 4096)
if os.fork() == 0:
    m[10:12] = b"ZZ"; os._exit(0)
os.wait(); print(m[9:13]); m.resize(8192); m[4096:4098] = b"QQ"; m.flush(); print(os.stat("f").st_size); os.pwrite(f.fileno(), b"P", 0); print(m[0:1]); m.close(); f.close()
d = open("f", "rb").read(); print(d[9:13], d[4096:4098], d[:1])
PY

### py-mmap-two-processes
python3 - <<'PY'
import mmap, os
open("f", "wb").write(b"." * 4096)
pids = []
for k in range(2):
    pid = os.fork()
    if pid == 0:
        with open("f", "r+b") as f:
            if k == 0:
                m = mmap.mmap(f.fileno(), 0); m[0:4] = b"MMAP"; m.flush(); m.close()
            else:
                os.pwrite(f.fileno(), b"PWRITE", 100)
        os._exit(0)
    pids.append(pid)
for p in pids: os.waitpid(p, 0)
d = open("f", "rb").read(); print(d[:4], d[100:106], len(d))
PY

### py-shelve
python3 - <<'PY'
import shelve
with shelve.open("s") as s: s["a"] = [1, 2]; s["b"] = {"x": 1}
with shelve.open("s", writeback=True) as s: s["a"].append(3); print(sorted(s), s["a"], s["b"])
with shelve.open("s", flag="r") as s: print(len(s))
PY
ls; rm s.db

### py-dbm-dumb
python3 - <<'PY'
import dbm.dumb
with dbm.dumb.open("d", "c") as d:
    for n in range(50): d[str(n)] = "v" * n
with dbm.dumb.open("d", "w") as d: del d["7"]; d["8"] = "eight"; d.sync(); print(len(d), d["8"])
with dbm.dumb.open("d", "r") as d: print(len(d), d["49"])
PY
ls

### py-dbm-others
python3 - <<'PY'
import dbm, importlib
for kind in ("dbm.gnu", "dbm.ndbm"):
    try: module = importlib.import_module(kind)
    except ImportError: continue
    with module.open(kind[4:], "c") as d: d[b"k"] = b"v"
    with module.open(kind[4:], "w") as d: d[b"l"] = b"w"; print(kind, sorted(d.keys()))
PY
ls; rm gnu ndbm.db 2> /dev/null; ls

### py-sqlite
python3 - <<'PY'
import sqlite3
c = sqlite3.connect("s.db"); c.execute("create table t (a integer primary key, b text)"); c.executemany("insert into t (b) values (?)", [(str(n),) for n in range(100)]); c.commit()
c.execute("update t set b = 'x' where a % 2 = 0"); c.commit(); print(c.execute("select count(*) from t where b = 'x'").fetchone()); c.execute("delete from t where a > 50"); c.rollback(); print(c.execute("select count(*) from t").fetchone()); c.execute("vacuum"); c.close()
c = sqlite3.connect("s.db"); print(c.execute("pragma integrity_check").fetchone()); c.close()
PY
ls

### py-sqlite-two-connections
python3 - <<'PY'
import sqlite3
a = sqlite3.connect("s.db", isolation_level=None, timeout=0.1); b = sqlite3.connect("s.db", isolation_level=None, timeout=0.1)
a.execute("create table t (a)"); a.execute("insert into t values (1)"); print(b.execute("select * from t").fetchall())
a.execute("begin immediate"); a.execute("insert into t values (2)")
try: b.execute("insert into t values (3)"); print("both")
except sqlite3.OperationalError as e: print(e)
a.execute("commit"); b.execute("insert into t values (4)"); print(a.execute("select * from t order by a").fetchall())
PY

### py-sqlite-wal
python3 - <<'PY'
import sqlite3
a = sqlite3.connect("s.db", isolation_level=None); print(a.execute("pragma journal_mode=wal").fetchone()); a.execute("create table t (a)"); a.execute("insert into t values (1)")
b = sqlite3.connect("s.db", isolation_level=None); print(b.execute("select * from t").fetchall()); b.execute("insert into t values (2)"); print(a.execute("select count(*) from t").fetchone()); b.close(); a.close()
PY
ls

### py-sqlite-processes
python3 - <<'PY'
import os, sqlite3
c = sqlite3.connect("s.db"); c.execute("create table t (a, b)"); c.commit(); c.close()
pids = []
for w in range(3):
    pid = os.fork()
    if pid == 0:
        c = sqlite3.connect("s.db", timeout=50)
        for n in range(10):
            with c: c.execute("insert into t values (?, ?)", (w, n))
        c.close(); os._exit(0)
    pids.append(pid)
print([os.waitpid(p, 0)[1] for p in pids]); c = sqlite3.connect("s.db"); print(c.execute("select count(*) from t").fetchone(), c.execute("pragma integrity_check").fetchone()); c.execute("vacuum"); c.close(); os.remove("s.db")
PY

### py-zipfile
python3 - <<'PY'
import zipfile
with zipfile.ZipFile("z.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr(zipfile.ZipInfo("a"), "one"); z.writestr(zipfile.ZipInfo("b"), "two")
with zipfile.ZipFile("z.zip", "a") as z: z.writestr(zipfile.ZipInfo("c"), "three")
with zipfile.ZipFile("z.zip") as z: print(z.namelist(), z.read("c"), z.testzip()); z.extract("a")
PY
cat a; ls

### py-tarfile-gzip
python3 - <<'PY'
import tarfile, gzip, bz2, lzma, io
open("f", "w").write("text" * 100)
with tarfile.open("t.tar", "w") as t: t.add("f")
with tarfile.open("t.tar", "a") as t: i = tarfile.TarInfo("g"); i.size = 3; t.addfile(i, io.BytesIO(b"abc"))
print(tarfile.open("t.tar").getnames())
for m, n in ((gzip, "f.gz"), (bz2, "f.bz2"), (lzma, "f.xz")):
    with m.open(n, "wt") as o: o.write("zip\n")
    with m.open(n, "at") as o: o.write("more\n")
    print(m.open(n, "rt").read().split())
tarfile.open("t.tar").extractall(".", members=[tarfile.open("t.tar").getmember("g")])
PY
cat g; rm f.gz t.tar; ls

### py-csv-json-pickle
python3 - <<'PY'
import csv, json, pickle, configparser, plistlib
with open("f.csv", "w", newline="") as f:
    w = csv.DictWriter(f, ["a", "b"]); w.writeheader(); w.writerow({"a": 1, "b": "x,y"})
print(list(csv.reader(open("f.csv"))))
json.dump({"a": [1, 2]}, open("f.json", "w")); print(json.load(open("f.json")))
with open("f.json", "r+") as f: d = json.load(f); d["b"] = 1; f.seek(0); json.dump(d, f); f.truncate()
print(open("f.json").read())
pickle.dump([1], open("p", "wb")); print(pickle.load(open("p", "rb")))
c = configparser.ConfigParser(); c["s"] = {"k": "v"}; c.write(open("c.ini", "w")); print(open("c.ini").read().strip())
PY

### py-fcntl-locks
python3 - <<'PY'
import fcntl, os
def child(how):
    pid = os.fork()
    if pid == 0:
        f = open("f", "r+")
        try: how(f); os._exit(0)
        except OSError as e: os._exit(e.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
f = open("f", "w+"); f.write("0123456789"); f.flush()
fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 4, 2)
print(child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 0)), child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 4)))
fcntl.lockf(f, fcntl.LOCK_UN); print(child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB)))
fcntl.lockf(f, fcntl.LOCK_SH); print(child(lambda g: fcntl.lockf(g, fcntl.LOCK_SH | fcntl.LOCK_NB)), child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB)))
open("f").close(); print("closing another", child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB)))
PY

### py-lock-across-rewrite
python3 - <<'PY'
import fcntl, os
open("f", "w").write("old"); f = open("f", "r+"); fcntl.flock(f, fcntl.LOCK_EX)
open("f", "w").write("new")
for mode in ("r", "r+", "a"):
    g = open("f", mode)
    try: fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB); print(mode, "got it too")
    except BlockingIOError: print(mode, "held")
    g.close()
f.close(); g = open("f"); fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB); print("free")
PY

### py-lock-readers-and-writers
python3 - <<'PY'
import fcntl
open("f", "w").write("x"); r = open("f"); w = open("f", "r+"); fcntl.flock(r, fcntl.LOCK_SH | fcntl.LOCK_NB)
try: fcntl.flock(w, fcntl.LOCK_EX | fcntl.LOCK_NB); print("both")
except BlockingIOError: print("held")
fcntl.flock(r, fcntl.LOCK_UN); fcntl.flock(w, fcntl.LOCK_EX | fcntl.LOCK_NB); print("got")
try: fcntl.flock(r, fcntl.LOCK_SH | fcntl.LOCK_NB); print("both")
except BlockingIOError: print("held")
w.close(); fcntl.flock(r, fcntl.LOCK_EX | fcntl.LOCK_NB); print("got")
PY

### py-lockf-ofd-and-getlk
python3 - <<'PY'
import fcntl, os, struct
f = open("f", "w+"); f.write("x" * 10); f.flush(); g = open("f", "r+")
lock = lambda kind, start=0, length=0: struct.pack("hhqqi4x", kind, 0, start, length, 0)
fcntl.fcntl(f, 37, lock(fcntl.F_WRLCK, 0, 5))
try: fcntl.fcntl(g, 37, lock(fcntl.F_WRLCK, 3, 4)); print("both")
except OSError as e: print(e.errno)
fcntl.fcntl(g, 37, lock(fcntl.F_WRLCK, 5, 5)); print("apart")
kind, _, start, length, _ = struct.unpack("hhqqi4x", fcntl.fcntl(g, 36, lock(fcntl.F_WRLCK))); print(kind, start, length)
PY

### py-append-flag
python3 - <<'PY'
import fcntl, os
fd = os.open("f", os.O_RDWR | os.O_CREAT); os.write(fd, b"abcdef"); os.lseek(fd, 0, 0)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND); os.write(fd, b"X"); print(open("f").read())
fcntl.fcntl(fd, fcntl.F_SETFL, 0); os.lseek(fd, 0, 0); os.write(fd, b"Y"); print(open("f").read()); os.close(fd); print(open("f").read())
a = os.open("f", os.O_WRONLY | os.O_APPEND); fcntl.fcntl(a, fcntl.F_SETFL, 0); os.pwrite(a, b"Z", 1); os.close(a); print(open("f").read())
PY

### py-sync-flags
python3 - <<'PY'
import os
for flag in (os.O_SYNC, os.O_DSYNC):
    fd = os.open("f", os.O_WRONLY | os.O_CREAT | flag, 0o644); os.write(fd, b"abc"); print(open("f").read()); os.pwrite(fd, b"Z", 1); print(open("f").read()); os.close(fd)
PY

### py-os-calls
python3 - <<'PY'
import os
fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640); print(os.pwrite(fd, b"hello", 3), os.pread(fd, 4, 2), os.fstat(fd).st_size); os.posix_fallocate(fd, 0, 100); print(os.fstat(fd).st_size); os.ftruncate(fd, 5); print(os.pread(fd, 10, 0), os.writev(fd, [b"a", b"b"]), os.lseek(fd, 0, os.SEEK_END)); os.close(fd)
print(os.access("f", os.R_OK), os.path.samefile("f", "./f"), sorted(e.name for e in os.scandir(".") if e.is_file() and e.name != "__metadata__.json"))
try: os.open("f", os.O_RDONLY | os.O_DIRECTORY)
except OSError as e: print(e.errno)
try: os.rmdir("f")
except OSError as e: print(e.errno)
try: os.unlink("g")
except OSError as e: print(e.errno)
PY

### py-errnos
python3 - <<'PY'
import os
open("f", "w").write("x")
def fails(what, *args):
    try: what(*args); print(what.__name__, "went well")
    except OSError as e: print(what.__name__, e.errno)
fails(os.open, "missing", os.O_RDONLY); fails(os.open, "f/x", os.O_RDONLY); fails(os.open, ".", os.O_WRONLY); fails(os.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
fails(os.rename, "missing", "g"); fails(os.rename, "f", "missing/g"); fails(os.truncate, "f", -1); fails(os.unlink, "."); fails(os.rename, "f", "."); fails(os.listdir, "f"); fails(os.readlink, "f"); fails(os.stat, "x" * 300); fails(os.stat, "f/")
fd = os.open("f", os.O_RDONLY); fails(os.write, fd, b"x"); fails(os.ftruncate, fd, 0); fails(os.lseek, fd, -1, 0)
fd = os.open("f", os.O_WRONLY); fails(os.read, fd, 1)
PY

### py-sendfile-copy
python3 - <<'PY'
import os, shutil
open("a", "wb").write(bytes(range(256)) * 1000)
i = os.open("a", os.O_RDONLY); o = os.open("b", os.O_WRONLY | os.O_CREAT, 0o644); print(os.sendfile(o, i, 0, 256000)); os.close(o)
o = os.open("c", os.O_WRONLY | os.O_CREAT, 0o644); n = 0
while n < 256000: n += os.copy_file_range(i, o, 256000 - n, n, n)
print(n); os.close(o); shutil.copyfile("a", "d"); shutil.copy2("a", "e"); shutil.copystat("a", "d"); shutil.move("e", "g")
print(all(open(n, "rb").read() == open("a", "rb").read() for n in "bcdg"))
PY
ls

### py-splice-pipe
python3 - <<'PY'
import os
r, w = os.pipe(); os.write(w, b"piped"); os.close(w); fd = os.open("f", os.O_WRONLY | os.O_CREAT, 0o644); print(os.splice(r, fd, 5)); os.close(fd); print(open("f").read())
r, w = os.pipe(); fd = os.open("f", os.O_RDONLY); print(os.splice(fd, w, 5), os.read(r, 5))
PY

### py-fork-shares-offset
python3 - <<'PY'
import os
fd = os.open("f", os.O_WRONLY | os.O_CREAT, 0o644)
for n in range(3):
    if os.fork() == 0: os.write(fd, b"%d\n" % n); os._exit(0)
    os.wait()
os.write(fd, b"end\n"); os.close(fd); print(open("f").read(), end="")
PY

### py-subprocess-stdout
python3 - <<'PY'
import subprocess
with open("log", "w") as log:
    log.write("head\n"); log.flush(); subprocess.run(["sh", "-c", "echo out; echo err >&2"], stdout=log, stderr=subprocess.STDOUT); log.write("tail\n")
print(open("log").read(), end=""); print(subprocess.run(["cat"], stdin=open("log"), capture_output=True, text=True).stdout.count("\n"))
PY

### py-logging-rotation
python3 - <<'PY'
import logging, logging.handlers, os
h = logging.handlers.RotatingFileHandler("log", maxBytes=100, backupCount=2); l = logging.getLogger(); l.addHandler(h); l.setLevel("INFO")
for n in range(12): l.info("message number %d", n)
h.close(); print(sorted(x for x in os.listdir(".") if x.startswith("log")))
w = logging.handlers.WatchedFileHandler("w"); m = logging.getLogger("w"); m.propagate = False; m.addHandler(w); m.error("one"); os.rename("w", "w.1"); m.error("two"); w.close(); print(open("w").read(), open("w.1").read())
PY
cat log log.1 log.2

### py-fileinput-inplace
printf 'a\nb\n' > f; python3 -c '
import fileinput
for line in fileinput.input("f", inplace=True, backup=".bak"): print(line.upper(), end="")'; cat f f.bak; ls

### py-linecache-glob-pathlib
python3 - <<'PY'
from pathlib import Path
import glob, filecmp
p = Path("f"); p.write_text("x"); p.rename("g"); Path("g").replace("h"); Path("t").touch(exist_ok=False); print(sorted(x.name for x in Path(".").glob("?")), Path("h").stat().st_size, Path("h").read_bytes()); Path("h").chmod(0o600); Path("i").write_text("x"); print(filecmp.cmp("h", "i", shallow=False), glob.glob("[h]")); Path("t").unlink(); Path("t").unlink(missing_ok=True)
try: Path("t").unlink()
except FileNotFoundError: print("gone")
PY

### py-import-from-here
echo 'X = 1' > mod.py; PYTHONDONTWRITEBYTECODE=1 python3 -c 'import sys; sys.path.insert(0, "."); import mod; print(mod.X)'; python3 mod.py; python3 -m py_compile mod.py 2> /dev/null; echo 'print(__name__)' > __main__.py; PYTHONDONTWRITEBYTECODE=1 python3 .; ls -d __pycache__; rm -rf __pycache__

### py-async-and-threads
python3 - <<'PY'
import threading, os
def work(n):
    for k in range(20):
        with open(f"t{n}.tmp", "w") as f: f.write(str(k))
        os.replace(f"t{n}.tmp", f"t{n}")
        assert open(f"t{n}").read() == str(k)
ts = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]; print([open(f"t{n}").read() for n in range(4)])
PY
ls

### py-many-writers-one-file
python3 - <<'PY'
import os
for w in range(4):
    if os.fork() == 0:
        fd = os.open("f", os.O_WRONLY | os.O_CREAT, 0o644)
        for k in range(25): os.pwrite(fd, b"%d" % w, w * 25 + k)
        os.close(fd); os._exit(0)
for _ in range(4): os.wait()
print(open("f").read())
PY

### py-seek-data-hole
python3 - <<'PY'
import os
fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644); os.ftruncate(fd, 1 << 20); os.pwrite(fd, b"x" * 4096, 512 << 10); os.fsync(fd)
print(os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 512 << 10, os.SEEK_HOLE)); os.close(fd); print(os.stat("f").st_size, os.stat("f").st_blocks < 64)
PY

### py-statvfs-and-pathconf
python3 - <<'PY'
import os
v = os.statvfs("."); print(v.f_namemax, v.f_bavail > 0, os.pathconf(".", "PC_NAME_MAX"), os.pathconf(".", "PC_LINK_MAX") > 0)
PY

### py-directory-descriptor
python3 - <<'PY'
import os
d = os.open(".", os.O_RDONLY); fd = os.open("f", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=d); os.write(fd, b"x"); os.close(fd); os.rename("f", "g", src_dir_fd=d, dst_dir_fd=d); print(os.stat("g", dir_fd=d).st_size, sorted(os.listdir(d))[1:]); os.utime("g", (1, 1), dir_fd=d); os.chmod("g", 0o600, dir_fd=d); os.unlink("g", dir_fd=d); os.fsync(d); os.close(d)
PY
ls

### py-listing-while-changing
python3 - <<'PY'
import os
for n in range(300): open(f"f{n}", "w").close()
seen = []
for e in os.scandir("."):
    if e.name != "__metadata__.json": seen.append(e.name); os.unlink(e.name)
print(len(seen), len(set(seen)), [x for x in os.listdir(".") if x != "__metadata__.json"])
PY
