//! Help and manual pages.

use super::common::storefs;

fn printed(arguments: &[&str]) -> String {
    let output = storefs().args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that help lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    listed.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn each_command_has_examples_and_a_whole_page() {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        let help = printed(&[command, "--help"]);
        assert!(help.contains("Examples:\n  "), "{command}: {help}");
        assert_eq!(printed(&["help", command]), help);
        let page = printed(&["man", command]);
        for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"] {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(
                heading.iter().any(|heading| page.contains(heading)),
                "{command}: {section}\n{page}"
            );
        }
    }
}

#[test]
fn the_page_and_the_documentation_tell_each_exit_status() {
    let page = printed(&["man"]);
    let documented = include_str!("../../docs/CLI.md");
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 32] {
        assert!(page.contains(&format!("\\fB{code}\\fR")), "{code}: {page}");
        assert!(documented.contains(&format!("| `{code}` |")), "{code}");
    }
}
