//! What docs/TROUBLESHOOTING.md tells is what is said.

use std::fs;
use std::io;
use std::path::Path;

/// What stands for something that differs each time, in a message as the page has it.
const VARYING: &str = "...";

/// Who else says something that the page explains.
const OTHERS: [&str; 2] = ["mount(8): ", "PostgreSQL: "];

/// The numbers of errors that a system may have.
const ERRNOS: std::ops::Range<i32> = 1..134;

/// The text of all sources, with strings that go over several lines put together.
fn sources() -> String {
    fn add(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, text);
            } else {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    add(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |joined, line| joined + line.trim_start())
}

/// The messages of the tables: what is in backquotes in their first column, unless another program says it, or it is the
/// program that gets it.
fn messages(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let first = rows.filter_map(|row| row.split(" | ").next());
    let own = first.filter(|cell| !OTHERS.iter().any(|other| cell.starts_with(other)));
    let first = own.filter_map(|cell| cell.split(" from `").next());
    first
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(move |said| (cell, said)))
        .collect()
}

#[test]
fn each_message_that_the_page_explains_is_in_the_source_or_is_the_systems() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TROUBLESHOOTING.md");
    let page = fs::read_to_string(page).unwrap();
    let sources = sources();
    let system: Vec<String> =
        ERRNOS.map(|number| io::Error::from_raw_os_error(number).to_string()).collect();
    let is_known = |said: &str| {
        let of_system = said.rsplit(": ").next().unwrap_or(said);
        if system.iter().any(|message| message.starts_with(&format!("{of_system} ("))) {
            return true;
        }
        // Completed by what an error says that could not be done.
        let parts = said.strip_prefix("cannot ").unwrap_or(said).split(VARYING);
        let longest =
            parts.map(|part| part.trim_matches([' ', ':', ';'])).max_by_key(|part| part.len());
        longest.is_some_and(|part| part.len() > 3 && sources.contains(part))
    };
    let messages = messages(&page);
    assert!(messages.len() >= 40, "{messages:?}");
    let unknown: Vec<_> = messages.iter().filter(|(_, said)| !is_known(said)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
