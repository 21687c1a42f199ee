//! Large records where the kernel cannot read them by itself: told not to, without the right, or over a source that
//! is stacked itself. The daemon reads them then, and nothing else is different.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::{
    DEADLINE, TempMount, TempStorage, can_mount, clean_environment, has_passthrough, sh, storefs,
    temp_dir, wait_until,
};
use crate::help::{NOBODY, SmallDisk, is_root, make_store, open_the_way_to};

/// Above the size from which the kernel is given the file of a version.
const LARGE: usize = 3 << 20;

/// Readers and maps of five versions of one record, each replaced in another way, the last removed. Arguments: the
/// store in the mount, the store on disk, the size.
const READ_VERSIONS: &str = r"
import mmap, os, sys
mount, disk, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
large = os.path.join(mount, 'large')
readers = []

def write(path, byte):
    with open(path, 'wb') as file:
        file.write(byte * size)

def keep(expected):
    # Two of each version, the one mapped: both have to agree on the way.
    first, second = open(large, 'rb'), open(large, 'rb')
    readers.append((first, mmap.mmap(second.fileno(), 0, prot=mmap.PROT_READ), expected))

write(large, b'a')
keep(b'a' * size)
write(large, b'b')
keep(b'b' * size)
write(os.path.join(mount, 'new'), b'c')
os.rename(os.path.join(mount, 'new'), large)
keep(b'c' * size)
with open(large, 'ab') as file:
    file.write(b'the end')
keep(b'c' * size + b'the end')
write(os.path.join(disk, 'aside'), b'd')
os.rename(os.path.join(disk, 'aside'), os.path.join(disk, 'large'))
keep(b'd' * size)
os.remove(large)
for reader, mapped, expected in reversed(readers):
    end = os.pread(reader.fileno(), 200, len(expected) - 100)
    assert end == expected[-100:], (expected[:1], end[:9])
    assert mapped[size // 2:size // 2 + 9] == expected[:9], (expected[:1], 'mapped')
for reader, mapped, expected in readers:
    assert reader.read() == expected, (expected[:1], 'read')
    assert len(mapped) == len(expected) and mapped[:] == expected, (expected[:1], 'mapped')
write(os.path.join(mount, 'left'), b'l')
";

/// Reads a record whole. Arguments: the record, a byte that it has as often as the number after it says.
const READ_ONE: &str = r"
import sys
assert open(sys.argv[1], 'rb').read() == sys.argv[2].encode() * int(sys.argv[3])
";

/// Runs one of the programs by a Python.
#[track_caller]
fn run(mut python: Command, program: &str, arguments: [&Path; 3]) {
    python.arg("-c").arg(program).args(arguments).current_dir("/").stdin(Stdio::null());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn python() -> Command {
    Command::new("python3")
}

/// Who reads: whether the bytes of a large record pass through the daemon.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Daemon,
    Kernel,
}

/// Asserts that each reader keeps its version, in a mount of a storage with a store `default`. Gives back who read.
/// `python` makes the Python of the user who mounted, who alone gets in.
#[track_caller]
fn read_all(pid: u32, mount: &Path, storage: &Path, python: impl Fn() -> Command) -> Way {
    let store = |root: &Path| root.join("key_value_stores/default");
    let size = PathBuf::from(LARGE.to_string());
    run(python(), READ_VERSIONS, [&store(mount), &store(storage), &size]);
    let before = bytes_read(pid);
    run(python(), READ_ONE, [&store(mount).join("left"), Path::new("l"), &size]);
    if bytes_read(pid) - before >= LARGE as u64 { Way::Daemon } else { Way::Kernel }
}

/// Bytes that a process has been given by read(2) and its like.
fn bytes_read(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn p1_large_records_keep_their_version_with_and_without_passthrough() {
    if !can_mount() || !is_root() {
        return;
    }
    for (options, way) in
        [([].as_slice(), Way::Kernel), (["--no-passthrough"].as_slice(), Way::Daemon)]
    {
        let storage = TempStorage::empty();
        make_store(&storage, "default");
        let mount = TempMount::with_options(&storage, options);
        if way == Way::Kernel && !has_passthrough(&mount) {
            continue;
        }
        let kernel = mount.status()["kernel"].clone();
        assert_eq!(kernel["passthrough"], way == Way::Kernel, "{kernel}");
        assert_eq!(read_all(mount.serving_pid(), &mount.path(), &storage.path(), python), way);
    }
}

/// What the daemon says when the kernel takes no file from it.
const FALLS_BACK: &str = "large records are read through the daemon";

/// Overlayfs is stacked on other file systems, and the kernel stacks no more than one on it.
const OVERLAY: &str = "mount -t tmpfs none below
    mkdir below/lower below/upper below/work
    mount -t overlay overlay -o lowerdir=below/lower,upperdir=below/upper,workdir=below/work disk
    mkdir disk/storage";

#[test]
fn p1_large_records_keep_their_version_where_the_kernel_refuses_the_file() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(OVERLAY) else { return };
    make_a_store(&disk.storage());
    let mount = TempMount::configured(&disk.storage(), |command| {
        command.arg("-v");
    });
    // A kernel that reads no file at all refuses none.
    if !has_passthrough(&mount) {
        return;
    }
    assert_eq!(read_all(mount.serving_pid(), &mount.path(), &disk.storage(), python), Way::Daemon);
    let said = mount.log();
    // Once for the mount, not once for each record.
    assert_eq!(said.matches(FALLS_BACK).count(), 1, "{said}");
    assert_eq!(mount.status()["kernel"]["passthrough"], false);
}

/// Which way it goes is the kernel's to say.
#[test]
fn p1_large_records_keep_their_version_over_another_fuse_mount() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by("bindfs below disk; mkdir disk/storage") else { return };
    make_a_store(&disk.storage());
    let mount = TempMount::configured(&disk.storage(), |_| {});
    read_all(mount.serving_pid(), &mount.path(), &disk.storage(), python);
}

#[test]
fn p1_large_records_keep_their_version_for_a_user_without_rights() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    let mount = NobodysMount::new(&storage);
    let pid = mount.daemon.id();
    let python = || mount.as_nobody("python3");
    assert_eq!(read_all(pid, &mount.path(), &storage.path(), python), Way::Daemon);
    assert!(mount.log().contains(FALLS_BACK), "{}", mount.log());
}

fn make_a_store(storage: &Path) {
    let mut create = storefs();
    create.args(["create", "default", "--source"]).arg(storage);
    assert!(create.status().unwrap().success());
}

/// A mount that [`NOBODY`] has made, and alone can look into. It is in a mount namespace of its own, where the device
/// is open to everybody, as it usually is; namespace and mount end with the daemon.
struct NobodysMount {
    dir: TempDir,
    daemon: Child,
}

const MOUNT_AS_NOBODY: &str = r#"set -e
mount -t tmpfs -o dev none dev
mknod -m 666 dev/fuse c $(stat -c '0x%t 0x%T' /dev/fuse)
mount --bind dev/fuse /dev/fuse
exec setpriv "$@""#;

fn become_nobody() -> [String; 3] {
    [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]
}

impl NobodysMount {
    fn new(storage: &TempStorage) -> Self {
        let dir = temp_dir();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("mnt")).unwrap();
        fs::create_dir(at("dev")).unwrap();
        open_the_way_to(&at("mnt"));
        open_the_way_to(&storage.path());
        // The program may lie where nobody gets.
        fs::copy(env!("CARGO_BIN_EXE_storefs"), at("storefs")).unwrap();
        let owner = format!("{NOBODY}:{NOBODY}");
        sh(&format!("chown -R {owner} '{}' mnt", storage.path().display()), dir.path());
        let log = fs::File::create(at("log")).unwrap();
        // Each program becomes the next, so that the child is the daemon.
        let mut command = Command::new("unshare");
        clean_environment(&mut command);
        command.args(["--mount", "bash", "-c", MOUNT_AS_NOBODY, "bash"]).args(become_nobody());
        command.arg(at("storefs")).args(["mount", "--foreground", "-v"]);
        command.arg(storage.path()).arg(at("mnt")).current_dir(dir.path()).stdin(Stdio::null());
        let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        // From here on, what is dropped cleans up.
        let mut mount = Self { dir, daemon };
        wait_until("nobody has mounted the storage", || {
            let ended = mount.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended with {ended:?}: {}", mount.log());
            let mut look = mount.as_nobody("cat");
            look.arg(mount.path().join("@status")).output().unwrap().status.success()
        });
        mount
    }

    /// A command of the user, in the namespace.
    fn as_nobody(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.daemon.id().to_string(), "setpriv"]);
        command.args(become_nobody()).arg(program).current_dir("/");
        // What root has installed for itself may be out of reach.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for NobodysMount {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let start = Instant::now();
        let ended = loop {
            match self.daemon.try_wait() {
                Ok(None) if start.elapsed() < DEADLINE => thread::sleep(Duration::from_millis(5)),
                Ok(Some(status)) => break Some(status),
                _ => break None,
            }
        };
        // Errors: it has ended.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
        } else {
            assert!(ended.is_some_and(|status| status.success()), "{ended:?}: {}", self.log());
        }
    }
}
