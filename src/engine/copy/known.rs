//! What the target has, as its listing tells, in a few bytes for each record.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::super::Store;
use crate::model::{ContentType, Error, Key, Result};

/// What is known of the target's records before any of them is looked at.
#[derive(Debug)]
pub(super) enum Known {
    /// A look at a record costs little, and a listing tells nothing: each is looked at.
    Nothing,
    /// What was listed: digests of keys, and of length and type. Digests that are equal prove nothing.
    Listed { digests: HashMap<u64, u64>, hasher: RandomState },
}

/// What is known of one record of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// It is not there.
    No,
    /// It is there with another length or type.
    Another,
    /// It may be there, and be the same.
    Maybe,
}

impl Known {
    /// That of a store without records.
    pub(super) fn none() -> Self {
        Self::Listed { digests: HashMap::new(), hasher: RandomState::new() }
    }

    /// Lists a store.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub(super) fn of(store: &Store) -> Result<Self> {
        let (mut digests, hasher) = (HashMap::new(), RandomState::new());
        for listed in store.scan()? {
            let listed = listed?;
            let (Some(attributes), Some(kept)) = (listed.attributes, listed.record_type) else {
                return Ok(Self::Nothing);
            };
            let facts = hasher.hash_one((attributes.size, kept.content_type.as_str()));
            digests.insert(hasher.hash_one(&listed.key), facts);
        }
        Ok(Self::Listed { digests, hasher })
    }

    /// Compares a record with what is known; one of this length and type is to be there.
    ///
    /// # Errors
    /// Those of a look at the record.
    pub(super) fn look(
        &self,
        store: &Store,
        key: &Key,
        size: u64,
        content_type: &ContentType,
    ) -> Result<There> {
        match self {
            Self::Nothing => match store.record(key) {
                Err(Error::NoSuchRecord { .. }) => Ok(There::No),
                there => Ok(if there?.size == size { There::Maybe } else { There::Another }),
            },
            Self::Listed { digests, hasher } => {
                let wanted = hasher.hash_one((size, content_type.as_str()));
                Ok(match digests.get(&hasher.hash_one(key)) {
                    None => There::No,
                    Some(facts) if *facts == wanted => There::Maybe,
                    Some(_) => There::Another,
                })
            }
        }
    }
}
