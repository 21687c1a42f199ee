//! The file system: names, inodes, handles, write sessions and control files over an open
//! [`Storage`](crate::engine::Storage).
//!
//! It speaks of files and directories in words of its own and knows neither the kernel's protocol nor the
//! crate that speaks it, so that it is tested without a mount.
//!
//! ```text
//!  lookup  open  write  lock  attr  xattr  remove  rename  list  purge  metadata  sidecars  inputs  changes  sweep, ending, failures
//!                \      \     |      |     |      |       |      |      |        |         /          /
//!                 +------+-----+------+-----+---- FileSystem (system) ----+--------+--------+----------+
//!                                                       |
//!      versions          writers          listings      handle      trust        pinned        control
//!      which inode       who writes       names of an   what is     what the     what is open  what purges
//!      is what           which record     open          open        kernel may   without       did, edits of
//!                                         directory                 trust        requests      metadata
//! ```
//!
//! An owner (below) keeps its fields to itself and does not know the others, but that an inode can be a writers'. What
//! concerns several is done by the operations (above), with the records that they change held.

mod abilities;
mod advice;
mod attr;
mod bytes;
mod changes;
mod control;
mod ending;
mod entry;
mod error;
mod escape;
mod failures;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod ino;
mod inputs;
mod insight;
mod items;
mod kept;
mod list;
mod listings;
mod lock;
mod locks;
mod lookup;
mod metadata;
mod metadata_files;
mod name;
mod open;
mod options;
mod permits;
mod pinned;
mod plain;
mod private;
mod problems;
mod processes;
mod purge;
mod remove;
mod rename;
mod restore;
mod seek;
mod seen;
mod sidecars;
mod signals;
mod space;
mod status;
mod store_node;
mod stragglers;
mod sweep;
mod system;
mod trust;
mod verbs;
mod versions;
mod waits;
mod without_opens;
mod write;
mod writers;
mod xattr;

pub use abilities::Ability;
pub use bytes::{Extent, Position, WriteMode};
pub use entry::{AttrChange, Caller, Entry, FileAttr, FileKind};
pub(crate) use error::number_of;
pub use error::{FsError, FsResult};
pub use handle::Handle;
pub use ino::{Ino, ROOT, STORES};
pub use insight::{Asked, Operation};
pub use kept::{Kept, LeftBacking};
pub use list::Listed;
pub use locks::{Lock, LockKind};
pub use open::{OpenMode, Opened};
pub use options::FsOptions;
pub(crate) use signals::look_for_signals;
pub use space::KnownSpace;
pub use system::FileSystem;
pub use trust::Invalidate;
pub use waits::Waits;
