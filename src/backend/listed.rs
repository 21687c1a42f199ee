//! Records as a listing gives them.

use crate::model::{Attributes, Key, RecordType, Result};

/// The records of a store as they are listed, each once, in the order that
/// [`Traits::key_order`](super::Traits::key_order) says.
pub type Scan = Box<dyn Iterator<Item = Result<Listed>> + Send>;

/// A record of a listing, with what the listing itself has told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: Key,
    /// The attributes that the record had when it was listed; `None` where a listing does not tell them, and each
    /// record has to be looked at.
    pub attributes: Option<Attributes>,
    /// The content type that it had then; `None` where a listing does not tell it, or the record has none.
    pub record_type: Option<RecordType>,
}

impl From<Key> for Listed {
    /// A record of which nothing but the key is known.
    fn from(key: Key) -> Self {
        Self { key, attributes: None, record_type: None }
    }
}
