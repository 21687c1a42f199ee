//! Keys in use: until when they hold, whether they still stand where they were found, and whether the server takes them.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use tokio::sync::Mutex;

use super::chain::{self, Way};
use super::failure::{innermost, no_keys};
use super::fetch::Fetched;
use super::options::AwsOptions;
use super::profiles::{Files, Stamps};
use super::{process, roles};
use crate::model::{BackendErrorKind, Error, Result};

/// Keys are renewed so long before they expire, or in the middle of a shorter life.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// A renewal that has failed while keys still hold, or has brought what the server refuses, is tried again after so long.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// A program or server that has no keys is asked again after so long. Many requests may want them at once.
const AGAIN_WITHOUT: SignedDuration = SignedDuration::from_secs(2);

/// The keys that a bucket is opened by. To be used within a runtime of tokio with time and I/O.
///
/// Files are looked at before each use, by their stamps: keys that a tool changes there while the bucket is open are taken up.
/// Server and region stay as they were.
pub(super) struct Credentials {
    options: AwsOptions,
    region: String,
    /// Held while keys are looked for, and over no request to the bucket: who comes meanwhile needs the same keys. Nothing
    /// is taken beneath it.
    state: Mutex<State>,
    /// The server refuses the keys that were given last.
    are_refused: AtomicBool,
}

struct State {
    /// The files as they were when they were read last.
    stamps: Stamps,
    way: Way,
    have: Option<Have>,
    /// Keys were fetched anew since the server has refused some; until then, that is not done again.
    again: Option<Timestamp>,
    /// Why there were none, and until when that stands.
    failed: Option<(Timestamp, BackendErrorKind, String)>,
}

/// What was fetched on the way.
enum Have {
    Keys {
        fetched: Fetched,
        /// When others are to be fetched.
        renew: Option<Timestamp>,
    },
    /// A provider that renews them itself.
    Provider {
        provider: AwsCredentialProvider,
        /// Whether it has had some.
        has_given: bool,
    },
}

impl Credentials {
    pub(super) fn new(options: AwsOptions, region: String, way: Way, stamps: Stamps) -> Self {
        let state = State { stamps, way, have: None, again: None, failed: None };
        Self { options, region, state: Mutex::new(state), are_refused: AtomicBool::new(false) }
    }

    /// As [`Access::credential`](super::Access::credential).
    pub(super) async fn get(&self) -> Result<Option<Arc<AwsCredential>>> {
        self.get_at(Timestamp::now()).await
    }

    /// As [`Access::refused`](super::Access::refused). Many may say so of the same keys: others are looked for once.
    pub(super) fn refused(&self) {
        self.are_refused.store(true, Ordering::Release);
    }

    pub(super) async fn get_at(&self, now: Timestamp) -> Result<Option<Arc<AwsCredential>>> {
        let mut state = self.state.lock().await;
        let are_refused = self.are_refused.swap(false, Ordering::AcqRel);
        let stamps = Stamps::of(&self.options);
        // Refused ones, whatever the stamps say: a file may have changed twice within one tick of its clock.
        if are_refused || stamps != state.stamps {
            state.look_again(&self.options, stamps)?;
        }
        if are_refused && state.again.is_none_or(|again| again <= now) {
            state.have = None;
            state.again = Some(later(now, AGAIN));
        }
        if state.way == Way::Unsigned {
            return Ok(None);
        }
        state.keys(&self.options, &self.region, now).await.map(Some)
    }
}

impl State {
    /// Reads the files again. If nothing can be made of them, all stays as it is while there are keys: a tool may be in the
    /// middle of writing.
    fn look_again(&mut self, options: &AwsOptions, stamps: Stamps) -> Result<()> {
        let found =
            Files::read(options).and_then(|files| chain::way(options, &files.profile(options)?));
        match found {
            Ok(way) if way == self.way => {}
            Ok(way) => {
                log::info!("keys for the bucket are taken anew from the profile");
                self.way = way;
                (self.have, self.again, self.failed) = (None, None, None);
            }
            Err(error) if self.have.is_none() => return Err(error),
            Err(error) => log::warn!("keys for the bucket stay as they are: {error}"),
        }
        self.stamps = stamps;
        Ok(())
    }

    /// Keys that hold.
    async fn keys(
        &mut self,
        options: &AwsOptions,
        region: &str,
        now: Timestamp,
    ) -> Result<Arc<AwsCredential>> {
        if self.have.as_ref().is_none_or(|have| have.is_due(now)) {
            if let Some((until, kind, reason)) = &self.failed
                && now < *until
            {
                return Err(no_keys(*kind, reason.as_str()));
            }
            match fetch(&self.way, options, region, now).await {
                Ok(have) => (self.have, self.failed) = (Some(have), None),
                Err(error) => self.go_on_without(error, now)?,
            }
        }
        match &mut self.have {
            Some(Have::Keys { fetched, .. }) => Ok(Arc::clone(&fetched.keys)),
            Some(Have::Provider { provider, has_given }) => {
                let keys = provider.get_credential().await;
                let keys = keys.map_err(|error| unprovided(&self.way, *has_given, &error))?;
                *has_given = true;
                Ok(keys)
            }
            None => Err(no_keys(BackendErrorKind::Denied, chain::NONE)),
        }
    }

    /// Takes the error back if the keys that were to be renewed still hold.
    fn go_on_without(&mut self, error: Error, now: Timestamp) -> Result<()> {
        match &mut self.have {
            Some(Have::Keys { fetched, renew }) if fetched.hold(now) => {
                log::warn!("keys for the bucket are not renewed yet: {error}");
                *renew = Some(later(now, AGAIN));
                Ok(())
            }
            _ => {
                if let Error::Backend { kind, source, .. } = &error {
                    self.failed = Some((later(now, AGAIN_WITHOUT), *kind, source.to_string()));
                }
                Err(error)
            }
        }
    }
}

impl Have {
    fn new(fetched: Fetched, now: Timestamp) -> Self {
        let renew = fetched.expires.map(|expires| {
            let life = expires.duration_since(now);
            let ahead = AHEAD.min(life / 2);
            expires.saturating_sub(ahead).unwrap_or(expires)
        });
        Self::Keys { fetched, renew }
    }

    fn of(provider: AwsCredentialProvider) -> Self {
        Self::Provider { provider, has_given: false }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Self::Keys { renew: Some(renew), .. } if *renew <= now)
    }
}

/// Goes the way. A provider is only made, not asked.
async fn fetch(way: &Way, options: &AwsOptions, region: &str, now: Timestamp) -> Result<Have> {
    let fetched = match way {
        Way::Unsigned => return Err(no_keys(BackendErrorKind::Denied, chain::NONE)),
        Way::Keys(keys) => Fetched { keys: Arc::clone(keys), expires: None },
        Way::Process(program) => process::run(program, now).await?,
        Way::Container(container) => container.fetch(now).await?,
        Way::WebIdentity(way) => {
            return Ok(Have::of(roles::by_token(way, options, region)?));
        }
        Way::Instance(metadata) => return Ok(Have::of(roles::of_instance(metadata)?)),
    };
    Ok(Have::new(fetched, now))
}

/// What is said where the crate's provider has none.
fn unprovided(way: &Way, has_given: bool, error: &object_store::Error) -> Error {
    let reason = innermost(error);
    match way {
        Way::Instance(_) if !has_given => no_keys(
            BackendErrorKind::Denied,
            format!("{}; this is no instance of EC2 with a role either ({reason})", chain::NONE),
        ),
        Way::WebIdentity(_) => no_keys(
            BackendErrorKind::Unreachable,
            format!("the token of AWS_WEB_IDENTITY_TOKEN_FILE is changed for none: {reason}"),
        ),
        _ => no_keys(BackendErrorKind::Unreachable, reason),
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(now)
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("options", &self.options).finish_non_exhaustive()
    }
}
