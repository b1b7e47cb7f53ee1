//! The two sleep words of somebody else's ring, mapped past the library.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicU32;

use rustix::mm::{MapFlags, ProtFlags, mmap};
use support::offsets::{DATA_WORD, SPACE_WORD};

/// They stay mapped until this process ends. `control`: where their area begins.
#[allow(unsafe_code, reason = "maps what this process has no business with")]
pub(crate) fn sleep_words(ring: &Path, control: u64) -> [&'static AtomicU32; 2] {
    let file = File::options().read(true).write(true).open(ring).expect("open the file");
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let page = unsafe { mmap(std::ptr::null_mut(), 4096, rights, MapFlags::SHARED, &file, control) };
    let page: *mut u8 = page.expect("map the control area").cast();
    [DATA_WORD, SPACE_WORD].map(|offset| {
        // SAFETY: within the page that was mapped.
        let word: *mut AtomicU32 = unsafe { page.add(offset as usize) }.cast();
        // SAFETY: aligned, never unmapped, and everybody accesses it atomically.
        unsafe { &*word }
    })
}
