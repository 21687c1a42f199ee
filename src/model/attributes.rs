//! What is known of a record or store without reading it.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// Attributes of one published version of a record, of bytes being staged, or of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Length of the value in bytes.
    pub size: u64,
    /// Space that the value takes, in units of 512 bytes.
    pub blocks: u64,
    /// Names of a file; of a directory, two and one for each directory in it, as far as the backend tells.
    pub links: u32,
    /// Permission bits (the low twelve of `st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last read, as far as the backend keeps it.
    pub accessed: SystemTime,
    /// The moment of publication.
    pub modified: SystemTime,
    /// Time of the last change of anything, also of owner and mode.
    pub changed: SystemTime,
    /// Which version this is.
    pub stamp: Stamp,
}

/// Proves that two looks at a record saw the same version.
///
/// Equal stamps mean the same bytes. Unequal stamps mean that the bytes may differ: a change of owner or
/// mode alone also changes the stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Identity of the object that holds the bytes (an inode number, a version number).
    pub object: u64,
    /// Length in bytes.
    pub size: u64,
    /// Nanoseconds since the epoch at which the bytes changed last.
    pub modified_ns: i64,
    /// Nanoseconds since the epoch at which anything changed last.
    pub changed_ns: i64,
}

impl Stamp {
    /// Whether both stand for the same bytes of the same object, whatever became of its name, owner and mode.
    #[must_use]
    pub fn same_bytes(&self, other: &Self) -> bool {
        (self.object, self.size, self.modified_ns) == (other.object, other.size, other.modified_ns)
    }
}

/// A change of attributes; `None` leaves the attribute as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// New permission bits.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New access time.
    pub accessed: Option<TimeChange>,
    /// New modification time.
    pub modified: Option<TimeChange>,
}

impl AttributeChange {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a time is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// The moment of the call.
    Now,
    /// A given moment.
    At(SystemTime),
}

/// Room on the medium that holds the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of a block in bytes.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for users without privileges.
    pub blocks_available: u64,
    /// Files in all.
    pub files: u64,
    /// Free files.
    pub files_free: u64,
}

/// Nanoseconds since the epoch, negative before it.
pub(crate) fn epoch_ns(time: SystemTime) -> i64 {
    let time = Timestamp::try_from(time).unwrap_or_default();
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The time that is so many nanoseconds after the epoch, or before it if negative.
pub(crate) fn system_time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time =
        if nanoseconds < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    time.unwrap_or(epoch)
}
