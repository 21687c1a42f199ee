//! A text as it was when it was looked up, where the kernel opens files without asking.

use std::time::Instant;

use crate::fs::ino::Ino;
use crate::model::Attributes;

/// A text that does not change.
#[derive(Clone, Debug)]
pub(in crate::fs) struct TextNode {
    /// The directory.
    pub(in crate::fs) parent: Ino,
    pub(in crate::fs) name: &'static [u8],
    pub(in crate::fs) bytes: Vec<u8>,
    pub(in crate::fs) attributes: Attributes,
    pub(in crate::fs) made: Instant,
}
