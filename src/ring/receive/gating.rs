//! A receiver's gate: where it opens and closes, and which losses happen without it.

use super::Receiver;
use crate::error::Error;
use crate::ring::attach::{self, until_found};
use crate::ring::protocol::record::{Loss, LossCause, Skipped};
use crate::ring::protocol::{Place, after, floor};
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// What a receiver knows of its gate.
#[derive(Debug)]
pub(super) struct Gate {
    /// The consumer is gated, whether its gate is open or not.
    pub(super) wanted: bool,
    /// The gate is still to be opened, at a place that is not overwritten.
    pub(super) opens: bool,
    /// The gate may be taken away.
    overwritten: bool,
    /// Records overwritten below this position are lost by this cause: the producer was allowed past it before the
    /// gate opened, or before the consumer came back.
    before: Option<(u64, LossCause)>,
}

impl Gate {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, opens: false, overwritten: false, before: None }
    }
}

impl Receiver {
    /// The gate is open, and protects records from `published` on. `held`: a place not before that, if one is known.
    /// `cause`: of losses before `published`. `overwritten`: the gate may be taken away.
    pub(crate) fn gate_is_open(
        &mut self,
        (published, held): (u64, Option<Place>),
        overwritten: bool,
        cause: LossCause,
    ) {
        self.gate.overwritten = overwritten;
        self.gate.opens = false;
        self.gate.before = Some((published, cause));
        self.reader.gate_holds(published, held, overwritten);
        self.choose_ways();
    }

    /// For a consumer that resumes under its name, after `published` was read. Losses below `published` are reported
    /// as `Away`; if there is one already, it is returned. Its gate then opens once that loss was reported: until
    /// then the name's place stays before the loss, where there is nothing to read.
    pub(crate) fn resume(&mut self, published: u64, overwritten: bool) -> Result<Option<Loss>, Error> {
        self.gate.before = self.gate.wanted.then_some((published, LossCause::Away));
        self.gate.overwritten = overwritten;
        let capacity = self.region.geometry().capacity;
        if after(floor(self.region.areas()), self.reader.next().position) {
            let found = until_found(capacity, |_| Ok(self.reader.resync(self.region.areas())))?;
            let loss = self.book(found, LossCause::Away);
            self.untold = (loss.records > 0).then_some(loss);
            self.released.only_lost = true;
            if self.gate.wanted {
                self.shut_gate();
            }
        }
        Ok(self.untold)
    }

    /// For a consumer that resumes under its name and may read nothing before `published`, where its gate is open.
    /// The records in between are lost, and released at once.
    pub(crate) fn resume_behind(&mut self, published: Place) -> Option<Loss> {
        let left = self.reader.skip_to(published);
        let loss = self.book((left, published), LossCause::Away);
        self.untold = (loss.records > 0).then_some(loss);
        self.release_received();
        self.update_cursor();
        self.untold
    }

    /// For a follower that resumes under its name: its stage has lost records, and received nothing before `place`. So this
    /// receives nothing before it either.
    pub(crate) fn resume_past_gap(&mut self, place: Place) -> Option<Loss> {
        let left = self.reader.skip_to(place);
        let loss = self.book((left, place), LossCause::Away);
        let both = self.untold.map_or(loss, |first| Loss {
            records: first.records.wrapping_add(loss.records),
            bytes: first.bytes.wrapping_add(loss.bytes),
            next: loss.next,
            ..first
        });
        self.untold = (both.records > 0).then_some(both);
        self.released.only_lost = true;
        self.untold
    }

    /// Opens the gate at the consumer's place, if that is not overwritten.
    #[cold]
    pub(super) fn open_gate(&mut self) {
        let areas = self.region.areas();
        let Some(own_slot) = &mut self.own_slot else { return };
        own_slot.store_cursor(areas, self.released.place);
        let (is_open, published) = own_slot.open_at(areas, true, self.released.place);
        if is_open {
            let held = attach::held_from(areas, self.released.place, published);
            self.gate_is_open((published, held), self.gate.overwritten, LossCause::Away);
        }
    }

    /// Closes the gate until there is something to read at its place.
    fn shut_gate(&mut self) {
        let areas = self.region.areas();
        if let Some(own_slot) = &self.own_slot {
            own_slot.open(areas, false);
            doorbell::notify(&areas.control.space, WaitMode::Fence);
        }
        self.gate.opens = true;
        self.reader.gate_is_shut();
        self.choose_ways();
    }

    /// Why the record at `left` is lost.
    pub(super) fn cause(&self, left: Place) -> LossCause {
        let before_gate = self.gate.before.filter(|(published, _)| after(*published, left.position));
        match (&self.own_slot, before_gate) {
            (Some(own_slot), _) if own_slot.was_evicted() => LossCause::Evicted,
            (_, Some((_, cause))) => cause,
            // The consumer came back, and its gate is not open yet.
            _ if self.gate.opens => LossCause::Away,
            _ => LossCause::Overrun,
        }
    }

    /// The loss of the records between two places.
    pub(super) fn book(&mut self, (left, place): (Place, Place), cause: LossCause) -> Loss {
        let Skipped { records, bytes } = Skipped::between(left, place, self.region.geometry());
        let loss = Loss { records, bytes, cause, first: left.sequence, next: place.sequence };
        if loss.records > 0
            && let Some(own_slot) = &mut self.own_slot
        {
            own_slot.book(&loss);
            // Lossy ones, too: the next one under the name may be a stage.
            own_slot.begin_stretch(self.region.areas(), loss.next);
            self.tell_followers(true);
        }
        loss
    }
}
