//! What a producer counts for inspectors.

use crate::atomics::at;
use crate::ring::layout::Areas;

/// The counters of the ring, kept here and shown there. Begun with what stood there, so they wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) full: u64,
    pub(super) stall_ns: u64,
    wakes: u64,
    pub(super) evictions: u64,
    pub(super) reclaims: u64,
}

impl Totals {
    /// As the ring shows them.
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

    /// Shows them in the ring, but for wakes, which are shown as they are counted.
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
