//! What is measured: plain directories, and mounts over them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::sys::{Dir, Result, c, wait_until};

pub(crate) const STORES: &str = "key_value_stores";
pub(crate) const METADATA: &str = "__metadata__.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Plain files.
    Native,
    /// Value, sidecar and store metadata, written as an SDK writes them.
    NativeSdk,
    /// The do-nothing floor, pages kept over opens, no FLUSH.
    Floor,
    /// The do-nothing floor as a plain example.
    FloorPlain,
    Storefs,
    StorefsReadOnly,
    StorefsNoXattr,
    Bindfs,
    Mergerfs,
    PassthroughHp,
    CrawleePython,
    CrawleeJs3,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Native,
        Self::NativeSdk,
        Self::Floor,
        Self::FloorPlain,
        Self::Storefs,
        Self::StorefsReadOnly,
        Self::StorefsNoXattr,
        Self::Bindfs,
        Self::Mergerfs,
        Self::PassthroughHp,
        Self::CrawleePython,
        Self::CrawleeJs3,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeSdk => "native-sdk",
            Self::Floor => "floor",
            Self::FloorPlain => "floor-plain",
            Self::Storefs => "storefs",
            Self::StorefsReadOnly => "storefs-read-only",
            Self::StorefsNoXattr => "storefs-no-xattr",
            Self::Bindfs => "bindfs",
            Self::Mergerfs => "mergerfs",
            Self::PassthroughHp => "passthrough_hp",
            Self::CrawleePython => "crawlee-python",
            Self::CrawleeJs3 => "crawlee-js3",
        }
    }

    /// For the head of a narrow column.
    pub(crate) fn short_label(self) -> &'static str {
        self.label().strip_prefix("storefs-").unwrap_or(self.label())
    }

    pub(crate) fn is_storefs(self) -> bool {
        matches!(self, Self::Storefs | Self::StorefsReadOnly | Self::StorefsNoXattr)
    }

    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorPlain)
    }

    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Bindfs | Self::Mergerfs | Self::PassthroughHp)
    }

    /// Whether its records have sidecars, and its stores metadata.
    pub(crate) fn has_sidecars(self) -> bool {
        self == Self::NativeSdk || self.is_storefs()
    }

    fn is_mount(self) -> bool {
        self.is_storefs() || self.is_floor() || self.is_peer()
    }
}

/// The programs that serve the mounts.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) storefs: PathBuf,
    pub(crate) floor_threads: usize,
}

impl Programs {
    /// Whether the program of a mount is installed.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        !kind.is_peer()
            || std::env::split_paths(&paths).any(|folder| folder.join(kind.label()).is_file())
    }

    fn command(&self, kind: Kind, source: &Path, mountpoint: &Path) -> Result<Command> {
        let mut command;
        match kind {
            Kind::Storefs | Kind::StorefsReadOnly | Kind::StorefsNoXattr => {
                command = Command::new(&self.storefs);
                command.args(["mount", "--foreground"]);
                match kind {
                    Kind::StorefsReadOnly => drop(command.arg("--read-only")),
                    Kind::StorefsNoXattr => drop(command.arg("--no-xattr")),
                    _ => {}
                }
                command.arg(source);
            }
            Kind::Floor | Kind::FloorPlain => {
                command = Command::new(std::env::current_exe()?);
                command.args(["serve-floor", "--threads", &self.floor_threads.to_string()]);
                if kind == Kind::Floor {
                    command.arg("--tuned");
                }
            }
            _ => {
                command = Command::new(kind.label());
                command.arg("-f").arg(source);
            }
        }
        command.arg(mountpoint);
        Ok(command)
    }
}

/// One way to keep records, live until it is dropped.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// Its own directory; holds `storage` and `mnt`.
    dir: PathBuf,
    programs: Programs,
    daemon: Option<Child>,
}

impl Subject {
    pub(crate) fn start(kind: Kind, place: &Path, programs: &Programs) -> Result<Self> {
        let dir = place.join(kind.label());
        fs::create_dir_all(dir.join("storage").join(STORES))?;
        fs::create_dir_all(dir.join("mnt"))?;
        let mut subject = Self { kind, dir, programs: programs.clone(), daemon: None };
        subject.mount()?;
        Ok(subject)
    }

    /// The storage on disk. The floor has none.
    pub(crate) fn source(&self) -> PathBuf {
        self.dir.join("storage")
    }

    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.dir.join("mnt")
    }

    /// A store as the workload sees it.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        if self.kind.is_mount() {
            self.mountpoint().join(STORES).join(name)
        } else {
            self.backing(name)
        }
    }

    /// A store on disk, where others than the mount get at it.
    pub(crate) fn backing(&self, name: &str) -> PathBuf {
        if self.kind.is_floor() {
            self.mountpoint().join(STORES).join(name)
        } else {
            self.source().join(STORES).join(name)
        }
    }

    /// The daemon's process id, if there is a daemon.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// Does some work with the subject. It has failed too if the daemon does not outlive it; what comes next then has
    /// a new daemon.
    pub(crate) fn attend<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let done = self.check_alive().and_then(|()| work(self));
        if done.is_err() {
            // A process that dies has closed its connection some time before it can be waited for.
            std::thread::sleep(Duration::from_millis(300));
        }
        let Err(death) = self.check_alive() else { return done };
        self.unmount();
        let again = self.mount().err().map_or(String::new(), |error| format!("; again: {error}"));
        let other =
            done.err().map(|error| error.to_string()).filter(|error| *error != death.to_string());
        let other = other.map_or(String::new(), |error| format!(" ({error})"));
        Err(format!("{death}{other}{again}").into())
    }

    /// Fails if a daemon should serve this and does not.
    fn check_alive(&mut self) -> Result<()> {
        let Some(daemon) = &mut self.daemon else {
            return if self.kind.is_mount() { Err("it has no daemon".into()) } else { Ok(()) };
        };
        let Some(status) = daemon.try_wait()? else { return Ok(()) };
        let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        Err(format!("the daemon has ended with {status} and said {:?}", said.trim_end()).into())
    }

    /// Ends the daemon and starts a new one, which has seen nothing yet.
    pub(crate) fn remount(&mut self) -> Result<()> {
        self.check_alive()?;
        self.unmount();
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        if !self.kind.is_mount() {
            return Ok(());
        }
        let mountpoint = self.mountpoint();
        let log = fs::File::create(self.dir.join("log"))?;
        let mut command = self.programs.command(self.kind, &self.source(), &mountpoint)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut daemon = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let outside = fs::metadata(&self.dir)?.dev();
        let mounted = wait_until("it is mounted", || {
            if let Some(status) = daemon.try_wait()? {
                let said = fs::read_to_string(self.dir.join("log"))?;
                return Err(format!("{command:?} ended with {status}: {said}").into());
            }
            Ok(fs::metadata(&mountpoint).is_ok_and(|inside| inside.dev() != outside))
        });
        self.daemon = Some(daemon);
        mounted?;
        if self.kind.is_floor() {
            fs::create_dir_all(mountpoint.join(STORES))?;
        }
        Ok(())
    }

    fn unmount(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let mountpoint = self.mountpoint();
        let ways = [
            ("umount", &[][..]),
            ("fusermount3", &["-u"][..]),
            ("umount", &["-l"][..]),
            ("fusermount3", &["-uz"][..]),
        ];
        let unmounted = ways.iter().any(|(program, options)| {
            let mut command = Command::new(program);
            command.args(*options).arg(&mountpoint).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        });
        let start = Instant::now();
        while unmounted && start.elapsed() < Duration::from_secs(60) {
            if matches!(daemon.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        eprintln!("mounts: the daemon of {} had to be killed", self.kind.label());
        // Errors: it is gone already.
        let _ = daemon.kill();
        let _ = daemon.wait();
    }

    /// Makes a store with records on disk, behind the mount's back.
    pub(crate) fn fill(&self, store: &str, records: &Records) -> Result<()> {
        fill(&self.backing(store), records, self.kind.has_sidecars())
    }

    /// Makes an empty store on disk.
    pub(crate) fn make_store(&self, store: &str) -> Result<()> {
        self.fill(store, &Records::new(0, 0))
    }

    /// Takes a store away again.
    pub(crate) fn remove(&self, store: &str) -> Result<()> {
        wait_until("the store is removed", || match fs::remove_dir_all(self.backing(store)) {
            // A daemon has just written the store's times.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            outcome => Ok(outcome.map(|()| true)?),
        })
    }

    /// Makes a store of one record, a link to a file that all subjects share.
    pub(crate) fn link(&self, store: &str, name: &str, file: &Path) -> Result<()> {
        self.make_store(store)?;
        let size = fs::metadata(file)?.len();
        let dir = self.backing(store);
        if self.kind.is_floor() {
            // It keeps the beginning of a file and the size.
            return Ok(fs::File::create(dir.join(name))?.set_len(size)?);
        }
        fs::hard_link(file, dir.join(name))?;
        if self.kind.has_sidecars() {
            fs::write(dir.join(sidecar_name(name)), sidecar(name, size))?;
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Names and bytes of records.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) names: Vec<std::ffi::CString>,
    pub(crate) value: Vec<u8>,
}

impl Records {
    pub(crate) fn new(count: usize, size: usize) -> Self {
        let names = (0..count).map(|number| c(&format!("record-{number:07}"))).collect();
        let mut value = Vec::with_capacity(size + 80);
        while value.len() < size {
            value.extend_from_slice(
                b"A kettle of 1.7 l, brushed steel, with a lid that opens wide.\n",
            );
        }
        value.truncate(size);
        Self { names, value }
    }
}

fn sidecar_name(name: &str) -> String {
    format!("{name}.{METADATA}")
}

pub(crate) fn sidecar(key: &str, size: u64) -> String {
    format!(
        "{{\n  \"key\": \"{key}\",\n  \"contentType\": \"text/plain; charset=utf-8\",\n  \"size\": {size}\n}}"
    )
}

pub(crate) fn store_metadata(store: &str) -> String {
    format!(
        "{{\n  \"id\": \"HvTUFIxMPIib09NEi\",\n  \"name\": \"{store}\",\n  \
         \"accessedAt\": \"2026-01-02T03:04:05.000006+00:00\",\n  \
         \"createdAt\": \"2026-01-02T03:04:05.000006+00:00\",\n  \
         \"modifiedAt\": \"2026-01-02T03:04:05.000006+00:00\"\n}}"
    )
}

/// Makes a store on disk whose files are links to those of another, which takes a fifth of the time.
pub(crate) fn fill_by_links(path: &Path, pattern: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    let (from, to) = (Dir::open(pattern)?, Dir::open(path)?);
    for entry in fs::read_dir(pattern)? {
        let name = entry?.file_name();
        if name != METADATA {
            rustix::fs::linkat(&from, &name, &to, &name, rustix::fs::AtFlags::empty())?;
        }
    }
    write_metadata(path)
}

fn write_metadata(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(fs::write(path.join(METADATA), store_metadata(&name))?)
}

pub(crate) fn fill(path: &Path, records: &Records, sidecars: bool) -> Result<()> {
    fs::create_dir_all(path)?;
    let dir = Dir::open(path)?;
    if sidecars {
        write_metadata(path)?;
    }
    for name in &records.names {
        dir.write(name, &records.value)?;
        if sidecars {
            let key = name.to_string_lossy();
            let text = sidecar(&key, records.value.len() as u64);
            dir.write(&c(&sidecar_name(&key)), text.as_bytes())?;
        }
    }
    Ok(())
}

/// Sets a record as an SDK does on the plain directory: value, sidecar and store metadata, each a temporary
/// that is renamed into place.
pub(crate) fn set_as_sdk(dir: &Dir, store: &str, name: &str, value: &[u8]) -> Result<()> {
    let sidecar_name = sidecar_name(name);
    let temporary = |of: &str| c(&format!(".{of}.tmp"));
    dir.replace(&c(name), &temporary(name), value)?;
    let text = sidecar(name, value.len() as u64);
    dir.replace(&c(&sidecar_name), &temporary(&sidecar_name), text.as_bytes())?;
    dir.replace(&c(METADATA), &temporary(METADATA), store_metadata(store).as_bytes())
}

/// Deletes a record as an SDK does on the plain directory.
pub(crate) fn delete_as_sdk(dir: &Dir, name: &str) -> Result<()> {
    dir.unlink(&c(name))?;
    dir.unlink(&c(&sidecar_name(name)))
}
