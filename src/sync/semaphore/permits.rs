//! Permits: as many words as there may be holders. Each says which handle has it, if any.
//!
//! ```text
//! take      free -> me                               [P1]
//! give      me -> 0; if it is waited for, ring       [P2]
//! sweep     dead -> free, and marked                 [P3]
//! sleep     arm the bell, a fence, mark all permits as waited for; one is free: do not sleep
//! ```
//!
//! Permits are mostly given back while nobody sleeps. So whoever gives one back looks at nothing but its word: who sleeps
//! has marked it. Giving back and marking are both compare-exchanges from the state last seen, so one of them comes first. If
//! it is the mark, the giver's exchange fails; it sees the mark, and rings. If it is the giving back, the sleeper finds a free
//! permit, and does not sleep. The sleeper arms the bell before it marks, and the giver looks at the bell after it saw the
//! mark. Each has a full fence in between, so the giver finds the bell armed.
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
/// Whoever waits for permits sleeps until one is given back. This one is somebody's.
const WAITED_FOR: u64 = 2;

/// A permit that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) number: usize,
    /// Its last holder died.
    pub(super) is_abandoned: bool,
}

/// From one exact state that is free to one in which `me` has it.
#[inline(always)]
fn take_from(word: &AtomicU64, seen: u64, me: Incarnation) -> bool {
    // [P1] Acquire. Pairs with [P2] and [P3].
    // Orders: the free word before everything that its new holder does.
    // Without it: the new holder misses what the last one did.
    word.compare_exchange(seen, to_word(me), at!(P1_TAKE, Acquire), at!(P1_TAKE_FAILED, Relaxed)).is_ok()
}

/// Takes a permit if its last holder gave it back.
#[inline(always)]
pub(super) fn take_given(word: &AtomicU64, me: Incarnation) -> bool {
    take_from(word, 0, me)
}

/// Takes a free permit, the first from `first` on.
pub(super) fn take(words: &[AtomicU64], first: usize, me: Incarnation) -> Option<Taken> {
    let (before, from) = words.split_at(first.min(words.len()));
    let ahead = (before.len()..).zip(from);
    ahead.chain((0..).zip(before)).find_map(|(number, word)| {
        let seen = word.load(at!(P_LOOK, Relaxed));
        let is_abandoned = seen & LEFT_BY_THE_DEAD != 0;
        (owner_of(seen).is_none() && take_from(word, seen, me)).then_some(Taken { number, is_abandoned })
    })
}

/// From one exact state to one in which nobody has it. The state it is in instead is the error.
#[inline(always)]
fn give_from(word: &AtomicU64, seen: u64) -> Result<u64, u64> {
    // [P2] Release. Pairs with [P1].
    // Orders: everything that the holder did before the free word.
    // Without it: see [P1].
    word.compare_exchange(seen, 0, at!(P2_GIVE, Release), at!(P2_GIVE_FAILED, Relaxed))
}

/// Gives a permit back, unless `me` does not have it. Whether somebody waits for it, and the bell is to be rung.
#[inline(always)]
pub(super) fn give(word: &AtomicU64, me: Incarnation) -> bool {
    match give_from(word, to_word(me)) {
        Ok(_) => false,
        Err(seen) => give_waited_for(word, me, seen),
    }
}

#[cold]
fn give_waited_for(word: &AtomicU64, me: Incarnation, mut seen: u64) -> bool {
    while owner_of(seen) == Some(me) {
        match give_from(word, seen) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// Marks every permit as waited for, until one is free. Whether one is: then there is nothing to sleep for.
pub(super) fn wait_for_any(words: &[AtomicU64]) -> bool {
    words.iter().any(|word| {
        let mut seen = word.load(at!(P_LOOK, Relaxed));
        while owner_of(seen).is_some() && seen & WAITED_FOR == 0 {
            // The fence between the armed bell and this orders them.
            let marked = seen | WAITED_FOR;
            match word.compare_exchange(seen, marked, at!(P_MARK, Relaxed), at!(P_MARK_FAILED, Relaxed)) {
                Ok(_) => return false,
                Err(now) => seen = now,
            }
        }
        owner_of(seen).is_none()
    })
}

/// How many are free. A hint.
pub(super) fn free(words: &[AtomicU64]) -> usize {
    words.iter().filter(|word| owner_of(word.load(at!(P_LOOK, Relaxed))).is_none()).count()
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
            let mut seen = word.load(at!(P_LOOK, Relaxed));
            while owner_of(seen) == Some(dead) {
                // [P3] Release. Pairs with [P1].
                // Orders: what the dead holder did before the free word. The kernel's answer orders it before this.
                // Without it: whoever takes the permit, and did not ask the kernel, misses what the dead holder did.
                let freed = word.compare_exchange(
                    seen,
                    LEFT_BY_THE_DEAD,
                    at!(P3_SWEEP, Release),
                    at!(P3_SWEEP_FAILED, Relaxed),
                );
                is_any_freed |= freed.is_ok();
                seen = freed.map_or_else(|now| now, |_| LEFT_BY_THE_DEAD);
            }
        }
    }
    Ok(is_any_freed)
}
