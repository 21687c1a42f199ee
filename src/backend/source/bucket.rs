//! A bucket and a prefix in it: `s3://BUCKET[/PREFIX]`.
//!
//! The text stands as aws-cli and rclone take it: a percent sign is one, and there is no secret in it. Where the bucket is and by
//! whose keys it is opened, the environment says. What stands behind a question mark in URLs of other programs (regions,
//! servers, keys) is refused and not repeated.

use std::fmt::{self, Debug, Formatter};

use crate::model::{Error, Result};

/// Longest prefix in bytes. A key has 1024, and what follows the prefix needs its part of them.
const MOST_PREFIX_BYTES: usize = 512;

/// A storage in a bucket.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BucketSource {
    /// Its name, as S3 allows it.
    pub(crate) bucket: String,
    /// What the key of each object begins with: empty, or without a slash at its begin and with one at its end.
    pub(crate) prefix: String,
}

impl BucketSource {
    /// Takes apart what follows the scheme's colon.
    pub(super) fn parse(rest: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(rest).ok().and_then(|text| text.strip_prefix("//"));
        let text = text.ok_or_else(|| refused("cannot be read: write s3://BUCKET/PREFIX"))?;
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        if bucket.contains('@') || bucket.contains(':') {
            // Not repeated: it may hold a key.
            return Err(refused(
                "has more than a name before its prefix: keys and servers are told by the environment (AWS_PROFILE, \
                 AWS_ENDPOINT_URL)",
            ));
        }
        if !is_bucket(bucket) {
            return Err(refused(
                "names no bucket: that has 3 to 63 lower-case letters, digits, dots and hyphens",
            ));
        }
        if prefix.contains('?') {
            // Not repeated either.
            return Err(refused(
                "has a question mark in its prefix: regions and servers are told by the environment (AWS_REGION, \
                 AWS_ENDPOINT_URL)",
            ));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_component = |part: &str| !matches!(part, "" | "." | "..");
        if !prefix.is_empty() && !prefix.split('/').all(is_component) {
            return Err(refused("has a prefix with an empty part, or with '.' or '..'"));
        }
        if prefix.contains(char::is_control) || prefix.len() > MOST_PREFIX_BYTES {
            return Err(refused("has a prefix with control characters, or of more than 512 bytes"));
        }
        let end = if prefix.is_empty() { "" } else { "/" };
        Ok(Self { bucket: bucket.to_owned(), prefix: format!("{prefix}{end}") })
    }

    /// A text that it is taken from.
    pub(super) fn shown(&self) -> String {
        let Self { bucket, prefix } = self;
        match prefix.strip_suffix('/') {
            Some(prefix) => format!("s3://{bucket}/{prefix}"),
            None => format!("s3://{bucket}"),
        }
    }
}

impl Debug for BucketSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BucketSource").field(&self.shown()).finish()
    }
}

/// Whether S3 lets a bucket have this name. Some older ones have capitals and underscores.
fn is_bucket(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let ends = [name.as_bytes().first(), name.as_bytes().last()];
    (3..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && ends.into_iter().flatten().all(u8::is_ascii_alphanumeric)
        && !name.contains("..")
}

fn refused(reason: &str) -> Error {
    Error::invalid_source("s3:", reason)
}
