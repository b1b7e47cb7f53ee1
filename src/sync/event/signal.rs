//! The signal of an event: one word, and a bell.
//!
//! ```text
//! 63                      1  0
//! [ how often it was set    ][ set ]
//! ```
//!
//! The count lets a waiter notice that the event was set and reset while it slept.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | V1 → V2 | what was done before the event is set | the event, before what its waiter does | a waiter misses what it waited for |

use crate::atomics::{AtomicU64, FutexWord, Word, at};
use crate::error::{Error, Kind};
use crate::memory::block::block;
use crate::sync::event::Reset;
use crate::sync::shape::Content;

block! {
    /// The signal.
    pub(crate) struct Line: 128 bytes, aligned to 128 {
        at 0: pub(crate) state: AtomicU64,
        /// Waiters sleep here.
        at 8: pub(crate) bell: FutexWord,
    }
}

/// How it is reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(super) reset: Reset,
}

impl Content for Signal {
    const KIND: Kind = Kind::Event;

    type Line = Line;

    type Item = Word;

    fn check(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn items(&self) -> u64 {
        0
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        let reset = match self.reset {
            Reset::Manual => 0,
            Reset::Auto => 1,
        };
        [reset, 0]
    }

    #[cfg(not(loom))]
    fn decode(words: [u64; 2]) -> Option<Self> {
        match words {
            [0, 0] => Some(Self { reset: Reset::Manual }),
            [1, 0] => Some(Self { reset: Reset::Auto }),
            _ => None,
        }
    }
}

/// A state of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    pub(super) fn is_set(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) fn count(self) -> u64 {
        self.0 >> 1
    }

    /// The word that it becomes when it is set.
    fn set(self) -> u64 {
        if self.is_set() { self.0 } else { (self.0 & !1).wrapping_add(2) | 1 }
    }
}

impl Line {
    /// A waiter's look.
    pub(super) fn look(&self) -> State {
        // [V2] Acquire. Pairs with [V1].
        // Orders: the event before everything that its waiter does.
        // Without it: the waiter misses what it waited for.
        State(self.state.load(at!(V2_LOOK, Acquire)))
    }

    /// Whether the word is another than the one that was seen. Orders nothing.
    pub(super) fn has_changed(&self, seen: State) -> bool {
        self.state.load(at!(V_PEEK, Relaxed)) != seen.0
    }

    /// Sets it. `false`: it was set already.
    pub(super) fn set(&self) -> bool {
        let mut seen = State(self.state.load(at!(V_PEEK, Relaxed)));
        loop {
            // [V1] Release. Pairs with [V2], also if the word stays as it is.
            // Orders: what was done before the event is set.
            // Without it: see [V2].
            let set = self.state.compare_exchange(
                seen.0,
                seen.set(),
                at!(V1_SET, Release),
                at!(V1_SET_FAILED, Relaxed),
            );
            match set {
                Ok(_) => return !seen.is_set(),
                Err(now) => seen = State(now),
            }
        }
    }

    /// Takes the signal for one waiter: resets it if it is exactly as seen.
    pub(super) fn take(&self, seen: State) -> bool {
        // As [V2].
        let taken = self.state.compare_exchange(
            seen.0,
            seen.0 & !1,
            at!(V2_TAKE, Acquire),
            at!(V2_TAKE_FAILED, Relaxed),
        );
        taken.is_ok()
    }

    /// Resets it. `false`: it was not set.
    pub(super) fn reset(&self) -> bool {
        let seen = self.state.fetch_and(!1, at!(V_RESET, Relaxed));
        seen & 1 == 1
    }
}
