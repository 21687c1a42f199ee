//! What the environment says, and that it goes before the files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Home, key_id, refusal, waited};
use crate::backend::bucket::aws::{AwsOptions, access};

fn from(variables: &[(&str, &str)]) -> AwsOptions {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(OsString::from);
    AwsOptions::from_variables(variable, Some(Path::new("/home/me")))
}

#[test]
fn variables_are_read_in_their_order() {
    let none = from(&[("AWS_PROFILE", ""), ("AWS_ACCESS_KEY_ID", "")]);
    assert_eq!((none.profile, none.access_key_id), (None, None));
    assert_eq!(none.config_file, Some(PathBuf::from("/home/me/.aws/config")));
    assert_eq!(none.credentials_file, Some(PathBuf::from("/home/me/.aws/credentials")));
    assert_eq!(none.instance_metadata.as_deref(), Some("http://169.254.169.254"));
    let some = from(&[
        ("AWS_PROFILE", "one"),
        ("AWS_DEFAULT_PROFILE", "two"),
        ("AWS_REGION", "one"),
        ("AWS_DEFAULT_REGION", "two"),
        ("AWS_ENDPOINT_URL", "http://a"),
        ("AWS_ENDPOINT_URL_S3", "http://b"),
        ("AWS_CONFIG_FILE", "~/elsewhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "relative"),
        ("AWS_EC2_METADATA_DISABLED", "TRUE"),
        ("AWS_NO_SIGN_REQUEST", "YES"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"),
    ]);
    assert_eq!((some.region.as_deref(), some.endpoint.as_deref()), (Some("one"), Some("http://b")));
    assert_eq!(some.profile.as_deref(), Some("two"));
    assert_eq!(some.config_file, Some(PathBuf::from("/home/me/elsewhere")));
    let here = std::env::current_dir().unwrap();
    assert_eq!(some.credentials_file, Some(here.join("relative")));
    assert_eq!((some.instance_metadata, some.no_sign_request), (None, true));
    assert_eq!(some.ignore_endpoints, Some(false));
}

#[test]
fn nothing_secret_is_in_what_is_shown_of_them() {
    let options = from(&[
        ("AWS_ACCESS_KEY_ID", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "hunter2"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/hunter2"),
        ("AWS_ENDPOINT_URL", "http://u:hunter2@h"),
    ]);
    assert!(!format!("{options:?}").contains("hunter2"));
    let options = AwsOptions { endpoint: None, ..options };
    assert!(!format!("{:?}", access(&options).unwrap()).contains("hunter2"));
}

#[test]
fn keys_of_the_environment_go_first_and_need_each_other() {
    let home = Home::new(
        "[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1",
        "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s",
    );
    assert_eq!(key_id(&access(&home.options()).unwrap()), "AKFILE");
    let text = |text: &str| Some(text.to_owned());
    let options = AwsOptions {
        access_key_id: text("AKENV"),
        secret_access_key: text("s"),
        region: text("eu-west-2"),
        endpoint: text("https://[::1]:9000/"),
        ..home.options()
    };
    let found = access(&options).unwrap();
    assert_eq!(key_id(&found), "AKENV");
    let place = (found.region.as_str(), found.endpoint.as_deref());
    assert_eq!(place, ("eu-west-2", Some("https://[::1]:9000")));
    let ignoring = AwsOptions { ignore_endpoints: Some(true), ..options.clone() };
    assert_eq!(access(&ignoring).unwrap().endpoint, None);
    let said = refusal(&AwsOptions { secret_access_key: None, ..options.clone() });
    assert!(said.ends_with("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"), "{said}");
    let said = refusal(&AwsOptions { access_key_id: None, ..options.clone() });
    assert!(said.ends_with("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID"), "{said}");
    // A profile that is named must be there, whatever else is said.
    let said = refusal(&AwsOptions { profile: text("gone"), ..options.clone() });
    assert!(said.contains("there is no profile 'gone' in /") && said.contains(" nor /"), "{said}");
    let public = access(&AwsOptions { no_sign_request: true, ..home.options() }).unwrap();
    assert!(waited(public.credentials.get()).unwrap().is_none());
}

#[test]
fn an_endpoint_is_a_server_and_is_not_repeated() {
    let home = Home::new("", "[default]\naws_access_key_id = AK\naws_secret_access_key = s");
    let with = |url: &str| AwsOptions { endpoint: Some(url.to_owned()), ..home.options() };
    for (url, shown) in [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("HTTPS://Minio.Example:443/", "https://minio.example"),
        (" https://h ", "https://h"),
    ] {
        assert_eq!(access(&with(url)).unwrap().endpoint.as_deref(), Some(shown));
    }
    for (url, word) in [
        ("127.0.0.1:9000", "is no URL"),
        ("hunter2", "is no URL"),
        ("localhost:9000", "names no host"),
        ("ftp://hunter2", "no http or https"),
        ("http://u:hunter2@h", "has a user"),
        ("http://hunter2@h", "has a user"),
        ("http://h/hunter2", "more than a server"),
        ("http://h?hunter2", "more than a server"),
        ("http://h/#hunter2", "more than a server"),
        ("http://", "is no URL"),
    ] {
        let said = refusal(&with(url));
        assert!(said.contains(word) && said.contains("AWS_ENDPOINT_URL"), "{url}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    for region in ["", "a/b", "-a", "a.b", "a b"] {
        let said = refusal(&AwsOptions { region: Some(region.to_owned()), ..home.options() });
        assert!(said.contains("region"), "{said}");
    }
}

#[test]
fn a_token_and_its_role_go_before_keys_in_files() {
    let home = Home::new("", "[default]\naws_access_key_id = AK\naws_secret_access_key = s");
    let options = AwsOptions {
        web_identity_token_file: Some(home.path().join("token")),
        role_arn: Some("arn:aws:iam::123456789012:role/R".to_owned()),
        ..home.options()
    };
    let said = refusal(&options);
    assert!(said.contains("token") && said.contains("No such file"), "{said}");
    let said = refusal(&AwsOptions { role_arn: None, ..options });
    assert!(said.contains("without AWS_ROLE_ARN"), "{said}");
}

#[test]
fn certificates_are_named_by_the_environment_or_the_profile() {
    let home = Home::new(
        "[default]\nca_bundle = /profile.pem",
        "[default]\naws_access_key_id = AK\naws_secret_access_key = s",
    );
    let found = |options| access(&options).unwrap().ca_bundle;
    assert_eq!(found(home.options()), Some("/profile.pem".into()));
    let named = AwsOptions { ca_bundle: Some("/env.pem".into()), ..home.options() };
    assert_eq!(found(named), Some("/env.pem".into()));
    home.write("empty.pem", "no certificate");
    for name in ["empty.pem", "missing.pem"] {
        let ca_bundle = Some(home.path().join(name));
        let named = access(&AwsOptions { ca_bundle, ..home.options() }).unwrap();
        let error = named.client_builder().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let home = Home::new("", "[default]\naws_access_key_id = AK\naws_secret_access_key = s");
    access(&home.options()).unwrap().client_builder().unwrap().build().unwrap();
}
