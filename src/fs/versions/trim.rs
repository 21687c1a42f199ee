//! Giving memory back to the system.

/// Gives freed memory back. The allocator of glibc keeps small pieces for itself; after the kernel has forgotten
/// a hundred thousand inodes they are most of what the daemon holds.
pub(super) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time by any thread; it touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
