//! `credential_process`: a program that prints keys.
//!
//! No shell runs it: the line is split as one would split it, and nothing else is done to it, as in botocore. It inherits
//! environment and working directory, and reads nothing. What it says on standard error is told if it fails; what it prints
//! is never told.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::chain::Process;
use super::failure::{no_keys, told};
use super::fetch::{self, Fetched};
use crate::model::{BackendErrorKind, Error, Result};

/// How long it may take. Some ask a server that asks another.
const MOST_TIME: Duration = Duration::from_secs(60);

/// Longest output in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Runs the program. It is killed, with all that it has started, if it takes too long or prints too much, or if nobody waits
/// for it any more.
pub(super) async fn run(process: &Process, now: Timestamp) -> Result<Fetched> {
    let no = |kind, reason: String| {
        no_keys(kind, format!("the credential_process of profile '{}' {reason}", process.profile))
    };
    let denied = |reason: String| no(BackendErrorKind::Denied, reason);
    let words = shlex::split(&process.command);
    let words = words.ok_or_else(|| denied("has a quote without its end".to_owned()))?;
    let [program, arguments @ ..] = words.as_slice() else {
        return Err(denied("names no program".to_owned()));
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child =
        child.map_err(|error| denied(format!("cannot be started: {}: {error}", told(program))))?;
    let group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = async {
        let (stdout, stderr) = futures_util::future::join(all(stdout), all(stderr)).await;
        let (stdout, stderr) = (stdout?, stderr?);
        let status = child.wait().await;
        group.has_ended();
        Ok::<_, std::io::Error>((status?, stdout, stderr))
    };
    let output = tokio::time::timeout(MOST_TIME, output).await;
    let (status, stdout, stderr) = match output {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(denied(format!("cannot be waited for: {error}"))),
        Err(_) => {
            let reason = format!("has not ended within {} s", MOST_TIME.as_secs());
            return Err(no(BackendErrorKind::TimedOut, reason));
        }
    };
    if !status.success() {
        return Err(denied(failed(&status.to_string(), &stderr)));
    }
    let keys = brought(&stdout, now);
    keys.map_err(|reason| -> Error { denied(format!("has printed {reason}")) })
}

/// The program with all that it has started. Killed when dropped, unless the program has ended.
struct Group(Option<Pid>);

impl Group {
    /// That of a child that leads one.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)))
    }

    /// The child was waited for: its number may be another's by now.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // An error says that nobody is there.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let read = pipe.take(MOST_BYTES + 1).read_to_end(&mut bytes).await?;
        if read as u64 > MOST_BYTES {
            return Err(std::io::Error::other("it prints more than keys"));
        }
    }
    Ok(bytes)
}

fn failed(status: &str, stderr: &[u8]) -> String {
    match told(&String::from_utf8_lossy(stderr)) {
        said if said.is_empty() => format!("has failed without a word ({status})"),
        said => format!("has failed ({status}): {said}"),
    }
}

/// Reads what it has printed.
fn brought(stdout: &[u8], now: Timestamp) -> Result<Fetched, String> {
    let json: serde_json::Value =
        serde_json::from_slice(stdout).map_err(|_| "what is no JSON".to_owned())?;
    if json.get("Version").and_then(serde_json::Value::as_u64) != Some(1) {
        return Err("JSON that is not of Version 1".to_owned());
    }
    let keys = fetch::read(&json, "SessionToken", now);
    keys.map_err(|reason| format!("JSON {reason}"))
}
