//! Examples of each command, for its help and its manual page.

use clap::Command;

/// A command line, and what it does.
pub(super) type Example = (&'static str, &'static str);

/// The name under which the examples of the program as a whole stand.
const PROGRAM: &str = "storefs";

/// The examples of each command.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        PROGRAM,
        &[
            ("storefs mount ./storage ./mnt", "Mount a storage, use it as files"),
            (
                "storefs keys --json | jq -r '.[].key'",
                "The keys of the default store, for a script",
            ),
            (
                "STOREFS_SOURCE=./storage storefs stores",
                "Name the storage once, in the environment",
            ),
            ("storefs unmount ./mnt", "Unmount"),
        ],
    ),
    (
        "mount",
        &[
            ("storefs mount ./storage ./mnt", "Mount a directory; returns when it is usable"),
            ("storefs mount --read-only sqlite:///crawlee.db ./mnt", "A database, for reading"),
            ("storefs mount s3://bucket/crawl ./mnt", "A bucket, as aws s3 ls finds it"),
            (
                "storefs mount --store default --no-delete ./storage ./mnt",
                "One store, and nothing gets lost",
            ),
            ("storefs mount --foreground --log-format json ./storage ./mnt", "As a service"),
            ("mount -t storefs /srv/storage /mnt -o allow_other,ro", "By mount(8), as root"),
        ],
    ),
    (
        "status",
        &[
            ("storefs status", "All mounts"),
            ("storefs status ./mnt", "What one mount does"),
            ("storefs status --json ./mnt | jq .requests", "The same, for a script"),
        ],
    ),
    (
        "top",
        &[
            ("storefs top ./mnt", "Until Ctrl-C"),
            ("storefs top --once --interval 10 --json ./mnt", "Ten seconds, for a script"),
        ],
    ),
    (
        "unmount",
        &[
            ("storefs unmount ./mnt", "Unmount, and wait until all is written"),
            ("storefs unmount --lazy ./mnt", "Detach it although it is in use"),
        ],
    ),
    (
        "upgrade",
        &[
            ("storefs upgrade ./mnt", "After an update: serve it by this program, its users go on"),
            ("storefs upgrade ./mnt --force", "Also while files are being written"),
        ],
    ),
    (
        "stores",
        &[
            ("storefs stores", "The stores of ./storage"),
            (
                "storefs --source postgresql://me@db/crawlee stores --json",
                "Those of a database, as JSON",
            ),
        ],
    ),
    (
        "keys",
        &[
            ("storefs keys", "The records of the default store"),
            ("storefs ls pages --prefix shop- --limit 20", "Some of those of another one"),
        ],
    ),
    (
        "get",
        &[
            ("storefs get default INPUT", "The input; laid out on a terminal if it is JSON"),
            ("storefs get default shot.png > shot.png", "A record into a file, byte for byte"),
            ("storefs cat default OUTPUT --only-content-type", "Its content type"),
        ],
    ),
    (
        "set",
        &[
            (
                "storefs set default INPUT --json='{\"url\": \"https://example.com\"}'",
                "A value on the command line",
            ),
            ("storefs set default page.html page.html", "A file"),
            ("date | storefs set default started --text", "Standard input, as text"),
        ],
    ),
    (
        "rm",
        &[
            ("storefs rm default OUTPUT page.html", "Delete two records"),
            ("storefs rm -- default --strange-key", "A key that looks like an option"),
        ],
    ),
    (
        "info",
        &[("storefs info", "The storage"), ("storefs info my-store --json", "A store, as JSON")],
    ),
    ("create", &[("storefs create my-store", "Make an empty store")]),
    ("rename", &[("storefs rename my-store other-store", "Give a store another name")]),
    ("drop", &[("storefs drop my-store", "Remove a store with all its records")]),
    (
        "purge",
        &[
            ("storefs purge", "Empty the default store, but for its input"),
            ("storefs purge default my-store", "Two stores"),
            ("storefs purge my-store --dry-run", "What would go, and what would stay"),
            ("storefs purge my-store --keep-purged 7d", "So that it can be undone for a week"),
        ],
    ),
    ("unpurge", &[("storefs unpurge my-store", "Bring back what the last purge removed")]),
    (
        "adopt",
        &[(
            "cp *.html storage/key_value_stores/default && storefs adopt default",
            "Let the SDKs see files put there",
        )],
    ),
    (
        "copy",
        &[
            ("storefs copy --to sqlite:///crawlee.db", "From ./storage into a database"),
            ("storefs copy --to s3://bucket/crawl", "Into a bucket"),
            ("storefs copy --source ./a --to ./b --dry-run", "What would be sent"),
        ],
    ),
    (
        "doctor",
        &[
            ("storefs doctor", "What is wrong with ./storage"),
            ("storefs doctor --repair default", "Mend a store of it"),
            ("storefs doctor --system", "What this machine lacks for mounts"),
        ],
    ),
    (
        "debug-bundle",
        &[
            ("storefs debug-bundle", "A tar archive in this directory"),
            ("storefs debug-bundle -o - | tar -tv", "What is in it"),
        ],
    ),
    (
        "rescue",
        &[
            ("storefs rescue", "What is kept"),
            ("storefs rescue c1354ae6-1 -o -", "Look at one"),
            ("storefs rescue --all", "Give all back"),
        ],
    ),
    (
        "completions",
        &[
            ("echo 'source <(storefs completions bash)' >> ~/.bashrc", "bash"),
            ("echo 'source <(storefs completions zsh)' >> ~/.zshrc", "zsh, behind compinit"),
            (
                "echo 'storefs completions fish | source' > ~/.config/fish/completions/storefs.fish",
                "fish",
            ),
        ],
    ),
    (
        "man",
        &[
            ("storefs man | man -l -", "The page of storefs"),
            ("storefs man mount | man -l -", "That of a command"),
        ],
    ),
];

/// The examples of a command, or of `storefs` itself.
pub(super) fn of(command: &str) -> &'static [Example] {
    EXAMPLES
        .iter()
        .find(|(name, _)| *name == command)
        .map(|(_, examples)| *examples)
        .unwrap_or_default()
}

/// The grammar with examples at the end of each command's help.
pub(super) fn with_examples(command: Command) -> Command {
    let text = help_text(command.get_name());
    let command = command.mut_subcommands(with_examples);
    match text {
        Some(text) => command.after_help(text),
        None => command,
    }
}

fn help_text(command: &str) -> Option<String> {
    let examples = of(command);
    let lines = examples.iter().map(|(line, what)| format!("\n  {line}\n      {what}"));
    (!examples.is_empty()).then(|| format!("Examples:{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::args::Cli;
    use super::*;

    #[test]
    fn each_command_has_examples_that_it_understands() {
        let command = Cli::command();
        for known in command.get_subcommands().filter(|known| !known.is_hide_set()) {
            assert!(!of(known.get_name()).is_empty(), "{}", known.get_name());
        }
        for (name, examples) in EXAMPLES {
            assert!(*name == PROGRAM || command.find_subcommand(name).is_some(), "{name}");
            for (line, _) in *examples {
                understood(line);
            }
        }
    }

    /// Parses what the line calls storefs with.
    fn understood(line: &str) {
        let calls = line.split(['|', '>']).flat_map(|part| part.split("&&"));
        let calls = calls.filter_map(|call| call.split_once("storefs ")).filter(|(before, _)| {
            before.is_empty()
                || before.ends_with(' ') && !before.contains("echo") && !before.contains("-t")
        });
        for (_, words) in calls {
            // A value with spaces is one word.
            let words = words.replace("\": \"", "\":\"").replace('\'', "");
            let words = std::iter::once("storefs").chain(words.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
