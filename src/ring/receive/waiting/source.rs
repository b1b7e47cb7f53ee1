//! A receiver as one of the things that a thread waits for.

use super::{AGAIN_NS, Receiver};
use crate::atomics::FutexWord;
use crate::error::RecvError;
use crate::ring::protocol::record::Status;
use crate::ring::stream;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waker};
use crate::wait::clock;
use crate::wait::doorbell;

impl Receiver {
    /// The word that this sleeps on.
    pub(super) fn word(&self) -> &FutexWord {
        let areas = self.region.areas();
        self.following.stage().and_then(|stage| stage.bell(areas)).unwrap_or(&areas.control.data)
    }

    /// The end of the stream, if it has come and nothing is left. It then counts as reported.
    pub(crate) fn take_end(&mut self) -> Option<RecvError> {
        self.ended()
    }

    /// Whether the end of the stream makes this ready: until it is reported, once in `AGAIN_NS`. So whoever never asks
    /// for it does not spin.
    fn shows_end(&mut self) -> bool {
        let position = self.reader.next().position;
        let now = clock::monotonic_ns();
        let is_shown = |(at, since): (u64, u64)| at == position && now.saturating_sub(since) < AGAIN_NS;
        if self.waiting.told_at == Some(position) || self.waiting.shown.is_some_and(is_shown) {
            return false;
        }
        self.waiting.shown = Some((position, now));
        true
    }
}

impl Source for Receiver {
    /// Releases the last record, stores the cursor and opens the gate, as a receive does before it sleeps.
    fn settle(&mut self) {
        if self.region.broken() {
            return;
        }
        self.release_last();
        if self.gate.opens && self.untold.is_none() {
            self.open_gate();
        }
        self.update_cursor();
    }

    fn look(&mut self) -> bool {
        if self.region.broken() || self.corrupt.is_some() || self.has_more() {
            return true;
        }
        (self.may_have_ended() && self.shows_end()) || self.region.memory_gone()
    }

    fn probe(&mut self) -> bool {
        Source::look(self) || (self.status() != Status::Streaming && self.shows_end())
    }

    fn arm(&mut self) -> Arming {
        self.reader.will_sleep();
        self.prompt_stage();
        let areas = self.region.areas();
        match (&self.own_slot, self.following.stage().and_then(|stage| stage.bell(areas))) {
            // Its stage fences before it looks for sleepers.
            (_, Some(bell)) => Arming::woken(doorbell::arm(bell), Waker::Fences),
            (Some(_), None) => stream::arm(areas),
            (None, None) => Arming::unarmed(doorbell::unarmed(&areas.control.data)),
        }
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(self.word()))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.region.share_word(self.word()).map(SharedBell)
    }
}
