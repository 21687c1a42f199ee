//! What is printed: listings for people, for scripts and as JSON; names that no terminal obeys.
//!
//! A listing has three forms. On a terminal it is a table with a heading and aligned columns, coloured where that is
//! wanted; elsewhere its columns are separated by tabs, without a heading; with `--json` it is one JSON array with an
//! object per line. All three are written page by page, so that no listing is ever held as a whole.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::mem;

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::FormatArgs;
use super::cell::{Cell, columns};
use super::failure::{Failure, Outcome};
use crate::model::Key;

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table {
        /// Whether colours are wanted: a terminal that has some, and no `NO_COLOR`.
        coloured: bool,
    },
    Tabs,
    Json,
}

/// Spaces between two columns.
const GAP: usize = 2;

/// A listing that is being written.
pub(super) struct Listing<W: Write = BufWriter<Stdout>> {
    out: W,
    form: Form,
    headings: &'static [&'static str],
    /// Widths of the columns on a terminal; they grow from page to page, never shrink.
    widths: Vec<usize>,
    /// Which columns are of numbers.
    numbers: Vec<bool>,
    /// Rows that wait for the width of their page.
    page: Vec<Vec<Shown>>,
    /// Whether a row has been written.
    begun: bool,
}

/// A cell as a terminal shows it.
#[derive(Debug)]
struct Shown {
    text: String,
    style: Style,
}

impl Listing {
    /// A listing on standard output.
    pub(super) fn new(format: FormatArgs, headings: &'static [&'static str]) -> Self {
        let stdout = io::stdout();
        let form = if format.json {
            Form::Json
        } else if stdout.is_terminal() {
            Form::Table { coloured: AutoStream::choice(&stdout) != ColorChoice::Never }
        } else {
            Form::Tabs
        };
        Self::in_form(BufWriter::new(stdout), form, headings)
    }
}

impl<W: Write> Listing<W> {
    fn in_form(out: W, form: Form, headings: &'static [&'static str]) -> Self {
        let widths = headings.iter().map(|heading| heading.len()).collect();
        let numbers = vec![false; headings.len()];
        Self { out, form, headings, widths, numbers, page: Vec::new(), begun: false }
    }

    /// Adds a row: its cells for people and scripts, its JSON for programs.
    pub(super) fn row(&mut self, cells: Vec<Cell>, value: &Value) -> Outcome {
        match self.form {
            Form::Json => {
                let before = if self.begun { ",\n  " } else { "[\n  " };
                self.begun = true;
                write!(self.out, "{before}{value}").map_err(Failure::output)
            }
            Form::Tabs => {
                let cells: Vec<String> =
                    cells.iter().map(|cell| printable(&cell.exact()).into_owned()).collect();
                writeln!(self.out, "{}", cells.join("\t")).map_err(Failure::output)
            }
            Form::Table { .. } => {
                let now = Timestamp::now();
                let shown = |cell: &Cell| Shown {
                    text: printable(&cell.human(now)).into_owned(),
                    style: cell.style(),
                };
                for (is_number, cell) in self.numbers.iter_mut().zip(&cells) {
                    *is_number |= cell.is_number();
                }
                self.page.push(cells.iter().map(shown).collect());
                Ok(())
            }
        }
    }

    /// Writes what has been added, so that it can be seen.
    pub(super) fn end_page(&mut self) -> Outcome {
        let page = mem::take(&mut self.page);
        for row in &page {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(columns(&cell.text));
            }
        }
        if !page.is_empty() && !self.begun {
            self.begun = true;
            let heading =
                |text: &&str| Shown { text: (*text).to_owned(), style: Style::new().bold() };
            let headings: Vec<Shown> = self.headings.iter().map(heading).collect();
            self.aligned(&headings)?;
        }
        for row in &page {
            self.aligned(row)?;
        }
        self.out.flush().map_err(Failure::output)
    }

    /// Ends the listing.
    pub(super) fn finish(mut self) -> Outcome {
        self.end_page()?;
        if self.form == Form::Json {
            let end = if self.begun { "\n]\n" } else { "[]\n" };
            self.out.write_all(end.as_bytes()).map_err(Failure::output)?;
        }
        self.out.flush().map_err(Failure::output)
    }

    fn aligned(&mut self, cells: &[Shown]) -> Outcome {
        let coloured = self.form == Form::Table { coloured: true };
        let mut line = String::new();
        // What pads a cell waits for the next one, so that no line ends in spaces.
        let mut padding = 0;
        for ((cell, width), is_number) in cells.iter().zip(&self.widths).zip(&self.numbers) {
            let missing = width.saturating_sub(columns(&cell.text));
            let (before, after) = if *is_number { (missing, 0) } else { (0, missing) };
            let (text, style) = (&cell.text, if coloured { cell.style } else { Style::new() });
            let _ = write!(line, "{:1$}{style}{text}{style:#}", "", padding + before);
            padding = after + GAP;
        }
        writeln!(self.out, "{line}").map_err(Failure::output)
    }
}

/// Prints one thing: lines of `name: value`, or a JSON object.
pub(super) fn print_facts(format: FormatArgs, facts: &Value) -> Outcome {
    let is_for_people = io::stdout().is_terminal();
    let mut text = String::new();
    if format.json {
        let _ = writeln!(text, "{facts:#}");
    } else if let Value::Object(facts) = facts {
        for (name, value) in facts {
            let value = if is_for_people { human(name, value) } else { plain(value) };
            let _ = writeln!(text, "{}: {}", name.replace('_', " "), printable(&value));
        }
    }
    print(text.as_bytes())
}

/// Writes to standard output.
pub(super) fn print(bytes: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Tells a person something on standard error, in one line.
pub(super) fn tell(message: &str) {
    // Nowhere is left to complain if standard error is closed.
    let _ = writeln!(io::stderr(), "storefs: {}", printable(message));
}

/// A fact for people: with its size or age, if it has one.
fn human(name: &str, value: &Value) -> String {
    let exact = plain(value);
    let cell = if name.starts_with("bytes") {
        value.as_u64().map(Cell::Bytes)
    } else if name.ends_with("_at") {
        value.as_str().and_then(|time| time.parse().ok()).map(Cell::Time)
    } else {
        None
    };
    match cell {
        Some(cell) => format!("{} ({exact})", cell.human(Timestamp::now())),
        None => exact,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The text with everything escaped that a terminal could obey: control characters, and those that change the
/// direction of writing.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_obeyed(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal could obey the character.
pub(super) fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A key for people: bytes that are no Unicode are shown as `\xff`.
pub(super) fn key_text(key: &Key) -> String {
    bytes_text(key.as_bytes())
}

/// A name that may be no Unicode, for people, in the same way.
pub(super) fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A key's fields of a JSON object. A key that is no Unicode is given with replacement characters, and marked.
pub(super) fn key_fields(key: &Key) -> serde_json::Map<String, Value> {
    let mut fields = serde_json::Map::new();
    fields.insert("key".to_owned(), json!(key.to_string()));
    if key.as_str().is_none() {
        fields.insert("foreign".to_owned(), json!(true));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(form: Form, pages: &[&[(&str, u64)]]) -> String {
        let mut out = Vec::new();
        let mut listing = Listing::in_form(&mut out, form, &["KEY", "SIZE"]);
        for page in pages {
            for (key, size) in *page {
                let value = json!({ "key": key, "size": size });
                listing.row(vec![(*key).into(), Cell::Count(*size)], &value).unwrap();
            }
            listing.end_page().unwrap();
        }
        listing.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_headed_once() {
        let form = Form::Table { coloured: false };
        let table = listing(form, &[&[("a", 1), ("four", 22)], &[("\u{65e5}", 3)]]);
        assert_eq!(table, "KEY   SIZE\na        1\nfour    22\n\u{65e5}       3\n");
        assert_eq!(listing(form, &[]), "");
        let table = listing(Form::Table { coloured: true }, &[&[("a", 1)]]);
        assert_eq!(table, "\u{1b}[1mKEY\u{1b}[0m  \u{1b}[1mSIZE\u{1b}[0m\na       1\n");
    }

    #[test]
    fn scripts_get_tabs_and_no_heading() {
        assert_eq!(listing(Form::Tabs, &[&[("a b", 1), ("t\tn\n", 2)]]), "a b\t1\nt\\tn\\n\t2\n");
    }

    #[test]
    fn json_is_one_array_over_all_pages() {
        let text = listing(Form::Json, &[&[("a\u{1b}", 1)], &[("b", 2)]]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!([{ "key": "a\u{1b}", "size": 1 }, { "key": "b", "size": 2 }]));
        assert_eq!(listing(Form::Json, &[]), "[]\n");
    }

    #[test]
    fn no_name_reaches_the_terminal_as_a_command() {
        assert_eq!(printable("plain \u{fc}"), "plain \u{fc}");
        assert_eq!(printable("\u{1b}[2J\u{9b}\u{7f}"), "\\u{1b}[2J\\u{9b}\\u{7f}");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(key_text(&Key::from_bytes(b"a\xffb").unwrap()), "a\\xffb");
        assert_eq!(
            key_fields(&Key::from_bytes(b"a\xff").unwrap()).get("foreign"),
            Some(&json!(true))
        );
        assert_eq!(key_fields(&Key::new("a").unwrap()).get("foreign"), None);
    }
}
