//! Until when a call of a member waits.

use std::time::Instant;

use crate::wait::clock;

/// Given by the caller, or computed already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// A point on the monotonic clock, ns.
    Ns(u64),
    /// A call that finds something at once never looks at the clock for it.
    Deadline(Instant),
}

impl Until {
    /// It does not wait.
    pub(super) const NOW: Self = Self::Ns(0);
    /// It waits for ever.
    pub(super) const NEVER: Self = Self::Ns(u64::MAX);

    /// The same on the monotonic clock, ns.
    pub(super) fn ns(self) -> u64 {
        match self {
            Self::Ns(ns) => ns,
            Self::Deadline(deadline) => clock::deadline_ns(deadline),
        }
    }
}
