//! What holds of any text in the files.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Home;
use crate::backend::bucket::aws::ini::{self, Section, Value};
use crate::backend::bucket::aws::{AwsOptions, access};

/// Texts of signs that mean something in these files.
fn texts() -> impl Strategy<Value = String> {
    let pieces = [
        "[",
        "]",
        "=",
        ":",
        "#",
        ";",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\"",
        "'",
        "\\",
        "\u{feff}",
        "\0",
        "default",
        "profile ",
        "services ",
        "s3",
        "a",
        "aws_access_key_id",
        "endpoint_url",
        "services",
        "region",
        "credential_process",
        "\n[default]\n",
        "\n  x = y\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..40)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_file_makes_it_panic(config in texts(), credentials in texts(), odd in "\\PC{0,40}") {
        let home = Home::new(&format!("{config}{odd}"), &credentials);
        for profile in [None, Some("a".to_owned())] {
            if let Err(error) = access(&AwsOptions { profile, ..home.options() }) {
                prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        sections in proptest::collection::btree_map(
            "[a-zA-Z][a-zA-Z0-9 ._-]{0,10}[a-z]",
            proptest::collection::btree_map("[a-z_]{1,9}", "[!-~]([ -~]{0,12}[!-~])?", 0..5),
            0..5,
        ),
        indent in "[ ]{0,2}",
    ) {
        let mut text = String::new();
        let mut expected = BTreeMap::new();
        for (name, settings) in &sections {
            text.push_str(&format!("[{name}]\n"));
            let mut section = Section::new();
            for (setting, value) in settings {
                text.push_str(&format!("{indent}{setting} = {value}\n"));
                section.insert(setting.clone(), Value::One(value.clone()));
            }
            expected.insert(name.clone(), section);
        }
        prop_assert_eq!(ini::parse(&text).map(BTreeMap::from_iter), Ok(expected));
    }
}
