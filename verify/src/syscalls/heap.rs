//! The allocator, kept quiet while a victim's system calls are counted.

#![allow(unsafe_code, reason = "mallopt")]

use nix::libc;

/// From now on the heap grows by a megabyte at a time, keeps what it has, and takes from `mmap` only what is large.
pub(crate) fn settle() {
    let settings =
        [(libc::M_TOP_PAD, 1 << 20), (libc::M_TRIM_THRESHOLD, 1 << 30), (libc::M_MMAP_THRESHOLD, 128 << 10)];
    for (setting, value) in settings {
        // SAFETY: it sets a number in the allocator of this process, which has one thread.
        unsafe { libc::mallopt(setting, value) };
    }
}
