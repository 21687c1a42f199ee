//! What a bucket is like, looked at once when it is opened.

use super::calls::Calls;
use super::failure::Failure;
use super::listing::Listing;
use super::requests::{Condition, Written, nonce};
use super::shared::Conditions;
use super::tree::Tree;
use crate::backend::source::Source;
use crate::model::{BackendErrorKind, ContentType, Error, RecordType, Result};

/// A version that no object has.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

/// Whether the bucket is there, whether it can be written, and whether the server keeps conditions. That is asked of it by an
/// object of our own, which is gone afterwards: some servers say yes to conditions that do not hold, and write.
pub(super) fn probe(
    calls: &Calls,
    tree: &Tree,
    source: &Source,
    read_only: bool,
) -> Result<(Conditions, Option<String>)> {
    let action = || format!("open '{}'", source.shown());
    let list = calls.list(Listing::of(tree.prefix()).at_most(1), None, calls.deadline());
    calls.wait(action, list)?;
    if read_only {
        return Ok((Conditions::Unknown, None));
    }
    match calls.wait(action, conditions(calls, tree)) {
        Ok(Conditions::Ignored) => {
            log::warn!(
                "the server ignores conditions: of two who make the same record, or replace the same version, the last one \
                 wins, and is told nothing"
            );
            Ok((Conditions::Ignored, None))
        }
        Ok(conditions) => Ok((conditions, None)),
        Err(Error::Backend {
            kind: BackendErrorKind::Denied | BackendErrorKind::ReadOnly,
            source,
            ..
        }) => Ok((Conditions::Unknown, Some(source.to_string()))),
        Err(error) => Err(error),
    }
}

async fn conditions(calls: &Calls, tree: &Tree) -> Result<Conditions, Failure> {
    let key = format!("{}probe-{}", tree.private(), nonce());
    let outcome = try_conditions(calls, &key).await;
    let removed = calls.delete(&key, calls.deadline()).await;
    let outcome = match outcome {
        // The header is unknown to it.
        Err(failure) if failure.refusal().is_some_and(|no| no.status.as_u16() == 501) => {
            Ok(Conditions::Ignored)
        }
        outcome => outcome,
    };
    removed.and(outcome)
}

async fn try_conditions(calls: &Calls, key: &str) -> Result<Conditions, Failure> {
    let bytes = RecordType::given(ContentType::bytes());
    let put = |body: &'static str, condition| {
        let bytes = bytes.clone();
        async move { calls.put(key, body.into(), &bytes, condition, calls.deadline()).await }
    };
    put("1", Condition::Nothing).await?;
    let again = put("2", Condition::Nothing).await?;
    let other = put("3", Condition::Only(NO_TAG)).await?;
    Ok(match (again, other) {
        (Written::Refused, Written::Refused) => Conditions::Enforced,
        _ => Conditions::Ignored,
    })
}
