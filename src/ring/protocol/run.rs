//! Runs: steps from record to record over words that are published and cannot be overwritten, so that only headers
//! need a check. A drain spends most of its time here.

use crate::atomics::{Word, at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{footprint, header, unpack};
use crate::ring::protocol::Place;

/// Words that a run steps over: in the ring, where they cannot be overwritten, or copied out of it.
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

/// A reader that steps over records while only their headers need a check. What changes with every record is a few
/// words, apart from the rest of the reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<A> {
    /// The words ahead.
    rest: A,
    sequence: u64,
    /// Payload bytes of the previous record, and the words that it took in the ring.
    usual: u32,
    size: usize,
    /// Where the consecutive records of that length began, and how many words were ahead there.
    began: Place,
    ahead: usize,
}

impl<'a> Run<&'a [Word]> {
    /// A run in the ring from `place` to `end`, or to the end of the ring if that comes first. Nothing in between can be
    /// overwritten.
    #[inline(always)]
    pub(crate) fn within(areas: Areas<'a>, place: Place, end: u64, usual: u32) -> Option<Self> {
        let left = end.wrapping_sub(place.position).min(areas.geometry.room(place.position));
        let word = areas.geometry.word(place.position);
        Some(Self::new(areas.data.get(word..word + (left / 8) as usize)?, place, usual))
    }
}

impl<A: Ahead> Run<A> {
    /// A run from `place` over `rest`. `usual`: payload bytes of the previous record.
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

    /// Steps to the next record: its sequence, payload bytes and words. `None`: as for `poll_fast`.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Option<(u64, u32, A)> {
        let (len, sequence) = unpack(self.rest.first()?);
        // A guess of the length, as in `poll_fast`.
        if len != self.usual {
            *self = self.unusual(len);
        }
        // Padding, and every invalid length, is larger than what is ahead.
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

    /// Passes records that are as long as the previous one, `most` at most, and returns how many: one comparison for each.
    #[inline(always)]
    pub(crate) fn pass_usual(&mut self, most: u64) -> u64 {
        let (mut rest, mut passed) = (self.rest, 0);
        while passed < most && rest.first() == Some(header(self.usual, self.sequence.wrapping_add(passed))) {
            let Some((_, next)) = rest.split(self.size) else { break };
            rest = next;
            passed += 1;
        }
        (self.rest, self.sequence) = (rest, self.sequence.wrapping_add(passed));
        passed
    }

    /// The same run, for a record of another length. A separate function, so that the guess stays a branch.
    #[cold]
    #[inline(never)]
    fn unusual(&self, len: u32) -> Self {
        let size = (footprint(len as usize) / 8) as usize;
        Self { usual: len, size, began: self.place(), ahead: self.rest.words(), ..*self }
    }

    /// The place behind the last step.
    #[inline(always)]
    pub(crate) fn place(&self) -> Place {
        let records = self.sequence.wrapping_sub(self.began.sequence);
        Place {
            position: self.began.position.wrapping_add(8 * (self.ahead - self.rest.words()) as u64),
            sequence: self.sequence,
            bytes: self.began.bytes.wrapping_add(records.wrapping_mul(u64::from(self.usual))),
        }
    }

    /// Payload bytes of the previous record.
    #[inline(always)]
    pub(crate) fn usual(&self) -> u32 {
        self.usual
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The words of records with these lengths, the last of which is cut short by a word.
    fn records(lens: &[u32], first: u64) -> Vec<[u8; 8]> {
        let mut words = Vec::new();
        for (sequence, len) in (first..).zip(lens) {
            words.push(header(*len, sequence).to_le_bytes());
            words.resize(words.len() + len.div_ceil(8) as usize, [0; 8]);
        }
        words.pop();
        words
    }

    #[test]
    fn what_is_passed_would_be_stepped_over() {
        let place = Place { position: 64, sequence: u64::from(u32::MAX) - 1, bytes: 7 };
        let mut words = records(&[8, 8, 8, 8, 16, 16, 8, 8], place.sequence);
        let whole = words.clone();
        // Another record's sequence, as the last lap may have left it.
        words[6] = header(8, 1).to_le_bytes();
        for words in [&whole, &words] {
            for (usual, most) in [8, 16].into_iter().flat_map(|usual| (0..10).map(move |most| (usual, most)))
            {
                let begin = Run::new(words.as_slice(), place, usual);
                let (mut passing, mut stepping, mut steps) = (begin, begin, 0);
                let passed = passing.pass_usual(most);
                while steps < most {
                    let before = stepping;
                    if stepping.step().is_none_or(|(_, len, _)| len != usual) {
                        stepping = before;
                        break;
                    }
                    steps += 1;
                }
                assert_eq!((passed, passing.place()), (steps, stepping.place()), "{usual} B, {most} at most");
            }
        }
    }
}
