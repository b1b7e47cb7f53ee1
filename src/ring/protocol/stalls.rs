//! Stalls: how long each consumer holds the producer up, and how the producer takes the gates of those that are dead
//! or too slow.
//!
//! A consumer with a budget has that much time in each lap: while the producer publishes one capacity of records, all
//! the holds by this consumer may add up to the budget. The first hold after that begins a new lap, with nothing
//! spent. So a consumer that releases a record now and then cannot hold the producer up without end, and one that is
//! merely slow, but receives a ring of records in less than its budget, keeps its gate.

use crate::atomics::at;
use crate::ring::geometry::Areas;
use crate::ring::layout::{Slot, SlotState};
use crate::ring::protocol::after;
use crate::ring::protocol::gate::{HOLD_FOREVER, OpenGate, gated_at, has_name, resting_state, take_gate};
use crate::wait::clock;

/// The producer's records of the consumers that hold it up, or have done so.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    stalls: Vec<Stall>,
    probed_ns: u64,
}

/// The record of one slot. Times are ns on the producer's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
struct Stall {
    /// The slot's state word. Another generation means another consumer.
    state: u64,
    /// When it was first seen to block, in this hold; 0: it does not block.
    since: u64,
    /// When it was last seen to block, and where its cursor was.
    seen: u64,
    cursor: u64,
    /// How long its earlier holds in this lap took.
    spent: u64,
    /// The position where the lap began.
    lap: u64,
    /// When its consumer was first seen to be away; 0: it is not away.
    away: u64,
    /// On a sealed ring: it has used up its budget for this lap, and gates nothing until the lap is over.
    exhausted: bool,
    /// On a sealed ring: its lock is free, and it gates nothing while the producer waits.
    dead: bool,
}

impl Stall {
    /// Ends the hold at `until`.
    fn end(&mut self, slot: &Slot, until: u64) {
        if self.since != 0 {
            self.spent = self.spent.saturating_add(until.saturating_sub(self.since));
            self.since = 0;
        }
        self.be_back(slot);
    }

    /// Notes that its consumer is away, from `now`.
    fn be_away(&mut self, slot: &Slot, now: u64) {
        if self.away == 0 {
            self.away = now;
            slot.gate.held_ns.store(clock::wall_ns(), at!(C_WRITE, Relaxed));
        }
    }

    /// Ends the count of its hold while away.
    fn be_back(&mut self, slot: &Slot) {
        if self.away != 0 {
            self.away = 0;
            slot.gate.held_ns.store(0, at!(C_WRITE, Relaxed));
        }
    }

    /// The slot has another generation. The time spent was its last owner's. But on a sealed ring any consumer can
    /// write generations, so there the time spent stays with the slot.
    fn change_hands(&mut self, areas: Areas<'_>, slot: &Slot, state: u64, published: u64) {
        self.be_back(slot);
        if areas.geometry.sealed {
            self.state = state;
        } else {
            *self = Self { state, lap: published, ..Self::default() };
        }
    }
}

/// The result of handling the slots that block a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relief {
    pub(crate) evicted: u64,
    pub(crate) reclaimed: u64,
    /// Fewer slots block than before.
    pub(crate) again: bool,
    /// Of those that still block, the one furthest back.
    pub(crate) blocking: Option<Blocking>,
}

/// The slot that holds the producer up, and since when, on its monotonic clock, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocking {
    pub(crate) slot: u32,
    pub(crate) since: u64,
}

/// The refused claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) published: u64,
    /// The claim needs everything before this to be writable.
    pub(crate) end: u64,
    /// Now, ns on the monotonic clock.
    pub(crate) now: u64,
    /// The producer has waited since its last refused claim, and did nothing else.
    pub(crate) waited: bool,
}

/// The time between two checks of the locks of blocking consumers, ns.
const PROBE_EVERY_NS: u64 = 1_000_000;

impl Stalls {
    /// A claim succeeded, so no consumer blocks any more. `waited`: now, if the producer waited until now. Otherwise
    /// each hold ends when it was last seen.
    pub(crate) fn lift(&mut self, areas: Areas<'_>, waited: Option<u64>) {
        for (stall, slot) in self.stalls.iter_mut().zip(areas.slots) {
            stall.end(slot, waited.unwrap_or(stall.seen));
        }
    }

    /// A new claim begins: a slot whose consumer was dead may have a new one by now.
    pub(crate) fn begin(&mut self) {
        for stall in &mut self.stalls {
            stall.dead = false;
        }
    }

    /// Whether a slot gates nothing, whatever its words say. On sealed rings only.
    pub(crate) fn disregards(&self, areas: Areas<'_>, number: u32, published: u64) -> bool {
        areas.geometry.sealed
            && self.stalls.get(number as usize).is_some_and(|stall| {
                stall.dead || (stall.exhausted && published.wrapping_sub(stall.lap) < areas.geometry.capacity)
            })
    }

    /// `Producer::evict` was called for the slot: on a sealed ring its gate cannot take effect again in this lap.
    pub(crate) fn exhaust(&mut self, areas: Areas<'_>, number: u32, published: u64) {
        self.stalls.resize(areas.slots.len(), Stall::default());
        if let Some(stall) = self.stalls.get_mut(number as usize) {
            (stall.exhausted, stall.lap, stall.since) = (true, published, 0);
        }
    }

    /// Since when a slot blocks, if it did so at the last refused claim.
    pub(crate) fn since(&self, number: u32) -> Option<u64> {
        self.stalls.get(number as usize).map(|stall| stall.since).filter(|since| *since != 0)
    }

    /// Handles each consumer that blocks the claim: takes the gates of those over their budget, and of dead ones that
    /// are not, or no longer, held.
    pub(crate) fn relieve(
        &mut self,
        areas: Areas<'_>,
        wanted: Wanted,
        alive: impl Fn(u32) -> bool,
    ) -> Relief {
        let Wanted { published, end, waited, .. } = wanted;
        let now = wanted.now.max(1);
        let sealed = areas.geometry.sealed;
        self.stalls.resize(areas.slots.len(), Stall::default());
        let probe = cfg!(loom) || now.saturating_sub(self.probed_ns) >= PROBE_EVERY_NS;
        if probe {
            self.probed_ns = now;
        }
        let mut relief = Relief::default();
        let mut furthest = published;
        for (number, slot) in (0..).zip(areas.slots) {
            let disregarded = self.disregards(areas, number, published);
            let Some(stall) = self.stalls.get_mut(number as usize) else { continue };
            let gate = gated_at(slot).filter(|gate| gate.blocks(areas, end) && !disregarded);
            // On a sealed ring several consumers may take turns, each seen only once. So there the time since then
            // counts as well.
            let until = match (sealed, waited) {
                (false, _) => stall.seen,
                (true, false) => now.min(stall.seen.saturating_add(PROBE_EVERY_NS)),
                (true, true) => now,
            };
            let Some(OpenGate { state, cursor }) = gate else {
                stall.end(slot, until);
                continue;
            };
            if stall.state != state {
                stall.change_hands(areas, slot, state, published);
            }
            // It released something, and the producer did not wait for more until now.
            if stall.since != 0 && stall.cursor != cursor && !waited {
                stall.end(slot, until);
            }
            if stall.since == 0 {
                stall.since = now;
                if published.wrapping_sub(stall.lap) >= areas.geometry.capacity {
                    (stall.lap, stall.spent, stall.exhausted) = (published, 0, false);
                }
            }
            (stall.seen, stall.cursor) = (now, cursor);
            let held_up = stall.spent.saturating_add(now.saturating_sub(stall.since));
            let overdue = budget_ns(areas, slot).is_some_and(|budget| held_up >= budget);
            let is_dead = (probe || overdue) && !alive(number);
            if is_dead {
                stall.be_away(slot, now);
            }
            let hold_ns = slot.gate.hold_ns.load(at!(G_FIELDS, Relaxed));
            let runs = hold_ns == HOLD_FOREVER || (hold_ns > 0 && now.saturating_sub(stall.away) < hold_ns);
            // Without a name no consumer could resume it, and it could not be forgotten.
            let held = runs && has_name(areas, slot);
            if sealed {
                (stall.dead, stall.exhausted) = (is_dead, overdue);
            }
            let next = if is_dead { resting_state(areas, slot) } else { SlotState::Evicted };
            if (overdue || (is_dead && !held)) && take_gate(slot, state, next) {
                stall.be_back(slot);
                relief.evicted += u64::from(!is_dead);
                relief.reclaimed += u64::from(is_dead);
                relief.again = true;
            } else if sealed && (is_dead || overdue) {
                relief.again = true;
            } else if relief.blocking.is_none() || after(furthest, cursor) {
                furthest = cursor;
                relief.blocking = Some(Blocking { slot: number, since: stall.since });
            }
        }
        relief
    }
}

/// A consumer's budget, ns. `None`: without limit, and it may not be evicted while it lives.
pub(crate) fn budget_ns(areas: Areas<'_>, slot: &Slot) -> Option<u64> {
    let own = slot.gate.budget_ns.load(at!(G_FIELDS, Relaxed));
    [own, areas.geometry.hard_limit_ns].into_iter().filter(|limit| *limit > 0).min()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ring::Region;
    use crate::ring::layout::NAME_BYTES;
    use crate::ring::options::Options;
    use crate::ring::protocol::Place;
    use crate::ring::protocol::own_slot::{OwnSlot, Policy};

    const CAPACITY: u64 = 4096;
    const BUDGET: u64 = 100;
    const EVICTED: (u64, u64) = (1, 0);
    const NOBODY: (u64, u64) = (0, 0);

    struct Scene {
        region: Region,
        stalls: Stalls,
    }

    impl Scene {
        /// A consumer with a budget whose cursor is at 0, on a ring that is full.
        fn new() -> Self {
            let geometry = Options::new().capacity(CAPACITY).slots(2).geometry().unwrap();
            let scene = Self { region: Region::heap(geometry).unwrap(), stalls: Stalls::default() };
            scene.sit(0);
            scene
        }

        fn sit(&self, position: u64) {
            let name = [0; NAME_BYTES];
            let policy = Policy {
                gated: true,
                budget_ns: BUDGET,
                hold_ns: 0,
                name,
                group: None,
                after: 0,
                pid: 1,
                now_ns: 1,
            };
            let mut own_slot = OwnSlot::take(self.region.areas(), 0, &policy);
            own_slot.store_cursor(self.region.areas(), Place { position, ..Place::default() });
            own_slot.open(self.region.areas(), true);
        }

        /// A refused claim, at a time, of the 8 bytes behind `published`.
        fn refused(&mut self, published: u64, now: u64) -> (u64, u64) {
            let wanted = Wanted { published, end: published + 8, now, waited: false };
            let relief = self.stalls.relieve(self.region.areas(), wanted, |_| true);
            (relief.evicted, relief.reclaimed)
        }

        fn lift(&mut self, waited: Option<u64>) {
            self.stalls.lift(self.region.areas(), waited);
        }
    }

    #[test]
    fn a_hold_in_one_piece_may_last_the_budget() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 1099), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 1100), EVICTED);
    }

    #[test]
    fn holds_of_one_lap_add_up() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        scene.lift(Some(1060));
        assert_eq!(scene.refused(CAPACITY, 2000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2039), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2040), EVICTED);
    }

    #[test]
    fn a_lap_later_nothing_is_spent() {
        for (published, expected) in [(2 * CAPACITY - 8, EVICTED), (2 * CAPACITY, NOBODY)] {
            let mut scene = Scene::new();
            assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
            scene.lift(Some(1060));
            assert_eq!(scene.refused(published, 2000), NOBODY);
            assert_eq!(scene.refused(published, 2060), expected, "at {published}");
        }
    }

    #[test]
    fn without_waiting_only_what_was_seen_counts() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 1010), NOBODY);
        // The producer did something else until 1900, and then found room at once.
        scene.lift(None);
        assert_eq!(scene.refused(CAPACITY, 2000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2089), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2090), EVICTED);
    }

    #[test]
    fn the_next_owner_of_a_slot_has_spent_nothing() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        scene.lift(Some(1090));
        scene.sit(0);
        assert_eq!(scene.refused(CAPACITY, 2000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2099), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2100), EVICTED);
    }
}
