//! The metadata of a store.

use jiff::Timestamp;

/// This moment, in whole microseconds: no storage keeps more.
pub(crate) fn this_moment() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default()
}

/// What a store knows of itself, apart from its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMetadata {
    /// The id by which an SDK can open the store. `None` where the layout keeps none (Crawlee JS 3).
    pub id: Option<String>,
    /// The name; `None` marks a store that the SDKs purge when a run starts.
    pub name: Option<String>,
    /// When the store was made, read last and changed last.
    pub times: StoreTimes,
}

/// The three times of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTimes {
    /// When the store was made.
    pub created_at: Timestamp,
    /// When it was read last.
    pub accessed_at: Timestamp,
    /// When a record was published, deleted or purged last.
    pub modified_at: Timestamp,
}

impl StoreTimes {
    /// Three times one moment: a store made just then.
    #[must_use]
    pub fn at(moment: Timestamp) -> Self {
        Self { created_at: moment, accessed_at: moment, modified_at: moment }
    }
}
