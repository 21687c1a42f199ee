//! libpq's password file: `host:port:database:user:password`, the first line that fits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use log::warn;

/// Bits of a mode that let anybody but the owner at a file.
const OTHERS: u32 = 0o077;

/// Whom a password is looked up for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    /// `localhost` for a socket.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password that the file has for a login. A file that others may read is not used, and said so.
pub(super) fn password(file: &Path, login: Login<'_>) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    if !metadata.is_file() {
        warn!("the password file '{}' is no plain file, and is not used", file.display());
        return None;
    }
    if metadata.mode() & OTHERS != 0 {
        warn!(
            "the password file '{}' may be read by others, and is not used: chmod it to 0600",
            file.display()
        );
        return None;
    }
    let text = fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| of_line(line, login))
}

/// The password of a line, if it fits.
fn of_line(line: &str, login: Login<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let port = login.port.to_string();
    let mut rest = line;
    for wanted in [login.host, &port, login.database, login.user] {
        let (field, behind) = field(rest)?;
        if field.raw != "*" && field.text != wanted {
            return None;
        }
        rest = behind;
    }
    // The last field ends at a colon too, or at the end of the line.
    Some(field(rest).map_or_else(|| unescaped(rest), |(field, _)| field.text))
}

struct Field<'a> {
    raw: &'a str,
    text: String,
}

/// The field up to the next colon that no backslash escapes, and what is behind that.
fn field(text: &str) -> Option<(Field<'_>, &str)> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            ':' if !is_escaped => {
                let (raw, rest) = text.split_at_checked(at)?;
                return Some((Field { raw, text: unescaped(raw) }, rest.strip_prefix(':')?));
            }
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = if character == '\\' { characters.next() } else { Some(character) };
        plain.extend(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LOGIN: Login<'_> = Login { host: "db", port: 5432, database: "crawl", user: "an:ne" };

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let line = |line| of_line(line, LOGIN);
        assert_eq!(line(r"db:5432:crawl:an\:ne:p\\w\:x").as_deref(), Some(r"p\w:x"));
        assert_eq!(line(r"*:*:*:*:any").as_deref(), Some("any"));
        assert_eq!(line(r"*:*:*:*:any:more").as_deref(), Some("any"));
        assert_eq!(line(r"\*:*:*:*:any"), None);
        assert_eq!(line(r"#db:5432:crawl:an\:ne:x"), None);
        assert_eq!(line(r"db:5433:crawl:an\:ne:x"), None);
        assert_eq!(line("db:5432"), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let dir = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let file = dir.path().join("pgpass");
        fs::write(&file, "other:*:*:*:no\n*:*:*:*:yes\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(&file, LOGIN).as_deref(), Some("yes"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(password(&file, LOGIN), None);
        assert_eq!(password(dir.path(), LOGIN), None);
    }
}
