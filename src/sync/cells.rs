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

use crate::atomics::{AtomicU64, Word, at, copy, fence_at, spin};
use crate::error::{Error, Fault};
use crate::memory::format::Format;
use crate::memory::region::Region;
use crate::schema::Typed;

/// Attempts to copy a value that keeps changing, before the reader gets `Error::Busy`.
const TRIES: u32 = if cfg!(loom) { 3 } else { 1000 };

/// Bytes of the largest value whose cells are asked for together.
const ASKED: usize = 128;

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
    fn cell(self, version: u64, bytes: usize) -> Option<&'a [Word]> {
        debug_assert!(bytes.div_ceil(8) <= self.size, "a value has its cell");
        // Most values have 2 cells, or 4. A division takes as long as all else.
        let number =
            if self.count.is_power_of_two() { version & (self.count - 1) } else { version % self.count };
        let first = number as usize * self.size;
        self.words.get(first..first + bytes.div_ceil(8))
    }

    /// Asks for the lines of both cells, if there are two and they are small: otherwise the one with the value would be
    /// asked for only once the version is here, and by then the writer may be two commits ahead.
    #[inline(always)]
    fn ask(self, bytes: usize) {
        if self.count == 2 && bytes <= ASKED {
            copy::will_read_at(self.words, 0);
            copy::will_read_at(self.words, self.size);
        }
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
        copy::write(self.cell(next, value.len()).unwrap_or_default(), value);
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
        if let Some(cell) = self.cell(version, value.len()) {
            copy::read_value(cell, value, true);
        }
        version
    }

    /// Copies the current value, and returns its version. `None`: too many commits came meanwhile.
    #[inline(always)]
    pub(crate) fn read(self, value: &mut [u8]) -> Option<u64> {
        self.read_by(value, |cell, value| {
            copy::read_value(cell, value, false);
            true
        })
    }

    /// The same, for two cells, and where the value can be copied in the usual way. `None`: try the other one.
    #[inline(always)]
    fn read_straight(self, value: &mut [u8]) -> Option<u64> {
        if self.count != 2 {
            return None;
        }
        Self { count: 2, ..self }.read_by(value, copy::read_straight)
    }

    /// The same by one of the ways to copy, which may refuse.
    #[inline(always)]
    fn read_by(self, value: &mut [u8], copy: impl Fn(&[Word], &mut [u8]) -> bool) -> Option<u64> {
        self.ask(value.len());
        let version = self.version();
        // [L3] Acquire. Pairs with [L1].
        // Orders: the version before the value.
        // Without it: see [L1].
        fence_at!(L3_FENCE, Acquire);
        if !copy(self.cell(version, value.len())?, value) {
            return None;
        }
        // [L4] Acquire. Pairs with [L2].
        // Orders: the words just read before the second read of the version.
        // Without it: see [L2].
        fence_at!(L4_FENCE, Acquire);
        let now = self.version.load(at!(L4_VERSION, Relaxed));
        (now.wrapping_sub(version) <= self.count - 2).then_some(version)
    }

    /// The current value and its version, if no more than `n - 2` commits come during the copy. The value can stay in
    /// registers.
    #[inline(always)]
    pub(crate) fn try_get<T: Typed>(self) -> Option<(T, u64)> {
        let mut value = T::new_zeroed();
        let version = self.read(value.as_mut_bytes())?;
        Some((value, version))
    }
}

/// What an attempt copies, again and again while too many commits come. There is no pause between attempts: the writer does
/// not wait for readers, and an attempt that begins later has no better chance.
///
/// # Errors
///
/// [`NoValue::Busy`] if they kept coming; what is wrong with the handle.
#[inline(always)]
pub(crate) fn whole<F: Format, V>(
    region: &Region<F>,
    mut attempt: impl FnMut() -> Option<V>,
) -> Result<V, NoValue> {
    let tripwire = region.tripwire();
    for _ in 0..TRIES {
        if tripwire.broken() {
            break;
        }
        if let Some(found) = attempt()
            && !tripwire.memory_gone()
        {
            return Ok(found);
        }
        if cfg!(loom) {
            spin();
        }
    }
    Err(failure(region))
}

/// As `whole`, for the value of a type. The first attempt is made by itself, for two cells only, and so is not much longer
/// than a bare seqlock's: a general loop would make the compiler set up registers that the first attempt does not need.
#[inline(always)]
pub(crate) fn get<F: Format, T: Typed>(region: &Region<F>, cells: Cells<'_>) -> Result<(T, u64), NoValue> {
    let (tripwire, mut value) = (region.tripwire(), T::new_zeroed());
    if !tripwire.broken()
        && let Some(version) = cells.read_straight(value.as_mut_bytes())
        && !tripwire.memory_gone()
    {
        return Ok((value, version));
    }
    whole(region, || cells.try_get())
}

/// Why there is no value. It is a byte in a register until the caller has it as an [`Error`]: an `Error` is nine words, and
/// after a call that stores them the compiler cannot tell whether what is there is an error or a value. So it would
/// have both ways go through memory, and the value would be stored, loaded and stored again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoValue {
    /// It changed all the time.
    Busy,
    /// The handle is of no use.
    Broken(Fault),
}

impl From<NoValue> for Error {
    #[inline(always)]
    fn from(why: NoValue) -> Self {
        match why {
            NoValue::Busy => Self::Busy,
            NoValue::Broken(fault) => fault.into(),
        }
    }
}

/// A function of its own, which never returns a value.
#[cold]
#[inline(never)]
fn failure<F: Format>(region: &Region<F>) -> NoValue {
    if region.memory_gone() { NoValue::Broken(region.fault()) } else { NoValue::Busy }
}
