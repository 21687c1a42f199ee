//! What a process sees that no test has started: one of another session, with no writer among its ancestors.
//!
//! Who writes a record finds by its name what he is writing, and so does whoever he has started (P3). So a test that has a
//! record open for writing must have others look at it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// The output of a shell script whose `$1` is a path, run by a process whose parent has ended.
#[track_caller]
pub(crate) fn stranger(script: &str, path: &Path) -> Vec<u8> {
    // The shell ends at once; what it has left behind waits until it is nobody's child any more.
    let orphan = "(while kill -0 $$ 2> /dev/null; do :; done; eval \"$0\"; echo $?) & ";
    let mut shell = Command::new("sh")
        .args(["-c", orphan, script])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = shell.stdout.take().unwrap();
    assert!(shell.wait().unwrap().success());
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    let status = text.split_off(text.len() - 2);
    assert_eq!(status, b"0\n", "'{script}' of {}", path.display());
    text
}

/// What a stranger reads.
#[track_caller]
pub(crate) fn stranger_reads(path: &Path) -> Vec<u8> {
    stranger("cat -- \"$1\"", path)
}
