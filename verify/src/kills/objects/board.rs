//! What the processes of a play note outside their object. The dead have made every store that they had executed.

#![allow(unsafe_code, reason = "memory shared with forked children")]

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::child::Shareable;
use crate::kills::page::ROLES;

/// Entries for records, calls and rounds, by their number.
pub(super) const ENTRIES: usize = 1 << 20;

/// Words for each play's own numbers.
const WORDS: usize = 32;

#[derive(Debug)]
#[repr(C)]
pub(super) struct Board {
    pub(super) words: [AtomicU64; WORDS],
    /// What each process holds: twice the number of changes so far, times a weight, see [`hold`](Board::hold).
    holds: [AtomicU64; ROLES],
    /// It is being killed.
    struck: [AtomicU64; ROLES],
    told: AtomicU64,
    pub(super) entries: [AtomicU64; ENTRIES],
}

// SAFETY: it consists of atomic integers.
unsafe impl Shareable for Board {}

/// What a process holds, in the low bits of its word; above them stands a count of changes.
const WEIGHT: u64 = 0xff;

/// A weight so large that nobody else may hold anything beside it.
pub(super) const ALONE: u64 = 0xff;

impl Board {
    pub(super) fn entry(&self, number: u64) -> &AtomicU64 {
        &self.entries[(number % ENTRIES as u64) as usize]
    }

    /// The process holds so much from here on: 0 before it begins to give back.
    pub(super) fn hold(&self, number: usize, weight: u64) {
        let before = self.holds[number].load(Relaxed);
        self.holds[number].store(((before & !WEIGHT) + WEIGHT + 1) | weight, SeqCst);
    }

    /// How much all that are not being killed hold together. `None`: it changed while it was added up.
    pub(super) fn held(&self) -> Option<u64> {
        let look = || -> [(u64, u64); ROLES] {
            std::array::from_fn(|number| (self.holds[number].load(SeqCst), self.struck[number].load(SeqCst)))
        };
        let seen = look();
        let held = seen.iter().filter(|(_, struck)| *struck == 0).map(|(hold, _)| hold & WEIGHT).sum();
        (look() == seen).then_some(held)
    }

    /// Somebody was told of a death.
    pub(super) fn tell(&self) {
        self.told.fetch_add(1, Relaxed);
    }

    pub(super) fn told(&self) -> u64 {
        self.told.load(Relaxed)
    }

    pub(super) fn strike(&self, number: usize) {
        self.struck[number].store(1, SeqCst);
    }

    /// Whether the process that is dead held something for certain.
    pub(super) fn must_be_told(&self, number: usize) -> bool {
        self.holds[number].load(SeqCst) & WEIGHT != 0
    }

    /// The dead hold nothing any more.
    pub(super) fn bury(&self, number: usize) {
        self.hold(number, 0);
        self.struck[number].store(0, SeqCst);
    }
}
