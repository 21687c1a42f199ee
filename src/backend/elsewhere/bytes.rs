//! Published values of a storage that is elsewhere: small ones in memory, large ones in the spool.

use std::fmt::Debug;
use std::sync::Arc;

use super::generations::Generations;
use super::versions::RecordId;
use crate::backend::Value;
use crate::model::{Attributes, RecordType, Result};
use crate::ranks::{Mutex, Table};

/// So many bytes of values that are not open are kept in memory at most.
const MOST_IN_MEMORY: u64 = 64 * 1024 * 1024;

/// So many bytes of such values are kept in the spool at most.
const MOST_IN_SPOOL: u64 = 1024 * 1024 * 1024;

/// So many values that come by parts are kept at most: each has a descriptor.
const MOST_FILES: u64 = 4096;

/// A value in the spool, of which parts may still come.
pub(in crate::backend) trait Large: Debug + Send + Sync {
    /// Reads at an offset, as soon as the bytes have come; fewer than asked for only at the end.
    ///
    /// # Errors
    /// Why they do not come.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Whether all of it has come or may still come.
    fn is_sound(&self) -> bool;

    /// Whether these bytes are at hand.
    fn has(&self, offset: u64, len: u64) -> bool;

    /// Length in bytes.
    fn size(&self) -> u64;

    /// Whether bytes that nobody asks for do not come: then it is no good to copy all of them.
    fn comes_by_parts(&self) -> bool;
}

/// The bytes of one version.
#[derive(Clone, Debug)]
pub(in crate::backend) enum Bytes {
    Memory(Arc<[u8]>),
    Spool(Arc<dyn Large>),
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

    /// Length in bytes.
    pub(in crate::backend) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool(fetched) => fetched.size(),
        }
    }
}

/// A version that is open.
#[derive(Debug)]
pub(in crate::backend) struct RemoteValue {
    pub(in crate::backend) bytes: Bytes,
    pub(in crate::backend) attributes: Attributes,
    /// `None` if this look has not told it.
    pub(in crate::backend) record_type: Option<RecordType>,
}

impl Value for RemoteValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.bytes.read_at(buffer, offset)
    }

    fn has(&self, offset: u64, len: u64) -> bool {
        self.bytes.has(offset, len)
    }

    fn is_far(&self) -> bool {
        matches!(&self.bytes, Bytes::Spool(large) if large.comes_by_parts())
    }

    fn attributes(&self) -> Result<Attributes> {
        Ok(self.attributes)
    }

    fn record_type(&self) -> Option<RecordType> {
        self.record_type.clone()
    }
}

/// Bytes of versions that may be asked for again.
#[derive(Debug)]
pub(in crate::backend) struct KeptBytes<V> {
    memory: Mutex<Table, Generations<RecordId, (V, Bytes)>>,
    spool: Mutex<Table, Generations<RecordId, (V, Bytes)>>,
    /// So much the values in the spool weigh at most.
    most_in_spool: u64,
}

impl<V> Default for KeptBytes<V> {
    fn default() -> Self {
        Self::of(MOST_IN_SPOOL)
    }
}

impl<V> KeptBytes<V> {
    fn of(most_in_spool: u64) -> Self {
        let bounded = |most| Mutex::new(Generations::new(most));
        Self { memory: bounded(MOST_IN_MEMORY), spool: bounded(most_in_spool), most_in_spool }
    }

    /// For values that come by parts, of which others see to it that they take `most_bytes` at most: what those bytes
    /// could be of is kept.
    #[cfg(feature = "s3")]
    pub(in crate::backend) fn of_parts(most_bytes: u64) -> Self {
        // A generation is half of it, and each may hold as much as there is.
        Self::of(most_bytes.saturating_mul(2).max(MOST_IN_SPOOL))
    }
}

impl<V: Clone> KeptBytes<V> {
    /// The bytes of a record that are kept, and of which version they are.
    pub(in crate::backend) fn find(&self, record: &RecordId) -> Option<(V, Bytes)> {
        let in_memory = self.memory.lock().get(record).cloned();
        let kept = in_memory.or_else(|| self.spool.lock().get(record).cloned());
        // What broke off is fetched again.
        kept.filter(|(_, bytes)| bytes.are_sound())
    }

    /// Keeps the bytes of a record's version, and no others of that record.
    pub(in crate::backend) fn keep(&self, record: &RecordId, version: V, bytes: &Bytes) {
        let (kept, other) = match bytes {
            Bytes::Memory(_) => (&self.memory, &self.spool),
            Bytes::Spool(_) => (&self.spool, &self.memory),
        };
        other.lock().remove(record);
        kept.lock().insert(record.clone(), (version, bytes.clone()), self.weight(bytes));
    }

    /// What bytes weigh that are kept. Even nothing takes room. A value that comes by parts takes no more than there is, however
    /// long it is, and no less than its share of the files.
    fn weight(&self, bytes: &Bytes) -> u64 {
        match bytes {
            Bytes::Spool(large) if large.comes_by_parts() => {
                let most = self.most_in_spool;
                large.size().clamp(most / MOST_FILES, most / 2)
            }
            bytes => bytes.len().max(64),
        }
    }

    /// How many are kept in memory, and in local files.
    pub(in crate::backend) fn bytes(&self) -> (u64, u64) {
        let memory = self.memory.lock().weight();
        (memory, self.spool.lock().weight())
    }

    /// A record is gone.
    pub(in crate::backend) fn forget(&self, record: &RecordId) {
        self.memory.lock().remove(record);
        self.spool.lock().remove(record);
    }
}

#[cfg(all(test, feature = "s3"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Key, StoreName};

    /// A value of a length, without bytes.
    #[derive(Debug)]
    struct Sparse {
        size: u64,
        comes_by_parts: bool,
    }

    impl Large for Sparse {
        fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize> {
            Ok(0)
        }

        fn is_sound(&self) -> bool {
            true
        }

        fn has(&self, _: u64, _: u64) -> bool {
            false
        }

        fn size(&self) -> u64 {
            self.size
        }

        fn comes_by_parts(&self) -> bool {
            self.comes_by_parts
        }
    }

    fn record(number: u64) -> RecordId {
        (StoreName::default_store(), Key::new(&number.to_string()).unwrap())
    }

    #[test]
    fn as_much_is_kept_as_may_be_on_the_disk() {
        let gib = 1 << 30;
        let kept = KeptBytes::of_parts(8 * gib);
        let value = |size| Bytes::Spool(Arc::new(Sparse { size, comes_by_parts: true }));
        for number in 0..8 {
            kept.keep(&record(number), 0, &value(gib));
        }
        assert!((0..8).all(|number| kept.find(&record(number)).is_some()));
        // One that is longer than all that there is has its parts there, too.
        kept.keep(&record(9), 0, &value(1 << 40));
        assert!(kept.find(&record(9)).is_some());
    }

    #[test]
    fn small_parts_are_bounded_by_their_files_and_whole_files_by_their_bytes() {
        let kept = KeptBytes::of_parts(1 << 50);
        let few = Bytes::Spool(Arc::new(Sparse { size: 256 << 10, comes_by_parts: true }));
        for number in 0..3 * MOST_FILES {
            kept.keep(&record(number), 0, &few);
        }
        let is_kept = |number: &u64| kept.find(&record(*number)).is_some();
        assert!((0..3 * MOST_FILES).filter(is_kept).count() as u64 <= MOST_FILES);
        let whole = KeptBytes::default();
        let bytes = Bytes::Spool(Arc::new(Sparse { size: MOST_IN_SPOOL, comes_by_parts: false }));
        whole.keep(&record(0), 0, &bytes);
        assert!(whole.find(&record(0)).is_none(), "more than may be there");
    }
}
