//! A barrier, as one of the things that a thread waits for.

use super::Barrier;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable};
use crate::sync::rounds::{self, Lookout};

/// Ready when the round is over in which this party has [arrived](Barrier::arrive), or when [`try_wait`](Barrier::try_wait)
/// would fail. A party that has not arrived is not woken: that it is the last one is noticed after a slice.
impl Waitable for Barrier {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Barrier {
    fn is_ready(&self, asks: bool) -> bool {
        if self.member.check().is_err() {
            return true;
        }
        let is_ready = if self.place.get().is_some() {
            self.is_over(asks)
        } else {
            let now = self.member.views().line.look();
            now.is_broken() || rounds::is_last(&self.member, now)
        };
        is_ready || self.member.check_memory().is_err()
    }
}

impl Source for Barrier {
    fn look(&mut self) -> bool {
        self.is_ready(false)
    }

    fn probe(&mut self) -> bool {
        self.is_ready(true)
    }

    fn arm(&mut self) -> Arming {
        self.lookout.arm(&self.member)
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.member.views().line.bell))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.member.share_word(&self.member.views().line.bell).map(SharedBell)
    }

    fn disarm(&mut self) {
        Lookout::disarm(&self.member);
    }
}
