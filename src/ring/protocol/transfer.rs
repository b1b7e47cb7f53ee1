//! How long a cache line takes from the producer's core to the reader's, and what a reader waits between two polls for it.
//! A poll takes the line of `published` from the producer, which may still be storing to it. So a reader that polls too
//! often makes its own record late, and one that polls too rarely sees it late. What is best depends on how long a line
//! takes: docs/benchmarks.md has the figures. A hypervisor may move the two cores at any time, so lines are timed now and
//! then.

use core::hint::black_box;

use crate::atomics::spin;

/// A line from a core that shares a cache took 50 to 70 ns where it was measured, from all others 215 to 250.
const LONG_NS: u64 = 125;
/// An answer from a core that is near comes within so many polls, 0.2 to 0.3 µs. A record that does not come as soon comes earlier
/// if its reader pauses.
const SOON: u32 = 16;
/// The first lines are timed, and two of so many after them: far fewer than one in a thousand waits for the clock.
const FIRST: u32 = 8;
const EVERY: u32 = 4096;

/// What to wait before a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    None,
    /// Some ten cycles.
    Moment,
    /// One turn of a busy wait, which may take a hundred.
    Pause,
}

impl Gap {
    #[inline(always)]
    pub(crate) fn wait(self) {
        match self {
            Self::None => {}
            Self::Moment => moment(),
            Self::Pause => spin(),
        }
    }
}

#[inline(never)]
fn moment() {
    let mut work = 1_u64;
    for _ in 0..8 {
        work = black_box(work.wrapping_mul(3));
    }
}

/// What a reader knows of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Transfer {
    /// Polls that found something.
    found: u32,
    /// What the last line timed took was long.
    was_long: bool,
    /// The same of the last two that were alike: an interrupt does not count.
    is_long: bool,
}

impl Transfer {
    /// A poll has found something.
    #[inline(always)]
    pub(crate) fn count(&mut self) {
        self.found = self.found.wrapping_add(1);
    }

    /// Whether the next poll is to be timed.
    #[inline(always)]
    pub(crate) fn is_due(&self) -> bool {
        // The models have no time.
        !cfg!(loom) && (self.found % EVERY < 2 || self.found < FIRST)
    }

    /// What to wait after so many polls that found nothing.
    #[inline(always)]
    pub(crate) fn gap(&self, in_vain: u32) -> Gap {
        if self.is_long || in_vain > SOON { Gap::Pause } else { Gap::Moment }
    }

    /// A poll that found something took so long.
    pub(crate) fn took(&mut self, ns: u64) {
        let is_long = ns > LONG_NS;
        if is_long == self.was_long {
            self.is_long = is_long;
        }
        self.was_long = is_long;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn two_lines_in_a_row_decide() {
        let mut transfer = Transfer::default();
        let mut took = |ns| {
            transfer.took(ns);
            transfer.is_long
        };
        assert_eq!(
            [60, 5000, 60, 240, 240, 60, 240, 60, 60].map(&mut took).map(u8::from),
            [0, 0, 0, 0, 1, 1, 1, 1, 0]
        );
    }

    #[test]
    fn what_does_not_come_soon_is_polled_for_with_pauses() {
        let transfer = Transfer::default();
        assert_eq!(
            [1, SOON, SOON + 1].map(|polls| transfer.gap(polls)),
            [Gap::Moment, Gap::Moment, Gap::Pause]
        );
    }

    #[test]
    fn few_lines_are_timed() {
        let mut transfer = Transfer::default();
        let due = |transfer: &mut Transfer| {
            transfer.count();
            u32::from(transfer.is_due())
        };
        let first: u32 = (0..EVERY).map(|_| due(&mut transfer)).sum();
        let later: u32 = (0..10 * EVERY).map(|_| due(&mut transfer)).sum();
        assert_eq!((first, later), (FIRST, 20));
    }
}
