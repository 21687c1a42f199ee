//! The FUSE adapter: each kernel request becomes one call of the file system, each outcome one reply.
//!
//! Nothing is decided here but where a request waits (`waiting`) and who waits no longer (`interrupts`), and no state is kept but the files that the kernel reads
//! itself (`backing`). A panic in a request is logged and answered with EIO, so that it does not take an event loop, and
//! with it the mount, down.

mod adapter;
mod answer;
mod backing;
mod convert;
mod droppable;
mod errno;
mod guarded;
mod init;
mod interrupts;
mod listing;
mod locking;
mod notify;
mod pool;
mod reply;
mod requests;
mod waiting;

pub use adapter::Adapter;
pub use backing::Backings;
pub use fuser;
pub use guarded::Guarded;
pub use notify::attach_notifier;
pub(crate) use waiting::SERVING_THREADS;
