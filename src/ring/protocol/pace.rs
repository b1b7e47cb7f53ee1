//! Pace: an inline copy brings a record to a reader that waits for it one transfer of a cache line earlier. Where
//! records follow each other faster than lines travel, nobody waits for any of them, and the copies only fill the
//! processor's store buffer. So the producer takes the time of its sends now and then, and leaves the copies out while
//! there are too many a second for anybody to be waiting.
//!
//! Private to the producer: an inline block that is left alone is what readers find beside every longer record too.

use crate::ring::protocol::after;

/// Sends between two looks at the clock, which cost about 30 ns each. While there is no rush, so many that even of the
/// slowest one in a hundred few have one in them; in a rush, the most that go without a copy after it is over.
const CALM: u64 = 512;
const RUSH: u64 = 64;
/// Less than this between two sends, on average, is a rush. Two cores that share a cache need more for a round trip of
/// one line, so whoever sends faster is not waiting for answers.
const RUSH_NS: u64 = 100;

/// How fast records are sent, one by one, and so whether they are copied.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Are records to be copied?
    copies: bool,
    /// The sequence at which to look at the clock, and the one at the last look, with its time.
    due: u64,
    began: u64,
    began_ns: u64,
}

impl Pace {
    /// The next record is this one. `copies`: the ring has inline copies.
    pub(crate) fn new(sequence: u64, copies: bool) -> Self {
        // Where there is nothing to be left out no look is ever due.
        let window = if copies { CALM } else { u64::MAX / 2 };
        Self { copies, due: sequence.wrapping_add(window), began: sequence, began_ns: 0 }
    }

    /// A record is sent, and the next is this one.
    #[inline(always)]
    pub(crate) fn count(&mut self, sequence: u64, now_ns: fn() -> u64) {
        // The models have no time, and want every copy.
        if !cfg!(loom) && !after(self.due, sequence) {
            self.measure(sequence, now_ns());
        }
    }

    #[cold]
    #[inline(never)]
    fn measure(&mut self, sequence: u64, now_ns: u64) {
        // What went in batches counts as well: it was sent.
        let sent = sequence.wrapping_sub(self.began);
        let is_rush = now_ns.wrapping_sub(self.began_ns) < sent.saturating_mul(RUSH_NS);
        self.copies = !is_rush;
        self.due = sequence.wrapping_add(if is_rush { RUSH } else { CALM });
        (self.began, self.began_ns) = (sequence, now_ns);
    }

    /// A rush, for as long as the next look at the clock is off.
    #[cfg(test)]
    pub(crate) fn rush(sequence: u64) -> Self {
        Self { copies: false, due: sequence.wrapping_add(RUSH), ..Self::new(sequence, true) }
    }

    /// Are records copied? Not where they are sent too fast for anybody to wait for one.
    #[inline(always)]
    pub(crate) fn copies(&self) -> bool {
        self.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `count` records sent from this one on, `apart` ns from one to the next: how many came in a rush.
    fn rushed(pace: &mut Pace, from: u64, count: u64, apart: u64) -> u64 {
        let mut now_ns = pace.began_ns + (1 << 40);
        let mut rushed = 0;
        for sequence in from..from + count {
            now_ns += apart;
            if sequence >= pace.due {
                pace.measure(sequence, now_ns);
            }
            rushed += u64::from(!pace.copies());
        }
        rushed
    }

    #[test]
    fn a_rush_is_known_soon_and_its_end_sooner() {
        let mut pace = Pace::new(7, true);
        // The first window has no beginning in time.
        assert_eq!(rushed(&mut pace, 8, 10 * CALM, RUSH_NS / 2), 8 * CALM + 1);
        assert!((1..=RUSH).contains(&rushed(&mut pace, 8 + 10 * CALM, CALM, RUSH_NS)));
    }

    #[test]
    fn whoever_takes_turns_is_in_no_rush() {
        assert_eq!(rushed(&mut Pace::new(7, true), 8, 1000, RUSH_NS), 0);
    }
}
