//! A server that gives keys to a container: ECS, EKS, CloudShell, `aws-vault exec --ecs-server`.
//!
//! The crate object_store asks such servers too, but a full URL only together with a token in a file.

use std::fmt::{self, Debug, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION};

use super::failure::{innermost, no_keys, told, wrong};
use super::fetch::{self, Fetched};
use super::http::client_builder;
use super::options::AwsOptions;
use crate::model::{BackendErrorKind, Result};

/// The host that `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` is a path on.
const ECS: &str = "http://169.254.170.2";

/// Hosts that a token is sent to without TLS: this one, ECS's and EKS's.
const WITHOUT_TLS: [&str; 6] =
    ["localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// How long an answer may take.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Whom to ask, and what to show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Container {
    url: reqwest::Url,
    token: Option<Token>,
}

#[derive(Clone, PartialEq, Eq)]
enum Token {
    /// It may change, so it is read each time.
    In(PathBuf),
    Text(String),
}

impl Container {
    /// What the environment says of it.
    pub(super) fn of(options: &AwsOptions) -> Result<Option<Self>> {
        let text = match (&options.container_path, &options.container_url) {
            (Some(path), _) => format!("{ECS}{path}"),
            (None, Some(url)) => url.clone(),
            (None, None) => return Ok(None),
        };
        let no = |reason| wrong(format!("AWS_CONTAINER_CREDENTIALS_FULL_URI {reason}"));
        let url = reqwest::Url::parse(&text).map_err(|_| no("is no URL"))?;
        let host = url.host_str().unwrap_or_default();
        if url.scheme() != "https" && !(url.scheme() == "http" && WITHOUT_TLS.contains(&host)) {
            return Err(no("is neither an https URL nor one of this host, of ECS or of EKS"));
        }
        let file = options.container_token_file.clone().map(Token::In);
        let token = file.or_else(|| options.container_token.clone().map(Token::Text));
        Ok(Some(Self { url, token }))
    }

    /// Asks for keys.
    pub(super) async fn fetch(&self, now: Timestamp) -> Result<Fetched> {
        let host = self.url.host_str().unwrap_or_default();
        let no = |kind, reason: String| no_keys(kind, format!("{host} {reason}"));
        let unreachable = |error: &reqwest::Error| {
            no(BackendErrorKind::Unreachable, format!("cannot be asked: {}", innermost(error)))
        };
        // Proxies lead elsewhere.
        let client = client_builder(None)?.no_proxy().timeout(MOST_TIME).build();
        let client = client.map_err(|error| unreachable(&error))?;
        let mut request = client.get(self.url.clone()).header(ACCEPT, "application/json");
        if let Some(token) = self.token()? {
            request = request.header(AUTHORIZATION, token);
        }
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| unreachable(&error))?;
        if !status.is_success() {
            let reason = format!("gives none ({status}): {}", told(&text));
            return Err(no(BackendErrorKind::Denied, reason));
        }
        let json = serde_json::from_str(&text).unwrap_or_default();
        let keys = fetch::read(&json, "Token", now);
        keys.map_err(|reason| no(BackendErrorKind::Denied, format!("has answered {reason}")))
    }

    fn token(&self) -> Result<Option<String>> {
        let (text, whose) = match &self.token {
            None => return Ok(None),
            Some(Token::Text(text)) => (text.clone(), "AWS_CONTAINER_AUTHORIZATION_TOKEN".into()),
            Some(Token::In(path)) => {
                let text = std::fs::read_to_string(path);
                let path = path.display();
                let text =
                    text.map_err(|error| wrong(format!("{path} cannot be read: {error}")))?;
                (text, path.to_string())
            }
        };
        if text.contains(['\r', '\n']) {
            return Err(wrong(format!("the token of {whose} has more than one line")));
        }
        Ok(Some(text))
    }
}

impl Debug for Container {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}
