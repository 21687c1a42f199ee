//! Takes out of a text what looks like a password, for texts that go to others.

use std::env;

/// What stands in its place.
const HIDDEN: &str = "***";

/// Variables whose values are secrets.
const SECRETS: [&str; 5] = [
    "APIFY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSWORD",
];

/// Shorter ones would be found in any text.
const LEAST: usize = 4;

/// Names that a secret follows, behind `=` or `:`.
const NAMES: [&str; 5] = ["password", "passwd", "pwd", "token", "secret"];

/// Takes passwords out of texts.
#[derive(Debug)]
pub(super) struct Scrubber {
    known: Vec<String>,
}

impl Scrubber {
    /// Knows the secrets in this process's environment.
    pub(super) fn of_environment() -> Self {
        let values = SECRETS.iter().filter_map(|name| env::var(name).ok());
        Self { known: values.filter(|value| value.len() >= LEAST).collect() }
    }

    /// The text without the secrets that are known, logins of URLs, and what follows a name such as `password=`.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            text = text.replace(secret, HIDDEN);
        }
        let text = text.split_inclusive('\n').map(without_logins).collect::<String>();
        NAMES.iter().fold(text, |text, name| without_value_of(name, &text))
    }
}

/// A line without what stands between `//` and the last `@` of the same word.
fn without_logins(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("//") {
        let word = behind.split([' ', '\t', '\n', '"', '\'', '<', '>']).next().unwrap_or_default();
        clean += before;
        clean += "//";
        rest = match word.rfind('@').and_then(|at| behind.get(at..)) {
            Some(host) => {
                clean += HIDDEN;
                host
            }
            None => behind,
        };
    }
    clean + rest
}

/// A text without the words that follow `NAME=`, `NAME: ` or `"NAME":`, however NAME is capitalised.
fn without_value_of(name: &str, text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        // As many bytes as before: only ASCII changes.
        let Some(end) = rest.to_ascii_lowercase().find(name).map(|at| at + name.len()) else {
            return clean + rest;
        };
        let (before, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        clean += before;
        let value = behind.trim_start_matches(['"', ' ']);
        rest = behind;
        if let Some(value) =
            value.strip_prefix(['=', ':']).map(|value| value.trim_start_matches([' ', '"', '\'']))
        {
            let end =
                value.find([' ', '\t', '\n', '"', '\'', '&', ',', ';']).unwrap_or(value.len());
            if end > 0 {
                let kept = behind.len() - value.len();
                clean += behind.get(..kept).unwrap_or_default();
                clean += HIDDEN;
                rest = value.get(end..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_password_is_taken_out() {
        let scrubber = Scrubber { known: vec!["hunter2".to_owned()] };
        for (text, clean) in [
            ("at postgresql://u:p@ss@h/d now\n//x y@z", "at postgresql://***@h/d now\n//x y@z"),
            ("'http://u:p@h' \"ftp://v@h\"", "'http://***@h' \"ftp://***@h\""),
            ("?Password=a&b=c, token: \"t\"", "?Password=***&b=c, token: \"***\""),
            ("{\"secret\":\"s\",\"n\":1}", "{\"secret\":\"***\",\"n\":1}"),
            ("a password, hunter2", "a password, ***"),
            ("by file:///a/b and no password\n", "by file:///a/b and no password\n"),
        ] {
            assert_eq!(scrubber.scrubbed(text), clean);
        }
    }
}
