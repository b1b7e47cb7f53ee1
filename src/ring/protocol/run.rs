//! Runs: from record to record over words that are all published and not to be overwritten, with nothing to be looked
//! at but headers. This is where a drain spends its time.

use crate::atomics::{Word, at};
use crate::ring::layout::{footprint, unpack};
use crate::ring::protocol::Place;

/// Words that a reader goes over: of the ring, where nobody overwrites them, or copied out of it.
pub(crate) trait Ahead: Copy {
    fn words(self) -> usize;
    fn first(self) -> Option<u64>;
    fn split(self, words: usize) -> Option<(Self, Self)>;
}

impl Ahead for &[Word] {
    #[inline(always)]
    fn words(self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn first(self) -> Option<u64> {
        Some(<[Word]>::first(self)?.load_gated(at!(R2_HEADER, Relaxed)))
    }

    #[inline(always)]
    fn split(self, words: usize) -> Option<(Self, Self)> {
        self.split_at_checked(words)
    }
}

impl Ahead for &[[u8; 8]] {
    #[inline(always)]
    fn words(self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn first(self) -> Option<u64> {
        <[[u8; 8]]>::first(self).map(|bytes| u64::from_le_bytes(*bytes))
    }

    #[inline(always)]
    fn split(self, words: usize) -> Option<(Self, Self)> {
        self.split_at_checked(words)
    }
}

/// A reader on its way over records that come the fast way, for as long as nothing but their headers is to be looked at. What
/// changes with every record is little enough to stay in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<A> {
    /// What is ahead.
    rest: A,
    sequence: u64,
    /// Payload bytes of the record before, and the words that it took up in the ring.
    usual: u32,
    size: usize,
    /// Where the records of that length began, and how many words were ahead there.
    began: Place,
    ahead: usize,
}

impl<A: Ahead> Run<A> {
    /// At this place, with `rest` ahead. `usual`: payload bytes of the record before.
    #[inline(always)]
    pub(crate) fn new(rest: A, place: Place, usual: u32) -> Self {
        Self {
            rest,
            sequence: place.sequence,
            usual,
            size: (footprint(usual as usize) / 8) as usize,
            began: place,
            ahead: rest.words(),
        }
    }

    /// One record further: its sequence, payload bytes and words. `None`: as of `poll_fast`.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Option<(u64, u32, A)> {
        let (len, sequence) = unpack(self.rest.first()?);
        // A guess, as in `poll_fast`.
        if len != self.usual {
            *self = self.unusual(len);
        }
        // Padding, and every strange length, is larger than what is ahead.
        let (record, rest) = self.rest.split(self.size)?;
        let at = self.sequence;
        if sequence != at as u32 {
            return None;
        }
        self.rest = rest;
        self.sequence = at.wrapping_add(1);
        let (_, payload) = record.split(1)?;
        Some((at, self.usual, payload))
    }

    /// The same, for a record of another length. A call, so that the guess stays a branch.
    #[cold]
    #[inline(never)]
    fn unusual(&self, len: u32) -> Self {
        let size = (footprint(len as usize) / 8) as usize;
        Self { usual: len, size, began: self.place(), ahead: self.rest.words(), ..*self }
    }

    /// Where the steps have led.
    #[inline(always)]
    pub(crate) fn place(&self) -> Place {
        let records = self.sequence.wrapping_sub(self.began.sequence);
        Place {
            position: self.began.position.wrapping_add(8 * (self.ahead - self.rest.words()) as u64),
            sequence: self.sequence,
            bytes: self.began.bytes.wrapping_add(records.wrapping_mul(u64::from(self.usual))),
        }
    }

    /// Payload bytes of the record before.
    #[inline(always)]
    pub(crate) fn usual(&self) -> u32 {
        self.usual
    }
}
