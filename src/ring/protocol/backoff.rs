//! Backoff: a reader that keeps up with the producer makes the cursor line and a data line move between the two cores
//! for every record. If it waits briefly before it polls again, it finds several records at once, and does not
//! disturb the producer's cache lines meanwhile. That helps only in a continuous stream. A reader that answers each
//! record would wait for nothing, and one whose records come at fixed times would only get them later.
//!
//! Which case applies, and how long a wait helps on this machine, can only be found by trying. So from time to time a
//! reader makes an experiment: it measures some drains with the current wait, then some with a longer or shorter one,
//! and keeps the new wait if it yields more records a second. The number of records per poll is no measure: even in a
//! full stream, most polls of a reader that keeps up find one record or none. The measure counts only records that
//! the reader received, not those overwritten before: a wait at which the producer is fastest is useless to a reader
//! that loses most of the records.
//!
//! All of this is private to the reader: no shared word changes, and no poll is omitted, only delayed.

use crate::atomics::spin;
use crate::ring::protocol::Place;

/// Drains in a measurement.
const WINDOW: u32 = 64;
/// Drains between two experiments: at first, and after many failures.
const SOON: u32 = 64;
const LATE: u32 = 8192;
/// Pauses before a poll: the least that is tried, and the most.
const FIRST: u32 = 8;
const MOST: u32 = 128;
/// This many consecutive polls after a wait that find at most one record mean that there is no stream.
const FAILURES: u32 = 4;

/// A reader's backoff.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Up to where the reader had read at its last poll.
    looked: Place,
    /// Pauses before a poll: the current number, and the best one found.
    pauses: u32,
    best: u32,
    phase: Phase,
    /// Drains until the phase ends.
    left: u32,
    /// From the end of this experiment to the next.
    distance: u32,
    /// Whether a longer wait is tried next, or a shorter one.
    longer: bool,
    /// The wait to try while none is known to help. Several lengths are tried in turn, since a wait shorter than the
    /// cost of a poll to the producer shows no effect.
    first: u32,
    failures: u32,
    /// Drains of several records since the last experiment.
    several: u32,
    /// Where and when the measurement began, and the rate measured with the best wait.
    began: (u64, u64),
    usual: Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No experiment.
    Rest,
    /// The best wait is measured.
    Usual,
    /// Another wait is measured.
    Trial,
}

/// Records, and the ns they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rate {
    records: u64,
    ns: u64,
}

impl Rate {
    /// Whether it is more than `percent` percent of the other.
    fn exceeds(self, percent: u64, other: Self) -> bool {
        let [more, less] = [(self.records, other.ns), (other.records, self.ns)]
            .map(|(records, ns)| u128::from(records) * u128::from(ns));
        more * 100 > less * u128::from(percent)
    }
}

impl Backoff {
    pub(crate) fn new(next: Place) -> Self {
        Self {
            looked: next,
            pauses: 0,
            best: 0,
            phase: Phase::Rest,
            left: SOON,
            distance: SOON,
            longer: true,
            first: FIRST,
            failures: 0,
            several: 0,
            began: (0, 0),
            usual: Rate::default(),
        }
    }

    /// Never waits from here on. Measurements compare with that.
    pub(crate) fn turn_off(&mut self) {
        (self.pauses, self.best) = (0, 0);
        // The short path only counts down to the next experiment: after four billion polls that found records.
        self.left = u32::MAX;
    }

    /// Call before a poll, by a reader that has read everything up to `next`.
    #[inline(always)]
    pub(crate) fn before_look(&mut self, next: Place, now_ns: fn() -> u64) {
        // No wait after a poll that found nothing. The models have no time in which a record could arrive.
        if cfg!(loom) || next.position == self.looked.position {
            return;
        }
        // The short path if there is no wait and no measurement to end.
        if self.pauses == 0 && self.left > 1 {
            let several = self.received(next) > 1;
            self.looked = next;
            self.several += u32::from(several);
            self.left -= 1;
            return;
        }
        self.drained(next, now_ns);
        for _ in 0..self.pauses {
            spin();
        }
    }

    /// `records` were overwritten unread. The next drain begins behind them, and they do not count.
    pub(crate) fn lost(&mut self, records: u64) {
        self.looked.sequence = self.looked.sequence.wrapping_add(records);
        self.began.0 = self.began.0.wrapping_add(records);
    }

    /// Records received since the last poll, by a reader that has read everything up to `next`.
    #[inline(always)]
    pub(crate) fn received(&self, next: Place) -> u64 {
        next.sequence.wrapping_sub(self.looked.sequence)
    }

    fn drained(&mut self, next: Place, now_ns: impl FnOnce() -> u64) {
        let records = self.received(next);
        self.looked = next;
        if records > 1 {
            self.failures = 0;
            self.several += 1;
        } else {
            self.failures += 1;
        }
        if self.pauses > 0 && self.failures >= FAILURES {
            // The wait brought nothing.
            self.best = 0;
            return self.rest(false);
        }
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        let now = now_ns();
        let rate = Rate {
            records: next.sequence.wrapping_sub(self.began.0),
            ns: now.saturating_sub(self.began.1).max(1),
        };
        self.began = (next.sequence, now);
        self.left = WINDOW;
        match self.phase {
            Phase::Rest => self.phase = Phase::Usual,
            Phase::Usual => {
                self.usual = rate;
                self.phase = Phase::Trial;
                self.failures = 0;
                self.pauses = match (self.best, self.longer) {
                    (0, _) => self.first,
                    (best, true) => (4 * best).min(MOST),
                    (best, false) => best / 2,
                };
            }
            Phase::Trial => {
                // A longer wait must be clearly better; a shorter one may be slightly worse.
                let better = rate.exceeds(if self.longer { 108 } else { 98 }, self.usual);
                if better {
                    self.best = if self.pauses < FIRST { 0 } else { self.pauses };
                }
                self.rest(better);
            }
        }
    }

    /// Ends an experiment.
    fn rest(&mut self, better: bool) {
        self.pauses = self.best;
        self.phase = Phase::Rest;
        // Continue in the direction that helped; otherwise reverse it.
        self.longer = self.best == 0 || (self.longer == better && self.best < MOST);
        // In a stream, even a reader that keeps up finds several records at times. One that never does probably
        // answers each record, and soon stops waiting.
        let streams = self.several >= self.distance / 32;
        if self.best == 0 {
            self.first = if streams && self.first < MOST { 4 * self.first } else { FIRST };
        }
        self.several = 0;
        self.distance = if better { SOON } else { (2 * self.distance).min(LATE) };
        self.left = self.distance;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const START: Place = Place { position: u64::MAX - 7, sequence: u64::MAX, bytes: 0 };
    /// The cost of a pause and of a poll, in ns.
    const PAUSE: u64 = 20;
    const LOOK: u64 = 60;

    /// A reader for which `world` gives, from its pauses, the time and the records of each drain.
    struct Reader {
        backoff: Backoff,
        now: u64,
        waited: u64,
        records: u64,
    }

    impl Reader {
        fn new() -> Self {
            Self { backoff: Backoff::new(START), now: 1, waited: 0, records: 0 }
        }

        fn drain(&mut self, times: u32, world: impl Fn(u64) -> u64) {
            self.drain_ring(times, u64::MAX, world);
        }

        /// The same, on a ring that holds `holds` records: the producer overwrites earlier ones.
        fn drain_ring(&mut self, times: u32, holds: u64, world: impl Fn(u64) -> u64) {
            for _ in 0..times {
                self.waited += u64::from(self.backoff.pauses > 0);
                let mut time = LOOK + PAUSE * u64::from(self.backoff.pauses);
                // A reader that finds nothing polls again.
                while world(time) == 0 {
                    time += LOOK;
                }
                let sent = world(time);
                // A lapped reader continues half a ring further.
                let records = if sent > holds { holds / 2 } else { sent };
                self.backoff.lost(sent - records);
                self.records += records;
                self.now += time;
                let next = (0..records).fold(self.backoff.looked, |place, _| place.past_record(64));
                let now = self.now;
                self.backoff.drained(next, || now);
            }
        }
    }

    /// A producer that needs 10 ns for a record, and loses `stall` ns to each poll.
    fn stream(stall: u64) -> impl Fn(u64) -> u64 {
        move |time| time.saturating_sub(stall) / 10
    }

    #[test]
    fn a_stream_is_waited_for_as_long_as_it_pays() {
        for (stall, least, most) in [(50, 16, MOST), (400, 64, MOST)] {
            let mut reader = Reader::new();
            reader.drain(20_000, stream(stall));
            let best = reader.backoff.best;
            assert!((least..=most).contains(&best), "{best} pauses where a look costs {stall} ns");
        }
    }

    #[test]
    fn a_wait_that_no_longer_pays_is_given_up() {
        let mut reader = Reader::new();
        reader.drain(20_000, stream(400));
        reader.drain(100_000, stream(0));
        assert!(reader.backoff.best < FIRST, "{} pauses for nothing", reader.backoff.best);
    }

    /// However much faster an undisturbed producer is, overwritten records do not count.
    #[test]
    fn a_wait_that_loses_records_does_not_pay() {
        let received = |holds| {
            let mut reader = Reader::new();
            reader.drain_ring(200_000, holds, stream(50));
            (reader.backoff.best, reader.records as f64 / reader.now as f64)
        };
        // The producer sends 40 records in 450 ns: 16 pauses are few enough, 32 too many.
        let (best, rate) = received(40);
        assert!((FIRST..=16).contains(&best), "{best} pauses on a ring of 40 records");
        let (_, most) = received(u64::MAX);
        assert!(rate > most / 2.0, "{rate} records a ns, and {most} where none are lost");
    }

    #[test]
    fn who_answers_stops_waiting_at_once() {
        let mut reader = Reader::new();
        reader.drain(20_000, stream(400));
        reader.drain(FAILURES, |_| 1);
        assert_eq!(reader.backoff.pauses, 0);
    }

    #[test]
    fn whoever_turned_it_off_does_not_wait() {
        let mut reader = Reader::new();
        reader.drain(20_000, stream(400));
        reader.backoff.turn_off();
        let waited = reader.waited;
        reader.drain(1_000_000, stream(400));
        assert_eq!(reader.waited, waited);
    }

    #[test]
    fn a_ping_pong_is_tried_ever_more_rarely() {
        let mut reader = Reader::new();
        reader.drain(1_000_000, |_| 1);
        assert_eq!(reader.backoff.distance, LATE);
        let most = u64::from(FAILURES * (1_000_000 / LATE + 9));
        assert!(reader.waited <= most, "waited {} times", reader.waited);
    }

    #[test]
    fn records_that_come_by_the_clock_are_not_waited_for() {
        let mut reader = Reader::new();
        // Four records per poll: the rate is the same, however long the wait.
        reader.drain(1_000_000, |time| time / 15);
        assert_eq!(reader.backoff.best, 0);
        let most = u64::from(WINDOW * (1_000_000 / LATE + 9));
        assert!(reader.waited <= most, "waited {} times", reader.waited);
    }
}
