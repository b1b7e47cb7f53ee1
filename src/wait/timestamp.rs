//! Points on the machine's monotonic clock, which is the same for every process on it: publish times, and times that one
//! process stores and another compares with the present.

use core::fmt;
use core::time::Duration;

use crate::wait::clock;
#[cfg(not(loom))]
use crate::wait::namespace;

/// A point on the monotonic clock of the machine, such as the time at which a record was published: see
/// [`Options::times`](crate::Options::times).
///
/// It counts nanoseconds since the machine started, without the time for which it was suspended. It never steps, and means the same in
/// every process of the machine until the next boot, time namespaces included: their offset is taken out.
/// [`Receive::wall_time`](crate::Receive::wall_time) converts it to the time of day.
///
/// A process without `/proc` counts as one in the first time namespace. So does one that has called `unshare` for a time namespace of
/// its children, if it is itself in a namespace other than the first: the kernel does not say which offset it has.
///
/// ```
/// use std::time::Duration;
/// use quoit::Timestamp;
///
/// let before = Timestamp::now();
/// assert!(before <= Timestamp::now());
/// let earlier = before.saturating_sub(Duration::from_secs(5));
/// assert!(before.saturating_duration_since(earlier) <= Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    ns: u64,
}

impl Timestamp {
    /// The present.
    pub fn now() -> Self {
        Self { ns: now_ns() }
    }

    /// So many nanoseconds after the machine started.
    pub const fn from_nanos(ns: u64) -> Self {
        Self { ns }
    }

    /// Nanoseconds since the machine started.
    pub const fn as_nanos(self) -> u64 {
        self.ns
    }

    /// How long ago it was; 0 if it is in the future.
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// The time from `earlier` to this; 0 if that is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    /// So much later, or the end of the clock.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self { ns: self.ns.saturating_add(clock::duration_ns(duration)) }
    }

    /// So much earlier, or the start of the machine.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self { ns: self.ns.saturating_sub(clock::duration_ns(duration)) }
    }
}

/// Seconds since the machine started, with nine decimals.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.ns / 1_000_000_000, self.ns % 1_000_000_000)
    }
}

/// The present on the machine's monotonic clock, ns.
#[cfg(not(loom))]
#[inline]
pub(crate) fn now_ns() -> u64 {
    clock::monotonic_ns().wrapping_sub(namespace::offset_ns())
}

/// The same at the kernel's last tick: see [`clock::tick_ns`].
#[cfg(not(loom))]
pub(crate) fn tick_ns() -> u64 {
    clock::tick_ns().wrapping_sub(namespace::offset_ns())
}

/// A point on this process's monotonic clock, as every process of the machine understands it. `u64::MAX` is no point.
#[cfg(not(loom))]
#[inline]
pub(crate) fn of_machine(own_ns: u64) -> u64 {
    if own_ns == u64::MAX { own_ns } else { own_ns.saturating_sub_signed(namespace::offset_ns() as i64) }
}

#[cfg(loom)]
pub(crate) fn of_machine(own_ns: u64) -> u64 {
    own_ns
}

#[cfg(loom)]
pub(crate) use clock::{monotonic_ns as now_ns, tick_ns};
