//! A producer that waits for space, as one of the things that a thread waits for.

use super::{Blocked, Sender};
use crate::atomics::FutexWord;
use crate::ring::protocol::after;
use crate::ring::protocol::stalls::{Blocking, Wanted};
use crate::ring::protocol::writer::Refused;
use crate::source::{Arming, Waker};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

impl Sender {
    /// Whether a claim of `len` bytes would be refused for want of space: then the end of that claim. Takes gates as a
    /// refused claim does. `waited`: the producer did nothing else since the last call, which returned an end.
    pub(crate) fn lacks_space(&mut self, len: usize, waited: bool) -> Option<u64> {
        if self.region.broken() || len > self.region.geometry().max_len() {
            return None;
        }
        self.drop_forgotten();
        // At most 2^31 - 8, so it fits.
        let len = len as u32 + self.region.geometry().time_bytes();
        self.writer.claim(self.region.areas(), len).err()?;
        self.stalls.begin();
        // Limited, as in `claim_refused`.
        let mut rounds = 2 * self.region.geometry().slots;
        loop {
            let scan = self.scan();
            if self.region.memory_gone() {
                return None;
            }
            let is_evicted = scan.asked && rounds > 0 && self.evict_asked();
            self.writer.set_limit(self.scan().limit);
            let Err(Refused::Full { end }) = self.writer.claim(self.region.areas(), len) else { return None };
            let now = clock::monotonic_ns();
            let wanted = Wanted { published: self.writer.published().position, end, now, waited };
            let relief = self.stalls.relieve(self.region.areas(), wanted, |slot| self.region.is_alive(slot));
            self.count_taken(relief.evicted, relief.reclaimed);
            if rounds > 0 && (is_evicted || relief.again || relief.blocking.is_none()) {
                rounds -= 1;
                continue;
            }
            self.refused = true;
            let by = relief.blocking.unwrap_or(Blocking { slot: scan.slowest, since: now });
            self.show_blocked(Some(Blocked { by, end }));
            return Some(end);
        }
    }

    /// Whether there may be space for a claim up to `end`, or an eviction is asked for.
    pub(crate) fn may_have_space(&self, end: u64) -> bool {
        if self.region.broken() {
            return true;
        }
        let scan = self.scan();
        scan.asked || self.region.memory_gone() || !after(end, scan.limit)
    }

    pub(crate) fn arm_for_space(&self) -> Arming {
        let word = self.space_bell();
        match self.region.geometry().wait {
            WaitMode::Spin => Arming::unarmed(doorbell::unarmed(word)),
            WaitMode::Membarrier | WaitMode::Fence => Arming::woken(doorbell::arm(word), Waker::Fences),
        }
    }

    pub(crate) fn space_bell(&self) -> &FutexWord {
        &self.region.areas().control.space
    }

    pub(crate) fn disarm_for_space(&self) {
        if !self.region.broken() {
            doorbell::disarm(self.space_bell());
        }
    }
}
