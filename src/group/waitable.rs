//! A member as one of the things that a thread waits for. It sleeps on the ring's `data` word, on which it sleeps alone, too.

use crate::error::Error;
use crate::group::member::GroupMember;
use crate::group::turn::SWEEP_NS;
use crate::group::until::Until;
use crate::ring::stream::{self, is_closed};
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable};
use crate::wait::doorbell;
use crate::wait::{clock, timestamp};

/// How often the end of the stream makes a member ready that is never asked for it, ns.
const AGAIN_NS: u64 = doorbell::SLICE_NS;

impl Waitable for GroupMember {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl GroupMember {
    /// Whether the end of the stream, if it has come, makes this ready: until it is reported, once in `AGAIN_NS`.
    fn shows_end(&self) -> bool {
        if self.seems_ready() || !self.leases().seem_all(self.me()) {
            return false;
        }
        let (published, now) = (self.published(), clock::monotonic_ns());
        let is_shown = |(at, since): (u64, u64)| at == published && now.saturating_sub(since) < AGAIN_NS;
        if self.told_at == Some(published) || self.shown.get().is_some_and(is_shown) {
            return false;
        }
        self.shown.set(Some((published, now)));
        true
    }

    /// Looks for the dead. Who is to look for them wakes up for that: see `longest_ns`.
    fn sweep_now(&self) -> Result<(), Error> {
        let now_ns = timestamp::now_ns();
        if !self.leases().is_any_open() || !self.is_sweep_due(now_ns) {
            return Ok(());
        }
        let swept = self.in_turn(Until::NOW, |member| member.sweep(member.leases().collect()?, now_ns));
        match swept {
            // Another member has its turn, and looks for them in it.
            Ok(_) | Err(Error::TimedOut) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Source for GroupMember {
    /// Moves the gate to where it can be, as a receive does before it sleeps.
    fn settle(&mut self) {
        // Whatever is wrong, `look` finds, too.
        let _ = Self::settle(self, 0);
    }

    fn look(&mut self) -> bool {
        if self.check().is_err() || self.check_memory().is_err() {
            return true;
        }
        if self.has_room() && self.seems_ready() {
            return true;
        }
        self.has_current() || (is_closed(self.ring.areas()) && self.shows_end())
    }

    fn probe(&mut self) -> bool {
        self.sweep_now().is_err() || Source::look(self) || (self.is_producer_gone() && self.shows_end())
    }

    fn longest_ns(&self) -> u64 {
        if self.leases().is_any_open() && self.watches() { SWEEP_NS } else { doorbell::SLICE_NS }
    }

    fn arm(&mut self) -> Arming {
        stream::arm(self.ring.areas())
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.ring.areas().control.data))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.ring.share_word(&self.ring.areas().control.data).map(SharedBell)
    }
}
