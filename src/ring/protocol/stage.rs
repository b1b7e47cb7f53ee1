//! Stages: consumers that others follow. A follower receives only what its stage has released, so it polls the stage's
//! cursor where other readers poll `published`.
//!
//! ```text
//! stage, after a record                     follower at position c
//!
//! its own work is done                      t = the stage's cursor                 [F1]
//! cursor = end of the record   [R5]         its stretch is another: the stage is gone
//! fence                        [S1]         t not after c: nothing
//! followers changed?           [F3]         else the record at c, as any reader
//! wake those that sleep                     nothing, and its gate shut: it is gone [F2]
//! ```
//!
//! A follower does not name its stage by slot alone, nor by name: the slot may get another consumer, and a consumer that
//! lost records has released what it never received. It names a *stretch*: a number in the slot that is raised when the slot
//! is taken, and whenever its consumer loses records. It is raised before the next cursor is stored, so whoever loads that
//! cursor finds another number.
//!
//! A consumer that follows names a stretch that had begun before its own did, and names the same one throughout its own. So
//! no circle of consumers can wait for each other.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | R5 → F1 | the stage's reads, and so the record, before its cursor | cursor before the record | an unwritten record is read, or one of a stretch that is over |
//! | G4 → F2 | last cursor before the slot's new state | state before the last look at the cursor | a stage is called gone before its last records are received |
//! | G2 → F3 | what a follower names before the number of followers | number before what each names | a stage does not find its follower, and never wakes it |
//! | G8 → F4 | where the stretch began before the stage counts as attached | attached before where it began | a follower receives what was published before its stage |

use crate::atomics::{FutexWord, at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{Gate, Slot, SlotState};
use crate::ring::protocol::after;
use crate::ring::protocol::gate::{self, CURSOR_NONE};
use crate::ring::protocol::own_slot::STRETCH_MOST;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// Bits of a slot's number, beside that of a stretch.
const SLOT_BITS: u32 = STRETCH_MOST.leading_zeros();

/// A consumer that others follow: one stretch of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) slot: u32,
    stretch: u64,
    /// Sequence of the first record of the stretch.
    pub(crate) began: u64,
}

/// Wakes the followers of every consumer: gates were taken, or the stream has ended.
pub(crate) fn wake_followers(areas: Areas<'_>) {
    doorbell::notify_each(areas.slots.iter().map(|slot| &slot.gate.released));
}

/// Wakes the followers of the consumer in a slot.
pub(crate) fn ring(areas: Areas<'_>, number: u32) {
    if let Some(slot) = areas.slots.get(number as usize) {
        doorbell::notify(&slot.gate.released, WaitMode::Fence);
    }
}

/// How a follower's slot names what it follows.
pub(crate) fn word_of(number: u32, stretch: u64) -> u64 {
    stretch << SLOT_BITS | u64::from(number)
}

/// The slot in such a word.
pub(crate) fn slot_in(word: u64) -> u32 {
    (word & ((1 << SLOT_BITS) - 1)) as u32
}

/// A consumer that follows the present stretch of a slot, and may be alive.
pub(crate) fn follower_of(areas: Areas<'_>, number: u32, is_one: impl Fn(u32) -> bool) -> Option<u32> {
    let word = word_of(number, areas.slots.get(number as usize)?.gate.stretch.load(at!(F_STRETCH, Relaxed)));
    let follows = |slot: &Slot| {
        let is_there = !matches!(gate::state(slot), Some(SlotState::Free | SlotState::Saved) | None);
        is_there && slot.who.after.load(at!(F_AFTER, Relaxed)) == word
    };
    let mut slots = (0..).zip(areas.slots);
    slots.find(|(other, slot)| follows(slot) && is_one(*other)).map(|(other, _)| other)
}

impl Stage {
    /// The consumer in a slot as it is now. `None`: it is attaching.
    pub(crate) fn in_slot(areas: Areas<'_>, number: u32) -> Option<Self> {
        let slot = areas.slots.get(number as usize)?;
        // [F4] Acquire. Pairs with [G8].
        // Orders: that the stage is attached before the sequence at which it began.
        // Without it: a follower receives records that were published before its stage attached.
        let attached_ns = slot.who.attached_ns.load(at!(F4_ATTACHED, Acquire));
        let load = |word: &crate::atomics::AtomicU64| word.load(at!(F_STRETCH, Relaxed));
        let Gate { stretch, began, .. } = &slot.gate;
        (attached_ns != 0).then(|| Self { slot: number, stretch: load(stretch), began: load(began) })
    }

    /// As stored in the slot of a follower.
    pub(crate) fn word(self) -> u64 {
        word_of(self.slot, self.stretch)
    }

    fn gate(self, areas: Areas<'_>) -> Option<&Gate> {
        areas.slots.get(self.slot as usize).map(|slot| &slot.gate)
    }

    /// Whether the stretch is the same. Where it began is compared too: the two words are not read together, so a follower
    /// may have bound itself to the number of a new stretch and to the beginning of the one before.
    fn lasts(self, gate: &Gate) -> bool {
        gate.stretch.load(at!(F_STRETCH, Relaxed)) == self.stretch
            && gate.began.load(at!(F_STRETCH, Relaxed)) == self.began
    }

    /// The position below which it has released everything. `None`: the stretch is over.
    #[inline]
    pub(crate) fn released(self, areas: Areas<'_>) -> Option<u64> {
        let gate = self.gate(areas)?;
        // [F1] Acquire. Pairs with [R5].
        // Orders: the cursor before the records below it, and before the number of the stretch.
        // Without it: a follower reads a record that is not written yet, or one that its stage has lost.
        let cursor = gate.cursor.load(at!(F1_CURSOR, Acquire));
        (self.lasts(gate) && cursor != CURSOR_NONE).then_some(cursor & !7)
    }

    /// Whether its gate stands: then it goes on, or is waited for. Look at `released` once more after `false`.
    pub(crate) fn stands(self, areas: Areas<'_>) -> bool {
        self.gate(areas).is_some_and(|gate| {
            // [F2] Acquire. Pairs with [G4].
            // Orders: the state before the last look at the cursor, and before the number of the stretch.
            // Without it: a stage that has left is called gone before its last records are received.
            let state = gate.state.load(at!(F2_STATE, Acquire));
            gate::is_gated(state) && self.lasts(gate)
        })
    }

    /// Whether it is waited for while its consumer is away.
    pub(crate) fn is_held(self, areas: Areas<'_>) -> bool {
        self.gate(areas).is_some_and(|gate| gate.hold_ns.load(at!(G_FIELDS, Relaxed)) > 0)
    }

    /// The word on which its followers sleep. `None`: there is no such slot.
    pub(crate) fn bell(self, areas: Areas<'_>) -> Option<&FutexWord> {
        self.gate(areas).map(|gate| &gate.released)
    }

    /// A follower has come or left: the stage is to look for its followers. Returns the number to be heard.
    pub(crate) fn count_follower(self, areas: Areas<'_>) -> u64 {
        let Some(gate) = self.gate(areas) else { return 0 };
        // [G2], the fence of the attach, orders what a newcomer names before this. A stage that misses that one has left
        // only wakes it in vain.
        gate.followers.fetch_add(1, at!(F3_COUNT, Relaxed)).wrapping_add(1)
    }

    /// Whether the stage has looked for followers since the number was `count`.
    pub(crate) fn has_heard(self, areas: Areas<'_>, count: u64) -> bool {
        self.gate(areas).is_none_or(|gate| !after(count, gate.heard.load(at!(F_HEARD, Relaxed))))
    }
}

/// What a consumer with a name knows of its followers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Followers {
    /// The number at which it last looked for them.
    heard: u64,
    any: bool,
}

impl Followers {
    pub(crate) fn any(self) -> bool {
        self.any
    }

    /// After the consumer in a slot has attached, lost records, or stored its cursor: looks for followers if one may have
    /// come or left. Returns whether there is a change.
    pub(crate) fn look(&mut self, areas: Areas<'_>, number: u32, anew: bool) -> bool {
        let Some(slot) = areas.slots.get(number as usize) else { return false };
        // [F3] Acquire. Pairs with [G2].
        // Orders: the number before what each follower names.
        // Without it: a stage looks for followers, does not find one, and never wakes it.
        let count = slot.gate.followers.load(at!(F3_FOLLOWERS, Acquire));
        if count == self.heard && !anew {
            return false;
        }
        self.heard = count;
        let any = follower_of(areas, number, |_| true).is_some();
        slot.gate.heard.store(count, at!(F_HEARD_WRITE, Relaxed));
        core::mem::replace(&mut self.any, any) != any
    }

    /// Wakes those that sleep.
    pub(crate) fn wake(self, areas: Areas<'_>, number: u32) {
        if self.any {
            ring(areas, number);
        }
    }
}
