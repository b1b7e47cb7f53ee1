//! What somebody else writes into a ring, and before which access of those who use it.

use std::rc::Rc;

use quoit_tampered as quoit;

use quoit::tamper::{self, RawRing};

use super::input::{Garbage, Input};
use super::rings::{CAPACITY, at};

/// One word of garbage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poke {
    /// Before so many more accesses than the last.
    pub(super) wait: u64,
    pub(super) word: usize,
    pub(super) garbage: Garbage,
}

/// Where garbage may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Anywhere,
    Control,
}

impl Poke {
    pub(super) fn read(input: &mut Input<'_>, area: Area) -> Self {
        let wait = u64::from(input.byte());
        // Long waits are a few hundred accesses: a walk through a ring.
        let wait = if wait > 200 { (wait - 200) * 16 } else { wait };
        let word = word(input, area);
        Self { wait, word, garbage: input.garbage() }
    }

    pub(super) fn apply(&self, memory: &RawRing) {
        memory.poke(self.word, self.garbage.over(memory.peek(self.word), CAPACITY));
    }

    /// Could it make a wrong record look right? Contents and headers could, and so could wrong places to read from: an
    /// index entry, a cursor that a name resumes at, and `reserve`, which tells overwritten from whole.
    pub(super) fn taints(&self) -> bool {
        let inline = at::PUBLISHED + 1..at::RESERVE;
        let saved = at::CONTROL + 32..at::CONTROL_END;
        inline.contains(&self.word)
            || self.word == at::RESERVE
            || (at::INDEX..at::INDEX_END).contains(&self.word)
            || saved.contains(&self.word)
            || self.word >= at::DATA
    }
}

/// A word, mostly one that matters.
fn word(input: &mut Input<'_>, area: Area) -> usize {
    let choice = if area == Area::Control { 3 + input.below(2) } else { input.below(8) };
    let byte = usize::from(input.byte());
    match choice {
        0 => at::PUBLISHED + byte % 16,
        1 => at::RESERVE + byte % 8,
        2 => at::INDEX + byte,
        // Sleep words, and the gates of slots.
        3 if byte % 16 < 2 => at::CONTROL + 16 * (byte % 2),
        3 => at::CONTROL + 32 + 64 * (byte / 16 % 4) + byte % 4,
        4 => at::CONTROL + (byte + 8 * (byte % 5)) % (at::CONTROL_END - at::CONTROL),
        5 => at::DATA + 2 * byte,
        6 => at::DATA + 2 * byte + 1,
        _ => (byte << 8 | usize::from(input.byte())) % at::END,
    }
}

/// No input may cause more accesses than this: a loop without an end would.
const MOST_ACCESSES: u64 = 4_000_000;

/// Installs the pokes, each to come before its access. Counts from now on.
pub(super) fn install(memory: RawRing, pokes: Vec<Poke>) {
    let begin = tamper::accesses();
    let end = begin + MOST_ACCESSES;
    let memory = Rc::new(memory);
    let mut due = begin;
    let mut schedule: Vec<(u64, Poke)> = Vec::with_capacity(pokes.len());
    for poke in pokes {
        due += poke.wait;
        schedule.push((due, poke));
    }
    let first = schedule.first().map_or(end, |(due, _)| *due);
    let mut next = 0;
    tamper::tamper_with(first, move |number| {
        assert!(number < end, "work without bound");
        while let Some((due, poke)) = schedule.get(next)
            && *due <= number
        {
            poke.apply(&memory);
            next += 1;
        }
        schedule.get(next).map_or(end, |(due, _)| *due)
    });
}

pub(super) fn remove() {
    tamper::leave_alone();
}
