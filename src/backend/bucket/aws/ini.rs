//! The grammar of `~/.aws/config` and `~/.aws/credentials`: that of Python's `RawConfigParser`, by which aws-cli and boto3
//! read them.

use std::collections::BTreeMap;

use configparser::ini::{Ini, IniDefault};

/// Settings by their name, which is in lower case.
pub(super) type Section = BTreeMap<String, Value>;

/// What stands behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    One(String),
    /// Indented lines beneath a name with nothing behind it.
    Nested(BTreeMap<String, String>),
}

/// Takes a file's text apart, into its sections in their order.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with its name. No setting is repeated: it may be a secret.
pub(super) fn parse(text: &str) -> Result<Vec<(String, Section)>, String> {
    let mut grammar = IniDefault::default();
    // What stands before the first section would be taken for the profile `default`.
    grammar.default_section = String::new();
    grammar.case_sensitive = true;
    grammar.multiline = true;
    grammar.enable_inline_comments = false;
    let mut grammar = Ini::new_from_defaults(grammar);
    let parsed = grammar.read(text.to_owned());
    // The crate says in which line, and repeats none.
    let parsed = parsed.map_err(|reason| format!("is wrong in {reason}"))?;
    let mut sections = Vec::new();
    for (name, lines) in parsed {
        if name.is_empty() {
            return Err(
                "has settings before its first [section], or a section without a name".into()
            );
        }
        let mut section = Section::new();
        for (key, value) in lines {
            let value = value.and_then(|value| taken(&value));
            let value =
                value.ok_or_else(|| format!("has a line in section [{name}] that sets nothing"))?;
            section.insert(key.to_lowercase(), value);
        }
        sections.push((name, section));
    }
    Ok(sections)
}

/// `None` if there are indented lines of which one sets nothing.
fn taken(value: &str) -> Option<Value> {
    let Some(lines) = value.strip_prefix('\n') else { return Some(Value::One(value.to_owned())) };
    let mut nested = BTreeMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=')?;
        nested.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Some(Value::Nested(nested))
}
