//! The same files as botocore has read, with what it has found in them: tests/fixtures/aws.

use std::path::PathBuf;

use serde_json::Value;

use super::{options, parts, waited};
use crate::backend::bucket::aws::chain::{self, Way};
use crate::backend::bucket::aws::profiles::Files;
use crate::backend::bucket::aws::{AwsOptions, access};
use crate::model::Result;

/// Where it is meant to be otherwise, and what is found.
const OTHERWISE: [(&str, Option<&str>, &str); 6] = [
    // No server takes these keys.
    ("blank", None, "no keys"),
    ("blank", Some("default"), "no keys"),
    ("continued", None, "refused"),
    ("continued", Some("default"), "refused"),
    // Sections of one name are one.
    ("twice", None, "AKTWO"),
    ("twice", Some("default"), "AKTWO"),
];

#[test]
fn what_botocore_finds_is_found() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/aws");
    let expected = std::fs::read_to_string(fixtures.join("expected.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&expected).unwrap();
    let mut otherwise = 0;
    for expected in &expected {
        let folder = expected["folder"].as_str().unwrap();
        let profile = expected["profile"].as_str();
        let options =
            AwsOptions { profile: profile.map(str::to_owned), ..options(&fixtures.join(folder)) };
        let found = found(&options);
        let case = format!("{folder}, {profile:?}: {found:?}");
        let meant = OTHERWISE.iter().find(|(other, of, _)| (*other, *of) == (folder, profile));
        if let Some((_, _, meant)) = meant {
            otherwise += 1;
            assert_eq!(found.summary(), *meant, "{case}");
            continue;
        }
        if !expected["refused"].is_null() {
            assert_eq!(found.summary(), "refused", "{case}");
            continue;
        }
        let Found::Some { method, keys, region, endpoint } = found else { panic!("{case}") };
        assert_eq!(method.as_deref(), expected["method"].as_str(), "{case}");
        if expected["keys"].is_array() {
            let theirs = [0, 1, 2].map(|at| expected["keys"][at].as_str().map(str::to_owned));
            // A token that is empty is none.
            let theirs = theirs.map(|text| text.filter(|text| !text.is_empty()));
            assert_eq!(keys, Some(theirs), "{case}");
        }
        // Without any, botocore takes this one for S3.
        if let Some(region) = region {
            assert_eq!(region, expected["region"].as_str().unwrap_or("us-east-1"), "{case}");
            let theirs = expected["endpoint"].as_str();
            assert_eq!(endpoint.as_deref(), theirs.map(|url| url.trim_end_matches('/')), "{case}");
        }
    }
    assert_eq!(otherwise, OTHERWISE.len());
    assert!(expected.len() > 60, "{}", expected.len());
}

#[derive(Debug)]
enum Found {
    Refused(#[allow(dead_code, reason = "shown where the test fails")] String),
    Some {
        method: Option<String>,
        keys: Option<[Option<String>; 3]>,
        /// Where the bucket can be opened.
        region: Option<String>,
        endpoint: Option<String>,
    },
}

impl Found {
    fn summary(&self) -> &str {
        match self {
            Self::Refused(_) => "refused",
            Self::Some { method: None, .. } => "no keys",
            Self::Some { keys: Some([Some(id), ..]), .. } => id,
            Self::Some { .. } => "keys of a role",
        }
    }
}

fn found(options: &AwsOptions) -> Found {
    let access = access(options);
    let (region, endpoint) = match &access {
        Ok(access) => (Some(access.region.clone()), access.endpoint.clone()),
        Err(_) => (None, None),
    };
    let some = |method: Option<&str>, keys| Found::Some {
        method: method.map(str::to_owned),
        keys,
        region: region.clone(),
        endpoint: endpoint.clone(),
    };
    let error = match access {
        Err(error) => error.to_string(),
        Ok(access) => {
            let way = way(options).unwrap();
            let method = match &way {
                Way::WebIdentity(_) => return some(Some("assume-role-with-web-identity"), None),
                Way::Keys(keys) if in_credentials(options, &keys.key_id) => {
                    "shared-credentials-file"
                }
                Way::Keys(_) => "config-file",
                Way::Process(_) => "custom-process",
                other => panic!("{other:?}"),
            };
            match waited(access.credentials.get()) {
                Ok(keys) => return some(Some(method), parts(keys)),
                Err(error) => error.to_string(),
            }
        }
    };
    assert_eq!(error.lines().count(), 1, "{error}");
    for secret in ["hunter2", "AKSECRET", "never", "sec/ret"] {
        assert!(!error.contains(secret), "{error}");
    }
    match () {
        () if error.contains("there are none") => some(None, None),
        () if error.contains("takes a role") => some(Some("assume-role"), None),
        () if error.contains("signs in by SSO") => some(Some("sso"), None),
        () => Found::Refused(error),
    }
}

fn way(options: &AwsOptions) -> Result<Way> {
    chain::way(options, &Files::read(options)?.profile(options)?)
}

fn in_credentials(options: &AwsOptions, key_id: &str) -> bool {
    let alone = AwsOptions { config_file: None, ..options.clone() };
    matches!(way(&alone), Ok(Way::Keys(keys)) if keys.key_id == key_id)
}
