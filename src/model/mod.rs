//! The words of a storage as types: names, keys, content types, metadata, errors.
//!
//! Every layer may use this room; it knows none of them. Nothing here does I/O.

mod attributes;
mod content_type;
mod error;
mod finding;
mod kept_purge;
mod key;
mod metadata;
mod record_type;
mod store_name;
mod unpublished;

pub use attributes::{AttributeChange, Attributes, Space, Stamp, TimeChange};
pub(crate) use attributes::{epoch_ns, system_time};
pub use content_type::ContentType;
pub(crate) use content_type::{may_begin_text, seems_text};
pub use error::{BackendErrorKind, Error, Result};
pub use finding::{Finding, FindingKind, FindingState, Remedy};
pub use jiff::Timestamp;
pub use kept_purge::{KeptCount, KeptPurge, PurgedBy, Unpurged};
pub use key::{DEFAULT_INPUT_KEY, Key};
pub(crate) use metadata::this_moment;
pub use metadata::{StoreMetadata, StoreTimes};
pub use record_type::{Origin, RecordType};
pub use store_name::{DEFAULT_STORE, StoreName};
pub use unpublished::Unpublished;
