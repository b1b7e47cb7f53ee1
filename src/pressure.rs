//! Pressure: what the producer knows of the consumers that hold it up, and how it gets past those that are dead or
//! too slow.
//!
//! A consumer with a deadline has that much time in each lap: while the producer publishes one capacity of records,
//! all the times that this consumer holds it up may come to the deadline together, in one piece or in many. The next
//! hold after that begins a new lap, with nothing spent. So a consumer that lets a record through now and then
//! cannot hold the producer up for ever, and one that is merely slow, but takes a ring of records in less than its
//! deadline, keeps its gate.

use crate::gate::{HOLD_FOREVER, gated_at, name, resting_state, take_gate};
use crate::layout::{Areas, NAME_BYTES, Slot, SlotState};
use crate::ring::after;
use crate::sync::at;

/// What the producer knows of the consumers that hold it up, and have held it up.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    holds: Vec<Hold>,
    probed_ns: u64,
}

/// One slot's part in it. Times are ns on the producer's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    /// The slot's state word: with another generation it is another consumer's.
    state: u64,
    /// When it was first seen in the way, this time; 0: it is not.
    since: u64,
    /// When it was last seen in the way.
    seen: u64,
    /// How long it was in the way before, in this lap.
    spent: u64,
    /// Where the lap began.
    lap: u64,
    /// When its consumer was first seen to be away; 0: it is not.
    away: u64,
}

impl Hold {
    /// It is no longer in the way; `until`: what counts of the time since it was last seen there.
    fn end(&mut self, until: u64) {
        if self.since != 0 {
            self.spent += until.saturating_sub(self.since);
            self.since = 0;
        }
        self.away = 0;
    }
}

/// What became of the slots in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relief {
    pub(crate) evicted: u64,
    pub(crate) reclaimed: u64,
}

/// How often the locks of blocking consumers are looked at, ns.
const PROBE_EVERY_NS: u64 = 1_000_000;

impl Pressure {
    /// A claim succeeded: nobody is in the way any more. `waited`: now, if the producer was waiting until now;
    /// otherwise a consumer was in the way for as long as it was seen there.
    pub(crate) fn lift(&mut self, waited: Option<u64>) {
        for hold in &mut self.holds {
            hold.end(waited.unwrap_or(hold.seen));
        }
    }

    /// Looks at each consumer that keeps `end` from being written, at time `now`: takes the gate from those over
    /// their deadline, and from the dead that are not, or no longer, held.
    pub(crate) fn relieve(
        &mut self,
        areas: Areas<'_>,
        published: u64,
        end: u64,
        now: u64,
        alive: impl Fn(u32) -> bool,
    ) -> Relief {
        let now = now.max(1);
        let capacity = areas.geometry.capacity;
        self.holds.resize(areas.slots.len(), Hold::default());
        let probe = cfg!(loom) || now.saturating_sub(self.probed_ns) >= PROBE_EVERY_NS;
        if probe {
            self.probed_ns = now;
        }
        let mut relief = Relief::default();
        for ((number, slot), hold) in (0..).zip(areas.slots).zip(&mut self.holds) {
            if !gated_at(slot).is_some_and(|cursor| after(end, cursor.wrapping_add(capacity))) {
                hold.end(hold.seen);
                continue;
            }
            let state = slot.gate.state.load(at!(G_STATE, Relaxed));
            if hold.state != state {
                *hold = Hold { state, lap: published, ..Hold::default() };
            }
            if hold.since == 0 {
                hold.since = now;
                if published.wrapping_sub(hold.lap) >= capacity {
                    (hold.lap, hold.spent) = (published, 0);
                }
            }
            hold.seen = now;
            let held_up = hold.spent.saturating_add(now.saturating_sub(hold.since));
            let overdue = patience_ns(areas, slot).is_some_and(|patience| held_up >= patience);
            if (probe || overdue) && !alive(number) {
                if hold.away == 0 {
                    hold.away = now;
                }
                let hold_ns = slot.gate.hold_ns.load(at!(G_FIELDS, Relaxed));
                let runs = hold_ns == HOLD_FOREVER || (hold_ns > 0 && now - hold.away < hold_ns);
                // Without a name nobody could come back to it, nor forget it.
                let held = runs && name(slot) != [0; NAME_BYTES];
                if (!held || overdue) && take_gate(slot, state, resting_state(slot)) {
                    relief.reclaimed += 1;
                }
            } else if overdue && take_gate(slot, state, SlotState::Evicted) {
                relief.evicted += 1;
            }
        }
        relief
    }
}

/// How long a consumer may hold the producer up, ns; `None`: for ever.
fn patience_ns(areas: Areas<'_>, slot: &Slot) -> Option<u64> {
    let own = slot.gate.deadline_ns.load(at!(G_FIELDS, Relaxed));
    [own, areas.geometry.hard_limit_ns].into_iter().filter(|limit| *limit > 0).min()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::gate::{Seat, Terms};
    use crate::options::Options;
    use crate::region::Region;
    use crate::ring::Place;

    const CAPACITY: u64 = 4096;
    const DEADLINE: u64 = 100;
    const EVICTED: Relief = Relief { evicted: 1, reclaimed: 0 };
    const NOBODY: Relief = Relief { evicted: 0, reclaimed: 0 };

    struct Scene {
        region: Region,
        pressure: Pressure,
    }

    impl Scene {
        /// A consumer with a deadline whose cursor is at 0, on a ring that is full.
        fn new() -> Self {
            let geometry = Options::new().capacity(CAPACITY).slots(2).geometry().unwrap();
            let scene = Self { region: Region::heap(geometry).unwrap(), pressure: Pressure::default() };
            scene.sit(0);
            scene
        }

        fn sit(&self, position: u64) {
            let name = [0; NAME_BYTES];
            let terms = Terms { gated: true, deadline_ns: DEADLINE, hold_ns: 0, name, pid: 1, now_ns: 1 };
            let mut seat = Seat::take(self.region.areas(), 0, &terms);
            seat.store_cursor(self.region.areas(), Place { position, ..Place::default() });
            seat.open(self.region.areas(), true);
        }

        /// A refused claim, at a time, of the 8 bytes behind `published`.
        fn refused(&mut self, published: u64, now: u64) -> Relief {
            self.pressure.relieve(self.region.areas(), published, published + 8, now, |_| true)
        }
    }

    #[test]
    fn a_hold_in_one_piece_may_last_the_deadline() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 1099), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 1100), EVICTED);
    }

    #[test]
    fn holds_of_one_lap_add_up() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        scene.pressure.lift(Some(1060));
        assert_eq!(scene.refused(CAPACITY, 2000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2039), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2040), EVICTED);
    }

    #[test]
    fn a_lap_later_nothing_is_spent() {
        for (published, expected) in [(2 * CAPACITY - 8, EVICTED), (2 * CAPACITY, NOBODY)] {
            let mut scene = Scene::new();
            assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
            scene.pressure.lift(Some(1060));
            assert_eq!(scene.refused(published, 2000), NOBODY);
            assert_eq!(scene.refused(published, 2060), expected, "at {published}");
        }
    }

    #[test]
    fn without_waiting_only_what_was_seen_counts() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 1010), NOBODY);
        // The producer was busy elsewhere until 1900, and then found room at once.
        scene.pressure.lift(None);
        assert_eq!(scene.refused(CAPACITY, 2000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2089), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2090), EVICTED);
    }

    #[test]
    fn the_next_owner_of_a_slot_has_spent_nothing() {
        let mut scene = Scene::new();
        assert_eq!(scene.refused(CAPACITY, 1000), NOBODY);
        scene.pressure.lift(Some(1090));
        scene.sit(0);
        assert_eq!(scene.refused(CAPACITY, 2000), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2099), NOBODY);
        assert_eq!(scene.refused(CAPACITY, 2100), EVICTED);
    }
}
