//! Gates: how consumers hold the producer back. `stalls.rs` decides when the producer takes the gate of a consumer
//! that is dead or too slow; `own_slot.rs` is the consumer's side.
//!
//! The producer keeps a private limit and scans the slots only when a claim would pass it. A scan may miss a consumer
//! that is attaching, and its gate must hold nevertheless:
//!
//! ```text
//! producer (scan)                           consumer (attach)
//! published = ...            [W4]           cursor = a place not after `published`
//! fence SeqCst               [G1]           state = gated                          [G3]
//! limit = least gated cursor, but           fence SeqCst                           [G2]
//!         at most published, + capacity     p = published; cursor = the place at p
//! ```
//!
//! One of the two fences comes first. If it is the attach's, the scan sees the gate at its conservative cursor. If it
//! is the scan's, the attach sees a `published` at least as new as the one the scan used, so `p + capacity` is not
//! before the scan's limit. Either way the producer cannot pass `p + capacity` before it scans again, and that scan
//! sees the gate.
//!
//! Below `p` there is no such guarantee. A consumer that starts further back therefore reads with
//! [`Overwritable::Until`](crate::ring::protocol::reader::Overwritable) `p`, and what it loses there was never
//! guaranteed. A gate at a place that is already overwritten would hold the producer up for records that no reader
//! can read. So a consumer that resumes at such a place is lossy until it has reported the loss, and then opens its
//! gate where it continues.
//!
//! States of a slot. Only the slot's lock shows that its consumer lives; the state is what it last stored.
//!
//! ```text
//! Free ──attach──> Attaching ──open──> Lossy | Gated ──detach──> Free, or Saved under a name
//!                                      Gated ──too slow──> Evicted ──detach──> Free, or Saved
//!                                      Gated ──dead──> Free, or Saved; or held Gated for a while
//! ```

use crate::atomics::{at, fence_at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{Account, NAME_BYTES, Slot, SlotState};
use crate::ring::protocol::record::{LossAccount, Skipped};
use crate::ring::protocol::{Place, after};

/// A cursor word that belongs to no account.
pub(super) const CURSOR_NONE: u64 = 4;

/// `hold_ns` of a hold without an end.
pub(crate) const HOLD_FOREVER: u64 = u64::MAX;

/// The result of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    /// How far the producer may claim.
    pub(crate) limit: u64,
    /// The slot whose gate is furthest back; any slot if no gate blocks.
    pub(crate) slowest: u32,
    /// The eviction of an open gate is requested.
    pub(crate) asked: bool,
}

/// An open gate: the state word that opened it, and the cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenGate {
    pub(crate) state: u64,
    pub(crate) cursor: u64,
}

impl OpenGate {
    /// Whether it prevents the producer from writing up to `end`.
    pub(crate) fn blocks(self, areas: Areas<'_>, end: u64) -> bool {
        after(end, self.cursor.wrapping_add(areas.geometry.capacity))
    }
}

/// The producer's scan: how far it may claim, given what it has published and which slots it disregards.
pub(crate) fn scan(areas: Areas<'_>, published: u64, disregards: impl Fn(u32) -> bool) -> Scan {
    // [G1] SeqCst. Pairs with [G2].
    // Orders: `published` before the loads of the slots.
    // Without it: scan and attach may miss each other, and the limit passes a gate.
    fence_at!(G1_FENCE, SeqCst);
    let (mut least, mut slowest, mut asked) = (published, 0, false);
    for (number, slot) in (0..).zip(areas.slots) {
        let Some(OpenGate { state, cursor }) = gated_at(slot) else { continue };
        asked |= is_asked(slot, state);
        // A cursor beyond `published` is garbage, and gates nothing.
        if after(least, cursor) && !disregards(number) {
            (least, slowest) = (cursor, number);
        }
    }
    let asked = asked && !areas.geometry.sealed;
    Scan { limit: least.wrapping_add(areas.geometry.capacity), slowest, asked }
}

/// A slot's gate, if it is open.
#[inline]
pub(crate) fn gated_at(slot: &Slot) -> Option<OpenGate> {
    // [G3'] Acquire. Pairs with [G3] and with the detach's Release [G4].
    // Orders: the state before the cursor; a leaving consumer's reads before the writes that it no longer holds up.
    // Without it: the scan reads an open gate with the cursor of the slot's last owner, or the last record is torn.
    let state = slot.gate.state.load(at!(G3_STATE, Acquire));
    if SlotState::from_word(state) != Some(SlotState::Gated) {
        return None;
    }
    // [W5] Acquire. Pairs with [R5].
    // Orders: the consumer's reads below its cursor before the next lap's writes there.
    // Without it: a gated consumer reads the next lap.
    let cursor = slot.gate.cursor.load(at!(W5_CURSOR, Acquire));
    // No place: between the two loads one consumer left and the next is attaching.
    (cursor != CURSOR_NONE).then_some(OpenGate { state, cursor: cursor & !7 })
}

/// Fails if the slot has another consumer since `state` was read, because the state word contains a generation.
pub(crate) fn take_gate(slot: &Slot, state: u64, next: SlotState) -> bool {
    let next = next.after(state);
    slot.gate.state.compare_exchange(state, next, at!(G_TAKE, Relaxed), at!(G_TAKE_FAILED, Relaxed)).is_ok()
}

/// Whether the eviction of the gate that this state word opened is requested.
#[inline]
pub(crate) fn is_asked(slot: &Slot, state: u64) -> bool {
    slot.gate.evict.load(at!(G_ASKED, Relaxed)) == state
}

/// Withdraws a request, unless another one has replaced it. True: it was there.
pub(crate) fn withdraw(slot: &Slot, state: u64) -> bool {
    let exchanged =
        slot.gate.evict.compare_exchange(state, 0, at!(G_UNASK, Relaxed), at!(G_UNASK_FAILED, Relaxed));
    exchanged.is_ok()
}

/// What a slot becomes when its consumer has gone.
pub(crate) fn resting_state(areas: Areas<'_>, slot: &Slot) -> SlotState {
    if has_name(areas, slot) { SlotState::Saved } else { SlotState::Free }
}

/// Whether the slot has a name. A sealed ring has none, since any consumer could have written it.
pub(crate) fn has_name(areas: Areas<'_>, slot: &Slot) -> bool {
    !areas.geometry.sealed && name(slot) != [0; NAME_BYTES]
}

/// The name in a slot, padded with zeros.
pub(crate) fn name(slot: &Slot) -> [u8; NAME_BYTES] {
    let mut bytes = [0; NAME_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(&slot.who.name) {
        chunk.copy_from_slice(&word.load(at!(G_FIELDS, Relaxed)).to_le_bytes());
    }
    bytes
}

pub(crate) fn state(slot: &Slot) -> Option<SlotState> {
    SlotState::from_word(slot.gate.state.load(at!(G_STATE, Relaxed)))
}

/// Whether the slot belongs to no consumer and no name: it is free, or its consumer died before it had a place, or
/// its name was being forgotten. The words of the name then mean nothing; they may be part of a name.
pub(crate) fn is_nobodys(slot: &Slot) -> bool {
    match state(slot) {
        Some(SlotState::Free) => true,
        Some(SlotState::Attaching) => slot.gate.cursor.load(at!(G_FIELDS, Relaxed)) == CURSOR_NONE,
        _ => false,
    }
}

/// Whether the slot is kept for this name. Certain if the caller holds the slot's lock. Otherwise a consumer may be
/// attaching there, or the answer may be out of date; but the beginning of a longer name is never taken for a name.
pub(crate) fn keeps(slot: &Slot, wanted: &[u8; NAME_BYTES]) -> bool {
    if *wanted == [0; NAME_BYTES] || name(slot) != *wanted {
        return false;
    }
    // [G6'] Acquire. Pairs with [G6].
    // Orders: the words of the name before the check whether the slot belongs to a name.
    // Without it: see [G6].
    fence_at!(G6_READ_FENCE, Acquire);
    if is_nobodys(slot) {
        return false;
    }
    // [G7] Acquire. Pairs with [R5].
    // Orders: the cursor that shows a place before the second read of the name, which is whole by then.
    // Without it: the beginning of a name that was being written is taken for a name that has a place.
    fence_at!(G7_FENCE, Acquire);
    name(slot) == *wanted
}

/// Whether a new consumer that holds the slot's lock may take it. Names keep their slots.
pub(crate) fn is_vacant(areas: Areas<'_>, slot: &Slot) -> bool {
    is_nobodys(slot) || !has_name(areas, slot)
}

/// When the last consumer of a name left, wall clock, ns, if that is known.
pub(crate) fn left_ns(slot: &Slot) -> Option<u64> {
    Some(slot.who.left_ns.load(at!(G_FIELDS, Relaxed))).filter(|left| *left != 0)
}

/// Notes that a killed consumer was found to be gone at `now_ns`. The caller holds the slot's lock.
pub(crate) fn note_absence(slot: &Slot, now_ns: u64) {
    if left_ns(slot).is_none() {
        slot.who.left_ns.store(now_ns.max(1), at!(G_FIELDS_WRITE, Relaxed));
    }
}

/// The account that a slot's cursor selects, if neither changed while it was read. With or without the slot's lock.
pub(crate) fn saved(slot: &Slot) -> Option<(Place, LossAccount)> {
    let cursor = slot.gate.cursor.load(at!(A_CURSOR, Relaxed));
    // [A1] Acquire. Pairs with [R5].
    // Orders: the cursor before the account it selects.
    // Without it: an inspector may show an account that mixes two cursors.
    fence_at!(A1_FENCE, Acquire);
    let (place, account) = read_account(&slot.accounts[(cursor & 1) as usize]);
    // [A2] Acquire. Pairs with [A3].
    // Orders: the account before the second load of the cursor.
    // Without it: see [A3].
    fence_at!(A2_FENCE, Acquire);
    let again = slot.gate.cursor.load(at!(A_CURSOR_AGAIN, Relaxed));
    // The mark of a slot without a place is not a place.
    let whole = cursor == again && cursor & !1 == place.position && place.position.is_multiple_of(8);
    whole.then_some((place, account))
}

fn read_account(account: &Account) -> (Place, LossAccount) {
    let read = |word: &crate::atomics::AtomicU64| word.load(at!(A_READ_FIELDS, Relaxed));
    let place = Place {
        position: read(&account.position),
        sequence: read(&account.sequence),
        bytes: read(&account.bytes),
    };
    let loss = LossAccount {
        records: read(&account.lost_records),
        bytes: read(&account.lost_bytes),
        gaps: read(&account.gaps),
        largest_gap: read(&account.largest_gap),
        first: read(&account.first_lost),
        last: read(&account.last_lost),
        overrun: read(&account.by_cause[0]),
        evicted: read(&account.by_cause[1]),
        away: read(&account.by_cause[2]),
        skipped: Skipped { records: read(&account.skipped_records), bytes: read(&account.skipped_bytes) },
    };
    (place, loss)
}

/// Whether a state word is that of an open gate.
pub(crate) fn is_gated(state: u64) -> bool {
    SlotState::from_word(state) == Some(SlotState::Gated)
}

/// Whether the slot is in this state.
pub(super) fn gate_is(slot: &Slot, wanted: SlotState) -> bool {
    state(slot) == Some(wanted)
}
