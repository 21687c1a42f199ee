//! What is kept on this machine of a storage that is elsewhere: which versions of its records were seen, and bytes of them.

mod bytes;
mod generations;
#[cfg(any(feature = "postgres", feature = "s3"))]
mod pauses;
mod shown;
mod versions;

pub(super) use bytes::{Bytes, KeptBytes, Large, RemoteValue};
pub(super) use generations::Generations;
#[cfg(any(feature = "postgres", feature = "s3"))]
pub(super) use pauses::Pauses;
pub(super) use shown::{RECORD_MODE, Shown, file_time};
pub(super) use versions::{Moment, RecordId, Seen, Sight, Versions};
