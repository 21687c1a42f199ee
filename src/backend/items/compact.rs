//! One item as one line.

use serde::de::IgnoredAny;

/// What Python writes that is no JSON, and what JavaScript writes instead. The longer ones come first.
const NOT_NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The item on one line, without its line end: all that is between values goes, and every value stays as it is
/// written, to the last digit of a number. `None` if it is no JSON, such as one that is just being written.
///
/// What Python writes for a number that is none, such as `NaN`, becomes `null`, as JavaScript writes it: else no other
/// program could read any of the items.
pub(super) fn one_line(text: &[u8]) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => string_length(rest)?,
            b' ' | b'\t' | b'\n' | b'\r' => {
                rest = rest.get(1..)?;
                continue;
            }
            b'-' | b'I' | b'N' => {
                let none = NOT_NUMBERS.into_iter().find(|none| rest.starts_with(none));
                if let Some(none) = none {
                    line.extend_from_slice(b"null");
                    rest = rest.get(none.len()..)?;
                    continue;
                }
                1
            }
            _ => 1,
        };
        let (taken, behind) = rest.split_at_checked(length)?;
        line.extend_from_slice(taken);
        rest = behind;
    }
    // Neither recurses nor builds anything. Asked of the text too, since `1 2` is not `12`.
    let is_json = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_ok();
    let has_spaces = line.len() != text.len();
    (is_json(&line) && (!has_spaces || is_spaced_well(text))).then_some(line)
}

/// The length of the string that a text begins with, with both quotes. `None` if it does not end.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Whether no space of a text parts what would be another value without it.
fn is_spaced_well(text: &[u8]) -> bool {
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
    let mut before = None;
    let mut rest = text;
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => string_length(rest).unwrap_or(1),
            byte if is_space(byte) => rest.iter().take_while(|byte| is_space(byte)).count(),
            _ => 1,
        };
        let Some((_, behind)) = rest.split_at_checked(length) else { return false };
        if is_space(first)
            && before.is_some_and(is_of_word)
            && behind.first().is_some_and(|byte| is_of_word(*byte))
        {
            return false;
        }
        before = Some(*first);
        rest = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<String> {
        one_line(text.as_bytes()).map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn an_item_loses_nothing_but_its_spaces() {
        for (text, expected) in [
            ("{\n  \"b\": 1.0,\n  \"a\": [1, 2]\n}\n", "{\"b\":1.0,\"a\":[1,2]}"),
            ("{\"a\": \"x \\\" y\\\\\", \"a\" : 1E+05}", "{\"a\":\"x \\\" y\\\\\",\"a\":1E+05}"),
            (
                "[ 123456789012345678901234567890.10 , -0 ]",
                "[123456789012345678901234567890.10,-0]",
            ),
            ("{\"t\": \"two\\nlines \u{2028}\"}\r\n", "{\"t\":\"two\\nlines \u{2028}\"}"),
            (" 5 ", "5"),
            ("\"NaN -Infinity\"", "\"NaN -Infinity\""),
            ("{\"n\": NaN, \"i\": [Infinity, -Infinity, -1]}", "{\"n\":null,\"i\":[null,null,-1]}"),
            ("", ""),
        ] {
            let expected = Some(expected.to_owned()).filter(|line| !line.is_empty());
            assert_eq!(line(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_no_item() {
        for text in [
            "{\"a\": 1",
            "{\"a\": \"x",
            "1 2",
            "[1 2]",
            "tr ue",
            "- 1",
            "{} {}",
            "N aN",
            "{\"a\": \"\n\"}",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }

    #[test]
    fn deep_items_take_no_stack() {
        let deep = format!("{}{}", "[ ".repeat(100_000), "]".repeat(100_000));
        assert_eq!(line(&deep).unwrap().len(), 200_000);
    }
}
