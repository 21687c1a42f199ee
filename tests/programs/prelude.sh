# Put before each script, which is run in an empty directory (`.`, on a plain disk or in a mount) with these variables:
#   OUT     a directory beside it, always on the plain disk
#   SECOND  a second directory like `.`; it exists if the script names it
umask 022

# Serves a directory over HTTP on the loopback, and sets URL.
serve() {
    python3 -uc '
import functools, http.server, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=sys.argv[1]))
print(server.server_port)
server.serve_forever()' "$1" > "$OUT/port" 2> "$OUT/served" &
    until [ -s "$OUT/port" ]; do sleep 0.01; done
    URL=http://127.0.0.1:$(cat "$OUT/port")
}

# Types keys (with escapes as in printf) into a program on a terminal of its own, once it has shown a text there.
type_keys() {
    TERM=xterm python3 -c '
import os, pty, sys
keys, shown, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
screen = b""
try:
    while part := os.read(terminal, 4096):
        screen += part
        if keys and shown.encode() in screen:
            os.write(terminal, keys.encode().decode("unicode_escape").encode())
            keys = ""
except OSError:
    pass  # the program has ended
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$@"
}
