//! A consumer's slot as its owner writes it: taking it, its gate, its cursor and its account, and leaving. `gate.rs` has what
//! others see of it, and what the two sides owe each other.

use crate::atomics::{at, fence_at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{NAME_BYTES, Slot, SlotState};
use crate::ring::protocol::gate::{CURSOR_NONE, gate_is, saved, take_gate};
use crate::ring::protocol::record::{Loss, LossAccount, LossCause, Skipped};
use crate::ring::protocol::{Place, after, floor};

/// A consumer's own half of its slot. Its holder has the slot's lock.
#[derive(Debug)]
pub(crate) struct OwnSlot {
    pub(crate) number: u32,
    /// The place that the shared cursor shows.
    stored: Place,
    /// All losses reported and records skipped so far, and those below the released place. Only the latter are stored
    /// with the cursor; otherwise a consumer that resumes before a loss would count it twice.
    account: LossAccount,
    released: LossAccount,
    /// The two differ.
    unreleased: bool,
    /// The account that the cursor selects, and which accounts do not have the latest losses.
    selected: usize,
    stale: [bool; 2],
    told_eviction: bool,
    /// The state it stored when it attached. The slot may have been overwritten since.
    named: bool,
    held: bool,
}

/// What a consumer writes into its slot when it attaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) gated: bool,
    pub(crate) budget_ns: u64,
    pub(crate) hold_ns: u64,
    pub(crate) name: [u8; NAME_BYTES],
    /// What tells the group from others that the slot is for; 0: one that is being made. `None`: a consumer.
    pub(crate) group: Option<u64>,
    /// The word of the stage that it follows; 0: none.
    pub(crate) after: u64,
    pub(crate) pid: u32,
    pub(crate) now_ns: u64,
}

impl Policy {
    pub(crate) fn is_named(&self) -> bool {
        self.name != [0; NAME_BYTES]
    }
}

impl OwnSlot {
    /// Takes a vacant slot.
    pub(crate) fn take(areas: Areas<'_>, number: u32, policy: &Policy) -> Self {
        let slot = &areas.slots[number as usize];
        Self::set_state(slot, SlotState::Attaching);
        // In this order, so that a process killed here leaves a slot without a place, which any consumer may take.
        slot.gate.cursor.store(CURSOR_NONE, at!(G_FIELDS_WRITE, Relaxed));
        before_a_name_changes();
        Self::write_policy(slot, policy);
        // Before the first cursor of this consumer: see `stage.rs`.
        raise_stretch(slot);
        Self {
            number,
            stored: Place::default(),
            account: LossAccount::default(),
            released: LossAccount::default(),
            unreleased: false,
            selected: 0,
            stale: [true; 2],
            told_eviction: false,
            named: policy.is_named(),
            held: policy.hold_ns > 0,
        }
    }

    /// Takes the slot kept under a name, including its gate if that was held. Returns the place to resume at. `None`:
    /// its last owner died before it had one.
    pub(crate) fn resume(areas: Areas<'_>, number: u32, policy: &Policy) -> (Self, Option<Place>) {
        let slot = &areas.slots[number as usize];
        let Some((place, account)) = saved(slot) else {
            return (Self::take(areas, number, policy), None);
        };
        let word = slot.gate.state.load(at!(G_STATE, Relaxed));
        let held = policy.gated
            && SlotState::from_word(word) == Some(SlotState::Gated)
            && take_gate(slot, word, SlotState::Gated);
        if !held {
            Self::set_state(slot, SlotState::Attaching);
        }
        if slot.who.after.load(at!(G_FIELDS, Relaxed)) != policy.after {
            // Within one stretch a consumer follows one stage, so there is no circle of followers.
            raise_stretch(slot);
        }
        Self::write_policy(slot, policy);
        (Self::continued(areas, number, (place, account), policy.hold_ns), Some(place))
    }

    /// With what its slot keeps for its name.
    fn continued(
        areas: Areas<'_>,
        number: u32,
        (place, account): (Place, LossAccount),
        hold_ns: u64,
    ) -> Self {
        let slot = &areas.slots[number as usize];
        let selected = (slot.gate.cursor.load(at!(G_FIELDS, Relaxed)) & 1) as usize;
        let mut stale = [true; 2];
        stale[selected] = false;
        Self {
            number,
            stored: place,
            account,
            released: account,
            unreleased: false,
            selected,
            stale,
            told_eviction: false,
            named: true,
            held: hold_ns > 0,
        }
    }

    /// The slot of a group, for the member whose turn it is to change it. `None`: its words contradict each other.
    pub(crate) fn of_group(areas: Areas<'_>, number: u32) -> Option<Self> {
        let slot = areas.slots.get(number as usize)?;
        let hold_ns = slot.gate.hold_ns.load(at!(G_FIELDS, Relaxed));
        Some(Self::continued(areas, number, saved(slot)?, hold_ns))
    }

    fn write_policy(slot: &Slot, policy: &Policy) {
        let write = |word: &crate::atomics::AtomicU64, value| word.store(value, at!(G_FIELDS_WRITE, Relaxed));
        write(&slot.gate.budget_ns, policy.budget_ns);
        write(&slot.gate.hold_ns, policy.hold_ns);
        write(&slot.who.pid, u64::from(policy.pid));
        write(&slot.who.attached_ns, 0);
        write(&slot.gate.held_ns, 0);
        write(&slot.who.left_ns, 0);
        write(&slot.who.group, policy.group.unwrap_or(0));
        write(&slot.who.after, policy.after);
        for (word, bytes) in slot.who.name.iter().zip(policy.name.chunks_exact(8)) {
            write(word, bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        }
    }

    /// Stores the state with the next generation. Only the producer also changes the state, and only that of a gated
    /// slot.
    fn set_state(slot: &Slot, next: SlotState) {
        let word = slot.gate.state.load(at!(G_STATE, Relaxed));
        // [G3], [G4] Release. Pairs with [G3'].
        // Orders: the cursor before the open gate; every read of the consumer before it leaves.
        // Without it: see [G3'].
        slot.gate.state.store(next.after(word), at!(G3_SET_STATE, Release));
    }

    /// Opens the slot at the stored cursor. Returns `published` as read after the gate was open.
    pub(crate) fn open(&self, areas: Areas<'_>, gated: bool) -> u64 {
        let slot = &areas.slots[self.number as usize];
        let state = if gated { SlotState::Gated } else { SlotState::Lossy };
        if gate_is(slot, state) {
            return self.fenced_published(areas);
        }
        Self::set_state(slot, state);
        self.fenced_published(areas)
    }

    /// Opens the slot at `place`.
    pub(crate) fn open_from(&mut self, areas: Areas<'_>, gated: bool, place: Place) -> u64 {
        self.store_cursor(areas, place);
        self.open(areas, gated)
    }

    /// Whether the gate is open.
    pub(crate) fn gates(&self, areas: Areas<'_>) -> bool {
        gate_is(&areas.slots[self.number as usize], SlotState::Gated)
    }

    /// As `open`, but lossy if `place`, the stored cursor, is overwritten: a gate there would hold the producer up
    /// for records that no reader can read. Returns whether the gate is open.
    pub(crate) fn open_at(&self, areas: Areas<'_>, gated: bool, place: Place) -> (bool, u64) {
        let is_there = || !after(floor(areas), place.position);
        let gated = gated && is_there();
        let published = self.open(areas, gated);
        // The producer may have been allowed past the gate just before it opened.
        if !gated || is_there() {
            return (gated, published);
        }
        (false, self.open(areas, false))
    }

    fn fenced_published(&self, areas: Areas<'_>) -> u64 {
        // [G2] SeqCst. Pairs with [G1].
        // Orders: the open gate before the load of `published`.
        // Without it: see [G1].
        fence_at!(G2_FENCE, SeqCst);
        let published = areas.head.inline.published.load(at!(G2_PUBLISHED, Relaxed));
        // [G5] Acquire. Pairs with [W4].
        // Orders: `published` before the records below it, which the attach may walk.
        // Without it: the walk reads words of the previous lap.
        fence_at!(G5_FENCE, Acquire);
        published
    }

    /// Shows that the consumer is attached: it misses nothing published from here on, since it has already loaded the
    /// `published` at which it starts.
    pub(crate) fn say_attached(&self, areas: Areas<'_>, policy: &Policy) {
        let attached_ns = &areas.slots[self.number as usize].who.attached_ns;
        // [G8] Release. Pairs with [G8'] in `send/attached.rs`.
        // Orders: the attach's load of `published` before what a producer publishes after waiting for this.
        // Without it: a consumer that the producer waited for starts after the first record published to it.
        attached_ns.store(policy.now_ns.max(1), at!(G8_ATTACHED, Release));
    }

    /// The consumer starts a stretch at this sequence: it is new, or has lost what is before.
    pub(crate) fn begin_stretch(&self, areas: Areas<'_>, sequence: u64) {
        let slot = &areas.slots[self.number as usize];
        slot.gate.began.store(sequence, at!(G_FIELDS_WRITE, Relaxed));
        raise_stretch(slot);
    }

    /// A new consumer starts at this sequence, where its next cursor will be: whoever comes after one that is killed in
    /// between resumes there or further back.
    pub(crate) fn starts_at(&self, areas: Areas<'_>, sequence: u64) {
        areas.slots[self.number as usize].gate.began.store(sequence, at!(G_FIELDS_WRITE, Relaxed));
    }

    /// The consumer follows no stage any more.
    pub(crate) fn follow_nothing(&self, areas: Areas<'_>) {
        areas.slots[self.number as usize].who.after.store(0, at!(G_FIELDS_WRITE, Relaxed));
    }

    /// Whether the slot is kept for a name.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    pub(crate) fn stored(&self) -> Place {
        self.stored
    }

    /// Whether the shared cursor is still the one that was stored. Another process may have written over it, and a
    /// cursor that went back would hold the producer up until it moves again.
    pub(crate) fn is_shown(&self, areas: Areas<'_>) -> bool {
        let cursor = areas.slots[self.number as usize].gate.cursor.load(at!(G_FIELDS, Relaxed));
        cursor == self.stored.position | self.selected as u64
    }

    pub(crate) fn account(&self) -> LossAccount {
        self.account
    }

    /// Stores the cursor: everything below `place` is released. The account is written first, into the copy that the
    /// old cursor does not select, so that a kill at any point leaves one copy whole.
    pub(crate) fn store_cursor(&mut self, areas: Areas<'_>, place: Place) {
        let slot = &areas.slots[self.number as usize];
        let next = 1 - self.selected;
        let copy = &slot.accounts[next];
        let write = |word: &crate::atomics::AtomicU64, value| word.store(value, at!(A_FIELDS, Relaxed));
        write(&copy.position, place.position);
        write(&copy.sequence, place.sequence);
        write(&copy.bytes, place.bytes);
        if self.stale[next] {
            self.stale[next] = false;
            let account = &self.released;
            write(&copy.lost_records, account.records);
            write(&copy.lost_bytes, account.bytes);
            write(&copy.gaps, account.gaps);
            write(&copy.largest_gap, account.largest_gap);
            write(&copy.first_lost, account.first);
            write(&copy.last_lost, account.last);
            for (word, value) in copy.by_cause.iter().zip([account.overrun, account.evicted, account.away]) {
                write(word, value);
            }
            write(&copy.skipped_records, account.skipped.records);
            write(&copy.skipped_bytes, account.skipped.bytes);
        }
        // [R5] Release. Pairs with [W5] in the scan and [A1] in `saved`.
        // Orders: all reads below the cursor, and the account, before it.
        // Without it: the producer overwrites a record that is still being read.
        slot.gate.cursor.store(place.position | next as u64, at!(R5_CURSOR, Release));
        // [A3] Release. Pairs with [A2].
        // Orders: this cursor before the next write to the copy that it no longer selects.
        // Without it: an inspector mixes that copy's old and new words, and still finds the old cursor.
        fence_at!(A3_FENCE, Release);
        self.selected = next;
        self.stored = place;
    }

    /// The losses reported so far are released: the next cursor store includes them.
    #[inline(always)]
    pub(crate) fn release_losses(&mut self) {
        if self.unreleased {
            self.unreleased = false;
            self.released = self.account;
            self.stale = [true; 2];
        }
    }

    /// Adds a loss to the account.
    pub(crate) fn book(&mut self, loss: &Loss) {
        let account = &mut self.account;
        let by_cause = match loss.cause {
            LossCause::Overrun => &mut account.overrun,
            LossCause::Evicted => &mut account.evicted,
            LossCause::Away => &mut account.away,
            // Not covered by this consumer's guarantee.
            LossCause::Attaching => return,
        };
        *by_cause = by_cause.wrapping_add(loss.records);
        if account.gaps == 0 {
            account.first = loss.first;
        }
        account.records = account.records.wrapping_add(loss.records);
        account.bytes = account.bytes.wrapping_add(loss.bytes);
        account.gaps = account.gaps.wrapping_add(1);
        account.largest_gap = account.largest_gap.max(loss.records);
        account.last = loss.next.wrapping_sub(1);
        self.unreleased = true;
    }

    /// Adds what was skipped to the account.
    pub(crate) fn book_skipped(&mut self, skipped: Skipped) {
        self.account.skipped.add(skipped);
        self.unreleased = true;
    }

    /// True once after the producer took the gate away.
    pub(crate) fn newly_evicted(&mut self, areas: Areas<'_>) -> bool {
        let newly = self.is_newly_evicted(areas);
        self.told_eviction |= newly;
        newly
    }

    /// Whether the producer has taken the gate and that is not reported yet.
    pub(crate) fn is_newly_evicted(&self, areas: Areas<'_>) -> bool {
        !self.told_eviction && gate_is(&areas.slots[self.number as usize], SlotState::Evicted)
    }

    pub(crate) fn was_evicted(&self) -> bool {
        self.told_eviction
    }

    /// Leaves at `now_ns`, wall clock. A name keeps its place; a held name also keeps its gate.
    pub(crate) fn leave(&self, areas: Areas<'_>, now_ns: u64) {
        let slot = &areas.slots[self.number as usize];
        if self.named {
            slot.who.left_ns.store(now_ns.max(1), at!(G_FIELDS_WRITE, Relaxed));
        }
        if !(self.held && gate_is(slot, SlotState::Gated)) {
            Self::set_state(slot, if self.named { SlotState::Saved } else { SlotState::Free });
        }
    }
}

/// The largest number of a stretch: a follower names it together with the number of the slot.
pub(super) const STRETCH_MOST: u64 = u64::MAX >> 10;

/// Begins another stretch.
fn raise_stretch(slot: &Slot) {
    let stretch = slot.gate.stretch.load(at!(G_FIELDS, Relaxed));
    // [R5] orders it before the next cursor; [F1] is the other side.
    let next = (stretch.wrapping_add(1) & STRETCH_MOST).max(1);
    slot.gate.stretch.store(next, at!(G_FIELDS_WRITE, Relaxed));
}

/// Between the mark that a slot has no place and the words of its name.
fn before_a_name_changes() {
    // [G6] Release. Pairs with [G6'].
    // Orders: the mark of a slot without an owner before every word of the name.
    // Without it: the beginning of a name that is being written, or the rest of one that is being forgotten, is taken
    // for another name that is kept here.
    fence_at!(G6_FENCE, Release);
}

/// Frees the slot of a name whose consumer is away. The caller holds its lock.
pub(crate) fn forget(slot: &Slot) {
    // In this order, so that a process killed here leaves either the name with its place, or a slot that any consumer
    // may take; never part of a name that cannot be found, nor a gate without a place.
    OwnSlot::set_state(slot, SlotState::Attaching);
    slot.gate.cursor.store(CURSOR_NONE, at!(G_FIELDS_WRITE, Relaxed));
    before_a_name_changes();
    for word in &slot.who.name {
        word.store(0, at!(G_FIELDS_WRITE, Relaxed));
    }
    OwnSlot::set_state(slot, SlotState::Free);
}
