//! That the command line is understood.

use clap::CommandFactory;

use super::*;

fn mount(words: &[&str]) -> Box<MountArgs> {
    let line = ["storefs", "mount"].iter().chain(words);
    match Cli::try_parse_from(line).unwrap().command {
        Command::Mount(mount) => mount,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_single_path_is_the_mountpoint() {
    let one = mount(&["mnt"]);
    assert_eq!((one.storage, one.mountpoint), (None, PathBuf::from("mnt")));
    let two = mount(&["storage", "mnt", "-o", "ro", "-o", "uid=5"]);
    assert_eq!((two.storage, two.mountpoint), (Some("storage".into()), PathBuf::from("mnt")));
    assert_eq!(two.words.len(), 2);
    assert!(Cli::try_parse_from(["storefs", "mount"]).is_err());
    assert!(Cli::try_parse_from(["storefs", "mount", "a", "b", "c"]).is_err());
}

#[test]
fn common_options_may_stand_behind_the_command() {
    let cli = Cli::try_parse_from([
        "storefs",
        "-v",
        "keys",
        "--source",
        "s",
        "-v",
        "--dialect",
        "js3",
        "--input-key",
        "IN",
    ])
    .unwrap();
    assert_eq!(cli.common.source, Some("s".into()));
    assert_eq!(cli.common.dialect, Some(Dialect::Js3));
    assert_eq!(cli.common.input_key.as_deref(), Some("IN"));
    assert!(cli.common.verbose >= 1);
}

#[test]
fn the_sdk_names_of_commands_work() {
    for line in [
        &["storefs", "get-value", "s", "k"][..],
        &["storefs", "set-value", "s", "k"],
        &["storefs", "delete-value", "s", "k", "l"],
    ] {
        assert!(Cli::try_parse_from(line).is_ok(), "{line:?}");
    }
}
