//! Plain shared memory: where the two sides meet, where credits are kept, and what the floors run on.
#![allow(unsafe_code, reason = "a mapping that two processes write can only be had from raw memory")]

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// Words between two places that must not share a pair of cache lines.
pub(crate) const APART: usize = 16;
/// Where the two areas begin that the floor bounces messages between, and the words of one.
const AREAS: usize = 512;
const AREA: usize = 1024;
/// Where the textbook rings begin, and their bytes.
const ROOM: usize = AREAS + 2 * AREA;
pub(crate) const ROOM_BYTES: usize = 1 << 20;

/// A word that two processes share.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    #[inline(always)]
    pub(crate) fn release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// A shared file, mapped whole.
pub(crate) struct Ground {
    map: MmapRaw,
}

impl Ground {
    const WORDS: usize = ROOM + ROOM_BYTES / 8;

    /// Makes the file, with zeros in it.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        File::create_new(path)?.set_len(8 * Self::WORDS as u64)
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let map = MmapOptions::new().len(8 * Self::WORDS).populate().map_raw(&file)?;
        Ok(Self { map })
    }

    fn words(&self) -> &[Word] {
        let words = self.map.as_mut_ptr().cast::<Word>();
        // SAFETY: the mapping is page-aligned, has so many words and lives as long as the slice. Nobody shrinks
        // the file, and both sides touch these words only as atomics of this size.
        unsafe { std::slice::from_raw_parts(words, Self::WORDS) }
    }

    /// Where the two sides meet: one word each, far apart.
    pub(crate) fn meeting(&self) -> [&Word; 2] {
        [&self.words()[0], &self.words()[APART]]
    }

    /// A word for each side to tell the other something.
    pub(crate) fn told(&self) -> [&Word; 2] {
        [&self.words()[2 * APART], &self.words()[3 * APART]]
    }

    /// How much was received, for producers that would overwrite what was not.
    pub(crate) fn credit(&self) -> &Word {
        &self.words()[4 * APART]
    }

    /// How many parts a producer that never waits has finished.
    pub(crate) fn finished(&self) -> &Word {
        &self.words()[6 * APART]
    }

    /// The area that one side writes and the other reads.
    pub(crate) fn area(&self, number: usize) -> &[Word] {
        &self.words()[AREAS + number * AREA..][..AREA]
    }

    /// Room for a textbook ring.
    pub(crate) fn room(&self) -> &[Word] {
        &self.words()[ROOM..]
    }
}
