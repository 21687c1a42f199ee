//! Manual pages: the grammar's own sections, and those that it knows nothing of.

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::Cli;
use super::examples;
use super::exit::ExitCode;
use super::failure::{Failure, Outcome};

/// Environment variables, with what each means.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("STOREFS_SOURCE", "The storage where --source is not given, before the SDKs' own variables."),
    ("APIFY_LOCAL_STORAGE_DIR, CRAWLEE_STORAGE_DIR", "The same, as the SDKs know it."),
    (
        "ACTOR_INPUT_KEY, APIFY_INPUT_KEY, CRAWLEE_INPUT_KEY",
        "The key of the input where --input-key is not given.",
    ),
    (
        "PGPASSWORD, PGPASSFILE",
        "A database's password, which so nobody sees, and the file that has it.",
    ),
    (
        "AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...",
        "By whose keys a bucket is opened, and at which server, as the tools of AWS have it; docs/BUCKETS.md lists all.",
    ),
    (
        "NO_COLOR",
        "If not empty, nothing is coloured. CLICOLOR=0 does the same, CLICOLOR_FORCE=1 the opposite.",
    ),
    ("RUST_LOG", "What is logged, instead of -v, such as storefs::fs=debug."),
    (
        "XDG_CACHE_HOME",
        "Where values are kept while they are written to a storage that is no directory; else ~/.cache.",
    ),
    ("XDG_STATE_HOME", "Where the logs of mounts are; else ~/.local/state."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM",
        "Set by systemd: where a mount tells of its life, and its log goes.",
    ),
];

/// Files, with what each is.
const FILES: &[(&str, &str)] = &[
    ("./storage", "The storage where nothing else is named."),
    (
        "SOURCE/key_value_stores/STORE",
        "A store of a storage directory; a record is a file, its content type in a file NAME.__metadata__.json beside it.",
    ),
    ("SOURCE/key_value_stores/.storefs", "What is being written, and what rescue keeps."),
    ("MOUNTPOINT/@status, MOUNTPOINT/@log", "What a mount does; who asks it for what."),
    ("MOUNTPOINT/STORE/@purge", "Written 1 to, purges the store."),
    ("~/.local/state/storefs", "Logs of mounts that are told no other place."),
    (
        "~/.cache/storefs",
        "Values while they are written to a storage that is no directory; what is kept of a bucket's.",
    ),
    ("~/.pgpass", "Passwords of databases, as libpq keeps them."),
    (
        "~/.aws/credentials, ~/.aws/config",
        "Keys and servers of buckets, as the tools of AWS keep them.",
    ),
    ("/dev/fuse", "By which a mount speaks to the kernel."),
    (
        "/etc/fuse.conf",
        "Its line user_allow_other lets users other than root mount with --allow-other.",
    ),
];

/// The manual page of storefs, or of one of its commands, in roff.
///
/// # Errors
/// [`Failure::Usage`] if there is no such command.
pub(super) fn page(command: Option<&str>) -> Outcome<Vec<u8>> {
    let mut all = Cli::command();
    // Gives each command its full name, and the options that all have.
    all.build();
    let chosen = match command {
        None => all,
        Some(name) => all.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::Usage(format!("there is no command '{name}'; see 'storefs help'"))
        })?,
    };
    render(chosen).map_err(Failure::output)
}

fn render(command: Command) -> std::io::Result<Vec<u8>> {
    let name = command.get_name().to_owned();
    let has_commands = command.has_subcommands();
    let man =
        Man::new(command).manual("storefs").source(concat!("storefs ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    let codes = ExitCode::MEANINGS.map(|(code, meaning)| ((code as u8).to_string(), meaning));
    section(
        &mut roff,
        "EXIT STATUS",
        codes.iter().map(|(code, meaning)| (code.as_str(), *meaning)),
    );
    section(&mut roff, "FILES", FILES.iter().copied());
    section(&mut roff, "ENVIRONMENT", ENVIRONMENT.iter().copied());
    let examples = examples::of(&name).iter();
    section(&mut roff, "EXAMPLES", examples.map(|(line, what)| (*line, *what)));
    if has_commands {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([
            bold("mount"),
            roman("(8), "),
            bold("fusermount3"),
            roman("(1), "),
            bold("fuse"),
            roman("(4)"),
        ]);
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A section of terms, each with what is said of it.
fn section<'a>(roff: &mut Roff, heading: &str, terms: impl Iterator<Item = (&'a str, &'a str)>) {
    roff.control("SH", [heading]);
    for (term, text) in terms {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(text)]);
    }
}
