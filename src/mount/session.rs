//! The session with the kernel: its configuration, and the three ways to it.

use fuser::{Config, Session, SessionACL};

use super::options::{self, KernelOptions};
use super::preflight::{self, Places};
use super::supervise::Handed;
use super::{MountError, Prepared, handed_over};
use crate::fuse::Guarded;

/// Mounts, or takes over what others have mounted, or what a supervisor has `handed`, and comes to terms with the kernel.
pub(super) fn begin(
    adapter: Guarded,
    prepared: &Prepared,
    handed: Option<&Handed>,
) -> Result<Session<Guarded>, MountError> {
    let places = &prepared.places;
    let mut config = config(prepared);
    if let Some(handed) = handed {
        let failed = |error| MountError::io(format!("serve '{}'", shown(places)), error);
        return handed.session(adapter, config).map_err(failed);
    }
    let Some(descriptor) = prepared.descriptor() else {
        let session = Session::new(adapter, &places.mountpoint, &config);
        return session.map_err(|error| explain(&error, places));
    };
    // Whoever has mounted has told the kernel whom to let in.
    let everybody = SessionACL::All;
    // Each thread's own connection is one more open of the device, which a container need not have.
    config.clone_fd = preflight::check_device().is_ok();
    let session = Session::from_fd(adapter, handed_over::take(descriptor)?, everybody, config);
    session.map_err(|error| {
        MountError::io(format!("serve the mount behind '{}'", shown(places)), error)
    })
}

fn config(prepared: &Prepared) -> Config {
    let source = prepared.places.source.shown();
    options::session_config(kernel_options(prepared, &source))
}

/// What the kernel is told of a mount, whose source is shown as this.
pub(super) fn kernel_options<'a>(prepared: &Prepared, source: &'a str) -> KernelOptions<'a> {
    KernelOptions {
        source,
        read_only: prepared.config.fs.read_only,
        no_exec: prepared.config.no_exec,
        allow_other: prepared.config.allow_other,
    }
}

/// The mountpoint, for messages.
pub(super) fn shown(places: &Places) -> String {
    places.mountpoint.display().to_string()
}

/// Adds what to do to what fuser, the system and fusermount3 say.
pub(super) fn explain(error: &std::io::Error, places: &Places) -> MountError {
    let said = error.to_string();
    let mountpoint = shown(places);
    if said.contains("user_allow_other") {
        return MountError::refused(format!(
            "cannot mount at '{mountpoint}' for other users: --allow-other needs the line 'user_allow_other' \
             in /etc/fuse.conf"
        ));
    }
    if error.kind() == std::io::ErrorKind::NotFound {
        return MountError::refused(format!(
            "cannot mount at '{mountpoint}': users other than root need fusermount3; install the package fuse3"
        ));
    }
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    MountError::refused(format!("cannot mount at '{mountpoint}': {}", lines.join("; ")))
}
