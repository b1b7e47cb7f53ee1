//! An event, as one of the things that a thread waits for.

use std::mem;

use super::{Event, Reset};
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable, Waker};
use crate::wait::doorbell;

/// Ready while it is set, or when [`try_wait`](Event::try_wait) would fail. With [`Reset::Manual`] also once after it was set
/// and reset since the last such wait with this handle.
impl Waitable for Event {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Source for Event {
    fn look(&mut self) -> bool {
        if self.member.check().is_err() {
            return true;
        }
        let now = self.member.views().line.look();
        let was_set = mem::replace(&mut self.noticed, now.count()) != now.count();
        // Another waiter took the signal, if there is one no more.
        let has_passed = was_set && self.reset_by() == Reset::Manual;
        now.is_set() || has_passed || self.member.check_memory().is_err()
    }

    fn arm(&mut self) -> Arming {
        self.member.note_waiting(true);
        let line = self.member.views().line;
        Arming::woken(doorbell::arm(&line.bell), Waker::Fences)
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.member.views().line.bell))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.member.share_word(&self.member.views().line.bell).map(SharedBell)
    }

    fn disarm(&mut self) {
        if self.member.check().is_ok() {
            self.member.note_waiting(false);
        }
    }
}
