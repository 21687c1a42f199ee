//! Which way leads to keys. The order is botocore's: the first that is set up is gone, and none behind it is tried.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::AwsCredential;

use super::container::Container;
use super::failure::{no_keys, wrong};
use super::options::AwsOptions;
use super::profiles::Profile;
use crate::model::{BackendErrorKind, Result};

/// A way to keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// None are used: requests are not signed.
    Unsigned,
    /// They stand somewhere.
    Keys(Arc<AwsCredential>),
    /// A program prints them.
    Process(Process),
    /// A token is changed for keys of a role.
    WebIdentity(WebIdentity),
    /// A server gives them to this container.
    Container(Container),
    /// The metadata of this instance have them; the URL of the metadata.
    Instance(String),
}

/// The program of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) profile: String,
    /// As it is written. It may hold secrets.
    pub(super) command: String,
}

/// A token and what it is changed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebIdentity {
    pub(super) token_file: PathBuf,
    pub(super) role_arn: String,
    pub(super) session_name: String,
}

/// Finds the way.
///
/// # Errors
/// It is set up by half, cannot be gone here, or there is none.
pub(super) fn way(options: &AwsOptions, profile: &Profile<'_>) -> Result<Way> {
    if options.no_sign_request {
        return Ok(Way::Unsigned);
    }
    let by_profile = |setting| profile.get(setting);
    match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => {
            let token = options.session_token.as_deref();
            return Ok(Way::Keys(credential(id, secret, token, "the environment")?));
        }
        (None, None) => {}
        (Some(_), None) => {
            return Err(wrong("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"));
        }
        (None, Some(_)) => {
            return Err(wrong("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID"));
        }
    }
    let has_token = by_profile("web_identity_token_file").is_some();
    if by_profile("role_arn").is_some() && !has_token {
        return Err(by_tool(profile, "takes a role"));
    }
    if let Some(way) = web_identity(options, profile)? {
        return Ok(Way::WebIdentity(way));
    }
    if by_profile("sso_account_id").is_some() || by_profile("sso_role_name").is_some() {
        return Err(by_tool(profile, "signs in by SSO"));
    }
    let stands = |get: &dyn Fn(&'static str) -> Option<String>, file: &str| {
        keys(get, &format!("profile '{}' of the {file} file", profile.name))
    };
    let in_credentials = |setting| profile.in_credentials(setting).map(str::to_owned);
    if let Some(keys) = stands(&in_credentials, "credentials")? {
        return Ok(Way::Keys(keys));
    }
    if by_profile("login_session").is_some() {
        return Err(by_tool(profile, "signs in by 'aws login'"));
    }
    if let Some(command) = by_profile("credential_process") {
        let (profile, command) = (profile.name.clone(), command.to_owned());
        return Ok(Way::Process(Process { profile, command }));
    }
    let in_config = |setting| profile.in_config(setting).map(str::to_owned);
    if let Some(keys) = stands(&in_config, "config")? {
        return Ok(Way::Keys(keys));
    }
    if let Some(container) = Container::of(options)? {
        return Ok(Way::Container(container));
    }
    match &options.instance_metadata {
        Some(url) => Ok(Way::Instance(url.clone())),
        None => Err(no_keys(BackendErrorKind::Denied, NONE)),
    }
}

/// What is said where no way leads to keys.
pub(super) const NONE: &str = "there are none in the environment nor in a profile: set AWS_ACCESS_KEY_ID and \
                               AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_NO_SIGN_REQUEST=YES opens a public bucket";

/// Keys as they stand in one file's profile.
fn keys(
    get: &dyn Fn(&'static str) -> Option<String>,
    whose: &str,
) -> Result<Option<Arc<AwsCredential>>> {
    let Some(id) = get("aws_access_key_id") else { return Ok(None) };
    let secret = get("aws_secret_access_key");
    let secret = secret.ok_or_else(|| {
        wrong(format!("{whose} has aws_access_key_id without aws_secret_access_key"))
    })?;
    let token = get("aws_security_token").or_else(|| get("aws_session_token"));
    credential(&id, &secret, token.as_deref(), whose).map(Some)
}

/// Keys that can stand in a request.
pub(super) fn credential(
    id: &str,
    secret: &str,
    token: Option<&str>,
    whose: &str,
) -> Result<Arc<AwsCredential>> {
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    // The secret itself stands in no header.
    if ![id].into_iter().chain(token).all(is_visible) || secret.contains(char::is_control) {
        return Err(wrong(format!("a key of {whose} has signs in it that no key has")));
    }
    Ok(Arc::new(AwsCredential {
        key_id: id.to_owned(),
        secret_key: secret.to_owned(),
        token: token.map(str::to_owned),
    }))
}

/// The environment's, else the profile's, setting by setting.
fn web_identity(options: &AwsOptions, profile: &Profile<'_>) -> Result<Option<WebIdentity>> {
    let by_profile = |setting| profile.get(setting);
    let file = options.web_identity_token_file.clone();
    let file = file.or_else(|| by_profile("web_identity_token_file").map(PathBuf::from));
    let Some(token_file) = file else { return Ok(None) };
    let either = |said: &Option<String>, setting| {
        said.clone().or_else(|| by_profile(setting).map(str::to_owned))
    };
    let role = either(&options.role_arn, "role_arn");
    Ok(Some(WebIdentity {
        token_file,
        role_arn: role
            .ok_or_else(|| wrong("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN"))?,
        session_name: either(&options.role_session_name, "role_session_name")
            .unwrap_or_else(|| "storefs".to_owned()),
    }))
}

/// Says how aws-cli is asked for what it alone can get.
fn by_tool(profile: &Profile<'_>, what: &str) -> crate::model::Error {
    let name = &profile.name;
    wrong(format!(
        "profile '{name}' {what}, which aws-cli can do: name another profile by AWS_PROFILE, one with the line \
         'credential_process = aws configure export-credentials --profile {name} --format process'"
    ))
}
