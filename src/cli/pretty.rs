//! JSON laid out for people.
//!
//! Only the space between its tokens changes: numbers stay as they are written, and names that stand twice stay twice,
//! which no parser into values would keep. Nothing recurses.

use serde::de::IgnoredAny;

use super::output::is_obeyed;

/// What one level is indented by.
const INDENT: &str = "  ";

/// Deeper levels are indented no more: else the length would grow with the square of the depth.
const DEEPEST: usize = 40;

/// The same JSON with a line for each item and field; `None` if it is no JSON. What a terminal could obey is escaped, as
/// JSON escapes it.
pub(super) fn pretty_json(value: &[u8]) -> Option<String> {
    serde_json::from_slice::<IgnoredAny>(value).ok()?;
    let text = std::str::from_utf8(value).ok()?;
    let mut pretty = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut characters = text.chars().filter(Outside::default().keep()).peekable();
    let mut in_string = false;
    let mut is_escaped = false;
    while let Some(character) = characters.next() {
        if in_string {
            push_escaped(&mut pretty, character);
            in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        match character {
            '{' | '[' => {
                pretty.push(character);
                // An empty one stays in its line.
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    new_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut pretty, depth);
                pretty.push(character);
            }
            ',' => {
                pretty.push(character);
                new_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => {
                in_string = character == '"';
                pretty.push(character);
            }
        }
    }
    pretty.push('\n');
    Some(pretty)
}

/// Tells white space between tokens from that within strings.
#[derive(Default)]
struct Outside {
    in_string: bool,
    is_escaped: bool,
}

impl Outside {
    fn keep(mut self) -> impl FnMut(&char) -> bool {
        move |character| {
            if self.in_string {
                self.in_string = self.is_escaped || *character != '"';
                self.is_escaped = !self.is_escaped && *character == '\\';
                return true;
            }
            self.in_string = *character == '"';
            !character.is_ascii_whitespace()
        }
    }
}

fn new_line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.extend(std::iter::repeat_n(INDENT, depth.min(DEEPEST)));
}

/// In valid JSON only characters from U+007F on can be left to escape; those that a terminal obeys have four digits.
fn push_escaped(pretty: &mut String, character: char) {
    if is_obeyed(character) {
        pretty.push_str(&format!("\\u{:04x}", u32::from(character)));
    } else {
        pretty.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_space_between_tokens_changes() {
        let value = br#"{"a" :[1.00,1e400 , {}, [ ] ],"a":"x \" : , [","b":{"c":null}}"#;
        let pretty = pretty_json(value).unwrap();
        let expected = r#"{
  "a": [
    1.00,
    1e400,
    {},
    []
  ],
  "a": "x \" : , [",
  "b": {
    "c": null
  }
}
"#;
        assert_eq!(pretty, expected);
        assert_eq!(pretty_json(pretty.as_bytes()).as_deref(), Some(expected));
        assert_eq!(pretty_json(b" 7 ").as_deref(), Some("7\n"));
    }

    #[test]
    fn no_value_reaches_the_terminal_as_a_command() {
        let value = "[\"\u{9b}2J\u{202e}\u{fc}\\\\\"]";
        assert_eq!(
            pretty_json(value.as_bytes()).as_deref(),
            Some("[\n  \"\\u009b2J\\u202e\u{fc}\\\\\"\n]\n")
        );
    }

    #[test]
    fn what_is_no_json_is_not_laid_out() {
        for value in [&b""[..], b"{", b"[1] 2", b"\"\xff\"", b"\"\x1b\""] {
            assert_eq!(pretty_json(value), None, "{value:?}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(pretty_json(&deep).unwrap().len() < deep.len() * 100);
    }
}
