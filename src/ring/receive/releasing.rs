//! What a receiver has done with, and when its cursor says so.

use super::Receiver;
use crate::ring::layout::SlotState;
use crate::ring::protocol::gate;
use crate::ring::protocol::{Place, after};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// A cursor is stored when it is this part of the capacity behind. The rings of the models are a few words, and a
/// record has to fit in.
const CURSOR_DUE: u64 = if cfg!(loom) { 2 } else { 8 };

/// How far a receiver has released.
#[derive(Debug)]
pub(super) struct Released {
    /// What is below was read; the cursor may say so. Behind the times while `unreleased` is some: see `catch_up`.
    pub(super) place: Place,
    /// Payload bytes of the last record, if everything before it is released and `place` does not say so.
    pub(super) unreleased: Option<u32>,
    /// Records are released by `release` alone.
    pub(super) keep: bool,
    /// Nothing but a loss was received since: what is before it is gone, so releasing it keeps nothing from anybody.
    pub(super) only_lost: bool,
}

impl Released {
    pub(super) fn at(place: Place) -> Self {
        Self { place, unreleased: None, keep: false, only_lost: false }
    }

    /// What is between two places was lost. Nothing before it is kept: a gate there would hold the producer up for nothing.
    pub(super) fn pass_loss(&mut self, (left, place): (Place, Place), records: u64) {
        if self.place == left {
            match records {
                // Padding is nothing to be told.
                0 => self.place = place,
                _ => self.only_lost = true,
            }
        }
    }
}

impl Receiver {
    pub(crate) fn set_keep(&mut self, keep: bool) {
        self.catch_up();
        self.released.keep = keep;
        self.choose_ways();
        self.reader.forbid_fast();
    }

    /// Releases everything received so far, and says so at once.
    pub(crate) fn release(&mut self) {
        // A loss found on attaching counts as received once it was told: until then a name stays before it.
        if !self.region.broken() && self.untold.is_none() {
            self.release_received();
            self.update_cursor();
            if self.gate.opens {
                self.open_gate();
            }
        }
    }

    /// Releases the last record, as every receive does.
    #[inline(always)]
    pub(super) fn release_last(&mut self) {
        // Who keeps its records does not keep a place that was overwritten: a gate there would hold the producer up
        // for nothing.
        if self.untold.is_none() && (!self.released.keep || self.released.only_lost) {
            self.released.only_lost = false;
            self.release_received();
        }
    }

    #[inline(always)]
    pub(super) fn release_received(&mut self) {
        self.released.unreleased = None;
        self.released.place = self.reader.next();
        if let Some(seat) = &mut self.seat {
            seat.release_losses();
        }
    }

    /// Moves `released` to where it belongs: the record before the last is released, but copying a place that was
    /// stored a moment ago, for every record, would wait for that store.
    fn catch_up(&mut self) {
        if let Some(len) = self.released.unreleased.take() {
            self.released.place = self.reader.next().before_record(len);
        }
    }

    /// The position at which the cursor is to be stored anew, if there is one.
    #[inline(always)]
    pub(super) fn cursor_due(&self) -> Option<u64> {
        let stored = self.seat.as_ref()?.stored().position;
        Some(stored.wrapping_add(self.region.geometry().capacity / CURSOR_DUE))
    }

    /// Has reading come to where the cursor is `due`?
    #[inline(always)]
    pub(super) fn cursor_is_late(&self, due: Option<u64>) -> bool {
        due.is_some_and(|due| !after(due, self.reader.next().position))
    }

    /// Does a producer sleep that waits for space, and so for the cursor?
    #[inline(always)]
    pub(super) fn producer_waits(&self) -> bool {
        self.gate.wanted && doorbell::is_armed(&self.region.areas().control.space.word)
    }

    /// Stores the cursor if it is far behind, or somebody waits for it.
    #[inline(always)]
    pub(super) fn update_late_cursor(&mut self) {
        let Some(seat) = &self.seat else { return };
        let behind = self.released.place.position.wrapping_sub(seat.stored().position);
        if behind != 0 && (behind >= self.region.geometry().capacity / CURSOR_DUE || self.producer_waits()) {
            self.update_cursor();
        }
    }

    /// Stores the cursor if it is behind, or not what was stored there, and wakes a producer that waits for it.
    pub(super) fn update_cursor(&mut self) {
        let Some(seat) = &mut self.seat else { return };
        let areas = self.region.areas();
        if self.released.place.position == seat.stored().position && seat.is_shown(areas) {
            return;
        }
        seat.store_cursor(areas, self.released.place);
        if self.gate.wanted {
            doorbell::notify(&areas.control.space.word, WaitMode::Fence);
        }
    }

    /// Gives the seat up: cursor, slot, then the caller's lock.
    pub(crate) fn leave(&mut self) {
        self.catch_up();
        self.update_cursor();
        let areas = self.region.areas();
        if let Some(seat) = self.seat.take() {
            let slot = &areas.slots[seat.number as usize];
            let gated = gate::state(slot) == Some(SlotState::Gated);
            seat.leave(areas, clock::wall_ns());
            if gated {
                doorbell::notify(&areas.control.space.word, WaitMode::Fence);
            }
        }
    }
}
