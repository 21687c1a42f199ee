//! Completion of commands, options, stores and keys, as the scripts of `storefs completions` ask for it.
//!
//! Such a script calls this program with what is on the command line so far, so stores and keys are those of the source
//! that is meant there. The storage is read as for a copy: nothing in it changes, no time moves.

use std::borrow::Cow;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::args::{Cli, CommonArgs};
use super::commands;
use super::config::{self, Target};
use super::exit::ExitCode;
use super::failure::{Failure, Outcome};
use super::output::is_obeyed;
use crate::engine::{IterateKeys, Storage};

/// Names the shell that asks. Of our own, so that nobody sets it for another program.
const VARIABLE: &str = "STOREFS_COMPLETE";

/// Who is looked for in PATH, and completed.
const PROGRAM: &str = "storefs";

/// So many names are offered at most.
const MOST: usize = 200;

/// How long a storage that is no directory may take, in place of what is for commands: somebody waits at a prompt.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What bash would read as more than itself.
const SPECIAL: &[u8] = b" \t!\"#$&'()*,;<>?[\\]^`{|}~";

/// The words of a command line that is being completed.
#[derive(Debug)]
struct Words {
    words: Vec<OsString>,
    /// Whether the shell takes candidates as if they had been typed.
    is_bash: bool,
}

/// The script that has a shell ask.
///
/// # Errors
/// [`Failure::Usage`] for a shell that is not known; [`Failure::Failed`] if the script cannot be made.
pub(super) fn script(shell: Shell) -> Outcome<Vec<u8>> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let Some(known) = shells.completer(&name) else {
        return Err(Failure::Usage(format!("there is no completion for '{name}'")));
    };
    let mut script = Vec::new();
    known
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
        .map_err(|error| Failure::Failed(format!("cannot make the script: {error}")))?;
    Ok(script)
}

/// Whether a shell asks.
pub(super) fn is_asked() -> bool {
    env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty())
}

/// Answers a shell.
pub(super) fn answer(arguments: Vec<OsString>) -> ExitCode {
    let is_bash = env::var_os(VARIABLE).is_some_and(|shell| shell == "bash");
    let words = arguments.iter().skip_while(|word| *word != "--").skip(1);
    let words = Arc::new(Words { words: words.map(|word| unquoted(word)).collect(), is_bash });
    let asked = CompleteEnv::with_factory(|| with_completers(Cli::command(), &words));
    let directory = env::current_dir().ok();
    match asked.var(VARIABLE).bin(PROGRAM).try_complete(arguments, directory.as_deref()) {
        Ok(_) => ExitCode::Success,
        Err(error) => {
            // Nowhere is left to complain if standard error is closed.
            let _ = write!(io::stderr(), "{error}");
            ExitCode::Failure
        }
    }
}

/// The grammar with what completes each STORE and KEY.
fn with_completers(command: Command, words: &Arc<Words>) -> Command {
    let asks_for_option = words.words.last().is_some_and(|word| word.as_bytes().starts_with(b"-"));
    // Among names they would be in the way.
    let hidden = |arg: Arg| {
        let is_hidden = !asks_for_option && !arg.is_positional();
        if is_hidden { arg.hide(true) } else { arg }
    };
    let command = command.disable_help_flag(!asks_for_option).mut_args(hidden);
    command.mut_subcommands(|command| {
        // Their STORE, or their KEY, is not there yet.
        let (makes, gives) = (command.get_name() == "create", command.get_name() == "rescue");
        command.disable_help_flag(!asks_for_option).mut_args(|arg| match arg.get_id().as_str() {
            "store" | "stores" if !makes => arg.add(completer(words, Words::stores)),
            "key" | "keys" | "exclusive_start_key" if !gives => {
                arg.add(completer(words, Words::keys))
            }
            _ => hidden(arg),
        })
    })
}

fn completer(
    words: &Arc<Words>,
    candidates: fn(&Words, &OsStr) -> Outcome<Vec<CompletionCandidate>>,
) -> ArgValueCompleter {
    let words = Arc::clone(words);
    // Nobody is told why there are none: that would be printed into the line that is edited.
    ArgValueCompleter::new(move |current: &OsStr| {
        candidates(&words, &unquoted(current)).unwrap_or_default()
    })
}

impl Words {
    fn stores(&self, current: &OsStr) -> Outcome<Vec<CompletionCandidate>> {
        let (storage, _) = self.storage()?;
        let names = storage.stores()?;
        let names = names.iter().map(|name| name.as_str());
        let meant = names.filter(|name| name.as_bytes().starts_with(current.as_bytes()));
        Ok(meant.filter_map(|name| self.candidate(name)).take(MOST).collect())
    }

    fn keys(&self, current: &OsStr) -> Outcome<Vec<CompletionCandidate>> {
        let (storage, matches) = self.storage()?;
        let store = matches.try_get_one::<String>("store").ok().flatten();
        let store = store.map_or("default", String::as_str);
        let store = storage.find_store(&config::store_selector(store))?;
        // A prefix is text; what is no Unicode completes nothing.
        let Some(prefix) = current.to_str() else { return Ok(Vec::new()) };
        let query = IterateKeys {
            prefix: Some(prefix.to_owned()),
            limit: Some(MOST),
            ..IterateKeys::default()
        };
        let mut candidates = Vec::new();
        for record in store.keys(&query) {
            let record = record?;
            let candidate = record.key.as_str().and_then(|key| self.candidate(key));
            let help = record.content_type.to_string();
            candidates.extend(candidate.map(|candidate| candidate.help(Some(help.into()))));
        }
        Ok(candidates)
    }

    /// The storage that the command line means, and what it says of its command.
    fn storage(&self) -> Outcome<(Storage, ArgMatches)> {
        let unfinished = Cli::command().ignore_errors(true).try_get_matches_from(&self.words);
        let nothing = || Failure::Failed("there is no command".to_owned());
        let (_, matches) =
            unfinished.ok().and_then(|mut all| all.remove_subcommand()).ok_or_else(nothing)?;
        let mut common = CommonArgs::from_arg_matches(&matches).map_err(|_| nothing())?;
        common.timeout = common.timeout.or(Some(TIMEOUT));
        common.source =
            common.source.or_else(|| matches.try_get_one("storage").ok().flatten().cloned());
        let target = Target::new(&common)?.reading();
        Ok((commands::open(&target)?, matches))
    }

    /// A name to choose; none for one that a terminal could obey, or that would end a line.
    fn candidate(&self, name: &str) -> Option<CompletionCandidate> {
        if name.chars().any(is_obeyed) {
            return None;
        }
        let name = if self.is_bash { quoted(name) } else { Cow::Borrowed(name) };
        Some(CompletionCandidate::new(name.as_ref()))
    }
}

/// The name as bash reads it as itself.
fn quoted(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| SPECIAL.contains(&byte)) {
        return Cow::Borrowed(name);
    }
    let mut quoted = String::with_capacity(name.len() + 8);
    for character in name.chars() {
        if u8::try_from(character).is_ok_and(|byte| SPECIAL.contains(&byte)) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    Cow::Owned(quoted)
}

/// A word without the quotes that the shell still has around it, and with the home directory that begins it. A quote may be
/// open yet.
fn unquoted(word: &OsStr) -> OsString {
    let bytes = word.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut quote = None;
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None | Some(b'"'), b'\\') => plain.extend(rest.next()),
            _ => plain.push(byte),
        }
    }
    let home = env::var_os("HOME").filter(|_| bytes.starts_with(b"~/"));
    OsString::from_vec(match (home, plain.get(1..)) {
        (Some(home), Some(below)) => [home.as_bytes(), below].concat(),
        _ => plain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_reads_a_quoted_name_as_itself() {
        for name in ["a", "a b", "it's", "$x`y`", "\u{fc}(1).png", "a\\b"] {
            assert_eq!(unquoted(OsStr::new(quoted(name).as_ref())), name);
        }
        assert_eq!(quoted("a b"), "a\\ b");
    }

    #[test]
    fn a_quote_may_be_open_yet() {
        assert_eq!(unquoted(OsStr::new("'a b")), "a b");
        assert_eq!(unquoted(OsStr::new("\"a\\\"b")), "a\"b");
        assert_eq!(unquoted(OsStr::new("a\\")), "a");
    }
}
