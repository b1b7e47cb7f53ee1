//! Receiving many records in one call.

use super::{Receiver, Remaining};
use crate::error::RecvError;
use crate::ring::protocol::reader::Reader;
use crate::ring::protocol::record::{Event, Record};
use crate::ring::protocol::run::{Ahead, Run};
use crate::wait::doorbell;

impl Receiver {
    #[inline(always)]
    pub(crate) fn drain(&mut self, max: usize, mut each: impl FnMut(Event<'_>)) -> Result<usize, RecvError> {
        let mut count = 0;
        while count < max {
            count += self.drain_run(max - count, &mut each);
            if count == max {
                break;
            }
            match self.take_any(Remaining::All)? {
                Some(received) => each(self.lend(received)),
                None => break,
            }
            count += 1;
        }
        Ok(count)
    }

    /// The run: records that need no check but of their header.
    #[inline(always)]
    fn drain_run(&mut self, max: usize, each: &mut impl FnMut(Event<'_>)) -> usize {
        let Self { region, reader, copies, released, gate, .. } = self;
        // Checked first: after a fork the areas are not mapped.
        if region.broken() {
            return 0;
        }
        let (areas, unreleased) = (region.areas(), &mut released.unreleased);
        let (tripwire, space) = (region.tripwire(), &areas.control.space);
        // The checks of `take_fast`, before each record, since `each` may do anything.
        let goes_on = || !tripwire.broken() && !doorbell::is_armed(space);
        // Only a gated consumer borrows records in the ring, and it checks whether the producer waits.
        if let Some(run) = reader.run(areas) {
            Draining { run, last: None, reader, unreleased }.on(max, goes_on, |sequence, len, words| {
                each(Event::Record(Record::lent(sequence, len as usize, words)));
            })
        } else if let Some(run) = reader.run_of_copies(copies) {
            let producer_waits = || gate.wanted && doorbell::is_armed(space);
            let goes_on = || !tripwire.broken() && !producer_waits();
            Draining { run, last: None, reader, unreleased }.on(max, goes_on, |sequence, len, words| {
                let payload = words.as_flattened().get(..len as usize).unwrap_or_default();
                each(Event::Record(Record::copied(sequence, payload)));
            })
        } else {
            0
        }
    }
}

/// A receiver during a run. Dropping this moves the receiver to where the run has come, even if `each` panics.
struct Draining<'a, A: Ahead> {
    run: Run<A>,
    /// Payload bytes of the last record passed on, if any.
    last: Option<u32>,
    reader: &'a mut Reader,
    unreleased: &'a mut Option<u32>,
}

impl<A: Ahead> Draining<'_, A> {
    /// Passes on as many records as there are, `max` at most. Returns how many.
    #[inline(always)]
    fn on(mut self, max: usize, goes_on: impl Fn() -> bool, mut each: impl FnMut(u64, u32, A)) -> usize {
        for count in 0..max {
            let step = if goes_on() { self.run.step() } else { None };
            let Some((sequence, len, payload)) = step else { return count };
            self.last = Some(len);
            each(sequence, len, payload);
        }
        max
    }
}

impl<A: Ahead> Drop for Draining<'_, A> {
    #[inline(always)]
    fn drop(&mut self) {
        self.reader.go_to(&self.run);
        if self.last.is_some() {
            *self.unreleased = self.last;
        }
    }
}
