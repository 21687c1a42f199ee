//! Where a bucket is and by whose keys it is opened, as the tools of AWS are told it.

use std::path::PathBuf;

use object_store::aws::AwsCredentialProvider;

use crate::model::Result;

/// What the environment of AWS's tools says. What is not said here is looked up in the files of `~/.aws`, by the profile.
#[derive(Clone, Default)]
pub struct AwsOptions {
    /// The server's URL (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`); `None` is AWS itself.
    pub endpoint: Option<String>,
    /// The region (`AWS_REGION`, `AWS_DEFAULT_REGION`).
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`. Never shown.
    pub secret_access_key: Option<String>,
    /// `AWS_SESSION_TOKEN`. Never shown.
    pub session_token: Option<String>,
    /// `AWS_PROFILE`; `None` is `default`.
    pub profile: Option<String>,
    /// `AWS_CONFIG_FILE`, else `~/.aws/config`.
    pub config_file: Option<PathBuf>,
    /// `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
}

impl AwsOptions {
    /// What the environment says.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).ok();
        Self {
            endpoint: var("AWS_ENDPOINT_URL"),
            region: var("AWS_REGION"),
            access_key_id: var("AWS_ACCESS_KEY_ID"),
            secret_access_key: var("AWS_SECRET_ACCESS_KEY"),
            ..Self::default()
        }
    }
}

impl std::fmt::Debug for AwsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsOptions").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Where a bucket is, and who asks.
#[derive(Debug)]
pub(super) struct Access {
    /// The server's URL without a slash at its end; `None` is AWS itself.
    pub(super) endpoint: Option<String>,
    /// The region that requests are signed for.
    pub(super) region: String,
    /// Keys, renewed before they expire; `None` is nobody: requests are not signed.
    pub(super) credentials: Option<AwsCredentialProvider>,
}

impl Access {
    /// The keys to sign with; `None` is nobody.
    pub(super) async fn credential(
        &self,
    ) -> Result<Option<std::sync::Arc<object_store::aws::AwsCredential>>> {
        match &self.credentials {
            Some(credentials) => credentials.get_credential().await.map(Some).map_err(|error| {
                crate::model::Error::backend(
                    crate::model::BackendErrorKind::Denied,
                    "find the keys",
                    error.to_string(),
                )
            }),
            None => Ok(None),
        }
    }
    /// The server refuses the keys in use: the next ask for them looks anew.
    pub(super) fn refused(&self) {}
}

/// Finds out where the bucket is and by whose keys it is opened. Asks no server yet, and starts no program.
pub(super) fn access(options: &AwsOptions) -> Result<Access> {
    let key = object_store::aws::AwsCredential {
        key_id: options.access_key_id.clone().unwrap_or_default(),
        secret_key: options.secret_access_key.clone().unwrap_or_default(),
        token: options.session_token.clone(),
    };
    Ok(Access {
        endpoint: options.endpoint.clone(),
        region: options.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
        credentials: Some(std::sync::Arc::new(object_store::StaticCredentialProvider::new(key))),
    })
}
