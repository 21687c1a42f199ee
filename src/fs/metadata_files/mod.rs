//! Metadata files: what describes a store (`__metadata__.json`) or a record (its sidecar), under its own name.
//!
//! They are written as texts and taken as what they say when they are closed. A store's is in the mount as it is in the
//! storage. A sidecar is in it by its name alone, and only where somebody has brought it: made by an SDK or by us, it
//! is in the storage and nothing that a copy of the mount would bring back.
//!
//! | file | owns |
//! | --- | --- |
//! | `node` | which metadata file an inode is |
//! | `file` | one that is open for writing |
//! | `sidecars` | sidecars that were brought, and what has become of them |

mod file;
mod node;
mod sidecars;

pub(in crate::fs) use file::{MetadataFile, Unkept};
pub(in crate::fs) use node::MetadataNode;
pub(in crate::fs) use sidecars::{Awaited, Brought, HeldSidecar, Placed, Sidecars, Waits};
