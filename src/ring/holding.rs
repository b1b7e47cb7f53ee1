//! Budgets and holds as the public types show them.

use std::time::Duration;

use crate::ring::protocol::gate::HOLD_FOREVER;

/// How long a named consumer's gate outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// For this long after the producer notices that the gate blocks it.
    For(Duration),
    /// Until it comes back or is forgotten.
    Forever,
}

/// A budget as it is shown. `u64::MAX` counts as none: it marks a consumer that may be evicted but has no budget.
pub(crate) fn limit(ns: u64) -> Option<Duration> {
    (ns > 0 && ns != u64::MAX).then(|| Duration::from_nanos(ns))
}

pub(crate) fn hold(ns: u64) -> Option<Hold> {
    match ns {
        0 => None,
        HOLD_FOREVER => Some(Hold::Forever),
        ns => Some(Hold::For(Duration::from_nanos(ns))),
    }
}
