//! Where a bucket is and by whose keys it is opened, as the tools of AWS are told it.
//!
//! What boto3 and aws-cli find by the environment and by the files of `~/.aws`, this finds too, in their order. The
//! environment is read by [`AwsOptions::from_env`] alone.
//!
//! | file | owns |
//! | --- | --- |
//! | `options` | what the environment says |
//! | `ini` | the grammar of the files |
//! | `profiles` | what a profile says in both files, and whether they have changed |
//! | `place` | server, region and certificates |
//! | `chain` | which way leads to keys, in which order |
//! | `fetch`, `process`, `container`, `roles` | going such a way |
//! | `credentials` | keys in use: until when they hold, and whether the server takes them |
//! | `http` | how servers are spoken to |

mod chain;
mod container;
mod credentials;
mod failure;
mod fetch;
mod http;
mod ini;
mod options;
mod place;
mod process;
mod profiles;
mod roles;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use std::sync::Arc;

use credentials::Credentials;
use object_store::aws::AwsCredential;
pub use options::AwsOptions;

use crate::model::Result;

/// Where a bucket is, and who asks.
#[derive(Debug)]
pub(super) struct Access {
    /// The server's URL, `SCHEME://HOST[:PORT]` without a slash at its end; `None` is AWS itself.
    pub(super) endpoint: Option<String>,
    /// The region that requests are signed for. Letters, digits and hyphens, so that it may stand in a host name.
    pub(super) region: String,
    /// Certificates in PEM that servers are checked by in place of the system's.
    ca_bundle: Option<PathBuf>,
    credentials: Credentials,
}

impl Access {
    /// Begins a client of HTTP that trusts what the bucket's server is to be trusted by.
    ///
    /// # Errors
    /// The certificates that are named cannot be read, or are none.
    pub(super) fn client_builder(&self) -> Result<reqwest::ClientBuilder> {
        http::client_builder(self.ca_bundle.as_deref())
    }

    /// The keys to sign the next request by; `None` if requests are not signed. Runs a program or asks a server if there are
    /// none that hold, within a runtime of tokio with time and I/O. Cheap otherwise: it looks at two files.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) in one line.
    pub(super) async fn credential(&self) -> Result<Option<Arc<AwsCredential>>> {
        self.credentials.get().await
    }

    /// Says that the server refuses the keys that were given last (`ExpiredToken`, `InvalidAccessKeyId` and their like): others
    /// are looked for before the next are given. Those may be the same.
    pub(super) fn refused(&self) {
        self.credentials.refused();
    }
}

/// Finds out where the bucket is and by whose keys it is opened. Reads files; asks no server yet, and starts no program.
///
/// # Errors
/// [`Error::Backend`](crate::Error::Backend) in one line: a profile, a file or a setting is wrong, or nothing leads to keys.
pub(super) fn access(options: &AwsOptions) -> Result<Access> {
    let files = profiles::Files::read(options)?;
    let profile = files.profile(options)?;
    let place = place::place(options, &files, &profile)?;
    let way = chain::way(options, &profile)?;
    Ok(Access {
        endpoint: place.endpoint,
        credentials: Credentials::new(options.clone(), place.region.clone(), way, files.stamps()),
        region: place.region,
        ca_bundle: place.ca_bundle,
    })
}
