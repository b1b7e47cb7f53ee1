//! Pace: an express copy brings a record to a reader that waits for it one transfer of a cache line earlier. Where
//! records follow each other faster than lines travel, nobody waits for any of them, and the copies only fill the
//! processor's store buffer. So the producer takes the time of its sends now and then, and leaves the copies out while
//! there are too many a second for anybody to be waiting.
//!
//! Private to the producer: an express block that is left alone is what readers find beside every longer record too.

/// Sends between two looks at the clock, which cost about 30 ns each. Also the most that go without a copy after a
/// rush is over.
const WINDOW: u64 = 64;
/// Less than this between two sends, on average, is a rush. Two cores that share a cache need more for a round trip of
/// one line, so whoever sends faster is not waiting for answers.
const RUSH_NS: u64 = 100;

/// How fast records are sent, one by one.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    began_ns: u64,
    is_rush: bool,
}

impl Pace {
    /// Another record is sent.
    #[inline(always)]
    pub(crate) fn count(&mut self, sequence: u64, now_ns: fn() -> u64) {
        // The models have no time, and want every copy.
        if !cfg!(loom) && sequence.is_multiple_of(WINDOW) {
            self.measure(now_ns());
        }
    }

    #[cold]
    #[inline(never)]
    fn measure(&mut self, now_ns: u64) {
        self.is_rush = now_ns.wrapping_sub(self.began_ns) < WINDOW * RUSH_NS;
        self.began_ns = now_ns;
    }

    /// Are records sent too fast for anybody to wait for one?
    #[inline(always)]
    pub(crate) fn is_rush(&self) -> bool {
        self.is_rush
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `count` records sent `apart` ns from one to the next: how many came in a rush.
    fn rushed(pace: &mut Pace, count: u64, apart: u64) -> usize {
        let now = |sequence: u64| (1 << 40) + sequence * apart;
        (0..count)
            .filter(|sequence| {
                if sequence.is_multiple_of(WINDOW) {
                    pace.measure(now(*sequence));
                }
                pace.is_rush()
            })
            .count()
    }

    #[test]
    fn a_rush_is_known_after_one_window() {
        assert_eq!(rushed(&mut Pace::default(), 1000, RUSH_NS / 2), 1000 - WINDOW as usize);
    }

    #[test]
    fn whoever_takes_turns_is_in_no_rush() {
        assert_eq!(rushed(&mut Pace::default(), 1000, RUSH_NS), 0);
    }
}
