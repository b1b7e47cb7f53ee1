//! Plain shared memory for the floors: what the hardware does when nothing stands between. The unsafe code of the
//! measurements is here, and for locks of the C library in `bench/src/kit/posix.rs`.
#![allow(unsafe_code, reason = "a mapping that two processes write can only be had from raw memory")]

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use quoit::{Claim, Record};

/// Words between two places that must not share a pair of cache lines.
pub const APART: usize = 16;
/// The most processes that take part in a measurement.
pub const MOST_MEMBERS: usize = 17;
/// Where the two areas begin that messages are bounced between, and the words of one: 4 KiB and a sequence.
const AREAS: usize = 1024;
const AREA: usize = 1024;
/// Where the textbook rings begin.
const ROOM: usize = AREAS + 2 * AREA;
/// Bytes of the room for a textbook ring.
const ROOM_BYTES: usize = 9 << 20;

/// A word that two processes share.
#[repr(transparent)]
#[derive(Debug)]
pub struct Word(AtomicU64);

impl Word {
    /// Loads it, Relaxed.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stores it, Relaxed.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Loads it, Acquire.
    #[inline(always)]
    pub fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Stores it, Release.
    #[inline(always)]
    pub fn release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// The same words as atomics, whose stores the compiler neither merges nor omits.
#[inline(always)]
pub fn as_words<const N: usize>(values: &mut [u64; N]) -> &[Word; N] {
    // SAFETY: an aligned `u64` may be used as an atomic, and nobody touches these otherwise while they are borrowed.
    unsafe { &*std::ptr::from_mut(values).cast() }
}

/// A shared file, mapped whole.
#[derive(Debug)]
pub struct Ground {
    map: MmapRaw,
}

impl Ground {
    const WORDS: usize = ROOM + ROOM_BYTES / 8;

    /// Makes the file, with zeros in it.
    pub fn create(path: &Path) -> io::Result<()> {
        File::create_new(path)?.set_len(8 * Self::WORDS as u64)
    }

    /// Maps it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let map = MmapOptions::new().len(8 * Self::WORDS).populate().map_raw(&file)?;
        Ok(Self { map })
    }

    #[inline]
    fn words(&self) -> &[Word] {
        let words = self.map.as_mut_ptr().cast::<Word>();
        // SAFETY: the mapping is page-aligned, has so many words and lives as long as the slice. Nobody shrinks
        // the file, and both processes touch these words only as atomics of this size.
        unsafe { from_raw_parts(words, Self::WORDS) }
    }

    /// Where all meet: one word each, far apart.
    pub fn meeting(&self, member: usize) -> &Word {
        &self.words()[member * APART]
    }

    /// A word for each to tell the others something.
    pub fn told(&self, member: usize) -> &Word {
        &self.words()[(MOST_MEMBERS + member) * APART]
    }

    /// A futex word for each side, far from everything else.
    pub fn futexes(&self) -> (&AtomicU32, &AtomicU32) {
        let (first, second) =
            (&self.words()[2 * MOST_MEMBERS * APART].0, &self.words()[(2 * MOST_MEMBERS + 1) * APART].0);
        // SAFETY: the first half of an aligned word that nobody touches otherwise, borrowed for as long.
        let first = unsafe { AtomicU32::from_ptr(first.as_ptr().cast()) };
        // SAFETY: as above.
        let second = unsafe { AtomicU32::from_ptr(second.as_ptr().cast()) };
        (first, second)
    }

    /// How much was received, for producers that would overwrite what was not.
    #[inline]
    pub fn credit(&self) -> &Word {
        &self.words()[(2 * MOST_MEMBERS + 2) * APART]
    }

    /// How many parts a producer that never waits has finished.
    #[inline]
    pub fn finished(&self) -> &Word {
        &self.words()[(2 * MOST_MEMBERS + 4) * APART]
    }

    /// The area that one side writes and the other reads.
    pub fn area(&self, number: usize) -> &[Word] {
        &self.words()[AREAS + number * AREA..][..AREA]
    }

    /// Room for a textbook ring.
    pub fn room(&self, bytes: usize) -> &[Word] {
        &self.words()[ROOM..][..bytes / 8]
    }
}

/// The sum of all words of a record, read where it is.
#[inline]
pub fn sum_in_place(record: &Record<'_>) -> u64 {
    // SAFETY: the ring is this benchmark's own, and its producer is this library's.
    let bytes = unsafe { record.as_slice() };
    sum(bytes)
}

/// The same of a record that ought to have `N` words; `None` if it has not. No error, whose text would make the closures that
/// call this too long to be inlined.
#[inline]
pub fn sum_of<const N: usize>(record: &Record<'_>) -> Option<u64> {
    // SAFETY: as above.
    let bytes = unsafe { record.as_slice() };
    match bytes.as_chunks::<8>() {
        (words, []) if words.len() == N => {
            Some(sum(words.first_chunk::<N>().map_or(bytes, |words| words.as_flattened())))
        }
        _ => None,
    }
}

/// Fills a claim where it is. The ring has to be for gated consumers only.
pub fn fill_in_place(claim: &mut Claim<'_>, bytes: &[u8]) -> anyhow::Result<()> {
    // SAFETY: the ring is this benchmark's own, and its consumers are this library's.
    let slice = unsafe { claim.as_mut_slice() };
    let slice = slice.ok_or_else(|| anyhow::anyhow!("the ring is for consumers of every kind"))?;
    slice.copy_from_slice(bytes);
    Ok(())
}

/// Copies so many bytes into words that are this process's turn to touch: the other side has handed them over by a
/// Release that was read by an Acquire.
pub fn copy_in(words: &[Word], bytes: &[u8]) {
    let (first, len) = (words.as_ptr().cast_mut().cast::<u8>(), size_of_val(words));
    // SAFETY: the words are atomics, so they may be written through a shared reference, and nobody else touches
    // them before they are handed back.
    let place = unsafe { from_raw_parts_mut(first, len) };
    place.copy_from_slice(bytes);
}

/// The sum of words that are this process's turn to touch, as above.
pub fn sum_words(words: &[Word]) -> u64 {
    let (first, len) = (words.as_ptr().cast::<u8>(), size_of_val(words));
    // SAFETY: nobody writes them before they are handed back.
    sum(unsafe { from_raw_parts(first, len) })
}

/// The sum of all words of these bytes.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}
