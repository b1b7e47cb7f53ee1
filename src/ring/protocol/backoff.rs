//! Backoff: a reader that keeps up with the producer makes the cursor line and a data line move between the two cores
//! for every record or two. Then both sides run at the pace of these transfers: a stream of short records that the
//! producer could send in 8 ns each takes 20 to 40. If the reader waits briefly before it polls again, it finds many
//! records at once, and does not disturb the producer's cache lines meanwhile. That helps only in a continuous stream. A
//! reader that answers each record would wait for nothing, one whose records come at fixed times would only get them
//! later, and so would one whose records come in bursts.
//!
//! So the waits end when the producer is idle: some hundred polls in a row find nothing. They also end when the reader sleeps: it
//! makes too few polls to see that. What has gone on for `STEADY`
//! drains since is a stream. Whether waits help with it is found by trying: from time to time a reader makes a comparison,
//! some drains without waits, then some with them. Waits are kept if they yield more records a second, and dropped after
//! two in a row that find one record or none: then the producer sends no stream, or waits for readers that this one may
//! keep from the CPU.
//! The comparison counts only records that the reader received, not those overwritten before.
//!
//! What a reader waits between two polls that find nothing needs no trial: that follows how long lines take
//! (`transfer.rs`).
//!
//! How long to wait needs none either: until `ENOUGH` bytes are there, or more of long records, which makes the transfers
//! cheap, or a fraction of the ring, so that the wait neither blocks the producer nor loses records. A comparison can be
//! spoilt by an interrupt, so one that speaks against waits is repeated before it counts.
//!
//! All of this is private to the reader: no shared word changes, and no poll is omitted, only delayed.

use crate::ring::protocol::Place;
use crate::ring::protocol::transfer::{Gap, Transfer};

/// Bytes that a wait is to find. With a quarter of it streams are up to a sixth slower; with twice as much some are 5 to 10 % faster,
/// and records come twice as late.
const ENOUGH: u64 = 16_384;
/// Of long records a wait is to find so many, or `ENOUGH_LONG` bytes: a stream of 4 KiB takes four times as long to a reader
/// that is only `ENOUGH` behind. Its records then come 3.5 µs late instead of 2.
const RECORDS: u64 = 32;
const ENOUGH_LONG: u64 = 131_072;
/// At most this fraction of the ring: the cursor is stored as often.
const PART: u64 = 8;
/// Drains in the two halves of a comparison.
const WITHOUT: u32 = 64;
const WITH: u32 = 16;
/// After so many polls in a row that find nothing the producer is idle: 3 to 10 µs, more than most interrupts take.
const IDLE: u32 = 256;
/// How far apart comparisons are: at first, and after the producer was idle or the reader slept; after one that spoke against
/// waits; where records come one by one; where waits have found several but have brought nothing; and with waits. A drain of one record counts 1, and at first
/// 1 more for each `LONG` bytes; one of several counts `SEVERAL`: a stream is then noticed soon, by a reader that has answered
/// record after record for long. One that only answers waits in vain once in thousands of drains, from the first: its slowest
/// in a thousand are not among them.
const STEADY: u32 = 512 * SEVERAL;
const SOON: u32 = 64 * SEVERAL;
const LATE: u32 = 8192;
const VAIN: u32 = 1024 * SEVERAL;
const WAITING: u32 = 1024 * SEVERAL;
const SEVERAL: u32 = 64;
/// Pauses before a poll: in the first comparison, and the least and the most of a wait for `ENOUGH` bytes. The most is what these
/// take in the fastest stream of the shortest records, and some more: with a quarter of it, streams of 64 bytes are slower
/// by a third. A comparison of long records begins with as many as the first for each `LONG` bytes, up to `LONGEST` times, or what
/// the ring has room for: a wait that finds one record is taken for one in vain.
const FIRST: u32 = 32;
const LEAST: u32 = 2;
const MOST: u32 = 512;
const LONG: u64 = 256;
const LONGEST: u64 = 16;
/// This many consecutive polls after a wait that find at most one record mean that there is no stream.
const FAILURES: u32 = 2;
/// This many consecutive comparisons without a gain mean that waits do not help any more.
const DOUBTS: u32 = 3;

/// A reader's backoff.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Up to where the reader had read at its last poll.
    looked: Place,
    /// Turned off: every poll is made at once.
    off: bool,
    transfer: Transfer,
    /// Waits are known to help.
    helps: bool,
    /// Pauses of a wait, whether waits are made or not.
    pauses: u32,
    /// The reader waited before its last poll, and what that poll found is not counted yet.
    has_waited: bool,
    /// Polls since the last one that found something.
    in_vain: u32,
    /// Bytes of the ring that a wait may find at most.
    part: u64,
    phase: Phase,
    /// Drains until the phase ends.
    left: u32,
    /// Drains from the end of a comparison to the next.
    distance: u32,
    failures: u32,
    doubts: u32,
    /// Where and when the measurement began, and the rate measured without waits.
    began: (u64, u64),
    without: Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No comparison.
    Rest,
    /// The rate without waits is measured.
    Without,
    /// The rate with waits is measured.
    With,
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
    /// `capacity`: of the ring, bytes.
    pub(crate) fn new(next: Place, capacity: u64) -> Self {
        Self {
            looked: next,
            off: false,
            transfer: Transfer::default(),
            helps: false,
            pauses: FIRST,
            has_waited: false,
            in_vain: 0,
            part: capacity / PART,
            phase: Phase::Rest,
            left: STEADY,
            distance: STEADY,
            failures: 0,
            doubts: 0,
            began: (0, 0),
            without: Rate::default(),
        }
    }

    /// Whether the next poll is to be timed.
    #[inline(always)]
    pub(crate) fn is_timed(&self) -> bool {
        !self.off && self.transfer.is_due()
    }

    /// A poll that was timed has found something.
    pub(crate) fn line_took(&mut self, ns: u64) {
        self.transfer.took(ns);
    }

    /// What to wait before the next poll, after one that found nothing.
    #[inline(always)]
    pub(crate) fn gap(&self) -> Gap {
        if self.off { Gap::None } else { self.transfer.gap(self.in_vain) }
    }

    /// Never waits from here on. Measurements compare with that.
    pub(crate) fn turn_off(&mut self) {
        self.off = true;
        self.give_up(LATE);
    }

    /// Call before a poll, by a reader that has read everything up to `next`.
    #[inline(always)]
    pub(crate) fn before_look(&mut self, next: Place, now_ns: fn() -> u64) {
        // The models have no time in which a record could arrive.
        if cfg!(loom) {
            return;
        }
        // A poll that found nothing is followed by a single pause at most.
        if next.position == self.looked.position {
            if self.has_waited {
                self.count_wait(0, 0);
            }
            self.found_nothing(1);
            self.gap().wait();
            return;
        }
        // The short path if there is no wait and no measurement to end.
        self.in_vain = 0;
        self.transfer.count();
        let counts = self.counts(next);
        if !self.waits() && self.left > counts {
            self.looked = next;
            self.left -= counts;
            return;
        }
        self.drained(next, now_ns);
        if self.waits() {
            (0..self.pauses).for_each(|_| Gap::Pause.wait());
            self.has_waited = true;
        }
    }

    /// So many polls found nothing.
    #[inline(always)]
    pub(crate) fn found_nothing(&mut self, polls: u32) {
        self.in_vain = self.in_vain.saturating_add(polls);
        if self.in_vain >= IDLE {
            self.idled();
        }
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn helps(&mut self) -> &mut bool {
        &mut self.helps
    }

    /// The producer is idle, or the reader is about to sleep: what comes next is not known to be a stream.
    #[cold]
    #[inline(never)]
    pub(crate) fn idled(&mut self) {
        self.in_vain = 0;
        self.helps = false;
        self.give_up(STEADY);
    }

    /// `records` were overwritten unread, or skipped. The next drain begins behind them, and they do not count.
    pub(crate) fn lost(&mut self, records: u64) {
        self.looked.sequence = self.looked.sequence.wrapping_add(records);
        self.began.0 = self.began.0.wrapping_add(records);
    }

    /// Records received since the last poll, by a reader that has read everything up to `next`.
    #[inline(always)]
    pub(crate) fn received(&self, next: Place) -> u64 {
        next.sequence.wrapping_sub(self.looked.sequence)
    }

    /// What the drain that has just ended counts.
    #[inline(always)]
    fn counts(&self, next: Place) -> u32 {
        if self.phase != Phase::Rest {
            return 1;
        }
        match self.received(next) {
            0 | 1 if self.distance == STEADY => {
                1 + (self.bytes(next) / LONG).min(u64::from(SEVERAL) - 1) as u32
            }
            0 | 1 => 1,
            _ => SEVERAL,
        }
    }

    /// Bytes received since the last poll.
    #[inline(always)]
    fn bytes(&self, next: Place) -> u64 {
        next.position.wrapping_sub(self.looked.position)
    }

    #[inline(always)]
    fn waits(&self) -> bool {
        match self.phase {
            Phase::Rest => self.helps,
            Phase::Without => false,
            Phase::With => true,
        }
    }

    #[inline(never)]
    fn drained(&mut self, next: Place, now_ns: impl FnOnce() -> u64) {
        let (records, counts) = (self.received(next), self.counts(next));
        let bytes = self.bytes(next);
        self.looked = next;
        if self.has_waited && self.count_wait(bytes, records) {
            return;
        }
        self.left = self.left.saturating_sub(counts);
        if self.left > 0 {
            return;
        }
        let now = now_ns();
        let rate = Rate {
            records: next.sequence.wrapping_sub(self.began.0),
            ns: now.saturating_sub(self.began.1).max(1),
        };
        self.began = (next.sequence, now);
        (self.phase, self.left) = match self.phase {
            Phase::Rest => (Phase::Without, WITHOUT),
            Phase::Without => {
                self.without = rate;
                let long = (bytes / records.max(1) / LONG).min(self.part / ENOUGH).min(LONGEST);
                self.pauses = self.pauses.max(FIRST * long as u32);
                (Phase::With, WITH)
            }
            Phase::With => return self.compared(rate),
        };
    }

    /// What the poll after a wait has found. True: the waits are given up.
    #[inline(never)]
    fn count_wait(&mut self, bytes: u64, records: u64) -> bool {
        self.has_waited = false;
        self.fit(bytes, records);
        self.failures = if records > 1 { 0 } else { self.failures + 1 };
        let is_over = self.failures >= FAILURES;
        if is_over {
            self.give_up((2 * self.distance).min(LATE));
        }
        is_over
    }

    /// Fits the wait to what the last one has found.
    fn fit(&mut self, found: u64, records: u64) {
        let enough = (RECORDS * (found / records.max(1))).clamp(ENOUGH, ENOUGH_LONG).min(self.part);
        if found < enough / 4 * 3 || found > enough / 2 * 3 {
            let fitting = u64::from(self.pauses) * enough / found.max(1);
            let (least, most) = (u64::from(self.pauses / 2), u64::from(self.pauses * 2));
            let longest = MOST * (enough / ENOUGH).max(1) as u32;
            self.pauses = (fitting.clamp(least, most) as u32).clamp(LEAST, longest);
        }
    }

    /// The end of a comparison.
    fn compared(&mut self, with: Rate) {
        // A gain has to be clear to begin with waits, and to be gone to end them.
        if with.exceeds(if self.helps { 102 } else { 108 }, self.without) {
            self.helps = true;
            self.doubts = 0;
            return self.rest(WAITING);
        }
        self.doubts += 1;
        match (self.helps, self.doubts < DOUBTS) {
            (true, true) => self.rest(SOON),
            (false, true) => self.rest(self.distance),
            (_, false) => self.give_up(VAIN),
        }
    }

    /// Waits do not help. If they have not helped before either, the next comparison is `distance` away.
    fn give_up(&mut self, distance: u32) {
        let distance = if self.helps { SOON } else { distance };
        self.helps = false;
        self.doubts = 0;
        self.rest(distance);
    }

    fn rest(&mut self, distance: u32) {
        self.phase = Phase::Rest;
        self.has_waited = false;
        self.failures = 0;
        // Turned off: the short path only counts down to the next comparison, after millions of drains.
        self.left = if self.off { u32::MAX } else { distance };
        if !self.helps {
            self.distance = distance;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const START: Place = Place { position: u64::MAX - 7, sequence: u64::MAX, bytes: 0 };
    /// The cost of a pause and of a poll, in ns.
    const PAUSE: u64 = 20;
    const LOOK: u64 = 60;
    /// Bytes of a record in the ring.
    const RECORD: u64 = 72;

    /// A reader for which `world` gives, from the time since its last poll that found something, how many records
    /// there are.
    struct Reader {
        backoff: Backoff,
        len: u32,
        now: u64,
        waited: u64,
        records: u64,
        lost: u64,
        /// How many records the ring holds: the producer overwrites earlier ones.
        holds: u64,
    }

    impl Reader {
        fn new(capacity: u64) -> Self {
            let backoff = Backoff::new(START, capacity);
            Self { backoff, len: 64, now: 1, waited: 0, records: 0, lost: 0, holds: capacity / RECORD }
        }

        fn drain(&mut self, times: u32, world: impl Fn(u64) -> u64) {
            for _ in 0..times {
                let pauses = if self.backoff.waits() { self.backoff.pauses } else { 0 };
                self.waited += u64::from(pauses > 0);
                self.backoff.has_waited = pauses > 0;
                let mut time = LOOK + PAUSE * u64::from(pauses);
                // A reader that finds nothing polls again.
                while world(time) == 0 {
                    if self.backoff.has_waited {
                        self.backoff.count_wait(0, 0);
                    }
                    self.backoff.found_nothing(1);
                    time += LOOK;
                }
                let sent = world(time);
                // A lapped reader continues half a ring further.
                let records = if sent > self.holds { self.holds / 2 } else { sent };
                self.backoff.lost(sent - records);
                self.lost += sent - records;
                self.records += records;
                self.now += time;
                let next = (0..records).fold(self.backoff.looked, |place, _| place.past_record(self.len));
                let now = self.now;
                self.backoff.in_vain = 0;
                self.backoff.drained(next, || now);
            }
        }
    }

    /// A producer that needs `record` ns for a record, and loses `stall` ns to each poll.
    fn stream_of(record: u64, stall: u64) -> impl Fn(u64) -> u64 {
        move |time| time.saturating_sub(stall) / record
    }

    fn stream(stall: u64) -> impl Fn(u64) -> u64 {
        stream_of(10, stall)
    }

    #[test]
    fn a_stream_is_waited_for_until_there_is_enough() {
        for (record, stall) in [(10, 50), (10, 400), (30, 400)] {
            let mut reader = Reader::new(1 << 20);
            reader.drain(40_000, stream_of(record, stall));
            let before = reader.records;
            reader.drain(20_000, stream_of(record, stall));
            assert!(reader.backoff.helps, "no wait where a poll costs {stall} ns");
            let found = (reader.records - before) * RECORD / 20_000;
            assert!((ENOUGH / 2..=ENOUGH * 2).contains(&found), "{found} bytes a drain");
        }
    }

    /// One record is found at a time, and a wait as short as that for short records finds no more.
    #[test]
    fn a_stream_of_long_records_is_soon_waited_for() {
        let mut reader = Reader { len: 4096, ..Reader::new(4 << 20) };
        let slow = 2 * PAUSE * u64::from(FIRST);
        // A reader that is far behind does not hold the producer up.
        let world = |time| if time < 8 * slow { time / slow } else { time / (slow / 4) };
        reader.drain(4_000, world);
        assert!(reader.backoff.helps, "{:?}", reader.backoff);
        let before = reader.records;
        reader.drain(4_000, world);
        let found = (reader.records - before) * 4104 / 4_000;
        assert!((ENOUGH_LONG / 2..=ENOUGH_LONG * 2).contains(&found), "{found} bytes a drain");
    }

    #[test]
    fn a_wait_that_no_longer_pays_is_given_up() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        assert!(reader.backoff.helps);
        reader.drain(20_000, stream(0));
        assert!(!reader.backoff.helps, "{} pauses for nothing", reader.backoff.pauses);
    }

    /// An interrupt in the middle of a comparison makes waits look bad.
    #[test]
    fn one_comparison_without_a_gain_does_not_end_the_waits() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        while reader.backoff.phase != Phase::With {
            reader.drain(1, stream(400));
        }
        reader.now += 10_000_000;
        while reader.backoff.phase == Phase::With {
            reader.drain(1, stream(400));
        }
        assert!(reader.backoff.helps && reader.backoff.doubts == 1, "{:?}", reader.backoff);
        reader.drain(4 * 1024, stream(400));
        assert!(reader.backoff.helps && reader.backoff.doubts == 0, "{:?}", reader.backoff);
    }

    /// A wait as long as on a large ring would let the producer overwrite what is not read yet.
    #[test]
    fn waits_on_a_small_ring_lose_nothing() {
        let mut reader = Reader::new(4096);
        reader.drain(20_000, stream(20));
        let before = reader.lost;
        reader.drain(20_000, stream(20));
        assert_eq!(reader.lost, before, "{:?}", reader.backoff);
    }

    #[test]
    fn who_answers_stops_waiting_at_once() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        reader.drain(WITHOUT + FAILURES, |_| 1);
        assert!(!reader.backoff.waits(), "{:?}", reader.backoff);
    }

    /// A gated producer that waits for other readers, which share this one's CPU: each poll after a wait finds nothing, and
    /// later, when the others have read, there are many records.
    #[test]
    fn waits_that_find_nothing_are_given_up() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        assert!(reader.backoff.helps);
        let waited = reader.waited;
        let until = LOOK * u64::from(IDLE / 2);
        reader.drain(WITHOUT, |time| if time < until { 0 } else { 1000 });
        assert_eq!(reader.waited - waited, u64::from(FAILURES), "{:?}", reader.backoff);
    }

    /// A burst is over before waits could help, and with waits each of its records would come later.
    #[test]
    fn bursts_are_not_waited_for() {
        let mut reader = Reader::new(1 << 20);
        let idle = LOOK * u64::from(IDLE + 1);
        for _ in 0..1000 {
            reader.drain(STEADY / SEVERAL / 2, stream(50));
            reader.drain(1, |time| if time < idle { 0 } else { 2 });
        }
        assert_eq!(reader.waited, 0, "{:?}", reader.backoff);
    }

    #[test]
    fn an_idle_producer_ends_the_waits() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        assert!(reader.backoff.helps);
        reader.backoff.found_nothing(IDLE - 1);
        assert!(reader.backoff.helps, "an interrupt of the producer");
        reader.backoff.found_nothing(1);
        assert!(!reader.backoff.waits(), "{:?}", reader.backoff);
        reader.drain(20_000, stream(400));
        assert!(reader.backoff.helps, "a stream again");
    }

    /// Batches that are published farther apart than the first waits are long: each wait is longer, until it finds one.
    #[test]
    fn waits_that_are_too_short_become_longer() {
        let mut reader = Reader::new(1 << 20);
        let apart = 3 * PAUSE * u64::from(FIRST);
        reader.drain(20_000, |time| time / apart * 64);
        assert!(reader.backoff.pauses > 2 * FIRST, "{:?}", reader.backoff);
    }

    #[test]
    fn a_poll_after_a_wait_tells_what_it_found() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        let next = reader.backoff.looked.past_record(64).past_record(64);
        reader.backoff.before_look(next, || 0);
        assert!(reader.backoff.has_waited);
        for _ in 0..2 {
            reader.backoff.before_look(next, || 0);
            assert!(!reader.backoff.has_waited);
            assert_eq!(reader.backoff.failures, 1, "each wait counts once");
        }
    }

    #[test]
    fn whoever_turned_it_off_does_not_wait() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(20_000, stream(400));
        reader.backoff.turn_off();
        let waited = reader.waited;
        reader.drain(1_000_000, stream(400));
        reader.backoff.found_nothing(IDLE);
        reader.drain(1_000_000, stream(400));
        assert_eq!(reader.waited, waited);
    }

    #[test]
    fn a_ping_pong_is_tried_ever_more_rarely() {
        let mut reader = Reader::new(1 << 20);
        reader.drain(1_000_000, |_| 1);
        assert_eq!(reader.backoff.distance, LATE);
        let most = u64::from(FAILURES * (1_000_000 / LATE + 9));
        assert!(reader.waited <= most, "waited {} times", reader.waited);
    }

    #[test]
    fn records_that_come_by_the_clock_are_not_waited_for() {
        let mut reader = Reader::new(1 << 20);
        // Four records per poll: the rate is the same, however long the wait.
        reader.drain(1_000_000, |time| time / 15);
        assert!(!reader.backoff.helps);
        let most = u64::from(WITH * (1_000_000 / 1024 + 9));
        assert!(reader.waited <= most, "waited {} times", reader.waited);
    }

    #[test]
    fn whoever_turned_it_off_polls_at_once() {
        let mut backoff = Backoff::new(START, 1 << 20);
        assert!(backoff.is_timed() && backoff.gap() == Gap::Moment);
        backoff.line_took(10_000);
        backoff.line_took(10_000);
        assert_eq!(backoff.gap(), Gap::Pause);
        backoff.turn_off();
        assert!(!backoff.is_timed() && backoff.gap() == Gap::None);
    }
}
