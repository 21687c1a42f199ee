//! Values that are said to be far: what is read of them is counted, and fails if a test wants it to.

// No test asks for all of it.
#![allow(dead_code)]

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use storefs::backend::Value;
use storefs::backend::memory::MemoryBackend;
use storefs::model::{Attributes, Error, RecordType, Result};

/// How to fail.
type Failure = fn() -> Error;

/// What is asked of far values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far {
    /// Each range that was read.
    read: Arc<Mutex<Vec<Range<u64>>>>,
    fails: Arc<Mutex<Option<Failure>>>,
}

impl Far {
    /// An empty storage in memory, all values of which are far.
    pub(crate) fn backend(&self) -> MemoryBackend {
        let far = self.clone();
        MemoryBackend::showing(move |value, record_type| far.value(value, record_type))
    }

    /// A value with its type, far.
    pub(crate) fn value(
        &self,
        value: Arc<dyn Value>,
        record_type: Option<RecordType>,
    ) -> Arc<dyn Value> {
        Arc::new(FarValue { value, record_type, far: self.clone() })
    }

    /// Which ranges were read since this was asked last, and begins anew.
    pub(crate) fn read(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.read.lock())
    }

    /// How many bytes were read since this was asked last.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read().into_iter().map(|range| range.end - range.start).sum()
    }

    /// Lets each read of a value fail, or none any more.
    pub(crate) fn fail(&self, failure: Option<Failure>) {
        *self.fails.lock() = failure;
    }
}

#[derive(Debug)]
struct FarValue {
    value: Arc<dyn Value>,
    record_type: Option<RecordType>,
    far: Far,
}

impl Value for FarValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if let Some(failure) = *self.far.fails.lock() {
            return Err(failure());
        }
        let count = self.value.read_at(buffer, offset)?;
        self.far.read.lock().push(offset..offset + count as u64);
        Ok(count)
    }

    fn attributes(&self) -> Result<Attributes> {
        self.value.attributes()
    }

    fn record_type(&self) -> Option<RecordType> {
        self.record_type.clone()
    }

    fn is_far(&self) -> bool {
        true
    }

    fn has(&self, _offset: u64, _len: u64) -> bool {
        false
    }
}
