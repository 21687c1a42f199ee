//! Published values of a database: small ones in memory, large ones in the spool.

use std::sync::Arc;

use super::database::Version;
use super::generations::Generations;
use super::versions::RecordId;
use crate::backend::Value;
use crate::backend::spool::Fetched;
use crate::model::{Attributes, RecordType, Result};
use crate::ranks::{Mutex, Table};

/// Values up to this length in bytes are held in memory, and come in the round trip that opens them.
pub(super) const INLINE: u64 = 256 * 1024;

/// So many bytes of values that are not open are kept in memory at most.
const MOST_IN_MEMORY: u64 = 64 * 1024 * 1024;

/// So many bytes of such values are kept in the spool at most.
const MOST_IN_SPOOL: u64 = 1024 * 1024 * 1024;

/// The bytes of one version.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    Memory(Arc<[u8]>),
    Spool(Arc<Fetched>),
}

impl Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                let rest = rest.unwrap_or_default();
                let count = rest.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                Ok(count)
            }
            Self::Spool(fetched) => fetched.read_at(buffer, offset),
        }
    }

    /// Whether they can all be read, as far as is known.
    fn are_sound(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Spool(fetched) => fetched.is_sound(),
        }
    }

    /// Whether these bytes have come.
    fn has(&self, offset: u64, len: u64) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Spool(fetched) => fetched.has(offset, len),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool(fetched) => fetched.size(),
        }
    }
}

/// A version that is open.
#[derive(Debug)]
pub(super) struct SqlValue {
    pub(super) bytes: Bytes,
    pub(super) attributes: Attributes,
    pub(super) record_type: RecordType,
}

impl Value for SqlValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.bytes.read_at(buffer, offset)
    }

    fn has(&self, offset: u64, len: u64) -> bool {
        self.bytes.has(offset, len)
    }

    fn attributes(&self) -> Result<Attributes> {
        Ok(self.attributes)
    }

    fn record_type(&self) -> Option<RecordType> {
        Some(self.record_type.clone())
    }
}

/// Bytes of versions that may be asked for again.
#[derive(Debug)]
pub(super) struct KeptBytes {
    memory: Mutex<Table, Generations<RecordId, (Version, Bytes)>>,
    spool: Mutex<Table, Generations<RecordId, (Version, Bytes)>>,
}

impl Default for KeptBytes {
    fn default() -> Self {
        let bounded = |most| Mutex::new(Generations::new(most));
        Self { memory: bounded(MOST_IN_MEMORY), spool: bounded(MOST_IN_SPOOL) }
    }
}

impl KeptBytes {
    /// The bytes of a record that are kept, and of which version they are.
    pub(super) fn find(&self, record: &RecordId) -> Option<(Version, Bytes)> {
        let in_memory = self.memory.lock().get(record).cloned();
        let kept = in_memory.or_else(|| self.spool.lock().get(record).cloned());
        // What broke off is fetched again.
        kept.filter(|(_, bytes)| bytes.are_sound())
    }

    /// Keeps the bytes of a record's version, and no others of that record.
    pub(super) fn keep(&self, record: &RecordId, version: Version, bytes: &Bytes) {
        let weight = bytes.len();
        let (kept, other) = match bytes {
            Bytes::Memory(_) => (&self.memory, &self.spool),
            Bytes::Spool(_) => (&self.spool, &self.memory),
        };
        other.lock().remove(record);
        // Even nothing takes room.
        kept.lock().insert(record.clone(), (version, bytes.clone()), weight.max(64));
    }

    /// How many are kept in memory, and in local files.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let memory = self.memory.lock().weight();
        (memory, self.spool.lock().weight())
    }

    /// A record is gone.
    pub(super) fn forget(&self, record: &RecordId) {
        self.memory.lock().remove(record);
        self.spool.lock().remove(record);
    }
}
