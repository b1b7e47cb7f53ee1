//! A client, as one of the things that a thread waits for.

use super::Client;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable, Waker};
use crate::wait::{clock, doorbell};

/// Ready when there is an answer, when a call has ended without one, or when [`try_recv`](Client::try_recv) would fail.
impl Waitable for Client {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Source for Client {
    fn settle(&mut self) {
        if !self.region.broken() {
            self.release();
        }
    }

    fn look(&mut self) -> bool {
        if self.region.broken() {
            return true;
        }
        // The server may have begun to wait for room since the last release.
        self.feed();
        self.has_told() || self.is_suspicious || self.has_event() || self.region.memory_gone()
    }

    fn probe(&mut self) -> bool {
        if !self.region.broken() {
            self.look_closer(clock::monotonic_ns());
        }
        self.look()
    }

    fn longest_ns(&self) -> u64 {
        // As long as one that waits alone may sleep after a long silence, while there is a call to be lost.
        if self.calls.len() > 0 { doorbell::nap_ns(u64::MAX) } else { u64::MAX }
    }

    fn arm(&mut self) -> Arming {
        let expected = doorbell::arm(&self.seat().bell);
        Arming { expected, waker: Waker::InEitherMode, due_ns: self.calls.earliest_ns() }
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.seat().bell))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.region.share_word(&self.seat().bell).map(SharedBell)
    }
}
