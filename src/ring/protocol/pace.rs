//! Pace: an inline copy saves a waiting reader one transfer of a cache line. If records follow each other faster than
//! cache lines are transferred, no reader waits for a single record, and the copies only fill the processor's store
//! buffer. So the producer measures its rate from time to time, and omits the copies while it sends too fast for a
//! reader to be waiting (a *rush*).
//!
//! This is private to the producer: readers also find no inline copy for a longer record.

use crate::ring::protocol::after;

/// Sends between two reads of the clock, which cost about 30 ns each. Outside a rush, large enough that few even of
/// the slowest percent of sends include one; in a rush, the most records without a copy after it is over.
const CALM: u64 = 512;
const RUSH: u64 = 64;
/// A shorter average time between two sends is a rush, ns. A round trip of one line takes longer even between cores
/// that share a cache, so a faster producer is not waiting for answers.
const RUSH_NS: u64 = 100;

/// The rate of single sends, and whether they get inline copies.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Whether records get inline copies.
    copies: bool,
    /// The sequence at which to read the clock next, and the sequence and time of the last read.
    due: u64,
    began: u64,
    began_ns: u64,
}

impl Pace {
    /// `sequence`: of the next record. `copies`: the ring has inline copies.
    pub(crate) fn new(sequence: u64, copies: bool) -> Self {
        // Without inline copies the clock is never read.
        let window = if copies { CALM } else { u64::MAX / 2 };
        Self { copies, due: sequence.wrapping_add(window), began: sequence, began_ns: 0 }
    }

    /// A record was sent, and the next has this sequence.
    #[inline(always)]
    pub(crate) fn count(&mut self, sequence: u64, now_ns: fn() -> u64) {
        // The models have no time, and always copy.
        if !cfg!(loom) && !after(self.due, sequence) {
            self.measure(sequence, now_ns());
        }
    }

    #[cold]
    #[inline(never)]
    fn measure(&mut self, sequence: u64, now_ns: u64) {
        // Records sent in batches count as well.
        let sent = sequence.wrapping_sub(self.began);
        let is_rush = now_ns.wrapping_sub(self.began_ns) < sent.saturating_mul(RUSH_NS);
        self.copies = !is_rush;
        self.due = sequence.wrapping_add(if is_rush { RUSH } else { CALM });
        (self.began, self.began_ns) = (sequence, now_ns);
    }

    /// A rush, until the next read of the clock.
    #[cfg(test)]
    pub(crate) fn rush(sequence: u64) -> Self {
        Self { copies: false, due: sequence.wrapping_add(RUSH), ..Self::new(sequence, true) }
    }

    /// Whether records get inline copies: not in a rush.
    #[inline(always)]
    pub(crate) fn copies(&self) -> bool {
        self.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `count` records, `apart` ns from one to the next, and returns how many were sent in a rush.
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
        // The first window has no start time.
        assert_eq!(rushed(&mut pace, 8, 10 * CALM, RUSH_NS / 2), 8 * CALM + 1);
        assert!((1..=RUSH).contains(&rushed(&mut pace, 8 + 10 * CALM, CALM, RUSH_NS)));
    }

    #[test]
    fn whoever_takes_turns_is_in_no_rush() {
        assert_eq!(rushed(&mut Pace::new(7, true), 8, 1000, RUSH_NS), 0);
    }
}
