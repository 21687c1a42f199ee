//! On which server a bucket is, and in which region.

use std::path::PathBuf;

use super::failure::wrong;
use super::options::AwsOptions;
use super::profiles::{Files, Profile};
use crate::model::Result;

/// Where AWS's tools look where nothing else is said.
const DEFAULT_REGION: &str = "us-east-1";

/// Where a bucket is.
pub(super) struct Place {
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    pub(super) ca_bundle: Option<PathBuf>,
}

/// Finds out where the bucket is.
pub(super) fn place(options: &AwsOptions, files: &Files, profile: &Profile<'_>) -> Result<Place> {
    let said = options.region.as_deref().or_else(|| profile.get("region"));
    let region = said.unwrap_or(DEFAULT_REGION).to_owned();
    if !is_region(&region) {
        return Err(wrong("the region is none: those are written as us-east-1 or auto"));
    }
    let ca_bundle = options.ca_bundle.clone();
    Ok(Place {
        endpoint: endpoint(options, files, profile)?,
        region,
        ca_bundle: ca_bundle.or_else(|| profile.get("ca_bundle").map(PathBuf::from)),
    })
}

/// Whether it can stand in a host name.
fn is_region(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// In botocore's order: environment, the profile's services, the profile.
fn endpoint(options: &AwsOptions, files: &Files, profile: &Profile<'_>) -> Result<Option<String>> {
    let said = || profile.get("ignore_configured_endpoint_urls");
    let is_ignored = options.ignore_endpoints;
    if is_ignored.unwrap_or_else(|| said().is_some_and(|said| said.eq_ignore_ascii_case("true"))) {
        return Ok(None);
    }
    if let Some(url) = &options.endpoint {
        return Ok(Some(server(url, "AWS_ENDPOINT_URL")?));
    }
    let name = &profile.name;
    if let Some(services) = profile.get("services") {
        let missing =
            || format!("profile '{name}' names [services {services}], which is not there");
        let url = files.service(services, "endpoint_url").ok_or_else(|| wrong(missing()))?;
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            let whose = format!("the endpoint_url of s3 in [services {services}]");
            return Ok(Some(server(url, &whose)?));
        }
    }
    let url = profile.get("endpoint_url");
    url.map(|url| server(url, &format!("the endpoint_url of profile '{name}'"))).transpose()
}

/// A URL of nothing but a server. `whose` says where it was read; the URL is not repeated, since it may have a password in it.
fn server(url: &str, whose: &str) -> Result<String> {
    let no = |reason: &str| wrong(format!("{whose} {reason}"));
    let parsed = reqwest::Url::parse(url.trim());
    let parsed = parsed.map_err(|_| no("is no URL: those are written as https://HOST:PORT"))?;
    let (scheme, Some(host)) = (parsed.scheme(), parsed.host_str()) else {
        return Err(no("names no host"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(no("is no http or https URL"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(no("has a user in it: keys are told by AWS_ACCESS_KEY_ID or AWS_PROFILE"));
    }
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() || parsed.fragment().is_some()
    {
        return Err(no("has more than a server in it: the bucket stands in s3://BUCKET"));
    }
    let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
    Ok(format!("{scheme}://{host}{port}"))
}
