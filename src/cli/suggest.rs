//! What somebody may have meant who wrote something else.

/// What programs of this kind often call a command of another name here, and what to write instead.
const OTHER_NAMES: [(&[&str], &str); 8] = [
    (
        &["list", "dir"],
        "'storefs stores' lists the stores, 'storefs keys STORE' the records of one",
    ),
    (&["show", "read", "print"], "'storefs get STORE KEY' writes a record's value"),
    (&["put", "write", "store"], "'storefs set STORE KEY [FILE]' stores a value"),
    (
        &["del", "delete", "remove"],
        "'storefs rm STORE KEY...' deletes records, 'storefs drop STORE' a store",
    ),
    (
        &["stat", "df", "mounts"],
        "'storefs status' tells the state of mounts, 'storefs info' that of a storage",
    ),
    (
        &["mv", "move"],
        "'storefs rename STORE NAME' renames a store; records are renamed in a mount",
    ),
    (
        &["check", "fsck", "repair", "verify"],
        "'storefs doctor' lists what is wrong, 'storefs doctor --repair' mends it",
    ),
    (
        &["clear", "clean", "empty"],
        "'storefs purge STORE' removes the records of a store but the input",
    ),
];

/// What to say to somebody who wrote a command that there is not. `commands` are those that there are.
pub(super) fn unknown_command<'a>(word: &str, commands: impl Iterator<Item = &'a str>) -> String {
    let known = OTHER_NAMES.iter().find(|(names, _)| names.contains(&word));
    let hint = match known {
        Some((_, hint)) => format!("; {hint}"),
        None => did_you_mean(closest(word, commands), "'storefs --help' lists the commands"),
    };
    format!("there is no command '{word}'{hint}")
}

/// The end of an error: the question, if there is anything to ask, and what helps in any case.
pub(super) fn did_you_mean(meant: Option<impl AsRef<str>>, helps: &str) -> String {
    match meant {
        Some(meant) => format!("; did you mean '{}'? {helps}", meant.as_ref()),
        None => format!("; {helps}"),
    }
}

/// The candidate that `word` was meant for: the same with an extension, or one that a few slips of the fingers make of
/// it. Of several, the nearest.
pub(super) fn closest<T: AsRef<str>>(word: &str, candidates: impl Iterator<Item = T>) -> Option<T> {
    let distance = |candidate: &str| {
        let is_extended = candidate.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'));
        if is_extended && !word.is_empty() {
            return Some(1);
        }
        // A slip for each three letters or a part of it: 'mnt' for 'mount', and not 'ab' for 'xy'.
        let slips = word.chars().count().max(candidate.chars().count()).div_ceil(3).min(3);
        let distance = strsim::damerau_levenshtein(word, candidate);
        (distance <= slips && distance < word.chars().count()).then_some(distance)
    };
    candidates
        .filter_map(|candidate| Some((distance(candidate.as_ref())?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_other_words_are_not() {
        let commands = ["mount", "unmount", "stores", "keys", "get", "set", "rm", "info", "purge"];
        let nearest = |word: &str| closest(word, commands.into_iter());
        for (word, meant) in [
            ("mnt", Some("mount")),
            ("mout", Some("mount")),
            ("umnount", Some("unmount")),
            ("store", Some("stores")),
            ("key", Some("keys")),
            ("pruge", Some("purge")),
            ("xyz", None),
            ("", None),
            ("q", None),
        ] {
            assert_eq!(nearest(word), meant, "{word}");
        }
        let keys = ["OUTPUT", "INPUT.json", "state", "page-1.html"];
        let nearest = |word: &str| closest(word, keys.into_iter());
        assert_eq!(nearest("OUTPU"), Some("OUTPUT"));
        assert_eq!(nearest("INPUT"), Some("INPUT.json"));
        assert_eq!(nearest("output"), None);
        assert_eq!(nearest("page-2.html"), Some("page-1.html"));
    }

    #[test]
    fn names_that_others_use_are_explained() {
        for word in ["list", "dir", "show", "stat"] {
            let said = unknown_command(word, ["keys", "set"].into_iter());
            assert!(said.starts_with(&format!("there is no command '{word}'; '")), "{said}");
        }
        let said = unknown_command("mnt", ["mount"].into_iter());
        assert_eq!(
            said,
            "there is no command 'mnt'; did you mean 'mount'? 'storefs --help' lists the commands"
        );
    }
}
