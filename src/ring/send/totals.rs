//! Counters that a producer keeps for inspectors.

use crate::atomics::at;
use crate::ring::geometry::Areas;

/// Private copies of the ring's counters. They continue from the values in the ring, so they wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) full: u64,
    pub(super) stall_ns: u64,
    wakes: u64,
    pub(super) evictions: u64,
    pub(super) reclaims: u64,
}

impl Totals {
    /// The values in the ring.
    pub(super) fn shown(areas: Areas<'_>) -> Self {
        let counters = &areas.head.counters;
        Self {
            full: counters.full.load(at!(C_READ, Relaxed)),
            stall_ns: counters.stall_ns.load(at!(C_READ, Relaxed)),
            wakes: counters.wakes.load(at!(C_READ, Relaxed)),
            evictions: counters.evictions.load(at!(C_READ, Relaxed)),
            reclaims: counters.reclaims.load(at!(C_READ, Relaxed)),
        }
    }

    /// Stores them in the ring, except wakes, which are stored as they are counted.
    #[cold]
    pub(super) fn show(&self, areas: Areas<'_>) {
        let counters = &areas.head.counters;
        counters.full.store(self.full, at!(C_WRITE, Relaxed));
        counters.stall_ns.store(self.stall_ns, at!(C_WRITE, Relaxed));
        counters.evictions.store(self.evictions, at!(C_WRITE, Relaxed));
        counters.reclaims.store(self.reclaims, at!(C_WRITE, Relaxed));
    }

    #[cold]
    pub(super) fn count_wake(&mut self, areas: Areas<'_>) {
        self.wakes = self.wakes.wrapping_add(1);
        areas.head.counters.wakes.store(self.wakes, at!(C_WRITE, Relaxed));
    }
}
