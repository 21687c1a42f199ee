//! What is asked of the kernel when the mount begins, one by one and each with its reason.

use fuser::{InitFlags, KernelConfig};

/// Capabilities that the mount works without, but better with.
const WANTED: [InitFlags; 5] = [
    // `> file` must reach us as one open: a truncation of its own would publish an empty record.
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    // `ls -l` becomes one pass, with a lookup for each name only where attributes are asked for.
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    // Lookups in one directory need not wait for each other.
    InitFlags::FUSE_PARALLEL_DIROPS,
    // The caller's umask is applied by us, as the kernel would otherwise do before we see the mode.
    InitFlags::FUSE_DONT_MASK,
];

/// Largest write in one request, in bytes. What is larger comes in pieces of this.
const MAX_WRITE: u32 = 1024 * 1024;

/// Requests that the kernel may have under way for readahead.
const MAX_BACKGROUND: u16 = 64;

pub(super) fn negotiate(config: &mut KernelConfig) {
    for capability in WANTED {
        // Asked singly: the crate refuses a set as a whole if one of it is unknown to the kernel.
        if let Err(unknown) = config.add_capabilities(capability) {
            log::info!("this kernel's FUSE does without {unknown:?}");
        }
    }
    // The nearest possible number comes back as an error, and is taken.
    if let Err(nearest) = config.set_max_write(MAX_WRITE) {
        let _ = config.set_max_write(nearest);
    }
    if let Err(nearest) = config.set_max_background(MAX_BACKGROUND) {
        let _ = config.set_max_background(nearest);
    }
}
