//! Backoff: a reader at the producer's heels makes both hand the cursor line and a data line back and forth for
//! every record. One that waits a moment before it looks again finds a handful of records at once, and leaves the
//! producer's lines alone meanwhile. That pays while records stream, and only then: a reader that answers what it
//! reads would wait for nothing, and one whose records come by the clock would have them later and no more of them.
//!
//! Which of these it is, and how long a wait pays on this machine, cannot be told without trying. So a reader makes an
//! experiment now and then: it takes the time of some drains, as it is and with a longer or a shorter wait, and keeps
//! the wait if more records a second come of it. At the producer's heels most looks find one record or none even in a
//! full stream, which is why counting what a look finds is no measure. What is counted are the records that the reader
//! received: those overwritten before it came to them went by, and a wait at which the producer is fastest is no good to
//! a reader that loses most of what it sends.
//!
//! All of this is private to the reader: no shared word changes, and no look is left out, only delayed.

use crate::atomics::spin;
use crate::ring::protocol::Place;

/// Drains in a measurement.
const WINDOW: u32 = 64;
/// Drains between two experiments: at first, and once many have failed.
const SOON: u32 = 64;
const LATE: u32 = 8192;
/// Pauses before a look: the least that is tried, and the most.
const FIRST: u32 = 8;
const MOST: u32 = 128;
/// Looks in a row that find one record at most, after a wait: that is no stream.
const FAILURES: u32 = 4;

/// A reader's backoff.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Up to where the reader had read when it looked last.
    looked: Place,
    /// Pauses before a look, now; and those that were found best.
    pauses: u32,
    best: u32,
    phase: Phase,
    /// Drains until the phase ends.
    left: u32,
    /// From the end of this experiment to the next.
    distance: u32,
    /// Is a longer wait tried next, or a shorter one?
    longer: bool,
    /// What is tried where no wait is known to pay: of several lengths in turn, since one that is shorter than what a
    /// look costs the producer shows nothing.
    first: u32,
    failures: u32,
    /// Drains of several records since the last experiment.
    several: u32,
    /// Where and when the measurement began, and what the one with the best wait yielded.
    began: (u64, u64),
    usual: Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No experiment.
    Rest,
    /// The best wait is measured.
    Usual,
    /// Another is.
    Trial,
}

/// Records in so many ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rate {
    records: u64,
    ns: u64,
}

impl Rate {
    /// Is it more than so many percent of the other?
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

    /// Before a look by a reader that has read everything up to `next`.
    #[inline(always)]
    pub(crate) fn before_look(&mut self, next: Place, now_ns: fn() -> u64) {
        // Who polls looks as often as it likes. The models have no time in which something could turn up.
        if cfg!(loom) || next.position == self.looked.position {
            return;
        }
        // The short way of one that is not waiting, and has no measurement to end.
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

    /// So many records were overwritten unread. The next drain begins behind them, and they count for no rate.
    pub(crate) fn lost(&mut self, records: u64) {
        self.looked.sequence = self.looked.sequence.wrapping_add(records);
        self.began.0 = self.began.0.wrapping_add(records);
    }

    /// Records received since the last look, by a reader that has read everything up to `next`.
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
            // What was waited for did not come.
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
                // A longer wait has to bring something; a shorter one may cost next to nothing.
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
        // What paid is tried further; what did not, the other way.
        self.longer = self.best == 0 || (self.longer == better && self.best < MOST);
        // Even at its heels a reader of a stream finds several records now and then; one that never does, and most
        // likely answers what it reads, is not made to wait for long.
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
    /// What a pause takes, and a look, in ns.
    const PAUSE: u64 = 20;
    const LOOK: u64 = 60;

    /// A reader whose drains take as long, and find as many records, as `world` says of its pauses.
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

        /// The same, of a ring that holds so many records: the producer overwrites those before them.
        fn drain_ring(&mut self, times: u32, holds: u64, world: impl Fn(u64) -> u64) {
            for _ in 0..times {
                self.waited += u64::from(self.backoff.pauses > 0);
                let mut time = LOOK + PAUSE * u64::from(self.backoff.pauses);
                // Who finds nothing looks again.
                while world(time) == 0 {
                    time += LOOK;
                }
                let sent = world(time);
                // Half a ring is left to whoever was lapped.
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

    /// A producer that needs 10 ns for a record, and loses `stall` ns to a look.
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

    /// However much faster the producer is while it is let alone: what it overwrites brings nothing.
    #[test]
    fn a_wait_that_loses_records_does_not_pay() {
        let received = |holds| {
            let mut reader = Reader::new();
            reader.drain_ring(200_000, holds, stream(50));
            (reader.backoff.best, reader.records as f64 / reader.now as f64)
        };
        // 40 records go by in 450 ns: 16 pauses are few enough, and 32 too many.
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
        // Four to a look: as many a second, however long it waits.
        reader.drain(1_000_000, |time| time / 15);
        assert_eq!(reader.backoff.best, 0);
        let most = u64::from(WINDOW * (1_000_000 / LATE + 9));
        assert!(reader.waited <= most, "waited {} times", reader.waited);
    }
}
