//! Cells: copies of one value, written in turn, and a version that says which of them is current. The writer may be
//! killed at any point: the commit is one store, and the last committed value stays whole.
//!
//! ```text
//! writer, of version v                             reader
//!
//! 1  fence                           [L2]          1  v = version                     [L3] fence
//! 2  the value into cell v + 1                     2  the value out of cell v
//! 3  version = v + 1                 [L1]          3  fence [L4], now = version
//! 4  wake check (doorbell.rs)                      4  now - v within n - 2: it is whole
//! ```
//!
//! Of `n` cells, cell `version mod n` is current. The cell of version `v` is written again by commit `v + n`, which
//! begins after `v + n - 1` was stored. So a read stays valid while at most `n - 2` commits happen.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | L1 → L3 | the value before `version` | `version` before the value | a value is read that was not committed |
//! | L2 → L4 | `version` before the next value | the value before the second read of `version` | half a value is read |

use crossbeam_utils::Backoff;

use crate::atomics::{AtomicU64, Word, at, copy, fence_at};
use crate::schema::Typed;

/// Attempts to copy a value that keeps changing, before the reader gets `Error::Busy`.
const TRIES: u32 = if cfg!(loom) { 3 } else { 1000 };

/// The cells of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells<'a> {
    version: &'a AtomicU64,
    /// All cells, one after the other.
    words: &'a [Word],
    /// Words of each.
    size: usize,
    /// How many there are, at least 2.
    count: u64,
}

impl<'a> Cells<'a> {
    /// `words` has `count` cells of `size` words each; `count` is at least 2.
    #[inline(always)]
    pub(crate) fn new(version: &'a AtomicU64, words: &'a [Word], size: usize, count: u64) -> Self {
        Self { version, words, size, count }
    }

    /// The words of a value of `bytes` bytes in the cell of a version. The length is the caller's, since the compiler often
    /// knows that one; a value has at most the size of a cell.
    #[inline(always)]
    fn cell(self, version: u64, bytes: usize) -> &'a [Word] {
        debug_assert!(bytes.div_ceil(8) <= self.size, "a value has its cell");
        // Most values have 2 cells, or 4. A division takes as long as all else.
        let number =
            if self.count.is_power_of_two() { version & (self.count - 1) } else { version % self.count };
        let first = number as usize * self.size;
        self.words.get(first..first + bytes.div_ceil(8)).unwrap_or_default()
    }

    /// The stored version.
    #[inline(always)]
    pub(crate) fn version(self) -> u64 {
        self.version.load(at!(L3_VERSION, Relaxed))
    }

    /// Makes `value` the current one. The caller holds the writer's lock, and `version` is the stored version.
    /// Returns the new one.
    #[inline(always)]
    pub(crate) fn commit(self, version: u64, value: &[u8]) -> u64 {
        let next = version.wrapping_add(1);
        // [L2] Release. Pairs with [L4].
        // Orders: the version of the last commit before every word of this one.
        // Without it: a reader may take words of this commit and still find its own version.
        fence_at!(L2_FENCE, Release);
        copy::write(self.cell(next, value.len()), value);
        // [L1] Release. Pairs with [L3].
        // Orders: the value before its version.
        // Without it: a reader may see the version and read what an earlier commit left in the cell.
        self.version.store(next, at!(L1_COMMIT, Release));
        next
    }

    /// Copies the current value, and returns its version, for a caller that holds the writer's lock.
    #[inline(always)]
    pub(crate) fn read_alone(self, value: &mut [u8]) -> u64 {
        let version = self.version();
        copy::read_value(self.cell(version, value.len()), value, true);
        version
    }

    /// Copies the current value, and returns its version. `None`: too many commits came meanwhile.
    #[inline(always)]
    fn read(self, value: &mut [u8]) -> Option<u64> {
        let version = self.version();
        // [L3] Acquire. Pairs with [L1].
        // Orders: the version before the value.
        // Without it: see [L1].
        fence_at!(L3_FENCE, Acquire);
        copy::read_value(self.cell(version, value.len()), value, false);
        // [L4] Acquire. Pairs with [L2].
        // Orders: the words just read before the second read of the version.
        // Without it: see [L2].
        fence_at!(L4_FENCE, Acquire);
        let now = self.version.load(at!(L4_VERSION, Relaxed));
        (now.wrapping_sub(version) <= self.count - 2).then_some(version)
    }

    /// The same, again and again while too many commits come. `None`: they kept coming, or `is_gone`, which says after
    /// each attempt whether the memory is still there.
    #[inline]
    pub(crate) fn read_whole(self, value: &mut [u8], is_gone: impl Fn() -> bool) -> Option<u64> {
        let backoff = Backoff::new();
        for _ in 0..TRIES {
            let version = self.read(value);
            if is_gone() {
                return None;
            }
            if version.is_some() {
                return version;
            }
            if !cfg!(loom) {
                backoff.spin();
            }
        }
        None
    }

    /// The current value and its version, if the first attempt to copy it succeeds. The value can stay in registers.
    #[inline(always)]
    pub(crate) fn try_get<T: Typed>(self) -> Option<(T, u64)> {
        let mut value = T::new_zeroed();
        let version = self.read(value.as_mut_bytes())?;
        Some((value, version))
    }

    /// The current value and its version, as `read_whole`.
    pub(crate) fn get<T: Typed>(self, is_gone: impl Fn() -> bool) -> Option<(T, u64)> {
        let mut value = T::new_zeroed();
        let version = self.read_whole(value.as_mut_bytes(), is_gone)?;
        Some((value, version))
    }
}
