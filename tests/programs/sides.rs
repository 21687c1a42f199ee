//! The two sides of a comparison: how a script is run on a plain disk and in a mount.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::caller::Caller;
use crate::common::{METADATA, STORES, TempMount, file_name, names};
use crate::corpus::{PATH, Script};
use crate::help::NOBODY;
use crate::outcome::{Outcome, describe, listed, shown_name};
use crate::place::Place;

/// What a script's second directory is called beside the first, if it asks for one by naming `$SECOND`.
const SECOND: &str = "-second";

/// The plain side and the mounted one.
pub(crate) struct Sides<'a> {
    place: &'a Place,
    mount: &'a TempMount,
    caller: Caller,
}

impl<'a> Sides<'a> {
    pub(crate) fn new(place: &'a Place, mount: &'a TempMount, caller: Caller) -> Self {
        Self { place, mount, caller }
    }

    /// Makes the directories that a script is run in.
    pub(crate) fn prepare(&self, script: &Script) {
        let (plain, stores) = (self.plain(), self.mount.stores());
        for dir in dirs(script) {
            let (plain, store) = (plain.join(&dir), stores.join(&dir));
            fs::create_dir(&store).unwrap();
            fs::create_dir_all(&plain).unwrap();
            // The plain side has the one file more that a store has.
            let on_disk = self.place.storage().join(STORES).join(&dir);
            fs::copy(on_disk.join(METADATA), plain.join(METADATA)).unwrap();
            if self.caller == Caller::Other {
                for path in [&store, &plain] {
                    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
                }
            }
        }
    }

    fn plain(&self) -> PathBuf {
        self.place.root().join("plain")
    }

    /// Runs a script on the plain side.
    pub(crate) fn on_plain(&self, script: &Script) -> Outcome {
        self.run(script, &self.plain(), &dirs(script), "plain")
    }

    /// Runs a script on the mounted side; gives back what differs from what came of it on the plain one.
    pub(crate) fn difference(&self, script: &Script, plain: &Outcome) -> Vec<String> {
        let dirs = dirs(script);
        let mut mounted = self.run(script, &self.mount.stores(), &dirs, "mounted");
        for dir in &dirs {
            self.on_disk(dir, &mut mounted);
        }
        mounted.against(plain)
    }

    fn run(&self, script: &Script, base: &Path, dirs: &[String], side: &str) -> Outcome {
        let dir = base.join(&script.name);
        let scratch = self.place.root().join("scratch").join(side).join(&script.name);
        let out = scratch.join("out");
        fs::create_dir_all(&out).unwrap();
        let began = SystemTime::now();
        let status = self.execute(script, &dir, &scratch);
        let mut outcome = Outcome::default();
        outcome.exit(status);
        let named = [(out.as_path(), "OUT"), (base, "BASE")];
        for stream in ["stdout", "stderr"] {
            outcome.printed(stream, &fs::read(scratch.join(stream)).unwrap(), &named);
        }
        for (label, dir) in ["left", "second"].into_iter().zip(dirs) {
            outcome.left(label, &base.join(dir), began);
        }
        outcome
    }

    /// Runs a script, and ends all that it has left running. It prints into files, which no process that it leaves can
    /// hold us up with.
    fn execute(&self, script: &Script, dir: &Path, scratch: &Path) -> ExitStatus {
        let mut command = self.caller.command();
        command.args(["bash", "-c", &script.text, "bash"]).current_dir(dir).stdin(Stdio::null());
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("HOME", scratch.join("out")).env("OUT", scratch.join("out")).env("PWD", dir);
        command.env("SECOND", second(dir)).env("TERM", "dumb");
        command.stdout(File::create(scratch.join("stdout")).unwrap());
        command.stderr(File::create(scratch.join("stderr")).unwrap());
        let mut child = command.spawn().unwrap();
        // timeout(1) leads a process group of its own.
        let group = Pid::from_child(&child);
        let status = child.wait().unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        status
    }

    /// Notes what the mount shows of a store and the disk does not have, or has otherwise.
    fn on_disk(&self, store: &str, outcome: &mut Outcome) {
        let dir = self.place.storage().join(STORES).join(store);
        let mount = self.mount.store(store);
        let mut on_disk = listed(&dir, SystemTime::UNIX_EPOCH);
        on_disk.retain(|name, _| !is_metadata(name));
        let mut shown = listed(&mount, SystemTime::UNIX_EPOCH);
        shown.retain(|name, _| name != METADATA);
        for name in disk_names(&dir) {
            let key = percent_decode_str(&name).decode_utf8_lossy().into_owned();
            let facts = on_disk.remove(&name);
            // Of metadata's look, but none: shown as it is.
            let name_in_mount = if key.ends_with(METADATA) { key } else { file_name(&key) };
            if shown.remove(&shown_name(name_in_mount.as_ref())) != facts {
                let facts = describe(&mount.join(name_in_mount), SystemTime::UNIX_EPOCH);
                outcome.note(format!("disk {name} is otherwise in the mount: {facts:?}"));
            }
        }
        for (name, facts) in shown {
            outcome.note(format!("disk has no {name} {facts}"));
        }
    }
}

/// The names of the directories that a script is run in.
fn dirs(script: &Script) -> Vec<String> {
    let mut dirs = vec![script.name.clone()];
    if script.text.contains("$SECOND") {
        dirs.push(format!("{}{SECOND}", script.name));
    }
    dirs
}

/// Whether a name on disk is that of a store's metadata or of a sidecar.
fn is_metadata(name: &str) -> bool {
    name == METADATA || name.strip_suffix(METADATA).is_some_and(|of| of.ends_with('.'))
}

/// The names of values in a store's directory.
fn disk_names(dir: &Path) -> Vec<String> {
    if !dir.exists() {
        return Vec::new();
    }
    names(dir).into_iter().filter(|name| !is_metadata(name)).collect()
}

fn second(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(SECOND);
    name.into()
}
