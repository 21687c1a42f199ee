//! `doctor --system`: what mounts need of this machine, and what would make them better.

use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::args::FormatArgs;
use crate::cli::cell::{Cell, Tone};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::Listing;

/// The bit of the capability to mount (CAP_SYS_ADMIN) in a process's sets of capabilities.
const MAY_MOUNT: u64 = 1 << 21;

/// Set-user-ID, in a file's mode.
const SET_USER_ID: u32 = 0o4000;

/// From which kernel on something is there, what it is, what it buys, and whether it needs the right to mount.
const KERNELS: [(Kernel, &str, &str, bool); 5] = [
    ((6, 9), "passthrough", "the kernel reads large records by itself", true),
    (
        (6, 9),
        "direct-io-map",
        "what is open for writing bypasses the kernel's cache, so that small writes cost less",
        false,
    ),
    ((6, 9), "resend", "mounts in the background survive the process that serves them", false),
    (
        (6, 16),
        "epoch",
        "the storage is watched: changes of others are seen at once, names and attributes trusted for a minute",
        false,
    ),
    ((6, 18), "prune", "read-only mounts open small records without asking", false),
];

/// Major and minor number.
type Kernel = (u32, u32);

/// What was looked at.
struct Check {
    name: &'static str,
    state: State,
    found: String,
    /// What it is good for.
    for_what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// Mounts work without it, and lack something.
    Absent,
    /// Nothing can be mounted without it.
    Missing,
}

impl State {
    fn of(is_there: bool) -> Self {
        if is_there { Self::Ok } else { Self::Absent }
    }

    fn needed(is_there: bool) -> Self {
        if is_there { Self::Ok } else { Self::Missing }
    }

    fn text(self) -> (&'static str, Tone) {
        match self {
            Self::Ok => ("ok", Tone::Good),
            Self::Absent => ("absent", Tone::Doubtful),
            Self::Missing => ("missing", Tone::Bad),
        }
    }
}

/// `doctor --system`.
pub(super) fn doctor(format: FormatArgs) -> Outcome {
    let checks = checks();
    let mut listing = Listing::new(format, &["CHECK", "STATE", "FOUND", "FOR"]);
    for check in &checks {
        let (state, tone) = check.state.text();
        let found = check.found.as_str().into();
        let cells = vec![
            check.name.into(),
            Cell::State(state, tone),
            found,
            check.for_what.as_str().into(),
        ];
        listing.row(cells, &check.facts())?;
    }
    listing.finish()?;
    match checks.iter().filter(|check| check.state == State::Missing).count() {
        0 => Ok(()),
        missing => {
            Err(Failure::Failed(format!("{missing} missing without which nothing can be mounted")))
        }
    }
}

/// The same, as JSON.
pub(super) fn facts() -> Value {
    checks().iter().map(Check::facts).collect()
}

impl Check {
    fn facts(&self) -> Value {
        json!({
            "check": self.name,
            "state": self.state.text().0,
            "found": self.found,
            "for": self.for_what,
        })
    }
}

fn checks() -> Vec<Check> {
    let may_mount = may_mount();
    let mut checks = vec![device(), rights(may_mount), helper(may_mount), allow_other(), watches()];
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    checks.extend(KERNELS.map(|(from, name, buys, needs_right)| {
        let is_there = parsed(release) >= Some(from);
        let without =
            if is_there && needs_right && !may_mount { ", and this user may not" } else { "" };
        Check {
            name,
            state: State::of(is_there && without.is_empty()),
            found: format!("Linux {release}{without}"),
            for_what: format!(
                "{buys} (Linux {}.{}{})",
                from.0,
                from.1,
                if needs_right { ", root" } else { "" }
            ),
        }
    }));
    checks
}

fn device() -> Check {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    Check {
        name: "/dev/fuse",
        state: State::needed(opened.is_ok()),
        found: match opened {
            Ok(_) => "can be opened".to_owned(),
            Err(error) => {
                format!("{error}; 'modprobe fuse' loads it, a container needs --device /dev/fuse")
            }
        },
        for_what: "any mount".to_owned(),
    }
}

fn rights(may_mount: bool) -> Check {
    Check {
        name: "CAP_SYS_ADMIN",
        state: State::of(may_mount),
        found: if may_mount { "held" } else { "not held" }.to_owned(),
        for_what: "mounts without fusermount3, passthrough".to_owned(),
    }
}

fn helper(may_mount: bool) -> Check {
    let path = in_path("fusermount3");
    let is_setuid = path.as_ref().and_then(|path| path.metadata().ok());
    let is_setuid =
        is_setuid.is_some_and(|found| found.mode() & SET_USER_ID != 0 && found.uid() == 0);
    Check {
        name: "fusermount3",
        state: if may_mount { State::of(is_setuid) } else { State::needed(is_setuid) },
        found: match path {
            Some(path) if is_setuid => path.display().to_string(),
            Some(path) => format!("{} is not set-user-ID root", path.display()),
            None => "not in PATH; install the package fuse3".to_owned(),
        },
        for_what: "mounts of users other than root".to_owned(),
    }
}

fn allow_other() -> Check {
    let text = fs::read_to_string("/etc/fuse.conf");
    let is_allowed =
        text.as_ref().is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    Check {
        name: "user_allow_other",
        state: State::of(is_allowed),
        found: match text {
            Ok(_) if is_allowed => "in /etc/fuse.conf".to_owned(),
            Ok(_) => "not in /etc/fuse.conf".to_owned(),
            Err(error) => format!("/etc/fuse.conf: {error}"),
        },
        for_what: "--allow-other of users other than root".to_owned(),
    }
}

fn watches() -> Check {
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok();
    let most: Option<u64> = most.and_then(|text| text.trim().parse().ok());
    Check {
        name: "inotify",
        state: State::of(most.is_some_and(|most| most > 0)),
        found: most
            .map_or_else(|| "not known".to_owned(), |most| format!("{most} watches for a user")),
        for_what:
            "seeing changes of others; one watch for each store (fs.inotify.max_user_watches)"
                .to_owned(),
    }
}

fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok())
        .is_some_and(|held| held & MAY_MOUNT != 0)
}

fn in_path(program: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Major and minor number of a release such as 6.18.1-amd64.
fn parsed(release: &str) -> Option<Kernel> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        assert_eq!(parsed("6.18.1-amd64"), Some((6, 18)));
        assert_eq!(parsed("6.9-rc1"), Some((6, 9)));
        assert_eq!(parsed("strange"), None);
        assert!(parsed("6.18.0") > parsed("6.9.0") && parsed("strange") < parsed("2.6"));
    }
}
