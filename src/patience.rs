//! Patience: a reader at the producer's heels makes both hand the cursor line and a data line back and forth for
//! every record. One that waits a moment before it looks again finds a handful of records at once, and leaves the
//! producer's lines alone meanwhile. That pays while records stream, and only then: a reader that answers what it
//! reads would wait for nothing.
//!
//! Which of the two it is cannot be told without trying: at the producer's heels most looks find one record or none
//! even in a full stream. So a reader makes an experiment now and then. It waits before its looks for as long as
//! that yields several records at a time; a few looks that find less end the experiment, and each that failed from
//! the start doubles the distance to the next.
//!
//! All of this is private to the reader: no shared word changes, and no look is left out, only delayed.

use crate::ring::Place;
use crate::sync::spin;

/// Drains between two experiments: at first, and once many have failed.
const SOON: u32 = 64;
const LATE: u32 = 8192;
/// Pauses before a look: at the start of an experiment, and the most.
const FIRST: u32 = 8;
const MOST: u32 = 32;
/// Poor looks in a row that end an experiment.
const FAILURES: u32 = 4;
/// Waiting longer brings nothing more once a look finds so many bytes.
const ENOUGH: u64 = 2048;

/// A reader's patience.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Up to where the reader had read when it looked last.
    looked: Place,
    /// Pauses before the next look; 0 outside an experiment.
    pauses: u32,
    failures: u32,
    /// Drains until the next experiment, and from the end of this one to the one after.
    left: u32,
    distance: u32,
}

impl Patience {
    pub(crate) fn new(next: Place) -> Self {
        Self { looked: next, pauses: 0, failures: 0, left: SOON, distance: SOON }
    }

    /// Before a look by a reader that has read everything up to `next`.
    #[inline(always)]
    pub(crate) fn before_look(&mut self, next: Place) {
        // Who polls looks as often as it likes. The models have no time in which something could turn up.
        if cfg!(loom) || next.position == self.looked.position {
            return;
        }
        self.drained(next);
    }

    fn drained(&mut self, next: Place) {
        let records = next.sequence.wrapping_sub(self.looked.sequence);
        let bytes = next.position.wrapping_sub(self.looked.position);
        self.looked = next;
        if self.pauses == 0 {
            self.left -= 1;
            if self.left > 0 {
                return;
            }
            self.pauses = FIRST;
            self.failures = 0;
        } else if records >= 3 || (records == 2 && bytes >= 2 * ENOUGH) {
            self.failures = 0;
            self.distance = SOON;
            if bytes < ENOUGH {
                self.pauses = (self.pauses + 1).min(MOST);
            }
        } else {
            self.failures += 1;
            if self.failures == FAILURES {
                self.pauses = 0;
                self.left = self.distance;
                self.distance = (self.distance * 2).min(LATE);
            }
        }
        for _ in 0..self.pauses {
            spin();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const START: Place = Place { position: u64::MAX - 7, sequence: u64::MAX, bytes: 0 };

    /// A reader that finds so many records of that length at each of so many looks.
    fn reader(patience: &mut Patience, looks: u32, records: u32, len: u32) {
        for _ in 0..looks {
            let next = (0..records).fold(patience.looked, |place, _| place.past_record(len));
            patience.before_look(next);
            patience.before_look(next);
        }
    }

    #[test]
    fn a_stream_is_waited_for_longer_and_longer() {
        let mut patience = Patience::new(START);
        reader(&mut patience, SOON - 1, 1, 64);
        assert_eq!(patience.pauses, 0);
        reader(&mut patience, 1, 1, 64);
        assert_eq!(patience.pauses, FIRST);
        reader(&mut patience, 1000, 5, 64);
        assert_eq!(patience.pauses, MOST);
        reader(&mut patience, FAILURES - 1, 1, 64);
        reader(&mut patience, 1, 3, 64);
        assert_eq!(patience.pauses, MOST, "a few poor looks are no reason to give up");
        reader(&mut patience, FAILURES, 2, 64);
        assert_eq!((patience.pauses, patience.left), (0, SOON));
    }

    #[test]
    fn no_longer_than_it_takes_to_find_enough() {
        let mut patience = Patience::new(START);
        reader(&mut patience, 1000, 40, 64);
        assert_eq!(patience.pauses, FIRST);
    }

    #[test]
    fn a_ping_pong_is_tried_ever_more_rarely() {
        for len in [8, 4096] {
            let (mut patience, mut waited) = (Patience::new(START), 0);
            for _ in 0..1_000_000 {
                reader(&mut patience, 1, 1, len);
                waited += u32::from(patience.pauses > 0);
            }
            assert_eq!(patience.distance, LATE);
            assert!(waited <= FAILURES * (1_000_000 / LATE + 8), "waited {waited} times");
        }
    }
}
