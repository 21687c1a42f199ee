//! A mount's life: checks, session, signals, daemon, unmounting.
//!
//! [`Prepared`] says that nothing stands in the way, [`MountedFs`] is the mount itself: it owns the session,
//! the thread that writes times back, and the decision when to end. What the kernel asks meanwhile is answered
//! by the FUSE adapter; this room knows no request and no record.
//!
//! fuser 0.18 has edges that shape this room. A dropped session unmounts once more whatever is at its
//! mountpoint by then (its check is the wrong way round), so no session is ever dropped. Unmounting as root
//! gives up when the mount is busy, so unmounting is done here.

mod asked;
mod daemon;
mod elsewhere;
mod environment;
mod error;
mod handed_over;
mod metrics_server;
mod options;
mod patience;
mod preflight;
mod prometheus;
mod remount;
mod service;
mod session;
mod signals;
mod source;
mod supervise;
mod sweeper;
mod table;
mod unmount;
mod write_back;

use std::mem;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use asked::{MountAnswer, MountStatus, all_statuses, status_of};
pub use daemon::{
    Answer, Caller, Promise, Side, default_log, fork_daemon, log_directory, open_log,
};
pub use environment::{settle, survive_limits};
pub use error::MountError;
use metrics_server::{MetricsAddress, MetricsServer};
use patience::Patience;
use preflight::Places;
pub use preflight::{LOG_FILE, check_source, is_mounted};
pub use prometheus::{PROMETHEUS_TYPE, buckets_of, prometheus_text};
pub use remount::{Remount, remount};
use service::{Service, Tell};
use signals::Request;
pub use signals::{CaughtSignals, LogRequest};
pub use source::refuse_other_than_storage;
pub use supervise::{
    Handed, MOST_RESTARTS, Supervision, Ties, can_supervise, handed, supervise, upgrade, work,
};
use sweeper::Sweeper;
pub use table::{FILE_SYSTEM_TYPE, Mount, MountTable};
pub use unmount::{Unmounted, unmount};
use write_back::WriteBack;

use crate::engine::{OpenStore, Source, Storage, StorageOptions};
use crate::fs::{FileSystem, FsOptions};
use crate::fuse::{Adapter, Guarded, attach_notifier};

/// How long the users of a mount that is asked to stop may take to let go of it.
const USERS_DEADLINE: Duration = Duration::from_secs(8);

/// How long what they have not published may take to be kept aside after that. Both are over in ten seconds, after which
/// many who ask a service to stop kill it.
const KEEPING_DEADLINE: Duration = Duration::from_secs(2);

/// What is to be mounted, where and how.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// The storage.
    pub source: Source,
    /// The directory to mount it at; or `/dev/fd/N`, an open `/dev/fuse` whose mount is there already.
    pub mountpoint: PathBuf,
    /// How the storage is opened.
    pub storage: StorageOptions,
    /// How it is shown. `read_only` here makes the whole mount read-only.
    pub fs: FsOptions,
    /// Whether no file may be run as a program.
    pub no_exec: bool,
    /// Whether users other than the mounting one get in.
    pub allow_other: bool,
    /// Where the mount's state is served for Prometheus, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Whether the mountpoint may hold files, which are hidden as long as the mount is there.
    pub nonempty: bool,
    /// The store that is the mount's root, if not the whole storage is shown; it must be there.
    pub store: Option<OpenStore>,
    /// How long a source is waited for that is not there yet, or does not answer yet.
    pub retry: Duration,
}

/// A mount that nothing stands in the way of.
#[derive(Clone, Debug)]
pub struct Prepared {
    config: MountConfig,
    places: Places,
    /// How long the source is still waited for.
    patience: Patience,
}

impl Prepared {
    /// Makes every check that needs no mount. A dead mount of our own at the mountpoint is detached. A source that is not
    /// there is waited for.
    ///
    /// # Errors
    /// [`MountError`], in one line that says what to do; nothing has been mounted.
    pub fn check(config: MountConfig) -> Result<Self, MountError> {
        let patience = Patience::of(config.retry);
        let places = preflight::check(&config, patience)?;
        if config.fs.plain && places.source.directory().is_none() {
            return Err(MountError::refused(format!(
                "--show-sidecars shows the files of a storage directory, and '{}' has none",
                places.source.shown()
            )));
        }
        if config.fs.keep_purged.is_some() && places.source.directory().is_none() {
            return Err(MountError::refused(format!(
                "--keep-purged keeps what is purged in a storage directory, and '{}' is none: what is purged there is gone at once",
                places.source.shown()
            )));
        }
        if config.fs.plain && config.store.is_some() {
            return Err(MountError::refused(
                "--show-sidecars shows the whole storage, and --store one store of it: give one of them",
            ));
        }
        Ok(Self { config, places, patience })
    }

    /// What a supervisor has mounted, for a program that is to serve it.
    ///
    /// # Errors
    /// [`MountError`], if the source is not to be found.
    pub fn mounted(config: MountConfig, mountpoint: PathBuf) -> Result<Self, MountError> {
        let source = preflight::check_source(&config)?;
        let patience = Patience::of(Duration::ZERO);
        Ok(Self { config, places: Places { source, mountpoint }, patience })
    }

    /// The source, as it was [found](Source::found).
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.places.source
    }

    /// The mountpoint, absolute and free of symbolic links.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.places.mountpoint
    }

    /// Whether nothing may be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.config.fs.read_only
    }

    /// The open `/dev/fuse` that was handed over, which a daemon has to keep.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        handed_over::descriptor(&self.config.mountpoint)
    }

    /// Opens the storage, which is waited for. Gives it back with how it is shown.
    fn open_storage(
        &self,
        is_given_up: impl FnMut() -> bool,
    ) -> Result<(Storage, FsOptions), MountError> {
        let Self { config, places, patience } = self;
        let mut storage_options = config.storage.clone();
        storage_options.read_only |= config.fs.read_only;
        let mut fs = config.fs.clone();
        let storage = patience.attempt(&places.source.shown(), is_given_up, || {
            let storage = Storage::open(&places.source, storage_options.clone())?;
            if let Some(store) = &config.store {
                fs.store = Some(storage.find_store(store)?.name().clone());
            }
            Ok(storage)
        })?;
        Ok((storage, fs))
    }
}

/// Something that happens to a running mount.
enum Event {
    /// The kernel has closed the session: the mount is gone.
    Ended,
    /// Somebody asks for something.
    Requested(Request),
}

/// A live mount. Dropping it unmounts.
pub struct MountedFs {
    fs: Arc<FileSystem>,
    mountpoint: PathBuf,
    /// Whether others have made the mount, and have to unmount it where this process may not.
    is_handed_over: bool,
    service: Option<Service>,
    /// What whoever mounts has to know, each in a line.
    notices: Vec<String>,
    /// The device number by which the mount is found in the table, wherever it may have been moved to.
    device: Option<String>,
    /// The session's connection to the kernel, to learn whether the mount still lives.
    connection: OwnedFd,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// `None` once the mount has ended.
    sweeper: Option<Sweeper>,
    /// The same.
    metrics: Option<MetricsServer>,
    /// `None` once the mount has ended and the times are written.
    write_back: Option<WriteBack>,
}

impl std::fmt::Debug for MountedFs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MountedFs").field("mountpoint", &self.mountpoint).finish_non_exhaustive()
    }
}

impl MountedFs {
    /// Opens the storage and mounts it. The mount is usable when this returns. A storage that does not answer yet is waited
    /// for as long as `is_given_up` says no.
    ///
    /// The storage is opened here and nowhere before, in the process that serves the mount: a daemon in the background has
    /// been forked by then ([`fork_daemon`]). What a backend has open or running, a connection, a thread, a runtime, would
    /// not be there behind a fork; [`Prepared::check`] leaves nothing of that kind.
    ///
    /// # Errors
    /// [`MountError`]; then nothing is mounted.
    pub fn start(
        prepared: &Prepared,
        is_given_up: impl FnMut() -> bool,
    ) -> Result<Self, MountError> {
        Self::start_on(prepared, None, is_given_up)
    }

    /// Opens the storage, and serves what a supervisor has mounted.
    fn start_as_worker(
        prepared: &Prepared,
        handed: &Handed,
        is_given_up: impl FnMut() -> bool,
    ) -> Result<Self, MountError> {
        Self::start_on(prepared, Some(handed), is_given_up)
    }

    fn start_on(
        prepared: &Prepared,
        handed: Option<&Handed>,
        is_given_up: impl FnMut() -> bool,
    ) -> Result<Self, MountError> {
        let Prepared { config, places, .. } = prepared;
        let metrics = config.metrics.map(MetricsAddress::bind).transpose();
        let (storage, fs) = prepared.open_storage(is_given_up)?;
        if !config.fs.read_only
            && let Err(error) = storage.heal()
        {
            log::warn!("what a dead process may have left is not healed: {error}");
        }
        let notices = if config.fs.read_only { Vec::new() } else { notices_of(&storage) };
        let kept = handed.map(Handed::kept).transpose();
        let kept = kept.map_err(|error| MountError::io("read what is kept", error))?;
        let is_first = kept.as_deref().is_none_or(|kept| kept.worker() == 1);
        let fs = Arc::new(FileSystem::with_kept(storage.clone(), fs, kept));
        fs.restore();
        let metrics = metrics.and_then(|address| address.map(|at| at.serve(&fs)).transpose());
        let metrics = match metrics {
            // Who uses the mount is served all the same.
            Err(error) if !is_first => {
                log::error!("{error}");
                None
            }
            metrics => metrics?,
        };
        let write_back = WriteBack::start(storage)?;
        let sweeper = Some(Sweeper::start(&fs)?);

        let (sender, events) = mpsc::channel();
        let on_destroy = {
            let sender = sender.clone();
            // The receiver is gone where the mount itself failed.
            Box::new(move || drop(sender.send(Event::Ended)))
        };
        environment::check_threads().map_err(no_thread)?;
        let adapter = Adapter::new(Arc::clone(&fs), on_destroy).map_err(no_thread)?;
        let mounting =
            |error| MountError::io(format!("mount at '{}'", session::shown(places)), error);
        let backings = adapter.backings();
        let session = session::begin(Guarded::new(adapter), prepared, handed)?;
        let connect =
            || rustix::io::dup(&session).map_err(|error| mounting(std::io::Error::from(error)));
        let connection = connect()?;
        attach_notifier(&fs, session.notifier(), connect()?);
        backings.attach(&fs, connect()?);
        fs.start_watching();
        let device = match prepared.descriptor() {
            Some(descriptor) => handed_over::device_of(descriptor),
            None => device_at(&places.mountpoint),
        };
        fs.set_mounted(is_mounted_by(device.clone()));
        if is_first {
            say_where_else(places, device.as_deref());
        }
        let session = session.spawn().map_err(mounting)?;
        // Never dropped: its drop would unmount a second time what others may have mounted there since. This
        // leaks a descriptor for each mount, and a process makes one mount.
        mem::forget(session);

        let mountpoint = places.mountpoint.clone();
        if is_first {
            log::info!("mounted '{}' at '{}'", places.source.shown(), mountpoint.display());
        }
        let write_back = Some(write_back);
        Ok(Self {
            fs,
            mountpoint,
            is_handed_over: prepared.descriptor().is_some(),
            service: None,
            notices,
            device,
            connection,
            sender,
            events,
            sweeper,
            metrics,
            write_back,
        })
    }

    /// Where it is mounted, absolute and free of symbolic links.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Tells the manager of services that has started this process, if there is one, of the mount's life. For a mount in the
    /// foreground: whoever goes into the background may have been started by somebody else's service.
    pub fn be_service(&mut self) {
        self.service = Service::begin(&self.mountpoint, !self.is_handed_over);
    }

    /// As [`be_service`](Self::be_service), in a worker, whose supervisor tells the manager that the mount is ready.
    fn be_service_of_supervisor(&mut self, tell: Tell) {
        self.service = Service::begin_by_supervisor(tell, &self.mountpoint);
    }

    /// Serves until somebody unmounts, or a signal asks for it. `ready` is called as soon as nothing can keep it from that
    /// any more; if it fails, the mount ends at once. What signals ask of the log is passed on to `log`.
    ///
    /// # Errors
    /// [`MountError::Storage`] if the last times could not be written; [`MountError::Io`]; what `ready` fails with.
    pub fn serve(
        mut self,
        signals: CaughtSignals,
        log: fn(LogRequest),
        ready: impl FnOnce(&[String]) -> Result<(), MountError>,
    ) -> Result<(), MountError> {
        let sender = self.sender.clone();
        let _watch = signals.watch(move |request| match request {
            Request::Log(request) => log(request),
            request => drop(sender.send(Event::Requested(request))),
        })?;
        if let Err(error) = ready(&self.notices) {
            self.stop();
            return self.finish().and(Err(error));
        }
        if let Some(service) = &self.service {
            service.ready(&self.mountpoint);
        }
        self.wait_for_end();
        self.finish()
    }

    /// Waits until somebody unmounts.
    ///
    /// # Errors
    /// [`MountError::Storage`] if the last times could not be written.
    pub fn wait(mut self) -> Result<(), MountError> {
        self.wait_for_end();
        self.finish()
    }

    fn wait_for_end(&self) {
        loop {
            // The sender is kept, so that the channel never closes.
            match self.events.recv() {
                Ok(Event::Requested(Request::LogStatus)) => {
                    log::info!("status: {}", self.fs.status());
                }
                Ok(Event::Requested(Request::Stop)) => return self.stop(),
                Ok(Event::Requested(Request::Log(_))) => {}
                Ok(Event::Ended) | Err(_) => return,
            }
        }
    }

    /// Unmounts, and waits for the session's end. A second request to stop ends the waiting.
    fn stop(&self) {
        if let Some(service) = &self.service {
            service.stopping("waiting for those who use the mount");
        }
        self.fs.end_log();
        if !self.unmount_everywhere() && self.is_handed_over {
            log::warn!("'{}' is left to whoever has mounted it", self.mountpoint.display());
            return;
        }
        let deadline = Instant::now() + USERS_DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Ended) => return,
                Ok(Event::Requested(Request::LogStatus | Request::Log(_))) => {}
                Ok(Event::Requested(Request::Stop)) | Err(_) => {
                    log::warn!(
                        "'{}' is still in use; ending all the same, its users get ENOTCONN",
                        self.mountpoint.display()
                    );
                    return;
                }
            }
        }
    }

    /// Unmounts wherever the mount is seen, detaching it where it is in use. Gives back whether it is seen nowhere any more,
    /// as far as can be told.
    fn unmount_everywhere(&self) -> bool {
        let places = self.seen_at();
        let mut is_unmounted = !places.is_empty();
        for path in places {
            let outcome = unmount::unmount_unused(&path).and_then(|users| match users {
                None => Ok(()),
                Some(users) => {
                    log::warn!("'{}' is in use by {users}; detaching it", path.display());
                    unmount::detach(&path)
                }
            });
            if let Err(error) = outcome {
                log::error!("{error}");
                is_unmounted = false;
            }
        }
        is_unmounted
    }

    /// The places where unmounting would meet this mount and no other. Nowhere once it is gone: its device
    /// number may by then be that of another mount.
    fn seen_at(&self) -> Vec<PathBuf> {
        if !self.is_connected() {
            return Vec::new();
        }
        let as_made = || match self.is_handed_over {
            true => Vec::new(),
            false => vec![self.mountpoint.clone()],
        };
        let (Some(device), Ok(table)) = (self.device.as_deref(), MountTable::read()) else {
            return as_made();
        };
        let on_top = |mount: &&Mount| {
            table.at(&mount.mountpoint).is_some_and(|upper| upper.device == mount.device)
        };
        table.of_device(device).filter(on_top).map(|mount| mount.mountpoint.clone()).collect()
    }

    /// The places where this mount is left dead. Its device number is no proof, but nobody else's mount of ours that is dead
    /// is of use to anybody.
    fn dead_at(&self) -> Vec<PathBuf> {
        let (Some(device), Ok(table)) = (self.device.as_deref(), MountTable::read()) else {
            return Vec::new();
        };
        // Not by stat, which the kernel may answer from what it has cached.
        let is_dead = |path: &PathBuf| {
            let dead = [rustix::io::Errno::NOTCONN, rustix::io::Errno::CONNABORTED];
            rustix::fs::statfs(path).is_err_and(|error| dead.contains(&error))
        };
        let ours = table.of_device(device).filter(|mount| mount.is_ours());
        ours.map(|mount| mount.mountpoint.clone()).filter(is_dead).collect()
    }

    /// Whether the kernel still holds the mount. `fuse_dev_poll` reports an error once it does not.
    fn is_connected(&self) -> bool {
        let mut fds = [PollFd::new(&self.connection, PollFlags::empty())];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polled.is_ok() && !fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
    }

    /// Keeps aside what its users have not published, who are cut off, and writes the last times.
    fn finish(&mut self) -> Result<(), MountError> {
        let Some(write_back) = self.write_back.take() else { return Ok(()) };
        if let Some(service) = self.service.take() {
            service.stopping("writing what is left");
        }
        // Nothing, unless the mount is still in use, or its connection was aborted.
        self.fs.keep_unpublished(Instant::now() + KEEPING_DEADLINE);
        // A session that failed leaves a mount that nobody serves; whoever looked at it would wait for ever. One whose
        // connection was aborted leaves a dead one.
        let detach = |path: PathBuf| {
            if let Err(error) = unmount::detach(&path) {
                log::error!("{error}");
            }
        };
        self.seen_at().into_iter().for_each(detach);
        // Whoever asks a mount that is connected and not served waits for ever, and this process with it.
        if !self.is_connected() {
            self.dead_at().into_iter().for_each(detach);
        }
        self.sweeper = None;
        self.fs.log_other_failures();
        self.metrics = None;
        self.fs.stop_watching();
        log::info!("unmounted '{}'", self.mountpoint.display());
        write_back.finish()
    }
}

impl Drop for MountedFs {
    fn drop(&mut self) {
        if self.write_back.is_some() {
            self.stop();
            if let Err(error) = self.finish() {
                log::error!("{error}");
            }
        }
    }
}

fn no_thread(error: std::io::Error) -> MountError {
    MountError::refused(format!(
        "no thread can be made: {error}; raise the limit of processes (ulimit -u) or of tasks (TasksMax=)"
    ))
}

/// What whoever mounts a storage has to know; it is in the log too.
fn notices_of(storage: &Storage) -> Vec<String> {
    let notices = storage.unwritable().unwrap_or_else(|error| {
        // Whoever lists the stores is told the same.
        log::debug!("which stores can be written is not known: {error}");
        Vec::new()
    });
    for notice in &notices {
        log::warn!("{notice}");
    }
    notices
}

/// Two mounts of one storage hold each other off where it matters, and cache apart.
fn say_where_else(places: &Places, device: Option<&str>) {
    let Ok(table) = MountTable::read() else { return };
    let source = options::file_system_name(&places.source.shown());
    let is_other = |mount: &&Mount| {
        mount.is_ours() && mount.source == *source && Some(mount.device.as_str()) != device
    };
    for other in table.below(Path::new("/")).filter(is_other) {
        log::warn!(
            "'{}' is mounted at '{}' too: what is written there is seen here as other programs' changes are",
            places.source.shown(),
            other.mountpoint.display()
        );
    }
}

/// Whether the mount of this device is still to be seen; also where that cannot be known.
fn is_mounted_by(device: Option<String>) -> Box<dyn Fn() -> bool + Send + Sync> {
    Box::new(move || match (&device, MountTable::read()) {
        (Some(device), Ok(table)) => table.of_device(device).next().is_some(),
        _ => true,
    })
}

fn device_at(mountpoint: &Path) -> Option<String> {
    let table = MountTable::read().ok()?;
    table.at(mountpoint).filter(|mount| mount.is_ours()).map(|mount| mount.device.clone())
}
