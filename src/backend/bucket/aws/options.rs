//! What the environment says of buckets.

use std::env;
use std::ffi::OsString;
use std::fmt::{self, Debug, Formatter};
use std::path::{self, Path, PathBuf};

/// Where the metadata of an instance of EC2 are.
const INSTANCE_METADATA: &str = "http://169.254.169.254";

/// What the environment of AWS's tools says. What is not said here is looked up in their files, by the profile. The default
/// says nothing, and names no files.
#[derive(Clone, Default)]
pub struct AwsOptions {
    /// The server's URL (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`); `None` is what the profile says, else AWS itself.
    pub endpoint: Option<String>,
    /// Whether no endpoint counts, whoever names it (`AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`); `None` is what the profile says.
    pub ignore_endpoints: Option<bool>,
    /// The region (`AWS_REGION`, `AWS_DEFAULT_REGION`).
    pub region: Option<String>,
    /// Certificates in PEM in place of the system's (`AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    /// Whether requests are not signed (`AWS_NO_SIGN_REQUEST`, which is GDAL's; aws-cli has `--no-sign-request`).
    pub no_sign_request: bool,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`. Never shown.
    pub secret_access_key: Option<String>,
    /// `AWS_SESSION_TOKEN`. Never shown.
    pub session_token: Option<String>,
    /// `AWS_DEFAULT_PROFILE`, which counts in boto3 where both are set, or `AWS_PROFILE`; `None` is `default`, which need not be there.
    pub profile: Option<String>,
    /// `AWS_CONFIG_FILE`, else `~/.aws/config`; `None` is none.
    pub config_file: Option<PathBuf>,
    /// `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`; `None` is none.
    pub credentials_file: Option<PathBuf>,
    /// A file with a token to be changed for keys of a role (`AWS_WEB_IDENTITY_TOKEN_FILE`).
    pub web_identity_token_file: Option<PathBuf>,
    /// The role (`AWS_ROLE_ARN`).
    pub role_arn: Option<String>,
    /// What the role's use is called in AWS's logs (`AWS_ROLE_SESSION_NAME`).
    pub role_session_name: Option<String>,
    /// The URL of the service that changes tokens for keys (`AWS_ENDPOINT_URL_STS`).
    pub sts_endpoint: Option<String>,
    /// Where a container is given keys: a path on the host of ECS (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`).
    pub container_path: Option<String>,
    /// The same as a URL (`AWS_CONTAINER_CREDENTIALS_FULL_URI`).
    pub container_url: Option<String>,
    /// What the container shows for it (`AWS_CONTAINER_AUTHORIZATION_TOKEN`). Never shown.
    pub container_token: Option<String>,
    /// A file that holds it (`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`).
    pub container_token_file: Option<PathBuf>,
    /// The server of an instance's metadata, which is asked last (`AWS_EC2_METADATA_SERVICE_ENDPOINT`); `None` asks none
    /// (`AWS_EC2_METADATA_DISABLED`).
    pub instance_metadata: Option<String>,
}

impl AwsOptions {
    /// What the environment says. A variable that is empty counts as none. Paths are made absolute, since the process that
    /// opens the bucket may be in another directory by then.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var_os(name), env::home_dir().as_deref())
    }

    pub(super) fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Self {
        let raw = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| raw(name)?.into_string().ok();
        let named = |name: &str| raw(name).map(PathBuf::from);
        let path = |name: &str| named(name).map(absolute);
        let file = |name: &str, usual: &str| {
            let file = named(name).map(|path| match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => absolute(path),
            });
            file.or_else(|| Some(home?.join(".aws").join(usual)))
        };
        let is_true = |name: &str| text(name).map(|value| value.eq_ignore_ascii_case("true"));
        let metadata = || text("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        Self {
            endpoint: text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL")),
            ignore_endpoints: is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"),
            region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
            ca_bundle: path("AWS_CA_BUNDLE"),
            no_sign_request: text("AWS_NO_SIGN_REQUEST").is_some_and(|value| is_yes(&value)),
            access_key_id: text("AWS_ACCESS_KEY_ID"),
            secret_access_key: text("AWS_SECRET_ACCESS_KEY"),
            session_token: text("AWS_SECURITY_TOKEN").or_else(|| text("AWS_SESSION_TOKEN")),
            profile: text("AWS_DEFAULT_PROFILE").or_else(|| text("AWS_PROFILE")),
            config_file: file("AWS_CONFIG_FILE", "config"),
            credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            web_identity_token_file: path("AWS_WEB_IDENTITY_TOKEN_FILE"),
            role_arn: text("AWS_ROLE_ARN"),
            role_session_name: text("AWS_ROLE_SESSION_NAME"),
            sts_endpoint: text("AWS_ENDPOINT_URL_STS"),
            container_path: text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            container_url: text("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            container_token: text("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            container_token_file: path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            instance_metadata: match is_true("AWS_EC2_METADATA_DISABLED") {
                Some(true) => None,
                _ => Some(metadata().unwrap_or_else(|| INSTANCE_METADATA.to_owned())),
            },
        }
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    path::absolute(&path).unwrap_or(path)
}

/// As GDAL has it.
fn is_yes(value: &str) -> bool {
    ["yes", "true", "on", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

impl Debug for AwsOptions {
    /// No keys, no tokens, and no URLs, which may have a password in them.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsOptions")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("config_file", &self.config_file)
            .field("credentials_file", &self.credentials_file)
            .field("has_endpoint", &self.endpoint.is_some())
            .field("has_keys", &self.access_key_id.is_some())
            .finish_non_exhaustive()
    }
}
