//! How long a gate holds the producer up, and outlives its consumer, as people are shown it.

use std::time::Duration;

use crate::ring::protocol::gate::HOLD_FOREVER;

/// How long a named consumer's gate outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// For so long after the producer noticed.
    For(Duration),
    /// Until it comes back or is forgotten.
    Forever,
}

/// A limit as it is shown. One of five hundred years is as good as none: it stands for what may be evicted.
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
