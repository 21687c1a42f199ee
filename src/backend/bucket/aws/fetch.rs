//! Keys that were brought by a program or a server, as both tell them: in JSON.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::aws::AwsCredential;
use serde_json::Value;

use super::chain::credential;

/// Keys, and until when they hold.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) keys: Arc<AwsCredential>,
    /// `None` is as long as the server takes them.
    pub(super) expires: Option<Timestamp>,
}

impl Fetched {
    /// Whether they still hold.
    pub(super) fn hold(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// Reads what was brought. `token` is the name of the session token's field.
///
/// # Errors
/// What is wrong with it, as the end of a sentence. Nothing of it is repeated: it holds keys.
pub(super) fn read(json: &Value, token: &str, now: Timestamp) -> Result<Fetched, String> {
    let field = |name| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(id), Some(secret)) = (field("AccessKeyId"), field("SecretAccessKey")) else {
        return Err("without AccessKeyId and SecretAccessKey".to_owned());
    };
    let expires = match field("Expiration").map(str::parse::<Timestamp>) {
        Some(Err(_)) => return Err("with an Expiration that is no time".to_owned()),
        Some(Ok(expires)) if expires <= now => {
            return Err(format!("with keys that have expired at {expires}"));
        }
        expires => expires.and_then(Result::ok),
    };
    let keys = credential(id, secret, field(token), "it");
    let keys = keys.map_err(|_| "with signs in a key that no key has".to_owned())?;
    Ok(Fetched { keys, expires })
}
