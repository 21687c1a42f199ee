//! Everything that can be known to be wrong before a mount is made.
//!
//! The checks go in the order in which a person would make them: source, mountpoint, the two together, the
//! device. The first that fails is reported in one line that says what to do, and nothing has been mounted.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use super::options::file_system_name;
use super::patience::Patience;
use super::source::refuse_other_than_storage;
use super::table::{self, Mount, MountTable};
use super::{MountConfig, MountError, deadline, handed_over, unmount};
use crate::engine::Source;

/// The device through which the kernel talks to FUSE daemons.
const FUSE_DEVICE: &str = "/dev/fuse";

/// The control file in a mount's root that tells of the daemon.
pub(super) const STATUS_FILE: &str = "@status";

/// The control file there that tells each request.
pub(crate) const LOG_FILE: &str = "@log";

/// How long a mount that is there already may take to show whether its daemon lives.
const LIVENESS_DEADLINE: Duration = Duration::from_secs(2);

/// Dead mounts that are detached at one mountpoint, lying upon each other. More of them would mean that
/// something else mounts there again and again.
const MOST_DEAD_MOUNTS: usize = 16;

/// Where a mount is to be made, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The source, [found](Source::found): it means the same in the daemon's directory.
    pub(super) source: Source,
    /// The mountpoint, absolute and free of symbolic links.
    pub(super) mountpoint: PathBuf,
}

/// Checks source and mountpoint. A dead mount of our own is detached on the way, with a line in the log.
pub(super) fn check(config: &MountConfig, patience: Patience) -> Result<Places, MountError> {
    let source = find_source(&config.source, patience)?;
    refuse_other_than_storage(&source)?;
    if let Some(descriptor) = handed_over::descriptor(&config.mountpoint) {
        handed_over::check(descriptor)?;
        return Ok(Places { source, mountpoint: config.mountpoint.clone() });
    }
    let mountpoint = check_mountpoint(&config.mountpoint)?;
    if let Some(path) = source.path() {
        check_not_nested(path, &mountpoint)?;
    }
    if !config.nonempty {
        check_empty(&mountpoint)?;
    }
    check_device()?;
    Ok(Places { source, mountpoint })
}

/// Checks the source, as it is now, and nothing else. Gives back what was [found](Source::found).
///
/// # Errors
/// [`MountError`], in one line that says what to do.
pub fn check_source(config: &MountConfig) -> Result<Source, MountError> {
    let source = find_source(&config.source, Patience::of(Duration::ZERO))?;
    refuse_other_than_storage(&source)?;
    Ok(source)
}

/// Whether this very source is mounted at this very place, by a daemon that lives.
#[must_use]
pub fn is_mounted(config: &MountConfig) -> bool {
    let Ok(source) = config.source.found() else { return false };
    let table = MountTable::read().unwrap_or_default();
    let Ok(mountpoint) = table::resolve(&config.mountpoint, &table) else { return false };
    let source = file_system_name(&source.shown());
    let is_of = |mount: &Mount| mount.is_ours() && mount.source == *source;
    table.at(&mountpoint).is_some_and(is_of) && !is_dead(&mountpoint)
}

/// Finds the source. A database is looked at no closer: it is opened, or is not, by the process that serves the mount.
fn find_source(source: &Source, patience: Patience) -> Result<Source, MountError> {
    let shown = source.shown();
    // Nobody has caught a signal yet, so whoever gives it up ends the process.
    let found = patience.attempt(&shown, || false, || source.found());
    let found = found.map_err(|error| match error.is_not_found() {
        true => MountError::refused(format!(
            "source '{shown}' does not exist; give the path of a storage directory"
        )),
        false => error.into(),
    })?;
    if let Some(directory) = found.directory() {
        fs::read_dir(directory)
            .map_err(|error| MountError::io(format!("read source '{shown}'"), error))?;
    }
    Ok(found)
}

/// Finds the mountpoint and makes sure that nothing is mounted there.
fn check_mountpoint(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let shown = mountpoint.display();
    for _ in 0..MOST_DEAD_MOUNTS {
        let table = read_table()?;
        let resolved = table::resolve(mountpoint, &table).map_err(|error| match error.kind() {
            ErrorKind::NotFound => MountError::refused(format!(
                "mountpoint '{shown}' does not exist; make it with 'mkdir -p'"
            )),
            ErrorKind::NotADirectory => not_a_directory("mountpoint", mountpoint),
            _ => MountError::io(format!("reach mountpoint '{shown}'"), error),
        })?;
        match table.at(&resolved) {
            Some(mount) if is_free(mount) => {}
            Some(mount) if mount.is_ours() && is_dead(&resolved) => {
                unmount::detach(&resolved)?;
                log::warn!(
                    "detached the mount that a dead daemon had left at '{}'",
                    resolved.display()
                );
                continue;
            }
            Some(mount) => return Err(already_mounted(mountpoint, mount)),
            None => {}
        }
        if !fs::metadata(&resolved).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(not_a_directory("mountpoint", mountpoint));
        }
        return Ok(resolved);
    }
    Err(MountError::refused(format!(
        "dead mounts lie upon each other at '{shown}'; detach them with 'storefs unmount'"
    )))
}

/// Whether one may mount on top: an automounter's trap waits for this very mount.
fn is_free(mount: &Mount) -> bool {
    mount.file_system_type == "autofs"
}

/// Whether the daemon behind a mount has gone. One that does not answer is busy or hangs, not dead.
pub(super) fn is_dead(mountpoint: &Path) -> bool {
    let path = mountpoint.to_owned();
    // Not stat: the kernel answers that from its cache as long as the TTL says, which may be a day.
    let answer = deadline::ask(LIVENESS_DEADLINE, move || rustix::fs::statfs(&path).err());
    // ENOTCONN once the daemon's last descriptor is closed, ECONNABORTED where the connection was aborted.
    matches!(answer, Some(Some(Errno::NOTCONN | Errno::CONNABORTED)))
}

fn already_mounted(mountpoint: &Path, mount: &Mount) -> MountError {
    let shown = mountpoint.display();
    let source = mount.source.to_string_lossy();
    let hint = if mount.is_ours() {
        format!("unmount it with 'storefs unmount {shown}'")
    } else {
        "choose another mountpoint".to_owned()
    };
    MountError::refused(format!(
        "'{shown}' is already mounted: {source} of type {}; {hint}",
        mount.file_system_type
    ))
}

fn check_not_nested(source: &Path, mountpoint: &Path) -> Result<(), MountError> {
    let (source_shown, mountpoint_shown) = (source.display(), mountpoint.display());
    if source == mountpoint {
        return Err(MountError::refused(format!(
            "'{mountpoint_shown}' is the source itself; choose a mountpoint outside it"
        )));
    }
    if mountpoint.starts_with(source) {
        return Err(MountError::refused(format!(
            "mountpoint '{mountpoint_shown}' is inside the source '{source_shown}'; choose one outside it"
        )));
    }
    if source.starts_with(mountpoint) {
        return Err(MountError::refused(format!(
            "the source '{source_shown}' is inside mountpoint '{mountpoint_shown}', which would hide it; \
             choose another mountpoint"
        )));
    }
    Ok(())
}

fn check_empty(mountpoint: &Path) -> Result<(), MountError> {
    let shown = mountpoint.display();
    match fs::read_dir(mountpoint).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(MountError::refused(format!(
            "mountpoint '{shown}' is not empty; empty it, or hide what is there with --nonempty"
        ))),
        Err(error) => Err(MountError::io(format!("read mountpoint '{shown}'"), error)),
    }
}

pub(super) fn check_device() -> Result<(), MountError> {
    // Opening it has no effect until something is mounted through the descriptor.
    match OpenOptions::new().read(true).write(true).open(FUSE_DEVICE) {
        Ok(_) => Ok(()),
        Err(error) => Err(MountError::refused(device_hint(&error))),
    }
}

fn device_hint(error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::NotFound => {
            "load the module with 'modprobe fuse'; a container needs '--device /dev/fuse --cap-add SYS_ADMIN'"
        }
        ErrorKind::PermissionDenied => "it is usually open to everybody (mode 0666)",
        _ => "a container needs '--device /dev/fuse --cap-add SYS_ADMIN'",
    };
    format!("cannot open {FUSE_DEVICE}: {error}; {hint}")
}

fn not_a_directory(what: &str, path: &Path) -> MountError {
    MountError::refused(format!("{what} '{}' is not a directory", path.display()))
}

/// The mount table, with an error that names it.
pub(super) fn read_table() -> Result<MountTable, MountError> {
    MountTable::read().map_err(|error| MountError::io("read the mount table in /proc", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap()
    }

    fn refusal(source: &Path, mountpoint: &Path) -> String {
        let config = MountConfig {
            source: source.into(),
            mountpoint: mountpoint.into(),
            storage: crate::engine::StorageOptions::default(),
            fs: crate::fs::FsOptions::default(),
            no_exec: false,
            allow_other: false,
            metrics: None,
            nonempty: false,
            store: None,
            retry: Duration::ZERO,
        };
        check(&config, Patience::of(config.retry)).unwrap_err().to_string()
    }

    #[test]
    fn each_fault_has_its_own_line() {
        let root = directory();
        let at = |name: &str| root.path().join(name);
        for name in ["source", "mountpoint", "full/x", "source/inner"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("file"), "").unwrap();
        assert!(refusal(&at("no"), &at("mountpoint")).contains("does not exist"));
        assert!(refusal(&at("file"), &at("mountpoint")).contains("not a directory"));
        assert!(refusal(&at("file/x"), &at("mountpoint")).contains("not a directory"));
        assert!(refusal(&at("source"), &at("no")).contains("mkdir -p"));
        assert!(refusal(&at("source"), &at("no/no")).contains("mkdir -p"));
        assert!(refusal(&at("source"), &at("file")).contains("not a directory"));
        assert!(refusal(&at("source"), &at("full")).contains("--nonempty"));
        assert!(refusal(&at("source"), &at("source/inner")).contains("inside the source"));
        assert!(refusal(&at("full/x"), &at("full")).contains("would hide it"));
        assert!(refusal(&at("source"), &at("source")).contains("the source itself"));
        fs::write(at("full/crawlee.db"), [0; 512]).unwrap();
        #[cfg(feature = "sqlite")]
        assert!(refusal(&at("full/crawlee.db"), &at("full")).contains("would hide it"));
        assert!(refusal(&at("source"), Path::new("/proc")).contains("already mounted"));
    }

    #[test]
    fn nesting_is_seen_through_links() {
        let root = directory();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("source/inner")).unwrap();
        std::os::unix::fs::symlink(at("source"), at("link")).unwrap();
        assert!(refusal(&at("source"), &at("link/inner")).contains("inside the source"));
    }

    #[test]
    fn a_live_directory_is_not_dead() {
        assert!(!is_dead(directory().path()));
    }
}
