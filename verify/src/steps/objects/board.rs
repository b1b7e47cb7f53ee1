//! Notes outside the objects, in memory that the processes of a run share.

#![allow(unsafe_code, reason = "memory shared with forked children")]

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use crate::child::Shareable;

/// What each word is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The victim was stopped and then let go: others may have gone on meanwhile.
    LetGo,
    /// The process beside the victim is ready.
    Ready,
    /// How far the victim has come: each operation has its own numbers.
    Come,
    /// What the victim has begun to change, and what it has changed: calls that returned.
    Begun,
    Done,
    /// What the process beside the victim has changed.
    Others,
    /// The process beside the victim was told of a death.
    Told,
    /// The process beside the victim got what it waited for.
    Through,
    /// For each case's own numbers.
    First,
    Second,
}

#[derive(Debug, Default)]
pub(super) struct Board([AtomicU64; Word::Second as usize + 1]);

// SAFETY: it consists of atomic integers.
unsafe impl Shareable for Board {}

impl Board {
    pub(super) fn get(&self, word: Word) -> u64 {
        self.0[word as usize].load(SeqCst)
    }

    pub(super) fn set(&self, word: Word, value: u64) {
        self.0[word as usize].store(value, SeqCst);
    }

    pub(super) fn add(&self, word: Word, value: u64) {
        self.0[word as usize].fetch_add(value, SeqCst);
    }

    pub(super) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, SeqCst));
    }
}
