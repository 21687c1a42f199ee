//! Changes of many objects, and what becomes of those that are broken off.
//!
//! A purge, the drop of a store and the rename of a store are many requests. So the first thing that is written is an object
//! that says what is to be done (an *intent*), and it is removed when all is done. Whoever opens the bucket next, for writing,
//! completes what he finds, and so does `doctor --repair`. Two who complete the same do no harm: each step says what is to
//! be, and is made again by nobody for whom it has been made.
//!
//! What is completed is done to what was there when it was begun: an object that was written since is left alone, by the
//! server's own times. They are whole seconds, so what was written in the very second of the intent counts as before it.

use std::pin::pin;
use std::time::SystemTime;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::listing::Listing;
use super::requests::{Condition, nonce};
use super::shared::Shared;
use crate::model::{BackendErrorKind, Error, Result, StoreName};

/// Longest intent that is read, in bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// What is to be done to a store or plain directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub(super) enum Operation {
    /// All records go but the spared ones, then the times are set.
    Purge { store: String, input_key: String, at: String },
    /// All objects go.
    Drop { store: String },
    /// All objects move.
    Rename { from: String, to: String, name: Option<String> },
}

/// An operation that has begun.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    /// The key of its object.
    pub(super) key: String,
    pub(super) operation: Operation,
    /// When its object was written, by the server's clock: what is newer is none of its business. `None` for who has just
    /// begun it, and does it to all that he finds.
    pub(super) since: Option<SystemTime>,
}

impl Operation {
    /// What it does, in words that complete "has begun to ...".
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Purge { store, .. } => format!("purge store '{store}'"),
            Self::Drop { store } => format!("remove store '{store}'"),
            Self::Rename { from, to, .. } => format!("rename '{from}' to '{to}'"),
        }
    }

    /// Whether nothing is left to be done of another once this has been done: a purge leaves nothing of a purge, and a drop
    /// nothing of either. A purge does not do what a drop would have done.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Purge { store, .. }, Self::Purge { store: of, .. })
            | (Self::Drop { store }, Self::Purge { store: of, .. } | Self::Drop { store: of }) => {
                store == of
            }
            _ => false,
        }
    }
}

impl Shared {
    fn intents_prefix(&self) -> String {
        format!("{}intents/", self.tree.private())
    }

    /// Writes down what is about to be done.
    pub(super) fn begin(&self, operation: Operation) -> Result<Intent> {
        let key = format!("{}{}.json", self.intents_prefix(), nonce());
        // Our own types cannot fail to be JSON.
        let text = serde_json::to_vec_pretty(&operation).unwrap_or_default();
        self.put_text(&key, text, Condition::Anything)?;
        Ok(Intent { key, operation, since: None })
    }

    /// It is done: nothing of ours stays.
    pub(super) fn end(&self, intent: &Intent) -> Result<()> {
        let action = || format!("note that it is done to {}", intent.operation.in_words());
        self.calls.wait(action, self.calls.delete(&intent.key, self.calls.deadline()))
    }

    /// What others have begun, or a process of ours that was broken off.
    pub(super) fn intents(&self) -> Result<Vec<Intent>> {
        let prefix = self.intents_prefix();
        let find = async {
            let mut found = Vec::new();
            let mut pages = pin!(self.calls.pages(Listing::below(&prefix)));
            while let Some(page) = pages.try_next().await? {
                for listed in page.objects {
                    let deadline = self.calls.deadline();
                    let object = self.calls.get_small(&listed.key, MOST_BYTES, deadline).await?;
                    // Somebody has ended it meanwhile.
                    let Some((object, text)) = object else { continue };
                    let (key, since) = (listed.key, Some(object.modified));
                    match serde_json::from_slice(&text) {
                        Ok(operation) => found.push(Intent { key, operation, since }),
                        Err(error) => {
                            log::warn!("'{key}' is not understood, and left alone: {error}");
                        }
                    }
                }
            }
            Ok::<_, Failure>(found)
        };
        self.calls.wait(|| "look for what was broken off".to_owned(), find)
    }

    /// Completes all that was begun and not ended.
    pub(super) fn complete_all(&self) -> Result<()> {
        for intent in self.intents()? {
            log::warn!(
                "somebody has begun to {} and not come to its end: it is completed",
                intent.operation.in_words()
            );
            self.complete(&intent)?;
        }
        Ok(())
    }

    /// Completes what was broken off.
    pub(super) fn complete(&self, intent: &Intent) -> Result<()> {
        let done = match &intent.operation {
            Operation::Purge { store, input_key, at } => {
                let at: Timestamp = at.parse().map_err(|error| not_understood(intent, &error))?;
                self.run_purge(&directory(intent, store)?, input_key, at, intent).map(drop)
            }
            Operation::Drop { store } => self.run_drop(&directory(intent, store)?, intent),
            Operation::Rename { from, to, name } => {
                let (from, to) = (directory(intent, from)?, directory(intent, to)?);
                self.run_rename(&from, &to, name.as_deref(), intent)
            }
        };
        match done {
            // Nothing is left of it.
            Ok(()) | Err(Error::NoSuchStore { .. }) => self.end(intent),
            Err(error) => Err(error),
        }
    }

    /// Ends what was begun with a store before, since what is done to it now is as good.
    pub(super) fn end_earlier(&self, intent: &Intent, earlier: &[Intent]) -> Result<()> {
        for other in earlier.iter().filter(|other| other.key != intent.key) {
            if intent.operation.covers(&other.operation) {
                self.end(other)?;
            }
        }
        Ok(())
    }
}

/// The store or plain directory of a text.
fn directory(intent: &Intent, text: &str) -> Result<StoreName> {
    match text.strip_prefix('/') {
        None => StoreName::new(text),
        Some(path) => path
            .split('/')
            .filter(|component| !component.is_empty())
            .try_fold(StoreName::plain_root(), |directory, own| directory.child(own)),
    }
    .map_err(|error| not_understood(intent, &error))
}

fn not_understood(intent: &Intent, error: &dyn std::error::Error) -> Error {
    let action = format!("complete what '{}' says", intent.key);
    Error::backend(BackendErrorKind::Damaged, action, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_says_what_is_to_be_done() {
        let operation = Operation::Rename {
            from: "a".to_owned(),
            to: "/datasets/b".to_owned(),
            name: Some("a".to_owned()),
        };
        let text = serde_json::to_string(&operation).unwrap();
        assert!(text.contains("\"operation\":\"rename\""), "{text}");
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation);
        let (purge, dropped) = (
            Operation::Purge { store: "a".into(), input_key: "INPUT".into(), at: String::new() },
            Operation::Drop { store: "a".into() },
        );
        assert!(purge.covers(&purge) && dropped.covers(&purge) && dropped.covers(&dropped));
        assert!(!purge.covers(&dropped) && !dropped.covers(&operation));
        let intent = Intent { key: "k".to_owned(), operation, since: None };
        assert!(directory(&intent, "/datasets/b").unwrap().is_plain());
        assert!(directory(&intent, "a/b").is_err());
    }
}
