# Node's file system modules.

### node-write-read: node
node -e 'const fs = require("fs"); fs.writeFileSync("f", "one\n"); fs.appendFileSync("f", "two\n"); process.stdout.write(fs.readFileSync("f", "utf8")); fs.renameSync("f", "g"); fs.copyFileSync("g", "h"); console.log(fs.statSync("h").size, fs.existsSync("f"), fs.readdirSync(".").slice(1)); fs.unlinkSync("h"); fs.rmSync("h", {force: true}); fs.truncateSync("g", 3)'; cat g

### node-promises: node
node -e 'const fs = require("fs/promises"); (async () => { await fs.writeFile("f", "x"); await fs.appendFile("f", "y"); const h = await fs.open("f", "r+"); await h.write("Z", 0); await h.sync(); console.log((await h.stat()).size, await fs.readFile("f", "utf8")); await h.close(); console.log(await fs.readFile("f", "utf8")); await fs.chmod("f", 0o600); await fs.utimes("f", 1e9, 1e9); console.log((await fs.stat("f")).mtimeMs); await fs.rename("f", "g"); await fs.access("g"); await fs.rm("g"); try { await fs.access("g") } catch (e) { console.log(e.code) } })()'; ls

### node-stream-then-read: node
node -e 'const fs = require("fs"); const s = fs.createWriteStream("f"); s.write("one\n", () => { process.stdout.write(fs.readFileSync("f", "utf8")); s.end("two\n") }); s.on("close", () => process.stdout.write(fs.readFileSync("f", "utf8")))'

### node-stream-append: node
echo start > f; node -e 'const fs = require("fs"); const s = fs.createWriteStream("f", {flags: "a"}); for (let i = 0; i < 100; i++) s.write(i + "\n"); s.end(() => console.log(fs.readFileSync("f", "utf8").split("\n").length))'; tail -n 1 f

### node-stream-in-place: node
seq 10 > f; node -e 'const fs = require("fs"); const s = fs.createWriteStream("f", {flags: "r+", start: 2}); s.end("XX", () => process.stdout.write(fs.readFileSync("f", "utf8").slice(0, 8)))'; head -n 3 f

### node-pipeline: node
seq 20000 > f; node -e 'const {pipeline} = require("stream/promises"), fs = require("fs"), zlib = require("zlib"); (async () => { await pipeline(fs.createReadStream("f"), zlib.createGzip(), fs.createWriteStream("f.gz")); await pipeline(fs.createReadStream("f.gz"), zlib.createGunzip(), fs.createWriteStream("g")); console.log(fs.readFileSync("f").equals(fs.readFileSync("g"))) })()'; cmp f g && echo same; rm f.gz

### node-exclusive: node
node -e 'const fs = require("fs"); const d = fs.openSync("lock", "wx"); try { fs.openSync("lock", "wx") } catch (e) { console.log(e.code) } fs.writeSync(d, "1"); fs.closeSync(d); fs.unlinkSync("lock"); console.log(fs.existsSync("lock"))'

### node-write-file-atomic-way: node
echo old > f; node -e 'const fs = require("fs"); const t = "f." + 12345; const d = fs.openSync(t, "w", 0o666); fs.writeSync(d, "new\n"); fs.fsyncSync(d); fs.closeSync(d); fs.chownSync(t, process.getuid(), process.getgid()); fs.chmodSync(t, 0o644); fs.renameSync(t, "f"); process.stdout.write(fs.readFileSync("f"))'; ls

### node-many-promises: node
node -e 'const fs = require("fs/promises"); (async () => { await Promise.all([...Array(100).keys()].map(async n => { await fs.writeFile(`t${n}.tmp`, String(n)); await fs.rename(`t${n}.tmp`, `t${n}`) })); const names = (await fs.readdir(".")).filter(n => n.startsWith("t")); let sum = 0; for (const n of names) sum += Number(await fs.readFile(n, "utf8")); console.log(names.length, sum) })()'; rm t*

### node-unlinked-and-fd: node
node -e 'const fs = require("fs"); const d = fs.openSync("f", "w+"); fs.writeSync(d, "abc"); fs.unlinkSync("f"); const b = Buffer.alloc(3); fs.readSync(d, b, 0, 3, 0); console.log(b.toString(), fs.fstatSync(d).size); fs.writeFileSync("f", "other"); fs.writeSync(d, "def"); fs.closeSync(d); console.log(fs.readFileSync("f", "utf8"))'

### node-errors: node
node -e 'const fs = require("fs"); const t = (f) => { try { f(); console.log("well") } catch (e) { console.log(e.code, e.syscall) } }; t(() => fs.readFileSync("no")); t(() => fs.renameSync("no", "x")); t(() => fs.rmdirSync("no")); t(() => fs.openSync(".", "w")); t(() => fs.readFileSync(".")); t(() => fs.writeFileSync("no/x", "")); t(() => fs.readdirSync("no")); t(() => fs.unlinkSync("no")); t(() => fs.accessSync("no"))'

### node-child-process: node
node -e 'const {spawnSync} = require("child_process"), fs = require("fs"); const d = fs.openSync("log", "a"); fs.writeSync(d, "one\n"); spawnSync("sh", ["-c", "echo two; cat log >&2"], {stdio: ["ignore", d, "inherit"]}); fs.closeSync(d); process.stdout.write(fs.readFileSync("log"))'

### node-cp-and-opendir: node
node -e 'const fs = require("fs"); for (let i = 0; i < 30; i++) fs.writeFileSync("f" + i, ""); let n = 0; const d = fs.opendirSync("."); for (let e; (e = d.readSync());) if (e.isFile()) n++; d.closeSync(); console.log(n); fs.cpSync("f1", "copy"); fs.copyFileSync("f1", "f2", fs.constants.COPYFILE_FICLONE); try { fs.copyFileSync("f1", "f2", fs.constants.COPYFILE_EXCL) } catch (e) { console.log(e.code) }'; ls | wc -l

### node-append-sync-flush: node
node -e 'const fs = require("fs"); for (let i = 0; i < 20; i++) { fs.appendFileSync("log", i + "\n"); if (fs.readFileSync("log", "utf8").split("\n").length !== i + 2) console.log("lost at", i) } console.log(fs.statSync("log").size)'

### node-jsonl-readline: node
seq 100 | sed 's/.*/{"n":&}/' > f.jsonl; node -e 'const rl = require("readline").createInterface({input: require("fs").createReadStream("f.jsonl")}); let s = 0; rl.on("line", l => s += JSON.parse(l).n).on("close", () => { require("fs").writeFileSync("sum.json", JSON.stringify({s})); console.log(s) })'; cat sum.json
