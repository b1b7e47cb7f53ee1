//! Looks at a word that somebody is working with, before the first sleep. Each takes the word's cache line away from that
//! process for a moment, so they come at longer and longer intervals.

use crate::atomics::spin;

/// Turns of a busy wait in all.
const TURNS: u32 = if cfg!(loom) { 0 } else { 100 };
/// Turns between the first look and the second, and most between any two.
const FIRST: u32 = 4;
const MOST: u32 = 32;

/// The looks that are left.
#[derive(Debug)]
pub(crate) struct Looks {
    turns_left: u32,
    pause: u32,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { turns_left: TURNS, pause: FIRST }
    }

    /// None after the first.
    pub(crate) fn none() -> Self {
        Self { turns_left: 0, pause: 0 }
    }

    /// Waits for the next look. False: there is none.
    pub(crate) fn wait(&mut self) -> bool {
        if self.turns_left == 0 {
            return false;
        }
        let turns = self.pause.min(self.turns_left);
        self.turns_left -= turns;
        self.pause = (2 * turns).min(MOST);
        for _ in 0..turns {
            spin();
        }
        true
    }
}
