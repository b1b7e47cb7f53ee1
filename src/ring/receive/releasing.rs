//! What a receiver has released, and when it stores its cursor.

use super::Receiver;
use crate::ring::layout::SlotState;
use crate::ring::protocol::{Place, after};
use crate::ring::protocol::{gate, stage};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// The cursor is stored once it is behind by this fraction of the capacity. Larger in the models, whose rings are a
/// few words: a record has to fit.
const CURSOR_DUE: u64 = if cfg!(loom) { 2 } else { 8 };

/// How far a receiver has released.
#[derive(Debug)]
pub(super) struct Released {
    /// Everything below was read, and the cursor may be stored here. Not up to date while `unreleased` is some: see
    /// `catch_up`.
    pub(super) place: Place,
    /// Payload bytes of the last record, if everything before it is released and `place` does not show that yet.
    pub(super) unreleased: Option<u32>,
    /// Only `release` releases records.
    pub(super) keep: bool,
    /// Only a loss was received since. What is before it is overwritten, so releasing it is harmless.
    pub(super) only_lost: bool,
}

impl Released {
    pub(super) fn at(place: Place) -> Self {
        Self { place, unreleased: None, keep: false, only_lost: false }
    }

    /// The records between two places were lost. Nothing before them is kept: a gate there would hold the producer up
    /// without use.
    pub(super) fn pass_loss(&mut self, (left, place): (Place, Place), records: u64) {
        // By sequence: between the two may be padding, past which the reader went without a record.
        if self.place.sequence == left.sequence {
            match records {
                // Only padding was overwritten: there is no loss to report.
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

    /// Releases everything received so far, and stores the cursor at once.
    pub(crate) fn release(&mut self) {
        // A loss found on attaching counts as received once it was reported. Until then the name's place stays before
        // it.
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
        // Even with `keep`, an overwritten place is not kept: a gate there would hold the producer up without use.
        if self.untold.is_none() && (!self.released.keep || self.released.only_lost) {
            self.released.only_lost = false;
            self.release_received();
        }
    }

    #[inline(always)]
    pub(super) fn release_received(&mut self) {
        self.released.unreleased = None;
        self.released.place = self.reader.next();
        if let Some(own_slot) = &mut self.own_slot {
            own_slot.release_losses();
        }
    }

    /// Brings `released` up to date. Doing so for every record would load a place that was stored just before, and
    /// wait for that store.
    fn catch_up(&mut self) {
        if let Some(len) = self.released.unreleased.take() {
            self.released.place = self.reader.next().before_record(len);
        }
    }

    /// The position at which the cursor is next to be stored, if there is a cursor.
    #[inline(always)]
    pub(super) fn cursor_due(&self) -> Option<u64> {
        let stored = self.own_slot.as_ref()?.stored().position;
        Some(stored.wrapping_add(self.region.geometry().capacity / CURSOR_DUE))
    }

    /// Whether reading has reached the position at which the cursor is `due`.
    #[inline(always)]
    pub(super) fn cursor_is_late(&self, due: Option<u64>) -> bool {
        due.is_some_and(|due| !after(due, self.reader.next().position))
    }

    /// Whether a producer sleeps, waiting for space and so for the cursor.
    #[inline(always)]
    pub(super) fn producer_waits(&self) -> bool {
        self.gate.wanted && doorbell::is_armed(&self.region.areas().control.space)
    }

    /// Stores the cursor if it is far behind, or if the producer waits for it.
    #[inline(always)]
    pub(super) fn update_late_cursor(&mut self) {
        let Some(own_slot) = &self.own_slot else { return };
        let behind = self.released.place.position.wrapping_sub(own_slot.stored().position);
        let is_due = behind >= self.region.geometry().capacity / CURSOR_DUE;
        if behind != 0 && (is_due || self.following.is_followed() || self.producer_waits()) {
            self.update_cursor();
        }
    }

    /// Stores the cursor if it is behind, or was changed by another process, and wakes a producer that waits for it.
    pub(super) fn update_cursor(&mut self) {
        let Some(own_slot) = &mut self.own_slot else { return };
        let areas = self.region.areas();
        if self.released.place.position == own_slot.stored().position && own_slot.is_shown(areas) {
            return;
        }
        own_slot.store_cursor(areas, self.released.place);
        if self.gate.wanted {
            doorbell::notify(&areas.control.space, WaitMode::Fence);
        }
        self.tell_followers(false);
    }

    /// Gives the slot up: first the cursor, then the slot. The caller unlocks afterwards.
    pub(crate) fn leave(&mut self) {
        self.catch_up();
        self.update_cursor();
        let areas = self.region.areas();
        if let Some(own_slot) = self.own_slot.take() {
            let slot = &areas.slots[own_slot.number as usize];
            let gated = gate::state(slot) == Some(SlotState::Gated);
            own_slot.leave(areas, clock::wall_ns());
            if gated {
                doorbell::notify(&areas.control.space, WaitMode::Fence);
            }
            stage::ring(areas, own_slot.number);
        }
        self.leave_stage();
    }
}
