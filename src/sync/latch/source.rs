//! A latch, as one of the things that a thread waits for.

use super::Latch;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable};
use crate::sync::rounds::{Lookout, Round};

/// Ready while it is open or broken, or when [`try_wait`](Latch::try_wait) would fail.
impl Waitable for Latch {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Latch {
    /// `asks`: whether to ask the kernel about the parties that are missing.
    fn is_ready(&self, asks: bool) -> bool {
        if self.member.check().is_err() {
            return true;
        }
        let line = self.member.views().line;
        let is_over = |round: Round| round.is_passed() || round.is_broken();
        let seen = line.look();
        if !is_over(seen) {
            // The last party may have died before it opened the latch.
            self.lookout.look(&self.member, seen, asks);
        }
        is_over(line.look()) || self.member.check_memory().is_err()
    }
}

impl Source for Latch {
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
