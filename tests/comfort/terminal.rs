//! Listings and values on a terminal, and elsewhere.

use super::{printed, shown, storage};

const NO_COLOR: &[(&str, &str)] = &[("NO_COLOR", "1")];

#[test]
fn a_table_is_aligned_with_sizes_and_times_for_people() {
    let storage = storage();
    let table = shown(&storage, "stores", NO_COLOR);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let column = |heading: &str| lines[0].find(heading).unwrap();
    assert!(lines[1..].iter().all(|line| line[..column("ID")].ends_with(' ')), "{table}");
    assert!(lines[2].contains("2.93 KiB"), "{table}");
    let is_recent = |line: &&str| line.ends_with(" ago") || line.ends_with("just now");
    assert!(lines[1..].iter().all(is_recent), "{table}");
    // Numbers end below each other.
    let end = column("BYTES") + "BYTES".len();
    assert!(lines[1..].iter().all(|line| line[..end].ends_with('B')), "{table}");

    let keys = shown(&storage, "ls", NO_COLOR);
    assert_eq!(
        keys,
        "KEY    CONTENT TYPE                     SIZE\n\
         INPUT  application/json; charset=utf-8  20 B\n\
         a b    text/plain; charset=utf-8         2 B\n"
    );
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let storage = storage();
    let is_coloured = |variables| shown(&storage, "keys", variables).contains('\u{1b}');
    assert!(is_coloured(&[]));
    assert!(!is_coloured(NO_COLOR));
    assert!(!is_coloured(&[("TERM", "dumb")]));
    assert!(!printed(&storage, &["keys"]).contains('\u{1b}'));
}

#[test]
fn scripts_get_the_same_as_ever() {
    let storage = storage();
    assert_eq!(
        printed(&storage, &["keys"]),
        "INPUT\tapplication/json; charset=utf-8\t20\na b\ttext/plain; charset=utf-8\t2\n"
    );
    let pages = printed(&storage, &["stores"]);
    let pages: Vec<&str> = pages.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!(
        (pages[0], pages[3], pages[4].len()),
        ("pages", "3000", "2024-01-15T10:30:00Z".len())
    );
    // On a terminal, too, JSON is exact.
    let on_terminal = shown(&storage, "keys --json", &[]);
    assert_eq!(on_terminal, printed(&storage, &["keys", "--json"]));
    assert!(on_terminal.contains("\"size\":20"), "{on_terminal}");
}

#[test]
fn json_is_laid_out_on_a_terminal_alone() {
    let storage = storage();
    assert_eq!(
        shown(&storage, "cat default INPUT", &[]),
        "{\n  \"url\": \"x\",\n  \"n\": 1.00\n}\n"
    );
    let stored = "{\"url\":\"x\",\"n\":1.00}";
    assert_eq!(shown(&storage, "get default INPUT --raw", &[]), stored);
    assert_eq!(printed(&storage, &["cat", "default", "INPUT"]), stored);
    assert_eq!(shown(&storage, "get default 'a b'", &[]), "hi");
}

#[test]
fn facts_have_sizes_for_people_on_a_terminal() {
    let storage = storage();
    let facts = shown(&storage, "info pages", NO_COLOR);
    assert!(facts.contains("bytes: 2.93 KiB (3000)\n"), "{facts}");
    assert!(printed(&storage, &["info", "pages"]).contains("\nbytes: 3000\n"));
}
