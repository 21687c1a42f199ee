//! What live mounts say of themselves, with a deadline for each: one that hangs hangs nobody who asks.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use serde_json::Value;

use super::preflight::{self, STATUS_FILE};
use super::table::{self, Mount, MountTable};
use super::{MountError, elsewhere};

/// A mount of ours, and what it says.
#[derive(Clone, Debug)]
pub struct MountStatus {
    /// Its line in the mount table.
    pub mount: Mount,
    /// What it says.
    pub answer: MountAnswer,
}

/// What a mount says when it is asked for its state.
#[derive(Clone, Debug)]
pub enum MountAnswer {
    /// What `@status` shows.
    Live(Value),
    /// Its daemon has died.
    Dead,
    /// It does not answer in time.
    Hanging,
    /// This user may not ask, or what answers is nothing that we know; in words.
    Unknown(String),
}

/// Asks all mounts of ours that this process sees, each where it was mounted first.
///
/// # Errors
/// [`MountError::Io`] where there is no mount table.
pub fn all_statuses(deadline: Duration) -> Result<Vec<MountStatus>, MountError> {
    let table = preflight::read_table()?;
    let mut seen = HashSet::new();
    let ours = table.below(Path::new("/")).filter(|mount| mount.is_ours());
    let first = ours.filter(|mount| seen.insert(mount.device.clone()));
    // What lies under another mount cannot be asked by its path.
    let visible = first.filter(|mount| {
        table.at(&mount.mountpoint).is_some_and(|upper| upper.device == mount.device)
    });
    Ok(ask(visible.cloned().collect(), deadline))
}

/// Asks the mount at a path, or around it.
///
/// # Errors
/// [`MountError::Refused`] if there is none of ours; [`MountError::Io`].
pub fn status_of(mountpoint: &Path, deadline: Duration) -> Result<MountStatus, MountError> {
    let table = preflight::read_table()?;
    let shown = mountpoint.display();
    let reach = |error| MountError::io(format!("reach mountpoint '{shown}'"), error);
    let path = table::resolve(mountpoint, &table).map_err(reach)?;
    match find(&path, &table) {
        Some(mount) => ask(vec![mount.clone()], deadline)
            .pop()
            .ok_or_else(|| MountError::refused(format!("'{shown}' cannot be asked"))),
        None => Err(MountError::refused(format!(
            "no storefs mount is at '{shown}'; 'storefs status' lists those that there are"
        ))),
    }
}

fn find<'a>(path: &Path, table: &'a MountTable) -> Option<&'a Mount> {
    table.at(path).filter(|mount| mount.is_ours())
}

/// Asks all at once.
fn ask(mounts: Vec<Mount>, deadline: Duration) -> Vec<MountStatus> {
    let places: Vec<&Path> = mounts.iter().map(|mount| &*mount.mountpoint).collect();
    let answers = answers_of(&places, deadline);
    mounts.into_iter().zip(answers).map(|(mount, answer)| MountStatus { mount, answer }).collect()
}

/// What the mount at a path says, which is known to be one of ours.
pub(super) fn answer_at(path: &Path, deadline: Duration) -> MountAnswer {
    let unread = || MountAnswer::Unknown("it was not asked".to_owned());
    answers_of(&[path], deadline).pop().unwrap_or_else(unread)
}

fn answers_of(mountpoints: &[&Path], deadline: Duration) -> Vec<MountAnswer> {
    let files: Vec<_> = mountpoints.iter().map(|path| path.join(STATUS_FILE)).collect();
    let files: Vec<_> = files.iter().map(AsRef::as_ref).collect();
    let answers = elsewhere::read_all(&files, deadline).into_iter();
    answers.map(|read| read.map_or(MountAnswer::Hanging, answer_of)).collect()
}

fn answer_of(read: std::io::Result<Vec<u8>>) -> MountAnswer {
    match read {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(status) => MountAnswer::Live(status),
            Err(error) => MountAnswer::Unknown(format!("'{STATUS_FILE}' is no JSON: {error}")),
        },
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOTCONN | Errno::CONNABORTED) => MountAnswer::Dead,
            _ => MountAnswer::Unknown(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_tells_whether_a_mount_lives() {
        assert!(matches!(answer_of(Ok(b"{}".to_vec())), MountAnswer::Live(_)));
        assert!(matches!(answer_of(Ok(Vec::new())), MountAnswer::Unknown(_)));
        let failed = |errno: Errno| answer_of(Err(errno.into()));
        assert!(matches!(failed(Errno::NOTCONN), MountAnswer::Dead));
        assert!(matches!(failed(Errno::CONNABORTED), MountAnswer::Dead));
        assert!(matches!(failed(Errno::ACCESS), MountAnswer::Unknown(_)));
    }
}
