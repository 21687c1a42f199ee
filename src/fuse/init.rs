//! What is asked of the kernel when the mount begins, one by one and each with its reason.

use std::sync::Arc;

use fuser::{InitFlags, KernelConfig, Version};

use crate::fs::{Ability, FileSystem};

/// Capabilities that any mount works without, but better with.
const WANTED: [InitFlags; 2] = [
    // Lookups in one directory need not wait for each other.
    InitFlags::FUSE_PARALLEL_DIROPS,
    // The caller's umask is applied by us, as the kernel would otherwise do before we see the mode.
    InitFlags::FUSE_DONT_MASK,
];

/// What is wanted besides, where the kernel asks us to open files.
const WANTED_WITH_OPENS: [InitFlags; 5] = [
    // `> file` must reach us as one open: a truncation of its own would publish an empty record. Without opens it must
    // reach us as a truncation, to be refused.
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    // The kernel would keep locks by inode, and the readers and writers of a record have different ones. Without opens
    // there are no writers.
    InitFlags::FUSE_POSIX_LOCKS,
    InitFlags::FUSE_FLOCK_LOCKS,
    // `ls -l` becomes one pass, with a lookup for each name only where attributes are asked for. Without opens, what
    // changes while the kernel reads a listing would be opened as it was for as long as the listing's names are
    // trusted.
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
];

/// The protocol from which on the kernel can be told to let go of inodes (Linux 6.18), and raises its epoch too.
const PRUNES_SINCE: Version = Version(7, 45);

/// The protocol from which on a file that bypasses the cache can be mapped and written to (Linux 6.9). Linux 6.6 to 6.8
/// let it be mapped, and lost what was written by the map.
const MAPS_DIRECT_IO_SINCE: Version = Version(7, 40);

/// Largest write in one request, in bytes. What is larger comes in pieces of this.
const MAX_WRITE: u32 = 1024 * 1024;

/// Requests that the kernel may have under way for readahead.
const MAX_BACKGROUND: u16 = 64;

/// What the kernel has, of what is used only where it is there.
#[derive(Clone, Copy, Debug)]
struct Negotiated {
    /// Files that bypass the cache can be mapped all the same. So what is being written can bypass it: else the kernel
    /// asks for an extended attribute at the first write of each file, and copies each page.
    maps_direct_io: bool,
    /// The kernel can read a file of ours by itself (Linux 6.9).
    passthrough: bool,
}

/// Asks for all of it, and has the file system know what the kernel lacks. Gives back whether what is open for writing
/// bypasses the kernel's cache.
pub(super) fn begin(fs: &Arc<FileSystem>, config: &mut KernelConfig) -> bool {
    let without_opens = can_do_without_opens(config) && fs.begin_without_opens();
    let negotiated = negotiate(config, without_opens);
    if !negotiated.maps_direct_io {
        let reason = "this kernel maps no file that is written past it; Linux 6.9 does";
        fs.note_lack(Ability::DirectWrites, reason);
    }
    if !negotiated.passthrough {
        let reason = "this kernel reads no file of ours by itself; Linux 6.9 does";
        fs.note_lack(Ability::Passthrough, reason);
    }
    negotiated.maps_direct_io
}

/// Whether the kernel can be served without opens: opens files by itself if it is told to, and can be told what it must
/// not trust or keep.
fn can_do_without_opens(config: &KernelConfig) -> bool {
    config.capabilities().contains(InitFlags::FUSE_NO_OPEN_SUPPORT)
        && config.kernel_abi() >= PRUNES_SINCE
}

fn negotiate(config: &mut KernelConfig, without_opens: bool) -> Negotiated {
    let with_opens = WANTED_WITH_OPENS.into_iter().filter(|_| !without_opens);
    for capability in WANTED.into_iter().chain(with_opens) {
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
    let maps_for_good = config.kernel_abi() >= MAPS_DIRECT_IO_SINCE;
    let mut has = |capability| config.add_capabilities(capability).is_ok();
    let maps_direct_io = maps_for_good && has(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP);
    let passthrough = has(InitFlags::FUSE_PASSTHROUGH);
    // A source on overlayfs and the like is then refused, file by file.
    let passthrough = passthrough && config.set_max_stack_depth(1).is_ok();
    Negotiated { maps_direct_io, passthrough }
}
