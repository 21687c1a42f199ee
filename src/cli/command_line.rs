//! Passwords on the command line, and who must not see them.
//!
//! A source may hold a password, and a command line is there for everybody to read (`ps`, `/proc/PID/cmdline`) as long as
//! the process lives. So what must not be shown is written over in this process's own memory as soon as the arguments are
//! parsed, before a daemon is forked off. Until then, some milliseconds, others can see it; a password in `PGPASSWORD` or
//! in libpq's password file is seen by nobody at any time.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Debug, Formatter};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::engine::concealed;

/// Where the kernel tells the addresses of the command line.
const STAT: &str = "/proc/self/stat";

/// The command line, as everybody sees it.
const COMMAND_LINE: &str = "/proc/self/cmdline";

/// This process's memory.
const MEMORY: &str = "/proc/self/mem";

/// The field of `STAT` with the address of the first argument, counted from 0 behind the program's name (`arg_start` in
/// proc_pid_stat(5), field 48).
const ADDRESS_FIELD: usize = 45;

/// What begins the argument that is a source.
const SOURCE_OPTION: &str = "--source=";

/// The text of a source, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SourceText(OsString);

impl SourceText {
    /// Takes any text: what is wrong with it is told by [`Source::parse`](crate::engine::Source::parse), since the
    /// grammar's own errors repeat it.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().map(Self)
    }

    /// Whether there is something in it that must not be shown.
    pub(super) fn is_secret(&self) -> bool {
        concealed(&self.0).is_some()
    }

    /// The text itself.
    pub(super) fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl Debug for SourceText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match concealed(&self.0) {
            Some(shown) => shown.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl From<&str> for SourceText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// The arguments of this process, as they were before any was written over.
static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// The arguments of this process, with its name and with what must not be shown.
pub(super) fn arguments() -> Vec<OsString> {
    ARGUMENTS.get().cloned().unwrap_or_default()
}

/// The arguments of this process that must not be shown as they stand.
#[derive(Default)]
pub(super) struct Secrets {
    /// Each with what is shown in its place.
    arguments: Vec<(OsString, String)>,
}

impl Secrets {
    pub(super) fn of_command_line() -> Self {
        Self::among(ARGUMENTS.get_or_init(|| env::args_os().collect()).iter().skip(1).cloned())
    }

    fn among(arguments: impl Iterator<Item = OsString>) -> Self {
        Self { arguments: arguments.filter_map(secret).collect() }
    }

    fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// What is told to whoever has written the command line, without any password in it. Other words stay, which may well
    /// be keys that look like URLs.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let arguments = self.arguments.iter();
        let secret = arguments.filter(|(argument, _)| is_like_login(&argument.to_string_lossy()));
        secret.fold(text.to_owned(), |text, (argument, shown)| {
            let argument = argument.to_string_lossy();
            let value = argument.strip_prefix(SOURCE_OPTION).unwrap_or(&argument);
            let shown = shown.strip_prefix(SOURCE_OPTION).unwrap_or(shown);
            let text = text.replace(value, shown);
            // Taken for a path and made absolute, it has one slash less.
            let login = value.split_once("//").map(|(_, login)| login);
            match login.filter(|login| is_like_login(login)) {
                Some(login) => text.replace(login, "***"),
                None => text,
            }
        })
    }

    /// Writes over them where others see them. They can be asked for no more.
    pub(super) fn hide(&self) {
        if !self.is_empty()
            && let Err(error) = self.write_over()
        {
            // There is no log yet.
            super::output::tell(&format!(
                "the password stays visible on the command line: {error}; PGPASSWORD and ~/.pgpass show it to nobody"
            ));
        }
    }

    fn write_over(&self) -> io::Result<()> {
        let (line, begin) = (fs::read(COMMAND_LINE)?, address_of_arguments()?);
        let memory = OpenOptions::new().write(true).open(MEMORY)?;
        let mut address = begin;
        for argument in line.split_inclusive(|byte| *byte == 0) {
            let text = argument.strip_suffix(b"\0").unwrap_or(argument);
            let found = self.arguments.iter().find(|(known, _)| known.as_bytes() == text);
            if let Some((_, shown)) = found {
                // No longer than before, and empty arguments where it is shorter.
                let mut instead = shown.as_bytes().to_owned();
                instead.resize(text.len(), 0);
                memory.write_all_at(&instead, address)?;
            }
            address += u64::try_from(argument.len()).unwrap_or(0);
        }
        Ok(())
    }
}

/// An argument with what is shown in its place, if it must not be shown.
fn secret(argument: OsString) -> Option<(OsString, String)> {
    let bytes = argument.as_bytes();
    let (option, text) = match bytes.strip_prefix(SOURCE_OPTION.as_bytes()) {
        Some(text) => (SOURCE_OPTION, text),
        None => ("", bytes),
    };
    let shown = concealed(OsStr::from_bytes(text))?;
    Some((argument, format!("{option}{shown}")))
}

/// Whether there may be a password in an argument that is not shown.
fn is_like_login(argument: &str) -> bool {
    argument.contains('@') || argument.to_ascii_lowercase().contains("pass")
}

fn address_of_arguments() -> io::Result<u64> {
    let stat = fs::read_to_string(STAT)?;
    // The name of the program, in brackets, may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_ascii_whitespace());
    let address = fields.and_then(|mut fields| fields.nth(ADDRESS_FIELD)?.parse().ok());
    address
        .filter(|address| *address != 0)
        .ok_or_else(|| io::Error::other("the system does not tell where it is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_password() {
        let secrets = Secrets::among(
            [
                "mount",
                "./storage",
                "/a:b@c",
                "http://u:hunter2@h",
                "--source=postgres//v:hunter2@h",
            ]
            .map(OsString::from)
            .into_iter(),
        );
        let shown: Vec<&str> = secrets.arguments.iter().map(|(_, shown)| shown.as_str()).collect();
        assert_eq!(shown, ["http:***", "--source=postgres:***"]);
        let said =
            secrets.hidden_in("there is no 'http://u:hunter2@h', nor 'postgres//v:hunter2@h'");
        assert_eq!(said, "there is no 'http:***', nor 'postgres:***'");
        assert_eq!(secrets.hidden_in("no '/dir/http:/u:hunter2@h'"), "no '/dir/http:/***'");
        let text = SourceText::from("http://u:hunter2@h");
        assert_eq!(
            format!("{text:?} {:?}", SourceText::from("./storage")),
            "\"http:***\" \"./storage\""
        );
    }
}
