//! The program as a helper of mount(8).
//!
//! For a type that the kernel does not know, mount(8) calls `/sbin/mount.TYPE SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE]
//! [-o WORDS] [-t TYPE]`. That is this program, by the name that it is called by: what it is given is the rest of a command
//! line of `storefs mount`, and what it ends with is what mount(8) expects.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::exit::ExitCode;

/// The names by which mount(8) calls it.
const NAMES: [&str; 2] = ["mount.storefs", "mount.fuse.storefs"];

/// Whether a program of this name is called by mount(8).
pub(super) fn is_helper(program: Option<&OsStr>) -> bool {
    let name = program.and_then(|program| Path::new(program).file_name()?.to_str());
    name.is_some_and(|name| NAMES.contains(&name))
}

/// The command line with the command in it that the program's name stands for, and that mount(8) has called it.
pub(super) fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if is_helper(arguments.first().map(OsString::as_os_str)) {
        arguments.splice(1..1, ["mount", "--by-mount8"].map(OsString::from));
    }
    arguments
}

/// The exit status as mount(8) passes it on.
pub(super) fn exit_code(code: ExitCode) -> ExitCode {
    match code {
        ExitCode::Success => ExitCode::Success,
        // Its own for a wrong invocation has the number of our failures.
        ExitCode::Usage => ExitCode::Failure,
        _ => ExitCode::MountFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_stands_for_a_command() {
        let line = |words: &[&str]| {
            with_command(words.iter().map(OsString::from).collect()).join(OsStr::new(" "))
        };
        assert_eq!(
            line(&["/sbin/mount.storefs", "s", "m", "-o", "ro"]),
            "/sbin/mount.storefs mount --by-mount8 s m -o ro"
        );
        assert_eq!(
            line(&["mount.fuse.storefs", "s", "m"]),
            "mount.fuse.storefs mount --by-mount8 s m"
        );
        assert_eq!(line(&["/usr/bin/storefs", "keys"]), "/usr/bin/storefs keys");
        assert_eq!(line(&["mount.storefs.sh", "keys"]), "mount.storefs.sh keys");
        assert_eq!(line(&[]), "");
    }
}
