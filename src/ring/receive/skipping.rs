//! Skipping to the newest record.

use super::{Received, Receiver};
use crate::error::{Corruption, Error, RecvError};
use crate::ring::attach::{self, until_found};
use crate::ring::protocol::Place;
use crate::ring::protocol::record::{Event, Record, Skipped};

/// The result of one step of a skip.
enum Step {
    /// An event that comes first.
    Told(Received),
    /// Nothing that is to be told, but the reader has moved on.
    Again,
    Done,
}

impl Receiver {
    pub(crate) fn skipped(&self) -> Skipped {
        self.skipped
    }

    pub(crate) fn skip_to_newest(&mut self, mut other: impl FnMut(Event<'_>)) -> Result<Skipped, RecvError> {
        let before = self.skipped;
        loop {
            match self.skip()? {
                Step::Told(received) => other(self.lend(received)),
                Step::Again => {}
                Step::Done => return Ok(self.skipped.since(before)),
            }
        }
    }

    pub(crate) fn latest(
        &mut self,
        mut other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        loop {
            self.skip_to_newest(&mut other)?;
            match self.try_take()? {
                Some(Received::Record(taken)) => return Ok(Some(self.lend_any(taken))),
                Some(received) => other(self.lend(received)),
                None => return Ok(None),
            }
        }
    }

    #[inline(never)]
    fn skip(&mut self) -> Result<Step, RecvError> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let step = match self.before_looking() {
            Some(told) => told.map(|told| told.map_or(Step::Again, Step::Told)),
            None => self.skip_on(),
        };
        // If the file was cut short, what was read is not a record.
        if self.region.memory_gone() {
            return Err(self.region.fault().into());
        }
        step
    }

    /// Skips to the newest record, unless the place was overwritten.
    fn skip_on(&mut self) -> Result<Step, RecvError> {
        let Self { region, reader, following, .. } = self;
        let (areas, own) = (region.areas(), reader.next());
        let end = || match following.stage() {
            None => attach::published(areas),
            Some(stage) => stage.released(areas).unwrap_or(own.position),
        };
        // From a place that is overwritten no path leads on.
        let found = until_found(areas.geometry.capacity, |effort| match reader.is_lapped(areas) {
            true => Ok(Some(None)),
            false => Ok(attach::before_newest(areas, own, end(), effort)?.map(Some)),
        });
        match found {
            // Checked again after the search: what is still there could have been received, so it is not lost.
            Ok(Some(newest)) if !reader.is_lapped(areas) => {
                self.pass(newest);
                Ok(Step::Done)
            }
            Ok(_) => {
                // Records that were copied in time could have been received as well; what follows them may be there.
                let copied = reader.past_copies(areas, &mut self.copies);
                if copied != own {
                    self.pass(copied);
                    return Ok(Step::Again);
                }
                Ok(self.lapped()?.map_or(Step::Again, Step::Told))
            }
            Err(Error::Corrupt(corruption)) => Err(self.end_corrupt(corruption)),
            Err(_) => {
                let what = "no way to the newest record";
                Err(self.end_corrupt(Corruption { position: own.position, what }))
            }
        }
    }

    /// Skips to a place, and releases what is before it.
    fn pass(&mut self, place: Place) {
        if place == self.reader.next() {
            return;
        }
        let left = self.reader.skip_to(place);
        let skipped = Skipped::between(left, place, self.region.geometry());
        self.skipped.add(skipped);
        if let Some(own_slot) = &mut self.own_slot {
            own_slot.book_skipped(skipped);
        }
        self.release_last();
        self.update_late_cursor();
    }
}
