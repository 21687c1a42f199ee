//! Keys of a role, by a token or by the instance: what object_store fetches, and renews five minutes before they expire.

use std::time::Duration;

use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};

use super::chain::WebIdentity;
use super::failure::wrong;
use super::http::client_builder;
use super::options::AwsOptions;
use crate::model::Result;

/// How long a connection to a service of AWS may take to come about. Off EC2, nobody answers at the address of the metadata.
const MOST_CONNECT: Duration = Duration::from_secs(1);

/// How long one answer may take.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Keys of a role that a token is changed for.
pub(super) fn by_token(
    way: &WebIdentity,
    options: &AwsOptions,
    region: &str,
) -> Result<AwsCredentialProvider> {
    let client = client_builder(options.ca_bundle.as_deref())?.connect_timeout(MOST_TIME);
    let token_file = way.token_file.to_string_lossy();
    let mut builder = builder(client.https_only(options.sts_endpoint.is_none()))?
        .with_region(region)
        .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file)
        .with_config(AmazonS3ConfigKey::RoleArn, way.role_arn.as_str())
        .with_config(AmazonS3ConfigKey::RoleSessionName, way.session_name.as_str());
    if let Some(endpoint) = &options.sts_endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::StsEndpoint, endpoint.as_str());
    }
    provider(builder)
}

/// Keys of the instance that this is.
pub(super) fn of_instance(metadata: &str) -> Result<AwsCredentialProvider> {
    let client = client_builder(None)?.no_proxy().connect_timeout(MOST_CONNECT);
    provider(builder(client)?.with_metadata_endpoint(metadata.trim_end_matches('/')))
}

/// One that asks twice. The bucket is never asked for: only its keys are wanted.
fn builder(client: reqwest::ClientBuilder) -> Result<AmazonS3Builder> {
    let client = client.timeout(MOST_TIME).build();
    let client = client.map_err(|error| wrong(format!("no HTTP is spoken: {error}")))?;
    let retry = RetryConfig { max_retries: 1, retry_timeout: MOST_TIME, ..RetryConfig::default() };
    Ok(AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_retry(retry)
        .with_http_connector(Connector(client)))
}

fn provider(builder: AmazonS3Builder) -> Result<AwsCredentialProvider> {
    let built = builder.build().map_err(|error| wrong(error.to_string()))?;
    Ok(built.credentials().clone())
}

/// Gives out one client, whatever is asked for.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
