//! A reader that need not receive everything: what it has lost counts as passed.

use std::hint::black_box;

use anyhow::{Result, ensure};
use quoit::{Consumer, Event, Observer, RecvError};
use quoit_floors::ground::sum_of;

/// Records that a reader takes at a time, at most.
const GULP: usize = 64;

/// Reads every byte of what it can receive of so many records. Returns how many it received.
pub(crate) fn follow<const N: usize>(follower: &mut impl Follower, count: u64) -> Result<u64> {
    let (mut total, mut passed, mut received, mut strange) = (0_u64, 0, 0, 0_u64);
    while passed < count {
        // Nothing else in here: a closure that is too long to be inlined costs 2 ns a record.
        follower.drain(GULP, |event| match event {
            Event::Record(record) => match sum_of::<N>(&record) {
                Some(sum) => {
                    total = total.wrapping_add(sum);
                    received += 1;
                    passed += 1;
                }
                None => strange += 1,
            },
            Event::Lost(loss) => passed += loss.records,
            _ => strange += 1,
        })?;
        ensure!(
            strange == 0,
            "{strange} records of another length, or other events, in the middle of a measurement"
        );
    }
    ensure!(passed == count, "{passed} of {count} records passed");
    black_box(total);
    Ok(received)
}

/// What consumers and observers have in common, without the indirect call of [`quoit::Receive::drain`].
pub(crate) trait Follower {
    fn drain(&mut self, max: usize, each: impl FnMut(Event<'_>)) -> Result<usize, RecvError>;
    fn turn_backoff_off(&mut self);
}

impl Follower for Consumer {
    #[inline(always)]
    fn drain(&mut self, max: usize, each: impl FnMut(Event<'_>)) -> Result<usize, RecvError> {
        Self::drain(self, max, each)
    }

    fn turn_backoff_off(&mut self) {
        Self::turn_backoff_off(self);
    }
}

impl Follower for Observer {
    #[inline(always)]
    fn drain(&mut self, max: usize, each: impl FnMut(Event<'_>)) -> Result<usize, RecvError> {
        Self::drain(self, max, each)
    }

    fn turn_backoff_off(&mut self) {
        Self::turn_backoff_off(self);
    }
}
