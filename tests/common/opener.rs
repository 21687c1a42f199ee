//! A process that opens files for a test, so that the test itself is none of those who write them.
//!
//! Who writes a record finds by its name what he is writing, and so does whoever he has started (P3). A test that is to see
//! what everybody sees has its files opened by this process, takes a duplicate of each descriptor, and writes to that.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

const OPENER: &str = "
import os, sys
for line in sys.stdin:
    what, number, path = line.rstrip('\\n').split(' ', 2)
    try:
        if what == 'close':
            os.close(int(number))
            print(0, flush=True)
        else:
            print(os.open(bytes.fromhex(path), int(number), 0o666), flush=True)
    except OSError as error:
        print(-error.errno, flush=True)
";

/// The process.
#[derive(Debug)]
pub(crate) struct Opener {
    process: Child,
    answers: BufReader<ChildStdout>,
}

/// A file that the process has opened.
#[derive(Debug)]
pub(crate) struct Theirs {
    /// A duplicate of the process's descriptor.
    pub(crate) file: File,
    number: i32,
}

impl Opener {
    pub(crate) fn start() -> Self {
        let mut process = Command::new("python3")
            .args(["-c", OPENER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, answers }
    }

    pub(crate) fn open(&mut self, path: &Path, flags: OFlags) -> rustix::io::Result<Theirs> {
        let path: String = path.as_os_str().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let number = self.ask(&format!("open {} {path}", flags.bits()))?;
        let process = Pid::from_child(&self.process);
        let process = pidfd_open(process, PidfdFlags::empty()).unwrap();
        let file = File::from(pidfd_getfd(process, number, PidfdGetfdFlags::empty()).unwrap());
        Ok(Theirs { file, number })
    }

    /// Closes both descriptors of a file: first the test's, then the process's, which is the last.
    pub(crate) fn close(&mut self, theirs: Theirs) -> rustix::io::Result<()> {
        let own =
            nix::unistd::close(theirs.file).map_err(|errno| Errno::from_raw_os_error(errno as i32));
        let last = self.ask(&format!("close {} -", theirs.number)).map(drop);
        own.and(last)
    }

    fn ask(&mut self, question: &str) -> rustix::io::Result<i32> {
        let mut questions = self.process.stdin.as_ref().unwrap();
        writeln!(questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match answer.trim().parse::<i32>().unwrap() {
            errno if errno < 0 => Err(Errno::from_raw_os_error(-errno)),
            number => Ok(number),
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}
