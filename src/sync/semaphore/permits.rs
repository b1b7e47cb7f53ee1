//! Permits: as many words as there may be holders. Each says which handle has it, if any.
//!
//! ```text
//! take      free -> me                               [P1]
//! give      me -> 0, a full fence, ring the bell     [P2]
//! sweep     dead -> free, and marked                 [P3]
//! ```
//!
//! A word whose low bit alone is set is free, and its last holder died: whoever takes it is told. One handle at a time
//! waits for permits, and all others wait for their turn to do that. So one process sleeps on the bell, and looks for
//! the dead.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | P2 → P1 | what the holder did, before the word is free | the word, before what the next one does | the next holder misses what the last one did |
//! | P3 → P1 | what the dead holder did, as the kernel ordered it | the same | the same, if another handle found that it is dead |

use std::collections::BTreeSet;

use crate::atomics::{AtomicU64, FutexWord, OwnedWord, at};
use crate::error::{Error, Kind};
use crate::memory::block::block;
use crate::seats::Incarnation;
use crate::sync::member::{Member, NOBODYS};
use crate::sync::owner::{owner_of, to_word};
use crate::sync::shape::Content;

/// Most permits.
const MAX_PERMITS: u64 = 4096;

block! {
    /// Whose turn it is to wait for permits.
    pub(crate) struct Line: 128 bytes, aligned to 128 {
        /// Who waits for permits, or takes several.
        at 0: pub(crate) turn: OwnedWord,
        /// Who of those that wait for their turn watches it.
        at 8: pub(crate) watch: AtomicU64,
        /// Not 0: it has waited for long. Newcomers wait for their turn, too.
        at 16: pub(crate) long: AtomicU64,
        /// It sleeps here.
        at 24: pub(crate) bell: FutexWord,
    }
}

/// How many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permits {
    pub(super) count: u64,
}

impl Content for Permits {
    const KIND: Kind = Kind::Semaphore;

    type Line = Line;

    type Item = AtomicU64;

    fn check(&self, _: u64) -> Result<(), Error> {
        if (1..=MAX_PERMITS).contains(&self.count) {
            Ok(())
        } else {
            Err(Error::BadOption { what: "a semaphore has 1 to 4096 permits" })
        }
    }

    fn items(&self) -> u64 {
        self.count
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [self.count, 0]
    }

    #[cfg(not(loom))]
    fn decode([count, unused]: [u64; 2]) -> Option<Self> {
        (unused == 0).then_some(Self { count })
    }
}

/// Nobody has it, and its last holder died.
const LEFT_BY_THE_DEAD: u64 = 1;

/// A permit that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) number: usize,
    /// Its last holder died.
    pub(super) is_abandoned: bool,
}

/// Takes a free permit, the first from `first` on.
pub(super) fn take(words: &[AtomicU64], first: usize, me: Incarnation) -> Option<Taken> {
    let (before, from) = words.split_at(first.min(words.len()));
    let ahead = (before.len()..).zip(from);
    ahead.chain((0..).zip(before)).find_map(|(number, word)| {
        let seen = word.load(at!(P_LOOK, Relaxed));
        if owner_of(seen).is_some() {
            return None;
        }
        // [P1] Acquire. Pairs with [P2] and [P3].
        // Orders: the free word before everything that its new holder does.
        // Without it: the new holder misses what the last one did.
        let taken =
            word.compare_exchange(seen, to_word(me), at!(P1_TAKE, Acquire), at!(P1_TAKE_FAILED, Relaxed));
        taken.is_ok().then_some(Taken { number, is_abandoned: seen != 0 })
    })
}

/// Gives a permit back, unless `me` does not have it.
pub(super) fn give(word: &AtomicU64, me: Incarnation) {
    // [P2] Release. Pairs with [P1].
    // Orders: everything that the holder did before the free word.
    // Without it: see [P1].
    let _ = word.compare_exchange(to_word(me), 0, at!(P2_GIVE, Release), at!(P2_GIVE_FAILED, Relaxed));
}

/// How many are free. A hint.
pub(super) fn free(words: &[AtomicU64]) -> usize {
    words.iter().filter(|word| owner_of(word.load(at!(P_LOOK, Relaxed))).is_none()).count()
}

pub(super) fn is_any_free(words: &[AtomicU64]) -> bool {
    words.iter().any(|word| owner_of(word.load(at!(P_LOOK, Relaxed))).is_none())
}

/// Who has each permit that is not free.
pub(super) fn owners(words: &[AtomicU64]) -> impl Iterator<Item = Incarnation> {
    words.iter().filter_map(|word| owner_of(word.load(at!(P_LOOK, Relaxed))))
}

/// Everybody who has a permit.
///
/// # Errors
///
/// [`Error::Garbage`].
pub(super) fn holders(member: &Member<Permits>) -> Result<BTreeSet<Incarnation>, Error> {
    let owners = owners(member.views().items);
    owners.map(|owner| if member.could_exist(owner) { Ok(owner) } else { Err(NOBODYS) }).collect()
}

/// Frees the permits of the dead, and returns whether there were any. Asks the kernel once for each holder.
///
/// # Errors
///
/// [`Error::Garbage`].
pub(super) fn sweep(member: &Member<Permits>) -> Result<bool, Error> {
    let me = member.me();
    let mut is_any_freed = false;
    for dead in holders(member)?.into_iter().filter(|holder| *holder != me && !member.is_alive(*holder)) {
        for word in member.views().items {
            // [P3] Release. Pairs with [P1].
            // Orders: what the dead holder did before the free word. The kernel's answer orders it before this.
            // Without it: whoever takes the permit, and did not ask the kernel, misses what the dead holder did.
            let freed = word.compare_exchange(
                to_word(dead),
                LEFT_BY_THE_DEAD,
                at!(P3_SWEEP, Release),
                at!(P3_SWEEP_FAILED, Relaxed),
            );
            is_any_freed |= freed.is_ok();
        }
    }
    Ok(is_any_freed)
}
